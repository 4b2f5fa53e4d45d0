"""Looking: what waits for us, exchanges, items and where they come from, companies, credentials, jobs."""

import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

import click

from agents.cli import drawing
from agents.cli.call import ITEMS, THREADS, Call, argument, as_json, command, option
from agents.cli.client import Unreachable
from agents.cli.paper import Paper, Text, bad, faint, good, local, loud
from agents.cli.thread import thread as thread_of
from agents.words import recall, translate
from schemas.errors import Fault, Invalid, Unknown

if TYPE_CHECKING:
    from agents.cli.sealed import Verdict
    from credentials.report import Report

SECTION: Final = "Look"
_LIMIT = option("--limit", "How many.", type=click.IntRange(1, 500), default=50, show_default=True)
_OFFSET = option("--offset", "How many to leave out first.", type=click.IntRange(0), default=0)
PAUSE_S: Final = 1.0
DOES_NOT_VERIFY: Final = 1


def _path(*parts: str) -> str:
    return "".join(f"/{quote(part, safe='')}" for part in parts)


def _more(call: Call, found: Sequence[object], limit: int, offset: int) -> None:
    if len(found) == limit and not call.json:
        call.note("there may be more: --offset {offset}", offset=offset + limit)


# Exchanges


def _dealings(call: Call, found: Sequence[Mapping[str, Any]], empty: str) -> None:
    def draw(paper: Paper) -> None:
        if not found:
            paper.line(faint(call.say(empty)))
        heads = [call.say(head) for head in ("thread", "about", "with", "what", "state", "since")]
        paper.table(
            heads,
            [
                (
                    d["thread"][:8],
                    d["about"],
                    drawing.label(d["peer"]),
                    drawing.protocol_name(call, d["protocol"]),
                    loud(call.term(d["state"], d["protocol"]))
                    if d["ours"]
                    else drawing.state(call, d["state"], d["protocol"]),
                    local(d["updated"]),
                )
                for d in found
            ],
            flexible=2,
        )

    call.show(found, draw)


@command("inbox", _LIMIT, _OFFSET)
def inbox(call: Call, limit: int, offset: int) -> None:
    """What waits for us."""
    found = call.client.get("/exchanges", ours="true", limit=limit, offset=offset)
    _dealings(call, found, "nothing waits for us")
    _more(call, found, limit, offset)


@command(
    "exchanges",
    option("--protocol", "Only of this protocol, such as collection/1.0."),
    option("--state", "Only in this state."),
    option("--about", "Only about this item or lot.", type=ITEMS),
    _LIMIT,
    _OFFSET,
)
def exchanges(
    call: Call, protocol: str | None, state: str | None, about: str | None, limit: int, offset: int
) -> None:
    """Exchanges with other companies, the latest change first."""
    if protocol and "/" not in protocol:
        protocol += "/1.0"
    found = call.client.get(
        "/exchanges",
        protocol=protocol,
        state=state,
        about=about and about.upper(),
        limit=limit,
        offset=offset,
    )
    _dealings(call, found, "there are no such exchanges")
    _more(call, found, limit, offset)


@command(
    "show",
    argument(
        "thread",
        "The exchange: its thread or how that begins, the code of what it is about, or the company.",
        type=THREADS,
    ),
)
def show(call: Call, thread: str) -> None:
    """One exchange with all that was said, and what may be done now."""
    found = call.client.get(_path("exchanges", thread_of(call, thread)))

    def draw(paper: Paper) -> None:
        protocol = found["protocol"]
        paper.title(
            drawing.protocol_name(call, protocol),
            "  ",
            found["about"],
            "  ",
            drawing.state(call, found["state"], protocol),
        )
        paper.pairs(
            [
                (call.say("thread"), found["thread"]),
                (call.say("with"), drawing.label(found["peer"])),
                (call.say("we are"), call.term(found["side"], "side")),
            ],
            indent=2,
        )
        for message in found["messages"]:
            paper.line()
            who = call.say("us") if message["from_us"] else drawing.label(found["peer"])
            mark = "→" if message["from_us"] else "←"
            said = call.term(message["kind"], protocol)
            notes: list[Text] = []
            if message["from_us"] and message["delivery"] not in {"taken", ""}:
                notes += ["  ", drawing.state(call, message["delivery"])]
            if message["standing"] != "standing":
                notes += ["  ", bad(call.say(message["standing"]))]
            paper.line(faint(local(message["at"])), f" {mark} ", loud(said), "  ", faint(who), *notes)
            if message["problem"]:
                paper.line("    ", bad(call.told(message["problem"])))
            drawing.contents(call, paper, message["body"], indent=4)
            for file in message["evidence"]:
                paper.line("    ", _file(call, file))
        paper.line()
        if found["credentials"]:
            drawing.statements(call, paper, found["credentials"])
            paper.line()
        if found["actions"]:
            paper.line(faint(call.say("You can now")))
            for action in found["actions"]:
                paper.line(
                    f"  meguri {action['name']} {found['thread'][:8]}  ", faint(call.say(action["title"]))
                )
        else:
            paper.line(faint(call.say("It is not our turn." if not found["ended"] else "It has ended.")))

    call.show(found, draw)


