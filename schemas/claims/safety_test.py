"""Safety test: a test by a standard, and how it went."""

from datetime import date
from typing import Annotated

from pydantic import Field

from schemas.claim import Claim, Evidence, ItemCode, Means, Remarks, Standard


class SafetyTest(Claim, ja="品目またはその型式が、規格による安全試験を受けた。その結果。"):
    """An item, or its model, was put to a safety test by a standard, with this outcome."""

    item: ItemCode
    standard: Standard
    tested_model: Annotated[
        str,
        Means(
            "The model that was tested, where not this very item was.",
            "この品目そのものでない場合の、試験した型式。",
        ),
    ] = Field(default="", max_length=120, title="Model tested")
    passed: Annotated[bool, Means("Whether the test was passed.", "合格したかどうか。")] = Field(
        title="Passed"
    )
    tested_on: Annotated[date, Means("The day the test ended.", "試験が終わった日。")] = Field(
        title="Tested on"
    )
    laboratory: Annotated[str, Means("Who tested.", "試験した機関。")] = Field(
        min_length=1, max_length=200, title="Laboratory"
    )
    remarks: Remarks = ""
    evidence_digests: Evidence = ()
