"""Running an agent of one's own: set it up, start it, and what goes with it."""

import sys
import time
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Final

import click
from click.shell_completion import get_completion_class

from agents.cli.call import Call, NoAgent, argument, command, option
from agents.cli.paper import Paper, faint, good, loud
from schemas.errors import Invalid, Unavailable

SECTION: Final = "This agent"
_PORT = click.IntRange(1, 65535)
_PAUSE_S: Final = 0.2
ROLES: Final = ("dismantler", "collector", "reuse-manufacturer", "recycler", "governance-authority")


@command(
    "init",
    argument("folder", "Where it shall live.", type=click.Path(path_type=Path, file_okay=False)),
    option("--name", "The company's name.", required=True),
    option(
        "--role",
        "What the company is; may be repeated.",
        multiple=True,
        required=True,
        type=click.Choice(ROLES),
    ),
    option("--host", "The address to listen at.", default="127.0.0.1", show_default=True),
    option("--web-port", "The company's own site.", type=_PORT, default=8032, show_default=True),
    option("--didcomm-port", "Where messages come in.", type=_PORT, default=8030, show_default=True),
    option(
        "--admin-port",
        "ACA-Py's admin API, on loopback only; 0: none.",
        type=click.IntRange(0, 65535),
        default=8031,
        show_default=True,
    ),
    option("--public-url", "How others reach the site.", default=""),
    option("--didcomm-url", "How others reach the DIDComm port.", default=""),
    option("--database-url", "postgresql://…; a SQLite file in the folder unless given.", default=""),
    option("--authority", "The DID of the governance authority to trust.", default=""),
)
def init(call: Call, folder: Path, role: tuple[str, ...], **told: object) -> None:
    """Set up a company's agent in a folder.

    What it was told stands in meguri.toml there, to be read and changed.
    """
    from agents.config import FILE, Config

    home = folder.expanduser().absolute()
    if (home / FILE).exists():
        raise Invalid("{folder} holds an agent already; change {file} instead", folder=home, file=FILE)
    config = Config(home=home, roles=tuple(dict.fromkeys(role)), **told)  # type: ignore[arg-type]
    try:
        config.save()
    except OSError as error:
        raise Invalid("{folder} cannot be written: {why}", folder=home, why=error.strerror) from error
    document = {
        "home": str(home),
        "file": str(home / FILE),
        "site": config.site_url,
        "endpoint": config.endpoint,
    }

    def draw(paper: Paper) -> None:
        paper.line(good("✓ "), loud(config.name), f"  {home / FILE}")
        paper.pairs(
            [(call.say("site"), config.site_url), (call.say("messages come in at"), config.endpoint)],
            indent=2,
        )
        paper.line(faint(call.say("next: “meguri start --home {folder}”", folder=folder)))

    call.show(document, draw)


def _home(call: Call) -> Path | None:
    home = call.home or call.environ.get("MEGURI_HOME", "")
    return Path(home) if home else None


@command("start")
def start(call: Call) -> None:
    """Run the agent in a folder until it is interrupted.

    The folder is --home, else MEGURI_HOME, else ~/.meguri; settings stand in its meguri.toml and in the
    environment as MEGURI_<NAME>.
    """
    from agents.acapy.start import run  # everything heavy, here only
    from agents.config import Config

    status = run(Config.load(_home(call)))
    if status:
        raise click.exceptions.Exit(status)


@command(
    "ready",
    option(
        "--wait", "How many seconds to wait for it.", type=click.FloatRange(0), default=0.0, metavar="SECONDS"
    ),
)
def ready(call: Call, wait: float) -> None:
    """Say whether the agent can work.

    A start takes some seconds. Where the agent cannot work, or not in time, the command says why and ends
    with status 6.
    """
    until = time.monotonic() + wait
    while True:
        try:
            if not (why := call.client.waits_for()):
                break
            raise Unavailable("the agent is not ready: {why}", why=call.say(why))
        except Unavailable:
            if (left := until - time.monotonic()) <= 0:
                raise
            time.sleep(min(_PAUSE_S, left))
    found = {"ready": True, "url": call.client.url}
    call.show(found, lambda paper: paper.line(good("✓ "), call.say("ready"), "  ", faint(call.client.url)))


class Running(Unavailable):
    """The agent has its books open."""

    hint = "while it runs, “meguri users add NAME --rank admin” prints such a link"


@command("first-link")
def first_link(call: Call) -> None:
    """Print a new one-time link with which the first administrator sets a password; the one before ends.

    Works on the machine of the agent, while it does not run.
    """
    import asyncio

    from agents import accounts
    from agents.config import Config
    from agents.role import Company
    from agents.store import open_store

    config = Config.load(_home(call))
    if not config.home.is_dir():
        raise NoAgent("there is no agent in {folder}", folder=config.home)
    try:
        store = open_store(config.books_url, Company("", config.name, config.roles))
    except Unavailable as error:
        raise Running(error.template, **error.values) from error
    try:
        url = asyncio.run(accounts.first_link(store, config.site_url))
    finally:
        store.close()
    call.show({"url": url}, lambda paper: paper.line(url))


@command(
    "rack", click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED, metavar="simulate [OPTIONS]")
)
def rack(call: Call, arguments: tuple[str, ...]) -> None:
    """A simulated rack of cells with its instruments, for trying out a diagnosis without any.

    `meguri rack simulate --help` names its options.
    """
    if not arguments or arguments[0] != "simulate":
        raise Invalid("there is “meguri rack simulate”")
    from instruments.rack import main

    status = main(arguments[1:])
    if status:
        raise click.exceptions.Exit(status)


rack.context_settings = {"ignore_unknown_options": True, "allow_interspersed_args": False}


@command("completion", argument("shell", "Which shell.", type=click.Choice(["bash", "zsh", "fish"])))
def completion(call: Call, shell: str) -> None:
    """Print what makes the shell complete commands; for bash, `eval "$(meguri completion bash)"`."""
    from agents.cli.front import front

    found = get_completion_class(shell)
    if found is None:
        raise Unavailable("there is no completion for {shell}", shell=shell)
    script = found(front(), {}, "meguri", "_MEGURI_COMPLETE").source()
    call.show({"shell": shell, "script": script}, lambda paper: paper.write(script + "\n"))


@command("openapi")
def openapi(call: Call) -> None:
    """Print the OpenAPI document of the agent's REST API."""
    document = call.client.ask("GET", "/openapi.json")
    call.json = True
    call.show(document, lambda paper: None)


@command("version")
def version(call: Call) -> None:
    """Print the version of this program."""
    try:
        own = version_of("meguri")
    except PackageNotFoundError:
        own = "0"
    python = ".".join(map(str, sys.version_info[:3]))
    call.show(
        {"meguri": own, "python": python},
        lambda paper: paper.line(f"meguri {own} ", faint(f"(Python {python})")),
    )


COMMANDS: Final = {
    one.name: one for one in (init, start, ready, first_link, rack, completion, openapi, version)
}
