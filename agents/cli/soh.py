"""Diagnosis at the terminal: `meguri measure` the cells of a rack, `meguri soh` what their spectra say."""

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO
from uuid import uuid4

import click

from agents.cli.call import Call, Group, argument, command, group, option
from agents.cli.paper import Paper, Text, bad, faint, good, loud
from schemas.errors import Invalid, Unknown

if TYPE_CHECKING:
    from analysis.soh.model import Model

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
    except (OSError, UnicodeError, EOFError) as error:
        raise Invalid("{file} cannot be read: {why}", file=path, why=error) from error


def _sealed(model: "Model", key: Path | None) -> dict[str, Any]:
    """Return the content of a model's file: the model, and where there is a key a credential about it."""
    from credentials import integrity, vc
    from credentials.keys import LocalSigner

    content: dict[str, Any] = {"model": model.document}
    if key is None:
        return content
    try:
        raw = key.read_bytes()
    except OSError as error:
        raise Invalid("{file} cannot be read: {why}", file=key, why=error.strerror) from error
    try:
        seed = raw if len(raw) == SEED_BYTES else bytes.fromhex(raw.decode("ascii").strip())
    except ValueError:
        raise Invalid("{file} holds no key: 32 bytes, as they are or in hexadecimal", file=key) from None
    signer = LocalSigner.from_seed(seed)
    now = datetime.now(UTC)
    subject = {
        "type": "SohModel",
        "digest": model.digest,
        "card": model.card,
        "training": dict(model.training),
    }
    payload = vc.credential(
        signer.did,
        ["SohModelCredential"],
        subject,
        id=uuid4().urn,
        valid_from=now,
        contexts=[{"@vocab": "https://www.w3.org/ns/credentials/undefined-terms#"}],
    )
    return content | {"credential": integrity.seal(payload, signer, created=now)}


def _opened(path: Path, signer: str) -> tuple["Model", str]:
    """Return the model in a file and who signed it; a seal that is there must be right."""
    from analysis.soh.model import Model
    from credentials import integrity
    from credentials.resolution import KeyResolver

    with _lines(path) as file:
        text = file.read(LARGEST_MODEL)
    try:
        content = json.loads(text)
        model, credential = Model.of(content["model"]), content.get("credential")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Invalid("{file} holds no model of states of health", file=path) from error
    if credential is None:
        if signer:
            raise Invalid("the model is not signed, but should be by {signer}", signer=signer)
        return model, ""
    report = integrity.verify(
        credential, KeyResolver(), now=datetime.now(UTC), expected_issuer=signer or None
    )
    subject = credential.get("credentialSubject") if isinstance(credential, dict) else None
    if not report.verified or not isinstance(subject, dict) or subject.get("digest") != model.digest:
        raise Invalid("the seal of {file} does not fit the model: something was changed", file=path)
    return model, str(report.author)


def _usage(call: Call) -> None:
    raise click.UsageError(call.say("there are “meguri soh train” and “meguri soh assess”"))


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
    from analysis.soh.samples import read, with_capacities

    with _lines(data) as lines:
        samples = read(lines, cell_model)
    if capacity is not None:
        with _lines(capacity) as lines:
            samples = with_capacities(samples, lines)
    model = train(samples, cell_model, source=source or data.name)
    content = _sealed(model, key)
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
    from analysis.soh.samples import read

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

COMMANDS: Final = {"soh": soh, "measure": measure}
