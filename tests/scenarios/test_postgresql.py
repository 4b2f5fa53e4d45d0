"""A company that keeps its books in PostgreSQL: started, used, killed, started again."""

import asyncio
import signal
from pathlib import Path

import aiohttp
import pytest

from agents.demo import Door, Running, free_ports, start


@pytest.mark.slow
def test_what_was_done_is_there_after_the_agent_was_killed(tmp_path: Path, postgresql_url: str) -> None:
    didcomm, admin, site = free_ports(3)
    settings = {
        "MEGURI_HOME": str(tmp_path),
        "MEGURI_NAME": "Minato Battery Collection",
        "MEGURI_ROLES": "collector",
        "MEGURI_DIDCOMM_PORT": str(didcomm),
        "MEGURI_ADMIN_PORT": str(admin),
        "MEGURI_WEB_PORT": str(site),
        "MEGURI_DATABASE_URL": postgresql_url,
    }

    async def started(session: aiohttp.ClientSession) -> tuple[Running, Door]:
        agent = await start("collector", tmp_path, f"http://127.0.0.1:{site}", settings)
        await agent.ready(session)
        return agent, Door("collector", agent.url, (tmp_path / "token").read_text().strip(), session)

    async def story() -> None:
        async with aiohttp.ClientSession() as session:
            agent, door = await started(session)
            try:
                await door.do("qualify-worker", worker="W-03", qualification="high-voltage disassembly")
                me = await door.get("/company")
                agent.process.send_signal(signal.SIGKILL)
                await agent.process.wait()
                agent, door = await started(session)
                assert await door.get("/company") == me
                assert await door.get("/items") == []
            finally:
                await agent.stop()

    asyncio.run(story())
    assert not list(tmp_path.glob("books.db*")), "nothing is kept in SQLite"
