"""Storage record: where an item waited, and how it was kept."""

from decimal import Decimal
from typing import Annotated

from pydantic import AwareDatetime, Field

from schemas.claim import Claim, Evidence, Findings, ItemCode, Means


class StorageRecord(Claim, ja="品目がどこに、いつからいつまで、どの温度と充電率で保管されたか。"):
    """Where an item was kept, from when to when, how warm and how charged."""

    item: ItemCode
    place: Annotated[
        str,
        Means("The place where it was kept, as the keeper calls it.", "保管した場所。保管者の呼び方による。"),
    ] = Field(min_length=1, max_length=120, title="Place")
    stored_from: Annotated[AwareDatetime, Means("When storage began.", "保管を始めた時刻。")] = Field(
        title="Stored from"
    )
    stored_until: Annotated[
        AwareDatetime | None, Means("When storage ended, if it did.", "保管を終えた時刻。続いていればなし。")
    ] = Field(default=None, title="Stored until")
    lowest_temperature_c: Annotated[
        Decimal | None, Means("The lowest temperature of the place meanwhile.", "その間の最低温度。")
    ] = Field(default=None, title="Lowest temperature (°C)")
    highest_temperature_c: Annotated[
        Decimal | None, Means("The highest temperature of the place meanwhile.", "その間の最高温度。")
    ] = Field(default=None, title="Highest temperature (°C)")
    highest_humidity_pct: Annotated[
        Decimal | None, Means("The highest relative humidity meanwhile.", "その間の最高相対湿度。")
    ] = Field(default=None, ge=0, le=100, title="Highest humidity (%)")
    soc_before_pct: Annotated[
        Decimal | None, Means("The state of charge when storage began.", "保管を始めたときの充電率。")
    ] = Field(default=None, ge=0, le=100, title="State of charge before (%)")
    soc_after_pct: Annotated[
        Decimal | None,
        Means("The state of charge when it was last looked at.", "最後に確かめたときの充電率。"),
    ] = Field(default=None, ge=0, le=100, title="State of charge after (%)")
    findings: Findings = ()
    evidence_digests: Evidence = ()
