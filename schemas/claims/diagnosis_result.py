"""Diagnosis result: what a measurement says of a battery's health."""

from decimal import Decimal
from typing import Annotated

from pydantic import AwareDatetime, Field

from schemas.claim import Claim, InputsDigest, ItemCode, Means, Method, MethodVersion


class DiagnosisResult(Claim, ja="定めた方法によるセルやモジュールの健全度、または判定できない理由。"):
    """A cell's or module's state of health by a named method, or why it cannot be told."""

    item: ItemCode
    measured_at: Annotated[AwareDatetime, Means("When it was measured.", "測定した時刻。")] = Field(
        title="Measured at"
    )
    soh_pct: Annotated[
        Decimal | None,
        Means("The remaining capacity as a share of the rated capacity.", "定格容量に対する残存容量の割合。"),
    ] = Field(default=None, title="State of health (%)")
    lower_pct: Annotated[
        Decimal | None, Means("The lower end of the interval of the state of health.", "健全度の区間の下端。")
    ] = Field(default=None, title="State of health at least (%)")
    upper_pct: Annotated[
        Decimal | None, Means("The upper end of the interval of the state of health.", "健全度の区間の上端。")
    ] = Field(default=None, title="State of health at most (%)")
    coverage: Annotated[
        Decimal | None,
        Means(
            "How often the true value lies in such an interval, from 0 to 1.",
            "真の値がこのような区間に入る割合。0から1。",
        ),
    ] = Field(default=None, title="Coverage")
    not_assessable: Annotated[
        str, Means("Why the method gives no figure, if it gives none.", "方法が値を出さないときの理由。")
    ] = Field(default="", title="Not assessable")
    method: Method
    method_version: MethodVersion
    inputs_digest: InputsDigest
    measurement_digest: Annotated[
        str, Means("The digest of the measurement it rests on.", "もとになった測定のダイジェスト。")
    ] = Field(title="Measurement digest")
    ohmic_resistance_ohm: Annotated[
        Decimal, Means("The resistance of what merely conducts.", "導通部分だけの抵抗。")
    ] = Field(title="Ohmic resistance (Ω)")
    ocv_v: Annotated[Decimal, Means("The voltage at rest.", "休止時の電圧。")] = Field(
        title="Open-circuit voltage (V)"
    )
    temperature_c: Annotated[Decimal, Means("The temperature during the measurement.", "測定中の温度。")] = (
        Field(title="Temperature (°C)")
    )
    soc_pct: Annotated[
        Decimal | None, Means("The state of charge during the measurement.", "測定中の充電率。")
    ] = Field(default=None, title="State of charge (%)")
    instruments: Annotated[
        tuple[str, ...],
        Means("The instruments, by maker, model, serial number.", "測定器。製造者、型式、製造番号。"),
    ] = Field(title="Instruments")
    capacity_ah: Annotated[Decimal | None, Means("The capacity that was measured.", "実測した容量。")] = (
        Field(default=None, title="Capacity (Ah)")
    )
    capacity_fade_pct: Annotated[
        Decimal | None, Means("The share of the rated capacity that is lost.", "定格容量のうち失われた割合。")
    ] = Field(default=None, title="Capacity loss (%)")
    dc_resistance_ohm: Annotated[
        Decimal | None, Means("The resistance to a pulse of direct current.", "直流パルスに対する抵抗。")
    ] = Field(default=None, title="DC resistance (Ω)")
    resistance_rise_pct: Annotated[
        Decimal | None,
        Means("How much the resistance has grown since new.", "新品からの抵抗の増加。"),
    ] = Field(default=None, title="Resistance rise (%)")
    power_w: Annotated[Decimal | None, Means("The power it can still give.", "まだ出せる出力。")] = Field(
        default=None, title="Power (W)"
    )
    power_fade_pct: Annotated[
        Decimal | None, Means("The share of the rated power that is lost.", "定格出力のうち失われた割合。")
    ] = Field(default=None, title="Power loss (%)")
    self_discharge_pct_per_month: Annotated[
        Decimal | None, Means("The charge lost at rest.", "休止中に失われる充電量。")
    ] = Field(default=None, title="Self-discharge (%/month)")
    efficiency_pct: Annotated[
        Decimal | None,
        Means(
            "The energy given back, as a share of the energy taken in.",
            "充電した電力量に対する、取り出せる電力量の割合。",
        ),
    ] = Field(default=None, title="Energy efficiency (%)")
    spread_pct: Annotated[
        Decimal | None,
        Means(
            "The difference in state of health between its best and its worst part.",
            "構成部品のうち最良と最悪の健全度の差。",
        ),
    ] = Field(default=None, title="Spread of its parts (%)")
