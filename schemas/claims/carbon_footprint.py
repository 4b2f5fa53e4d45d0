"""Carbon footprint: the greenhouse gases of an item, with how they were counted."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.claim import Claim, Emissions, Evidence, InputsDigest, ItemCode, Means, Method, MethodVersion

Boundary = Literal["transport", "handling", "gate-to-gate", "cradle-to-gate", "cradle-to-grave"]


class Stage(BaseModel):
    """One stage's part in a footprint."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)
    stage: Annotated[
        str, Means("A stage of the life cycle, such as transport.", "ライフサイクルの段階。輸送など。")
    ] = Field(min_length=1, max_length=80, title="Stage")
    emissions_kg: Emissions
    activity: Annotated[
        str, Means("What was used or done, as a figure with its unit.", "使用量や活動量。数値と単位で示す。")
    ] = Field(default="", max_length=200, title="Activity data")
    factor: Annotated[
        str,
        Means("The emission factor with its unit, source and year.", "排出係数。単位、出典、年を伴う。"),
    ] = Field(default="", max_length=400, title="Emission factor")


class CarbonFootprint(Claim, ja="品目の温室効果ガス。範囲、活動量、係数、方法とともに示す。"):
    """The greenhouse gases of an item, with boundary, activity data, factors and method."""

    item: ItemCode
    boundary: Annotated[
        Boundary, Means("Which part of the life cycle is counted.", "ライフサイクルのどの部分を数えるか。")
    ] = Field(title="Boundary")
    period_from: Annotated[date, Means("The first day counted.", "対象期間の初日。")] = Field(
        title="Period from"
    )
    period_until: Annotated[date, Means("The last day counted.", "対象期間の末日。")] = Field(
        title="Period until"
    )
    emissions_kg: Emissions
    lower_kg: Annotated[
        Decimal | None, Means("The lower end of the interval of the emissions.", "排出量の区間の下端。")
    ] = Field(default=None, title="Emissions at least (kg CO₂e)")
    upper_kg: Annotated[
        Decimal | None, Means("The upper end of the interval of the emissions.", "排出量の区間の上端。")
    ] = Field(default=None, title="Emissions at most (kg CO₂e)")
    emissions_g_per_kwh: Annotated[
        Decimal | None,
        Means(
            "The emissions for each kilowatt-hour that the item stores or gives over its life.",
            "品目が蓄える、または生涯に出す1キロワット時あたりの排出量。",
        ),
    ] = Field(default=None, title="Emissions per energy (g/kWh)")
    functional_unit: Annotated[
        str, Means("What one kilowatt-hour is counted of.", "1キロワット時が何を指すか。")
    ] = Field(default="", max_length=200, title="Functional unit")
    stages: Annotated[
        tuple[Stage, ...],
        Means("What each stage adds; together the whole.", "段階ごとの内訳。合計が全体となる。"),
    ] = Field(default=(), max_length=100, title="Stages")
    allocation: Annotated[str, Means("How what is shared was divided.", "共通の排出をどう配分したか。")] = (
        Field(default="", max_length=400, title="Allocation")
    )
    avoided_kg: Annotated[
        Decimal | None,
        Means(
            "Emissions that others are spared by the reuse; never netted into the footprint.",
            "再利用により他で避けられた排出。フットプリントからは差し引かない。",
        ),
    ] = Field(default=None, title="Avoided emissions (kg CO₂e)")
    data_quality: Annotated[
        Literal["measured", "simplified", "mixed"],
        Means("Whether the activity data were measured.", "活動量が実測か、簡易な推定か。"),
    ] = Field(title="Data quality")
    method: Method
    method_version: MethodVersion
    inputs_digest: InputsDigest
    evidence_digests: Evidence = ()
