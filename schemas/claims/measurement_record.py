"""Measurement record: an impedance spectrum as the station kept it, for others to assess."""

from typing import Annotated

from pydantic import AwareDatetime, Field

from schemas.claim import CellModel, Claim, ItemCode, Means
from schemas.claims.diagnosis_result import MEASURED_AT, MEASUREMENT, TRANSCRIPT


class MeasurementRecord(Claim, ja="保存した測定の記録。測った人の名前は含まない。"):
    """The issuer's station measured this, unchanged but for the name of who measured."""

    item: ItemCode
    cell_model: CellModel
    measured_at: Annotated[AwareDatetime, MEASURED_AT] = Field(title="Measured at")
    measurement_digest: Annotated[str, MEASUREMENT] = Field(title="Measurement digest")
    transcript_digest: Annotated[str, TRANSCRIPT] = Field(title="Transcript digest")
    measurement: Annotated[
        dict[str, object],
        Means(
            "The record itself: frequencies, impedances, conditions, settings, instruments.",
            "測定の記録そのもの。周波数、インピーダンス、条件、設定、測定器。",
        ),
    ] = Field(title="Measurement")
