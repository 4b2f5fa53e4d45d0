"""One invocation of `meguri`: which agent it speaks to, in which language, for people or for programs."""

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from agents.cli.client import Client
from agents.cli.paper import Paper, clean
from agents.words import DEFAULT, LANGUAGES, recall, term, translate
from schemas.errors import Fault, Invalid

PLACE: Final = "cli"  # our part of the catalogue
_UNWRITABLE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Nowhere(Invalid):
    """No agent is named."""

    hint = (
        "run “meguri login --agent URL”, or give --agent URL, or set MEGURI_HOME to the folder of your agent"
    )


class NoAgent(Invalid):
    """A folder that should hold an agent holds none."""

    hint = "“meguri init FOLDER” makes one"


class Call:
    """What the options and the environment say."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self.environ = os.environ if environ is None else environ
        self.json = False
        self.language = language_of(self.environ)
        self.agent = ""
        self.home = ""
        self.key = ""

    def say(self, template: str, /, **values: object) -> str:
        """Return our own words in the user's language."""
        return translate(template, values, self.language, PLACE)

    def short(self, words: str) -> str:
        """Return the first sentence of a help text in the user's language."""
        return self.say(" ".join(words.split("\n\n", maxsplit=1)[0].split())).rstrip(".。")

    def term(self, word: str, place: str = "") -> str:
        """Return a word of the trade, such as a state of a protocol, in the user's language."""
        return term(word, self.language, place)

    def told(self, text: str) -> str:
        """Return English that somebody else filled in the user's language."""
        return recall(text, self.language)

    @cached_property
    def paper(self) -> Paper:
        """Return what people read."""
        terminal = sys.stdout.isatty()
        colour = terminal and not self.environ.get("NO_COLOR") and self.environ.get("TERM") != "dumb"
        width = shutil.get_terminal_size().columns if terminal else None
        return Paper(_write, colour, width)

    def show(self, document: object, draw: Callable[[Paper], None]) -> None:
        """Write a document for programs, or draw it for people."""
        if self.json:
            sys.stdout.write(as_json(document) + "\n")
        else:
            draw(self.paper)

    def note(self, template: str, /, **values: object) -> None:
        """Tell the user something beside the result."""
        sys.stderr.write(f"meguri: {clean(self.say(template, **values))}\n")

    # Which agent

    @cached_property
    def where(self) -> tuple[str, str]:
        """Return the address of the agent that is meant, and our token there; nothing where none is named."""
        token = self.environ.get("MEGURI_TOKEN", "").strip()
        for agent, home in ((self.agent, self.home), self._from_environ()):
            if agent:
                return agent, token or logins(self.environ).get(agent.rstrip("/"), {}).get("token", "")
            if home:
                return address_of(Path(home)), token or token_of(Path(home))
        default = default_login(self.environ)
        own = Path(self.environ.get("HOME") or Path.home()) / ".meguri"
        if not default and (own / "meguri.toml").exists():
            return address_of(own), token or token_of(own)
        return default, token or logins(self.environ).get(default, {}).get("token", "")

    def _from_environ(self) -> tuple[str, str]:
        return self.environ.get("MEGURI_AGENT", "").strip(), self.environ.get("MEGURI_HOME", "").strip()

    @cached_property
    def client(self) -> Client:
        """Return the agent that is meant, or raise `Nowhere`."""
        url, token = self.where
        if not url:
            raise Nowhere("no agent is named")
        return Client(url, token, self.language, self.key)


def _write(text: str) -> None:
    sys.stdout.write(text)


def language_of(environ: Mapping[str, str]) -> str:
    """Return the language the environment asks for."""
    wanted = next((value for name in ("LC_ALL", "LC_MESSAGES", "LANG") if (value := environ.get(name))), "")
    found = wanted.split("_")[0].split(".")[0].lower()
    return found if found in LANGUAGES else DEFAULT


def as_json(document: object) -> str:
    """Return JSON that is readable and that a terminal can show without harm."""
    text = json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False, default=str)
    return _UNWRITABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


# Where agents are


