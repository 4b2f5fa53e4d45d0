import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credentials.canonical import canonical
from credentials.strict import loads
from schemas.errors import Invalid
from tests.credentials.json_values import values


@given(values)
def test_what_json_can_carry_is_read_as_it_is(value: Any) -> None:
    assert loads(json.dumps(value)) == value
    assert canonical(loads(canonical(value))) == canonical(value)


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_any_text_is_read_or_refused_in_words(text: bytes | str) -> None:
    try:
        value = loads(text)
    except Invalid:
        return
    assert loads(canonical(value)) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1, "a": 1}', "The name 'a' stands twice in one object."),
        ('{"b": [{"a": 1, "\\u0061": 2}]}', "The name 'a' stands twice in one object."),
        ("NaN", "NaN is no JSON number."),
        ('{"a": -Infinity}', "-Infinity is no JSON number."),
        ("1e400", "A number is not finite."),
        ("9007199254740993", "A whole number has more digits than JSON carries exactly (beyond 2^53)."),
        ("10000000000000001", "A whole number has more digits than JSON carries exactly (beyond 2^53)."),
        ("9" * 5000, "A whole number has more digits than JSON carries exactly (beyond 2^53)."),
        (b'"\xff"', "The text is not UTF-8."),
        (b'"\xed\xa0\x80"', "The text is not UTF-8."),
        ('"\\ud800"', "A text holds half of a character (a lone surrogate)."),
        ("\ufeff{}", "The text is not JSON (line 1, column 1)."),
        ("", "The text is not JSON (line 1, column 1)."),
        ("{} {}", "The text is not JSON (line 1, column 4)."),
        ("[1,]", "The text is not JSON (line 1, column 3)."),
        ("[" * 65 + "]" * 65, "The text nests more than 64 levels deep."),
        ("[" * 200_000, "The text nests too deep."),
    ],
)
def test_a_text_that_two_readers_could_read_differently_is_refused(text: bytes | str, reason: str) -> None:
    with pytest.raises(Invalid) as refusal:
        loads(text)
    assert str(refusal.value) == reason


@pytest.mark.parametrize("text", ['"電池"', '"電池"'.encode()])
def test_the_limit_counts_bytes(text: bytes | str) -> None:
    assert loads(text, limit=8) == "電池"
    with pytest.raises(Invalid, match="larger than 7 bytes"):
        loads(text, limit=7)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("9007199254740991", 2**53 - 1),
        ("-9007199254740992", -(2.0**53)),
        ("10000000000000000", 1e16),
        ("-0", 0),
    ],
)
def test_a_large_whole_number_is_read_where_all_readers_take_it_for_the_same(
    text: str, number: float
) -> None:
    assert loads(text) == number
    assert canonical(loads(text)).decode() == text.replace("-0", "0")
