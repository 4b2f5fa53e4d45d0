"""Pictures of a forecast: a cell's fade with its band, a Weibull plot, what a warranty may cost.

Drawn by matplotlib without a screen, as SVG or PNG; the same figures give the same bytes. Letters of an SVG
are drawn as outlines, so that it looks alike on a machine without our fonts.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal

from agents.words import DEFAULT, translate
from schemas.errors import Unavailable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Format = Literal["svg", "png"]
PLACE: Final = "plot"
FONTS: Final = (
    "Noto Sans CJK JP",
    "Noto Sans JP",
    "IPAexGothic",
    "IPAGothic",
    "TakaoGothic",
    "VL Gothic",
    "Hiragino Sans",
    "Yu Gothic",
    "Meiryo",
    "MS Gothic",
)
_DOTS, _LINE, _BAND, _LIMIT = "#1f2a33", "#0b6e4f", "#2a9d74", "#b3412e"
_SIZE: Final = (7.2, 4.6)
_NARROW: Final = 40

type Say = Callable[..., str]


@cache
def _pyplot() -> Any:
    """Return matplotlib, or say in words that it is missing."""
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise Unavailable("pictures need matplotlib: install meguri[plots]") from error
    mpl.use("Agg")
    mpl.rcParams.update({"svg.fonttype": "path", "svg.hashsalt": "meguri", "axes.unicode_minus": False})
    return mpl


@cache
def font(language: str) -> str:
    """Return a font that has the letters of a language, or nothing where none is installed."""
    _pyplot()
    from matplotlib import font_manager

    known = {entry.name for entry in font_manager.fontManager.ttflist}
    return next((name for name in FONTS if name in known), "") if language == "ja" else "DejaVu Sans"


def words(language: str) -> Say:
    """Return what says a picture's words in a language: English where no font has its letters."""
    spoken = language if font(language) else DEFAULT
    return lambda text, **values: translate(text, values or None, spoken, PLACE)


def _figure(language: str, rows: Sequence[float]) -> tuple["Figure", list["Axes"]]:
    _pyplot()
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots(len(rows), 1, sharex=len(rows) > 1, height_ratios=list(rows), squeeze=False)[:, 0]
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
        one.grid(color="#d9dee2", linewidth=0.6)
        one.set_axisbelow(True)
    return figure, list(axes)


def _drawn(figure: "Figure", language: str, format: Format) -> bytes:
    from matplotlib.font_manager import FontProperties
    from matplotlib.text import Text

    face = FontProperties(family=[font(language) or "DejaVu Sans", "DejaVu Sans"])
    for text in figure.findobj(Text):
        size = text.get_fontsize()
        text.set_fontproperties(face)
        text.set_fontsize(size)
    out = io.BytesIO()
    plain: Mapping[str, Any] = {"Date": None} if format == "svg" else {"Software": None}
    figure.savefig(out, format=format, dpi=144, metadata=plain)
    return out.getvalue()


def fade(
    seen: Sequence[tuple[float, float]],
    stated: Mapping[str, Any],
    language: str = DEFAULT,
    format: Format = "svg",
    title: str = "",
) -> bytes:
    """Draw check-ups (cycle, state of health), the band of a statement's figures, and when life ends."""
    say = words(language)
    figure, (above, below) = _figure(language, (3, 1))
    cycles, quantiles = stated["cycles"], stated["quantiles_pct"]
    likely = say("{share} % likely", share=90)
    above.fill_between(
        cycles, quantiles["0.05"], quantiles["0.95"], color=_BAND, alpha=0.18, linewidth=0, label=likely
    )
    likely = say("{share} % likely", share=50)
    above.fill_between(
        cycles, quantiles["0.25"], quantiles["0.75"], color=_BAND, alpha=0.35, linewidth=0, label=likely
    )
    above.plot(cycles, quantiles["0.5"], color=_LINE, linewidth=1.8, label=say("forecast"))
    above.plot(*zip(*seen, strict=True), "o", color=_DOTS, markersize=4, label=say("check-ups"))
    threshold = stated["threshold_pct"]
    above.axhline(threshold, color=_LIMIT, linestyle="--", linewidth=1.2)
    above.annotate(
        say("end of life {threshold:g} %", threshold=threshold),
        (0.005, threshold),
        xycoords=("axes fraction", "data"),
        xytext=(0, 3),
        textcoords="offset points",
        color=_LIMIT,
        fontsize=8,
    )
    above.set_ylabel(say("State of health (%)"))
    above.legend(frameon=False, fontsize=8, loc="upper right")
    if title:
        above.set_title(title, fontsize=10, loc="left")
    below.fill_between(
        cycles, 0, [100 * p for p in stated["below_threshold"]], color=_LIMIT, alpha=0.3, linewidth=0
    )
    below.plot(cycles, [100 * p for p in stated["below_threshold"]], color=_LIMIT, linewidth=1.4)
    ends = [stated["end_of_life"].get(name) for name in ("earliest", "median", "latest")]
    for when in (end for end in ends if end is not None):
        below.axvline(when, color=_DOTS, linewidth=0.9, linestyle=":")
    told = " · ".join("–" if end is None else f"{end:.0f}" for end in ends)
    told = say("5, 50 and 95 % by: {cycles} cycles", cycles=told)
    below.text(0.01, 0.86, told, transform=below.transAxes, fontsize=8, va="top")
    below.set_ylim(0, 100)
    below.set_ylabel(say("life ended (%)"))
    below.set_xlabel(say("Cycles"))
    return _drawn(figure, language, format)


