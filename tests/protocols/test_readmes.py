"""Every protocol's README says what the code does, and every message in it could be sent as it stands."""

import base64
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from credentials.envelope import is_envelope, said
from credentials.jose import parsed
from credentials.resolution import KeyResolver
from credentials.seals import verify
from credentials.vc import content_digest
from protocols.catalogue import MESSAGES, PROTOCOLS
from protocols.disclosure import DISCLOSURE, Ask
from protocols.exchange import Message, Protocol
from protocols.receipt import RECEIPT, Bundle
from schemas.claims import CLAIMS
from tests.protocols.readme import ROOM, diagram, examples, readme, sections, table

ENVELOPE = {"@type", "@id", "~thread", "~attach"}
LATER = datetime(2027, 1, 1, tzinfo=UTC)
EXPECTED_CREDENTIALS = {
    ("introduction/1.0", "hello"): {"Introduction"},
    ("introduction/1.0", "welcome"): {"Introduction"},
    ("membership/1.0", "accredit"): {"Accreditation"},
    ("membership/1.0", "register"): {"MembershipRegister"},
    ("membership/1.0", "framework"): {"GovernanceFramework"},
    ("collection/1.0", "hand-over"): {"HandOverReceipt"},
    ("collection/1.0", "sign-receipt"): {"HandOverReceipt", "VehicleHistory"},
    ("delivery/1.0", "ship"): {"ItemIdentity", "DiagnosisResult", "VehicleHistory", "HandlingRecord"},
    ("disclosure/1.0", "disclose"): {"ItemIdentity", "VehicleHistory"},
    ("disclosure/1.0", "disclose-in-part"): {"ItemIdentity"},
    ("diagnosis/1.0", "request-diagnosis"): {"MeasurementRecord"},
    ("diagnosis/1.0", "answer"): {"DiagnosisResult"},
    ("audit/1.0", "request-audit"): {"Prediction", "CheckUps"},
    ("audit/1.0", "certify"): {"AuditCertificate"},
    ("sampling/1.0", "submit"): {"Prediction", "CheckUps"},
    ("sampling/1.0", "certify"): {"SamplingCertificate"},
}

every_protocol = pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS.keys())
every_message = pytest.mark.parametrize(
    ("protocol", "body"),
    [(protocol, body) for protocol in PROTOCOLS.values() for body in protocol.messages.values()],
    ids=list(MESSAGES),
)


def shown(protocol: Protocol, body: type[Message]) -> list[dict[str, Any]]:
    return examples(sections(readme(protocol))[body.kind])


def every_example() -> Iterator[tuple[Protocol, type[Message], dict[str, Any]]]:
    for protocol, body in MESSAGES.values():
        for example in shown(protocol, body):
            yield protocol, body, example


def content(example: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in example.items() if name not in ENVELOPE}


@every_protocol
def test_the_readme_names_the_protocol_and_its_sides(protocol: Protocol) -> None:
    text = readme(protocol)
    assert f"`{protocol.uri}`" in text
    for side in protocol.sides:
        assert f"\n| {side} |" in text


@every_protocol
def test_the_readme_shows_the_table_of_the_code(protocol: Protocol) -> None:
    assert table(protocol) in readme(protocol)


@every_protocol
def test_the_readme_draws_the_states_of_the_code(protocol: Protocol) -> None:
    assert diagram(protocol) in readme(protocol)


@every_protocol
def test_the_readme_explains_every_message_and_no_other(protocol: Protocol) -> None:
    assert list(sections(readme(protocol))) == list(protocol.messages)


@every_message
def test_every_message_is_explained_in_the_words_of_the_code_and_has_an_example(
    protocol: Protocol, body: type[Message]
) -> None:
    assert (body.__doc__ or "").strip() in sections(readme(protocol))[body.kind]
    assert shown(protocol, body)


