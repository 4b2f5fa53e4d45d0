"""What a promise on state of health costs: first passage of the latent curve, and money.

    τ = inf{t > now: f(t) < E}
    cost = payout(τ)·e^(-r·t(τ))·1(τ ≤ end) + q·max(E - f(end), 0)·e^(-r·t(end))

f is the latent curve, without the noise of a check-up; its joint paths are drawn, since a curve may be below
at one moment and above at the next, and single moments' distributions understate that it ever was. Paths
that rise are kept: rejecting them would count the fast faders twice. t(·) is years from now at the given
cycles a year; end is the nearer of the limits by cycles and by years.

A lot: cell i's place among its own possible costs is Φ(√ρ·Z + √(1 - ρ)·ε_i), with one Z for all of them
(O. Vasicek's one-factor model). ρ leaves the mean as it is and makes the bad years worse.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np

from analysis.lifetime.history import HIGHEST_SOH_PCT
from analysis.lifetime.predictive import Array, Predictive, normal_cdf, normal_pdf
from analysis.result import NotAssessable
from schemas.errors import Invalid

METHOD: Final = "warranty-first-passage"
VERSION: Final = "1.0"
PATHS: Final = 20_000
SCENARIOS: Final = 10_000
STEPS: Final = 60
LIMITS: Final = (
    "It costs what the forecast foresees: what the forecast must not be used for, the price must not either.",
    "Cycles a year are taken as told and constant.",
    "The correlation of a lot is taken as told; a lot from one pack or one batch fades alike.",
)


@dataclass(frozen=True, slots=True)
class Tier:
    """What is paid for a claim up to this share of the term."""

    up_to_share: float
    payout: float


@dataclass(frozen=True, slots=True)
class Terms:
    """A warranty from now on; raises Invalid for terms that make no sense.

    At most `cycles` more and at most `years`; a claim pays its tier once; `shortfall_per_pct` is paid at the
    end of the term for each per cent of nominal capacity below the threshold.
    """

    threshold_pct: float
    cycles: float
    years: float
    cycles_per_year: float
    tiers: tuple[Tier, ...] = ()
    shortfall_per_pct: float = 0.0
    discount_rate: float = 0.0
    currency: str = "JPY"

    def __post_init__(self) -> None:
        figures = (self.threshold_pct, self.cycles, self.years, self.cycles_per_year, self.discount_rate)
        paid = (self.shortfall_per_pct, *(t.payout for t in self.tiers))
        if not all(map(math.isfinite, (*figures, *paid, *(t.up_to_share for t in self.tiers)))):
            raise Invalid("A figure of the terms is not a finite number.")
        if not 0 < self.threshold_pct < HIGHEST_SOH_PCT:
            raise Invalid(
                "The threshold {threshold:g} % is not between 0 and {most:g} %.",
                threshold=self.threshold_pct,
                most=HIGHEST_SOH_PCT,
            )
        if min(self.cycles, self.years, self.cycles_per_year) <= 0:
            raise Invalid("Cycles, years and cycles a year are above 0.")
        if min(paid) < 0 or self.discount_rate < 0:
            raise Invalid("A payout or the discount rate is negative.")
        shares = [t.up_to_share for t in self.tiers]
        if shares and (shares != sorted(set(shares)) or shares[0] <= 0 or shares[-1] != 1):
            raise Invalid("The tiers rise from above 0 to exactly 1, the whole term.")
        if not any(paid):
            raise Invalid("These terms never pay anything.")

    @property
    def span(self) -> float:
        """Return how many cycles the warranty covers."""
        return min(self.cycles, self.years * self.cycles_per_year)

    def grid(self, now: float) -> tuple[float, ...]:
        """Return the cycles at which paths are drawn, from now to the end of the term."""
        return tuple(float(c) for c in np.linspace(now, now + self.span, STEPS + 1))

    def payout(self, share: Array) -> Array:
        """Return what a claim pays at these shares of the term; nothing where it never came (inf)."""
        out = np.zeros_like(share)
        for tier in reversed(self.tiers):
            out = np.where(share <= tier.up_to_share, tier.payout, out)
        return out


@dataclass(frozen=True, slots=True)
class Price:
    """One cell's warranty: expected cost, chance of a claim, and what it may come to."""

    mean: float
    claim_probability: float
    shortfall_mean: float
    value_at_risk: float
    expected_shortfall: float
    standard_error: float
    costs: Array
    currency: str
    limits: tuple[str, ...] = LIMITS


@dataclass(frozen=True, slots=True)
class LotPrice:
    """A lot's warranty: its mean, and value at risk and expected shortfall at the level."""

    cells: int
    mean: float
    per_cell: float
    level: float
    value_at_risk: float
    expected_shortfall: float
    correlation: float
    currency: str


