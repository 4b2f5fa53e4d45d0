"""Words of texts in any script."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.tokens import asked, tokens

KANA = st.text(alphabet="電池日産自動車リチウムイオンのパック", min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("電池", "リチウムイオン電池パック"),
        ("鉛", "鉛蓄電池"),
        ("リチウム 膨張", "セル膨張の兆候、リチウムイオン"),
        ("ﾘﾁｳﾑ", "リチウム"),
        ("ＺＥ１", "Leaf ZE1"),
        ("leaf", "LEAF 40 kWh"),
        ("bt4560 日置", "日置電機BT4560"),
        ("P3F9KQ27MH", "P3F9KQ27MH-C017-2"),
        ("𠮷野", "𠮷野家"),
    ],
)
def test_a_text_is_found_by_what_stands_in_it(question: str, text: str) -> None:
    assert asked(question)
    assert asked(question) <= tokens(text)


@pytest.mark.parametrize(("question", "text"), [("電解", "電池の分解"), ("ZE0", "ZE1"), ("池電", "電池")])
def test_a_text_is_not_found_by_what_does_not(question: str, text: str) -> None:
    assert not asked(question) <= tokens(text)


@given(KANA, KANA, KANA)
def test_every_part_of_a_text_without_spaces_finds_it(before: str, part: str, after: str) -> None:
    assert asked(part) <= tokens(before + part + after)


@given(st.text(max_size=300))
def test_whatever_is_asked_for_is_a_word_without_blanks(text: str) -> None:
    for word in asked(text) | tokens(text):
        assert word
        assert not word.split()[1:]
        assert '"' not in word
    assert asked(text) <= tokens(text)
