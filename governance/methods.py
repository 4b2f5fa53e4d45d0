"""The methods the framework prescribes: name and version give the code, the code its digest."""

from collections.abc import Callable
from dataclasses import dataclass

from analysis.code import code_digest
from analysis.lifetime import fleet, gp, regression, weibull
from analysis.lifetime.document import fleet_code
from analysis.lifetime.history import History
from analysis.lifetime.statement import gp_code
from analysis.result import NotAssessable
from analysis.soh import model as soh_model
from analysis.soh import polarisation
from analysis.soh.algorithms import GPR, OHMIC, POLARISATION, TREE_ENSEMBLE, ZARC

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


def _lifetime(name: str) -> str:
    return code_digest(*(f"analysis.lifetime:{file}.py" for file in ("history", "predictive", name)))


def _soh(*files: str) -> str:
    return code_digest(*(f"analysis.soh:{file}.py" for file in ("spectrum", "samples", *files)))


METHODS: tuple[Method, ...] = (
    Method(gp.METHOD, gp.VERSION, "prediction", gp_code(), gp.forecast, gp.RELATIVE_TOLERANCE),
    Method(fleet.METHOD, fleet.VERSION, "prediction", fleet_code()),
    Method(weibull.METHOD, weibull.VERSION, "prediction", _lifetime("weibull")),
    *(
        Method(name, regression.VERSION, "prediction", _lifetime("regression"))
        for name in (
            "gp-default",
            "gp-ml-rbf",
            "gp-ml-matern32",
            "gp-ml-rbf-line",
            "gp-ml-matern32-line",
            "gp-bayes",
        )
    ),
    Method(
        polarisation.METHOD,
        polarisation.VERSION,
        "diagnosis",
        code_digest(
            "analysis.soh:spectrum.py", "analysis.soh:polarisation.py", "analysis.soh:models/warwick-5ah.toml"
        ),
    ),
    Method(
        soh_model.METHOD,
        soh_model.VERSION,
        "diagnosis",
        _soh("model", "likeness", "algorithms", "polarisation", "zarc", "gpr", "forest"),
    ),
    *(
        Method(each.name, each.version, "diagnosis", _soh("algorithms", *files))
        for each, files in (
            (OHMIC, ()),
            (POLARISATION, ("polarisation",)),
            (ZARC, ("zarc",)),
            (GPR, ("gpr",)),
            (TREE_ENSEMBLE, ("forest",)),
        )
    ),
)


def method(name: str, version: str) -> Method | None:
    """Return the method of this name and version, if there is one."""
    return next((m for m in METHODS if (m.name, m.version) == (name, version)), None)
