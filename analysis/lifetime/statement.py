"""A forecast as it is stated to others, so that whoever holds its inputs can make it again.

Nothing here names a cell: the subject is a salted pseudonym, and only who knows both code and salt can
tie it to an item. The inputs carry the subject too, so their digest fits one statement alone.
"""

import hashlib
import hmac
from dataclasses import dataclass
from functools import cache

from pydantic import BaseModel, ConfigDict, Field

from analysis.code import code_digest
from analysis.lifetime import gp
from analysis.lifetime.history import History, Observation
from analysis.result import NotAssessable, digest

DECIMALS = 6
MINIMUM_SALT_BYTES = 16
CODE = ("analysis.lifetime:history.py", "analysis.lifetime:gp.py")
_LIST = 2000


class Observed(BaseModel):
    """One observation of the inputs."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    cycle: float
    soh_pct: float
    sd_pct: float = 0.0


class Inputs(BaseModel):
    """What a forecast was made from; it goes to the auditor alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    subject: str = Field(max_length=200)
    observations: tuple[Observed, ...] = Field(max_length=_LIST)

    def history(self) -> History:
        """Return the history, or raise Invalid."""
        return History(tuple(Observation(o.cycle, o.soh_pct, o.sd_pct) for o in self.observations))

    def digest(self) -> str:
        """Return the digest of these inputs."""
        return digest(self.model_dump(mode="json"))


class StatedEndOfLife(BaseModel):
    """Cycles at which the threshold is passed with 5, 50 and 95 % probability; None is beyond the horizon."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    earliest: float | None
    median: float | None
    latest: float | None


class Statement(BaseModel):
    """A forecast with its method, version, code and inputs' digests; figures rounded to six decimals."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    subject: str = Field(max_length=200)
    method: str = Field(max_length=80)
    version: str = Field(max_length=20)
    code_digest: str = Field(max_length=200)
    inputs_digest: str = Field(max_length=200)
    threshold_pct: float
    cycles: tuple[float, ...] = Field(max_length=_LIST)
    mean_pct: tuple[float, ...] = Field(max_length=_LIST)
    sd_pct: tuple[float, ...] = Field(max_length=_LIST)
    quantiles_pct: dict[str, tuple[float, ...]] = Field(max_length=20)
    noise_sd_pct: float
    end_of_life: StatedEndOfLife
    limits: tuple[str, ...] = ()

    def digest(self) -> str:
        """Return the digest of this statement; its figures must be finite."""
        return digest(self.model_dump(mode="json"))


@dataclass(frozen=True, slots=True)
class Stated:
    """A statement and the inputs that prove it."""

    statement: Statement
    inputs: Inputs


def pseudonym(item: str, salt: bytes) -> str:
    """Return a name for `item` that only who knows `salt` (16 random bytes or more) can tie to it."""
    if len(salt) < MINIMUM_SALT_BYTES:
        raise ValueError("a salt of fewer than 16 bytes can be guessed")
    return "urn:meguri:subject:" + hmac.new(salt, item.encode(), hashlib.sha256).hexdigest()


@cache
def gp_code() -> str:
    """Return the digest of the code of gp-linear-trend."""
    return code_digest(*CODE)


def state(
    subject: str, history: History, cycles: tuple[float, ...], threshold_pct: float = 70.0
) -> Stated | NotAssessable:
    """Forecast and put it into words that can be audited, or say why there is no forecast."""
    made = gp.forecast(history, cycles, threshold_pct)
    if isinstance(made, NotAssessable):
        return made
    inputs = Inputs(
        subject=subject,
        observations=tuple(
            Observed(cycle=o.cycle, soh_pct=o.soh_pct, sd_pct=o.sd_pct) for o in history.observations
        ),
    )
    return Stated(figures(made, subject, inputs.digest(), gp_code()), inputs)


def figures(made: gp.Forecast, subject: str, inputs_digest: str, code: str) -> Statement:
    """Return a forecast as a statement, its figures rounded."""
    end = made.end_of_life
    return Statement(
        subject=subject,
        method=made.method,
        version=made.version,
        code_digest=code,
        inputs_digest=inputs_digest,
        threshold_pct=end.threshold_pct,
        cycles=made.cycles,
        mean_pct=_rounded(made.mean_pct),
        sd_pct=_rounded(made.sd_pct),
        quantiles_pct={str(level): _rounded(made.quantiles_pct(level)) for level in gp.LEVELS},
        noise_sd_pct=round(made.noise_sd_pct, DECIMALS),
        end_of_life=StatedEndOfLife(
            earliest=None if end.earliest is None else round(end.earliest, DECIMALS),
            median=None if end.median is None else round(end.median, DECIMALS),
            latest=None if end.latest is None else round(end.latest, DECIMALS),
        ),
        limits=made.limits,
    )


def _rounded(values: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(round(v, DECIMALS) for v in values)
