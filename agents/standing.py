"""Our status lists: which entry each of our credentials has, and what the published lists say of it.

Entries are drawn at random, some at a time, and noted as given out before the first is used: so a crash
loses a few and gives none twice, and neither a number nor its neighbours tell when, for whom or in which
deal a credential was issued. All credentials of a company point to the same lists. Issuing changes nothing
that is published; only marking does, and then decoys change along.
"""

import json
import secrets
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from agents.ports import Desk, Roll, Spares
from agents.role import Change, Held, Standing
from credentials import status
from credentials.form import SKEW
from credentials.integrity import seal
from credentials.keys import Signer
from credentials.status import Ledger, Purpose
from schemas.errors import Invalid, Misstep, Unavailable

WITHOUT = frozenset({"Introduction", "MembershipRegister", "GovernanceFramework", "SohModel"})
"""Types without a status: looked at once, replaced by the next version, or part of a file that is adopted."""

AT_ONCE = 64
"""How many entries are given out at a time."""

VALID = timedelta(days=7)
"""How long an edition of a list is valid."""
RENEWED = timedelta(days=1)
"""The age at which an edition is signed anew."""
REST = timedelta(minutes=5)
"""How long others may go by their copy."""

_BITS: dict[Change, tuple[Purpose, bool]] = {
    "revoked": ("revocation", True),
    "suspended": ("suspension", True),
    "reinstated": ("suspension", False),
}


def entries(desk: Desk, signer: Signer, site: str) -> list[dict[str, str]]:
    """Return the status entries of a new credential: an unused one of each list."""
    return [_entry(desk, signer, site, purpose) for purpose in status.PURPOSES]


def _entry(desk: Desk, signer: Signer, site: str, purpose: Purpose) -> dict[str, str]:
    spares = desk.spares(purpose)
    if not spares.indices or spares.issuer != signer.did:
        spares = _given_out(desk, signer, site, purpose)
    index, *rest = spares.indices
    desk.keep_spares(purpose, replace(spares, indices=tuple(rest)))
    return status.entry(spares.url, index, purpose)


def _given_out(desk: Desk, signer: Signer, site: str, purpose: Purpose) -> Spares:
    ours = [roll for roll in desk.rolls() if (roll.purpose, roll.issuer) == (purpose, signer.did)]
    roll = ours[-1] if ours else _begun(desk, signer, site, purpose)
    try:
        indices, ledger = status.allocated(roll.ledger, AT_ONCE)
    except Unavailable:  # nearly full
        roll = _begun(desk, signer, site, purpose)
        indices, ledger = status.allocated(roll.ledger, AT_ONCE)
    desk.keep_roll(replace(roll, ledger=ledger))
    return Spares(roll.url, roll.issuer, indices)


def _begun(desk: Desk, signer: Signer, site: str, purpose: Purpose) -> Roll:
    id = secrets.token_urlsafe(12)
    roll = Roll(id, f"{site}/status/{id}", signer.did, purpose, status.opened(), "", desk.now)
    return _signed(roll, roll.ledger, signer, desk.now)


def _signed(roll: Roll, ledger: Ledger, signer: Signer, now: datetime) -> Roll:
    """Return a list with its next edition, which is never older than the one before."""
    # A clock that was set back a little must not make the new edition look like the older one.
    start = roll.signed if now < roll.signed <= now + SKEW else now
    payload = status.status_list(
        roll.issuer,
        roll.url,
        ledger.bits,
        purpose=roll.purpose,
        valid_from=start,
        valid_until=start + VALID,
        ttl=REST,
    )
    edition = json.dumps(seal(payload, signer, created=now), ensure_ascii=False, separators=(",", ":"))
    return replace(roll, ledger=ledger, edition=edition, signed=start)


def mark(
    desk: Desk,
    signer: Signer,
    held: Sequence[Held],
    what: Change,
    *,
    who: str = "",
    reason: str = "",
    successor: str = "",
) -> frozenset[str]:
    """Note what becomes of credentials of ours, and publish it; return the URLs of the lists that changed."""
    purpose, on = _BITS[what]
    places: dict[str, list[int]] = defaultdict(list)
    for one in held:
        pointers = [pointer for pointer in status.entries(one.document) if pointer.purpose == purpose]
        if not pointers:
            raise Invalid("the credential has no entry in a status list")
        before = desk.standing(one.id)
        if before is not None and before.what == "revoked":
            raise Misstep("the credential was revoked already, and stays so")
        suspended = before is not None and before.what == "suspended"
        if what == "suspended" and suspended:
            raise Misstep("the credential is suspended already")
        if what == "reinstated" and not suspended:
            raise Misstep("the credential is not suspended")
        places[pointers[0].url].append(pointers[0].index)
        desk.keep_standing(Standing(one.id, what, desk.now, who, reason, successor))
    for url, indices in places.items():
        roll = desk.roll(url)
        if roll is None or roll.issuer != signer.did:
            raise Invalid("the status list {list} is not ours to change", list=url)
        ledger = status.marked(roll.ledger, indices, purpose=purpose, on=on)
        desk.keep_roll(_signed(roll, ledger, signer, desk.now))
    return frozenset(places)


def renew(desk: Desk, signer: Signer) -> int:
    """Sign those lists anew whose editions grow old, and return how many; also where a clock was ahead."""
    due = [
        roll
        for roll in desk.rolls()
        if roll.issuer == signer.did and not desk.now - RENEWED < roll.signed <= desk.now + SKEW
    ]
    for roll in due:
        desk.keep_roll(_signed(roll, roll.ledger, signer, desk.now))
    return len(due)
