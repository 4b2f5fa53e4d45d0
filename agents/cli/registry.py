"""The registry: what companies have published, and at the authority the names in their DIDs."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

import click

from agents.cli import drawing
from agents.cli.call import ITEMS, PEERS, Call, argument, command, group, option
from agents.cli.client import API
from agents.cli.look import DOES_NOT_VERIFY, Unchecked
from agents.cli.paper import Paper, bad, faint, good, local, loud
from agents.words import recall
from schemas.errors import Fault

SECTION: Final = "Publication"
PAUSE_S: Final = 0.5


@command(
    "search",
    argument("text", "Words that stand in it, Japanese too.", required=False, default=""),
    option("--type", "Only of this type, such as DiagnosisResult."),
    option("--issuer", "Only by this company: its name in the register, or its DID."),
    option("--model", "Only about items of this model."),
    option("--item", "Only about this item.", type=ITEMS),
    option("--since", "Issued on this day or later, as 2026-04-01."),
    option("--until", "Issued on this day or earlier."),
    option("--limit", "How many.", type=click.IntRange(1, 100), default=20, show_default=True),
    option("--after", "Go on after a page that was not the last."),
)
def search(call: Call, **asked: Any) -> None:
    """What companies have published, the latest first, as the agent's registry knows it.

    Each line tells where the statement itself stands; `meguri verify URL` fetches and checks it.
    """
    found = call.client.get("/registry/search", **asked)

    def draw(paper: Paper) -> None:
        if not found["found"]:
            paper.line(faint(call.say("nothing published is known that fits")))
        for one in found["found"]:
            paper.line(
                loud(call.term(one["type"], "claim")),
                *(f"  {one[name]}" for name in ("item", "model") if one[name]),
                "  ",
                faint(local(one["at"])),
            )
            standing = drawing.state(call, one["standing"]) if one["standing"] else ""
            paper.line("    ", one["issuer_name"] or one["issuer"], "  ", standing)
            paper.line("    ", faint(one["url"]))

    call.show(found, draw)
    if found["next"] and not call.json:
        call.note("there is more: --after {place}", place=found["next"])


@command(
    "resolve",
    argument("name", "What is named: an item or a statement under its company's DID.", metavar="DIDURL"),
    option(
        "--at",
        "Where a host named by a DID or status list is reached instead, as HOST=URL; may be repeated.",
        metavar="HOST=URL",
        multiple=True,
    ),
)
def resolve(call: Call, name: str, at: tuple[str, ...]) -> None:
    """Find what stands under a DID URL of an item or a statement, at its issuer's site, and check it.

    Such as did:webvh:SCID:HOST:NAME/items/P3F9KQ27MH#C017-2, or …/credentials/UUID. What is not for everyone
    is not found; its issuer may tell a member of it over disclosure/1.0. Ends with 0 where all holds, 1 where
    it does not, and 2 where nothing is found.
    """
    from agents.cli.sealed import Web, hosts, resolved  # cryptography behind it, needed here only

    try:
        found = resolved(name, Web(hosts(at)), now=datetime.now(UTC))
    except Fault as fault:
        raise Unchecked(fault.template, **fault.values) from fault
    document = {
        "did": found.did,
        "url": found.url,
        "statements": [
            one.verdict.report.as_json() | {"id": one.id, "says": dict(one.verdict.facts)}
            for one in found.statements
        ],
    }

    def draw(paper: Paper) -> None:
        paper.title(found.url)
        paper.line("  ", faint(found.did))
        for one in found.statements:
            facts, report = one.verdict.facts, one.verdict.report
            mark = good("✓ ") if report.verified else bad("✗ ")
            paper.line(mark, loud(call.term(facts["type"], "claim")), "  ", faint(local(facts["from"])))
            paper.line("    ", one.id.removeprefix("urn:uuid:"))
            if not report.verified:
                paper.line("    ", bad(recall(report.reason, call.language)))

    call.show(document, draw)
    if not all(one.verdict.report.verified for one in found.statements):
        raise click.exceptions.Exit(DOES_NOT_VERIFY)


def _sources(call: Call) -> None:
    found = call.client.get("/registry/sources")
    call.show(found, lambda paper: _drawn(call, paper, found))


def _drawn(call: Call, paper: Paper, found: Mapping[str, Any]) -> None:
    if not found["sources"]:
        paper.line(faint(call.say("no issuer is read yet; see “meguri registry add --help”")))
    for one in found["sources"]:
        when = local(one["at"]) if one["at"] else call.say("not read yet")
        paper.line(
            bad("✗ ") if one["problem"] else good("✓ "), loud(one["name"] or one["issuer"]), "  ", faint(when)
        )
        paper.line("    ", faint(one["site"]))
        if one["problem"]:
            paper.line("    ", bad(call.told(one["problem"])))
        for id, why in one["refused"].items():
            paper.line("    ", call.say("refused: {id}", id=id), "  ", bad(call.told(why)))


REGISTRY = group("registry", _sources, "What others publish, indexed here; at the authority their DIDs too.")


@REGISTRY.add(
    "add",
    argument("issuer", "The company: its name in the register, or its DID.", type=PEERS),
    argument("site", "The address of its site, https://…"),
)
def add(call: Call, issuer: str, site: str) -> None:
    """Have a company's site read from now on."""
    call.client.post("/registry/sources", {"issuer": issuer, "site": site})
    call.show({}, lambda paper: paper.line(good("✓ "), call.say("it is read from now on")))