def _file(call: Call, file: Mapping[str, Any]) -> str:
    size = f"{file['size'] / 1000:,.0f} kB" if file["size"] >= 1000 else f"{file['size']} B"  # noqa: PLR2004
    state = "" if file["state"] == "held" else f", {call.say(file['state'])}"
    return f"▫ {file['name']} ({size}{state})  {file['digest'][:12]}"


# Items


def _items(call: Call, found: Sequence[Mapping[str, Any]]) -> None:
    def draw(paper: Paper) -> None:
        if not found:
            paper.line(faint(call.say("there are no such items")))
        heads = [call.say(head) for head in ("code", "kind", "model", "chemistry", "mass (kg)", "part of")]
        paper.table(
            heads,
            [
                (
                    i["code"],
                    call.term(i["kind"], "kind"),
                    i["model"],
                    i["chemistry"],
                    i["mass_kg"] or "",
                    i["part_of"] or "",
                )
                for i in found
            ],
            flexible=2,
        )

    call.show(found, draw)


@command(
    "items",
    argument("text", "Part of a code or model.", required=False, default=""),
    option("--kind", "Only of this kind."),
    option("--part-of", "Only what came out of this item.", type=ITEMS),
    _LIMIT,
    _OFFSET,
)
def items(call: Call, text: str, kind: str | None, part_of: str | None, limit: int, offset: int) -> None:
    """Items whose code or model contains a text."""
    found = call.client.get(
        "/items", text=text, kind=kind, part_of=part_of and part_of.upper(), limit=limit, offset=offset
    )
    _items(call, found)
    _more(call, found, limit, offset)


@command("item", argument("code", "The code on its label.", type=ITEMS))
def item(call: Call, code: str) -> None:
    """One item: what it is, its life, its credentials and dealings."""
    found = call.client.get(_path("items", code.strip()))

    def draw(paper: Paper) -> None:
        paper.title(f"{call.term(found['kind'], 'kind')}  {found['code']}")
        paper.pairs(
            [
                (call.say("model"), found["model"]),
                (call.say("chemistry"), found["chemistry"]),
                (call.say("mass (kg)"), found["mass_kg"] or ""),
                (call.say("position"), found["position"]),
                (call.say("registered by"), found["registrar_name"] or found["registrar"]),
                (call.say("part of"), ", ".join(one["code"] for one in found["above"])),
                (call.say("parts"), _few(call, [one["code"] for one in found["parts"]])),
                (call.say("went into"), ", ".join(one["code"] for one in found["containers"])),
            ],
            indent=2,
        )
        if found["events"]:
            paper.line()
            drawing.events(call, paper, found["events"], of_several=False)
        if found["credentials"]:
            paper.line()
            drawing.statements(call, paper, found["credentials"])
        if found["dealings"]:
            paper.line()
        for d in found["dealings"]:
            state = drawing.state(call, d["state"], d["protocol"])
            protocol = drawing.protocol_name(call, d["protocol"])
            paper.line(f"  {d['thread'][:8]}  {protocol}  {drawing.label(d['peer'])}  ", state)

    call.show(found, draw)


