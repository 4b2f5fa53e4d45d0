"""The front door: finds a command without loading the others, and ends every run in words and a status."""

import os
import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Final, NoReturn

import click

from agents.cli.call import Call, Command, call_of, common_options
from agents.cli.client import code_of, exit_status
from agents.cli.paper import clean
from agents.words import recall
from schemas.errors import Fault

ROOMS: Final[Mapping[str, tuple[str, ...]]] = {
    "look": (
        "inbox",
        "exchanges",
        "show",
        "items",
        "item",
        "grade",
        "trace",
        "credential",
        "verify",
        "members",
        "framework",
        "peers",
        "company",
        "disclosures",
        "dead-letters",
        "retry",
        "jobs",
        "job",
    ),
    "registry": ("search", "resolve", "registry"),
    "people": ("invite", "join", "login", "logout", "whoami", "users", "token"),
    "soh": ("soh", "models", "measure"),
    "station": ("station", "measurements"),
    "identity": ("did",),
    "plots": ("lifetime", "warranty"),
    "running": ("init", "start", "ready", "first-link", "rack", "completion", "openapi", "version"),
}
WHERE: Final = {name: room for room, names in ROOMS.items() for name in names}
assert len(WHERE) == sum(map(len, ROOMS.values())), "one command in two rooms"
SECTIONS: Final = (
    "Look",
    "Begin",
    "Membership",
    "Collection",
    "Workshop",
    "Deliveries",
    "Disclosure",
    "Publication",
    "Diagnosis",
    "Prediction and audit",
    "People",
    "This agent",
)
INTERRUPTED: Final = 130
PIPE_CLOSED: Final = 1
UNEXPECTED: Final = 1


class Front(click.Group):
    """All commands: our own by name, and one for each action of each role."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List every command."""
        from agents.cli.actions import everything

        return [*WHERE, *everything().actions]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one command."""
        if cmd_name in WHERE:
            room = import_module(f"agents.cli.{WHERE[cmd_name]}")
            found: click.Command = room.COMMANDS[cmd_name]
            return found
        if cmd_name.startswith("-"):
            return None
        from agents.cli.actions import command_for, everything

        action = everything().actions.get(cmd_name)
        return command_for(action) if action else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that was typed, or say which one may have been meant."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-") and not ctx.resilient_parsing:
            near = get_close_matches(name, self.list_commands(ctx), n=3, cutoff=0.5)
            call = call_of(ctx)
            words = call.say("there is no command “{name}”", name=name[:60])
            if near:
                words += call.say("; did you mean {names}?", names=", ".join(near))
            raise click.UsageError(words, ctx)
        return super().resolve_command(ctx, args)

    format_usage = Command.format_usage

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the whole help, grouped."""
        from agents.cli.actions import everything, section

        call = call_of(ctx)
        self.format_usage(ctx, formatter)  # type: ignore[misc]
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(call.say(self.help or ""))
        rows: dict[str, list[tuple[str, str]]] = {title: [] for title in SECTIONS}
        for name, room in WHERE.items():
            module = import_module(f"agents.cli.{room}")
            rows[module.SECTION].append((name, call.short(module.COMMANDS[name].help)))
        for name, action in everything().actions.items():
            rows[section(action)].append((name, call.say(action.title)))
        widest = max(len(name) for found in rows.values() for name, _ in found)
        for title, found in rows.items():
            with formatter.section(call.say(title)):
                formatter.write_dl([(name.ljust(widest), words) for name, words in found])
        records = [record for param in self.get_params(ctx) if (record := param.get_help_record(ctx))]
        with formatter.section(call.say("Every command")):
            formatter.write_dl([(names, call.say(words)) for names, words in records])


def front() -> Front:
    """Return the whole command line."""
    return Front(
        "meguri",
        params=list(common_options()),
        help="Operate a company's agent: what waits, what to do, where an item comes from.",
        context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
    )


def run(args: Sequence[str], call: Call | None = None) -> int:
    """Run one command line and return its exit status; whatever happens ends in words."""
    call = call or Call()
    try:
        status = front().main(list(args), prog_name="meguri", standalone_mode=False, obj=call)
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except BrokenPipeError:
        return _pipe_closed()
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except click.ClickException as error:
        return _told(call, _misuse(call, error), "malformed", _usage(call, error), error.exit_code)
    except Fault as fault:
        hint = getattr(fault, "hint", "") or _hint(fault)
        fields = {name: call.told(words) for name, words in getattr(fault, "fields", {}).items()}
        wrong = {"fields": "; ".join(f"{name}: {words}" for name, words in fields.items())} if fields else {}
        values = fault.values | {name: wrong[name] for name in wrong if name in fault.values}
        words = call.say(fault.template, **values)
        hint = call.say(hint) if hint else ""
        return _told(call, words, code_of(fault), hint, exit_status(fault), fields)
    except Exception as error:
        if call.environ.get("MEGURI_DEBUG"):
            raise
        words = call.say("something went wrong: {words}", words=f"{type(error).__name__}: {error}")
        return _told(call, words, "fault", call.say("MEGURI_DEBUG=1 shows where"), UNEXPECTED)


def _hint(fault: Fault) -> str:
    if code_of(fault) == "unidentified":
        return "log in with “meguri login”, or set MEGURI_TOKEN"
    return ""


def _misuse(call: Call, error: click.ClickException) -> str:
    """Return what is wrong with a command line, in words of ours where we have some."""
    match error:
        case click.NoSuchOption():
            words = call.say("there is no option {name}", name=error.option_name[:60])
            near = ", ".join(error.possibilities or ())
            return words + (call.say("; did you mean {names}?", names=near) if near else "")
        case click.MissingParameter() if error.param is not None and error.ctx is not None:
            name = (
                error.param.opts[0]
                if isinstance(error.param, click.Option)
                else error.param.make_metavar(error.ctx)
            )
            return call.say("{name} is missing", name=name)
        case _:
            return recall(error.format_message(), call.language)


def _usage(call: Call, error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    return call.say("see “{command} --help”", command=context.command_path) if context else ""


def _told(
    call: Call, words: str, code: str, hint: str, status: int, fields: Mapping[str, str] | None = None
) -> int:
    try:
        if call.json:
            from agents.cli.call import as_json

            document = {"error": {"code": code, "detail": words, "fields": fields or {}, "hint": hint}}
            sys.stdout.write(as_json(document) + "\n")
            sys.stdout.flush()
        line = f"meguri: {words}" + (f" ({hint})" if hint else "")
        sys.stderr.write(clean(line) + "\n")
        sys.stderr.flush()
    except BrokenPipeError:
        _pipe_closed()
    return status


def _pipe_closed() -> int:
    # What is still in the buffer would fail again when Python ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return PIPE_CLOSED


def main() -> NoReturn:
    """Run `meguri`."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:]))
