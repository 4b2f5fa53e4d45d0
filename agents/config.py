"""What a company's agent is told before it starts: its folder, a TOML file there, and the environment.

Everything may stand in `meguri.toml` in the agent's folder, and as `MEGURI_<NAME>` in the environment, which
goes first. The first start writes what it was told to the file, so that the next needs no environment.
"""

import os
import re
import secrets
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from schemas.errors import Invalid

FILE = "meguri.toml"
_HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+(:[1-9][0-9]{0,4})?")
LEVELS = ("debug", "info", "warning", "error")
VC_API = ("off", "on", "loopback")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Config:
    """One agent's settings; each field's comment is its line in the file."""

    home: Path
    name: str = field(default="", metadata={"says": "the company's name"})
    roles: tuple[str, ...] = field(default=(), metadata={"says": "what the company is, such as collector"})
    host: str = field(default="127.0.0.1", metadata={"says": "the address to listen at"})
    didcomm_port: int = field(default=8030, metadata={"says": "where other agents' messages come in"})
    web_port: int = field(default=8032, metadata={"says": "the company's own site"})
    admin_port: int = field(default=8031, metadata={"says": "ACA-Py's admin API, on loopback only; 0: none"})
    didcomm_url: str = field(default="", metadata={"says": "how others reach the DIDComm port"})
    public_url: str = field(default="", metadata={"says": "how others reach the site"})
    database_url: str = field(default="", metadata={"says": "sqlite:///… or postgresql://…"})
    authority: str = field(default="", metadata={"says": "the DID of the governance authority to trust"})
    registry: str = field(
        default="", metadata={"says": "the site of the Verifiable Data Registry: https://…"}
    )
    did_host: str = field(
        default="", metadata={"says": "the host in DIDs that the registry publishes: registry.meguri.example"}
    )
    registration: str = field(
        default="", metadata={"says": "the code that the authority gave for a name in the registry"}
    )
    vc_api: str = field(
        default="off",
        metadata={
            "says": "VC-API: off, on (who issues needs an administrator's token) or loopback (nobody does)"
        },
    )
    log_level: str = field(default="info", metadata={"says": ", ".join(LEVELS)})
    meter: str = field(default="", metadata={"says": "VISA resource of the battery tester"})
    switch: str = field(default="", metadata={"says": "VISA resource of the switch mainframe"})
    analyser: str = field(
        default="",
        metadata={"says": "fast analyser behind that switch: its adapter and resource, a space between them"},
    )
    racks: tuple[str, ...] = field(
        default=(),
        metadata={
            "says": "for several racks: meter and switch of each, and its analyser, spaces between them"
        },
    )
    harvest_s: float = field(
        default=0.0,
        metadata={"says": "seconds between two readings of what others publish; 0: an authority hourly"},
    )
    longest_rest_s: float = field(
        default=300.0, metadata={"says": "longest pause before an away peer is tried"}
    )

    def __post_init__(self) -> None:
        if not self.name or len(self.name) > 120:  # noqa: PLR2004
            raise Invalid("say the company's name: MEGURI_NAME, or name in {file}", file=self.home / FILE)
        if not self.roles:
            raise Invalid("say the company's role: MEGURI_ROLES, or roles in {file}", file=self.home / FILE)
        ports = [port for port in (self.didcomm_port, self.web_port, self.admin_port) if port]
        if len(set(ports)) != len(ports):
            raise Invalid("each port needs a number of its own: {ports}", ports=", ".join(map(str, ports)))
        for name in ("didcomm_port", "web_port", "admin_port"):
            port = getattr(self, name)
            if not (0 if name == "admin_port" else 1) <= port <= 65535:  # noqa: PLR2004
                raise Invalid("{name} is no port: {port}", name=name, port=port)
        for name in ("didcomm_url", "public_url", "registry"):
            url = getattr(self, name)
            if url and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname):
                raise Invalid("{name} is no web address: {url}", name=name, url=url[:200])
        if self.did_host and not _HOST.fullmatch(self.did_host):
            raise Invalid("did_host is no host's name: {host}", host=self.did_host[:200])
        if self.vc_api not in VC_API:
            raise Invalid("vc_api is one of {choices}", choices=", ".join(VC_API))
        if self.vc_api == "loopback" and self.host not in _LOOPBACK:
            raise Invalid("vc_api = loopback needs a host that nobody else reaches, such as 127.0.0.1")
        if self.log_level not in LEVELS:
            raise Invalid("log_level is one of {levels}", levels=", ".join(LEVELS))
        if bool(self.meter) != bool(self.switch):
            raise Invalid("a rack needs one meter and one switch")
        if self.analyser and (not self.meter or len(self.analyser.split()) != 2):  # noqa: PLR2004
            raise Invalid("an analyser is its adapter and its resource, and belongs to meter and switch")
        for rack in self.racks:
            if len(rack.split()) not in {2, 4}:
                raise Invalid(
                    "a rack in racks is a meter and a switch, or these and an analyser's adapter and "
                    "resource, with spaces between: {rack}",
                    rack=rack,
                )
        resources = [one for rack in self.all_racks for one in (*rack[:2], *rack[3:])]
        if len(set(resources)) != len(resources):
            raise Invalid("no two racks share a meter, a switch or an analyser")
        if not 0 <= self.harvest_s <= 30 * 86400:
            raise Invalid("harvest_s is a number of seconds, up to a month")
        if not 0 < self.longest_rest_s <= 86400:  # noqa: PLR2004
            raise Invalid("longest_rest_s is a number of seconds, up to a day")

    @classmethod
    def load(cls, home: Path | None = None, environ: Mapping[str, str] | None = None) -> Self:
        """Read the settings of the agent in a folder, or raise `Invalid` saying what is wrong."""
        environ = os.environ if environ is None else environ
        home = (home or Path(environ.get("MEGURI_HOME") or Path.home() / ".meguri")).expanduser().absolute()
        told = _read(home / FILE)
        known = {one.name: one for one in fields(cls) if one.name != "home"}
        for name in told:
            if name not in known:
                raise Invalid("{file} holds an unknown setting: {name}", file=home / FILE, name=name[:60])
        told |= {name: environ[key] for name in known if (key := f"MEGURI_{name.upper()}") in environ}
        return cls(home, **{name: _typed(name, value, known[name].type) for name, value in told.items()})

    def save(self) -> None:
        """Write the settings to the folder's file, unless there is one."""
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        lines = []
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name == "home":
                continue
            line = f"{one.name} = {_toml(value)}"
            lines.append(line if value != one.default else f"# {line}  # {one.metadata['says']}")
        try:
            with (self.home / FILE).open("x", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")
        except FileExistsError:
            return

    # What follows from the settings

    @property
    def all_racks(self) -> tuple[tuple[str, ...], ...]:
        """Return each rack's meter and switch, and its analyser's adapter and resource where it has one.

        The rack that is named by itself is the first.
        """
        first = ((self.meter, self.switch, *self.analyser.split()),) if self.meter and self.switch else ()
        return (*first, *(tuple(rack.split()) for rack in self.racks))

    @property
    def journals(self) -> Path:
        """Return the folder of the station's journals."""
        return self.home / "shifts"

    @property
    def local_url(self) -> str:
        """Return the site's address on this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)
        return f"http://{host}:{self.web_port}"

    @property
    def site_url(self) -> str:
        """Return the site's address from outside."""
        return (self.public_url or self.local_url).rstrip("/")

    @property
    def blobs_url(self) -> str:
        """Return the address under which others fetch large files."""
        return f"{self.site_url}/blobs"

    @property
    def endpoint(self) -> str:
        """Return the address that other agents send messages to."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)
        return (self.didcomm_url or f"http://{host}:{self.didcomm_port}").rstrip("/")

    @property
    def books_url(self) -> str:
        """Return the database's URL."""
        return self.database_url or f"sqlite:///{self.home / 'books.db'}"

    @property
    def harvest_every_s(self) -> float:
        """Return how often others' sites are read: as set, else by an authority hourly, by others never."""
        return self.harvest_s or (3600.0 if "governance-authority" in self.roles else 0.0)

    @property
    def vault(self) -> Path:
        """Return the folder of photos and files."""
        return self.home / "vault"

    def secret(self, name: str) -> str:
        """Return a secret kept in a file that only we may read; the first time, a new random one."""
        return keep_secret(self.home / name, secrets.token_urlsafe(32))


def keep_secret(path: Path, new: str) -> str:
    """Return the secret in a file, made with `new` where there is none; refuse one that others may read."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        pass
    else:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(new + "\n")
            file.flush()
            os.fsync(file.fileno())
        return new
    if path.stat().st_mode & 0o077:
        raise Invalid("others may read {path}: run chmod 600 {path}", path=path)
    return path.read_text("ascii").strip()


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Invalid("{file} cannot be read: {reason}", file=path, reason=error) from error


def _typed(name: str, value: object, type_: object) -> Any:
    try:
        if type_ is int and not isinstance(value, bool | float):
            return int(value)  # type: ignore[call-overload]
        if type_ is float and not isinstance(value, bool):
            return float(value)  # type: ignore[arg-type]
        if type_ is str and isinstance(value, str):
            return value.strip()
        if type_ == tuple[str, ...]:
            parts = value.split(",") if isinstance(value, str) else value
            if isinstance(parts, list) and all(isinstance(part, str) for part in parts):
                return tuple(part.strip() for part in parts if part.strip())
    except ValueError:
        pass
    raise Invalid("{name} cannot be {value}", name=name, value=str(value)[:80])


def _toml(value: object) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, str):
        escaped = "".join(c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08X}" for c in value)
        return f'"{escaped}"'
    return repr(value)
