"""Model of states of health: what a company vouches for when it trains one."""

from typing import Annotated

from pydantic import Field

from schemas.claim import CellModel, Claim, Means, Method, MethodVersion, ModelDigest, ModelSource


class SohModel(Claim, ja="健全度モデルの学習に使ったもの、精度、限界を、発行者が保証する。"):
    """The issuer vouches for a model of states of health: its training, how good it is, its limits."""

    cell_model: CellModel
    method: Method
    method_version: MethodVersion
    model_digest: ModelDigest
    training_digest: Annotated[
        str, Means("The digest of the data it was trained on.", "学習に使ったデータのダイジェスト。")
    ] = Field(title="Digest of the training data")
    model_source: ModelSource = ""
    suits: Annotated[str, Means("What it is for, in words.", "何のためのモデルか。")] = Field(title="Purpose")
    training: Annotated[
        str, Means("How many cells it was trained on, and which.", "学習に使ったセルの数と範囲。")
    ] = Field(title="Training")
    quality: Annotated[
        tuple[str, ...],
        Means(
            "How well it does on cells it has not seen, condition by condition.",
            "学習に使わなかったセルでの精度。条件ごとに示す。",
        ),
    ] = Field(max_length=200, title="How good it is")
    limits: Annotated[str, Means("What it cannot do, in words.", "できないこと。")] = Field(
        title="What it cannot do"
    )
