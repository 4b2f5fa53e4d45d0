import json
import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis.lifetime.forecasts import FORECASTERS
from analysis.lifetime.statement import Inputs, pseudonym
from governance.audit import Certified, Findings, Outcome, audit
from governance.framework import FRAMEWORK, Framework, Prescribed
from governance.tools import Limits, Workshop, find, keep, present, present_digest
from schemas.claims import CheckUps
from schemas.errors import Invalid, Unknown
from tests.governance.stated import THEN, Stated, chain, fleet, rows, sealed, stated

SUBJECT = pseudonym("cell 3", b"sixteen random b")
HONEST = stated()


@pytest.fixture(scope="module")
def shop() -> Iterator[Workshop]:
    with Workshop() as workshop:
        yield workshop


def audited(one: Stated, shop: Workshop, framework: Framework = FRAMEWORK) -> Outcome:
    return audit(one.prediction, one.inputs, one.fleet, one.check_ups, shop, framework)


def codes(one: Stated, shop: Workshop, framework: Framework = FRAMEWORK) -> list[str]:
    outcome = audited(one, shop, framework)
    assert isinstance(outcome, Findings)
    return list(dict.fromkeys(f.code for f in outcome.findings))


@pytest.mark.parametrize("method", FORECASTERS)
def test_what_was_honestly_stated_by_any_method_is_certified(method: str, shop: Workshop) -> None:
    one = stated(method=method)
    outcome = audited(one, shop)
    assert isinstance(outcome, Certified), outcome
    assert outcome.max_deviation <= 2e-4
    assert outcome.figures > 40
    assert outcome.observations == 12
    assert (outcome.method, outcome.code_digest) == (method, present_digest())


def test_it_is_certified_again_after_a_journey_through_json(shop: Workshop) -> None:
    again = replace(HONEST, inputs=json.loads(json.dumps(HONEST.inputs)))
    again = replace(
        again, prediction=replace(again.prediction, claim=json.loads(json.dumps(HONEST.prediction.claim)))
    )
    assert audited(again, shop) == audited(HONEST, shop)


def test_nothing_that_is_sent_names_the_cell() -> None:
    everything = json.dumps([HONEST.inputs, HONEST.prediction.claim, *(c.claim for c in HONEST.check_ups)])
    assert "cell 3" not in everything
    assert pseudonym("A", b"a" * 16) != pseudonym("A", b"b" * 16)
    with pytest.raises(ValueError, match="guessed"):
        pseudonym("A", b"short")


# Edited results


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    column=st.sampled_from(["mean_pct", "sd_pct", "below_threshold"]),
    at=st.integers(0, 3),
    by=st.floats(1e-4, 5) | st.floats(-5, -1e-4),
)
def test_no_edited_figure_passes(column: str, at: int, by: float, shop: Workshop) -> None:
    figures = list(HONEST.prediction.claim["statement"][column])
    figures[at] += by
    outcome = audited(HONEST.saying(**{column: figures}), shop)
    assert isinstance(outcome, Findings)
    assert [f.code for f in outcome.findings] == ["deviates"]
    assert f"{column}[{at}]" in outcome.findings[0].evidence


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"method": "tea-leaves"}, "unknown-method"),
        ({"method": "polarisation-resistance"}, "unknown-method"),
        ({"version": "0.9"}, "unknown-version"),
        ({"code_digest": "sha256:00"}, "other-code"),
        ({"inputs_digest": "sha256:00"}, "wrong-inputs"),
        ({"subject": "urn:meguri:subject:00"}, "other-subject"),
        ({"mean_pct": [math.nan] * 4}, "non-finite"),
        ({"threshold_pct": math.inf}, "non-finite"),
        ({"threshold_pct": 60.0}, "other-settings"),
        ({"mean_pct": [90.0]}, "other-figures"),
        ({"quantiles_pct": {}}, "other-figures"),
        ({"limits": []}, "other-limits"),
        ({"warnings": ["all is well"]}, "other-limits"),
        ({"end_of_life": {"earliest": None, "median": None, "latest": None}}, "deviates"),
        ({"made_by": "gp-linear-trend"}, "deviates"),
        ({"mean_pct": "high"}, "other-figures"),
        ({"mean_pct": [True] * 4}, "deviates"),
    ],
)
def test_each_edit_of_a_statement_is_found_by_its_name(
    change: dict[str, object], code: str, shop: Workshop
) -> None:
    assert code in codes(HONEST.saying(**change), shop)


def test_what_cannot_be_read_is_malformed_and_never_an_exception(shop: Workshop) -> None:
    nothing = replace(HONEST.prediction, claim={})
    assert codes(replace(HONEST, prediction=nothing), shop) == ["malformed"]
    assert codes(replace(HONEST, inputs={}), shop) == ["malformed"]
    assert codes(HONEST.saying(subject=3), shop) == ["malformed"]