def _few(call: Call, codes: Sequence[str], most: int = 4) -> str:
    shown = ", ".join(codes[:most])
    return shown + (" " + call.say("and {count} more", count=len(codes) - most) if len(codes) > most else "")


@command("grade", argument("code", "The code on its label.", type=ITEMS))
def grade(call: Call, code: str) -> None:
    """Which reuse class the framework's rules give a cell, module or pack, and why."""
    found = call.client.get(_path("items", code.strip()))
    words = found["grade_words"]
    if not words:
        raise Invalid("{code} is nothing that is graded", code=found["code"])
    document = {"code": found["code"], "grade": found["grade"] or None, "words": words}

    def draw(paper: Paper) -> None:
        paper.line(good("✓ ") if found["grade"] else bad("? "), loud(found["code"]), "  ", call.told(words))

    call.show(document, draw)


@command("trace", argument("code", "The code on its label.", type=ITEMS))
def trace(call: Call, code: str) -> None:
    """Where an item comes from and what it became, and whether every statement about it holds.

    The chain from the vehicle to the product, each event by date, each credential and what is wrong with it.
    """
    found = call.client.get(_path("items", code.strip(), "trace"))
    call.show(found, lambda paper: drawing.trace(call, paper, found))


# Companies


@command("members")
def members(call: Call) -> None:
    """The companies in the register of members."""
    found = call.client.get("/members")

    def draw(paper: Paper) -> None:
        if not found:
            paper.line(faint(call.say("we hold no register of members yet")))
        heads = [call.say(head) for head in ("company", "roles", "standing", "since", "connected")]
        paper.table(
            heads,
            [
                (
                    loud(m["name"]) if m["us"] else m["name"],
                    ", ".join(call.term(role, "side") for role in m["roles"]),
                    drawing.state(call, m["status"]),
                    local(m["since"]),
                    call.say("us") if m["us"] else good("✓") if m["peer"] else "",
                )
                for m in found
            ],
            flexible=1,
        )

    call.show(found, draw)


@command(
    "framework",
    argument(
        "what",
        "What to print: all that is known of it, or the bare rules.",
        type=click.Choice(["show", "rules"]),
    ),
    option("--at", "The rules that held on this day (year-month-day)."),
    option("--version", "The rules of this number.", type=click.IntRange(1)),
)
def framework(call: Call, what: str, at: str | None, version: int | None) -> None:
    """The rules that all members go by.

    “framework rules” prints them as JSON, to be changed and put in force.
    """
    found = call.client.get("/framework", at=at, version=version)
    if what == "rules":
        call.paper.write(as_json(found["rules"]) + "\n")
        return

    def draw(paper: Paper) -> None:
        held = local(found["holds_from"]) if found["holds_from"] else call.say("comes with the software")
        paper.line(loud(f"{found['name']} {found['version']}"), "  ", held)
        paper.line(good(call.say("in force")) if found["in_force"] else faint(call.say("not in force now")))
        heads = [call.say(head) for head in ("statement", "who may make it", "opening")]
        paper.table(
            heads,
            [
                (
                    translate(name, None, call.language, "claim"),
                    ", ".join(
                        call.say("everyone") if r == "any" else call.term(r, "side") for r in rule["issuers"]
                    ),
                    call.term(rule["opening"], "choice"),
                )
                for name, rule in found["rules"]["claims"].items()
            ],
            flexible=1,
        )
        for one in reversed(found["versions"]):
            begin = local(one["holds_from"]) if one["holds_from"] else ""
            paper.line(call.say("version {version}", version=one["version"]), "  ", begin)

    call.show(found, draw)


@command("peers")
def peers(call: Call) -> None:
    """The agents we are connected with."""
    found = call.client.get("/peers")

    def draw(paper: Paper) -> None:
        if not found:
            paper.line(faint(call.say("we are connected with nobody yet; see “meguri invite”")))
        heads = [call.say(head) for head in ("company", "roles", "standing", "connection", "id")]
        paper.table(
            heads,
            [
                (
                    p["name"] or call.say("not introduced yet"),
                    ", ".join(call.term(role, "side") for role in p["roles"]),
                    drawing.state(call, p["standing"]) if p["standing"] else "",
                    _breaker(call, p["breaker"]),
                    p["id"],
                )
                for p in found
            ],
            flexible=1,
        )

    call.show(found, draw)


