"""Diagnosis result: what a measurement says of a battery's health."""

from decimal import Decimal
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from schemas.claim import (
    Claim,
    CodeDigest,
    InputsDigest,
    ItemCode,
    Means,
    Method,
    MethodVersion,
    ModelDigest,
    ModelSource,
)

SOH = Means("The remaining capacity as a share of the rated capacity.", "定格容量に対する残存容量の割合。")
LOWER = Means("The lower end of the interval of the state of health.", "健全度の区間の下端。")
UPPER = Means("The upper end of the interval of the state of health.", "健全度の区間の上端。")


MEASURED_AT = Means("When it was measured.", "測定した時刻。")
MEASUREMENT = Means("The digest of the measurement it rests on.", "もとになった測定のダイジェスト。")
TRANSCRIPT = Means(
    "The digest of all that was exchanged with the instruments.", "測定器との通信記録のダイジェスト。"
)


class Gate(BaseModel):
    """One gate that a measurement was put to."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)
    gate: Annotated[
        str, Means("What was looked at before a figure was given.", "値を出す前に確かめたこと。")
    ] = Field(max_length=60, title="Gate")
    figure: Annotated[str, Means("What was found there, with its unit.", "確かめて得た値と単位。")] = Field(
        default="", max_length=60, title="Figure"
    )
    limit: Annotated[str, Means("What is allowed there, with its unit.", "許される限度と単位。")] = Field(
        default="", max_length=60, title="Limit"
    )
    is_open: Annotated[bool, Means("Whether it let the measurement through.", "測定を通したかどうか。")] = (
        Field(title="Passed")
    )


class AlgorithmResult(BaseModel):
    """What one algorithm says of a measurement."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)
    algorithm: Annotated[str, Means("The name of the algorithm.", "アルゴリズムの名称。")] = Field(
        max_length=60, title="Algorithm"
    )
    algorithm_version: Annotated[str, Means("The version of the algorithm.", "アルゴリズムの版。")] = Field(
        max_length=20, title="Version of the algorithm"
    )
    soh_pct: Annotated[Decimal, SOH] = Field(title="State of health (%)")
    lower_pct: Annotated[Decimal | None, LOWER] = Field(default=None, title="State of health at least (%)")
    upper_pct: Annotated[Decimal | None, UPPER] = Field(default=None, title="State of health at most (%)")
    voice_pct: Annotated[
        Decimal, Means("Its voice in what is concluded from them all.", "全体の結論での重みの割合。")
    ] = Field(title="Voice (%)")


class StatedFigure(BaseModel):
    """One figure of a test with its interval and formula, or the quantity alone where none can be told."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)
    quantity: Annotated[
        str, Means("The quantity, by its name in this statement.", "量。この証明書での名称。")
    ] = Field(max_length=60, title="Quantity")
    value: Annotated[Decimal | None, Means("Its value.", "値。")] = Field(default=None, title="Value")
    lower: Annotated[Decimal | None, Means("The lower end of its interval.", "区間の下端。")] = Field(
        default=None, title="At least"
    )
    upper: Annotated[Decimal | None, Means("The upper end of its interval.", "区間の上端。")] = Field(
        default=None, title="At most"
    )
    formula: Annotated[str, Means("How it is worked out.", "求める式。")] = Field(
        default="", max_length=200, title="Formula"
    )


class DiagnosisResult(Claim, ja="定めた方法によるセルやモジュールの健全度、または判定できない理由。"):
    """A cell's or module's state of health by a named method, or why it cannot be told."""

    item: ItemCode
    measured_at: Annotated[AwareDatetime, MEASURED_AT] = Field(title="Measured at")
    soh_pct: Annotated[Decimal | None, SOH] = Field(default=None, title="State of health (%)")
    lower_pct: Annotated[Decimal | None, LOWER] = Field(default=None, title="State of health at least (%)")
    upper_pct: Annotated[Decimal | None, UPPER] = Field(default=None, title="State of health at most (%)")
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
    gate_closed: Annotated[
        str, Means("The gate that kept the method from giving a figure.", "値を出せなかった関門。")
    ] = Field(default="", max_length=60, title="Closed gate")
    method: Method
    method_version: MethodVersion
    code_digest: CodeDigest = ""
    model_digest: ModelDigest = ""
    model_signer: Annotated[str, Means("Who vouches for the model.", "モデルを保証する者。")] = Field(
        default="", title="Who signed the model"
    )
    model_source: ModelSource = ""
    inputs_digest: InputsDigest
    measurement_digest: Annotated[str, MEASUREMENT] = Field(title="Measurement digest")
    transcript_digest: Annotated[str, TRANSCRIPT] = Field(default="", title="Transcript digest")
    measured_by: Annotated[
        str, Means("The company that measured, if not the issuer.", "測定した会社。発行者と異なる場合。")
    ] = Field(default="", title="Who measured, when another company did")
    gates: Annotated[
        tuple[Gate, ...], Means("The gates that the measurement was put to.", "測定を確かめた関門。")
    ] = Field(default=(), max_length=40, title="Gates")
    algorithms: Annotated[
        tuple[AlgorithmResult, ...],
        Means("What each algorithm says by itself.", "それぞれのアルゴリズムの答え。"),
    ] = Field(default=(), max_length=40, title="What each algorithm says")
    figures: Annotated[
        tuple[StatedFigure, ...],
        Means("The figures of a test, each with its interval.", "試験で得た値と、それぞれの区間。"),
    ] = Field(default=(), max_length=20, title="Figures of the test")
    ohmic_resistance_ohm: Annotated[
        Decimal | None, Means("The resistance of what merely conducts.", "導通部分だけの抵抗。")
    ] = Field(default=None, title="Ohmic resistance (Ω)")
    ocv_v: Annotated[Decimal | None, Means("The voltage at rest.", "休止時の電圧。")] = Field(
        default=None, title="Open-circuit voltage (V)"
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

    @property
    def speaks_of_health(self) -> bool:
        """Say whether it tells a state of health, or why there is none; other tests do neither."""
        return not self.figures or any(one.quantity == "soh_pct" for one in self.figures)
