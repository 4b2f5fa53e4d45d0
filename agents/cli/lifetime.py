"""Lifetime: fit a fleet, forecast a cell, and price its warranty, on this machine and without an agent."""

import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import click

from agents.cli.call import Call, argument, group, option
from agents.cli.paper import Paper, faint, loud
from schemas.errors import Invalid

SECTION: Final = "Prediction and audit"
FILE = click.Path(path_type=Path, dir_okay=False)
_MOST: Final = 2000
_DAYS: Final = 365.25


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
    argument("fade", "A CSV of dataset, cell, cycle, capacity_Ah, nominal_Ah.", type=FILE),
    option("--model", "The battery model, as in the column dataset.", required=True),
    option("--out", "Where to write the fleet (JSON).", required=True, type=FILE),
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
        cycles = tuple(float(part) for part in text.split(","))
        if not all(map(math.isfinite, cycles)):
            raise ValueError
        return cycles
    except (ValueError, OverflowError) as error:
        raise Invalid("“{text}” is neither 100,200,300 nor 100:1000:50.", text=text[:60]) from error


@lifetime.add(
    "forecast",
    argument("history", "A CSV of dataset, cell, cycle, capacity_Ah, nominal_Ah.", type=FILE),
    option("--fleet", "The fleet to learn from, made by fit-fleet.", type=FILE),
    option("--method", "Which method; `meguri lifetime` lists them."),
    option("--lot", "A CSV of the lot's cells, for the method weibull.", type=FILE),
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
    from analysis.lifetime.job import figures
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
                row |= figures(made, threshold)
            told.append(row)
    if all("not_assessable" in row for row in told) and len(told) == 1:
        raise NotForecast("{words}", words=told[0]["words"])
    document = told[0] if len(told) == 1 else {"cells": told}
    call.show(document, lambda paper: _draw(call, paper, told))


@lifetime.add(
    "forecast-lot",
    argument("fade", "A CSV of dataset, cell, cycle, capacity_Ah, nominal_Ah.", type=FILE),
    option("--at", "At which cycles: 100,200,300 or 100:1000:50.", required=True),
    option("--out", "Where to write the table: .csv or .jsonl.", required=True, type=FILE),
    option("--fleet", "The fleet to learn from, made by fit-fleet.", type=FILE),
    option("--method", "Which method, or gp-ml-rbf-lot: fitted all together."),
    option("--threshold", "End of life, % of nominal capacity.", type=float, default=70.0, show_default=True),
    option("--cluster", "A Dask cluster to do it on: tcp://HOST:8786."),
    option("--piece", "Cells in a piece.", type=click.IntRange(1, 100_000), default=256, show_default=True),
    option("--anew", "Drop the pieces of another job with this name.", is_flag=True),
)
def forecast_lot(
    call: Call,
    fade: Path,
    at: str,
    out: Path,
    fleet: Path | None,
    method: str | None,
    threshold: float,
    cluster: str | None,
    piece: int,
    anew: bool,
) -> None:
    """Forecast thousands of cells, here or on a cluster; broken off, it goes on where it was."""
    from agents.cli.lot import SUFFIXES, Folder, Progress, here, there
    from analysis.lifetime.document import document, read_fleet
    from analysis.lifetime.forecasts import DEFAULT
    from analysis.lifetime.job import METHODS, Cell, Task, pieces
    from analysis.lifetime.table import file_digest, read_fade

    if not 0 < threshold < 100:  # noqa: PLR2004 - per cent
        raise Invalid("The threshold {threshold:g} % is not between 0 and 100 %.", threshold=threshold)
    if out.suffix not in SUFFIXES:
        raise Invalid("{file} is neither a .csv nor a .jsonl", file=out.name)
    if method and method not in METHODS:
        raise Invalid("There is no method {name}.", name=method)
    cycles = cycles_of(at)
    if sorted(set(cycles)) != list(cycles) or cycles[0] < 0:
        raise Invalid("The cycles of a forecast rise, from the first observation on.")
    known = document(read_fleet(fleet)) if fleet else None
    task = Task(cycles, threshold, method or DEFAULT, known)
    found = read_fade(fade)
    parts = pieces([Cell(m, c, h) for m, cells in found.items() for c, h in cells.items()], piece)
    folder = Folder(out, task.digest(f"{file_digest(fade)} {piece}"), anew)
    todo = [(number, cells) for number, cells in enumerate(parts) if not folder.has(number)]
    total = sum(map(len, parts))
    progress = Progress(call, total, total - sum(len(cells) for _, cells in todo))
    try:
        for number, rows in there(cluster, task, todo) if cluster else here(task, todo):
            folder.keep(number, rows)
            progress.add(len(rows))
    except KeyboardInterrupt:
        call.note("broken off; the same command goes on from here")
        raise
    cells, refused = folder.finish(len(parts))
    told = {"table": str(out), "cells": cells, "not assessable": refused, "method": task.method}
    call.show(told, lambda paper: paper.pairs([(call.say(k), str(v)) for k, v in told.items()]))


@lifetime.add(
    "remaining",
    argument("history", "A CSV of dataset, cell, cycle, capacity_Ah, nominal_Ah.", type=FILE),
    option("--fleet", "The fleet to learn from, made by fit-fleet.", type=FILE),
    option("--method", "Which method; `meguri lifetime` lists them."),
    option("--threshold", "End of life, % of nominal capacity.", type=float, default=70.0, show_default=True),
    option("--likely", "How sure it shall be, in %.", type=float, default=80.0, show_default=True),
    option("--per-day", "Cycles a day; else by the column date, else one.", type=float),
)
def remaining(
    call: Call,
    history: Path,
    fleet: Path | None,
    method: str | None,
    threshold: float,
    likely: float,
    per_day: float | None,
) -> None:
    """Say for how long each cell of a table will serve."""
    from analysis.lifetime import forecasts
    from analysis.lifetime.document import read_fleet
    from analysis.lifetime.table import read_fade, read_paces
    from analysis.result import NotAssessable

    if per_day is not None and not 0 < per_day < _MOST:
        raise Invalid("Cycles a day are a number above 0.")
    paces = read_paces(history) if per_day is None else {}
    known = read_fleet(fleet) if fleet else None
    told: list[dict[str, Any]] = []
    for model, cells in sorted(read_fade(history).items()):
        for cell, seen in sorted(cells.items()):
            past = forecasts.Past(seen, model, known)
            made = forecasts.remaining(past, threshold, likely / 100, method or forecasts.DEFAULT)
            row: dict[str, Any] = {"model": model, "cell": cell}
            if isinstance(made, NotAssessable):
                told.append(row | {"not_assessable": made.reason, "words": made.words})
                continue
            own = paces.get(model, {}).get(cell)
            pace = per_day or own or 1.0
            row |= {"cycles": round(made.cycles, 1), "years": round(made.cycles / pace / _DAYS, 2)}
            row |= {"at_least": made.whole_reach, "likely_pct": likely, "threshold_pct": threshold}
            row |= {"pace": "given" if per_day else "as so far" if own else "assumed"}
            row |= {"cycles_per_day": round(pace, 4), "method": made.forecast.method}
            row |= {"version": made.forecast.version, "warnings": list(made.forecast.warnings)}
            told.append(row | {"limits": list(made.forecast.limits)})
    if len(told) == 1 and "not_assessable" in told[0]:
        raise NotForecast("{words}", words=told[0]["words"])

    def draw(paper: Paper) -> None:
        for row in told:
            paper.line(loud(f"{row['model']} {row['cell']}"))
            if "not_assessable" in row:
                paper.line("  ", call.told(row["words"]))
                continue
            words = call.say(
                "{likely:g} % likely above {threshold:g} % for {years:.1f} years at {per_day:g} cycles a day "
                "({cycles:.0f} cycles)",
                likely=likely,
                threshold=threshold,
                years=row["years"],
                per_day=row["cycles_per_day"],
                cycles=row["cycles"],
            )
            paper.line("  ", words)
            if row["pace"] == "as so far":
                paper.line(
                    "  ", faint(call.say("The pace is its own so far, by the dates of the check-ups."))
                )
            if row["at_least"]:
                paper.line("  ", faint(call.say("That is as far as the forecast reaches; it may be longer.")))
            for text in (*row["warnings"], *row["limits"]):
                paper.line("  ", faint(call.told(text)))

    call.show(told[0] if len(told) == 1 else {"cells": told}, draw)


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


def _about(call: Call) -> None:
    words = "“meguri warranty price TERMS.toml HISTORY.csv” prices a promise on state of health."
    call.show({"words": words}, lambda paper: paper.line(call.say(words)))


warranty = group("warranty", _about, "What a promise on state of health costs.")
_VARIED: Final = (
    "threshold_pct",
    "cycles",
    "years",
    "cycles_per_year",
    "discount_rate",
    "shortfall_per_pct",
)


def varied(name: str, value: float) -> dict[str, Any]:
    """Return one changed term."""
    return {name: value}


@warranty.add(
    "price",
    argument("terms", "The terms, in TOML.", type=FILE),
    argument("history", "A CSV of dataset, cell, cycle, capacity_Ah, nominal_Ah.", type=FILE),
    option("--fleet", "The fleet to learn from, made by fit-fleet.", type=FILE),
    option("--method", "Which method; `meguri lifetime` lists them."),
    option("--correlation", "How alike the cells of the lot fade, 0 to 1.", type=float, default=0.3),
    option("--level", "For which share of cases the reserve shall do.", type=float, default=0.99),
    option("--paths", "How many paths are drawn.", type=click.IntRange(100, 200_000), default=20_000),
    option("--vary", "What if: a term and its values, years=3,5,8; may be repeated.", multiple=True),
)
def price(
    call: Call,
    terms: Path,
    history: Path,
    fleet: Path | None,
    method: str | None,
    correlation: float,
    level: float,
    paths: int,
    vary: tuple[str, ...],
) -> None:
    """Price the warranty of each cell of a table, and of all of them together as a lot."""
    from analysis.lifetime.document import read_fleet
    from analysis.lifetime.table import read_fade
    from analysis.lifetime.terms import read_terms

    basic = read_terms(terms)
    cases: list[tuple[dict[str, float], Any]] = [({}, basic)]
    for text in vary:
        name, _, values = text.partition("=")
        if name not in _VARIED or not values:
            raise Invalid(
                "“{text}” is not like years=3,5,8; terms: {names}.", text=text, names=", ".join(_VARIED)
            )
        cases += [({name: v}, replace(basic, **varied(name, v))) for v in cycles_of(values)]
    found = read_fade(history)
    known = read_fleet(fleet) if fleet else None
    told = [
        {"what_if": what, **_priced(found, known, method, case, correlation, level, paths)}
        for what, case in cases
    ]

    def draw(paper: Paper) -> None:
        for case in told:
            changed: Any = case["what_if"]
            lot: Any = case["lot"]
            title = ", ".join(f"{k} {v:g}" for k, v in changed.items()) or call.say("as in the terms")
            paper.line(loud(title))
            for cell in case["cells"]:
                if "not_assessable" in cell:
                    paper.line(f"  {cell['cell']}  ", call.told(cell["words"]))
                    continue
                words = call.say(
                    "{mean:.2f} {currency}; a claim is {chance:.1f} % likely",
                    mean=cell["mean"],
                    currency=basic.currency,
                    chance=100 * cell["claim_probability"],
                )
                paper.line(f"  {cell['cell']}  ", words)
                for text in cell["warnings"]:
                    paper.line("    ", faint(call.told(text)))
            if lot:
                words = call.say(
                    "lot of {cells}: {mean:.2f} {currency}; in {level:g} % of cases not above {risk:.2f}, "
                    "beyond it {tail:.2f} on average",
                    cells=lot["cells"],
                    mean=lot["mean"],
                    currency=basic.currency,
                    level=100 * level,
                    risk=lot["value_at_risk"],
                    tail=lot["expected_shortfall"],
                )
                paper.line("  ", words)
        for text in told[0]["limits"]:
            paper.line("  ", faint(call.told(text)))

    call.show(told[0] if len(told) == 1 else {"cases": told}, draw)


def _priced(
    found: Any, known: Any, method: str | None, terms: Any, correlation: float, level: float, paths: int
) -> dict[str, Any]:
    from analysis.lifetime import warranty as promise
    from analysis.lifetime.forecasts import DEFAULT, Past, forecast
    from analysis.result import NotAssessable

    rows: list[dict[str, Any]] = []
    prices = []
    limits: tuple[str, ...] = promise.LIMITS
    for model, cells in sorted(found.items()):
        for number, (cell, seen) in enumerate(sorted(cells.items())):
            row: dict[str, Any] = {"model": model, "cell": cell}
            made = forecast(Past(seen, model, known), terms.grid(seen.last), method or DEFAULT)
            if isinstance(made, NotAssessable):
                rows.append(row | {"not_assessable": made.reason, "words": made.words})
                continue
            one = promise.price(made, terms, paths, seed=number, level=level)
            prices.append(one)
            limits = one.limits
            row |= {"mean": round(one.mean, 4), "claim_probability": round(one.claim_probability, 6)}
            row |= {"value_at_risk": one.value_at_risk, "expected_shortfall": one.expected_shortfall}
            row |= {"standard_error": round(one.standard_error, 4), "method": made.method}
            rows.append(row | {"version": made.version, "warnings": list(made.warnings)})
    lot = promise.lot_price(prices, correlation, level)
    told = None if isinstance(lot, NotAssessable) else asdict(lot)
    return {"currency": terms.currency, "cells": rows, "lot": told, "limits": list(limits)}


COMMANDS: Final = {"lifetime": lifetime, "warranty": warranty}
