"""The web in memory: what stands at each URL, or why it cannot be had; and who asked for what."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from schemas.errors import Fault, Invalid, Unknown


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
