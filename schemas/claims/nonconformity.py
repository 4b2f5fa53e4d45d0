"""Nonconformity: what was not as it should be, and what was done about it."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from schemas.claim import Claim, Evidence, Findings, ItemCode, Means

Disposition = Literal["undecided", "rework", "use-as-is", "return", "recycling", "disposal"]


class Nonconformity(Claim, ja="品目が要求を満たさない。何が、どの工程で見つかり、どう処置されたか。"):
    """An item fails a requirement: what was found, at which step, and what was done with it."""

    item: ItemCode
    found_at: Annotated[AwareDatetime, Means("When it was found.", "見つけた時刻。")] = Field(
        title="Found at"
    )
    found_in: Annotated[str, Means("The step of the process at which it was found.", "見つけた工程。")] = (
        Field(min_length=1, max_length=80, title="Found in")
    )
    requirement: Annotated[str, Means("The requirement that is not met.", "満たされていない要求。")] = Field(
        default="", max_length=400, title="Requirement"
    )
    defect: Annotated[str, Means("What is wrong with the item.", "品目の何が悪いか。")] = Field(
        min_length=1, max_length=1000, title="What is wrong"
    )
    findings: Findings = ()
    separated_at: Annotated[
        AwareDatetime | None,
        Means("When it was set apart from items in order.", "良品から隔離した時刻。"),
    ] = Field(default=None, title="Separated at")
    disposition: Annotated[
        Disposition, Means("What was decided to become of it.", "その品目をどうするかの決定。")
    ] = Field(default="undecided", title="Disposition")
    disposal: Annotated[str, Means("What was done with it, in words.", "実際に行った処置。")] = Field(
        default="", max_length=400, title="What was done with it"
    )
    evidence_digests: Evidence = ()
