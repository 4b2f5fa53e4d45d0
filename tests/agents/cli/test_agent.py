"""Commands against a real site over a real store."""

import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from agents.evidence import Vault
from agents.ports import Desk
from agents.role import Held
from agents.web import Context, site
from governance.framework import FRAMEWORK, read_framework
from tests.agents.cli.conftest import THEIR_DID, Door, Meguri, Town


def test_what_waits_is_shown_done_and_gone(town: Town, meguri: Meguri) -> None:
    thread = town.applies("Midori Recycling")
    inbox = meguri("inbox")
    assert inbox.status == 0
    assert thread[:8] in inbox.out
    assert "Midori Recycling" in inbox.out
    shown = meguri("show", thread)
    assert "meguri accredit" in shown.out
    done = meguri("accredit", thread, "--json")
    assert (done.status, json.loads(done.out)["state"]) == (0, "accredited")
    again = meguri("accredit", thread)
    assert again.status == 4
    assert again.err.startswith("meguri: ")
    assert again.err.count("\n") == 1
    members = json.loads(meguri("members", "--json").out)
    assert {"Midori Recycling", "Kita 解体"} <= {m["name"] for m in members}
    assert "Midori Recycling" in meguri("members").out


def test_the_same_key_does_a_thing_once(town: Town, meguri: Meguri) -> None:
    first = json.loads(meguri("introduce", town.peer, "--key", "k1", "--json").out)
    again = json.loads(meguri("introduce", town.peer, "--key", "k1", "--json").out)
    other = json.loads(meguri("introduce", town.peer, "--json").out)
    assert first["thread"] == again["thread"] != other["thread"]


def test_an_exchange_is_named_by_its_first_characters(town: Town, meguri: Meguri) -> None:
    done = json.loads(meguri("introduce", "Minato Battery Collection", "--json").out)
    found = json.loads(meguri("show", done["thread"][:13], "--json").out)
    assert found["thread"] == done["thread"]
    assert meguri("show", "ffffffff-nothing").status == 3


def test_the_trace_is_a_tree_with_events_and_verdicts(town: Town, meguri: Meguri) -> None:
    cell = town.cell()
    stored = meguri("store-items", "--items", cell, "--place", "棚 3")
    assert stored.status == 0, stored.err
    traced = meguri("trace", cell)
    assert traced.status == 0, traced.err
    lines = traced.out.splitlines()
    kinds = ("vehicle", "pack", "cell")
    depth = [next(line.index(f"{kind} ") for line in lines if f"{kind} " in line) for kind in kinds]
    assert depth == sorted(set(depth))
    assert "リーフ ZE1" in traced.out
    assert "  棚 3  " in traced.out
    document = json.loads(meguri("trace", cell, "--json").out)
    assert [link["kind"] for link in document["chain"]] == ["vehicle", "pack", "cell"]


def test_an_item_is_found_and_told(town: Town, meguri: Meguri) -> None:
    cell = town.cell()
    assert cell in meguri("items", cell[:6]).out
    assert "position" in meguri("item", cell.lower()).out


def test_photos_are_uploaded_first_and_named_by_digest(town: Town, meguri: Meguri, tmp_path: Path) -> None:
    cell = town.cell()
    photo = tmp_path / "wet pack.jpg"
    photo.write_bytes(b"\xff\xd8\xff\xe0" + b"x" * 100_000)
    done = meguri("note-nonconformity", "--item", cell, "--what", "swollen", "--photos", str(photo), "--json")
    assert done.status == 0, done.err
    events = json.loads(meguri("item", cell, "--json").out)["events"]
    files = [file for event in events for file in event["evidence"]]
    assert [(file["name"], file["size"]) for file in files] == [("wet pack.jpg", 100_004)]


def test_a_missing_photo_stops_everything(town: Town, meguri: Meguri) -> None:
    cell = town.cell()
    done = meguri("note-nonconformity", "--item", cell, "--what", "bent", "--photos", "/nowhere.jpg")
    assert (done.status, done.out) == (2, "")
    assert "/nowhere.jpg cannot be read" in done.err
    events = json.loads(meguri("item", cell, "--json").out)["events"]
    assert "bent" not in {event["how"] for event in events}


def test_a_whole_form_comes_from_a_file_and_options_go_first(
    town: Town, meguri: Meguri, tmp_path: Path
) -> None:
    cell = town.cell()
    form = tmp_path / "form.json"
    form.write_text(json.dumps({"items": [cell], "place": "shelf 1"}))
    for _ in range(3):
        stored = meguri("store-items", "--data", f"@{form}", "--place", "shelf 2")
        assert stored.status == 0, stored.err
    events = json.loads(meguri("item", cell, "--json").out)["events"]
    assert events[-1]["where"] == "shelf 2"


