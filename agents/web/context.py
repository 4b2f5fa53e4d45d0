"""What the site needs of the process it runs in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta, timezone, tzinfo
from typing import Protocol

from agents.dids import Registrar
from agents.evidence import Vault
from agents.harvest import Harvest
from agents.identity import Identity
from agents.service import Agent


class Invitations(Protocol):
    """How companies connect."""

    async def create(self) -> str:
        """Return the URL of a new invitation."""
        ...

    async def accept(self, url: str) -> str:
        """Accept an invitation and return the connection's id; raise `Invalid` for what is none."""
        ...


@dataclass(frozen=True)
class Context:
    """One company's agent and what stands around it.

    `ready` names what is not ready yet and why (empty when all is); `breakers` gives the state of each
    peer's circuit breaker; `public_url` is how the site is reached from outside, and stands in every link;
    `registrar` keeps the registry of DIDs, where this is the authority's site; `identity` is the company's
    own DID there; `harvest` reads and searches what others have published.
    """

    agent: Agent
    vault: Vault
    invitations: Invitations
    public_url: str
    ready: Callable[[], Mapping[str, str]] = dict
    breakers: Callable[[], Mapping[str, str]] = dict
    zone: tzinfo = field(default=timezone(timedelta(hours=9), "JST"))
    version: str = ""
    vc_api: str = "off"
    registrar: Registrar | None = None
    harvest: Harvest | None = None
    identity: Identity | None = None