@REGISTRY.add("drop", argument("issuer", "The company: its name in the register, or its DID.", type=PEERS))
def drop(call: Call, issuer: str) -> None:
    """Read a company's site no more, and forget what was indexed of it."""
    call.client.ask("DELETE", f"/api/v1/registry/sources/{quote(issuer, safe='')}")
    call.show({}, lambda paper: paper.line(good("✓ "), call.say("it is forgotten")))


@REGISTRY.add("harvest", argument("issuer", "One company alone.", required=False, default="", type=PEERS))
def harvest(call: Call, issuer: str) -> None:
    """Read now what is new at the companies' sites."""
    call.client.post("/registry/harvest", {"issuer": issuer})
    _wait(call)


@REGISTRY.add("rebuild")
def rebuild(call: Call) -> None:
    """Forget the index, and read it anew from the companies' sites."""
    call.client.post("/registry/rebuild")
    _wait(call)


def _wait(call: Call) -> None:
    while call.client.get("/registry/sources")["running"]:
        time.sleep(PAUSE_S)
    _sources(call)


# The registry of DIDs, at the authority


@REGISTRY.add("names")
def names(call: Call) -> None:
    """List the companies that have a DID here, and the codes that are open."""
    found = call.client.get("/registrations")

    def draw(paper: Paper) -> None:
        if not found:
            paper.line(faint(call.say("no company is registered yet")))
        heads = [call.say(head) for head in ("name", "DID", "code good until")]
        paper.table(
            heads,
            [(one["name"], one["did"], local(one["expires"]) if one["expires"] else "") for one in found],
            flexible=1,
        )

    call.show(found, draw)


@REGISTRY.add(
    "admit",
    argument("name", "The name that the company will have in its DID."),
    option("--days", "How long the code is good.", type=click.IntRange(1, 90), default=7, show_default=True),
)
def admit(call: Call, name: str, days: int) -> None:
    """Admit a company under a name; prints the one-time code that it starts with."""
    found = call.client.post("/registrations", {"name": name, "days": days})

    def draw(paper: Paper) -> None:
        paper.line(found["code"])
        call.note("give it to the company: it starts with MEGURI_REGISTRATION set to this code")

    call.show(found, draw)


@REGISTRY.add("dismiss", argument("name", "The name."))
def dismiss(call: Call, name: str) -> None:
    """End the code that was given for a name."""
    call.client.ask("DELETE", f"{API}/registrations/{quote(name, safe='')}")
    call.show({"dismissed": name}, lambda paper: paper.line(good("✓ "), name))


COMMANDS: Final = {"search": search, "resolve": resolve, "registry": REGISTRY}
