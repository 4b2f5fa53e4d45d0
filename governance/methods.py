"""The methods the framework prescribes: name and version give the code, the code its digest."""

from collections.abc import Callable
from dataclasses import dataclass

from analysis.code import code_digest
from analysis.lifetime import gp
from analysis.lifetime.history import History
from analysis.lifetime.statement import gp_code
from analysis.result import NotAssessable
from analysis.soh import polarisation

type Forecaster = Callable[[History, tuple[float, ...], float], gp.Forecast | NotAssessable]


@dataclass(frozen=True, slots=True)
class Method:
    """A prescribed method; one that forecasts can be run again by an auditor."""

    name: str
    version: str
    purpose: str
    code_digest: str
    forecast: Forecaster | None = None
    relative_tolerance: float = 0.0


METHODS: tuple[Method, ...] = (
    Method(gp.METHOD, gp.VERSION, "prediction", gp_code(), gp.forecast, gp.RELATIVE_TOLERANCE),
    Method(
        polarisation.METHOD,
        polarisation.VERSION,
        "diagnosis",
        code_digest(
            "analysis.soh:spectrum.py", "analysis.soh:polarisation.py", "analysis.soh:models/warwick-5ah.toml"
        ),
    ),
)


def method(name: str, version: str) -> Method | None:
    """Return the method of this name and version, if there is one."""
    return next((m for m in METHODS if (m.name, m.version) == (name, version)), None)
