import struct
from enum import IntEnum, StrEnum
from math import isfinite
from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from credentials.canonical import MAX_DEPTH, canonical
from schemas.errors import Invalid
from tests.credentials.json_values import shuffled, values


@given(values)
@settings(max_examples=300)
def test_it_writes_what_the_rfc8785_package_writes(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@given(values)
def test_the_order_of_members_does_not_matter(value: Any) -> None:
    assert canonical(shuffled(value)) == canonical(value)


@given(st.integers(0, 2**64 - 1))
@settings(max_examples=300)
def test_any_double_is_written_as_the_rfc8785_package_writes_it(bits: int) -> None:
    (number,) = struct.unpack("d", struct.pack("Q", bits))
    if not isfinite(number):
        with pytest.raises(Invalid):
            canonical(number)
    else:
        assert canonical(number) == rfc8785.dumps(number)


@pytest.mark.parametrize(
    ("number", "written"),
    [
        # RFC 8785, appendix B, and what Python writes otherwise
        (90.0, "90"),
        (-0.0, "0"),
        (1e-7, "1e-7"),
        (0.000001, "0.000001"),
        (0.00001234, "0.00001234"),
        (0.0001, "0.0001"),
        (5e-324, "5e-324"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (9007199254740992.0, "9007199254740992"),
        (295147905179352830000.0, "295147905179352830000"),
        (1e21, "1e+21"),
        (1e16, "10000000000000000"),
        (333333333.3333332, "333333333.3333332"),
        (-0.1, "-0.1"),
        (True, "true"),
        (1, "1"),
    ],
)
def test_a_number_is_written_as_ecmascript_writes_it(number: float, written: str) -> None:
    assert canonical(number).decode() == written


def test_names_are_sorted_by_utf_16_units() -> None:
    # U+1F50B (battery) begins with the unit D83D and so comes before U+FB33, unlike by code point.
    assert canonical({"\ufb33": 1, "\U0001f50b": 2, "z": 3}) == '{"z":3,"\U0001f50b":2,"\ufb33":1}'.encode()


def test_the_rfcs_own_example_comes_out_as_printed() -> None:
    value = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/",
        "literals": [None, True, False],
    }
    assert canonical(value).decode() == (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )


class Colour(StrEnum):
    RED = "red"


class Count(IntEnum):
    TWO = 2


def test_enumerations_and_tuples_are_written_as_what_they_stand_for() -> None:
    assert canonical({"a": (Colour.RED, Count.TWO)}) == b'{"a":["red",2]}'


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        2**53,
        -(2**53),
        float("nan"),
        float("-inf"),
        "\ud800",
        {"\udfff": 1},
        {"\udfff\U0001f50b": 1},
        {1: "a"},
        {"\U0001f50b": 1, 2: 3},
        {"a": {2: "b"}},
        b"bytes",
        {"a": {1, 2}},
        object(),
        nested(MAX_DEPTH + 1),
        nested(100_000),
    ],
)
def test_what_json_cannot_carry_is_refused(value: Any) -> None:
    with pytest.raises(Invalid):
        canonical(value)


def test_a_value_that_holds_itself_is_refused() -> None:
    value: dict[str, Any] = {}
    value["a"] = value
    with pytest.raises(Invalid):
        canonical(value)


def test_the_deepest_value_allowed_is_written() -> None:
    assert canonical(nested(MAX_DEPTH)) == b"[" * MAX_DEPTH + b"1" + b"]" * MAX_DEPTH
