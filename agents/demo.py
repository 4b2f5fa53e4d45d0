"""`make demo`: five companies' agents as five processes, and one pack's whole journey through their doors.

Everything goes through what a company itself would use: its agent's command to start, and its REST API.
The narrator only speaks to the agents; it has no other way in.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import struct
import sys
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp

COMPANIES = {
    "governance-authority": "Battery Governance Authority",
    "dismantler": "Kita Dismantling",
    "collector": "Minato Battery Collection",
    "reuse-manufacturer": "Asahi Second Life",
    "recycler": "Midori Recycling",
}
NAMES = {"dismantler": "kita", "collector": "minato", "reuse-manufacturer": "asahi", "recycler": "midori"}
DID_HOST = "registry.meguri.example"  # reached over loopback, at the authority's site
CELLS = 12
CELL_MODEL = "warwick-5ah"
BAD_CONTACT = 7
ON_A_RACK = 6
LARGE_PHOTO_PIXELS = (900, 600)
PORTS = (15_000, 32_000)


type Adjust = Callable[[str, dict[str, str]], dict[str, str]]


class Failed(Exception):
    """The journey could not go on, in words."""


@dataclass
class Narrator:
    """Tells the story in the terminal."""

    quiet: bool = False
    started: float = field(default_factory=time.monotonic)
    colour: bool = field(default_factory=lambda: sys.stdout.isatty() and "NO_COLOR" not in os.environ)

    def paint(self, code: str, text: str) -> str:
        """Return `text` in a colour, on a terminal."""
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour else text

    def chapter(self, number: int, title: str) -> None:
        """Begin a chapter."""
        clock = self.paint("2", f"{time.monotonic() - self.started:5.1f} s")
        self.say("")
        self.say(f"{clock}  {self.paint('1;36', f'{number}. {title}')}")

    def line(self, who: str, text: str, *, mark: str = "·") -> None:
        """Tell one thing that a company did."""
        self.say(f"         {mark} {self.paint('1', COMPANIES.get(who, who))}: {text}")

    def say(self, text: str) -> None:
        """Print a line."""
        if not self.quiet:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()


@dataclass
class Door:
    """One company's agent, seen from its REST API."""

    role: str
    url: str
    token: str
    session: aiohttp.ClientSession

    async def call(self, method: str, path: str, **more: Any) -> Any:
        """Call the API; raise `Failed` with the problem's words when it says no."""
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "application/json"}
        headers |= more.pop("headers", {})
        async with self.session.request(method, self.url + path, headers=headers, **more) as answer:
            body = await answer.json(content_type=None)
            if answer.status >= 400:
                raise Failed(f"{COMPANIES[self.role]}: {body.get('detail') or body.get('title')}")
            return body

    async def get(self, path: str, **query: str) -> Any:
        """Read something."""
        return await self.call("GET", "/api/v1" + path, params=query)

    async def do(self, action: str, to: str = "", **fields: Any) -> dict[str, Any]:
        """Take an action."""
        done: dict[str, Any] = await self.call(
            "POST",
            f"/api/v1/actions/{action}",
            json=({"to": to} if to else {}) | fields,
            headers={"Idempotency-Key": str(uuid4())},
        )
        return done

    async def until(self, what: str, look: Callable[[], Awaitable[Any]], seconds: float = 30.0) -> Any:
        """Look until there is something to see; raise `Failed` when it takes too long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := await look():
                return found
            await asyncio.sleep(0.05)
        raise Failed(f"{COMPANIES[self.role]} waited in vain for: {what}")

    async def reaches(self, thread: str, *states: str) -> dict[str, Any]:
        """Wait until an exchange is in one of these states here."""

        async def look() -> dict[str, Any] | None:
            try:
                exchange: dict[str, Any] = await self.get(f"/exchanges/{thread}")
            except Failed:
                return None
            return exchange if exchange["state"] in states else None

        found: dict[str, Any] = await self.until(f"{thread} to be {' or '.join(states)}", look)
        return found

    async def finishes(self, job: str, narrator: Narrator) -> dict[str, Any]:
        """Wait for a job, telling how far it is."""
        told: set[str] = set()

        async def look() -> dict[str, Any] | None:
            entry: dict[str, Any] = await self.get(f"/jobs/{job}")
            for cell, outcome in entry["progress"].get("outcomes", {}).items():
                if cell not in told:
                    told.add(cell)
                    mark = "✗" if outcome.startswith("skipped") else "✓"
                    narrator.line(self.role, f"{cell} {outcome}", mark=mark)
            return entry if entry["state"] in ("done", "failed") else None

        found: dict[str, Any] = await self.until(f"job {job}", look, 60.0)
        if found["state"] == "failed":
            raise Failed(found["progress"].get("problem", "the diagnosis failed"))
        return found

    async def upload(self, name: str, data: bytes) -> str:
        """Put a file into the agent's vault and return its digest."""
        headers = {"Content-Type": "image/png", "Content-Disposition": f'attachment; filename="{name}"'}
        kept = await self.call("POST", "/api/v1/evidence", data=data, headers=headers)
        return str(kept["digest"])


