"""Which links of other companies we follow.

A link is chosen by whoever sent it, and what it leads to is asked from inside our network. So a file may lie
at any public address; at an inner one only on the host of its company's own agent, and only as near as we
are ourselves: an agent that others reach at a public address never asks its own machine, its own network or
a cloud's metadata server for a stranger's file. Names are judged by what they resolve to, when they do.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Literal
from urllib.parse import urlsplit

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, InvalidURL, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver
from yarl import URL

from schemas.errors import Invalid, Unavailable, Unknown

LOG = logging.getLogger(__name__)

type Nearness = Literal["loopback", "link-local", "private", "public"]
type Reach = Callable[[str, str], Awaitable[frozenset[Nearness]]]
"""How near a host that a peer's link names may be: `await reach(peer, host)`."""

PUBLIC: frozenset[Nearness] = frozenset({"public"})
EVERYWHERE: frozenset[Nearness] = frozenset({"loopback", "link-local", "private", "public"})

_GONE = (404, 410)

# Addresses whose last half is one of IPv4: RFC 6052 (NAT64), and RFC 4291's compatible ones.
_CARRYING = (IPv6Network("64:ff9b::/96"), IPv6Network("::/96"))


class Nearer(Invalid):
    """A link leads nearer than is allowed."""


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
        raise Nearer("the link to the file leads into a network we do not ask for others' files")


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


# The sealed document rather than a page about it, where both stand at one address.
_WANTED = "application/vc, application/json;q=0.9, text/html;q=0.1, */*;q=0.5"


async def fetched(link: str, most: int, allowed: frozenset[Nearness], seconds: float) -> bytes:
    """Return what stands at a link, up to `most` bytes of it, all within so many seconds; or raise a Fault.

    No redirect is followed: a link in a statement must not lead to what its reader would not have asked for.
    """
    check_link(link, allowed)
    try:
        async with (
            ClientSession(
                connector=TCPConnector(resolver=Resolver(allowed)),
                timeout=ClientTimeout(total=seconds),
                cookie_jar=DummyCookieJar(),
                headers={"Accept": _WANTED, "Accept-Encoding": "identity"},
                auto_decompress=False,
            ) as http,
            http.get(link, allow_redirects=False) as response,
        ):
            _check_answer(response.status)
            content = bytearray()
            async for data in response.content.iter_any():
                content += data
                if len(content) > most:
                    raise Invalid("it is larger than {limit} bytes", limit=most)
            return bytes(content)
    except InvalidURL:
        raise Invalid("it is no web address") from None
    except TimeoutError:
        raise Unavailable("its server does not answer in time") from None
    except (ClientError, OSError, ValueError) as error:
        LOG.info("a lookup failed: %s", type(error).__name__)
        raise Unavailable("its server cannot be reached") from error


def _check_answer(status: int) -> None:
    if status in _GONE:
        raise Unknown("its server has no such thing")
    if 300 <= status < 400:  # noqa: PLR2004
        raise Invalid("its server sends us elsewhere, where we do not go")
    if status != 200:  # noqa: PLR2004
        raise Unavailable("its server answered {status}", status=status)
