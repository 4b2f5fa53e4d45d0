"""The terms of a warranty as TOML.

threshold_pct = 80        # of nominal capacity
cycles = 1000             # at most so many more
years = 5                 # and at most so long
cycles_per_year = 250
discount_rate = 0.02      # a year, continuous
shortfall_per_pct = 0     # at the end, for each % below the threshold
currency = "JPY"
[[tiers]]                 # what a claim pays, by when it comes
up_to_share = 0.5         # of the term
payout = 12000
[[tiers]]
up_to_share = 1.0
payout = 6000
"""

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from analysis.lifetime.warranty import Terms, Tier
from schemas.errors import Invalid


class TierDocument(BaseModel):
    """One tier."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    up_to_share: FiniteFloat
    payout: FiniteFloat


class TermsDocument(BaseModel):
    """The terms as they are written."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    threshold_pct: FiniteFloat
    cycles: FiniteFloat
    years: FiniteFloat
    cycles_per_year: FiniteFloat
    discount_rate: FiniteFloat = 0.0
    shortfall_per_pct: FiniteFloat = 0.0
    currency: str = Field(default="JPY", max_length=10)
    tiers: tuple[TierDocument, ...] = Field(default=(), max_length=100)

    def terms(self) -> Terms:
        """Return the terms, or raise Invalid."""
        tiers = tuple(Tier(t.up_to_share, t.payout) for t in self.tiers)
        return Terms(
            self.threshold_pct,
            self.cycles,
            self.years,
            self.cycles_per_year,
            tiers,
            self.shortfall_per_pct,
            self.discount_rate,
            self.currency,
        )


def read_terms(path: Path) -> Terms:
    """Read terms, or raise Invalid in words."""
    try:
        return TermsDocument.model_validate(tomllib.loads(path.read_text("utf-8"))).terms()
    except OSError as error:
        raise Invalid("{file} cannot be read: {why}", file=path.name, why=error.strerror) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Invalid("{file} is no TOML: {why}", file=path.name, why=error) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise Invalid("{file}: {where} {why}", file=path.name, where=where, why=first["msg"]) from error
