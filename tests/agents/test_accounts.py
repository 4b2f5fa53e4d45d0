"""Users, passwords, sessions, tokens and one-time links."""

import stat
from pathlib import Path

import pytest
from argon2 import Type, extract_parameters
from hypothesis import given
from hypothesis import strategies as st

from agents import accounts
from agents.accounts import Door, Hurried, Unidentified, pause, read_name, read_password
from agents.ports import User
from agents.store import SqlStore
from schemas.errors import Fault, Forbidden, Invalid, Misstep, Unknown
from tests.agents.clock import Clock

PASSWORD = "correct horse battery"
BASE = "https://agent.example"


@pytest.fixture
async def admin(store: SqlStore) -> User:
    link = await accounts.first_link(store, BASE)
    return await accounts.redeem(store, link.rpartition("/")[2], "Chief", PASSWORD)


async def test_the_first_link_makes_an_administrator_once(store: SqlStore) -> None:
    link = await accounts.first_link(store, BASE)
    assert link.startswith(f"{BASE}/welcome/")
    assert not await accounts.has_admin(store)
    secret = link.rpartition("/")[2]
    user = await accounts.redeem(store, secret, " CHIEF ", PASSWORD, "ja")
    assert (user.name, user.rank, user.language) == ("chief", "admin", "ja")
    assert await accounts.has_admin(store)
    with pytest.raises(Unknown):
        await accounts.redeem(store, secret, "eve", PASSWORD)


async def test_a_link_lives_a_day_and_the_next_one_ends_it(store: SqlStore, clock: Clock) -> None:
    first = (await accounts.first_link(store, BASE)).rpartition("/")[2]
    second = (await accounts.first_link(store, BASE)).rpartition("/")[2]
    with pytest.raises(Unknown):
        await accounts.invited(store, first)
    assert (await accounts.invited(store, second)).rank == "admin"
    clock.wait(hours=24, seconds=1)
    with pytest.raises(Unknown):
        await accounts.redeem(store, second, "chief", PASSWORD)


async def test_a_weak_password_leaves_the_link_usable(store: SqlStore) -> None:
    secret = (await accounts.first_link(store, BASE)).rpartition("/")[2]
    with pytest.raises(Invalid):
        await accounts.redeem(store, secret, "chief", "chief")
    assert await accounts.redeem(store, secret, "chief", PASSWORD)


async def test_who_knows_the_password_gets_in(store: SqlStore, admin: User) -> None:
    secret, visitor = await Door(store).enter("Chief", PASSWORD, "10.0.0.1")
    assert await accounts.recognise(store, secret, "session") == visitor
    assert await accounts.recognise(store, secret, "token") is None
    await accounts.leave(store, visitor)
    assert await accounts.recognise(store, secret, "session") is None


@pytest.mark.parametrize("name", ["chief", "nobody", "", "x" * 10_000])
async def test_a_wrong_password_and_an_unknown_name_are_told_alike(
    store: SqlStore, admin: User, name: str
) -> None:
    with pytest.raises(Unidentified) as refusal:
        await Door(store).enter(name, "wrong horse battery", "10.0.0.1")
    assert str(refusal.value) == "the name or the password is wrong"


async def test_a_name_nobody_has_costs_as_much_work_as_one_somebody_has() -> None:
    real, nobodys = await accounts.hashed(PASSWORD), accounts._nobodys()
    assert extract_parameters(real) == extract_parameters(nobodys)
    assert extract_parameters(real).type is Type.ID


async def test_a_user_without_password_cannot_log_in(store: SqlStore) -> None:
    await store.write(lambda desk: desk.keep_user(User("machine", "", "admin")))
    for password in ("", "machine", PASSWORD):
        with pytest.raises(Unidentified):
            await Door(store).enter("machine", password, "10.0.0.1")


async def test_guessing_is_slowed_down_more_and_more(store: SqlStore, admin: User, clock: Clock) -> None:
    door = Door(store)
    waited = []
    for _ in range(8):
        try:
            await door.enter("chief", "wrong horse battery", "10.0.0.1")
        except Hurried as hurried:
            waited.append(hurried.seconds)
            clock.wait(seconds=hurried.seconds)
        except Unidentified:
            pass
    assert waited == sorted(waited)
    assert waited
    clock.wait(hours=2)
    assert await door.enter("chief", PASSWORD, "10.0.0.1")


async def test_an_address_is_slowed_down_whatever_name_it_tries(store: SqlStore, admin: User) -> None:
    door = Door(store)
    for number in range(4):
        with pytest.raises(Unidentified):
            await door.enter(f"name-{number}", "wrong horse battery", "10.0.0.9")
    with pytest.raises(Hurried):
        await door.enter("chief", PASSWORD, "10.0.0.9")
    assert await door.enter("chief", PASSWORD, "10.0.0.1")


@given(st.integers(0, 10_000), st.integers(1, 10_000))
def test_the_pause_never_shrinks_and_has_an_end(failures: int, longest: int) -> None:
    assert pause(failures, longest) <= pause(failures + 1, longest) <= longest


@given(st.text(max_size=40))
def test_a_name_is_read_once_and_for_all(text: str) -> None:
    try:
        name = read_name(text)
    except Invalid:
        return
    assert read_name(name) == name
    assert name == name.strip().lower()


