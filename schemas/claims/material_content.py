"""Material content: what a battery is worth to whoever recovers its materials."""

from datetime import date
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from schemas.claim import Claim, Evidence, ItemCode, Means


class MaterialContent(Claim, ja="品目に含まれる有価・重要な素材の量と、残存価値。"):
    """The critical and valuable materials in an item, and its residual value."""

    item: ItemCode
    cobalt_kg: Annotated[Decimal | None, Means("The cobalt in it.", "含まれるコバルト。")] = Field(
        default=None, ge=0, title="Cobalt (kg)"
    )
    nickel_kg: Annotated[Decimal | None, Means("The nickel in it.", "含まれるニッケル。")] = Field(
        default=None, ge=0, title="Nickel (kg)"
    )
    lithium_kg: Annotated[Decimal | None, Means("The lithium in it.", "含まれるリチウム。")] = Field(
        default=None, ge=0, title="Lithium (kg)"
    )
    manganese_kg: Annotated[Decimal | None, Means("The manganese in it.", "含まれるマンガン。")] = Field(
        default=None, ge=0, title="Manganese (kg)"
    )
    graphite_kg: Annotated[Decimal | None, Means("The graphite in it.", "含まれる黒鉛。")] = Field(
        default=None, ge=0, title="Graphite (kg)"
    )
    copper_kg: Annotated[Decimal | None, Means("The copper in it.", "含まれる銅。")] = Field(
        default=None, ge=0, title="Copper (kg)"
    )
    critical_materials: Annotated[
        tuple[str, ...],
        Means("The critical raw materials in it, by name.", "含まれる重要な原材料の名称。"),
    ] = Field(default=(), max_length=40, title="Critical raw materials")
    recycled_pct: Annotated[
        Decimal | None, Means("The share of recycled material by mass.", "再生材の質量割合。")
    ] = Field(default=None, ge=0, le=100, title="Recycled content (%)")
    content_source: Annotated[
        str,
        Means(
            "Where the content is known from: an analysis, the maker, the model.",
            "含有量の根拠。分析、製造者の値、型式からの推定など。",
        ),
    ] = Field(min_length=1, max_length=200, title="Source of the content")
    residual_value_jpy: Annotated[
        int | None, Means("What it is worth in the market.", "市場での残存価値。")
    ] = Field(default=None, title="Residual value (yen)")
    valued_on: Annotated[date | None, Means("The day of the valuation.", "価値を見積もった日。")] = Field(
        default=None, title="Valued on"
    )
    evidence_digests: Evidence = ()