@pytest.mark.parametrize(
    ("args", "status", "words"),
    [
        (("store-items", "--items", "P3F9KQ27MH-6", "--place", "x"), 2, "check character"),
        (("store-items",), 2, "--items: Please fill this in; --place: Please fill this in"),
        (("store-items", "--data", "{"), 2, "--data"),
        (("store-items", "--data", "[1]"), 2, "one JSON object"),
        (("store-items", "--data", '{"colour": "red"}'), 2, "--colour"),
        (("weigh-materials", "--pack", "P3F9KQ27MH-5", "--metal-kg", "NaN"), 2, "--metal-kg"),
        (("weigh-materials", "--pack", "P3F9KQ27MH-5", "--metal-kg", "-1"), 2, "--metal-kg"),
        (("item", "P3F9KQ27MH-5"), 3, "P3F9KQ27MH-5"),
        (("item", "nonsense"), 2, "is not an item code"),
        (("credential", "urn:uuid:none"), 3, "urn:uuid:none"),
        (("introduce", "Nobody at all"), 3, "Nobody at all"),
        (("offer-lot", "Minato Battery Collection"), 2, "--purpose"),
        (("jobs", "--colour"), 2, "--colour"),
        (("accep-quote",), 2, "did you mean accept-quote"),
        (("job", "none"), 3, "none"),
        (("retry", "none"), 3, "none"),
        (("join", "https://example.org"), 2, "no invitation"),
    ],
)
def test_what_goes_wrong_is_one_line_and_a_status(
    meguri: Meguri, args: tuple[str, ...], status: int, words: str
) -> None:
    ended = meguri(*args)
    assert (ended.status, ended.out) == (status, "")
    assert words in ended.err
    assert ended.err.startswith("meguri: ")
    assert ended.err.count("\n") == 1


def test_what_goes_wrong_is_json_for_programs(meguri: Meguri) -> None:
    ended = meguri("item", "P3F9KQ27MH-5", "--json")
    assert ended.status == 3
    assert json.loads(ended.out)["error"]["code"] == "unknown"


def test_a_wrong_token_is_refused_with_what_to_do(town: Town, meguri: Meguri) -> None:
    ended = meguri("inbox", MEGURI_TOKEN="meguri_wrong")
    assert ended.status == 5
    assert "meguri login" in ended.err


def test_nobody_home_names_the_address_it_tried(meguri: Meguri) -> None:
    ended = meguri("inbox", "--agent", "http://127.0.0.1:9")
    assert ended.status == 6
    assert "http://127.0.0.1:9" in ended.err
    assert "meguri start" in ended.err


def test_without_an_agent_it_says_how_to_name_one(meguri: Meguri, tmp_path: Path) -> None:
    ended = meguri("inbox", MEGURI_HOME="")
    assert ended.status == 2
    assert "--agent URL" in ended.err
    assert meguri("inbox", "--home", str(tmp_path / "none")).status == 2


def test_an_operators_token_may_not_do_what_a_manager_may(town: Town, meguri: Meguri) -> None:
    token = json.loads(meguri("token", "new", "a robot", "--json").out)["token"]
    thread = town.applies("Another")
    assert meguri("inbox", MEGURI_TOKEN=token).status == 0
    assert meguri("accredit", thread, MEGURI_TOKEN=token).status == 5
    listed = json.loads(meguri("token", "--json").out)
    (robot,) = [one for one in listed if one["label"] == "a robot"]
    assert meguri("token", "end", robot["id"][:10]).status == 0
    assert meguri("inbox", MEGURI_TOKEN=token).status == 5


