"""A spectrum with whose it is and what else was said of the cell, and how it lies on the common grid."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from analysis.result import Plain, digest
from analysis.soh.spectrum import FREQUENCY_TOLERANCE, WIDEST_GAP, Spectrum

type Array = np.ndarray

GRID_HZ = tuple(float(f"{f:.4g}") for f in np.geomspace(1000.0, 0.1, 19))


@dataclass(frozen=True, slots=True)
class Sample:
    """One spectrum, whose it is, and what the instruments and the vendor said besides.

    `soh_pct` is the capacity that was measured, in % of new; only training needs it. `faults` are the
    instrument's fault codes, `vendor_soh_pct` the state of health another device showed.
    """

    name: str
    cell: str
    spectrum: Spectrum
    soh_pct: float | None = None
    vendor_soh_pct: float | None = None
    faults: tuple[str, ...] = ()

    def plain(self) -> Plain:
        """Return it as plain values for a digest; only a finite spectrum has one."""
        return {
            "cell": self.cell,
            "faults": list(self.faults),
            "soh_pct": self.soh_pct,
            "spectrum": self.spectrum.digest(),
            "vendor_soh_pct": self.vendor_soh_pct,
        }


def digest_of(samples: Iterable[Sample]) -> str:
    """Return the digest of these samples, whatever their order and the spelling of their file."""
    return digest(sorted(digest(sample.plain()) for sample in samples))


def resampled(spectrum: Spectrum) -> Array | None:
    """Return the impedance at the 19 grid frequencies from 1 kHz to 0.1 Hz (complex, ohm).

    Real and imaginary part are interpolated linearly in ln f. None where the sweep does not reach both ends
    (within 2 %), or has a gap of more than a factor of two between them.
    """
    if not spectrum.frequencies_hz or min(spectrum.frequencies_hz) <= 0:
        return None
    order = np.argsort(spectrum.frequencies_hz)
    f = np.asarray(spectrum.frequencies_hz)[order]
    z = np.asarray(spectrum.real_ohm)[order] + 1j * np.asarray(spectrum.imag_ohm)[order]
    low, high = GRID_HZ[-1] * (1 + FREQUENCY_TOLERANCE), GRID_HZ[0] * (1 - FREQUENCY_TOLERANCE)
    if f[0] > low or f[-1] < high:
        return None
    first, last = np.searchsorted(f, low, "right") - 1, np.searchsorted(f, high)
    if (f[first + 1 : last + 1] / f[first:last]).max(initial=1.0) > WIDEST_GAP:
        return None
    return np.interp(np.log(GRID_HZ), np.log(f), z)
