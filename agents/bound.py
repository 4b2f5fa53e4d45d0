"""What is shown to one reader alone: who asks presents itself, and what it is shown is sealed for its key.

A presentation is bound to its question (with the exchange in which it is asked) and to whom it is made, so it
is of no use in any other exchange, nor to the company that was asked. What is shown names the reader's key;
others who come by it can see that it was not meant for them.
"""

import secrets
from collections.abc import Mapping
from datetime import datetime, time
from typing import Any
from uuid import uuid4

from agents.lookup import Known, Wanting
from agents.ports import Desk
from agents.role import Reveal
from credentials import envelope, jose, jwt, keys, sdjwt
from credentials.keys import Signer
from credentials.moments import moment, stamp
from credentials.resolution import speaking_key
from credentials.seals import verify
from credentials.vc import presentation
from protocols.disclosure import Ask
from protocols.exchange import DOCUMENT, Exchange
from schemas.errors import Fault, Forbidden, Misstep, Unavailable

MEDIA_TYPE = f"application/{sdjwt.TYPE}"
NAMING = frozenset({"id", "item", "did", "subject"})


def presented(asked: Ask, exchange: Exchange, desk: Desk, signer: Signer) -> Ask:
    """Return a question with our accreditation presented for it; the authority's own word is enough."""
    us, peer = desk.company.did, desk.peer(exchange.peer)
    held = [one for one in desk.credentials(us, "Accreditation") if one.issuer == desk.authority()]
    payload = presentation(us, [one.document for one in held[-1:]])
    token = jwt.seal(
        payload,
        signer,
        created=desk.now,
        challenge=asked.question(exchange.thread),
        domain=peer.did if peer else "",
    )
    return asked.model_copy(update={"presentation": token})


def shown_by(asked: Ask, thread: str, who: str, desk: Desk, known: Known) -> tuple[Mapping[str, Any], ...]:
    """Return the credentials by which the asker shows who it is, or raise `Forbidden` with what is wrong."""
    if not asked.presentation:
        return ()
    report = verify(
        asked.presentation,
        known,
        now=desk.now,
        statuses=known.status_list,
        expected_issuer=who,
        challenge=asked.question(thread),
        domain=desk.company.did,
    )
    if known.wanted:
        raise Wanting
    for check in report.refusals:
        if check.name == "token.question":
            raise Forbidden("the presentation of who asks was made for another question, exchange or company")
        raise Forbidden("the presentation of who asks does not hold: {reason}", reason=str(check))
    documents = (report.document or {}).get("verifiableCredential", [])
    return tuple(documents if isinstance(documents, list) else [documents])


def reader_key(asked: Ask, who: str, known: Known, now: datetime) -> bytes:
    """Return the key with which the asker presented itself, if it is its key still."""
    method = str(jose.parsed(asked.presentation).header.get("kid", ""))
    try:
        return speaking_key(known, who, method, "authentication", when=now)
    except Unavailable:
        if known.wanted:
            raise Wanting from None
        raise
    except Fault as reason:
        raise Misstep("the asker has changed its key since; it has to ask again") from reason


def revealed(
    effect: Reveal, exchange: Exchange, desk: Desk, signer: Signer, known: Known, until: datetime | None
) -> dict[str, Any]:
    """Seal the fields named of a statement of ours for the asker's key; it holds until `until`."""
    held, asked = desk.credential(effect.credential), exchange.last(Ask)
    peer = desk.peer(exchange.peer)
    if held is None or held.bound or held.issuer != desk.company.did or peer is None:
        raise Forbidden("only its issuer can show a part of a statement")
    document = dict(held.document)
    document.pop("proof", None)
    document |= {
        "id": f"urn:uuid:{uuid4()}",
        "credentialSubject": {name: held.claim[name] for name in ("id", *effect.fields)},
        "termsOfUse": {
            "type": f"{DOCUMENT}/ContractOfUse",
            "id": f"{DOCUMENT}/contracts/{asked.contract}#{asked.terms}",
        },
    }
    if until is not None:
        ends = moment(document["validUntil"]) if "validUntil" in document else until
        document["validUntil"] = stamp(min(until, ends))
    token = sdjwt.seal(
        document,
        signer,
        created=desk.now,
        vct=f"{DOCUMENT}/credentials/{held.type}",
        hidden=[("credentialSubject", name) for name in effect.fields if name not in NAMING],
        holder=reader_key(asked, peer.did, known, desk.now),
    )
    return envelope.enveloped(token, MEDIA_TYPE)


def end_of(message: Any, now: datetime) -> datetime | None:
    """Return when what goes with a message is to be deleted, if it says so."""
    day = getattr(message, "until", None)
    return datetime.combine(day, time.max, now.tzinfo) if day is not None else None


def is_for(document: Mapping[str, Any], signer: Signer) -> bool:
    """Say whether what is bound to a key is bound to ours."""
    probe = secrets.token_bytes(32)
    key = sdjwt.bound_key(envelope.opened(document)[0])
    return keys.signed_by(key, probe, signer.sign(probe))
