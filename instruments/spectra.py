"""What a simulated cell answers at a frequency: an equivalent circuit, or a spectrum once measured."""

import csv
import gzip
import math
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np

from schemas.errors import Invalid, Unknown


class Spectrum(Protocol):
    """Anything with an impedance."""

    def impedance(self, frequency_hz: float) -> complex:
        """Return the complex impedance in ohm."""
        ...


@dataclass(frozen=True)
class Circuit:
    """An inductance, a resistance, one depressed arc and a constant-phase tail in series.

    Z(w) = r0 + jw l + r1 / (1 + (jw tau)^alpha) + 1 / (q (jw)^beta), w = 2 pi f; ohm, henry, second.
    """

    r0_ohm: float
    l_h: float
    r1_ohm: float
    tau_s: float
    alpha: float
    q: float
    beta: float

    def impedance(self, frequency_hz: float) -> complex:
        """Return the complex impedance in ohm."""
        s = 2j * math.pi * frequency_hz
        arc = self.r1_ohm / (1 + (s * self.tau_s) ** self.alpha)
        return complex(self.r0_ohm + s * self.l_h + arc + 1 / (self.q * s**self.beta))


@dataclass(frozen=True)
class Replay:
    """A spectrum once measured, linear in the logarithm of frequency between its points.

    Frequencies rise, in hertz; below the first and above the last the ends are held.
    """

    frequencies_hz: tuple[float, ...]
    impedances_ohm: tuple[complex, ...]

    @classmethod
    def of(cls, points: Iterable[tuple[float, complex]]) -> "Replay":
        """Build it from points in any order."""
        frequencies, impedances = zip(*sorted(points, key=lambda point: point[0]), strict=True)
        return cls(frequencies, impedances)

    def impedance(self, frequency_hz: float) -> complex:
        """Return the complex impedance in ohm."""
        return complex(
            np.interp(math.log(frequency_hz), np.log(self.frequencies_hz), np.array(self.impedances_ohm))
        )


@dataclass(frozen=True)
class Aged:
    """A circuit, with the cell it was fitted to: its name, state of health, capacity and fit residual."""

    name: str
    soh_pct: float
    capacity_ah: float
    residual: float
    circuit: Circuit


@cache
def circuits() -> tuple[Aged, ...]:
    """Return the circuits fitted to the Warwick cells, in the order of their names."""
    table = tomllib.loads(Path(__file__).with_name("circuits.toml").read_text(encoding="utf-8"))
    return tuple(
        Aged(
            **{key: row.pop(key) for key in ("name", "soh_pct", "capacity_ah", "residual")},
            circuit=Circuit(**row),
        )
        for row in table["circuit"]
    )


SIMULATED = "simulated cells: the circuits of instruments/circuits.toml, with noise"
EXAMPLE_COLUMNS = ("spectrum", "cell", "temp_c", "soc_pct", "soh_pct", "freq_hz", "re_ohm", "im_ohm")


def example_table(spectra: int = 1, noise: float = 2e-4, seed: int = 0) -> Iterator[str]:
    """Yield the lines of a CSV that a model can be trained on: what the simulated rack's cells would show.

    Each circuit is measured `spectra` times at 25 °C and 50 %, at 19 frequencies from 1 kHz to 0.1 Hz, every
    reading with independent normal noise of `noise` times |Z| on either part.
    """
    random = np.random.default_rng(seed)
    yield ",".join(EXAMPLE_COLUMNS)
    for aged in circuits():
        for number in range(spectra):
            for frequency in np.geomspace(1000.0, 0.1, 19):
                z = aged.circuit.impedance(float(frequency))
                z += noise * abs(z) * complex(*random.normal(size=2))
                row = (f"{aged.name}-{number}", aged.name, 25, 50, aged.soh_pct)
                yield ",".join(map(str, (*row, f"{frequency:.4g}", f"{z.real:.8g}", f"{z.imag:.8g}")))


def replays(path: Path, *, temperature_c: float = 25.0, soc_pct: float = 50.0) -> Mapping[str, Replay]:
    """Return the measured spectra of a CSV file by cell, at one temperature and state of charge.

    The columns used are cell, temp_c, soc_pct, freq_hz, re_ohm and im_ohm; the file may be gzipped.
    """
    points: dict[str, list[tuple[float, complex]]] = {}
    reader = gzip.open if path.suffix == ".gz" else open
    try:
        with reader(path, "rt", encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                if float(row["temp_c"]) == temperature_c and float(row["soc_pct"]) == soc_pct:
                    impedance = complex(float(row["re_ohm"]), float(row["im_ohm"]))
                    points.setdefault(row["cell"], []).append((float(row["freq_hz"]), impedance))
    except FileNotFoundError:
        raise Unknown("there is no file {path}", path=path) from None
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise Invalid("{path} holds no spectra: {error}", path=path, error=repr(error)) from error
    if not points:
        raise Unknown(
            "{path} holds no spectrum at {temperature} °C and {soc} % state of charge",
            path=path,
            temperature=temperature_c,
            soc=soc_pct,
        )
    return {cell: Replay.of(points[cell]) for cell in sorted(points)}
