"""`meguri verify` of whatever is sealed, from files and over loopback, in words and with an exit status."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.cli.call import Call
from agents.cli.front import run
from agents.cli.sealed import Source, Web, examine
from credentials import integrity, jwt, sdjwt, status, webvh
from credentials.envelope import enveloped
from credentials.keys import LocalSigner, multikey
from credentials.vc import credential, presentation
from schemas.errors import Fault, Unavailable
from schemas.items import item_uri

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
COLLECTOR = LocalSigner.from_seed(b"c" * 32)
AUTHORITY = LocalSigner.from_seed(b"a" * 32)
RECYCLER = LocalSigner.from_seed(b"r" * 32)
HOST = "collector.example"
LIST = f"https://{HOST}/status/1"


def diagnosis(issuer: str = COLLECTOR.did, **more: Any) -> dict[str, Any]:
    cell = {"id": "urn:uuid:11111111-1111-4111-8111-111111111111", "soh": 0.91}
    return credential(issuer, [], cell, id="urn:uuid:1", valid_from=NOW - DAY, **more)


SEALED = integrity.seal(diagnosis(), COLLECTOR, created=NOW)
TOKEN = jwt.seal(diagnosis(), COLLECTOR, created=NOW)


def public(signer: LocalSigner) -> str:
    return multikey(signer.key.public_key().public_bytes_raw())


def company(site: str = "") -> tuple[LocalSigner, dict[str, bytes]]:
    """A company with a witnessed did:webvh, and what its host serves; its files stand at a site."""
    named = {"id": "#files", "type": "relativeRef", "serviceEndpoint": site}
    blank = f"did:webvh:{webvh.PLACEHOLDER}:{HOST}"
    document = {
        "@context": ["https://www.w3.org/ns/did/v1", "https://w3id.org/security/multikey/v1"],
        "id": blank,
        "verificationMethod": [
            {
                "id": f"{blank}#key-1",
                "type": "Multikey",
                "controller": blank,
                "publicKeyMultibase": public(COLLECTOR),
            }
        ],
        "assertionMethod": [f"{blank}#key-1"],
    } | ({"service": [named]} if site else {})
    witness = {"threshold": 1, "witnesses": [{"id": AUTHORITY.did}]}
    entry = webvh.created(
        document,
        COLLECTOR,
        when=NOW - DAY,
        parameters={"updateKeys": [public(COLLECTOR)], "witness": witness},
    )
    version = {"versionId": entry["versionId"]}
    approved = [version | {"proof": [webvh.approval(version, AUTHORITY, when=NOW - DAY)]}]
    did = str(entry["state"]["id"])
    log = webvh.line(entry).encode()
    report = webvh.history(did, log, json.dumps(approved), now=NOW)
    files = {
        "/.well-known/did.jsonl": log,
        "/.well-known/did-witness.json": json.dumps(approved).encode(),
        "/.well-known/did.json": json.dumps(webvh.web_document(report)).encode(),
    }
    return LocalSigner(COLLECTOR.key, did, f"{did}#key-1"), files


COMPANY, FILES = company()
PLAIN_WEB = LocalSigner(COLLECTOR.key, f"did:web:{HOST}", f"did:web:{HOST}#key-1")


def listed(*revoked: int) -> dict[str, Any]:
    bits = bytearray(status.LEAST // 8)
    for index in revoked:
        bits[index >> 3] |= 128 >> (index & 7)
    payload = status.status_list(
        COMPANY.did, LIST, bytes(bits), purpose="revocation", valid_from=NOW - DAY, valid_until=NOW + DAY
    )
    return integrity.seal(payload, COMPANY, created=NOW)


@pytest.fixture
def host() -> Iterator[Callable[[dict[str, bytes]], str]]:
    """Serves files on a loopback port; what begins with HTTP is the whole answer."""
    servers: list[ThreadingHTTPServer] = []

    def serve(files: dict[str, bytes]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = files.get(self.path)
                if body is not None and body.startswith(b"HTTP/"):
                    self.wfile.write(body)
                    return
                self.send_response(404 if body is None else 200)
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, format: str, *args: Any) -> None:
                return

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def verify(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    def verify(what: object, *args: str, **environ: str) -> tuple[int, str, str]:
        name = str(what)
        if not isinstance(what, str | Path):
            file = tmp_path / "sealed"
            file.write_bytes(what if isinstance(what, bytes) else json.dumps(what).encode())
            name = str(file)
        capsys.readouterr()
        ended = run(["verify", name, *args], Call({"HOME": str(tmp_path), **environ}))
        said = capsys.readouterr()
        return ended, said.out, said.err

    return verify


type Verify = Callable[..., tuple[int, str, str]]
type Host = Callable[[dict[str, bytes]], str]


SHOWN = presentation(RECYCLER.did, [SEALED, enveloped(TOKEN, "application/vc+jwt")])
ASKED = ("--challenge", "n-1", "--domain", "us")
HIDING = sdjwt.seal(
    diagnosis(),
    COLLECTOR,
    created=NOW,
    vct="urn:vct",
    hidden=[("credentialSubject", "soh")],
    holder=RECYCLER.key.public_key().public_bytes_raw(),
)


@pytest.mark.parametrize(
    ("what", "args", "named"),
    [
        (SEALED, (), "credential, eddsa-jcs-2022"),
        (TOKEN.encode(), (), "credential, vc+jwt"),
        (b'"' + TOKEN.encode() + b'"\n', (), "credential, vc+jwt"),
        (HIDING.encode(), (), "credential, dc+sd-jwt"),
        (
            sdjwt.present(HIDING, [], holder=RECYCLER, audience="us", nonce="n-1", now=NOW).encode(),
            ASKED,
            "credential, dc+sd-jwt",
        ),
        (enveloped(TOKEN, "application/vc+jwt"), (), "credential, vc+jwt"),
        (
            integrity.seal(
                SHOWN, RECYCLER, created=NOW, purpose="authentication", challenge="n-1", domain="us"
            ),
            ASKED,
            "presentation, eddsa-jcs-2022",
        ),
        (integrity.seal(SHOWN, RECYCLER, created=NOW), (), "presentation, eddsa-jcs-2022"),
        (
            jwt.seal(SHOWN, RECYCLER, created=NOW, challenge="n-1", domain="us").encode(),
            ASKED,
            "presentation, vp+jwt",
        ),
        ({"document": SEALED, "verified": False}, (), "credential, eddsa-jcs-2022"),
    ],
)
def test_every_seal_verifies_without_an_agent(
    verify: Verify, what: object, args: tuple[str, ...], named: str
) -> None:
    ended, out, err = verify(what, *args)
    assert (ended, err) == (0, "")
    assert "✓ It verifies." in out
    assert named in out
    assert "✗" not in out
    ended, out, _ = verify(what, *args, "--json")
    found = json.loads(out)
    assert (ended, found["verified"], found["membership"], found["fetched"]) == (0, True, "unknown", {})


def test_keys_and_lists_are_fetched_and_told(verify: Verify, host: Host) -> None:
    entry = status.entry(LIST, 7, "revocation")
    sealed = integrity.seal(diagnosis(COMPANY.did, status=[entry]), COMPANY, created=NOW)
    at = ("--at", f"{HOST}={host(FILES | {'/status/1': json.dumps(listed(8)).encode()})}")
    ended, out, err = verify(sealed, *at)
    assert (ended, err) == (0, "")
    for file in ("/.well-known/did.jsonl", "/.well-known/did-witness.json", "/status/1"):
        assert f"fetched https://{HOST}{file}" in out
    at = ("--at", f"{HOST}={host(FILES | {'/status/1': json.dumps(listed(7)).encode()})}")
    ended, out, _ = verify(sealed, *at)
    assert ended == 1
    assert "✗ It was revoked by its issuer." in out
    assert "✗ 発行者により失効とされています。" in verify(sealed, *at, LANG="ja_JP.UTF-8")[1]
    ended, out, _ = verify(sealed, *at, "--offline")
    assert ended == 1
    assert "nothing is fetched" in out


def test_a_status_list_and_a_did_log_are_checked_as_such(verify: Verify, host: Host, tmp_path: Path) -> None:
    at = ("--at", f"{HOST}={host(FILES)}")
    assert "status list, eddsa-jcs-2022" in verify(listed(), *at)[1]
    ended, out, _ = verify(COMPANY.did, *at)
    assert (ended, "DID log, did:webvh:1.0" in out) == (0, True)
    for name in ("did.jsonl", "did-witness.json"):
        (tmp_path / name).write_bytes(FILES[f"/.well-known/{name}"])
    assert verify(tmp_path / "did.jsonl", "--offline")[0] == 0
    (tmp_path / "did-witness.json").unlink()
    ended, out, _ = verify(tmp_path / "did.jsonl", "--offline")
    assert (ended, "witnesses needed have approved" in out) == (1, True)
    (tmp_path / "did.jsonl").write_bytes(FILES["/.well-known/did.jsonl"].replace(b"key-1", b"key-2"))
    ended, out, _ = verify(tmp_path / "did.jsonl", *at)
    assert (ended, "✗" in out) == (1, True)


def test_a_did_web_is_believed_where_it_stands(verify: Verify, host: Host) -> None:
    sealed = integrity.seal(diagnosis(PLAIN_WEB.did), PLAIN_WEB, created=NOW)
    assert verify(sealed, "--at", f"{HOST}={host(FILES)}")[0] == 0
    assert verify(sealed, "--at", f"{HOST}={host({})}")[0] == 1


def test_what_lies_at_a_web_address_is_checked(verify: Verify, host: Host) -> None:
    url = host(
        {"/c.json": json.dumps(SEALED).encode(), "/moved": b"HTTP/1.0 302 Found\r\nLocation: /c.json\r\n\r\n"}
    )
    ended, out, _ = verify(f"{url}/c.json")
    assert (ended, f"fetched {url}/c.json" in out) == (0, True)
    assert verify(f"{url}/nothing")[0] == 2
    ended, _, err = verify(f"{url}/moved")
    assert (ended, "sends us elsewhere" in err) == (2, True)
    assert verify(f"{url}/c.json", "--offline")[0] == 2


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (Path("/nowhere.json"), "cannot be read"),
        (Path("/"), "cannot be read"),
        (b"", "neither JSON nor a signed token"),
        (b"\xff\xfe", "neither JSON nor a signed token"),
        (b"two words", "neither JSON nor a signed token"),
        (b'{"id": 1, "id": 2}', "stands twice"),
        (b'{"soh": NaN}', "NaN"),
        ("https://", "is no web address"),
        ("http://[", "is no web address"),
        ("http://127.0.0.1:1/x", "cannot be fetched"),
        ("did:webvh:x", "is not a did:webvh"),
    ],
)
def test_what_cannot_be_checked_is_said_so(verify: Verify, what: object, words: str) -> None:
    ended, out, err = verify(what)
    assert (ended, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("text", ["collector.example", "=http://127.0.0.1", "a=", "a=ftp://127.0.0.1"])
def test_a_host_that_leads_nowhere_is_refused(verify: Verify, text: str) -> None:
    assert verify(SEALED, "--at", text)[0] == 2


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://127.0.0.1:{port}/status/1", "is inside our network"),
        ("https://①②⑦.⓪.⓪.①:{port}/status/1", "is inside our network"),
        ("http://collector.example/status/1", "over https only"),
        ("file:///etc/passwd", "is no web address"),
    ],
)
def test_a_strangers_link_into_our_network_is_not_followed(
    verify: Verify, host: Host, url: str, words: str
) -> None:
    url = url.format(port=host({"/status/1": b"{}"}).rpartition(":")[2])
    sealed = integrity.seal(diagnosis(status=[status.entry(url, 7, "revocation")]), COLLECTOR, created=NOW)
    ended, out, _ = verify(sealed)
    assert (ended, words in out) == (1, True)


def test_a_host_that_sends_without_end_is_left(host: Host) -> None:
    url = host({"/x": b"x" * 200_000})
    with pytest.raises(Unavailable, match="is larger than"):
        Web(max_bytes=1000).open(f"{url}/x")
    with pytest.raises(Unavailable, match="in time"):
        Web(patience_s=0).open(f"{url}/x")


def test_a_host_that_sends_byte_by_byte_is_left_in_time() -> None:
    over = threading.Event()

    class Drip(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with suppress(OSError):
                self.wfile.write(b"HTTP/1.1 200 OK\r\n")
                while not over.wait(0.05):
                    self.wfile.write(b"X: x\r\n")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Drip)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with pytest.raises(Unavailable, match="in time"):
            Web(patience_s=0.5).open(f"http://127.0.0.1:{server.server_port}/x")
    finally:
        over.set()
        server.shutdown()
        server.server_close()


def test_not_more_is_fetched_than_a_check_needs() -> None:
    web = Web(fetched={f"https://a.example/{number}": b"" for number in range(100)})
    with pytest.raises(Unavailable, match="more than 100"):
        web.fetch("https://a.example/x")


@given(st.binary(max_size=400) | st.text(max_size=200).map(str.encode))
@settings(deadline=None)
def test_any_bytes_get_a_report_or_a_reason(data: bytes) -> None:
    try:
        verdict = examine(Source("-", data), Web(offline=True), now=NOW)
    except Fault:
        return
    assert not verdict.report.verified


CELL = "P3F9KQ27MH-C017-2"
ID = "11111111-1111-4111-8111-111111111111"


def published(signer: LocalSigner, item: str = CELL, id: str = ID) -> dict[str, Any]:
    claim = {"id": item_uri(signer.did, item), "item": item, "kind": "cell"}
    payload = credential(signer.did, ("ItemIdentity",), claim, id=f"urn:uuid:{id}", valid_from=NOW - DAY)
    return integrity.seal(payload, signer, created=NOW)


@pytest.fixture
def resolve(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def resolve(name: str, *args: str) -> tuple[int, str, str]:
        capsys.readouterr()
        ended = run(["resolve", name, *args], Call({"HOME": "/nonexistent"}))
        said = capsys.readouterr()
        return ended, said.out, said.err

    return resolve


def test_a_did_url_leads_to_what_its_issuer_published(resolve: Verify, host: Host) -> None:
    signer, files = company("https://site.example/x/")
    document = published(signer)
    known = {
        f"/x/items/{CELL}": json.dumps({"item": CELL, "credentials": [document]}).encode(),
        f"/x/credentials/{ID}": json.dumps(document).encode(),
    }
    at = "--at", f"{HOST}={host(files)}", "--at", f"site.example={host(known)}"
    for name in (item_uri(signer.did, CELL), f"{signer.did}/credentials/{ID}"):
        ended, out, err = resolve(name, *at)
        assert (ended, err) == (0, "")
        assert "✓ Identity" in out
        ended, out, _ = resolve(name, *at, "--json")
        (one,) = json.loads(out)["statements"]
        assert (ended, one["verified"], one["id"]) == (0, True, f"urn:uuid:{ID}")
    for name in (item_uri(signer.did, "P3F9KQ27MH-5"), f"{signer.did}/credentials/{ID[:-1]}2"):
        ended, _, err = resolve(name, *at)
        assert ended == 2
        assert "disclosure/1.0" in err


def test_what_a_site_shows_under_a_did_url_is_believed_only_as_far_as_it_is_sealed(
    resolve: Verify, host: Host
) -> None:
    signer, files = company("https://site.example")
    at = f"{HOST}={host(files)}"

    def told(document: object) -> tuple[int, str]:
        site = host({f"/items/{CELL}": json.dumps(document).encode()})
        ended, out, err = resolve(item_uri(signer.did, CELL), "--at", at, "--at", f"site.example={site}")
        return ended, out + err

    changed = published(signer) | {"validFrom": "2026-01-02T00:00:00Z"}
    assert told({"credentials": [changed]})[0] == 1
    assert "✗" in told({"credentials": [published(signer), changed]})[1]
    theirs = {"credentials": [published(RECYCLER)]}
    assert told(theirs) == (2, told(theirs)[1])
    assert "another issuer" in told(theirs)[1]
    assert told({"credentials": [published(signer, "P3F9KQ27MH-5")]})[0] == 2
    shapes: list[object] = [{}, [], "x", [published(signer)]]
    shapes += [{"credentials": []}, {"credentials": ["x"]}, {"credentials": {}}, {"credentials": None}]
    for nonsense in shapes:
        assert told(nonsense)[0] == 2


@pytest.mark.parametrize(
    "name",
    [
        "x",
        "did:key:z6Mk/items/P3F9KQ27MH",
        f"did:web:{HOST}/items/P3F9KQ27MH",
        "{did}",
        "{did}/items/nonsense",
        "{did}/credentials/../x",
        "{did}/status/1",
        "{did}/items/P3F9KQ27MH",
    ],
)
def test_what_is_no_did_url_of_a_site_ends_in_words(resolve: Verify, host: Host, name: str) -> None:
    ended, out, err = resolve(name.format(did=COMPANY.did), "--at", f"{HOST}={host(FILES)}")
    assert (ended, out) == (2, "")
    assert err.strip()
