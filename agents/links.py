"""Which links of other companies we follow.

A link is chosen by whoever sent it, and what it leads to is asked from inside our network. So a file may lie
at any public address; at an inner one only on the host of its company's own agent, and only as near as we
are ourselves: an agent that others reach at a public address never asks its own machine, its own network or
a cloud's metadata server for a stranger's file. Names are judged by what they resolve to, when they do.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Literal
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver
from yarl import URL

from schemas.errors import Invalid

type Nearness = Literal["loopback", "link-local", "private", "public"]
type Reach = Callable[[str, str], Awaitable[frozenset[Nearness]]]
"""How near a host that a peer's link names may be: `await reach(peer, host)`."""

PUBLIC: frozenset[Nearness] = frozenset({"public"})

# Addresses whose last half is one of IPv4: RFC 6052 (NAT64), and RFC 4291's compatible ones.
_CARRYING = (IPv6Network("64:ff9b::/96"), IPv6Network("::/96"))


async def public_only(peer: str, host: str) -> frozenset[Nearness]:
    """Reach nothing but public addresses."""
    return PUBLIC


def nearness(address: str) -> Nearness:
    """Say how near an IP address is; raise ValueError for what is none."""
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        found = _carried(found) or found
    if found.is_loopback or found.is_unspecified:
        return "loopback"
    if found.is_link_local:
        return "link-local"
    return "public" if found.is_global and not found.is_multicast else "private"


def _carried(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that one of IPv6 stands for, if it does."""
    if (told := address.ipv4_mapped or address.sixtofour) is not None:
        return told
    carried = any(address in network for network in _CARRYING) and int(address) > 1
    return IPv4Address(int(address) & 0xFFFFFFFF) if carried else None


def host_of(link: str) -> str:
    """Return the host of a web link as it will be asked for, or raise `Invalid`.

    As the client reads it, not as it is written: to IDNA, ①②⑦.⓪.⓪.① is 127.0.0.1.
    """
    try:
        host = URL(link).host if urlsplit(link).scheme in ("http", "https") else None
    except ValueError:
        host = None
    if not host:
        raise Invalid("the link to the file is not one we follow")
    return host


def check_address(address: str, allowed: frozenset[Nearness]) -> None:
    """Raise `Invalid` for an address nearer than is allowed."""
    if nearness(address) not in allowed:
        raise Invalid("the link to the file leads into a network we do not ask for others' files")


def check_link(link: str, allowed: frozenset[Nearness]) -> None:
    """Raise `Invalid` for a link to an IP address nearer than is allowed; names are judged when resolved."""
    host = host_of(link)
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return
    check_address(host, allowed)


async def around(host: str) -> frozenset[Nearness]:
    """Say how near the addresses of a host are; nothing where it has none."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return frozenset()
    return frozenset(nearness(str(address[0])) for *_, address in found)


class Resolver(AbstractResolver):
    """Resolves names, and refuses those that lead nearer than is allowed."""

    def __init__(self, allowed: frozenset[Nearness]) -> None:
        self._allowed = allowed
        self._resolver = DefaultResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return a host's addresses, or raise `Invalid`."""
        found = await self._resolver.resolve(host, port, family)
        for one in found:
            check_address(one["host"], self._allowed)
        return found

    async def close(self) -> None:
        """Close."""
        await self._resolver.close()
