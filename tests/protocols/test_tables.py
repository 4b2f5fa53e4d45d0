"""Laws that every protocol's table keeps."""

import re

import pytest

from protocols.catalogue import MESSAGES, PROTOCOLS
from protocols.exchange import START, Protocol

# The type that ACA-Py's dispatcher reads: https://.../name/major.minor/kind, in lower case.
TYPE = re.compile(r"https://[a-z0-9./-]+?/([a-z0-9._-]+)/(\d+\.\d+)/([a-z0-9._-]+)")
OPEN_RELATIONS = {"receipt/1.0"}

every_protocol = pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS.keys())


def reachable(protocol: Protocol, start: str) -> set[str]:
    found, frontier = {start}, [start]
    while frontier:
        state = frontier.pop()
        onward = {step.next_state for step in protocol.steps if step.state == state} - found
        found |= onward
        frontier += onward
    return found


@every_protocol
def test_a_message_leads_to_one_state_only(protocol: Protocol) -> None:
    seen = [(step.state, step.sender, step.message) for step in protocol.steps]
    assert len(seen) == len(set(seen))


@every_protocol
def test_the_table_starts_with_the_opener_in_the_new_state(protocol: Protocol) -> None:
    assert protocol.steps[0].state == START
    opening = {step.sender for step in protocol.steps if step.state == START}
    assert opening == ({*protocol.sides} if protocol.name in OPEN_RELATIONS else {protocol.opener})


@every_protocol
def test_every_state_can_be_reached(protocol: Protocol) -> None:
    assert reachable(protocol, START) == set(protocol.states)


@every_protocol
def test_every_state_can_come_to_an_end(protocol: Protocol) -> None:
    if protocol.name in OPEN_RELATIONS:
        assert not protocol.ends
        return
    for state in protocol.states:
        assert reachable(protocol, state) & protocol.ends, f"nothing ends {state}"


@every_protocol
def test_there_are_two_sides_and_each_is_the_other_of_the_other(protocol: Protocol) -> None:
    assert {step.sender for step in protocol.steps} == set(protocol.sides)
    for side in protocol.sides:
        assert protocol.other(side) != side
        assert protocol.other(protocol.other(side)) == side


@every_protocol
def test_each_kind_names_one_message_and_each_message_one_kind(protocol: Protocol) -> None:
    bodies = {step.message for step in protocol.steps}
    assert len(protocol.messages) == len(bodies)
    for body in bodies:
        assert "kind" in vars(body), f"{body.__name__} borrows its kind"
        assert protocol.messages[body.kind] is body


@every_protocol
def test_every_message_says_what_it_means_in_one_sentence(protocol: Protocol) -> None:
    for body in protocol.messages.values():
        words = (vars(body)["__doc__"] or "").strip()
        assert words.endswith(".")
        assert "\n" not in words


@every_protocol
def test_no_message_takes_a_number_that_is_none(protocol: Protocol) -> None:
    for body in protocol.messages.values():
        assert body.model_config["allow_inf_nan"] is False
        assert body.model_config["frozen"] is True


@every_protocol
def test_what_may_be_sent_is_what_the_table_leads_on_from(protocol: Protocol) -> None:
    for state in protocol.states:
        for side in protocol.sides:
            for body in protocol.messages.values():
                leads_on = protocol.next_state(state, side, body) is not None
                assert leads_on == (body in protocol.may_send(state, side))


def test_a_protocol_is_found_by_its_name_and_no_two_share_a_uri() -> None:
    assert all(name == protocol.name for name, protocol in PROTOCOLS.items())
    assert len({protocol.uri for protocol in PROTOCOLS.values()}) == len(PROTOCOLS)


def test_the_catalogue_holds_every_message_once_under_a_type_that_didcomm_takes() -> None:
    assert len(MESSAGES) == sum(len(protocol.messages) for protocol in PROTOCOLS.values())
    for uri, (protocol, body) in MESSAGES.items():
        found = TYPE.fullmatch(uri)
        assert found, f"{uri} is no message type"
        assert f"{found[1]}/{found[2]}" == protocol.name
        assert found[3] == body.kind


def test_acapy_reads_our_message_types_as_we_mean_them() -> None:
    message_type = pytest.importorskip("acapy_agent.messaging.message_type").MessageType
    for uri, (protocol, body) in MESSAGES.items():
        read = message_type.from_str(uri)
        assert (f"{read.protocol}/{read.version}", read.name) == (protocol.name, body.kind)
