"""Agents as processes: ours and bare ACA-Py, started alike, and what the kernel says of them."""

import asyncio
import json
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self
from uuid import uuid4

from aiohttp import ClientError, ClientSession

ROOT = Path(__file__).resolve().parents[2]
TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGESIZE")
ANSWER = "@"

type Maker = Literal["meguri", "acapy"]


class Broken(Exception):
    """A process did not do what a bench needs of it."""


def free_ports(count: int) -> list[int]:
    """Return ports that were free just now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


@dataclass
class Agent:
    """One agent: its folder, its ports, and its process while it runs."""

    maker: Maker
    home: Path
    name: str
    role: str = ""
    driven: bool = True
    """Whether it runs with a driver inside; else it is started as a company would."""
    settings: dict[str, str] = field(default_factory=dict)
    ports: list[int] = field(default_factory=lambda: free_ports(3))
    key: str = field(default_factory=lambda: secrets.token_hex(16))
    process: asyncio.subprocess.Process | None = None
    started: float = 0.0
    _first: bool = True
    _talk: asyncio.Lock = field(default_factory=asyncio.Lock)

    # Starting and ending

    def command(self) -> list[str]:
        """Return the command that starts it."""
        if self.maker == "meguri":
            return [sys.executable, "-m", *(["bench.rig.ours"] if self.driven else ["agents.cli", "start"])]
        didcomm, admin, _ = self.ports
        raw = self._raw_key()
        line = [sys.executable, "-m", "acapy_agent", "start", "--no-ledger", "--label", self.name]
        line += ["--inbound-transport", "http", "127.0.0.1", str(didcomm), "--outbound-transport", "http"]
        line += ["--endpoint", f"http://127.0.0.1:{didcomm}", "--admin", "127.0.0.1", str(admin)]
        line += ["--admin-api-key", self.key, "--wallet-type", "askar", "--wallet-name", "bench"]
        line += ["--wallet-key", raw, "--wallet-key-derivation-method", "RAW", "--auto-provision"]
        line += ["--auto-accept-requests", "--auto-accept-invites", "--log-level", "warning"]
        return line + (["--plugin", "bench.rig.theirs"] if self.driven else [])

    def _raw_key(self) -> str:
        from aries_askar import Store  # type: ignore[import-untyped]

        file = self.home / "wallet.key"
        if not file.exists():
            file.write_text(str(Store.generate_raw_key(secrets.token_bytes(32))))
        return file.read_text()

    def environment(self) -> dict[str, str]:
        """Return the environment it runs in; nothing of ours from outside."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("MEGURI_", "ACAPY_"))
        }
        if self.maker == "acapy":
            return kept | {"ACAPY_HOME": str(self.home / "wallet")}
        didcomm, admin, site = self.ports
        return kept | {
            "MEGURI_HOME": str(self.home),
            "MEGURI_NAME": self.name,
            "MEGURI_ROLES": self.role,
            "MEGURI_HOST": "127.0.0.1",
            "MEGURI_DIDCOMM_PORT": str(didcomm),
            "MEGURI_ADMIN_PORT": str(admin),
            "MEGURI_WEB_PORT": str(site),
            "MEGURI_LOG_LEVEL": "warning",
            **self.settings,
        }

    async def start(self) -> None:
        """Start the process; it is not ready yet."""
        self.home.mkdir(parents=True, exist_ok=True)
        command, environment = self.command(), self.environment()
        with (self.home / "agent.log").open("ab") as log:
            self.started = time.monotonic()
            self.process = await asyncio.create_subprocess_exec(
                *command,
                cwd=ROOT,
                env=environment,
                stdin=asyncio.subprocess.PIPE if self.driven else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE if self.driven else log,
                stderr=log,
                start_new_session=True,
                limit=1 << 20,
            )

    @property
    def url(self) -> str:
        """Return where its API is: our site, or ACA-Py's admin API."""
        return f"http://127.0.0.1:{self.ports[2] if self.maker == 'meguri' else self.ports[1]}"

    async def ready(self, session: ClientSession, seconds: float = 120.0) -> float:
        """Wait until it says it is ready; return the seconds since its start."""
        path = "/ready" if self.maker == "meguri" else "/status/ready"
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process is None or self.process.returncode is not None:
                raise Broken(f"{self.name} has ended:\n{self.last_words()}")
            with suppress(ClientError, OSError):
                async with session.get(self.url + path) as answer:
                    if answer.status == 200:
                        return time.monotonic() - self.started
            await asyncio.sleep(0.01)
        raise Broken(f"{self.name} did not become ready:\n{self.last_words()}")

    def last_words(self) -> str:
        """Return the end of its log."""
        log = self.home / "agent.log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-15:]) if log.exists() else ""

    async def stop(self) -> None:
        """End it gently, or hard where that takes long."""
        if self.process is None or self.process.returncode is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self.process.wait(), 10)
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """End it at once, as a power cut or the kernel would."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    # What the kernel says

    def cpu_s(self) -> float:
        """Return the seconds of CPU time it has used so far, in user and system mode."""
        fields = self._proc("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * TICK_S

    def rss_bytes(self) -> int:
        """Return how much memory it holds."""
        return int(self._proc("statm").split()[1]) * PAGE_BYTES

    def _proc(self, name: str) -> str:
        if self.process is None:
            raise Broken(f"{self.name} does not run")
        return Path(f"/proc/{self.process.pid}/{name}").read_text()

    # Speaking to it

    async def ask(self, seconds: float = 300.0, **order: object) -> dict[str, Any]:
        """Have the driver inside do something, and return what it says."""
        if self.process is None or self.process.stdin is None or self.process.stdout is None:
            raise Broken(f"{self.name} has no driver")
        async with self._talk, asyncio.timeout(seconds):
            self.process.stdin.write(json.dumps(order).encode() + b"\n")
            while line := await self.process.stdout.readline():
                if line.startswith(ANSWER.encode()):
                    said: dict[str, Any] = json.loads(line[len(ANSWER) :])
                    if "problem" in said:
                        raise Broken(f"{self.name}: {said['problem']}")
                    return said
        raise Broken(f"{self.name} has ended:\n{self.last_words()}")

    def headers(self) -> dict[str, str]:
        """Return what lets a program in at its API."""
        if self.maker == "acapy":
            return {"X-API-Key": self.key}
        return {"Authorization": f"Bearer {(self.home / 'token').read_text().strip()}"}

    async def call(
        self, session: ClientSession, method: str, path: str, *, key: str = "", **more: Any
    ) -> Any:
        """Call its API; raise `Broken` with its words when it says no."""
        headers = self.headers() | ({"Idempotency-Key": key} if key else {})
        async with session.request(method, self.url + path, headers=headers, **more) as answer:
            text = await answer.text()
            if answer.status >= 400:
                raise Broken(f"{self.name}: {answer.status} {text[:500]}")
            return json.loads(text) if text else None

    async def do(self, session: ClientSession, action: str, to: str = "", key: str = "", **form: Any) -> Any:
        """Take an action in one of our agents."""
        body = ({"to": to} if to else {}) | form
        return await self.call(
            session, "POST", f"/api/v1/actions/{action}", key=key or str(uuid4()), json=body
        )


@dataclass(frozen=True)
class Used:
    """CPU seconds of several agents at one moment."""

    cpu_s: tuple[float, ...]

    @classmethod
    def by(cls, agents: Sequence[Agent]) -> Self:
        """Look now."""
        return cls(tuple(agent.cpu_s() for agent in agents))

    def since(self, before: "Used") -> tuple[float, ...]:
        """Return what each used in between."""
        return tuple(now - then for now, then in zip(self.cpu_s, before.cpu_s, strict=True))


@asynccontextmanager
async def running(session: ClientSession, *agents: Agent) -> AsyncIterator[None]:
    """Start agents together, and end them with the context."""
    try:
        for agent in agents:
            await agent.start()
        await asyncio.gather(*(agent.ready(session) for agent in agents))
        yield
    finally:
        await asyncio.gather(*(agent.stop() for agent in agents))


async def until(what: str, look: Any, seconds: float = 60.0) -> Any:
    """Look until there is something to see."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := await look():
            return found
        await asyncio.sleep(0.05)
    raise Broken(f"waited in vain for: {what}")