def weibull(
    lives: Sequence[tuple[float, bool]],
    fitted: Any,
    line: Any,
    threshold_pct: float,
    language: str = DEFAULT,
    format: Format = "svg",
) -> bytes:
    """Draw a Weibull plot: cells that fell below, the rank-regression line, and the fit by likelihood."""
    import numpy as np

    say = words(language)
    figure, (axes,) = _figure(language, (1,))
    shares = np.array(line.shares)
    axes.plot(line.cycles, np.log(-np.log1p(-shares)), "o", color=_DOTS, markersize=5, label=say("cells"))
    span = np.array([min(line.cycles) / 1.5, max(t for t, _ in lives) * 1.2])
    ranked = say("rank regression: shape {shape:.2f}, scale {scale:.0f}", shape=line.shape, scale=line.scale)
    axes.plot(span, line.shape * np.log(span / line.scale), color=_BAND, linestyle="--", label=ranked)
    likely = say(
        "maximum likelihood: shape {shape:.2f}, scale {scale:.0f}", shape=fitted.shape, scale=fitted.scale
    )
    axes.plot(span, fitted.shape * np.log(span / fitted.scale), color=_LINE, linewidth=1.8, label=likely)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}")
    ticks = [0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99]
    axes.set_yticks([float(np.log(-np.log1p(-p))) for p in ticks], [f"{100 * p:g}" for p in ticks])
    axes.set_ylabel(say("fallen below {threshold:g} % (% of cells)", threshold=threshold_pct))
    axes.set_xlabel(say("Cycles"))
    survivors = sum(1 for _, fell in lives if not fell)
    axes.set_title(
        say("{count} cells, {survivors} still above", count=len(lives), survivors=survivors),
        fontsize=10,
        loc="left",
    )
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    return _drawn(figure, language, format)


def costs(
    drawn: Sequence[float],
    mean: float,
    reserve: float,
    level: float,
    currency: str,
    language: str = DEFAULT,
    format: Format = "svg",
) -> bytes:
    """Draw what a warranty may cost: how likely each cost is, its mean, and the reserve for the bad cases."""
    import numpy as np

    say = words(language)
    figure, (axes,) = _figure(language, (1,))
    values = np.asarray(drawn, dtype=float)
    top = float(values.max()) or 1.0
    axes.hist(
        values,
        bins=[float(x) for x in np.linspace(0, top * 1.02, _NARROW + 1)],
        weights=[100 / max(len(values), 1)] * len(values),
        color=_BAND,
        alpha=0.6,
    )
    axes.axvline(
        mean,
        color=_LINE,
        linewidth=1.8,
        label=say("mean {mean:.0f} {currency}", mean=mean, currency=currency),
    )
    likely = say(
        "in {level:g} % of cases not above {risk:.0f} {currency}",
        level=100 * level,
        risk=reserve,
        currency=currency,
    )
    axes.axvline(reserve, color=_LIMIT, linestyle="--", linewidth=1.4, label=likely)
    axes.set_xlabel(say("Cost ({currency})", currency=currency))
    axes.set_ylabel(say("how likely (%)"))
    nothing = 100 * float((values == 0).mean())
    axes.set_title(say("{share:.0f} % cost nothing", share=nothing), fontsize=10, loc="left")
    axes.legend(frameon=False, fontsize=8)
    return _drawn(figure, language, format)
