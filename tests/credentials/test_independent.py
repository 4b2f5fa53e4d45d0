"""What we seal, an independent implementation verifies, and what it seals, we do: Digital Bazaar's, in Node.

Its packages are pinned in `node/package-lock.json`; .ci/run installs them.
"""

import copy
import json
import os
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from credentials import integrity, seals
from credentials.keys import LocalSigner
from credentials.rdf import published
from credentials.resolution import KeyResolver
from credentials.vc import credential, presentation

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parent / "node"
NOW = datetime.now(UTC).replace(microsecond=0)
OURS = LocalSigner.generate()
ASKED: Any = {"challenge": "nonce-1", "domain": "did:example:asker"}
VOCABULARY = "https://meguri.example/contexts/test"
CONTEXTS = {
    **published(),
    VOCABULARY: {"@context": {"@vocab": "https://meguri.example/terms#"}},
    "https://w3id.org/security/multikey/v1": {"@context": {}},
}
SUBJECTS: tuple[dict[str, Any], ...] = (
    {"id": "urn:uuid:11111111-1111-4111-8111-111111111111", "soh": 0.91, "ohm": 4.2e-05, "cycles": 1000000},
    {"id": "urn:uuid:22222222-2222-4222-8222-222222222222", "電圧": "3.652 V", "note": 'a "b" \\ \u2028 😀'},
    {
        "id": "urn:uuid:33333333-3333-4333-8333-333333333333",
        "nested": {"deep": {"value": -1.5e30}},
        "ok": True,
    },
)


def payload(issuer: str, number: int) -> dict[str, Any]:
    return credential(
        issuer,
        [],
        SUBJECTS[number],
        id=f"urn:uuid:4444444{number}-4444-4444-8444-444444444444",
        valid_from=NOW - timedelta(days=1),
        valid_until=NOW + timedelta(days=1),
        contexts=[VOCABULARY],
    )


@pytest.fixture(scope="module")
def node() -> str:
    found = shutil.which("node")
    missing = "there is no Node" if not found else ""
    if found and not (FOLDER / "node_modules").is_dir():
        missing = f"its packages are not installed: npm ci in {FOLDER}"
    if missing and os.environ.get("CI"):
        pytest.fail(missing)
    if missing or not found:
        pytest.skip(missing)
    return found


def changed(document: dict[str, Any]) -> dict[str, Any]:
    other = copy.deepcopy(document)
    other["credentialSubject"]["added"] = "later"
    return other


def test_each_verifies_what_the_other_seals_and_nothing_that_was_changed(node: str) -> None:
    sealed = [integrity.seal(payload(OURS.did, number), OURS, created=NOW) for number in range(len(SUBJECTS))]
    shown = integrity.seal(
        presentation(OURS.did, sealed), OURS, created=NOW, purpose="authentication", **ASKED
    )
    forged = integrity.seal(
        presentation(OURS.did, [*sealed[1:], changed(sealed[0])]),
        OURS,
        created=NOW,
        purpose="authentication",
        **ASKED,
    )
    asked = {
        "contexts": CONTEXTS,
        "issue": [payload(OURS.did, number) for number in range(len(SUBJECTS))],
        "verify": [*sealed, *map(changed, sealed)],
        "present": [shown, forged],
        **ASKED,
    }
    done = subprocess.run(
        [node, str(FOLDER / "cross.js")],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    theirs: dict[str, Any] = json.loads(done.stdout)

    assert [one["verified"] for one in theirs["credentials"]] == [True] * 3 + [False] * 3, theirs[
        "credentials"
    ]
    assert [one["verified"] for one in theirs["presentations"]] == [True, False], theirs["presentations"]

    now = datetime.now(UTC)
    assert len(theirs["issued"]) == 2 * len(SUBJECTS)
    for document in theirs["issued"]:
        report = seals.verify(document, KeyResolver(), now=now, contexts=CONTEXTS)
        assert report.verified, report.reason
        assert report.author == theirs["did"]
        assert not seals.verify(changed(document), KeyResolver(), now=now, contexts=CONTEXTS).verified
    assert {document["proof"]["cryptosuite"] for document in theirs["issued"]} == {
        integrity.SUITE,
        integrity.RDF_SUITE,
    }
    for document in theirs["presented"]:
        report = seals.verify(document, KeyResolver(), now=now, contexts=CONTEXTS, **ASKED)
        assert report.verified, report.reason
        assert not seals.verify(document, KeyResolver(), now=now, contexts=CONTEXTS).verified
