"""Lifetime: fit a fleet, forecast a cell, and price its warranty, on this machine and without an agent."""

from pathlib import Path
from typing import Any, Final

import click

from agents.cli.call import Call, argument, group, option
from agents.cli.paper import Paper, faint, loud
from schemas.errors import Invalid

SECTION: Final = "Prediction and audit"
_FILE = click.Path(path_type=Path, dir_okay=False)
_LEVELS: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
_MOST: Final = 2000


class NotForecast(Invalid):
    """No figure, and why."""


def _list(call: Call) -> None:
    from analysis.lifetime.forecasts import DEFAULT, FORECASTERS

    rows = [{"method": f.name, "words": f.words, "default": f.name == DEFAULT} for f in FORECASTERS.values()]

    def draw(paper: Paper) -> None:
        for row in rows:
            paper.line(loud(str(row["method"])), "  ", faint(call.say(str(row["words"]))))

    call.show({"methods": rows}, draw)


lifetime = group("lifetime", _list, "How a cell will fade: fit a fleet, forecast a cell.")


@lifetime.add(
    "fit-fleet",
    argument("fade", "A CSV of dataset, cell, cycle, capacity_Ah, nominal_Ah.", type=_FILE),
    option("--model", "The battery model, as in the column dataset.", required=True),
    option("--out", "Where to write the fleet (JSON).", required=True, type=_FILE),
)
def fit_fleet(call: Call, fade: Path, model: str, out: Path) -> None:
    """Learn from ten or more cells of one battery model how such cells fade."""
    from analysis.lifetime import fleet
    from analysis.lifetime.document import document
    from analysis.lifetime.table import file_digest, read_fade
    from analysis.result import NotAssessable

    found = read_fade(fade)
    if model not in found:
        raise Invalid(
            "{file} holds no cell of model {model}; it holds {models}.",
            file=fade.name,
            model=model,
            models=", ".join(sorted(found)[:20]),
        )
    cells = [found[model][name] for name in sorted(found[model])]
    fitted = fleet.fit(model, cells, file_digest(fade))
    if isinstance(fitted, NotAssessable):
        raise NotForecast("{words}", words=fitted.words)
    made = document(fitted)
    try:
        out.write_text(made.model_dump_json(indent=1) + "\n", "utf-8")
    except OSError as error:
        raise Invalid("{file} cannot be written: {why}", file=out, why=error.strerror) from error
    told = {"fleet": str(out), "model": model, "cells": made.cells, "digest": made.digest()}
    call.show(told, lambda paper: paper.pairs([(call.say(k), str(v)) for k, v in told.items()]))


def cycles_of(text: str) -> tuple[float, ...]:
    """Return the cycles of `100,200,300` or `100:1000:50` (first, last, step)."""
    try:
        if ":" in text:
            first, last, step = (float(part) for part in text.split(":"))
            if not step > 0 or not (last - first) / step < _MOST:
                raise ValueError
            count = int((last - first) / step + 1e-9) + 1
            return tuple(first + step * i for i in range(count))
        return tuple(float(part) for part in text.split(","))
    except (ValueError, OverflowError) as error:
        raise Invalid("“{text}” is neither 100,200,300 nor 100:1000:50.", text=text[:60]) from error


@lifetime.add(
    "forecast",
    argument("history", "A CSV of dataset, cell, cycle, capacity_Ah, nominal_Ah.", type=_FILE),
    option("--fleet", "The fleet to learn from, made by fit-fleet.", type=_FILE),
    option("--method", "Which method; `meguri lifetime` lists them."),
    option("--lot", "A CSV of the lot's cells, for the method weibull.", type=_FILE),
    option("--at", "At which cycles: 100,200,300 or 100:1000:50.", required=True),
    option("--threshold", "End of life, % of nominal capacity.", type=float, default=70.0, show_default=True),
)
def forecast(
    call: Call,
    history: Path,
    fleet: Path | None,
    method: str | None,
    lot: Path | None,
    at: str,
    threshold: float,
) -> None:
    """Forecast each cell of a table: its state of health at the cycles asked for, with its uncertainty."""
    from analysis.lifetime.document import read_fleet
    from analysis.lifetime.forecasts import DEFAULT, Past
    from analysis.lifetime.forecasts import forecast as made_of
    from analysis.lifetime.table import read_fade
    from analysis.result import NotAssessable

    if not 0 < threshold < 100:  # noqa: PLR2004 - per cent
        raise Invalid("The threshold {threshold:g} % is not between 0 and 100 %.", threshold=threshold)
    cycles = cycles_of(at)
    found = read_fade(history)
    known = read_fleet(fleet) if fleet else None
    lots = read_fade(lot) if lot else {}
    told: list[dict[str, Any]] = []
    for model, cells in sorted(found.items()):
        beside = tuple(lots.get(model, {}).values())
        for cell, seen in sorted(cells.items()):
            made = made_of(Past(seen, model, known, beside), cycles, method or DEFAULT)
            row: dict[str, Any] = {"model": model, "cell": cell}
            if isinstance(made, NotAssessable):
                row |= {"method": made.method, "version": made.version, "not_assessable": made.reason}
                row |= {"words": made.words}
            else:
                row |= _figures(made, threshold)
            told.append(row)
    if all("not_assessable" in row for row in told) and len(told) == 1:
        raise NotForecast("{words}", words=told[0]["words"])
    document = told[0] if len(told) == 1 else {"cells": told}
    call.show(document, lambda paper: _draw(call, paper, told))


def _figures(made: Any, threshold: float) -> dict[str, Any]:
    return {
        "method": made.method,
        "version": made.version,
        "cycles": list(made.cycles),
        "mean_pct": _plain(made.mean()),
        "sd_pct": _plain(made.sd()),
        "quantiles_pct": {str(level): _plain(made.quantile(level)) for level in _LEVELS},
        "latent_sd_pct": _plain(made.sd(observed=False)),
        "noise_sd_pct": round(made.noise_sd_pct, 6),
        "threshold_pct": threshold,
        "below_threshold": _plain(made.below(threshold)),
        "notes": dict(made.notes),
        "warnings": list(made.warnings),
        "limits": list(made.limits),
    }


def _plain(values: Any) -> list[float]:
    return [round(float(v), 6) for v in values]


def _draw(call: Call, paper: Paper, told: list[dict[str, Any]]) -> None:
    for row in told:
        paper.line(loud(f"{row['model']} {row['cell']}"), "  ", faint(f"{row['method']} {row['version']}"))
        if "not_assessable" in row:
            paper.line("  ", call.told(row["words"]))
            continue
        quantiles = row["quantiles_pct"]
        for i, cycle in enumerate(row["cycles"]):
            low, middle, high = (quantiles[level][i] for level in ("0.05", "0.5", "0.95"))
            words = call.say(
                "{cycle:g} cycles: {middle:.1f} %, 90 % likely {low:.1f} to {high:.1f} %; "
                "below {t:g} %: {p:.0f} %",
                cycle=cycle,
                middle=middle,
                low=low,
                high=high,
                t=row["threshold_pct"],
                p=100 * row["below_threshold"][i],
            )
            paper.line("  ", words)
        for text in (*row["warnings"], *row["limits"]):
            paper.line("  ", faint(call.told(text)))


COMMANDS: Final = {"lifetime": lifetime}
