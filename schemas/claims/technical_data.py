"""Technical data: what a battery was made to be."""

from datetime import date
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from schemas.claim import Claim, ItemCode, Means


class TechnicalData(Claim, ja="電池の定格と限界。製造者の値、またはそれに代わって表明された値。"):
    """A battery's ratings and limits, as its maker gave them or as they are stated in the maker's stead."""

    item: ItemCode
    manufacturer: Annotated[str, Means("Who made it.", "製造者。")] = Field(
        default="", max_length=120, title="Manufacturer"
    )
    made_on: Annotated[date | None, Means("When it was made.", "製造日。")] = Field(
        default=None, title="Made on"
    )
    rated_capacity_ah: Annotated[Decimal | None, Means("The capacity it was rated for.", "定格容量。")] = (
        Field(default=None, gt=0, title="Rated capacity (Ah)")
    )
    rated_energy_kwh: Annotated[Decimal | None, Means("The energy it was rated for.", "定格電力量。")] = (
        Field(default=None, gt=0, title="Rated energy (kWh)")
    )
    nominal_voltage_v: Annotated[Decimal | None, Means("Its nominal voltage.", "公称電圧。")] = Field(
        default=None, title="Nominal voltage (V)"
    )
    lower_voltage_v: Annotated[
        Decimal | None, Means("The voltage it must not fall below.", "下回ってはならない電圧。")
    ] = Field(default=None, title="Lower voltage limit (V)")
    upper_voltage_v: Annotated[
        Decimal | None, Means("The voltage it must not rise above.", "超えてはならない電圧。")
    ] = Field(default=None, title="Upper voltage limit (V)")
    rated_power_w: Annotated[Decimal | None, Means("The power it was rated for.", "定格出力。")] = Field(
        default=None, title="Rated power (W)"
    )
    rated_resistance_ohm: Annotated[Decimal | None, Means("Its resistance when new.", "新品時の抵抗。")] = (
        Field(default=None, title="Resistance when new (Ω)")
    )
    rated_efficiency_pct: Annotated[
        Decimal | None,
        Means(
            "The energy it gave back when new, of what it took in.",
            "新品時の、充電に対する放電の電力量の割合。",
        ),
    ] = Field(default=None, title="Energy efficiency when new (%)")
    cycle_life_count: Annotated[
        int | None, Means("The cycles it was made for.", "想定された寿命サイクル数。")
    ] = Field(default=None, ge=0, title="Cycle life")
    cycle_life_test: Annotated[
        str, Means("The test that the cycle life refers to.", "寿命サイクル数の基準となる試験。")
    ] = Field(default="", max_length=200, title="Cycle life test")
    current_rate_per_h: Annotated[
        Decimal | None,
        Means(
            "The current of that test over the rated capacity (C-rate).",
            "その試験の電流の、定格容量に対する比（Cレート）。",
        ),
    ] = Field(default=None, title="C-rate (1/h)")
    exhaustion_pct: Annotated[
        Decimal | None,
        Means(
            "The share of the rated capacity at which it counts as exhausted.",
            "寿命とみなす、定格容量に対する割合。",
        ),
    ] = Field(default=None, title="Capacity threshold for exhaustion (%)")
    coldest_c: Annotated[
        Decimal | None, Means("The lowest temperature it may be used at.", "使用できる最低温度。")
    ] = Field(default=None, title="Lowest temperature of use (°C)")
    hottest_c: Annotated[
        Decimal | None, Means("The highest temperature it may be used at.", "使用できる最高温度。")
    ] = Field(default=None, title="Highest temperature of use (°C)")
    connector: Annotated[str, Means("How it is connected.", "接続の方式。コネクタの型など。")] = Field(
        default="", max_length=200, title="Connector"
    )
    allowed_spread_pct: Annotated[
        Decimal | None,
        Means(
            "How far the states of health of parts packed together may lie apart.",
            "組み合わせる部品の健全度の、許される差。",
        ),
    ] = Field(default=None, title="Allowed spread of health (%)")
