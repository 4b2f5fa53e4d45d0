"""One command for each action, made from the action's form."""

from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import quote

import click

from agents.cli.call import PEERS, THREADS, Argument, Call, Command, call_of
from agents.cli.forms import Form, flag, read_data
from agents.cli.paper import Paper, good, loud
from agents.cli.thread import thread
from agents.role import Action, Play
from agents.roles import ROLES, play
from protocols.membership import MEMBERSHIP
from schemas.errors import Invalid

SECTIONS = {
    "membership/1.0": "Membership",
    "collection/1.0": "Collection",
    "delivery/1.0": "Deliveries",
    "disclosure/1.0": "Disclosure",
    "diagnosis/1.0": "Diagnosis",
    "audit/1.0": "Prediction and audit",
    "sampling/1.0": "Prediction and audit",
}
TO = "The other company: its name, its DID, or the id of the connection."
THREAD = "The exchange: its thread or how that begins, the code of what it is about, or the company."
_FEW = 3


@cache
def everything() -> Play:
    """Return what companies of all roles can do."""
    return play(ROLES)


# Actions on our own records that belong with a protocol.
BESIDE = {
    "predict-life": "audit/1.0",
    "adopt-fleet": "audit/1.0",
    "put-framework-in-force": "membership/1.0",
}


def section(action: Action[Any]) -> str:
    """Name the part of the help that an action stands in."""
    if action.name in BESIDE:
        return SECTIONS[BESIDE[action.name]]
    if "publish" in action.name:
        return "Publication"
    if action.opens:
        return "Begin"
    return SECTIONS[action.protocol.name] if action.protocol else "Workshop"


def command_for(action: Action[Any]) -> Command:
    """Return the command that does an action."""
    form = Form(action.form)
    params: list[click.Parameter] = []
    if action.protocol:
        kind, metavar = (PEERS, "TO") if action.opens else (THREADS, "THREAD")
        params.append(Argument("to", TO if action.opens else THREAD, metavar=metavar, type=kind))
    params += form.options()
    if form.fields:
        words = "The whole form; options given besides take precedence."
        params.append(click.Option(["--data"], metavar="JSON|@FILE|-", help=words))
    params.append(click.Option(["--key"], metavar="TEXT", help="The same key twice does it once."))

    def run(to: str = "", data: str | None = None, key: str | None = None, **values: Any) -> None:
        perform(call_of(click.get_current_context()), action, form, to, data, key, values)

    doc = (action.run.__doc__ or action.form.__doc__ or "").strip()
    return Command(
        action.name, callback=run, params=params, help=doc, short_help=action.title, place="action"
    )


def perform(
    call: Call,
    action: Action[Any],
    form: Form,
    to: str,
    data: str | None,
    key: str | None,
    values: dict[str, Any],
) -> None:
    """Fill the form, check it here, upload its files, and do the action."""
    filled = read_data(data) if data is not None else {}
    given, files = form.read(values)
    filled |= given
    check(action, filled)
    call.key = key or call.key
    agent = call.client
    if action.protocol and not action.opens:
        to = thread(call, to, action.protocol.name)
    for digest, file in files.items():
        kept = agent.upload(file)
        if kept["digest"] != digest:
            raise Invalid("{file} changed while it was sent", file=file)
    done = agent.perform(action.name, to, filled)
    call.show(done, lambda paper: draw(call, paper, action, done))


def check(action: Action[Any], data: dict[str, Any]) -> None:
    """Raise `Invalid` with what is wrong with a form, each field called by its option."""
    from agents.service import Misfilled, read_form  # cryptography behind it, not needed for the help

    try:
        read_form(action.form, data)
    except Misfilled as wrong:
        raise Misgiven(wrong.fields) from wrong


class Misgiven(Invalid):
    """A form with wrong fields; `fields` maps each option to what is wrong with it."""

    def __init__(self, wrong: Mapping[str, str]) -> None:
        self.fields = {name_of(field): words for field, words in wrong.items()}
        super().__init__(
            "please correct: {fields}", fields="; ".join(f"{k}: {v}" for k, v in self.fields.items())
        )


def name_of(field: str) -> str:
    """Return what a wrong field is called on the command line: `rejected.0.item` is in `--rejected`."""
    name, _, rest = field.partition(".")
    if name == "form":
        return name
    where = [part for part in rest.split(".") if part]
    return flag(name) + (
        f" ({', '.join(str(int(p) + 1) if p.isdecimal() else p for p in where)})" if where else ""
    )


def draw(call: Call, paper: Paper, action: Action[Any], done: dict[str, Any]) -> None:
    """Say what came of an action."""
    title = call.say(action.title)
    if not done["thread"]:
        paper.line(good("✓ "), loud(title))
    else:
        protocol = action.protocol.name if action.protocol else ""
        state = call.term(done["state"], protocol)
        paper.line(good("✓ "), loud(title), f": {state}  {done['thread']}")
        if action.opens and action.protocol is not MEMBERSHIP:
            about = call.client.get(f"/exchanges/{done['thread']}").get("about")
            if about:
                paper.line("  ", call.say("about {code}", code=about))
    issued = done["issued"]
    for id in issued[:_FEW]:
        held = call.client.get(f"/credentials/{quote(id, safe='')}")
        paper.line(
            "  ",
            call.say("issued {type} about {code}", type=call.term(held["type"], "claim"), code=held["about"]),
        )
    if len(issued) > _FEW:
        paper.line("  ", call.say("and {count} more credentials", count=len(issued) - _FEW))
    for job in done["jobs"]:
        paper.line("  ", call.say("job {id} is at work; see “meguri job {id} --wait”", id=job))
