"""The company's own DID."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

import click

from agents.cli.call import Call, Group, argument, group, option
from agents.cli.client import API
from agents.cli.paper import Paper, bad, faint, good, local, loud
from schemas.errors import Invalid

SECTION: Final = "This agent"


# Our own DID


def _show(call: Call) -> None:
    _shown(call, call.client.get("/did"))


def _shown(call: Call, found: Mapping[str, Any]) -> None:
    def draw(paper: Paper) -> None:
        paper.title(found["did"])
        if found["deactivated"]:
            paper.line(bad(call.say("given up for good")))
        if found["web"]:
            paper.pairs([("did:web", found["web"])], indent=2)
        for key in found["keys"]:
            until = key["until"]
            note = call.say("seals until {time}", time=local(until)) if until else call.say("seals")
            name = key["id"].partition("#")[2]
            paper.line("  ", faint(name) if until else name, "  ", faint(note) if until else good(note))
        for one in found["services"]:
            paper.line("  ", loud(one["name"]), f"  {one['url']}  ", faint(one["type"]))
        if found["versions"]:
            last = found["versions"][-1]
            words = call.say("entry {number}, since {time}", number=last["number"], time=local(last["time"]))
            paper.line("  ", faint(words))
        if found["waiting"]:
            call.note("the registry has yet to take the last change; it is told again until it does")

    call.show(found, draw)


did: Group = group("did", _show, "The company's own DID: show it, or change it.")


@did.add("show")
def show(call: Call) -> None:
    """Show the DID with its keys and services."""
    _show(call)


@did.add(
    "rotate",
    option(
        "--leaked-since",
        "Since when the wallet may have leaked; nothing that was sealed since then counts.",
        default="",
        metavar="TIME",
    ),
)
def rotate(call: Call, leaked_since: str) -> None:
    """Replace the key that seals, and those that change the DID.

    What was sealed before goes on verifying. The key before counts for another day, unless it leaked.
    """
    body: dict[str, Any] = {}
    if leaked_since:
        try:
            body["leaked_since"] = datetime.fromisoformat(leaked_since).astimezone().isoformat()
        except ValueError:
            raise Invalid(
                "{text} is no time, such as 2026-04-01T09:30:00+09:00", text=leaked_since[:60]
            ) from None
    _shown(call, call.client.post("/did/rotate", body))


@did.add(
    "add-service",
    argument("name", "What it is called in the DID, such as site."),
    argument("url", "Its address."),
    option("--type", "What it is.", default="LinkedDomains", show_default=True),
)
def add_service(call: Call, name: str, url: str, type: str) -> None:
    """List a service in the DID, such as the site, or DIDCommMessaging; everybody can see it."""
    _shown(call, call.client.post("/did/services", {"name": name, "type": type, "url": url}))


@did.add("remove-service", argument("name", "What it is called in the DID."))
def remove_service(call: Call, name: str) -> None:
    """Take a service out of the DID."""
    call.client.ask("DELETE", f"{API}/did/services/{quote(name, safe='')}")
    call.show({"removed": name}, lambda paper: paper.line(good("✓ "), name))


@did.add(
    "deactivate", option("--confirm", "The DID itself; asked for unless given.", default="", metavar="DID")
)
def deactivate(call: Call, confirm: str) -> None:
    """Give the DID up for good: nothing that the company sealed verifies any more.

    There is no way back. The company would have to begin anew, and be admitted anew.
    """
    if not confirm:
        call.note("nothing that the company sealed will verify any more; there is no way back")
        confirm = str(click.prompt(call.say("Repeat the DID to give it up for good"), err=True))
    _shown(call, call.client.post("/did/deactivate", {"confirm": confirm.strip()}))


COMMANDS: Final = {did.name: did}
