"""Prediction: how a battery is expected to age."""

from typing import Annotated

from pydantic import Field

from schemas.claim import Claim, Means, Subject


class Prediction(
    Claim, ja="指定された方法による将来の見込み。対象は、ソルトを加えたダイジェストだけで示す。"
):
    """A forecast by a prescribed method about a subject known only by a salted digest."""

    subject: Subject
    statement: Annotated[
        dict[str, object],
        Means(
            "The distribution, with the method, its version and the digest of its inputs.",
            "予測の分布。方法とその版、入力のダイジェストを伴う。",
        ),
    ] = Field(title="Statement")
