"""The station at the terminal: spectra as curves of Braille dots, and where each channel is."""

import math

from hypothesis import given
from hypothesis import strategies as st

from agents.cli.call import Call
from agents.cli.paper import Paper
from agents.cli.station import HIGH, WIDE, _draw, plotted

figure = st.floats(-1e3, 1e3)


@given(st.lists(st.tuples(figure, figure), min_size=1, max_size=40))
def test_whatever_is_drawn_fills_its_frame_and_shows_something(points: list[tuple[float, float]]) -> None:
    lines = plotted(points)
    assert [len(line) for line in lines] == [WIDE] * HIGH
    dots = [ord(character) - 0x2800 for line in lines for character in line]
    assert all(0 <= dot < 256 for dot in dots)
    assert any(dots)


def test_a_rising_line_goes_from_the_lower_left_to_the_upper_right_without_a_gap() -> None:
    lines = plotted([(0.0, 0.0), (1.0, 1.0)], wide=6, high=6)
    blank = chr(0x2800)
    assert lines[-1][0] != blank
    assert lines[0][-1] != blank
    assert all(line.strip(blank) for line in lines)
    assert plotted([]) == []


def test_the_screen_names_every_channel_in_use_and_draws_the_sweep_that_goes_on() -> None:
    def channel(number: int, cell: str, state: str, words: str = "") -> dict[str, object]:
        return {"place": str(number), "channel": number, "cell": cell, "state": state, "words": words}

    angles = [n * math.pi / 12 for n in range(13)]
    sweep = {
        "rack": 1,
        "channel": 103,
        "frequencies_hz": [1000.0 / 2**n for n in range(13)],
        "real_ohm": [0.025 - 0.002 * math.cos(angle) for angle in angles],
        "imag_ohm": [-0.002 * math.sin(angle) for angle in angles],
    }
    rack = {
        **{"rack": 1, "busy": True, "channel": 103, "point": 13, "points": 19, "problem": ""},
        "channels": [
            channel(101, "C001", "measured"),
            channel(102, "C002", "skipped", "bad contact"),
            channel(103, "C003", "measuring"),
            channel(104, "", "free"),
        ],
    }
    found = {
        **{"running": True, "done": 2, "total": 3, "cell": "", "place": "", "see_to": ["no zero adjustment"]},
        **{"racks": [rack], "sweeps": [sweep, sweep | {"channel": 101}]},
    }
    written: list[str] = []
    _draw(Call({}), Paper(written.append, width=80), found)
    lines = "".join(written).splitlines()
    assert lines[0].split() == ["Station", "measuring", "2/3"]
    assert lines[1].split() == ["Rack", "1", "13/19"]
    assert [line.split()[:3] for line in lines[3:6]] == [
        ["✓", "101", "C001"],
        ["✗", "102", "C002"],
        ["◔", "103", "C003"],
    ]
    assert " ".join(lines[6].split()) == "Nyquist, Re 23.0 – 27.0 mΩ Bode, 0.244141 – 1000 Hz"
    assert len(lines) == 7 + HIGH + 1, "one spectrum, of the cell that is being swept"
    assert max(map(len, lines)) <= 80
    assert lines[-1] == "! no zero adjustment"
