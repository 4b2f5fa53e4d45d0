"""`meguri soh`: from a file of spectra to a signed model, and from the model to answers."""

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from agents.cli.call import Call
from agents.cli.front import run
from analysis.soh.samples import Sample
from analysis.soh.table import read
from credentials.keys import LocalSigner
from tests.analysis.cells import MODEL, cell, population

type Meguri = Callable[..., tuple[int, str, str]]
SEED = bytes(range(32))


@pytest.fixture
def meguri(capsys: pytest.CaptureFixture[str]) -> Meguri:
    def ended(*args: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = run(list(map(str, args)), Call({"HOME": "/nonexistent"}))
        said = capsys.readouterr()
        return status, said.out, said.err

    return ended


def written(path: Path, samples: Sequence[Sample]) -> Path:
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["spectrum", "cell", "temp_c", "soc_pct", "freq_hz", "re_ohm", "im_ohm", "soh_pct"])
        for one in samples:
            s = one.spectrum
            for point in zip(s.frequencies_hz, s.real_ohm, s.imag_ohm, strict=True):
                out.writerow([one.name, one.cell, s.temperature_c, s.soc_pct, *point, one.soh_pct])
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return written(tmp_path / "cells.csv", [s for s in population() if s.spectrum.temperature_c == 25])


def test_a_model_is_trained_signed_and_used(meguri: Meguri, tmp_path: Path, data: Path) -> None:
    model, key = tmp_path / "model.json", tmp_path / "key"
    key.write_text(SEED.hex())
    signer = LocalSigner.from_seed(SEED).did
    status, out, _ = meguri(
        "soh", "train", data, "--cell-model", MODEL, "--out", model, "--key", key, "--json"
    )
    told = json.loads(out)
    assert (status, told["signer"], told["training"]["cells"]) == (0, signer, 14)
    assert {place["soc_pct"] for place in told["cross_validation"]} == {20.0, 50.0}
    unseen = written(tmp_path / "unseen.csv", [cell(88.8, seed=7, name="new"), cell(91.0, 40.0, name="warm")])
    status, out, _ = meguri("soh", "assess", "--model", model, unseen, "--signer", signer, "--json")
    good, warm = json.loads(out)
    assert status == 0
    assert good["value"] == pytest.approx(88.8, abs=1.5)
    assert good["interval"][0] < good["value"] < good["interval"][1]
    assert all(gate["passed"] for gate in good["gates"])
    assert (good["model_signer"], good["model_digest"]) == (signer, told["digest"])
    assert (warm["value"], warm["interval"], warm["reason"]) == (None, None, "temperature")
    assert warm["words"].startswith("not assessable: ")
    status, out, _ = meguri("soh", "assess", "--model", model, unseen)
    assert (status, "not assessable" in out, "new/25/50" in out) == (0, True, True)


def test_a_changed_model_is_refused(meguri: Meguri, tmp_path: Path, data: Path) -> None:
    model, key = tmp_path / "model.json", tmp_path / "key"
    key.write_bytes(SEED)
    assert meguri("soh", "train", data, "--cell-model", MODEL, "--out", model, "--key", key)[0] == 0
    content = json.loads(model.read_text())
    content["model"]["conditions"][0]["half_width_pct"] /= 2
    model.write_text(json.dumps(content))
    status, _, said = meguri("soh", "assess", "--model", model, data)
    assert status != 0
    assert "something was changed" in said


def test_a_model_by_nobody_is_used_unless_a_signer_is_wanted(
    meguri: Meguri, tmp_path: Path, data: Path
) -> None:
    model = tmp_path / "model.json"
    assert meguri("soh", "train", data, "--cell-model", MODEL, "--out", model)[0] == 0
    assert meguri("soh", "assess", "--model", model, data)[0] == 0
    status, _, said = meguri("soh", "assess", "--model", model, data, "--signer", "did:key:z6Mk")
    assert status != 0
    assert "not signed" in said


def test_what_cannot_be_used_ends_in_words(meguri: Meguri, tmp_path: Path, data: Path) -> None:
    nonsense = tmp_path / "nonsense.csv.gz"
    nonsense.write_text("no gzip")
    model = tmp_path / "model.json"
    for args in (
        ("train", tmp_path / "missing.csv", "--cell-model", MODEL, "--out", model),
        ("train", nonsense, "--cell-model", MODEL, "--out", model),
        ("train", data, "--cell-model", MODEL, "--out", tmp_path / "no" / "folder"),
        ("train", data, "--cell-model", MODEL, "--out", model, "--key", data),
        ("assess", data, "--model", data),
        (),
    ):
        status, _, said = meguri("soh", *args)
        assert status != 0
        assert said.startswith("meguri: ")
        assert "went wrong" not in said


def changed(path: Path, how: str) -> Path:
    """Spell a table as another program might."""
    rows = list(csv.reader(path.read_text().splitlines()))
    head, body = rows[0], rows[1:]
    separator, encoding = ",", "utf-8"
    match how:
        case "semicolons":
            separator = ";"
        case "tabs":
            separator = "\t"
        case "decimal commas":
            separator, body = ";", [[cell.replace(".", ",") for cell in row] for row in body]
        case "a byte-order mark":
            encoding = "utf-8-sig"
        case "capitals and spaces":
            head = [f" {name.upper()} " for name in head]
        case "another order":
            body = body[::-1]
    other = path.with_name("other.csv")
    with other.open("w", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=separator).writerows([head, *body])
    return other


@pytest.mark.parametrize(
    "how",
    ["semicolons", "tabs", "decimal commas", "a byte-order mark", "capitals and spaces", "another order"],
)
def test_a_table_is_read_however_it_is_spelt(data: Path, how: str) -> None:
    with data.open() as lines:
        plain = {one.name: one for one in read(lines, MODEL)}
    with changed(data, how).open(encoding="utf-8-sig") as lines:
        found = {one.name: one for one in read(lines, MODEL)}
    assert found.keys() == plain.keys()
    for name, one in found.items():
        assert (one.cell, one.soh_pct) == (plain[name].cell, plain[name].soh_pct)
        assert sorted(one.spectrum.real_ohm) == sorted(plain[name].spectrum.real_ohm)


def test_what_cannot_be_learnt_from_is_named(meguri: Meguri, tmp_path: Path, data: Path) -> None:
    rows = data.read_text().splitlines()
    cells = rows[0].split(",").index("soh_pct")
    bare = tmp_path / "bare.csv"
    bare.write_text("\n".join([rows[0], *(",".join([*r.split(",")[:cells], ""]) for r in rows[1:])]))
    status, _, said = meguri("soh", "train", bare, "--cell-model", MODEL, "--out", tmp_path / "m")
    assert status != 0
    assert "28 of 28 spectra are left out: 28 × no measured soh_pct" in said
    odd = tmp_path / "odd.csv"
    odd.write_text("frequency,real\n1,2\n")
    status, _, said = meguri("soh", "train", odd, "--cell-model", MODEL, "--out", tmp_path / "m")
    assert "it has frequency, real" in said
    wide = tmp_path / "wide.csv"
    wide.write_text(data.read_text(), "utf-16")
    status, _, said = meguri("soh", "assess", wide, "--model", tmp_path / "m")
    assert status != 0
