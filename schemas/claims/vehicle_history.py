"""Vehicle history: what became of a battery in its first life."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from schemas.claim import Claim, Findings, ItemCode, Means
from schemas.items import Code

Origin = Literal["end-of-life", "accident", "warranty", "production-scrap", "other"]
Abnormality = Literal[
    "overcharge", "deep-discharge", "over-temperature", "over-current", "insulation-fault", "impact", "flood"
]


class VehicleHistory(Claim, ja="解体業者が見た電池パックの一次利用。車台番号はダイジェストだけを示す。"):
    """The first life of a pack, as its dismantler saw it; the chassis number only as a digest."""

    item: ItemCode
    vehicle: Annotated[
        Code, Means("The code of the vehicle the battery served in.", "電池が載っていた車両のコード。")
    ] = Field(title="Vehicle code")
    vehicle_model: Annotated[str, Means("The model of the vehicle.", "車両の型式。")] = Field(
        title="Vehicle model"
    )
    pack_model: Annotated[str, Means("The model of the pack.", "パックの型式。")] = Field(title="Pack model")
    chassis_digest: Annotated[
        str,
        Means(
            "A digest of the chassis number, by which those who know it find this record.",
            "車台番号のダイジェスト。番号を知る人だけが照合できる。",
        ),
    ] = Field(title="Chassis digest")
    first_registration: Annotated[
        str,
        Means(
            "The year and month in which the vehicle was first registered.", "車両が最初に登録された年月。"
        ),
    ] = Field(title="First registration (year-month)")
    odometer_km: Annotated[int, Means("How far the vehicle had gone.", "車両の走行距離。")] = Field(
        title="Odometer (km)"
    )
    capacity_low_pct: Annotated[
        Decimal,
        Means(
            "The least share of the rated capacity that the vehicle's display allows.",
            "車両の表示から読める、定格容量に対する割合の下限。",
        ),
    ] = Field(title="Capacity at least (%)")
    capacity_high_pct: Annotated[
        Decimal,
        Means(
            "The greatest share of the rated capacity that the vehicle's display allows.",
            "車両の表示から読める、定格容量に対する割合の上限。",
        ),
    ] = Field(title="Capacity at most (%)")
    capacity_source: Annotated[
        str, Means("Which display the capacity was read from.", "容量を読み取った表示。")
    ] = Field(title="Where the capacity was read")
    findings: Findings = ()
    origin: Annotated[
        Origin | None,
        Means("Why the battery came to be had.", "電池が手に入った経緯。使用済み、事故、保証交換など。"),
    ] = Field(default=None, title="Origin")
    first_life_ended: Annotated[
        date | None, Means("The day the battery's first life ended.", "一次利用が終わった日。")
    ] = Field(default=None, title="End of first life")
    end_reason: Annotated[str, Means("Why its first life ended.", "一次利用が終わった理由。")] = Field(
        default="", max_length=400, title="Reason for the end of first life"
    )
    region: Annotated[str, Means("Where the vehicle was mostly used.", "車両が主に使われた地域。")] = Field(
        default="", max_length=80, title="Region of use"
    )
    charge_count: Annotated[int | None, Means("How often it was charged.", "充電した回数。")] = Field(
        default=None, ge=0, title="Charges"
    )
    fast_charge_count: Annotated[
        int | None, Means("How often it was charged fast.", "急速充電した回数。")
    ] = Field(default=None, ge=0, title="Fast charges")
    cycle_count: Annotated[
        int | None,
        Means("How many full cycles its first life amounts to.", "一次利用の、満充放電に換算した回数。"),
    ] = Field(default=None, ge=0, title="Cycles in first life")
    abnormalities: Annotated[
        tuple[Abnormality, ...],
        Means(
            "What happened to it that must not happen.", "異常な使用や事象の記録。過充電、過放電、高温など。"
        ),
    ] = Field(default=(), max_length=20, title="Abnormal events")
    fault_codes: Annotated[
        tuple[str, ...],
        Means("The fault codes that its management system held.", "電池管理システムに残る故障コード。"),
    ] = Field(default=(), max_length=100, title="Fault codes")
    repairs: Annotated[
        tuple[str, ...], Means("What was mended or replaced, and when.", "修理・交換の内容と時期。")
    ] = Field(default=(), max_length=100, title="Repairs")
    previous_uses: Annotated[
        tuple[str, ...],
        Means("What else it was used for before.", "これまでの二次利用などの用途。"),
    ] = Field(default=(), max_length=20, title="Previous reuse")
