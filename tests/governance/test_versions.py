from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.conformity import problems
from governance.framework import FRAMEWORK, Framework
from governance.versions import Versions, begins
from schemas.claims import GovernanceFramework
from schemas.errors import Invalid

NOW = datetime(2026, 4, 1, 12, 0, 30, 5, tzinfo=UTC)
moments = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))


def version(number: int, holds_from: datetime) -> Framework:
    rules = FRAMEWORK.rules.model_copy(update={"version": number})
    return replace(FRAMEWORK, rules=rules, holds_from=holds_from)


histories = st.lists(moments, max_size=6).map(
    lambda found: Versions(tuple(version(n, at) for n, at in enumerate(found, 1)))
)


@given(histories, moments)
def test_the_greatest_version_whose_day_has_come_holds(versions: Versions, moment: datetime) -> None:
    come = [one for one in versions.signed if one.holds_from <= moment]
    assert versions.at(moment) == (max(come, key=lambda one: one.version) if come else FRAMEWORK)


@given(histories, moments, moments)
def test_time_never_leads_back_to_an_older_version(
    versions: Versions, one: datetime, other: datetime
) -> None:
    early, late = sorted((one, other))
    before = versions.at(early)
    assert before is FRAMEWORK or versions.at(late).version >= before.version


@given(histories, moments, moments)
def test_a_new_version_changes_nothing_that_was_before_it(
    versions: Versions, moment: datetime, begin: datetime
) -> None:
    more = Versions((*versions.signed, version(len(versions.signed) + 1, begin)))
    if moment < begin:
        assert more.at(moment) == versions.at(moment)
    else:
        assert more.at(moment) is more.newest


def test_the_bundled_framework_fits_the_code() -> None:
    assert [str(problem) for problem in problems(FRAMEWORK)] == []


def test_a_day_begins_by_the_clock_that_the_rules_name() -> None:
    assert begins(FRAMEWORK, date(2026, 7, 1), NOW) == datetime(2026, 6, 30, 15, tzinfo=UTC)
    assert begins(FRAMEWORK, date(2026, 4, 1), NOW) == NOW.replace(microsecond=0)
    evening = NOW + timedelta(hours=6)  # already the next day in Tokyo
    with pytest.raises(Invalid, match="has gone by"):
        begins(FRAMEWORK, date(2026, 4, 1), evening)
    assert begins(FRAMEWORK, date(2026, 4, 2), evening) == evening.replace(microsecond=0)


def test_the_same_version_once_more_changes_nothing() -> None:
    claim = GovernanceFramework(did="did:key:a", version=1, holds_from=NOW, rules=dict(FRAMEWORK.document))
    held = Versions().plus(claim)
    assert not held.takes(claim, NOW)
    assert [one.version for one in held] == [1]
