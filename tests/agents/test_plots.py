"""Pictures of forecasts: the same figures give the same bytes, and Japanese is never drawn as boxes."""

import warnings
from typing import Any

import pytest

from agents import plots
from analysis.lifetime.statement import Inputs, Observed, figures

pytest.importorskip("matplotlib")
SEEN = [(float(c), 100 - 0.02 * c) for c in range(0, 601, 60)]


def stated() -> dict[str, Any]:
    inputs = Inputs(
        subject="x",
        method="gp-linear-trend",
        cycles=tuple(float(c) for c in range(600, 1201, 60)),
        threshold_pct=80.0,
        observations=tuple(Observed(cycle=c, soh_pct=s, sd_pct=0.2) for c, s in SEEN),
    )
    made = figures(inputs)
    assert isinstance(made, dict)
    return made


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_same_forecast_is_drawn_in_the_same_bytes_without_a_missing_letter(language: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of a letter that no font has
        one = plots.fade(SEEN, stated(), language)
    assert one == plots.fade(SEEN, stated(), language)
    assert one.startswith(b"<?xml")
    assert b"<text" not in one  # letters are outlines: they look alike on every machine
    assert plots.fade(SEEN, stated(), language, "png").startswith(b"\x89PNG")


def test_where_no_font_has_japanese_letters_the_picture_speaks_english(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plots.font.cache_clear()
    monkeypatch.setattr(plots, "FONTS", ("No Such Font",))
    try:
        assert plots.font("ja") == ""
        assert plots.words("ja")("forecast") == "forecast"
        assert plots.fade(SEEN, stated(), "ja").startswith(b"<?xml")
    finally:
        plots.font.cache_clear()


def test_a_warranty_that_never_costs_and_one_that_always_does_can_be_drawn() -> None:
    for costs in ([0.0] * 50, [100.0] * 50):
        assert plots.costs(costs, costs[0], costs[0], 0.99, "JPY").startswith(b"<?xml")
