"""Real processes: a company is killed while it registers and rotates, and another still verifies it."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from agents.demo import COMPANIES, Door, Failed, Running, connect, free_ports, start
from credentials import webvh

HOST = "registry.meguri.example"


@dataclass
class Line:
    """The line between a company and the registry; it can kill the company when an entry passes."""

    target: int
    port: int = 0
    victim: Running | None = None
    when: str = ""  # "asked" or "answered"
    posts: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_connection("127.0.0.1", self.target)
        posting = False

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, moment: str) -> None:
            nonlocal posting
            try:
                while data := await source.read(1 << 16):
                    posting = posting or (moment == "asked" and data.startswith(b"POST /dids/kita "))
                    self.posts += moment == "asked" and data.startswith(b"POST /dids/kita ")
                    if posting and self.victim and self.when == moment:
                        self.victim.process.send_signal(signal.SIGKILL)
                        self.victim = None
                        return
                    sink.write(data)
                    await sink.drain()
            except ConnectionError:
                pass
            finally:
                sink.close()

        await asyncio.gather(pump(reader, outer, "asked"), pump(inner, writer, "answered"))


@dataclass
class Place:
    """Agents as processes, each on a folder, with a registry at the authority's."""

    folder: Path
    session: aiohttp.ClientSession
    registry: str
    running: dict[str, Running] = field(default_factory=dict)
    settings: dict[str, dict[str, str]] = field(default_factory=dict)

    def settle(self, role: str, **more: str) -> None:
        """Write down how a role's agent is started."""
        home = self.folder / role
        home.mkdir(mode=0o700)
        didcomm, site, admin = free_ports(3)
        self.settings[role] = {
            "MEGURI_HOME": str(home),
            "MEGURI_NAME": COMPANIES[role],
            "MEGURI_ROLES": role,
            "MEGURI_DIDCOMM_PORT": str(didcomm),
            "MEGURI_WEB_PORT": str(site),
            "MEGURI_ADMIN_PORT": str(admin),
            "MEGURI_REGISTRY": self.registry,
            "MEGURI_DID_HOST": HOST,
        } | more

    async def begin(self, role: str) -> Running:
        settings = self.settings[role]
        url = f"http://127.0.0.1:{settings['MEGURI_WEB_PORT']}"
        agent = self.running[role] = await start(role, self.folder / role, url, settings)
        return agent

    async def door(self, role: str) -> Door:
        agent = self.running[role]
        await agent.ready(self.session)
        return Door(role, agent.url, (self.folder / role / "token").read_text().strip(), self.session)

    async def text(self, path: str) -> str:
        async with self.session.get(self.registry + path) as answer:
            assert answer.status == 200
            return await answer.text()

    async def presented(self) -> Any:
        """Return what kita shows of itself, as soon as it does."""
        async with self.session.get(self.registry + "/kita/whois.vp") as answer:
            return json.loads(await answer.text()) if answer.status == 200 else None


@asynccontextmanager
async def place(folder: Path, **more: str) -> AsyncIterator[tuple[Place, Line]]:
    (site,) = free_ports(1)
    line = Line(site)
    server = await asyncio.start_server(line.serve, "127.0.0.1", 0)
    line.port = server.sockets[0].getsockname()[1]
    async with aiohttp.ClientSession() as session, server:
        here = Place(folder, session, f"http://127.0.0.1:{site}")
        here.settle("governance-authority", MEGURI_WEB_PORT=str(site), **more)
        try:
            await here.begin("governance-authority")
            yield here, line
        finally:
            await asyncio.gather(*(agent.stop() for agent in here.running.values()))


async def killed(agent: Running) -> None:
    assert await asyncio.wait_for(agent.process.wait(), 120) == -signal.SIGKILL


async def history(here: Place, did: str) -> webvh.History:
    log, approvals = [await here.text(f"/kita/{name}") for name in ("did.jsonl", "did-witness.json")]
    return webvh.history(did, log, approvals, now=datetime.now(UTC))


async def admitted(authority: Door, company: Door) -> None:
    await connect(authority, company)
    applied = await company.do(
        "apply-for-membership", COMPANIES[authority.role], name=COMPANIES[company.role], roles=[company.role]
    )
    await authority.reaches(applied["thread"], "applied")
    await authority.do("accredit", applied["thread"])
    await company.reaches(applied["thread"], "accredited")


async def sealed(company: Door) -> dict[str, Any]:
    """Have the dismantler seal something, and return it."""
    done = await company.do(
        "request-collection",
        COMPANIES["collector"],
        vehicle_model="ZE0",
        pack_model="24 kWh",
        chassis_number="ZE0-012345",
        first_registration="2014-03",
        odometer_km=48213,
        capacity_low_pct="72.5",
        capacity_high_pct="78.75",
        capacity_source="vehicle display",
        place="Yard 2",
    )
    held = await company.get(f"/credentials/{done['issued'][0]}")
    document: dict[str, Any] = held["document"]
    return document


async def verifies(verifier: Door, document: dict[str, Any]) -> bool:
    return bool((await verifier.call("POST", "/api/v1/verify", json=document))["verified"])


@pytest.mark.slow
@pytest.mark.parametrize("books", ["sqlite", "postgresql"])
def test_a_company_killed_while_it_registers_and_rotates_is_believed_throughout(
    tmp_path: Path, books: str, request: pytest.FixtureRequest
) -> None:
    more = {}
    if books == "postgresql":
        more["MEGURI_DATABASE_URL"] = str(request.getfixturevalue("postgresql_url"))

    async def story() -> None:
        async with place(tmp_path, **more) as (here, line):
            authority = await here.door("governance-authority")
            codes = {
                name: (await authority.call("POST", "/api/v1/registrations", json={"name": name}))["code"]
                for name in ("kita", "minato")
            }
            here.settle("collector", MEGURI_REGISTRATION=codes["minato"])
            here.settle(
                "dismantler",
                MEGURI_REGISTRATION=codes["kita"],
                MEGURI_REGISTRY=f"http://127.0.0.1:{line.port}",
            )
            await here.begin("collector")
            for moment in ("asked", "answered"):
                line.when = moment
                line.victim = agent = await here.begin("dismantler")
                await killed(agent)
            await here.begin("dismantler")
            kita, minato = await here.door("dismantler"), await here.door("collector")
            did = (await kita.get("/did"))["did"]
            assert len((await history(here, did)).versions) == 1
            assert line.posts >= 2

            await admitted(authority, kita)
            await admitted(authority, minato)
            await connect(kita, minato)
            before = await sealed(kita)
            assert before["issuer"] == did
            presented = await authority.until("kita to show its accreditation", here.presented)
            assert presented["holder"] == did
            assert await verifies(minato, presented)
            assert await verifies(minato, before)

            for number, moment in enumerate(("asked", "answered"), 2):
                line.victim, line.when = here.running["dismantler"], moment
                with pytest.raises((Failed, aiohttp.ClientError)):
                    await kita.call("POST", "/api/v1/did/rotate", json={})
                await killed(here.running["dismantler"])
                await here.begin("dismantler")
                kita = await here.door("dismantler")

                async def told(kita: Door = kita) -> bool:
                    return not (await kita.get("/did"))["waiting"]

                await kita.until("the registry to take the rotation", told)
                assert len((await history(here, did)).versions) == number
                after = await sealed(kita)
                assert after["proof"]["verificationMethod"] != before["proof"]["verificationMethod"]
                for document in (before, after):
                    assert await verifies(minato, document)
                forged = after | {"validFrom": before["validFrom"], "id": before["id"]}
                assert not await verifies(minato, forged)

    asyncio.run(story())