async def connect(session: ClientSession, one: Agent, other: Agent) -> None:
    """Connect two of our agents, each of which then knows the other by name."""
    invitation = await one.call(session, "POST", "/api/v1/invitations", json={})
    await other.call(session, "POST", "/api/v1/invitations/accept", json={"url": invitation["url"]})
    for agent, name in ((one, other.name), (other, one.name)):

        async def met(agent: Agent = agent, name: str = name) -> bool:
            peers = await agent.call(session, "GET", "/api/v1/peers")
            return any(peer["name"] == name and peer["did"] for peer in peers)

        await until(f"{name} to introduce itself", met)


async def admit(session: ClientSession, authority: Agent, *members: Agent) -> None:
    """Have connected companies admitted by the authority, and wait until all know it."""
    for member in members:
        done = await member.do(
            session, "apply-for-membership", authority.name, name=member.name, roles=[member.role]
        )
        await until("the application", lambda d=done: state(session, authority, d["thread"], "applied"))
        await authority.do(session, "accredit", done["thread"])

    async def known(member: Agent) -> bool:
        listed = await member.call(session, "GET", "/api/v1/members")
        return {one["name"] for one in listed} >= {authority.name, *(one.name for one in members)}

    for member in members:
        await until("the register of members", lambda m=member: known(m))


async def state(session: ClientSession, agent: Agent, thread: str, wanted: str) -> bool:
    """Say whether an exchange is in a state at one of our agents."""
    try:
        found = await agent.call(session, "GET", f"/api/v1/exchanges/{thread}")
    except Broken:
        return False
    return bool(found["state"] == wanted)


async def connect_acapy(session: ClientSession, one: Agent, other: Agent) -> str:
    """Connect two bare ACA-Py agents; return the second one's connection to the first."""
    made = await one.call(
        session,
        "POST",
        "/out-of-band/create-invitation?auto_accept=true",
        json={"handshake_protocols": ["https://didcomm.org/didexchange/1.1"]},
    )
    got = await other.call(
        session,
        "POST",
        "/out-of-band/receive-invitation?auto_accept=true",
        json=made["invitation"],
    )
    connection = str(got["connection_id"])

    async def active() -> bool:
        found = await other.call(session, "GET", f"/connections/{connection}")
        return bool(found["rfc23_state"] == "completed")

    await until("the connection", active)
    return connection
