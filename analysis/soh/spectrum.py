"""An impedance spectrum as measured, and whether it can be one of a linear, steady cell at all."""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from analysis.result import digest
from schemas.errors import Invalid

RC_ELEMENTS = 12
FREQUENCY_TOLERANCE = 0.02
WIDEST_GAP = 2.0


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Impedances of one cell, the conditions they were taken under, and 1 kHz once more at the end."""

    frequencies_hz: tuple[float, ...]
    real_ohm: tuple[float, ...]
    imag_ohm: tuple[float, ...]
    cell_model: str
    temperature_c: float | None
    soc_pct: float | None
    closing_1khz_ohm: complex | None = None

    def __post_init__(self) -> None:
        if not len(self.frequencies_hz) == len(self.real_ohm) == len(self.imag_ohm):
            raise Invalid("A spectrum needs one real and one imaginary part for each frequency.")

    @property
    def finite(self) -> bool:
        """Say whether every figure is a finite number."""
        closing = self.closing_1khz_ohm or 0j
        conditions = (self.temperature_c or 0.0, self.soc_pct or 0.0, closing.real, closing.imag)
        return all(map(math.isfinite, (*self.frequencies_hz, *self.real_ohm, *self.imag_ohm, *conditions)))

    def at(self, frequency_hz: float) -> complex | None:
        """Return the impedance at `frequency_hz`, or None where it was not measured.

        Measured means within 2 %, or between two frequencies less than a factor of two apart; then it is
        interpolated in ln f, which on the calibration cells changes no estimate's error by 0.1 point.
        """
        if not self.frequencies_hz:
            return None
        rows = sorted(zip(self.frequencies_hz, self.real_ohm, self.imag_ohm, strict=True))
        nearest = min(rows, key=lambda row: abs(row[0] - frequency_hz))
        if abs(nearest[0] / frequency_hz - 1) <= FREQUENCY_TOLERANCE:
            return complex(nearest[1], nearest[2])
        for below, above in pairwise(rows):
            if 0 < below[0] < frequency_hz < above[0] < WIDEST_GAP * below[0]:
                share = math.log(frequency_hz / below[0]) / math.log(above[0] / below[0])
                return (1 - share) * complex(*below[1:]) + share * complex(*above[1:])
        return None

    def digest(self) -> str:
        """Return the digest of all that was measured; only a finite spectrum has one."""
        closing = self.closing_1khz_ohm
        return digest(
            {
                "frequencies_hz": list(self.frequencies_hz),
                "real_ohm": list(self.real_ohm),
                "imag_ohm": list(self.imag_ohm),
                "cell_model": self.cell_model,
                "temperature_c": self.temperature_c,
                "soc_pct": self.soc_pct,
                "closing_1khz_ohm": None if closing is None else [closing.real, closing.imag],
            }
        )


def kramers_kronig_residual(
    frequencies_hz: tuple[float, ...], real_ohm: tuple[float, ...], imag_ohm: tuple[float, ...]
) -> float:
    """Return the rms relative residual of the linear Kramers-Kronig fit (dimensionless).

    Z(ω) ≈ R + jωL + 1/(jωC) + Σₖ Rₖ / (1 + jωτₖ), K = 12 fixed τₖ spread evenly in log ω over the
    measured band, real and imaginary parts fitted together by least squares weighted with 1/|Z|.
    Every term obeys the Kramers-Kronig relations, so what is left over is noise, or a cell (or its
    contact) that changed during the sweep. A contact that is bad but steady is invisible here.
    Frequencies, real and imaginary parts: n figures each, n ≥ 7. Source: B. A. Boukamp, J.
    Electrochem. Soc. 142 (1995) 1885; M. Schönleber et al., Electrochim. Acta 131 (2014) 20.
    """
    omega = 2 * np.pi * np.asarray(frequencies_hz)
    z = np.asarray(real_ohm) + 1j * np.asarray(imag_ohm)
    tau = np.geomspace(1 / omega.max(), 1 / omega.min(), RC_ELEMENTS)
    terms = np.column_stack(
        [
            np.ones_like(omega),
            1j * omega / omega.max(),
            -1j * omega.min() / omega,
            1 / (1 + 1j * omega[:, None] * tau),
        ]
    )
    weight = 1 / np.abs(z)
    weighted, target = terms * weight[:, None], z * weight
    a = np.vstack([weighted.real, weighted.imag])
    b = np.concatenate([target.real, target.imag])
    parameters = np.linalg.lstsq(a, b, rcond=1e-10)[0]
    return float(np.sqrt(np.mean((b - a @ parameters) ** 2)))