def test_users_come_by_a_one_time_link_log_in_and_go(
    town: Town, meguri: Meguri, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agents.accounts import redeem

    link = json.loads(meguri("users", "add", "foreman", "--rank", "manager", "--json").out)["url"]
    town.do(redeem(town.store, link.rpartition("/")[2], "foreman", "a long enough password"))
    assert "foreman" in meguri("users").out

    answers = iter(["foreman", "wrong password", "foreman", "a long enough password"])
    monkeypatch.setattr("click.prompt", lambda *_, **__: next(answers))
    assert meguri("login", "--agent", town.url, MEGURI_HOME="").status == 5
    entered = meguri("login", "--agent", town.url, MEGURI_HOME="")
    assert entered.status == 0, entered.err
    kept = tmp_path / ".config" / "meguri" / "agents.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert "a long enough password" not in kept.read_text()
    assert "foreman" in meguri("whoami", MEGURI_HOME="").out
    assert meguri("users", MEGURI_HOME="").status == 5  # a manager is no administrator
    token = json.loads(kept.read_text())["agents"][town.url]["token"]
    assert meguri("logout", MEGURI_HOME="").status == 0
    assert meguri("whoami", "--agent", town.url, MEGURI_HOME="", MEGURI_TOKEN=token).status == 5
    assert meguri("whoami", MEGURI_HOME="").status == 2
    assert meguri("users", "remove", "foreman").status == 0


def test_a_credential_verifies_here_and_there_and_not_when_changed(
    town: Town, meguri: Meguri, tmp_path: Path
) -> None:
    done = json.loads(meguri("accredit", town.applies("Third"), "--json").out)
    document = json.loads(meguri("credential", done["issued"][0], "--document").out)
    file = tmp_path / "credential.json"
    file.write_text(json.dumps(document))
    assert meguri("verify", str(file)).status == 0
    offline: dict[str, Any] = json.loads(meguri("verify", str(file), "--offline", "--json").out)
    assert (offline["verified"], offline["membership"]) == (False, "unknown")  # it may be revoked by now
    assert {check["name"] for check in offline["checks"] if not check["passed"]} == {
        "status.list",
        "status.standing",
    }
    document["credentialSubject"]["name"] = "Somebody else"
    file.write_text(json.dumps(document))
    changed = meguri("verify", str(file), "--offline")
    assert changed.status == 1
    assert "✗" in changed.out


def test_a_command_waits_until_the_agent_is_ready(town: Town, meguri: Meguri, tmp_path: Path) -> None:
    starting = [{"start": "the agent is starting"}] * 3
    context = Context(
        town.agent,
        Vault(tmp_path),
        Door(),
        "http://127.0.0.1",
        ready=lambda: starting.pop() if starting else {},
    )
    runner = web.AppRunner(site(context))

    async def open_door() -> str:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    url = town.do(open_door())
    early = meguri("ready", "--agent", url)
    assert (early.status, early.out) == (6, "")
    assert "the agent is starting" in early.err
    assert "起動中" in meguri("ready", "--agent", url, LANG="ja_JP.UTF-8").err
    assert json.loads(meguri("ready", "--wait", "60", "--agent", url, "--json").out) == {
        "ready": True,
        "url": url,
    }
    assert starting == []
    town.do(runner.cleanup())
    assert meguri("ready", "--wait", "0.1", "--agent", url).status == 6
    assert meguri("ready").status == 0


def test_the_openapi_document_names_every_action(town: Town, meguri: Meguri) -> None:
    paths = json.loads(meguri("openapi").out)["paths"]
    assert {f"/api/v1/actions/{name}" for name in town.agent.play.actions} <= set(paths)


@pytest.mark.parametrize(
    "args",
    [("inbox",), ("exchanges",), ("items",), ("members",), ("peers",), ("company",), ("dead-letters",),
     ("jobs",), ("users",), ("token",), ("whoami",), ("invite",), ("version",)],
)  # fmt: skip
@pytest.mark.parametrize("language", ["C", "ja_JP.UTF-8"])
def test_everything_that_can_be_looked_at_can_be_looked_at(
    meguri: Meguri, args: tuple[str, ...], language: str
) -> None:
    ended = meguri(*args, LANG=language)
    assert ended.status == 0, ended.err
    document = meguri(*args, "--json")
    json.loads(document.out)
    assert document.err == ""


def test_an_exchange_may_be_named_by_the_company(town: Town, meguri: Meguri) -> None:
    thread = town.applies("Fourth and Daughters")
    done = meguri("accredit", "fourth AND daughters", "--json")
    assert json.loads(done.out)["thread"] == thread
    assert meguri("show", "Fourth and Nobody").status == 3


def test_a_credential_may_be_named_by_its_item_and_type(town: Town, meguri: Meguri) -> None:
    cell, now = town.cell(), datetime.now(UTC)

    def work(desk: Desk) -> None:
        for number, kind in enumerate(("ItemIdentity", "HandlingRecord", "HandlingRecord")):
            id, at = f"urn:uuid:{cell}-{number}", now + timedelta(seconds=number)
            document = {"credentialSubject": {"item": cell}}
            desk.keep_credential(Held(id, kind, cell, THEIR_DID, at, id, document))

    town.do(town.store.write(work))
    latest = meguri("credential", cell.lower(), "--type", "HandlingRecord", "--json")
    assert json.loads(latest.out)["id"] == f"urn:uuid:{cell}-2"
    several, none = meguri("credential", cell), meguri("credential", cell, "--type", "DiagnosisResult")
    assert (several.status, none.status) == (2, 3)
    assert all("HandlingRecord, ItemIdentity" in ended.err for ended in (several, none))


def test_the_rules_are_shown_for_people_and_printed_to_be_changed(meguri: Meguri) -> None:
    shown = meguri("framework", "show")
    assert shown.status == 0
    assert "Meguri governance framework 1" in shown.out
    assert "dismantler" in shown.out
    told = json.loads(meguri("framework", "show", "--at", "2020-01-01", "--json").out)
    assert told["digest"] == FRAMEWORK.digest
    printed = meguri("framework", "rules")
    assert read_framework(printed.out).digest == FRAMEWORK.digest
    japanese = meguri("framework", "show", LANG="ja_JP.UTF-8")
    assert "解体業者" in japanese.out
    wrong = meguri("framework", "show", "--version", "7")
    assert wrong.status != 0
    assert "there is no version 7" in wrong.err
