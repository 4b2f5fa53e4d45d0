"""Hand-over receipt: from whom to whom an item went."""

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from schemas.claim import Claim, Findings, ItemCode, Means


class HandOverReceipt(Claim, ja="パックが一社から別の会社へ渡った。双方が発行し、後の一方が先の一方を指す。"):
    """A pack went from one company to another; both sides issue one, the second naming the first."""

    item: ItemCode
    from_did: Annotated[str, Means("The company that hands over.", "引き渡す会社。")] = Field(
        title="DID of the company that hands over"
    )
    to_did: Annotated[str, Means("The company that receives.", "受け取る会社。")] = Field(
        title="DID of the company that receives"
    )
    truck: Annotated[str, Means("The truck that carried it.", "運んだトラック。")] = Field(title="Truck")
    distance_km: Annotated[Decimal, Means("How far it was carried.", "運んだ距離。")] = Field(
        title="Distance (km)"
    )
    load_share: Annotated[
        Decimal,
        Means(
            "The part of the truck's load that was ours, from 0 to 1.", "積載のうち自社の荷の割合。0から1。"
        ),
    ] = Field(title="Our share of the load (0 to 1)")
    fuel_economy_km_per_l: Annotated[
        Decimal, Means("How far the truck goes on a litre of fuel.", "燃料1リットルで走る距離。")
    ] = Field(title="Fuel economy (km/L)")
    findings: Findings = ()
    confirms_digest: Annotated[
        str | None,
        Means(
            "The digest of the other side's receipt that this one confirms.",
            "この受領書が確認する、相手方の受領書のダイジェスト。",
        ),
    ] = Field(default=None, title="Confirms digest")
