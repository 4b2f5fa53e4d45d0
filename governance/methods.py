"""The methods the framework prescribes: name and version give the code, the code its digest."""

from dataclasses import dataclass

from analysis import electrical
from analysis.code import code_digest
from analysis.lifetime.forecasts import FORECASTERS
from analysis.lifetime.history import VERSION
from analysis.soh import model as soh_model
from analysis.soh import polarisation
from analysis.soh.algorithms import GPR, OHMIC, POLARISATION, TREE_ENSEMBLE, ZARC
from governance.tools import present_digest


@dataclass(frozen=True, slots=True)
class Method:
    """A prescribed method; one for prediction can be run again by an auditor."""

    name: str
    version: str
    purpose: str
    code_digest: str


def _soh(*files: str) -> str:
    return code_digest(*(f"analysis.soh:{file}.py" for file in ("spectrum", "samples", *files)))


METHODS: tuple[Method, ...] = (
    *(Method(name, VERSION, "prediction", present_digest()) for name in FORECASTERS),
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
    *(
        Method(name, electrical.VERSION, "diagnosis", code_digest("analysis:electrical.py"))
        for name in (
            electrical.CAPACITY,
            electrical.OCV_REST,
            electrical.DC_RESISTANCE,
            electrical.SELF_DISCHARGE,
        )
    ),
)


def method(name: str, version: str) -> Method | None:
    """Return the method of this name and version, if there is one."""
    return next((m for m in METHODS if (m.name, m.version) == (name, version)), None)
