"""What strangers, former users and bad luck can do at the door: links, passwords, pauses, the clock."""

import asyncio
from dataclasses import replace

import pytest

from agents import accounts
from agents.accounts import Door, Hurried, Unidentified
from agents.ports import User
from agents.store import SqlStore
from schemas.errors import Fault, Unknown
from tests.agents.clock import Clock

PASSWORD = "correct horse battery"
WRONG = "wrong horse battery"
BASE = "https://agent.example"


@pytest.fixture
async def admin(store: SqlStore) -> User:
    return await accounts.redeem(store, secret(await accounts.first_link(store, BASE)), "Chief", PASSWORD)


def secret(link: str) -> str:
    return link.rpartition("/")[2]


async def fail(door: Door, name: str, address: str, times: int = 4) -> None:
    for _ in range(times):
        with pytest.raises((Unidentified, Hurried)):
            await door.enter(name, WRONG, address)


# One-time links


async def test_of_two_who_race_with_one_link_one_gets_in(store: SqlStore) -> None:
    link = secret(await accounts.first_link(store, BASE))
    names = [f"racer-{number}" for number in range(6)]
    outcomes = await asyncio.gather(
        *(accounts.redeem(store, link, name, PASSWORD) for name in names), return_exceptions=True
    )
    assert sum(isinstance(outcome, User) for outcome in outcomes) == 1
    assert all(isinstance(outcome, User | Unknown) for outcome in outcomes)


async def test_a_link_gives_no_more_than_its_user_may_now(store: SqlStore, admin: User) -> None:
    link = secret(await accounts.invite(store, BASE, "picker", "admin"))
    await accounts.change_user(store, "picker", lambda user: replace(user, rank="operator"))
    assert (await accounts.redeem(store, link, "", PASSWORD)).rank == "operator"


async def test_the_link_of_a_user_who_was_removed_opens_nothing(store: SqlStore, admin: User) -> None:
    link = secret(await accounts.invite(store, BASE, "picker", "admin"))
    await accounts.drop_user(store, "picker")
    with pytest.raises(Unknown):
        await accounts.redeem(store, link, "picker", PASSWORD)


async def test_the_first_link_ends_once_there_is_an_administrator(store: SqlStore) -> None:
    first = secret(await accounts.first_link(store, BASE))
    other = secret(await accounts.invite(store, BASE, "picker", "admin"))
    await accounts.redeem(store, other, "", PASSWORD)
    with pytest.raises(Unknown):
        await accounts.redeem(store, first, "intruder", PASSWORD)


# Pauses


async def test_a_whole_network_of_ipv6_counts_as_one_address(store: SqlStore, admin: User) -> None:
    door = Door(store)
    for number in range(4):
        await fail(door, f"name-{number}", f"2001:db8:1:2::{number}", 1)
    with pytest.raises(Hurried):
        await door.enter("chief", PASSWORD, "2001:db8:1:2:ffff::1")
    assert await door.enter("chief", PASSWORD, "2001:db8:1:3::1")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", ""])
async def test_nobody_shuts_this_machine_out_for_long(
    store: SqlStore, admin: User, clock: Clock, address: str
) -> None:
    """Behind a proxy that does not say for whom it asks, everybody comes from here."""
    door = Door(store)
    for _ in range(20):
        await fail(door, "nobody", address, 1)
        clock.wait(seconds=31)
    assert await door.enter("chief", PASSWORD, address)


async def test_failures_of_a_time_that_has_not_come_keep_nobody_out(
    store: SqlStore, admin: User, clock: Clock
) -> None:
    clock.wait(days=2)
    await fail(Door(store), "chief", "10.0.0.1")
    clock.wait(days=-2)
    assert await Door(store).enter("chief", PASSWORD, "10.0.0.1")


async def test_a_session_does_not_outlive_a_clock_set_back_and_forth(
    store: SqlStore, admin: User, clock: Clock
) -> None:
    session, _ = await Door(store).enter("chief", PASSWORD, "10.0.0.1")
    clock.wait(days=-1)
    assert await accounts.recognise(store, session, "session")
    clock.wait(days=3)
    assert await accounts.recognise(store, session, "session") is None


@pytest.mark.parametrize("odd", ["\udcff", "a\0b", "\U0010ffff", "x" * 10_000])
async def test_odd_text_is_wrong_not_a_fault_of_ours(store: SqlStore, admin: User, odd: str) -> None:
    assert await accounts.recognise(store, odd, "session") is None
    with pytest.raises(Unknown):
        await accounts.invited(store, odd)
    for name, password, address in (
        (odd, WRONG, "10.0.0.1"),
        ("chief", odd, "10.0.0.2"),
        ("chief", WRONG, odd),
    ):
        with pytest.raises(Fault):
            await Door(store).enter(name, password, address)
