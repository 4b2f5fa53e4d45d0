"""Who may use a company's agent: users, passwords, sessions, tokens and one-time links.

Secrets are random and leave this process once; the store keeps their SHA-256 digests, and of passwords
Argon2id hashes. There is no default password: the first start prints a link to set the first one.
"""

import asyncio
import os
import secrets
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from hashlib import sha256
from ipaddress import IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import Final, Literal

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from agents.ports import Desk, Pass, Store, User
from agents.role import RANKS, Rank
from schemas.errors import Forbidden, Invalid, Misstep, Unavailable, Unknown

SESSION: Final = timedelta(hours=12)  # without use
LONGEST_SESSION: Final = timedelta(days=30)
LINK: Final = timedelta(hours=24)
FOREVER: Final = timedelta(days=36500)
PREFIX: Final = "meguri_"
LOCAL: Final = "local"  # the user whose token lies in the agent's own folder
SHORTEST_PASSWORD, LONGEST_PASSWORD = 10, 256
MOST_WAITING: Final = 50

# OWASP's first choice for Argon2id: 19 MiB, two passes, one lane.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_WINDOW = timedelta(hours=1)
_FREE_TRIES = 4
_SHORT, _LONG = 30, 900  # seconds
_LONGEST_NAME = 60


class Unidentified(Forbidden):
    """Nobody has said, and proved, who is asking."""

    code = "unidentified"


class Hurried(Unavailable):
    """Too many tries; `seconds` says how long to wait."""

    code = "too-many-tries"

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        super().__init__("too many tries: please wait {seconds} seconds", seconds=seconds)


@dataclass(frozen=True)
class Visitor:
    """Who is asking, and by which session or token."""

    user: str
    rank: Rank
    language: str
    kind: Literal["session", "token"]
    digest: str
    csrf: str = ""

    def may(self, rank: Rank) -> bool:
        """Say whether this rank is reached."""
        return RANKS.index(self.rank) >= RANKS.index(rank)


def digest_of(secret: str) -> str:
    """Return what the store knows of a secret."""
    return sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def read_name(name: str) -> str:
    """Return a user's name in its one spelling, or raise `Invalid`."""
    name = unicodedata.normalize("NFKC", name).strip().lower()
    if not 1 <= len(name) <= _LONGEST_NAME or not all(c.isalnum() or c in "._-@+" for c in name):
        raise Invalid("a user name has 1 to 60 letters, digits, and . _ - @ +")
    return name


def read_password(password: str, name: str) -> str:
    """Return a password in its one spelling, or raise `Invalid` saying why it is too weak."""
    password = unicodedata.normalize("NFKC", password)
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise Invalid(
            "a password has {shortest} to {longest} characters",
            shortest=SHORTEST_PASSWORD,
            longest=LONGEST_PASSWORD,
        )
    if name in password.lower() and len(password) < len(name) + SHORTEST_PASSWORD:
        raise Invalid("the password is little more than the user name")
    if len(set(password)) < SHORTEST_PASSWORD // 2:
        raise Invalid("the password repeats too few characters")
    return password


async def hashed(password: str) -> str:
    """Return the Argon2id hash of a password."""
    return await asyncio.to_thread(_HASHER.hash, password)


async def _matches(secret: str, password: str) -> bool:
    def check() -> bool:
        nobodys = _nobodys()
        try:
            return _HASHER.verify(secret or nobodys, password) and bool(secret)
        except (VerificationError, InvalidHashError, UnicodeEncodeError):
            return False

    return await asyncio.to_thread(check)


@cache
def _nobodys() -> str:
    """Return what is checked for names nobody has, so that they take as long as those somebody has."""
    return _HASHER.hash(secrets.token_urlsafe())


def pause(failures: int, longest: int) -> int:
    """Return the seconds to wait after so many failures: 0 for the first ones, then doubling."""
    return 0 if failures < _FREE_TRIES else min(2 ** min(failures - _FREE_TRIES + 1, 30), longest)


def network(address: str) -> tuple[str, int]:
    """Return what counts as one address, and its longest pause: an IPv6 network is one, its hosts are free.

    What comes from this machine may be everybody, by way of a proxy that does not say for whom it asks.
    """
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return "", _SHORT
    if isinstance(found, IPv6Address):
        found = found.ipv4_mapped or found
    if isinstance(found, IPv6Address) and not found.is_loopback:
        return str(IPv6Network((found, 64), strict=False)), _LONG
    return str(found), _SHORT if found.is_loopback else _LONG


