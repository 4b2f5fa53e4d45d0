"""Every protocol we speak, found by its URI."""

from protocols.audit import AUDIT
from protocols.collection import COLLECTION
from protocols.delivery import DELIVERY
from protocols.diagnosis import DIAGNOSIS
from protocols.disclosure import DISCLOSURE
from protocols.exchange import Message, Protocol
from protocols.introduction import INTRODUCTION
from protocols.membership import MEMBERSHIP
from protocols.receipt import RECEIPT
from protocols.sampling import SAMPLING

PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        INTRODUCTION,
        MEMBERSHIP,
        COLLECTION,
        DELIVERY,
        DISCLOSURE,
        DIAGNOSIS,
        AUDIT,
        SAMPLING,
        RECEIPT,
    )
}
MESSAGES: dict[str, tuple[Protocol, type[Message]]] = {
    f"{protocol.uri}/{kind}": (protocol, body)
    for protocol in PROTOCOLS.values()
    for kind, body in protocol.messages.items()
}