def address_of(home: Path) -> str:
    """Return the address of the agent that lives in a folder on this machine."""
    from agents.config import FILE, Config

    if not (home.expanduser() / FILE).exists():
        raise NoAgent("there is no agent in {folder}", folder=home)
    return Config.load(home).local_url


def token_of(home: Path) -> str:
    """Return the token that an agent wrote for commands on its own machine."""
    try:
        return (home / "token").read_text("ascii").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeError) as error:
        raise Invalid("the token in {folder} cannot be read: {why}", folder=home, why=error) from error


def _notebook(environ: Mapping[str, str]) -> Path:
    base = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME") or Path.home()) / ".config")
    return Path(base) / "meguri" / "agents.json"


def _noted(environ: Mapping[str, str]) -> dict[str, Any]:
    place = _notebook(environ)
    try:
        found = json.loads(place.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise Invalid("{file} cannot be read: {why}", file=place, why=error) from error
    return found if isinstance(found, dict) else {}


def logins(environ: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return the agents this user has logged in to, by address."""
    found = _noted(environ).get("agents")
    return {k: v for k, v in found.items() if isinstance(v, dict)} if isinstance(found, dict) else {}


def default_login(environ: Mapping[str, str]) -> str:
    """Return the address of the agent that is meant when none is named."""
    return str(_noted(environ).get("default") or "")


def keep_logins(environ: Mapping[str, str], agents: Mapping[str, Mapping[str, str]], default: str) -> Path:
    """Note the agents this user has logged in to, for nobody else to read."""
    place = _notebook(environ)
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = place.with_name(f".{place.name}.{os.getpid()}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump({"default": default, "agents": agents}, file, indent=2)
    fresh.replace(place)
    return place


# Commands


def _set(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def note(context: click.Context, _: click.Parameter, value: Any) -> None:
        if value:
            setattr(call_of(context), name, value)

    return note


def call_of(context: click.Context) -> Call:
    """Return the invocation that a context belongs to."""
    root = context.find_root()
    if not isinstance(root.obj, Call):
        root.obj = Call()
    return root.obj


def common_options() -> list[click.Option]:
    """Return the options that every command takes."""

    def option(name: str, to: str, **more: Any) -> click.Option:
        return click.Option([name, f"our_{to}"], expose_value=False, callback=_set(to), **more)

    return [
        option("--json", "json", is_flag=True, help="One JSON document instead of text."),
        option("--agent", "agent", metavar="URL", help="Which agent (else MEGURI_AGENT)."),
        option("--home", "home", metavar="FOLDER", help="The folder of a local agent (else MEGURI_HOME)."),
        option(
            "--lang", "language", type=click.Choice(list(LANGUAGES)), is_eager=True, help="In which language."
        ),
    ]


COMMON: Final = frozenset({"json", "agent", "home", "lang", "help"})


class Command(click.Command):
    """A command with the options that all share, and its help in the user's language."""

    def __init__(self, *args: Any, place: str = PLACE, **kwargs: Any) -> None:
        self.place = place
        super().__init__(*args, **kwargs)
        names = {option for param in self.params for option in param.opts}
        self.params = [*self.params, *(o for o in common_options() if not names & set(o.opts))]

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the line of usage."""
        prefix = call_of(ctx).say("Usage:") + " "
        formatter.write_usage(ctx.command_path, " ".join(self.collect_usage_pieces(ctx)), prefix)

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what the command does."""
        call = call_of(ctx)
        for paragraph in (self.help or "").split("\n\n"):
            formatter.write_paragraph()
            with formatter.indentation():
                words, place = " ".join(paragraph.split()), getattr(self, "place", PLACE)
                formatter.write_text(translate(words, None, call.language, place))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command's own options, then those of every command."""
        call = call_of(ctx)
        given = [(p.make_metavar(ctx), call.say(p.words)) for p in self.params if isinstance(p, Argument)]
        own: list[tuple[str, str]] = []
        shared: list[tuple[str, str]] = []
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is not None and isinstance(param, click.Option):
                common = any(option.lstrip("-") in COMMON for option in param.opts)
                told = getattr(param, "told", None)
                words = told(call.say) if told else described(param, ctx, call.say)
                (shared if common else own).append((record[0], words))
        for title, rows in (("Arguments", given), ("Options", own), ("Every command", shared)):
            if rows:
                with formatter.section(call.say(title)):
                    formatter.write_dl(rows)

    def get_short_help_str(self, limit: int = 45) -> str:
        """Return the first sentence of the help, in English; completion shows it."""
        return " ".join((self.short_help or self.help or "").split("\n\n")[0].split()).rstrip(".")


def command(
    name: str, *params: click.Parameter, hidden: bool = False
) -> Callable[[Callable[..., None]], Command]:
    """Make a command of a function that takes the `Call` and its parameters; its help is the docstring."""

    def make(run: Callable[..., None]) -> Command:
        def callback(**values: Any) -> None:
            run(call_of(click.get_current_context()), **values)

        return Command(name, callback=callback, params=list(params), help=run.__doc__, hidden=hidden)

    return make


def described(option: click.Option, ctx: click.Context, say: Callable[..., str]) -> str:
    """Return an option's help with its default, its range, and whether it is needed."""
    extra = option.get_help_extra(ctx)
    marks = [
        say("default: {value}", value=extra["default"]) if "default" in extra else "",
        extra.get("range", ""),
        say("required") if "required" in extra else "",
    ]
    return say(option.help or "") + "".join(f" [{mark}]" for mark in marks if mark)


class Group(click.Group):
    """Commands about one thing; alone it lists them all."""

    command_class = Command

    def add(self, name: str, *params: click.Parameter) -> Callable[[Callable[..., None]], Command]:
        """Add a command, made as `command` makes it."""

        def make(run: Callable[..., None]) -> Command:
            made = command(name, *params)(run)
            self.add_command(made)
            return made

        return make

    format_usage = Command.format_usage
    format_help_text = Command.format_help_text
    get_short_help_str = Command.get_short_help_str

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, then the commands."""
        Command.format_options(self, ctx, formatter)  # type: ignore[arg-type]
        call = call_of(ctx)
        rows = [(name, call.short(one.help or "")) for name, one in sorted(self.commands.items())]
        with formatter.section(call.say("Commands")):
            formatter.write_dl(rows)


def group(name: str, alone: Callable[[Call], None], words: str) -> Group:
    """Make a group that runs `alone` when no command is named."""

    def callback() -> None:
        context = click.get_current_context()
        if context.invoked_subcommand is None:
            alone(call_of(context))

    return Group(name, callback=callback, params=common_options(), help=words, invoke_without_command=True)


class Argument(click.Argument):
    """An argument that the help describes."""

    def __init__(self, name: str, words: str, **more: Any) -> None:
        super().__init__([name], **more)
        self.words = words


def argument(name: str, words: str, **more: Any) -> click.Argument:
    """Return an argument of a command."""
    return Argument(name, words, **more)


def option(name: str, words: str, **more: Any) -> click.Option:
    """Return an option of a command."""
    return click.Option([name], help=words, **more)


class FromAgent(click.ParamType[str]):
    """Text, completed by what the agent knows."""

    name = "text"

    def __init__(self, listed: Callable[[Client], Iterable[tuple[str, str]]]) -> None:
        self.listed = listed

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return what the agent knows; where it cannot be asked, nothing."""
        try:
            found = list(self.listed(call_of(ctx).client))
        except (Fault, OSError, LookupError, TypeError):
            return []
        return [
            CompletionItem(clean(value), help=clean(words))
            for value, words in found
            if value.lower().startswith(incomplete.lower())
        ]


THREADS = FromAgent(
    lambda agent: (
        (d["thread"], f"{d['protocol']} {d['state']} {d['about']}")
        for d in agent.get("/exchanges", limit=200)
    )
)
PEERS = FromAgent(lambda agent: ((p["name"] or p["id"], p["did"]) for p in agent.get("/peers")))
ITEMS = FromAgent(
    lambda agent: ((i["code"], f"{i['kind']} {i['model']}") for i in agent.get("/items", limit=500))
)
