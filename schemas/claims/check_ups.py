"""Check-ups: how healthy something was found over time, under a pseudonym."""

from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from schemas.claim import MOST_PARTS, Claim, Means, Subject


class CheckUp(BaseModel):
    """How healthy it was after so many cycles."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)
    run_count: Annotated[
        Decimal, Means("After how many cycles it was checked up.", "検査した時点までのサイクル数。")
    ] = Field(title="Cycles run")
    found_soh_pct: Annotated[
        Decimal, Means("The state of health that was found.", "検査でわかった健全度。")
    ] = Field(title="State of health found (%)")
    sd_pct: Annotated[
        Decimal,
        Means("The standard deviation of that state of health.", "その健全度の標準偏差。"),
    ] = Field(title="Standard deviation (%)")
    diagnosis_digest: Annotated[
        str,
        Means(
            "A salted digest of the diagnosis it is from, or nothing.",
            "もとになった診断の、ソルトを加えたダイジェスト。なければ空。",
        ),
    ] = Field(default="", title="Diagnosis (salted digest)")


class CheckUps(
    Claim, ja="対象をソルト付きダイジェストだけで示した検査の記録。前の記録につながり、どれも外せない。"
):
    """Check-ups of a subject known only by a salted digest, added to those before; none can be left out."""

    subject: Subject
    before_count: Annotated[
        int, Means("How many check-ups of the subject came before these.", "これより前の検査の数。")
    ] = Field(ge=0, title="Check-ups before")
    previous_digest: Annotated[
        str,
        Means(
            "The digest of the check-ups before these, or nothing for the first.",
            "前の検査の記録のダイジェスト。最初なら空。",
        ),
    ] = Field(default="", title="Digest of the check-ups before")
    check_ups: Annotated[
        tuple[CheckUp, ...],
        Means("The check-ups, by cycles.", "検査の内容。サイクル順。"),
    ] = Field(min_length=1, max_length=MOST_PARTS, title="Check-ups")
