"""Dismantling guide: how to take a battery apart safely; for those who do it."""

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from schemas.claim import Claim, Evidence, ItemCode, Means


class DismantlingGuide(Claim, ja="電池を安全に取り外し、分解する方法。権限のある者だけに示す。"):
    """How to remove a battery and take it apart safely; for authorised parties only."""

    item: ItemCode
    steps: Annotated[tuple[str, ...], Means("What to do, in order.", "手順。行う順に並べる。")] = Field(
        min_length=1, max_length=200, title="Steps"
    )
    tools: Annotated[tuple[str, ...], Means("What is needed to do it.", "必要な工具と保護具。")] = Field(
        default=(), max_length=60, title="Tools"
    )
    hazards: Annotated[tuple[str, ...], Means("What to beware of.", "注意すべき危険。")] = Field(
        default=(), max_length=60, title="Hazards"
    )
    discharge_to_v: Annotated[
        Decimal | None,
        Means("The voltage to discharge to before it is opened.", "開ける前に放電しておく電圧。"),
    ] = Field(default=None, title="Discharge to (V)")
    evidence_digests: Evidence = ()
