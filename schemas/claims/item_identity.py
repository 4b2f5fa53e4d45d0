"""Item identity: what a code stands for."""

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from schemas.claim import MOST_PARTS, Claim, ItemCode, ItemKind, Means
from schemas.items import Code


class ItemIdentity(Claim, ja="コードが品目を名指す。発行者がその品目を登録した。"):
    """A code names an item; the issuer registered it."""

    item: ItemCode
    kind: ItemKind
    part_of: Annotated[Code | None, Means("The item that it came out of.", "取り出される前の品目。")] = Field(
        default=None, title="Part of"
    )
    made_of: Annotated[
        tuple[Code, ...], Means("The items that it is put together from.", "構成する品目。")
    ] = Field(default=(), max_length=MOST_PARTS, title="Made of")
    position: Annotated[str, Means("Where it sat in what it came out of.", "元の品目の中での位置。")] = Field(
        default="", title="Position"
    )
    model: Annotated[str, Means("The maker's name for its model.", "製造者による型式。")] = Field(
        default="", title="Model"
    )
    chemistry: Annotated[
        str, Means("The chemistry of the cells, such as NMC or LFP.", "電池の化学系。NMC、LFPなど。")
    ] = Field(default="", title="Chemistry")
    mass_kg: Annotated[Decimal | None, Means("Its mass.", "質量。")] = Field(default=None, title="Mass (kg)")
