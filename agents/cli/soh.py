"""Diagnosis at the terminal: `meguri measure` the cells of a rack, `meguri soh` what their spectra say."""

import gzip
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from agents.cli.call import Call, Group, argument, command, group, option
from agents.cli.paper import Paper, Text, bad, faint, good, local, loud
from schemas.errors import Invalid, Unknown

if TYPE_CHECKING:
    from analysis.soh.model import Model
    from credentials.keys import LocalSigner

SECTION: Final = "Workshop"
LARGEST_MODEL = 256 * 1024 * 1024
SEED_BYTES = 32
LONG = 48
_FILE = click.Path(path_type=Path, dir_okay=False)


@contextmanager
def _lines(path: Path) -> Iterator[TextIO]:
    """Open a text file, gzipped or not; whatever cannot be read is said in words."""
    try:
        with (
            gzip.open(path, "rt", encoding="utf-8-sig", newline="")
            if path.suffix == ".gz"
            else path.open(encoding="utf-8-sig", newline="") as lines
        ):
            yield lines
    except FileNotFoundError:
        raise Unknown("there is no file {path}", path=path) from None
    except UnicodeError:
        raise Invalid("{file} is not UTF-8 text; save it as CSV in UTF-8", file=path) from None
    except (OSError, EOFError) as error:
        raise Invalid("{file} cannot be read: {why}", file=path, why=error) from error


def _signer(key: Path) -> "LocalSigner":
    """Return the signer whose key a file holds."""
    from credentials.keys import LocalSigner

    try:
        raw = key.read_bytes()
    except OSError as error:
        raise Invalid("{file} cannot be read: {why}", file=key, why=error.strerror) from error
    try:
        seed = raw if len(raw) == SEED_BYTES else bytes.fromhex(raw.decode("ascii").strip())
        return LocalSigner.from_seed(seed)
    except ValueError:
        raise Invalid("{file} holds no key: 32 bytes, as they are or in hexadecimal", file=key) from None


def _content(path: Path) -> Any:
    with _lines(path) as file:
        text = file.read(LARGEST_MODEL)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid("{file} holds no model of states of health", file=path) from error


def _opened(path: Path, signer: str) -> tuple["Model", str]:
    """Return the model in a file and who signed it; a seal that is there must be right."""
    from credentials.resolution import KeyResolver
    from governance.models import read_model, signer_of

    model, credential = read_model(_content(path))
    author = signer_of(model, credential, KeyResolver(), datetime.now(UTC)) if credential else ""
    if signer and author != signer:
        raise Invalid(
            "the model is not signed by {signer}" if author else "the model is not signed", signer=signer
        )
    return model, author


def _usage(call: Call) -> None:
    raise click.UsageError(call.say("there are “meguri soh train”, “… assess” and “… adopt”"))


soh: Group = group("soh", _usage, "State of health from impedance: train a model, assess spectra.")


@soh.add(
    "train",
    argument("data", "Measured spectra as CSV, may be gzipped.", type=_FILE),
    option("--cell-model", "Which cells they are.", required=True),
    option("--out", "The model's file.", required=True, type=_FILE),
    option("--capacity", "Measured states of health as CSV: cell, soh_pct.", type=_FILE),
    option("--source", "Where the measurements come from.", default=""),
    option("--key", "Sign with this Ed25519 key: 32 bytes, raw or in hexadecimal.", type=_FILE),
)
def train_model(
    call: Call, data: Path, cell_model: str, out: Path, capacity: Path | None, source: str, key: Path | None
) -> None:
    """Train a model on measured cells and say how well it does on cells left out.

    Columns: spectrum, cell, temp_c, soc_pct, soh_pct, freq_hz, re_ohm, im_ohm, one row a frequency.
    """
    from analysis.soh.model import train
    from analysis.soh.table import left_out, read, with_capacities

    with _lines(data) as lines:
        samples = read(lines, cell_model)
    if capacity is not None:
        with _lines(capacity) as lines:
            samples = with_capacities(samples, lines)
    lost = left_out(samples)
    if lost:
        told = ", ".join(f"{count} × {call.say(what)}" for what, count in lost.items())
        call.note(
            "{count} of {all} spectra are left out: {why}",
            count=sum(lost.values()),
            all=len(samples),
            why=told,
        )
    model = train(samples, cell_model, source=source or data.name)
    content: dict[str, Any] = {"model": model.document}
    if key is not None:
        from governance.models import sealed

        content = sealed(model, _signer(key), datetime.now(UTC))
    try:
        out.write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")), "utf-8")
    except OSError as error:
        raise Invalid("{file} cannot be written: {why}", file=out, why=error.strerror) from error
    document = {
        "file": str(out),
        "digest": model.digest,
        "cell_model": cell_model,
        "signer": content.get("credential", {}).get("issuer"),
        "training": dict(model.training),
        "card": model.card,
        "cross_validation": [
            {
                "temperature_c": c.temperature_c,
                "soc_pct": c.soc_pct,
                "cells": c.cells,
                "rmse_pct": c.rmse_pct,
                "half_width_pct": c.half_width_pct,
                "algorithms": {
                    fit.algorithm: {"rmse_pct": fit.rmse_pct, "half_width_pct": fit.half_width_pct}
                    for fit in c.fits
                },
            }
            for c in model.conditions
        ],
    }

    def draw(paper: Paper) -> None:
        paper.line(good("✓ "), loud(cell_model), f"  {out}")
        paper.line(faint(model.card["training"]))
        rows: list[list[Text]] = [
            [
                f"{c.temperature_c:g} °C",
                f"{c.soc_pct:g} %",
                str(c.cells),
                f"{c.rmse_pct:.2f}",
                f"± {c.half_width_pct:.2f}",
            ]
            for c in model.conditions
        ]
        heads = [
            call.say("temperature"),
            call.say("charge"),
            call.say("cells"),
            call.say("error on cells left out"),
            call.say("90 % interval"),
        ]
        paper.table(heads, rows)

    call.show(document, draw)


