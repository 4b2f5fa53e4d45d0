"""The registry of DIDs in the authority's books: codes, races, and what a crash leaves."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agents import standing
from agents.dids import Registrar
from agents.role import Company, Held
from agents.store import SqlStore, open_store
from credentials import integrity, webvh
from credentials.keys import LocalSigner
from credentials.vc import credential, digest, presentation
from governance import dids
from schemas.errors import Forbidden, Invalid, Misstep, Unknown
from tests.governance.registered import REGISTRY, START, WITNESS, Holder

from .clock import Clock

US = Company("did:key:z6Mk", "Battery Office", ("governance-authority",))


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/books.db"
    return str(request.getfixturevalue("postgresql_url"))


@pytest.fixture
def store(url: str, clock: Clock) -> Iterator[SqlStore]:
    clock.now = START
    store = open_store(url, US, clock)
    yield store
    store.close()


@pytest.fixture
def registrar(store: SqlStore) -> Registrar:
    return Registrar(store, REGISTRY, WITNESS)


async def take(registrar: Registrar, clock: Clock, holder: Holder, entry: Any, code: str = "") -> None:
    clock.now = max(clock.now, holder.now)
    holder.kept = await registrar.take(holder.name, entry, code)


async def register(registrar: Registrar, clock: Clock, name: str = "kita") -> Holder:
    holder = Holder(name)
    code = await registrar.admit(name) if name else ""
    await take(registrar, clock, holder, holder.first(), code)
    return holder


async def test_what_was_registered_is_there_after_a_restart(
    registrar: Registrar, clock: Clock, url: str, store: SqlStore
) -> None:
    holder = await register(registrar, clock)
    await take(registrar, clock, holder, holder.rotated())
    store.close()
    again = open_store(url, US, clock)
    kept = await Registrar(again, REGISTRY, WITNESS).log("kita")
    assert kept == holder.kept
    assert webvh.verify(holder.history.did, kept.log, kept.approvals, now=clock.now).verified
    again.close()


async def test_a_name_needs_the_code_that_was_given_for_it(registrar: Registrar, clock: Clock) -> None:
    minatos = await registrar.admit("minato")
    first = Holder("kita").first()
    for code in ("", "kita.guess", minatos, minatos.replace("minato", "kita")):
        with pytest.raises(Forbidden):
            await registrar.take("kita", first, code)
    with pytest.raises(Unknown):
        await registrar.log("kita")
    with pytest.raises(Forbidden):
        await registrar.take("../kita", first, minatos)


async def test_a_code_is_good_once(registrar: Registrar, clock: Clock) -> None:
    code = await registrar.admit("kita")
    holder = Holder("kita")
    await take(registrar, clock, holder, holder.first(), code)
    assert await registrar.admissions() == []
    other = dids.begun(REGISTRY, "kita", webvh_key("a"), LocalSigner.generate(), webvh_key("b"), when=START)
    with pytest.raises(Misstep, match="is another one here"):
        await registrar.take("kita", other, code)
    with pytest.raises(Misstep, match="registered already"):
        await registrar.admit("kita")


def webvh_key(seed: str) -> str:
    return LocalSigner.from_seed(seed.encode() * 32).did.removeprefix("did:key:")


async def test_a_code_ends_with_its_day_with_the_next_one_or_when_told(
    registrar: Registrar, clock: Clock
) -> None:
    holder = Holder("kita")
    first = holder.first()
    earlier, code = await registrar.admit("kita"), await registrar.admit("kita")
    with pytest.raises(Forbidden):
        await registrar.take("kita", first, earlier)
    clock.wait(days=8)
    with pytest.raises(Forbidden):
        await registrar.take("kita", first, code)
    dropped = await registrar.admit("kita")
    await registrar.dismiss("kita")
    with pytest.raises(Forbidden):
        await registrar.take("kita", first, dropped)
    assert (await registrar.take("kita", first, await registrar.admit("kita"))).lines


async def test_what_is_refused_does_not_use_up_the_code(registrar: Registrar, clock: Clock) -> None:
    code = await registrar.admit("kita")
    with pytest.raises(Invalid):
        await registrar.take("kita", Holder("minato").first(), code)
    assert (await registrar.take("kita", Holder("kita").first(), code)).lines


async def test_posting_again_is_harmless(registrar: Registrar, clock: Clock) -> None:
    code = await registrar.admit("kita")
    holder = Holder("kita")
    first = holder.first()
    for _ in range(3):
        await take(registrar, clock, holder, first, code)
    entry, clock.now = holder.next(), holder.now
    for _ in range(3):
        kept = await registrar.take("kita", entry)
    assert len(kept.lines) == 2
    assert await registrar.take("kita", holder.entries()[0]) == kept  # an old one changes nothing


async def test_of_two_entries_at_once_one_wins(registrar: Registrar, clock: Clock) -> None:
    holder = await register(registrar, clock)
    clock.now = holder.now
    document = holder.history.last.document
    rivals = [
        holder.next(dids.with_service(document, "site", "LinkedDomains", f"https://k.example/{number}"))
        for number in range(5)
    ]
    outcomes = await asyncio.gather(
        *(registrar.take("kita", entry) for entry in rivals), return_exceptions=True
    )
    won = [one for one in outcomes if not isinstance(one, BaseException)]
    assert len(won) == 1
    assert all(isinstance(one, Misstep) for one in outcomes if one not in won)
    assert await registrar.log("kita") == won[0]


async def test_of_two_writers_that_checked_the_same_log_one_wins(
    registrar: Registrar, store: SqlStore, clock: Clock
) -> None:
    holder = await register(registrar, clock)
    clock.now = holder.now
    other = Registrar(store, REGISTRY, WITNESS)  # a second door, with a gate of its own
    entries = [holder.next(), holder.next({**holder.history.last.document, "service": []})]
    outcomes = await asyncio.gather(
        registrar.take("kita", entries[0]), other.take("kita", entries[1]), return_exceptions=True
    )
    assert sorted(isinstance(one, Misstep) for one in outcomes) == [False, True]


def shown(authority: Holder, holder: Holder, hours: int = 0, **changes: Any) -> dict[str, Any]:
    when = START + timedelta(hours=hours)
    issuer = changes.get("issuer", authority.sealer())
    about = changes.get("about", holder.history.did)
    accreditation = integrity.seal(
        credential(issuer.did, ["Accreditation"], {"id": about}, id="urn:x:1", valid_from=START),
        issuer,
        created=START,
    )
    signer = changes.get("signer", holder.sealer())
    return integrity.seal(presentation(signer.did, [accreditation]), signer, created=when)


async def test_a_holder_shows_what_the_authority_says_of_it(registrar: Registrar, clock: Clock) -> None:
    authority, holder = await register(registrar, clock, ""), await register(registrar, clock)
    clock.wait(hours=5)
    with pytest.raises(Unknown):
        await registrar.whois("kita")
    await registrar.show("kita", shown(authority, holder, 2))
    text = await registrar.whois("kita")
    with pytest.raises(Misstep, match="later presentation"):
        await registrar.show("kita", shown(authority, holder, 1))
    await registrar.show("kita", shown(authority, holder, 3))
    assert await registrar.whois("kita") != text


async def test_what_was_revoked_is_shown_no_more(registrar: Registrar, clock: Clock, store: SqlStore) -> None:
    authority, holder = await register(registrar, clock, ""), await register(registrar, clock)
    clock.wait(hours=1)
    signer = authority.sealer()
    entries = await store.write(lambda desk: standing.entries(desk, signer, "https://office.example"))
    document = credential(
        signer.did,
        ["Accreditation"],
        {"id": holder.history.did},
        id="urn:x:1",
        valid_from=START,
        status=entries,
    )
    sealed = integrity.seal(document, signer, created=START)

    def presented() -> dict[str, Any]:
        shown = presentation(holder.history.did, [sealed])
        return integrity.seal(shown, holder.sealer(), created=clock())

    await registrar.show("kita", presented())
    held = Held("urn:x:1", "Accreditation", holder.history.did, signer.did, START, digest(sealed), sealed, "")
    await store.write(lambda desk: standing.mark(desk, signer, [held], "revoked"))
    with pytest.raises(Invalid, match="revoked"):
        await registrar.show("kita", presented())
    elsewhere = [one | {"statusListCredential": "http://127.0.0.1/status/1"} for one in entries]
    sealed = integrity.seal(document | {"credentialStatus": elsewhere}, signer, created=START)
    with pytest.raises(Invalid, match="is not ours"):
        await registrar.show("kita", presented())


async def test_nobody_shows_anything_in_anothers_name(registrar: Registrar, clock: Clock) -> None:
    authority, holder, other = [await register(registrar, clock, name) for name in ("", "kita", "minato")]
    clock.wait(hours=1)
    stranger = LocalSigner.generate()
    for wrong in (
        shown(authority, other),
        shown(authority, holder, signer=other.sealer()),
        shown(authority, holder, signer=stranger),
        shown(authority, holder, issuer=holder.sealer()),
        shown(authority, holder, issuer=stranger),
        shown(authority, holder, about=other.history.did),
        shown(authority, holder) | {"holder": other.history.did},
        {},
    ):
        with pytest.raises((Forbidden, Invalid)):
            await registrar.show("kita", wrong)
    with pytest.raises(Unknown):
        await registrar.whois("kita")


async def test_what_was_given_up_is_served_as_given_up(registrar: Registrar, clock: Clock) -> None:
    authority, holder = await register(registrar, clock, ""), await register(registrar, clock)
    presented = shown(authority, holder)
    clock.now = holder.now
    await take(registrar, clock, holder, dids.ended(holder.history, holder.update_key(), when=holder.now))
    assert (await registrar.history("kita")).last.rules.deactivated
    with pytest.raises(Invalid, match="nothing can follow"):
        await registrar.take("kita", holder.bent())
    with pytest.raises(Invalid, match="given up"):
        await registrar.show("kita", presented)
