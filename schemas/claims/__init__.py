"""What can be stated in a credential: one file a claim type, found here by itself.

A claim is the credential's subject without its `id`; `item` or `did` says whom or what it is about.
Figures that come from an estimate carry value, interval, method, version and inputs' digest.
"""

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

from schemas.claim import CONTEXT, Claim
from schemas.claims.accreditation import Accreditation
from schemas.claims.audit_certificate import AuditCertificate
from schemas.claims.check_ups import CheckUp, CheckUps
from schemas.claims.diagnosis_result import AlgorithmResult, DiagnosisResult, Gate, StatedFigure
from schemas.claims.governance_framework import GovernanceFramework
from schemas.claims.hand_over_receipt import HandOverReceipt
from schemas.claims.handling_record import HandlingRecord
from schemas.claims.introduction import Introduction
from schemas.claims.item_identity import ItemIdentity
from schemas.claims.measurement_record import MeasurementRecord
from schemas.claims.membership_register import Member, MembershipRegister
from schemas.claims.prediction import Prediction
from schemas.claims.sampling_certificate import SamplingCertificate
from schemas.claims.soh_model import SohModel
from schemas.claims.vehicle_history import VehicleHistory

# Those that the house itself speaks of by name; all others need no mention here.
__all__ = [
    "CLAIMS",
    "CONTEXT",
    "Accreditation",
    "AlgorithmResult",
    "AuditCertificate",
    "CheckUp",
    "CheckUps",
    "Claim",
    "DiagnosisResult",
    "Gate",
    "GovernanceFramework",
    "HandOverReceipt",
    "HandlingRecord",
    "Introduction",
    "ItemIdentity",
    "MeasurementRecord",
    "Member",
    "MembershipRegister",
    "Prediction",
    "SamplingCertificate",
    "SohModel",
    "StatedFigure",
    "VehicleHistory",
]


def _found() -> Iterator[type[Claim]]:
    for module in sorted(iter_modules(__path__), key=lambda module: module.name):
        for value in vars(import_module(f"{__name__}.{module.name}")).values():
            if (
                isinstance(value, type)
                and issubclass(value, Claim)
                and value.__module__.endswith(module.name)
            ):
                yield value


CLAIMS: dict[str, type[Claim]] = {claim.__name__: claim for claim in _found() if claim is not Claim}
