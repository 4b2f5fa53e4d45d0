"""Due diligence: that the risks of a battery's raw materials were looked into."""

from datetime import date
from typing import Annotated

from pydantic import Field

from schemas.claim import Claim, Evidence, ItemCode, Means, Remarks, Standard


class DueDiligence(Claim, ja="品目の原材料について、人権・環境のリスクを調べたこと。"):
    """The social and environmental risks of an item's raw materials were looked into."""

    item: ItemCode
    standard: Standard
    materials: Annotated[
        tuple[str, ...], Means("The raw materials that were looked into.", "調べた原材料。")
    ] = Field(min_length=1, max_length=40, title="Raw materials")
    reported_on: Annotated[date, Means("The day of the report.", "報告の日。")] = Field(title="Reported on")
    verifier: Annotated[str, Means("Who checked the report, if anyone.", "報告を検証した機関。")] = Field(
        default="", max_length=200, title="Verified by"
    )
    remarks: Remarks = ""
    evidence_digests: Evidence = ()