def png(pixels: Iterable[bytes], width: int, height: int) -> bytes:
    """Return rows of RGB bytes as a PNG file."""
    raw = b"".join(b"\0" + row for row in pixels)

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(raw, 6))
        + chunk(b"IEND", b"")
    )


def capacity_display(bars: int, of: int = 12) -> bytes:
    """Draw what a vehicle's battery display shows: lit and dark bars."""
    width, height = 240, 120
    lit, dark, back = b"\x3a\xd6\x8c", b"\x2b\x33\x3b", b"\x10\x14\x18"
    rows = []
    for y in range(height):
        row = bytearray(back * width)
        if 30 <= y < 90:
            for bar in range(of):
                start = 12 + bar * 18
                row[start * 3 : (start + 14) * 3] = (lit if bar < bars else dark) * 14
        rows.append(bytes(row))
    return png(rows, width, height)


def large_photo() -> bytes:
    """Return a picture of over a megabyte, as a camera makes them (here: noise, which does not compress)."""
    width, height = LARGE_PHOTO_PIXELS
    return png((os.urandom(width * 3) for _ in range(height)), width, height)


def free_ports(count: int) -> list[int]:
    """Return ports that were free just now, below those the system gives out by itself.

    Between looking and listening, only another demo could take one, and the choice is random.
    """
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(*PORTS)
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            if port not in found:
                found.append(port)
    return found


