"""Spectra drawn as they come: Nyquist and Bode side by side, as one SVG without anything from elsewhere."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 400, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 26, 40
INKS = ("#0b6e4f", "#b3541e", "#3b5b92", "#8a2d5c", "#6b6b1f", "#2a7f86", "#7a4fa3", "#a33b3b")
TICKS = 5


@dataclass(frozen=True)
class Trace:
    """One spectrum with its name; impedances in ohm, frequencies in hertz; `going`: more points come."""

    name: str
    frequencies_hz: tuple[float, ...]
    impedances_ohm: tuple[complex, ...]
    going: bool = False


@dataclass(frozen=True)
class _Axis:
    low: float
    high: float
    start: float
    length: float

    def at(self, value: float) -> float:
        """Return where on the paper a value lies."""
        return self.start + (value - self.low) / (self.high - self.low) * self.length


def svg(traces: Sequence[Trace]) -> str:
    """Draw -Im Z over Re Z, and |Z| over frequency, side by side, in milliohm; empty without traces."""
    kept = [t for t in traces if t.frequencies_hz]
    panels = [*_nyquist(kept, 0), *_bode(kept, WIDTH)]
    return _paper(2 * WIDTH, f"Impedance of {len(kept)} cells", panels)


def nyquist(traces: Sequence[Trace], title: str) -> str:
    """Draw -Im Z over Re Z, in milliohm."""
    return _paper(WIDTH, title, _nyquist([t for t in traces if t.frequencies_hz], 0))


def bode(traces: Sequence[Trace], title: str) -> str:
    """Draw |Z| in milliohm over frequency."""
    return _paper(WIDTH, title, _bode([t for t in traces if t.frequencies_hz], 0))


def _paper(width: int, title: str, parts: Sequence[str]) -> str:
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" role="img" '
        'font-family="sans-serif" font-size="11">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{HEIGHT}" fill="#fff"/>',
    ]
    return "\n".join([*head, *parts, "</svg>\n"])


def _nyquist(traces: Sequence[Trace], offset: float) -> list[str]:
    curves = [[(1e3 * z.real, -1e3 * z.imag) for z in t.impedances_ohm] for t in traces]
    return _panel(offset, "Nyquist", "Re Z / mΩ", "−Im Z / mΩ", curves, traces, decades=False)


def _bode(traces: Sequence[Trace], offset: float) -> list[str]:
    curves = [
        [(math.log10(f), 1e3 * abs(z)) for f, z in zip(t.frequencies_hz, t.impedances_ohm, strict=True)]
        for t in traces
    ]
    return _panel(offset, "Bode", "f / Hz", "|Z| / mΩ", curves, traces, decades=True)


def _panel(
    offset: float,
    title: str,
    across: str,
    up: str,
    curves: Sequence[Sequence[tuple[float, float]]],
    traces: Sequence[Trace],
    *,
    decades: bool,
) -> list[str]:
    points = [point for curve in curves for point in curve] or [(0.0, 0.0), (1.0, 1.0)]
    x_low, x_high = _span([x for x, _ in points])
    y_low, y_high = _span([y for _, y in points])
    x = _Axis(x_low, x_high, offset + LEFT, WIDTH - LEFT - RIGHT)
    y = _Axis(y_low, y_high, HEIGHT - BOTTOM, -(HEIGHT - TOP - BOTTOM))
    left, right, foot = x.at(x_low), x.at(x_high), y.at(y_low)
    parts = [
        f'<text x="{left:.1f}" y="16" font-weight="bold">{title}</text>',
        f'<text x="{right:.1f}" y="{HEIGHT - 6}" text-anchor="end">{across}</text>',
        f'<text x="{right:.1f}" y="16" text-anchor="end">{up}</text>',
        f'<path d="M{left:.1f} {TOP}V{foot:.1f}H{right:.1f}" fill="none" stroke="#555"/>',
    ]
    for value in _decades(x_low, x_high) if decades else _ticks(x_low, x_high):
        label = f"{10**value:g}" if decades else f"{value:g}"
        at = x.at(value)
        parts.append(f'<path d="M{at:.1f} {foot:.1f}v4" stroke="#555"/>')
        parts.append(f'<text x="{at:.1f}" y="{foot + 16:.1f}" text-anchor="middle">{label}</text>')
    for value in _ticks(y_low, y_high):
        at = y.at(value)
        parts.append(f'<path d="M{left:.1f} {at:.1f}H{right:.1f}" stroke="#e4e4e0"/>')
        parts.append(f'<text x="{left - 6:.1f}" y="{at + 4:.1f}" text-anchor="end">{value:g}</text>')
    for number, (curve, trace) in enumerate(zip(curves, traces, strict=True)):
        path = "L".join(f"{x.at(a):.1f} {y.at(b):.1f}" for a, b in curve)
        ink = INKS[number % len(INKS)]
        parts.append(
            f'<path d="M{path}" fill="none" stroke="{ink}" stroke-width="{3 if trace.going else 1.5}">'
            f"<title>{escape(trace.name)}</title></path>"
        )
        if trace.going:  # where it is now, with its name
            here, above = x.at(curve[-1][0]), y.at(curve[-1][1])
            parts.append(f'<circle cx="{here:.1f}" cy="{above:.1f}" r="4.5" fill="{ink}"/>')
            side, anchor = (-8, "end") if here > offset + WIDTH / 2 else (8, "start")
            parts.append(
                f'<text x="{here + side:.1f}" y="{above - 8:.1f}" text-anchor="{anchor}" fill="{ink}" '
                f'font-weight="bold">{escape(trace.name)}</text>'
            )
    return parts


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or 0.5 * abs(high) or 1.0
    return low - room, high + room


def _ticks(low: float, high: float) -> list[float]:
    """Return round values between low and high, about five of them."""
    rough = (high - low) / TICKS
    unit = 10 ** math.floor(math.log10(rough))
    step = next(s * unit for s in (1, 2, 5, 10) if s * unit >= rough)
    first = math.ceil(low / step)
    return [round(n * step, 10) for n in range(first, math.floor(high / step) + 1)]


def _decades(low: float, high: float) -> list[float]:
    return [float(n) for n in range(math.ceil(low), math.floor(high) + 1)]
