"""Handling record: the life of an item at one company."""

from typing import Annotated

from pydantic import Field

from schemas.claim import Claim, ItemCode, Means
from schemas.events import Event


class HandlingRecord(Claim, ja="発行者がその品目について行ったこと。事象を順に並べる。"):
    """What the issuer did with an item: its events, in order."""

    item: ItemCode
    events: Annotated[
        tuple[Event, ...],
        Means("What happened, the first event first.", "起きたこと。古いものから順に並べる。"),
    ] = Field(title="Events")