def _breaker(call: Call, state: str) -> Text:
    if state in {"", "closed"}:
        return good("✓")
    return bad(call.say("cannot be reached now" if state == "open" else "being tried again"))


@command("company")
def company(call: Call) -> None:
    """Whose agent this is."""
    found = call.client.get("/company")

    def draw(paper: Paper) -> None:
        paper.title(found["name"])
        paper.pairs(
            [
                (call.say("roles"), ", ".join(call.term(role, "side") for role in found["roles"])),
                (call.say("standing"), drawing.state(call, found["standing"])),
                ("DID", found["did"]),
                (call.say("authority"), found["authority"]),
                (call.say("agent"), call.client.url),
            ],
            indent=2,
        )

    call.show(found, draw)


# Disclosures


@command("disclosures", option("--about", "Only about this item.", type=ITEMS), _LIMIT, _OFFSET)
def disclosures(call: Call, about: str | None, limit: int, offset: int) -> None:
    """Who was shown what of an item, for which purpose, under which contract, and until when.

    What we showed, and what was shown to us; both sides keep the same.
    """
    found = call.client.get("/disclosures", about=about and about.upper(), limit=limit, offset=offset)

    def draw(paper: Paper) -> None:
        if not found:
            paper.line(faint(call.say("nothing was shown yet")))
        for one in found:
            mark = "→" if one["given"] else "←"
            paper.line(
                faint(local(one["asked"])), f" {mark} ", loud(drawing.label(one["peer"])), "  ", one["item"],
                "  ", drawing.state(call, one["state"], "disclosure/1.0"), faint(f"  {one['thread'][:8]}"),
            )  # fmt: skip
            paper.pairs(
                [
                    (call.say("purpose"), call.term(one["purpose"], "choice")),
                    (call.say("contract"), one["contract"]),
                    (call.say("terms"), one["terms"]),
                    (call.say("to be deleted by"), one["until"] or ""),
                    *(
                        (
                            call.term(shown["type"], "claim"),
                            ", ".join(drawing.title(call, name) for name in shown["fields"])
                            if shown["bound"]
                            else call.say("as a whole"),
                        )
                        for shown in one["shown"]
                    ),
                    *(
                        (f"✗ {call.term(type, 'claim')}", bad(call.told(why)))
                        for type, why in one["withheld"].items()
                    ),
                ],
                indent=4,
            )

    call.show(found, draw)
    _more(call, found, limit, offset)


# Messages and jobs


@command("dead-letters")
def dead_letters(call: Call) -> None:
    """The messages that could not be delivered."""
    found = call.client.get("/dead-letters")

    def draw(paper: Paper) -> None:
        if not found:
            paper.line(faint(call.say("everything could be delivered so far")))
        heads = [call.say(head) for head in ("id", "to", "message", "since", "tries", "why")]
        paper.table(
            heads,
            [
                (
                    m["id"][:8],
                    drawing.label(m["peer"]),
                    f"{drawing.protocol_name(call, m['protocol'])} {call.term(m['kind'], m['protocol'])}",
                    local(m["at"]),
                    str(m["attempts"]),
                    bad(call.told(m["problem"])),
                )
                for m in found
            ],
        )

    call.show(found, draw)


@command("retry", argument("id", "The id of the message, or its first characters, or all.", metavar="ID"))
def retry(call: Call, id: str) -> None:
    """Try again to deliver a message; `all` tries every one."""
    letters = call.client.get("/dead-letters")
    chosen = letters if id == "all" else [m for m in letters if id and m["id"].startswith(id.lower())]
    if not chosen and id != "all":
        raise Unknown("there is no dead letter “{id}”", id=id[:60])
    if len(chosen) > 1 and id != "all":
        raise Invalid(
            "“{text}” may stand for {count} messages; give more of the id", text=id, count=len(chosen)
        )
    for letter in chosen:
        call.client.post(f"/dead-letters{_path(letter['peer']['id'], letter['id'])}/retry")
    call.show(
        [letter["id"] for letter in chosen],
        lambda paper: paper.line(
            good("✓ "), call.say("{count} messages are on their way again", count=len(chosen))
        ),
    )


