"""Forecasts as an honest member states them, for an auditor to look at."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

from analysis.lifetime import fleet as lot
from analysis.lifetime.document import FleetDocument, document
from analysis.lifetime.fleet import Fleet
from analysis.lifetime.history import History, Observation
from analysis.lifetime.statement import Inputs, Observed, figures, pseudonym
from analysis.result import digest
from governance.audit import Sealed, state
from governance.tools import present_digest
from schemas.claims import CheckUp, CheckUps

MODEL = "M-5"
THEN = datetime(2026, 6, 1, 9, tzinfo=UTC)
AHEAD = tuple(float(c) for c in range(650, 1050, 100))


@dataclass(frozen=True)
class Stated:
    """A prediction, and all that is sent to have it audited."""

    prediction: Sealed
    inputs: dict[str, Any]
    fleet: dict[str, Any] | None
    check_ups: tuple[Sealed, ...]

    def saying(self, **change: object) -> "Stated":
        """Return it with a changed statement."""
        statement = {**self.prediction.claim["statement"], **change}
        claim = {**self.prediction.claim, "statement": statement}
        return replace(self, prediction=replace(self.prediction, claim=claim))

    def given(self, **change: object) -> "Stated":
        """Return it with changed inputs."""
        return replace(self, inputs={**self.inputs, **change})


def rows(number: int, every: int = 50, until: int = 1000) -> list[tuple[float, float]]:
    """Return the fade of one cell of the make-believe model, to two decimals."""
    rate, bend = 0.013 + 0.001 * (number % 9), 1e-5 * (1 + 0.1 * (number % 5))
    return [
        (float(c), round(100 - rate * c - bend * c * c + 0.2 * math.sin(c * (number + 1)), 2))
        for c in range(0, until + 1, every)
    ]


def history(number: int) -> History:
    """Return one cell's whole life."""
    return History(tuple(Observation(c, s) for c, s in rows(number)))


@cache
def fleet() -> FleetDocument:
    """Return the fleet of the make-believe model."""
    fitted = lot.fit(MODEL, [history(n) for n in range(12)])
    assert isinstance(fitted, Fleet)
    return document(fitted)


def sealed(claim: CheckUps, at: datetime) -> Sealed:
    """Return check-ups with a digest, as if they had been sealed."""
    plain = claim.model_dump(mode="json")
    return Sealed(digest(plain), at, plain)


def chain(subject: str, seen: list[tuple[float, float]], by: int = 6) -> tuple[Sealed, ...]:
    """Seal check-ups in order, some at a time."""
    made: list[Sealed] = []
    for start in range(0, len(seen), by):
        entries = tuple(
            CheckUp(run_count=Decimal(str(c)), found_soh_pct=Decimal(str(s)), sd_pct=Decimal("0.3"))
            for c, s in seen[start : start + by]
        )
        previous = made[-1].digest if made else ""
        claim = CheckUps(subject=subject, before_count=start, previous_digest=previous, check_ups=entries)
        made.append(sealed(claim, THEN - timedelta(days=400 - start)))
    return tuple(made)


def stated(
    number: int = 3, method: str = "fleet-weighted", code: str = "", at: datetime = THEN, **settings: Any
) -> Stated:
    """State one cell's forecast from the first half of its life."""
    subject = pseudonym(f"cell {number}", b"sixteen random b")
    seen = rows(number)[:12]
    links = chain(subject, seen)
    with_fleet = method == "fleet-weighted"
    inputs = Inputs(
        subject=subject,
        model=MODEL,
        method=method,
        observations=tuple(Observed(cycle=c, soh_pct=s, sd_pct=0.3) for c, s in seen),
        fleet=fleet().digest() if with_fleet else "",
        lot=tuple(
            tuple(Observed(cycle=c, soh_pct=s) for c, s in rows(n))
            for n in range(8 if method == "weibull" else 0)
        ),
        check_ups=tuple(link.digest for link in links),
        **{"cycles": AHEAD, "threshold_pct": 75.0} | settings,
    )
    made = figures(inputs, fleet() if with_fleet else None)
    assert isinstance(made, dict), made
    claim: Mapping[str, Any] = {
        "subject": subject,
        "statement": state(made, inputs, code or present_digest()),
    }
    return Stated(
        Sealed(digest({"at": at.isoformat(), **claim}), at, claim),
        inputs.model_dump(mode="json"),
        fleet().model_dump(mode="json") if with_fleet else None,
        links,
    )
