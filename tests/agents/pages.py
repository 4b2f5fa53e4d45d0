"""The web in memory: what stands at each URL, or why it cannot be had; and who asked for what."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from agents.ports import Store
from schemas.errors import Fault, Invalid, Unavailable, Unknown


@dataclass
class Pages:
    pages: dict[str, bytes | Fault | Callable[[], bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def get(self, url: str, most: int, /) -> bytes:
        self.asked.append(url)
        await asyncio.sleep(0)
        page = self.pages.get(url, Unknown("its server has no such thing"))
        if isinstance(page, Fault):
            raise page
        content = page if isinstance(page, bytes) else page()
        if len(content) > most:
            raise Invalid("it is larger than {limit} bytes", limit=most)
        return content


@dataclass
class Sites:
    """Companies' public sites: what each publishes out of its books. Those that are `away` do not answer."""

    stores: dict[str, Store] = field(default_factory=dict)
    away: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    def open(self, store: Store, name: str) -> str:
        """Open a company's site, once more if it was open; return its address."""
        site = f"https://{name.encode().hex()}.example"
        self.stores[site] = store
        return site

    async def get(self, url: str, most: int, /) -> bytes:
        self.asked.append(url)
        site = url.partition("/status/")[0]
        if site in self.away:
            raise Unavailable("its server cannot be reached")
        found = await self.stores[site].read(lambda desk: desk.edition(url)) if site in self.stores else None
        if found is None:
            raise Unknown("its server has no such thing")
        return found.encode()