@pytest.mark.parametrize("password", ["short", "aaaaaaaaaaaaaa", "chief-chief-1", "x" * 257])
def test_weak_passwords_are_refused(password: str) -> None:
    with pytest.raises(Invalid):
        read_password(password, "chief")


async def test_a_session_in_use_lives_on_but_not_forever(store: SqlStore, admin: User, clock: Clock) -> None:
    secret, _ = await Door(store).enter("chief", PASSWORD, "10.0.0.1")
    for _ in range(29 * 3):
        clock.wait(hours=8)
        assert await accounts.recognise(store, secret, "session")
    for _ in range(4):
        clock.wait(hours=8)
        seen = await accounts.recognise(store, secret, "session")
    assert seen is None


async def test_an_idle_session_ends(store: SqlStore, admin: User, clock: Clock) -> None:
    secret, _ = await Door(store).enter("chief", PASSWORD, "10.0.0.1")
    clock.wait(hours=12, seconds=1)
    assert await accounts.recognise(store, secret, "session") is None


async def test_a_new_password_ends_the_other_sessions(store: SqlStore, admin: User) -> None:
    door = Door(store)
    here, visitor = await door.enter("chief", PASSWORD, "10.0.0.1")
    there, _ = await door.enter("chief", PASSWORD, "10.0.0.2")
    with pytest.raises(Invalid):
        await accounts.change_password(store, visitor, "not it", "new horse battery")
    await accounts.change_password(store, visitor, PASSWORD, "new horse battery")
    assert await accounts.recognise(store, here, "session")
    assert await accounts.recognise(store, there, "session") is None
    with pytest.raises(Unidentified):
        await door.enter("chief", PASSWORD, "10.0.0.1")


async def test_a_token_speaks_for_its_user_no_louder_than_they_may(store: SqlStore, admin: User) -> None:
    _, visitor = await Door(store).enter("chief", PASSWORD, "10.0.0.1")
    token = await accounts.new_token(store, visitor, "scanner", "operator", 10)
    assert token.startswith("meguri_")
    seen = await accounts.recognise(store, token, "token")
    assert seen is not None
    assert (seen.user, seen.rank) == ("chief", "operator")
    with pytest.raises(Forbidden):
        await accounts.new_token(store, seen, "more", "manager")
    (entry,) = await accounts.tokens(store, "chief")
    assert token not in repr(entry)
    await accounts.drop_token(store, "chief", entry.digest)
    assert await accounts.recognise(store, token, "token") is None


async def test_who_is_demoted_or_removed_loses_it_at_once(store: SqlStore, admin: User) -> None:
    link = await accounts.invite(store, BASE, "clerk", "admin")
    await accounts.redeem(store, link.rpartition("/")[2], "", PASSWORD)
    secret, visitor = await Door(store).enter("clerk", PASSWORD, "10.0.0.1")
    token = await accounts.new_token(store, visitor, "x", "admin")
    await accounts.invite(store, BASE, "clerk", "operator")
    for kind, one in (("session", secret), ("token", token)):
        seen = await accounts.recognise(store, one, kind)  # type: ignore[arg-type]
        assert seen is not None
        assert seen.rank == "operator"
    await accounts.drop_user(store, "clerk")
    assert await accounts.recognise(store, secret, "session") is None
    assert await accounts.recognise(store, token, "token") is None


async def test_an_invited_user_chooses_the_password_but_not_the_name(store: SqlStore, admin: User) -> None:
    link = await accounts.invite(store, BASE, "Clerk", "operator")
    user = await accounts.redeem(store, link.rpartition("/")[2], "chief", PASSWORD)
    assert (user.name, user.rank) == ("clerk", "operator")


async def test_the_last_administrator_stays(store: SqlStore, admin: User) -> None:
    with pytest.raises(Misstep):
        await accounts.drop_user(store, "chief")
    with pytest.raises(Misstep):
        await accounts.invite(store, BASE, "chief", "operator")


async def test_the_machines_own_token_is_for_its_owner_alone(store: SqlStore, tmp_path: Path) -> None:
    place = await accounts.local_token(store, tmp_path)
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    seen = await accounts.recognise(store, place.read_text().strip(), "token")
    assert seen is not None
    assert seen.rank == "admin"
    before = place.read_text()
    assert (await accounts.local_token(store, tmp_path)).read_text() == before
    place.unlink()
    assert (await accounts.local_token(store, tmp_path)).read_text() != before
    assert not await accounts.has_admin(store)
    with pytest.raises(Fault):
        await accounts.invite(store, BASE, accounts.LOCAL, "admin")


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())


async def test_no_secret_reaches_the_database(store: SqlStore, admin: User, tmp_path: Path) -> None:
    secret, visitor = await Door(store).enter("chief", PASSWORD, "10.0.0.1")
    token = await accounts.new_token(store, visitor, "x", "admin")
    link = await accounts.invite(store, BASE, "clerk", "operator")
    written = everything_in(tmp_path)
    for one in (secret, token, link.rpartition("/")[2], PASSWORD):
        assert one.encode() not in written
