"""Everything that people may come to read is there in their language, and says the same."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.words import LANGUAGES, catalogue, placeholders, recall, say, translate
from schemas.errors import Invalid, Misstep

from .texts import all_texts

TEXTS = sorted(all_texts())
# A plural's ending is said otherwise, and what pydantic found need not be repeated.
LEFT_OUT = {"expected_plural", "actual_length", "field_type", "error", "pattern"}


def test_every_text_is_there_in_japanese() -> None:
    missing = [(place, text) for place, text in TEXTS if catalogue("ja").find(text, place) is None]
    assert missing == []


def test_nothing_in_a_catalogue_is_unused() -> None:
    used = {text for _, text in TEXTS}
    for language in LANGUAGES:
        texts = catalogue(language)
        tables = [texts.text, *(table for place, table in texts.places.items() if place != "cli")]
        unused = [text for table in tables for text in table if text not in used]
        assert unused == [], language


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_translation_wants_the_same_values(language: str) -> None:
    texts = catalogue(language)
    for table in (texts.text, *texts.places.values()):
        for english, other in table.items():
            assert placeholders(other) <= placeholders(english), english
            assert placeholders(english) - placeholders(other) <= LEFT_OUT, english


def test_states_of_one_protocol_read_differently() -> None:
    for place, table in catalogue("ja").places.items():
        if place.endswith("/1.0"):
            states = Counter(said for text, said in table.items() if text.islower() and " " not in text)
            assert [said for said, count in states.items() if count > 1] == [], place


def test_our_own_words_among_the_values_are_translated_too() -> None:
    fault = Misstep("“{action}” is not possible now: the exchange is {state}", action="x", state="scheduled")
    assert "日程決定" in say(fault, "ja")
    assert "scheduled" in say(fault, "en")


def test_what_was_filled_elsewhere_is_recognised() -> None:
    code = "P3F9KQ27MT-9"
    told = str(Invalid("“{code}” is mistyped: its check character does not fit", code=code))
    assert recall(told, "ja") == f"「{code}」は入力誤りです（検査文字が合いません）"
    assert recall("Input should be greater than or equal to 0", "ja") == "0 以上にしてください"
    assert recall("String should have at least 1 character", "ja") == "1文字以上で入力してください"
    assert recall("Input should be less than 5", "en") == "Less than 5"


@given(st.text(max_size=300), st.sampled_from([*LANGUAGES, "fr", ""]))
def test_any_text_survives(text: str, language: str) -> None:
    assert recall(text, language) or not text
    assert translate(text, {"x": text}, language) or not text


@given(st.text(max_size=80))
def test_values_are_never_read_as_templates(text: str) -> None:
    assert translate("we have no item {code}", {"code": text}) == f"we have no item {text}"