def _job(call: Call, paper: Paper, found: Mapping[str, Any]) -> None:
    paper.title(
        call.term(found["job"], "job"), "  ", drawing.state(call, found["state"]), "  ", faint(found["id"])
    )
    paper.pairs([(call.say("since"), local(found["at"]))], indent=2)
    drawing.contents(call, paper, {**found["details"], **found["progress"]}, indent=2)


@command("jobs")
def jobs(call: Call) -> None:
    """Long pieces of work, such as diagnosing a rack of cells."""
    found = call.client.get("/jobs")

    def draw(paper: Paper) -> None:
        if not found:
            paper.line(faint(call.say("there is no work going on")))
        heads = [call.say(head) for head in ("id", "work", "state", "since", "progress")]
        paper.table(
            heads,
            [
                (
                    j["id"],
                    call.term(j["job"], "job"),
                    drawing.state(call, j["state"]),
                    local(j["at"]),
                    ", ".join(f"{name} {value}" for name, value in drawing.values(call, j["progress"])),
                )
                for j in found
            ],
        )

    call.show(found, draw)


@command(
    "job",
    argument("id", "The id of the job.", metavar="ID"),
    option("--wait", "Wait until it has ended.", is_flag=True),
)
def job(call: Call, id: str, wait: bool) -> None:
    """One piece of work and how far it has come."""
    seen = ""
    while True:
        found = call.client.get(_path("jobs", id))
        progress = json.dumps(found["progress"], ensure_ascii=False, sort_keys=True)
        if not wait or found["state"] in {"done", "failed", "stopped"}:
            break
        if progress != seen and not call.json:
            call.note("{job}: {progress}", job=call.term(found["job"], "job"), progress=progress)
        seen = progress
        time.sleep(PAUSE_S)
    call.show(found, lambda paper: _job(call, paper, found))
    if wait and found["state"] != "done":
        raise click.exceptions.Exit(1)


# Credentials


@command(
    "credential",
    argument("id", "The id of the credential, or the code of the item it is about.", metavar="ID"),
    option("--type", "With a code: the latest of this type, such as HandOverReceipt."),
    option("--document", "The sealed document alone.", is_flag=True),
)
def credential(call: Call, id: str, type: str | None, document: bool) -> None:
    """One credential, what it says and whether it verifies."""
    found = call.client.get(_path("credentials", id if ":" in id else _credential_of(call, id, type)))
    if document:
        call.json = True
        found = found["document"]

    def draw(paper: Paper) -> None:
        drawing.statements(call, paper, [found])
        paper.pairs([("ID", found["id"])], indent=4)
        drawing.contents(call, paper, {k: v for k, v in found["claim"].items() if k != "id"}, indent=4)

    call.show(found, draw)


def _credential_of(call: Call, code: str, type: str | None) -> str:
    """Return the id of the latest credential of a type about an item; without a type, of the only one."""
    held = call.client.get(_path("items", code.strip()))["credentials"]
    fitting = [one for one in held if one["about"] == code.strip().upper() and type in {None, one["type"]}]
    types = ", ".join(sorted({one["type"] for one in held}))
    if not fitting:
        raise Unknown("there is no such credential about {code}; there are: {types}", code=code, types=types)
    if len(fitting) > 1 and type is None:
        raise Invalid("there are several about {code}; give --type: {types}", code=code, types=types)
    return str(max(fitting, key=lambda one: str(one["at"]))["id"])


class Unchecked(Invalid):
    """There is nothing that could be checked."""


