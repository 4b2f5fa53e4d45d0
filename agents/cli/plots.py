"""Pictures: a cell's fade with its band, a Weibull plot, what a warranty may cost."""

from pathlib import Path
from typing import Any, Final, Literal, cast

import click

from agents import plots
from agents.cli.call import Call, argument, option
from agents.cli.lifetime import FILE, SECTION, NotForecast, cycles_of, lifetime, warranty
from schemas.errors import Invalid

_STEPS: Final = 30
_LANGUAGE = option("--lang", "Language of the labels.", type=click.Choice(["en", "ja"]))
_OUT = option("--out", "Where to write the picture; .svg or .png says which kind.", required=True, type=FILE)


def write(call: Call, out: Path, picture: bytes, **told: object) -> None:
    """Write a picture and say where."""
    try:
        out.write_bytes(picture)
    except OSError as error:
        raise Invalid("{file} cannot be written: {why}", file=out, why=error.strerror) from error
    call.show(
        {"picture": str(out), "bytes": len(picture), **told},
        lambda paper: paper.line(call.say("picture: {file}", file=str(out))),
    )


def kind_of(out: Path) -> Literal["svg", "png"]:
    """Return the kind of picture that a file's name asks for."""
    kind = out.suffix.lower().removeprefix(".")
    if kind not in {"svg", "png"}:
        raise Invalid("“{file}” ends in neither .svg nor .png.", file=out.name)
    return cast("Literal['svg', 'png']", kind)


@lifetime.add(
    "plot",
    argument("history", "A CSV of dataset, cell, cycle, capacity_Ah, nominal_Ah.", type=FILE),
    option("--fleet", "The fleet to learn from, made by fit-fleet.", type=FILE),
    option("--method", "Which method; `meguri lifetime` lists them."),
    option("--cell", "Which cell of the table, where it holds several."),
    option("--at", "At which cycles: 100,200,300 or 100:1000:50."),
    option("--threshold", "End of life, % of nominal capacity.", type=float, default=70.0, show_default=True),
    option("--weibull", "A Weibull plot of all cells of the table instead.", is_flag=True),
    _OUT,
    _LANGUAGE,
)
def plot(
    call: Call,
    history: Path,
    fleet: Path | None,
    method: str | None,
    cell: str | None,
    at: str | None,
    threshold: float,
    weibull: bool,
    out: Path,
    lang: str | None,
) -> None:
    """Draw a cell's check-ups with the forecast's band and the end of its life, or a Weibull plot."""
    from analysis.lifetime.document import document, read_fleet
    from analysis.lifetime.forecasts import DEFAULT
    from analysis.lifetime.statement import Inputs, Observed, figures
    from analysis.lifetime.table import read_fade
    from analysis.result import NotAssessable

    kind, language = kind_of(out), lang or call.language
    if not 0 < threshold < 100:  # noqa: PLR2004 - per cent
        raise Invalid("The threshold {threshold:g} % is not between 0 and 100 %.", threshold=threshold)
    found = read_fade(history)
    if weibull:
        write(call, out, _weibull(found, threshold, language, kind))
        return
    cells = {(m, n): seen for m, named in found.items() for n, seen in named.items() if cell in {None, n}}
    if len(cells) != 1:
        names = ", ".join(sorted(n for named in found.values() for n in named)[:20])
        raise Invalid("Name one cell with --cell; the table holds {names}.", names=names)
    ((model, name), seen) = next(iter(cells.items()))
    known = read_fleet(fleet) if fleet else None
    span = max(seen.last - seen.first, 1.0)
    ahead = cycles_of(at) if at else tuple(seen.last + span * i / _STEPS for i in range(_STEPS + 1))
    inputs = Inputs(
        subject=name,
        model=model,
        method=method or DEFAULT,
        cycles=ahead,
        threshold_pct=threshold,
        observations=tuple(
            Observed(cycle=o.cycle, soh_pct=o.soh_pct, sd_pct=o.sd_pct) for o in seen.observations
        ),
    )
    made = figures(inputs, document(known) if known else None)
    if isinstance(made, NotAssessable):
        raise NotForecast("{words}", words=made.words)
    rows = [(o.cycle, o.soh_pct) for o in seen.observations]
    picture = plots.fade(rows, made, language, kind, f"{model} {name} · {made['made_by']} {made['version']}")
    write(call, out, picture, model=model, cell=name, method=made["made_by"], end_of_life=made["end_of_life"])


def _weibull(found: Any, threshold: float, language: str, kind: plots.Format) -> bytes:
    from analysis.lifetime import weibull as by_lot
    from analysis.result import NotAssessable

    if len(found) != 1:
        raise Invalid(
            "A Weibull plot is of cells of one model; the table holds {names}.", names=", ".join(found)
        )
    (cells,) = found.values()
    lives = [by_lot.passage(seen, threshold) for seen in cells.values()]
    times, fell = [max(t, 1e-6) for t, _ in lives], [f for _, f in lives]
    fitted, line = by_lot.fit(times, fell), by_lot.rank_line(times, fell)
    for one in (fitted, line):
        if isinstance(one, NotAssessable):
            raise NotForecast("{words}", words=one.words)
    return plots.weibull(list(zip(times, fell, strict=True)), fitted, line, threshold, language, kind)


@warranty.add(
    "plot",
    argument("terms", "The terms, in TOML.", type=FILE),
    argument("history", "A CSV of dataset, cell, cycle, capacity_Ah, nominal_Ah.", type=FILE),
    option("--fleet", "The fleet to learn from, made by fit-fleet.", type=FILE),
    option("--method", "Which method; `meguri lifetime` lists them."),
    option("--cell", "Which cell of the table, where it holds several."),
    option("--level", "For which share of cases the reserve shall do.", type=float, default=0.99),
    _OUT,
    _LANGUAGE,
)
def plot_costs(
    call: Call,
    terms: Path,
    history: Path,
    fleet: Path | None,
    method: str | None,
    cell: str | None,
    level: float,
    out: Path,
    lang: str | None,
) -> None:
    """Draw what the warranty of one cell may cost."""
    from analysis.lifetime import warranty as promise
    from analysis.lifetime.document import read_fleet
    from analysis.lifetime.forecasts import DEFAULT, Past, forecast
    from analysis.lifetime.table import read_fade
    from analysis.lifetime.terms import read_terms
    from analysis.result import NotAssessable

    kind, language = kind_of(out), lang or call.language
    if not 0 < level < 1:
        raise Invalid("A correlation is from 0 to below 1, a level between 0 and 1.")
    case, found = read_terms(terms), read_fade(history)
    cells = [(m, n, seen) for m, named in found.items() for n, seen in named.items() if cell in {None, n}]
    if len(cells) != 1:
        names = ", ".join(sorted(n for named in found.values() for n in named)[:20])
        raise Invalid("Name one cell with --cell; the table holds {names}.", names=names)
    ((model, name, seen),) = cells
    known = read_fleet(fleet) if fleet else None
    made = forecast(Past(seen, model, known), case.grid(seen.last), method or DEFAULT)
    if isinstance(made, NotAssessable):
        raise NotForecast("{words}", words=made.words)
    price = promise.price(made, case, level=level)
    picture = plots.costs(
        price.costs.tolist(), price.mean, price.value_at_risk, level, case.currency, language, kind
    )
    write(call, out, picture, model=model, cell=name, mean=round(price.mean, 2), currency=case.currency)


__all__ = ["COMMANDS", "SECTION"]
COMMANDS: Final = {"lifetime": lifetime, "warranty": warranty}