@every_message
def test_every_example_is_a_message_of_its_type(protocol: Protocol, body: type[Message]) -> None:
    for example in shown(protocol, body):
        assert MESSAGES[example["@type"]] == (protocol, body)
        assert UUID(example["@id"]).version == 4
        said = body.model_validate(content(example))
        assert content(example).keys() <= body.model_fields.keys()
        assert body.model_validate_json(said.model_dump_json()) == said


@every_message
def test_every_example_says_its_place_in_the_exchange(protocol: Protocol, body: type[Message]) -> None:
    for example in shown(protocol, body):
        if protocol is RECEIPT:
            assert "~thread" not in example
            continue
        thread = example["~thread"]
        assert thread.keys() == {"thid", "sender_order", "received_orders"}
        senders = {step.sender for step in protocol.steps if step.message is body}
        assert thread["received_orders"].keys() <= {protocol.other(sender) for sender in senders}
        opens = (thread["thid"] == example["@id"], thread["sender_order"] == 0)
        if body is protocol.steps[0].message:
            assert opens == (True, True)
            assert not thread["received_orders"]
        else:
            assert not opens[0]
            assert all(seen >= 0 for seen in thread["received_orders"].values())


@every_protocol
def test_no_two_examples_have_one_id(protocol: Protocol) -> None:
    ids = [example["@id"] for body in protocol.messages.values() for example in shown(protocol, body)]
    assert len(ids) == len(set(ids))


def test_the_messages_in_a_bundle_are_messages_too() -> None:
    (example,) = shown(RECEIPT, Bundle)
    assert len(example["messages"]) > 1
    for message in example["messages"]:
        _, body = MESSAGES[message["@type"]]
        body.model_validate(content(message))


def test_every_message_that_carries_credentials_shows_them() -> None:
    attached: dict[tuple[str, str], set[str]] = {}
    for protocol, body, example in every_example():
        for attachment in example.get("~attach", ()):
            if attachment["mime-type"] == "application/vc":
                attached.setdefault((protocol.name, body.kind), set()).add(attachment["@id"])
    assert attached == EXPECTED_CREDENTIALS


def test_every_credential_in_an_example_verifies_and_states_its_claim() -> None:
    for _, _, example in every_example():
        for attachment in example.get("~attach", ()):
            document = attachment["data"].get("json")
            if document is None:
                continue
            report = verify(document, KeyResolver(), now=LATER)
            assert report.verified, f"{example['@type']}: {report.reason}"
            told = said(document)
            kind = told["type"][1]
            assert attachment["@id"] == kind
            subject = {name: value for name, value in told["credentialSubject"].items() if name != "id"}
            CLAIMS[kind].model_validate(subject)
            assert is_envelope(document) <= MESSAGES[example["@type"]][1].limited


def test_the_example_of_a_question_shows_who_asks_and_answers_itself() -> None:
    (example,) = shown(DISCLOSURE, Ask)
    asked = Ask.model_validate(content(example))
    claims = parsed(asked.presentation).payload
    question: Any = {"challenge": asked.question(example["~thread"]["thid"]), "domain": claims["aud"]}
    assert verify(asked.presentation, KeyResolver(), now=LATER, **question).verified


def test_every_file_in_an_example_has_the_digest_it_states() -> None:
    files = [
        attachment
        for _, _, example in every_example()
        for attachment in example.get("~attach", ())
        if "base64" in attachment["data"]
    ]
    assert files
    for attachment in files:
        data = base64.b64decode(attachment["data"]["base64"], validate=True)
        assert len(data) == attachment["byte_count"]
        assert content_digest(data) == attachment["data"]["sha256"]


def test_the_rooms_readme_leads_to_every_protocol() -> None:
    text = (ROOM / "README.md").read_text("utf-8")
    for protocol in PROTOCOLS.values():
        folder = protocol.name.partition("/")[0]
        assert f"[{protocol.name}]({folder}/README.md)" in text