@command(
    "verify",
    argument(
        "source",
        "A file, a web address, a did:webvh, or - for standard input.",
        metavar="FILE|URL|-",
    ),
    option(
        "--at",
        "Where a host named by a DID or status list is reached instead, as HOST=URL; may be repeated.",
        metavar="HOST=URL",
        multiple=True,
    ),
    option("--challenge", "The question a presentation must answer."),
    option("--domain", "To whom a presentation must be made."),
    option("--offline", "Fetch nothing and ask no agent.", is_flag=True),
)
def verify(
    call: Call, source: str, at: tuple[str, ...], challenge: str | None, domain: str | None, offline: bool
) -> None:
    """Check anything that is sealed, such as a credential that came with a battery.

    Credentials and presentations with any seal, status lists and DID logs are checked here, without an agent:
    keys of did:key, did:web and did:webvh and status lists are fetched, and what was fetched is told. Where
    an agent is known, it is asked whether the issuer is a member. Ends with 0 where all holds, 1 where it
    does not, and 2 where there is nothing that could be checked.
    """
    from agents.cli.sealed import Source, Web, examine, hosts  # cryptography behind it, needed here only

    try:
        own = call.where[0]  # what our own agent issued has its status list there
        web = Web(({urlsplit(own).netloc.lower(): own.rstrip("/")} if own else {}) | hosts(at), offline)
        verdict = examine(
            Source.of(source, web), web, now=datetime.now(UTC), challenge=challenge, domain=domain
        )
    except Fault as fault:
        raise Unchecked(fault.template, **fault.values) from fault
    standing = _standing(call, verdict.report.author) if not offline and call.where[0] else "unknown"
    fetched = {url: len(data) for url, data in web.fetched.items()}
    document = verdict.report.as_json() | {
        "what": verdict.what,
        "seal": verdict.seal,
        "says": dict(verdict.facts),
        "membership": standing,
        "fetched": fetched,
    }
    call.show(document, lambda paper: _draw(call, paper, verdict, standing, fetched))
    if not verdict.report.verified:
        raise click.exceptions.Exit(DOES_NOT_VERIFY)


def _standing(call: Call, author: str | None) -> str:
    try:
        entries = {entry["did"]: entry for entry in call.client.get("/members")}
    except Unreachable as error:
        call.note("{words}; checked without it", words=call.say(error.template, **error.values))
        return "unknown"
    except Fault as fault:
        call.note("{words}; checked without it", words=call.say(fault.template, **fault.values))
        return "unknown"
    return str(entries[author]["status"]) if author in entries else "no member"


def _draw(call: Call, paper: Paper, verdict: "Verdict", standing: str, fetched: Mapping[str, int]) -> None:
    report = verdict.report
    if report.verified:
        paper.line(good("✓ "), loud(call.say("It verifies.")))
    else:
        paper.line(bad("✗ "), loud(call.say("It does not verify.")))
    rows: list[tuple[str, Text]] = [
        (call.say("what"), ", ".join(filter(None, (call.say(verdict.what), verdict.seal))))
    ]
    for name, text in verdict.facts.items():
        shown = (
            local(text) if name in {"from", "until"} else call.term(text, "claim") if name == "type" else text
        )
        rows.append((call.say(name), shown))
    issuer = "" if "DID" in verdict.facts else report.author or ""
    rows += [(call.say("holder" if verdict.what == "presentation" else "issuer"), issuer)]
    rows += [(call.say("membership"), drawing.state(call, standing))] if issuer else []
    paper.pairs(rows, indent=2)
    paper.line()
    _checks(call, paper, report, 2)
    if fetched:
        paper.line()
    for url, size in fetched.items():
        paper.line("  ", faint(call.say("fetched {url} ({size} bytes)", url=url, size=size)))


def _checks(call: Call, paper: Paper, report: "Report", indent: int) -> None:
    from agents.cli.sealed import facts_of

    for check in report.checks:
        mark = good("✓ ") if check.passed else bad("✗ ")
        evidence = {
            name: recall(text, call.language) if name == "reason" else text
            for name, text in check.evidence.items()
        }
        paper.line(" " * indent, mark, translate(check.words, evidence, call.language))
    for inner in report.credentials:
        paper.line(
            " " * indent,
            faint(call.say("presented: {type}", type=_kind(call, facts_of(inner.document or {})))),
        )
        _checks(call, paper, inner, indent + 2)


def _kind(call: Call, facts: Mapping[str, str]) -> str:
    return call.term(facts["type"], "claim") if "type" in facts else call.say("credential")


COMMANDS: Final = {
    one.name: one
    for one in (
        *(inbox, exchanges, show, items, item, grade, trace, credential, verify),
        *(members, framework, peers, company),
        *(disclosures, dead_letters, retry, jobs, job),
    )
}
