"""Cells that were never measured: circuits whose arc grows with age and shrinks with warmth."""

from dataclasses import replace
from functools import cache

import numpy as np

from analysis.soh.samples import GRID_HZ, Sample
from analysis.soh.spectrum import Spectrum

MODEL = "made-up"
PLACES = ((15.0, 50.0), (25.0, 20.0), (25.0, 50.0))
SOHS = tuple(float(soh) for soh in np.linspace(80, 100, 14))


def cell(
    soh_pct: float,
    temperature_c: float = 25.0,
    soc_pct: float = 50.0,
    *,
    name: str = "",
    seed: int = 0,
    noise: float = 2e-4,
) -> Sample:
    """Measure a cell of this state of health under these conditions."""
    random = np.random.default_rng(
        [seed, round(10 * soh_pct), round(10 * temperature_c), round(10 * soc_pct)]
    )
    s = 2j * np.pi * np.array(GRID_HZ)
    age = (101 - soh_pct) / 20
    warmth = np.exp(-0.04 * (temperature_c - 25))
    emptiness = 1 + 0.3 * abs(soc_pct - 50) / 30
    arc = 0.004 * (1 + 0.5 * age) * warmth * emptiness
    z = 0.02 + 5e-7 * s + arc / (1 + (s * 2e-3 * warmth) ** 0.7) + 2e-3 * emptiness / np.sqrt(s)
    z = z * (1 + noise * (random.normal(size=len(s)) + 1j * random.normal(size=len(s))))
    spectrum = Spectrum(
        frequencies_hz=GRID_HZ,
        real_ohm=tuple(map(float, z.real)),
        imag_ohm=tuple(map(float, z.imag)),
        cell_model=MODEL,
        temperature_c=temperature_c,
        soc_pct=soc_pct,
        closing_1khz_ohm=complex(z[0]),
    )
    label = name or f"{soh_pct:g}"
    return Sample(f"{label}/{temperature_c:g}/{soc_pct:g}", label, spectrum, soh_pct=soh_pct)


def touched(sample: Sample, contact_ohm: float) -> Sample:
    """Measure it through a worn contact."""
    spectrum = sample.spectrum
    closing = None if spectrum.closing_1khz_ohm is None else spectrum.closing_1khz_ohm + contact_ohm
    real = tuple(r + contact_ohm for r in spectrum.real_ohm)
    return replace(sample, spectrum=replace(spectrum, real_ohm=real, closing_1khz_ohm=closing))


@cache
def population() -> tuple[Sample, ...]:
    """Measure fourteen cells at three conditions."""
    return tuple(cell(soh, *place) for soh in SOHS for place in PLACES)