@soh.add(
    "assess",
    argument("data", "Measured spectra as CSV, may be gzipped.", type=_FILE),
    option("--model", "The model's file.", required=True, type=_FILE),
    option("--signer", "The DID that must have signed the model.", default=""),
)
def assess_spectra(call: Call, data: Path, model: Path, signer: str) -> None:
    """Tell each spectrum's state of health, its interval and gates, or why it cannot be told.

    Columns as for training; soh_pct is not needed. Where temperature or charge are missing, the answer is
    that the spectrum is not assessable.
    """
    from analysis.result import Estimate
    from analysis.soh.table import read

    known, author = _opened(model, signer)
    with _lines(data) as lines:
        samples = read(lines, known.cell_model)
    found = known.assess(samples)
    document = [
        one.plain()
        | {
            "cell": sample.cell,
            "cell_model": known.cell_model,
            "temperature_c": sample.spectrum.temperature_c,
            "soc_pct": sample.spectrum.soc_pct,
            "model_digest": known.digest,
            "model_signer": author or None,
        }
        for sample, one in zip(samples, found, strict=True)
    ]

    def draw(paper: Paper) -> None:
        rows: list[list[Text]] = []
        for sample, one in zip(samples, found, strict=True):
            answer, name = one.answer, one.name if len(one.name) <= LONG else one.name[:12] + "…"
            if isinstance(answer, Estimate):
                rows.append(
                    [
                        sample.cell,
                        name,
                        loud(f"{answer.value:.1f} %"),
                        f"{answer.lower:.1f} – {answer.upper:.1f}",
                        "",
                    ]
                )
            else:
                rows.append([sample.cell, name, bad(call.say("not assessable")), "", answer.words])
        heads = [
            call.say("cell"),
            call.say("spectrum"),
            call.say("state of health"),
            call.say("90 % interval"),
            call.say("why"),
        ]
        paper.table(heads, rows, flexible=4)

    call.show(document, draw)


@soh.add("example", argument("out", "The CSV to write.", type=_FILE))
def example(call: Call, out: Path) -> None:
    """Write the spectra of simulated cells, to try training and assessing without any of your own."""
    from instruments.spectra import SIMULATED, example_table

    try:
        out.write_text("\n".join(example_table()) + "\n", "utf-8")
    except OSError as error:
        raise Invalid("{file} cannot be written: {why}", file=out, why=error.strerror) from error
    call.show(
        {"file": str(out), "source": SIMULATED},
        lambda paper: paper.line(good("✓ "), str(out), "  ", faint(SIMULATED)),
    )


@soh.add(
    "adopt",
    argument("file", "The model's file.", type=_FILE),
    option("--signer", "The DID of its signer, where that is no member: you vouch for it.", default=""),
    option("--ours", "We trained it ourselves: the agent signs it.", is_flag=True),
)
def adopt(call: Call, file: Path, signer: str, ours: bool) -> None:
    """Have the agent use a model for its diagnoses, once signature, training data and domain are checked."""
    from governance.models import read_model

    content = _content(file)
    model, _ = read_model(content)  # what is wrong with the file is said before it travels
    done = call.client.perform("adopt-model", "", {"file": content, "signer": signer, "ours": ours})
    document = {"digest": model.digest, "cell_model": model.cell_model, "issued": done["issued"]}

    def draw(paper: Paper) -> None:
        paper.line(good("✓ "), loud(model.cell_model), "  ", faint(model.digest))
        _card(call, paper, model.card)

    call.show(document, draw)


def _card(call: Call, paper: Paper, card: Mapping[str, Any]) -> None:
    for text in (card["purpose"], card["training"], *card["quality"], card["limits"]):
        paper.line("  ", call.told(text))


@command("models")
def models(call: Call) -> None:
    """The models of states of health that the agent uses, each with its card."""
    found = call.client.get("/models")

    def draw(paper: Paper) -> None:
        if not found:
            paper.line(faint(call.say("no model has been adopted yet; see “meguri soh adopt”")))
        for one in found:
            said = one["statement"]["claim"]
            mark = good("✓ ") if one["in_use"] else faint("– ")
            state = call.say("in use" if one["in_use"] else "set aside")
            paper.line(mark, loud(one["cell_model"]), f"  {state}  ", faint(one["digest"]))
            signer = one["statement"]["issuer_name"] or one["signer"]
            paper.pairs(
                [
                    (call.say("signed by"), signer),
                    (call.say("adopted"), local(one["at"])),
                    (call.say("trained on"), said.get("model_source", "")),
                ],
                indent=2,
            )
            _card(call, paper, said)

    call.show(found, draw)


@command(
    "measure",
    click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED, metavar="--meter RESOURCE … < SCANS"),
)
def measure(call: Call, arguments: tuple[str, ...]) -> None:
    """Measure the cells on a rack or several, by scans of cell and channel, into a journal.

    `meguri measure -- --help` names its options.
    """
    from instruments.session import main

    status = main([*arguments, "--json"] if call.json else arguments)
    if status:
        raise click.exceptions.Exit(status)


measure.context_settings = {"ignore_unknown_options": True, "allow_interspersed_args": False}

COMMANDS: Final = {"soh": soh, "models": models, "measure": measure}