class Door:
    """Lets people in by name and password; one password is checked at a time."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.lock = asyncio.Lock()
        self.waiting = 0

    async def enter(self, name: str, password: str, address: str) -> tuple[str, Visitor]:
        """Return the secret of a new session, and who it lets in; raise `Unidentified` or `Hurried`."""
        if self.waiting >= MOST_WAITING:
            raise Hurried(5)
        self.waiting += 1
        try:
            async with self.lock:  # so that many tries at once count one after the other
                return await self._enter(name[:200], password[: LONGEST_PASSWORD + 1], address)
        finally:
            self.waiting -= 1

    async def _enter(self, name: str, password: str, address: str) -> tuple[str, Visitor]:
        name = unicodedata.normalize("NFKC", name).strip().lower()
        # By address, and more leniently by name, so that a stranger cannot lock somebody out for long.
        block, longest = network(address)
        watched = ((digest_of(f"address {block}"), longest), (digest_of(f"name {name}"), _SHORT))

        def look(desk: Desk) -> tuple[int, User | None]:
            seconds = 0
            for who, longest in watched:
                wait = pause(desk.failures(who, desk.now - _WINDOW), longest)
                if wait and desk.failures(who, desk.now - timedelta(seconds=wait)):
                    seconds = max(seconds, wait)
            return seconds, desk.user(name)

        seconds, user = await self.store.read(look)
        if seconds:
            raise Hurried(seconds)
        if not await _matches(user.secret if user else "", unicodedata.normalize("NFKC", password)):

            def note(desk: Desk) -> None:
                for who, _ in watched:
                    desk.note_failure(who)

            await self.store.write(note)
            raise Unidentified("the name or the password is wrong")
        assert user is not None
        return await begin_session(self.store, user)


async def begin_session(store: Store, user: User) -> tuple[str, Visitor]:
    """Return the secret of a new session, and who it lets in."""
    secret, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(32)

    def work(desk: Desk) -> None:
        entry = Pass(
            digest_of(secret), "session", user.name, user.rank, "", csrf, desk.now, desk.now + SESSION
        )
        desk.keep_pass(entry)

    await store.write(work)
    return secret, Visitor(user.name, user.rank, user.language, "session", digest_of(secret), csrf)


async def recognise(store: Store, secret: str, kind: Literal["session", "token"]) -> Visitor | None:
    """Return whom a session's or token's secret lets in, if anybody."""
    if not secret or len(secret) > LONGEST_PASSWORD:
        return None
    digest = digest_of(secret)

    def work(desk: Desk) -> tuple[Visitor | None, bool]:
        entry = desk.passed(digest)
        user = desk.user(entry.user) if entry and entry.kind == kind else None
        if entry is None or user is None:
            return None, False
        rank = min(entry.rank, user.rank, key=RANKS.index)
        stale = kind == "session" and entry.expires - desk.now < SESSION - timedelta(hours=1)
        return Visitor(user.name, rank, user.language, kind, digest, entry.csrf), stale

    def renew(desk: Desk) -> None:
        if (entry := desk.passed(digest)) is not None:
            expires = min(desk.now + SESSION, entry.at + LONGEST_SESSION)
            desk.keep_pass(replace(entry, expires=max(expires, entry.expires)))

    visitor, stale = await store.read(work)
    if stale:  # a session in use lives on; written at most once an hour
        await store.write(renew)
    return visitor


async def leave(store: Store, visitor: Visitor) -> None:
    """End the session."""
    await store.write(lambda desk: desk.drop_pass(visitor.digest))


# Tokens for programs


async def new_token(store: Store, visitor: Visitor, label: str, rank: Rank, days: int = 365) -> str:
    """Return a new token of a user, of a rank no higher than theirs; it is shown this once."""
    if not visitor.may(rank):
        raise Forbidden("a token cannot have a higher rank than you have")
    if not 1 <= len(label.strip()) <= _LONGEST_NAME:
        raise Invalid("say in 1 to 60 characters what the token is for")
    if not 1 <= days <= 3650:  # noqa: PLR2004, ten years
        raise Invalid("a token lives 1 to 3650 days")
    return await _keep_token(store, visitor.user, label.strip(), rank, timedelta(days=days))


async def _keep_token(store: Store, user: str, label: str, rank: Rank, life: timedelta) -> str:
    secret = PREFIX + secrets.token_urlsafe(32)

    def work(desk: Desk) -> None:
        desk.keep_pass(Pass(digest_of(secret), "token", user, rank, label, "", desk.now, desk.now + life))

    await store.write(work)
    return secret


async def tokens(store: Store, user: str) -> list[Pass]:
    """List a user's tokens."""
    passes = await store.read(lambda desk: desk.passes(user))
    return [entry for entry in passes if entry.kind == "token"]


async def drop_token(store: Store, user: str, digest: str) -> None:
    """End one token of a user."""

    def work(desk: Desk) -> None:
        if not any(entry.digest == digest and entry.kind == "token" for entry in desk.passes(user)):
            raise Unknown("you have no such token")
        desk.drop_pass(digest)

    await store.write(work)


async def local_token(store: Store, folder: Path) -> Path:
    """Return the file with an administrator's token for commands on this machine, written when missing."""
    place = folder / "token"
    if place.exists() and await recognise(store, place.read_text("ascii").strip(), "token"):
        return place
    await store.write(lambda desk: desk.keep_user(User(LOCAL, "", "admin")))
    secret = await _keep_token(store, LOCAL, "local commands", "admin", FOREVER)
    fresh = folder / f".token-{secrets.token_hex(4)}"
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secret + "\n")
    fresh.replace(place)
    return place