# Tampered inputs


def tampered(**change: Any) -> Stated:
    """Return a statement honestly made from other inputs than were sealed."""
    inputs = Inputs.model_validate({**HONEST.inputs, **change})
    return replace(HONEST.saying(inputs_digest=inputs.digest()), inputs=inputs.model_dump(mode="json"))


def observations() -> list[dict[str, float]]:
    return [dict(one) for one in HONEST.inputs["observations"]]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 11), by=st.floats(0.01, 2))
def test_no_edited_input_passes_whether_the_statement_follows_it_or_not(
    at: int, by: float, shop: Workshop
) -> None:
    seen = observations()
    seen[at]["soh_pct"] -= by
    assert codes(HONEST.given(observations=seen), shop) == ["wrong-inputs", "altered"]
    assert codes(tampered(observations=seen), shop) == ["altered"]


def test_a_history_with_a_check_up_left_out_is_found(shop: Workshop) -> None:
    seen = observations()
    del seen[4]
    assert codes(tampered(observations=seen), shop) == ["left-out"]


def test_a_history_that_stops_before_the_last_check_ups_is_found(shop: Workshop) -> None:
    short = tampered(observations=observations()[:6], check_ups=HONEST.inputs["check_ups"][:1])
    assert codes(short, shop) == ["left-out"]


def test_check_ups_sealed_after_the_prediction_are_not_missed(shop: Workshop) -> None:
    later = CheckUps.model_validate(
        {**HONEST.check_ups[0].claim, "before_count": 12, "previous_digest": HONEST.check_ups[-1].digest}
    )
    grown = replace(HONEST, check_ups=(*HONEST.check_ups, sealed(later, THEN + timedelta(days=1))))
    assert isinstance(audited(grown, shop), Certified)


def test_an_observation_that_nobody_sealed_is_found(shop: Workshop) -> None:
    seen = [*observations(), {"cycle": 560.0, "soh_pct": 95.0, "sd_pct": 0.3}]
    assert codes(tampered(observations=seen), shop) == ["uncredentialed"]


def test_a_second_history_beside_the_first_is_found(shop: Workshop) -> None:
    kinder = chain(SUBJECT, [(c, s + 2) for c, s in rows(3)[:12]])
    seen = [{"cycle": c, "soh_pct": s + 2, "sd_pct": 0.3} for c, s in rows(3)[:12]]
    two = tampered(observations=seen, check_ups=tuple(link.digest for link in kinder))
    assert codes(replace(two, check_ups=(*HONEST.check_ups, *kinder)), shop) == ["two-histories"]


def test_a_chain_with_a_missing_or_a_swapped_link_is_found(shop: Workshop) -> None:
    assert codes(replace(HONEST, check_ups=HONEST.check_ups[:1]), shop) == ["missing-check-ups"]
    swapped = tampered(check_ups=tuple(reversed(HONEST.inputs["check_ups"])))
    assert codes(swapped, shop) == ["broken-chain"]


def test_another_fleet_than_named_is_found(shop: Workshop) -> None:
    other = {**fleet().model_dump(mode="json"), "lowest_pct": 1.0}
    assert codes(replace(HONEST, fleet=other), shop) == ["other-fleet"]
    assert codes(replace(HONEST, fleet=None), shop) == ["other-fleet"]
    named = tampered(fleet="sha256:00")
    assert codes(replace(named, fleet=other), shop) == ["other-fleet"]


def test_a_prediction_about_another_item_is_found(shop: Workshop) -> None:
    other = stated(4)
    mixed = replace(HONEST, inputs=other.inputs, check_ups=other.check_ups)
    assert codes(mixed, shop)[:2] == ["other-subject", "wrong-inputs"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"cycles": [650.0, 1e9]}, "not-assessable"),
        ({"cycles": [950.0, 650.0]}, "bad-inputs"),
        ({"seed": 1}, "deviates"),
        ({"model": "another"}, "other-figures"),
    ],
)
def test_settings_that_make_something_else_are_found(
    change: dict[str, object], code: str, shop: Workshop
) -> None:
    assert code in codes(tampered(**change), shop)


@pytest.mark.parametrize(
    "change",
    [
        {"observations": [{"cycle": math.nan, "soh_pct": 90, "sd_pct": 0}]},
        {"cycles": [math.inf]},
        {"cycles": list(range(100_000))},
        {"observations": [{"cycle": c, "soh_pct": 90, "sd_pct": 0} for c in range(50_000)]},
        {"lot": [[]] * 10_000},
        {"format": "meguri-forecast/0.1"},
        {"seed": -1},
    ],
)
def test_hostile_inputs_are_malformed_before_anything_is_computed(
    change: dict[str, Any], shop: Workshop
) -> None:
    assert codes(HONEST.given(**change), shop) == ["malformed"]