@dataclass
class Running:
    """One agent's process and its folder."""

    role: str
    home: Path
    url: str
    process: asyncio.subprocess.Process

    async def ready(self, session: aiohttp.ClientSession) -> None:
        """Wait until the agent says it is ready; raise `Failed` with its last words when it ends instead."""
        for _ in range(1200):
            if self.process.returncode is not None:
                raise Failed(f"{COMPANIES[self.role]} did not start:\n{self.last_words()}")
            try:
                async with session.get(self.url + "/ready") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)
        raise Failed(f"{COMPANIES[self.role]} did not become ready in a minute:\n{self.last_words()}")

    def last_words(self) -> str:
        """Return the end of the agent's log."""
        log = self.home / "agent.log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-15:]) if log.exists() else ""

    async def stop(self) -> None:
        """End the process, gently first."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self.process.wait(), 3)
            except TimeoutError:
                self.process.kill()
                await self.process.wait()


@asynccontextmanager
async def agents(folder: Path, racks: Sequence[Any], adjust: Adjust) -> AsyncIterator[dict[str, Running]]:
    """Start the five agents, and end them with the context; `adjust` may change the settings of each."""
    ports = free_ports(3 * len(COMPANIES))
    running: dict[str, Running] = {}
    registry = f"http://127.0.0.1:{ports[2]}"
    codes: dict[str, str] = {}
    try:
        for number, (role, name) in enumerate(COMPANIES.items()):
            didcomm, admin, site = ports[3 * number : 3 * number + 3]
            home = folder / role
            home.mkdir(parents=True, mode=0o700)
            settings = {
                "MEGURI_HOME": str(home),
                "MEGURI_NAME": name,
                "MEGURI_ROLES": role,
                "MEGURI_HOST": "127.0.0.1",
                "MEGURI_DIDCOMM_PORT": str(didcomm),
                "MEGURI_ADMIN_PORT": str(admin),
                "MEGURI_WEB_PORT": str(site),
                "MEGURI_REGISTRY": registry,
                "MEGURI_DID_HOST": DID_HOST,
                "MEGURI_REGISTRATION": codes.get(role, ""),
            }
            if role == "collector":
                resources = [f"{rack.meter_resource} {rack.switch_resource}" for rack in racks]
                settings["MEGURI_RACKS"] = ",".join(resources)
            settings = adjust(role, settings)
            running[role] = await start(role, home, f"http://127.0.0.1:{site}", settings)
            if not codes:
                codes = await codes_of(running[role])
        yield running
    finally:
        await asyncio.gather(*(agent.stop() for agent in running.values()))


async def codes_of(authority: Running) -> dict[str, str]:
    """Have the authority admit each company to its registry of DIDs; return the code of each."""
    async with aiohttp.ClientSession() as session:
        await authority.ready(session)
        token = (authority.home / "token").read_text().strip()
        door = Door(authority.role, authority.url, token, session)
        return {
            role: (await door.call("POST", "/api/v1/registrations", json={"name": name}))["code"]
            for role, name in NAMES.items()
        }


async def start(role: str, home: Path, url: str, settings: dict[str, str]) -> Running:
    """Start one agent as `meguri start` does, with these settings and no other; its words go to agent.log."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("MEGURI_")}
    with (home / "agent.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "agents.cli",
            "start",
            env=inherited | settings,
            stdout=log,
            stderr=log,
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
    return Running(role, home, url, process)


async def connect(one: Door, other: Door) -> None:
    """Connect two companies: one invites, the other accepts; wait until each has proved who it is."""
    invitation = await one.call("POST", "/api/v1/invitations", json={})
    await other.call("POST", "/api/v1/invitations/accept", json={"url": invitation["url"]})
    for door, other_role in ((one, other.role), (other, one.role)):

        async def met(door: Door = door, name: str = COMPANIES[other_role]) -> bool:
            return any(peer["name"] == name and peer["did"] for peer in await door.get("/peers"))

        await door.until(f"{COMPANIES[other_role]} to introduce itself", met)


async def journey(doors: Mapping[str, Door], narrator: Narrator, folder: Path) -> str:
    """Play the whole journey and return the code of one cell that made it into a product."""
    authority, dismantler, collector, reuse, recycler = (doors[role] for role in COMPANIES)

    narrator.chapter(1, "The governance authority admits each company")
    await admission(doors, narrator)

    narrator.chapter(2, "The dismantler asks for a pack to be collected")
    pack, thread = await request(dismantler, narrator)

    narrator.chapter(3, "A price, and a day")
    await agreement(dismantler, collector, thread, narrator)

    narrator.chapter(4, "Hand-over, signed by both")
    await hand_over(dismantler, collector, thread, pack, narrator)

    narrator.chapter(5, "Storage, disassembly, diagnosis")
    cells, skipped = await workshop(collector, pack, narrator)

    narrator.chapter(6, "Good cells to reuse, the rest to recycling")
    good = [cell for cell in cells if cell not in skipped]
    kept, product = await to_reuse(collector, reuse, good, narrator)
    await to_recycling(collector, recycler, [*skipped, good[-1]], narrator)
    await disclosed(collector, recycler, good[-1], narrator)
    await found_by_everyone(authority, collector, kept[1], narrator)

    narrator.chapter(7, "A forecast with a fleet, audited by making it again; what a warranty costs")
    await forecast(reuse, kept[0], narrator, folder)

    narrator.line("reuse-manufacturer", f"product {product} holds {len(kept)} cells of pack {pack}")
    return kept[0]


async def admission(doors: Mapping[str, Door], narrator: Narrator) -> None:
    """Have every company admitted; one is suspended for a moment, and it shows."""
    authority, *companies = (doors[role] for role in COMPANIES)
    await asyncio.gather(*(connect(authority, company) for company in companies))
    threads = {}
    for company in companies:
        applied = await company.do(
            "apply-for-membership",
            COMPANIES[authority.role],
            name=COMPANIES[company.role],
            roles=[company.role],
        )
        threads[company.role] = applied["thread"]
        narrator.line(company.role, f"applies as {company.role}")
    for company in companies:
        await authority.reaches(threads[company.role], "applied")
        await authority.do("accredit", threads[company.role])
        await company.reaches(threads[company.role], "accredited")
        narrator.line(authority.role, f"accredits {COMPANIES[company.role]}", mark="✓")
    collector = doors["collector"]
    await asyncio.gather(
        *(connect(collector, doors[r]) for r in ("dismantler", "reuse-manufacturer", "recycler"))
    )
    await authority.do("suspend", threads["recycler"], reason="the fire-safety inspection is overdue")
    await knows(collector, "recycler", "suspended")
    narrator.line(authority.role, f"suspends {COMPANIES['recycler']}, and every member's register says so")
    await authority.do("reinstate", threads["recycler"], reason="the inspection was passed")
    await asyncio.gather(
        *(knows(d, "recycler", "accredited") for r, d in doors.items() if r != authority.role)
    )
    narrator.line(authority.role, f"reinstates {COMPANIES['recycler']}", mark="✓")


async def knows(door: Door, role: str, status: str) -> None:
    """Wait until a company's register gives a member this standing."""

    async def look() -> bool:
        members = await door.get("/members")
        return any(m["name"] == COMPANIES[role] and m["status"] == status for m in members)

    await door.until(f"the register to say that {role} is {status}", look)


async def request(dismantler: Door, narrator: Narrator) -> tuple[str, str]:
    """Request the collection of a pack with photos as evidence."""
    photos = [
        await dismantler.upload("capacity-display.png", capacity_display(10)),
        await dismantler.upload("pack.png", large_photo()),
    ]
    done = await dismantler.do(
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
        note="10 of 12 bars",
        photos=photos,
    )
    exchange = await dismantler.reaches(done["thread"], "requested")
    pack = str(exchange["about"])
    narrator.line("dismantler", f"asks for pack {pack}: 10 of 12 bars, 48,213 km, two photos as evidence")
    return pack, done["thread"]


async def agreement(dismantler: Door, collector: Door, thread: str, narrator: Narrator) -> None:
    """Agree on price and day."""
    today = datetime.now(UTC).date()
    await collector.reaches(thread, "requested")
    await collector.do(
        "quote-collection", thread, price_jpy=38000, valid_until=str(today + timedelta(days=14))
    )
    narrator.line("collector", "pays ¥38,000 for it")
    await dismantler.reaches(thread, "quoted")
    await dismantler.do("accept-quote", thread)
    await collector.reaches(thread, "accepted")
    await collector.do("propose-date", thread, pickup=str(today + timedelta(days=2)), window="morning")
    await dismantler.reaches(thread, "date-proposed")
    await dismantler.do("ask-other-date", thread, reason="the yard is closed that day")
    await collector.reaches(thread, "accepted")
    await collector.do("propose-date", thread, pickup=str(today + timedelta(days=3)), window="afternoon")
    await dismantler.reaches(thread, "date-proposed")
    await dismantler.do("agree-date", thread)
    await collector.reaches(thread, "scheduled")
    narrator.line("dismantler", "accepts, asks for another day, agrees to the second", mark="✓")


async def hand_over(dismantler: Door, collector: Door, thread: str, pack: str, narrator: Narrator) -> None:
    """Hand the pack over with a receipt signed by both."""
    await collector.do(
        "record-hand-over",
        thread,
        pack=pack,
        truck="Truck 4",
        odometer_out_km="120350",
        odometer_back_km="120412",
        load_share="0.5",
        fuel_economy_km_per_l="6.5",
    )
    await dismantler.reaches(thread, "handed-over")
    narrator.line("collector", "62 km, half the load, 6.5 km/L: signs the receipt")
    await dismantler.do("sign-receipt", thread)
    await collector.reaches(thread, "received")
    narrator.line("dismantler", "signs a receipt that names the collector's by its digest", mark="✓")


async def workshop(collector: Door, pack: str, narrator: Narrator) -> tuple[list[str], list[str]]:
    """Store, disassemble, weigh and diagnose; return all cells and those that could not be measured."""
    await collector.do("qualify-worker", worker="W-03", qualification="high-voltage disassembly")
    await collector.do("store-items", items=[pack], place="Rack A-12")
    await collector.do(
        "disassemble-pack",
        pack=pack,
        cells=CELLS,
        cell_model=CELL_MODEL,
        chemistry="NMC",
        cell_mass_kg="0.07",
        bench="Bench 1",
        worker="W-03",
    )
    await collector.do(
        "weigh-materials", pack=pack, metal_kg="61.5", resin_kg="9.2", harness_kg="4.1", other_kg="2.8"
    )
    model = await asyncio.to_thread(simulated_model)
    await collector.do("adopt-model", file={"model": model}, ours=True)
    narrator.line(
        "collector", "trains a model on simulated cells, signs it, and uses it from now on", mark="✓"
    )
    found = await collector.get("/items", kind="cell", part_of=pack)
    cells = sorted(item["code"] for item in found)
    narrator.line("collector", f"takes {pack} apart into {len(cells)} cells and four sorts of material")
    await collector.do("record-room", temperature_c="25.0", air_conditioning="25 °C")
    for place, cell in enumerate(cells):
        rack, channel = divmod(place, ON_A_RACK)
        await collector.do("scan", scan=cell)
        await collector.do("scan", scan=f"{rack + 1}:{101 + channel}")
    narrator.line(
        "collector", f"scans each cell and its channel, on two racks: {2 * len(cells)} scans, then start"
    )
    done = await collector.do("diagnose-cells", soc_pct="50")
    job = await collector.finishes(done["jobs"][0], narrator)
    outcomes = job["progress"]["outcomes"]
    await collector.do("grade-items", items=cells)
    return cells, [cell for cell in cells if outcomes[cell].startswith("skipped")]


def simulated_model() -> dict[str, Any]:
    """Train a model on what the simulated rack's cells show; its card says that they are simulated."""
    from analysis.soh.model import train
    from analysis.soh.table import read
    from instruments.spectra import SIMULATED, example_table

    model = train(read(example_table(), CELL_MODEL), CELL_MODEL, source=SIMULATED)
    return model.document


async def to_reuse(
    collector: Door, reuse: Door, good: list[str], narrator: Narrator
) -> tuple[list[str], str]:
    """Sell the good cells as a lot; one is rejected and comes back; build a product from the rest."""
    offered = await collector.do(
        "offer-lot", COMPANIES["reuse-manufacturer"], items=good, purpose="reuse", price_jpy=16500
    )
    thread = offered["thread"]
    narrator.line("collector", f"offers {len(good)} cells as a lot for ¥16,500")
    await reuse.reaches(thread, "offered")
    await reuse.do("order-lot", thread)
    await collector.reaches(thread, "ordered")
    await collector.do("ship-lot", thread, carrier="Minato Transport", waybill="MT-2207")
    exchange = await reuse.reaches(thread, "shipped")
    held = exchange.get("credentials", [])
    narrator.line(
        "reuse-manufacturer", f"orders; receives the lot with {len(held)} credentials, every one verified"
    )
    rejected = good[-1]
    await reuse.do("accept-lot-in-part", thread, rejected=[{"item": rejected, "reason": "the can is dented"}])
    await reuse.do("return-items", thread, carrier="Minato Transport", waybill="MT-2208")
    await collector.reaches(thread, "returning")
    await collector.do("confirm-return", thread)
    await collector.do("store-items", items=[rejected], place="Rack B-01")
    await collector.do("grade-items", items=[rejected])
    narrator.line(
        "reuse-manufacturer", f"accepts {len(good) - 1}, rejects {rejected}: the can is dented; it goes back"
    )
    kept = good[:-1]
    built = await reuse.do("build-product", items=kept, model="Home storage 1 kWh")
    product = (await reuse.get(f"/credentials/{built['issued'][0]}"))["about"]
    return kept, str(product)


async def to_recycling(collector: Door, recycler: Door, codes: list[str], narrator: Narrator) -> None:
    """Send what cannot be reused to the recycler, with chemistry and weights."""
    offered = await collector.do(
        "offer-lot", COMPANIES["recycler"], items=codes, purpose="recycling", price_jpy=120
    )
    thread = offered["thread"]
    await recycler.reaches(thread, "offered")
    await recycler.do("order-lot", thread)
    await collector.reaches(thread, "ordered")
    await collector.do("ship-lot", thread, carrier="Minato Transport", waybill="MT-2209")
    await recycler.reaches(thread, "shipped")
    await recycler.do("accept-lot", thread)
    await collector.reaches(thread, "accepted")
    mass = 0.07 * len(codes)
    narrator.line("recycler", f"takes {len(codes)} NMC cells, {mass:.2f} kg", mark="✓")


async def disclosed(collector: Door, recycler: Door, code: str, narrator: Narrator) -> None:
    """Have the recycler ask what is known of a cell; it is shown what its contract permits, and no more."""
    asked = await recycler.do(
        "ask-disclosure", COMPANIES["collector"], item=code, purpose="recycling", note="before crushing"
    )
    await collector.reaches(asked["thread"], "asked")
    await collector.do(
        "answer-disclosure",
        asked["thread"],
        withhold=["DiagnosisResult"],
        reason="sold with the cell, not alone",
    )
    await recycler.reaches(asked["thread"], "disclosed-in-part")
    (ours,) = [one for one in await recycler.get("/disclosures") if one["thread"] == asked["thread"]]
    (theirs,) = [one for one in await collector.get("/disclosures") if one["thread"] == asked["thread"]]
    if not ours["shown"] or any(ours[name] != theirs[name] for name in ("terms", "shown", "withheld")):
        raise Failed("the two sides' records of a disclosure differ")
    narrator.line(
        "recycler",
        f"shows its accreditation and asks what is known of {code}, under the contract {ours['contract']}",
    )
    narrator.line(
        "collector",
        f"shows {sum(len(one['fields']) for one in ours['shown'] if one['bound'])} fields, sealed for the "
        f"recycler's key until {ours['until']}, and holds {len(ours['withheld'])} kinds back; both record it",
    )


FADE_LOST = (0, 0.6, 1.1, 1.7, 2.2, 2.9, 3.3, 4.0)
"""What an ageing test of the cell would show, in % lost every hundred cycles."""

TERMS = """threshold_pct = {threshold:.1f}
cycles = 600
years = 2
cycles_per_year = 300
[[tiers]]
up_to_share = 0.5
payout = 3000
[[tiers]]
up_to_share = 1.0
payout = 1500
"""


def ageing_tests(folder: Path, model: str, start: float) -> dict[str, str]:
    """Write what a laboratory would give, a dozen cells aged before and the cell at hand, and the terms."""
    head = "dataset,cell,cycle,capacity_Ah,nominal_Ah\n"
    nominal = 5.0
    drawn = random.Random(7)
    rows = []
    for number in range(12):
        slope, bend = drawn.uniform(0.0045, 0.0068), drawn.uniform(0.5e-6, 2.5e-6)
        for cycle in range(0, 1601, 50):
            soh = start - slope * cycle - bend * cycle**2 + drawn.gauss(0, 0.15)
            rows.append(f"{model},aged {number + 1},{cycle},{nominal * soh / 100:.4f},{nominal}")
    ours = [
        f"{model},ours,{100 * n},{nominal * (start - lost) / 100:.4f},{nominal}"
        for n, lost in enumerate(FADE_LOST)
    ]
    texts = {
        "fleet": head + "\n".join(rows) + "\n",
        "ours": head + "\n".join(ours) + "\n",
        "terms": TERMS.format(threshold=start - 7.5),
    }
    names = {"fleet": "aged.csv", "ours": "history.csv", "terms": "terms.toml"}
    for name, text in texts.items():
        (folder / names[name]).write_text(text, "utf-8")
    names |= {"fitted": "fleet.json", "picture": "warranty.svg"}
    return {name: str(folder / file) for name, file in names.items()}


async def command(door: Door, *words: str) -> str:
    """Run a `meguri` command as a person of this company would, and return what it says for programs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "agents.cli",
        "--json",
        *words,
        env=os.environ | {"MEGURI_AGENT": door.url, "MEGURI_TOKEN": door.token},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complaint = await process.communicate()
    if process.returncode:
        raise Failed(
            f"meguri {' '.join(words[:2])} ended with {process.returncode}: "
            f"{complaint.decode(errors='replace')}"
        )
    return said.decode()


async def found_by_everyone(authority: Door, collector: Door, cell: str, narrator: Narrator) -> None:
    """Publish a cell's diagnosis, and have the authority find it: its DID says where it publishes."""
    await collector.do("publish", item=cell, claim_types=["ItemIdentity", "DiagnosisResult"])
    narrator.line("collector", f"shows the diagnosis of {cell} to everyone, at its own site")
    await authority.call("POST", "/api/v1/registry/harvest", json={})

    async def read() -> Any:
        told = await authority.get("/registry/sources")
        return None if told["running"] else told["sources"]

    sources = await authority.until("the members' sites to be read", read)
    asked = {"type": "DiagnosisResult", "model": CELL_MODEL}
    found = (await authority.get("/registry/search", **asked))["found"]
    wrong = [one for one in sources if one["problem"] or one["refused"]]
    if wrong or [one["item"] for one in found] != [cell]:
        raise Failed(f"the registry does not find what was published: {json.dumps([found, wrong])[:500]}")
    async with authority.session.get(found[0]["url"], headers={"Accept": "application/vc"}) as answer:
        document = await answer.json(content_type=None)
    if document["id"] != found[0]["id"]:
        raise Failed("the registry names an address where another statement stands")
    narrator.line(
        "governance-authority",
        f"reads the sites that {len(sources)} DIDs name, checks what is new; a search for diagnoses of "
        f"{CELL_MODEL} finds it",
        mark="✓",
    )


async def forecast(reuse: Door, cell: str, narrator: Narrator, folder: Path) -> None:
    """Forecast a cell's life with a fleet, state it, have the authority recompute it; price a warranty."""
    told = (await reuse.get(f"/items/{cell}/trace"))["credentials"]
    start = next(float(one["claim"]["soh_pct"]) for one in told if one["type"] == "DiagnosisResult")
    model = next(item["model"] for item in await reuse.get("/items", kind="cell") if item["code"] == cell)
    files = await asyncio.to_thread(ageing_tests, folder, model, start)
    fitted = await command(
        reuse, "lifetime", "fit-fleet", files["fleet"], "--model", model, "--out", files["fitted"]
    )
    learnt = await asyncio.to_thread(Path(files["fitted"]).read_text, "utf-8")
    await reuse.do("adopt-fleet", fleet=json.loads(learnt))
    narrator.line(
        "reuse-manufacturer",
        f"learns from {json.loads(fitted)['cells']} cells of {model} that were aged before",
    )
    done = await reuse.do(
        "predict-life",
        item=cell,
        history=[
            {"cycle": 100 * n, "soh_pct": round(start - lost, 2), "sd_pct": 0.3}
            for n, lost in enumerate(FADE_LOST)
        ],
        cycles=list(range(700, 1401, 50)),
        threshold_pct=70,
    )
    prediction = done["issued"][0]
    asked = await reuse.do("request-audit", COMPANIES["governance-authority"], prediction=prediction)
    await reuse.reaches(asked["thread"], "certified")
    narrator.line(
        "reuse-manufacturer", f"states how {cell} will fade; the authority sees a pseudonym, no cell"
    )
    narrator.line(
        "governance-authority", "recomputes it from the inputs and issues an audit certificate", mark="✓"
    )
    parts = (files["terms"], files["ours"], "--fleet", files["fitted"])
    told, drawn = await asyncio.gather(
        command(reuse, "warranty", "price", *parts),
        command(reuse, "warranty", "plot", *parts, "--out", files["picture"]),
    )
    (price,) = json.loads(told)["cells"]
    narrator.line(
        "reuse-manufacturer",
        f"prices its warranty: ¥{price['mean']:,.0f}, a claim is {price['claim_probability']:.0%} likely; "
        f"see {json.loads(drawn)['picture']} and {reuse.url}/items/{cell}",
    )


async def show_trace(door: Door, code: str, narrator: Narrator) -> None:
    """Show the chain of one cell with its events and credentials, by the command a person would use."""
    narrator.chapter(8, f"Where {code} comes from: meguri trace {code}")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "agents.cli",
        "trace",
        code,
        env=os.environ | {"MEGURI_AGENT": door.url, "MEGURI_TOKEN": door.token},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complaint = await process.communicate()
    if process.returncode:
        raise Failed(f"meguri trace ended with {process.returncode}: {complaint.decode(errors='replace')}")
    narrator.say("\n".join("         " + line for line in said.decode().splitlines()))
    told = await door.get(f"/items/{code}/trace")
    wrong = [one for one in told["credentials"] if not one["verifies"]]
    if wrong or len(told["chain"]) < 5:
        raise Failed(f"the trace of {code} does not hold: {json.dumps(wrong)[:500]}")


async def taken_back(registry: Door, issuer: Door, holder: Door, code: str, narrator: Narrator) -> None:
    """Revoke a cell's diagnosis, and check what its holder has of it, as anyone can: it no longer holds."""
    narrator.chapter(9, f"A diagnosis is taken back: meguri verify {code}.json")
    told = (await holder.get(f"/items/{code}"))["credentials"]
    held = next(one["id"] for one in told if one["type"] == "DiagnosisResult" and one["about"] == code)
    document = (await holder.get(f"/credentials/{held}"))["document"]
    site = document["credentialStatus"][0]["statusListCredential"].partition("/status/")[0]
    await issuer.do("revoke-credential", credential=held, reason="the zero adjustment was not on record")
    narrator.line("collector", f"revokes its diagnosis of {code}; the reason stays in its own books")
    at = f"{site.partition('://')[2]}={site}", f"{DID_HOST}={registry.url}"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agents.cli", "verify", "-", "--at", at[0], "--at", at[1]),
        env=os.environ | {"MEGURI_AGENT": holder.url, "MEGURI_TOKEN": holder.token},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complaint = await process.communicate(json.dumps(document).encode())
    words = said.decode()
    if process.returncode != 1 or "It was revoked by its issuer." not in words:
        raise Failed(f"a revoked credential is not refused: {words}{complaint.decode(errors='replace')}")
    for line in words.splitlines():
        if "✗" in line:
            narrator.say("         " + line)


async def play(
    folder: Path,
    narrator: Narrator,
    *,
    keep: bool = False,
    adjust: Adjust = lambda _, settings: settings,
) -> None:
    """Start the racks and the agents, play the journey, show the trace."""
    from instruments.rack import Trouble, populate, serve  # numpy, only the demo needs it at once

    codes = [f"cell {n}" for n in range(1, CELLS + 1)]
    cells = list(populate(codes, troubles={100 + BAD_CONTACT: Trouble.OPEN}).values())
    loads = [dict(enumerate(cells[first : first + ON_A_RACK], 101)) for first in range(0, CELLS, ON_A_RACK)]
    narrator.say(narrator.paint("1", "Meguri 巡り: one pack's journey through five companies' agents"))
    narrator.say("         two racks play circuits fitted to measured spectra")
    async with AsyncExitStack() as stack:
        racks = [await stack.enter_async_context(serve(load, time_scale=0.0)) for load in loads]
        running = await stack.enter_async_context(agents(folder, racks, adjust))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        narrator.say(f"         starting {len(running)} agents, one process each …")
        await asyncio.gather(*(agent.ready(session) for agent in running.values()))
        doors = {
            role: Door(role, agent.url, (agent.home / "token").read_text().strip(), session)
            for role, agent in running.items()
        }
        code = await journey(doors, narrator, folder)
        await show_trace(doors["reuse-manufacturer"], code, narrator)
        authority, collector, reuse = (
            doors[role] for role in ("governance-authority", "collector", "reuse-manufacturer")
        )
        await taken_back(authority, collector, reuse, code, narrator)
        narrator.say("")
        narrator.say(narrator.paint("1", f"Done in {time.monotonic() - narrator.started:.1f} s. The agents:"))
        for role, agent in running.items():
            narrator.say(f"  {COMPANIES[role]:<28} {agent.url}")
        if keep:
            narrator.say("")
            narrator.say("They keep running. Sign in with the one-time link of each, then look around:")
            for agent in running.values():
                if link := first_link(agent):
                    narrator.say(f"  {COMPANIES[agent.role]:<28} {link}")
            narrator.say("Press Ctrl-C to stop them.")
            await asyncio.Event().wait()


def first_link(agent: Running) -> str:
    """Return the one-time link the agent printed when it first started."""
    log = (agent.home / "agent.log").read_text(errors="replace").split()
    return next((word for word in log if word.startswith(agent.url) and "/welcome" in word), "")


def main(argv: list[str] | None = None) -> int:
    """Play the demo; return 0 when the whole journey was made."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the agents running for the browser")
    parser.add_argument(
        "--folder", type=Path, default=Path(".demo"), help="where the agents keep their folders"
    )
    options = parser.parse_args(argv)
    narrator = Narrator()
    if options.folder.exists():
        shutil.rmtree(options.folder)
    options.folder.mkdir(parents=True)

    async def run() -> int:
        task = asyncio.ensure_future(play(options.folder.resolve(), narrator, keep=options.keep))
        loop = asyncio.get_running_loop()
        for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(sign, task.cancel)
        try:
            await task
        except asyncio.CancelledError:
            narrator.say("\nStopped; no agent is left running.")
            return 0 if options.keep else 130
        except (Failed, aiohttp.ClientError, OSError) as error:
            sys.stderr.write(f"\nmake demo: {error}\n")
            return 1
        return 0

    return asyncio.run(run())


if __name__ == "__main__":
    sys.exit(main())