def passage_shares(paths: Array, threshold_pct: float, wander: float = 0.0, seed: int = 0) -> Array:
    """Return at which share of the grid's span each path first falls below the threshold; inf: never.

    `wander` is the variance per step of a Wiener part of the curve, which may dip below between two steps
    and come back: it does with probability exp(-2(a - E)(b - E)/wander), a and b being the curve at both
    ends (Brownian bridge). Curves of the methods here are smooth; their wander is 0.
    """
    steps = paths.shape[1] - 1
    under = paths < threshold_pct
    gap = np.maximum(paths - threshold_pct, 0.0)
    places = np.arange(1, steps + 1) / steps
    fell = under[:, 1:]
    drop = paths[:, :-1] - paths[:, 1:]
    part = np.where(fell & (drop > 0), gap[:, :-1] / np.where(drop > 0, drop, 1.0), 0.0)
    when = np.where(fell, places - (1 - np.clip(part, 0, 1)) / steps, np.inf)
    if wander > 0:
        dips = np.exp(-2 * gap[:, :-1] * gap[:, 1:] / wander)
        drawn = np.random.default_rng(seed).random(dips.shape)
        when = np.where(~fell & (drawn < dips), places - 0.5 / steps, when)
    return np.where(under[:, 0], 0.0, when.min(axis=1))


def price(made: Predictive, terms: Terms, paths: int = PATHS, seed: int = 0, level: float = 0.99) -> Price:
    """Price one cell's warranty on a forecast over `terms.grid(now)`."""
    drawn = made.paths(paths, seed)
    years = terms.span / terms.cycles_per_year
    share = passage_shares(drawn, terms.threshold_pct)
    when = np.where(np.isfinite(share), share, 0.0)
    costs = np.where(
        np.isfinite(share), terms.payout(share) * np.exp(-terms.discount_rate * years * when), 0.0
    )
    late = math.exp(-terms.discount_rate * years) * terms.shortfall_per_pct
    exact = late * shortfall(made, terms.threshold_pct)
    costs = costs + late * np.maximum(terms.threshold_pct - drawn[:, -1], 0.0)
    risk, tail = tail_of(costs, level)
    return Price(
        mean=float(costs.mean()),
        claim_probability=float(np.isfinite(share).mean()),
        shortfall_mean=exact,
        value_at_risk=risk,
        expected_shortfall=tail,
        standard_error=float(costs.std() / math.sqrt(len(costs))),
        costs=costs,
        currency=terms.currency,
        limits=(*LIMITS, *made.limits),
    )


def shortfall(made: Predictive, threshold_pct: float) -> float:
    """Return E max(E - f, 0) at the grid's end: Σ w σ[zΦ(z) + φ(z)], z = (E - μ)/σ."""
    mean = made.means[:, -1]
    sd = np.sqrt(np.maximum(made.covariances[:, -1, -1], 0.0))
    safe = np.where(sd > 0, sd, 1.0)
    z = (threshold_pct - mean) / safe
    soft = safe * (z * normal_cdf(z) + normal_pdf(z))
    return float(made.weights @ np.where(sd > 0, soft, np.maximum(threshold_pct - mean, 0.0)))


def tail_of(costs: Array, level: float) -> tuple[float, float]:
    """Return value at risk (the quantile) and expected shortfall (the mean of the worst beyond it)."""
    ordered = np.sort(costs)
    place = min(len(ordered) - 1, math.ceil(level * len(ordered)) - 1)
    return float(ordered[place]), float(ordered[place:].mean())


def lot_price(
    cells: Sequence[Price],
    correlation: float,
    level: float = 0.99,
    scenarios: int = SCENARIOS,
    seed: int = 0,
) -> LotPrice | NotAssessable:
    """Price a lot whose cells share one common factor."""
    if not 0 <= correlation < 1 or not 0 < level < 1:
        raise Invalid("A correlation is from 0 to below 1, a level between 0 and 1.")
    if not cells:
        return NotAssessable("empty", "The lot holds no cell that could be priced.", METHOD, VERSION)
    drawn = np.random.default_rng(seed)
    common = drawn.standard_normal(scenarios) * math.sqrt(correlation)
    total = np.zeros(scenarios)
    alone = math.sqrt(1 - correlation)
    normal = NormalDist()
    size = len(cells[0].costs)
    edges = np.array([normal.inv_cdf((i + 1) / size) for i in range(size - 1)])
    tables: dict[int, Array] = {}
    for cell in cells:
        table = tables.setdefault(id(cell), np.sort(cell.costs))
        place = np.searchsorted(edges, common + alone * drawn.standard_normal(scenarios))
        total += table[np.minimum(place * len(table) // size, len(table) - 1)]
    risk, tail = tail_of(total, level)
    mean = math.fsum(cell.mean for cell in cells)
    return LotPrice(len(cells), mean, mean / len(cells), level, risk, tail, correlation, cells[0].currency)


def passage_probability(distance: float, drift: float, sd: float, time: float) -> float:
    """Return the chance that a Wiener process falls by `distance` within `time`.

    P(τ ≤ T) = Φ((νT - D)/σ√T) + e^(2νD/σ²) Φ((-D - νT)/σ√T), ν the fall per unit of time. Source: D. R. Cox,
    H. D. Miller, The Theory of Stochastic Processes (1965), section 5.7.
    """
    normal, scale = NormalDist(), sd * math.sqrt(time)
    return normal.cdf((drift * time - distance) / scale) + math.exp(
        2 * drift * distance / sd**2
    ) * normal.cdf((-distance - drift * time) / scale)