# Versions


def test_every_prescribed_method_of_prediction_is_kept_and_is_what_its_name_says() -> None:
    for one in (m for m in FRAMEWORK.rules.methods if m.purpose == "prediction"):
        assert find(one.code_digest).is_file()


def test_a_tool_that_is_not_kept_or_was_changed_is_not_run(tmp_path: Path) -> None:
    with pytest.raises(Unknown):
        find("sha256:" + "0" * 64, tmp_path)
    with pytest.raises(Unknown):
        find("../../etc/passwd", tmp_path)
    place = keep(present(), tmp_path)
    place.rename(tmp_path / f"{'1' * 64}.zip")
    with pytest.raises(Invalid):
        find("sha256:" + "1" * 64, tmp_path)
    (tmp_path / f"{'2' * 64}.zip").write_bytes(b"no archive")
    with pytest.raises(Invalid):
        find("sha256:" + "2" * 64, tmp_path)


def prescribed(name: str, version: str, code: str) -> Prescribed:
    return Prescribed(name=name, version=version, purpose="prediction", code_digest=code)


def prescribing(*methods: Prescribed) -> Framework:
    return replace(FRAMEWORK, rules=FRAMEWORK.rules.model_copy(update={"methods": methods}))


def older(folder: Path) -> tuple[str, Framework]:
    """Keep an older version of the tool that foretold otherwise, and a framework that prescribed it then."""
    files = present()
    name = "analysis/lifetime/history.py"
    files[name] = files[name].replace(b'VERSION: Final = "1.1"', b'VERSION: Final = "1.0"')
    name = "analysis/lifetime/gp.py"
    assert b"[10.0, 0.3]" in files[name]
    files[name] = files[name].replace(b"[10.0, 0.3]", b"[3.0, 0.3]")
    code = "sha256:" + keep(files, folder).stem
    keep(present(), folder)
    then = prescribed("gp-linear-trend", "1.0", code)
    return code, prescribing(*FRAMEWORK.rules.methods, then)


def test_an_old_version_is_really_run_and_each_version_audits_its_own(tmp_path: Path) -> None:
    code, framework = older(tmp_path)
    now = stated(method="gp-linear-trend")
    with Workshop(tmp_path) as shop:
        then = shop.run(code, now.inputs, None)["figures"]
        assert then["version"] == "1.0"
        assert then["sd_pct"] != now.prediction.claim["statement"]["sd_pct"]
        old = now.saying(**then, code_digest=code)
        outcome = audited(old, shop, framework)
        assert isinstance(outcome, Certified), outcome
        assert (outcome.version, outcome.code_digest) == ("1.0", code)
        assert isinstance(audited(now, shop, framework), Certified)
        # What the old version said is not what the present one says, whichever it claims to be of.
        assert "deviates" in codes(now.saying(**{**then, "version": "1.1"}), shop, framework)
        assert codes(old.saying(code_digest=present_digest()), shop, framework) == ["other-code"]
        # A framework that has dropped the old version does not take it any more.
        assert codes(old, shop) == ["unknown-version"]


def test_a_prescribed_tool_that_is_not_kept_is_a_finding_and_no_certificate(tmp_path: Path) -> None:
    with Workshop(tmp_path) as shop:
        assert codes(HONEST, shop) == ["tool-missing"]


def faulty(folder: Path, body: bytes) -> str:
    files = present()
    files["analysis/lifetime/statement.py"] = b"def run(inputs, fleet):\n    " + body + b"\n"
    return "sha256:" + keep(files, folder).stem


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"while True: pass", "time"),
        (b"import time; time.sleep(60)", "time"),
        (b"return bytearray(1 << 40)", "memory"),
        (b"import os; os._exit(3)", "crash"),
        (b"return 1 / 0", "crash"),
    ],
)
def test_a_run_without_end_or_measure_is_stopped_and_the_next_is_not_harmed(
    body: bytes, why: str, tmp_path: Path
) -> None:
    with Workshop(tmp_path, Limits(seconds=0.5, memory_bytes=1 << 30)) as shop:
        bad = faulty(tmp_path, body)
        assert shop.run(bad, {}, None)["stopped"] == why
        assert shop.run(bad, {}, None)["stopped"] == why
        one = prescribing(prescribed("fleet-weighted", "1.1", bad))
        assert codes(HONEST.saying(code_digest=bad), shop, one) == ["too-costly"]