# One-time links


async def has_admin(store: Store) -> bool:
    """Say whether some administrator has a password."""
    users = await store.read(lambda desk: desk.users())
    return any(user.secret and user.rank == "admin" for user in users)


async def first_link(store: Store, base_url: str) -> str:
    """Return a new one-time link to become an administrator; the one before ends."""
    return await _link(store, base_url, "", "admin", "first-link")


async def invite(store: Store, base_url: str, name: str, rank: Rank) -> str:
    """Add a user, or let one set a new password, and return the one-time link for it."""
    name = read_name(name)
    if rank not in RANKS:
        raise Invalid("there is no rank “{rank}”", rank=str(rank)[:40])
    if name == LOCAL:
        raise Invalid("“{name}” is kept for commands on this machine", name=name)

    def work(desk: Desk) -> None:
        user = desk.user(name)
        _keep_an_admin(desk, name, rank)
        desk.keep_user(replace(user, rank=rank) if user else User(name, "", rank))

    await store.write(work)
    return await _link(store, base_url, name, rank, f"link of {name}")


async def _link(store: Store, base_url: str, name: str, rank: Rank, setting: str) -> str:
    secret = secrets.token_urlsafe(32)

    def work(desk: Desk) -> None:
        if before := desk.setting(setting):
            desk.drop_pass(before)
        desk.set(setting, digest_of(secret))
        desk.keep_pass(Pass(digest_of(secret), "invitation", name, rank, "", "", desk.now, desk.now + LINK))

    await store.write(work)
    return f"{base_url.rstrip('/')}/welcome/{secret}"


async def invited(store: Store, secret: str) -> Pass:
    """Return the one-time link's entry, or raise `Unknown`."""
    entry = await store.read(lambda desk: desk.passed(digest_of(secret[:LONGEST_PASSWORD])))
    if entry is None or entry.kind != "invitation":
        raise Unknown("this link has been used or has expired; ask for a new one")
    return entry


async def redeem(store: Store, secret: str, name: str, password: str, language: str = "") -> User:
    """Set the password that a one-time link is for; the link and the user's sessions end."""
    entry = await invited(store, secret)
    name = entry.user or read_name(name)
    if name == LOCAL:
        raise Invalid("“{name}” is kept for commands on this machine", name=name)
    secret_hash = await hashed(read_password(password, name))

    def work(desk: Desk) -> User:
        if desk.passed(entry.digest) is None:
            raise Unknown("this link has been used or has expired; ask for a new one")
        known = desk.user(name)
        # What the user may do now counts, not what they might when the link was made.
        rank = known.rank if known and entry.user else entry.rank
        user = User(name, secret_hash, rank, language or (known.language if known else ""))
        desk.drop_pass(entry.digest)
        desk.keep_user(user)
        if rank == "admin" and (first := desk.setting("first-link")):
            desk.drop_pass(first)
        _end_sessions(desk, name)
        return user

    return await store.write(work)


# One's own account, and others'


async def change_password(store: Store, visitor: Visitor, old: str, new: str) -> None:
    """Change a user's password; all other sessions end."""
    user = await store.read(lambda desk: desk.user(visitor.user))
    if user is None or not await _matches(user.secret, unicodedata.normalize("NFKC", old)):
        raise Invalid("the present password is wrong")
    secret = await hashed(read_password(new, user.name))

    def work(desk: Desk) -> None:
        now = desk.user(visitor.user)
        if now is None or now.secret != user.secret:
            raise Misstep("the password has just been changed elsewhere")
        desk.keep_user(replace(now, secret=secret))
        _end_sessions(desk, user.name, but=visitor.digest)

    await store.write(work)


async def change_user(store: Store, name: str, change: Callable[[User], User]) -> None:
    """Change a user, such as their language or rank."""

    def work(desk: Desk) -> None:
        user = desk.user(name)
        if user is None:
            raise Unknown("there is no user “{name}”", name=name[:_LONGEST_NAME])
        changed = change(user)
        _keep_an_admin(desk, name, changed.rank)
        desk.keep_user(changed)

    await store.write(work)


async def drop_user(store: Store, name: str) -> None:
    """Remove a user with all sessions and tokens."""

    def work(desk: Desk) -> None:
        if desk.user(name) is None:
            raise Unknown("there is no user “{name}”", name=name[:_LONGEST_NAME])
        _keep_an_admin(desk, name, None)
        desk.drop_user(name)

    await store.write(work)


def _keep_an_admin(desk: Desk, name: str, rank: Rank | None) -> None:
    """Raise `Misstep` when the last administrator with a password would go."""
    admins = [user.name for user in desk.users() if user.rank == "admin" and user.secret]
    if admins == [name] and rank != "admin":
        raise Misstep("“{name}” is the last administrator", name=name)


def _end_sessions(desk: Desk, name: str, but: str = "") -> None:
    for entry in desk.passes(name):
        if entry.kind == "session" and entry.digest != but:
            desk.drop_pass(entry.digest)
