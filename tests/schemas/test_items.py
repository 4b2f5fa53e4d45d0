"""Codes that survive pens, scanners and keyboards."""

import re
import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from schemas import items
from schemas.errors import Invalid
from schemas.items import (
    KINDS,
    LETTERS,
    Code,
    Kind,
    check_character,
    item_uri,
    kind_of,
    mint,
    read_code,
    read_uri,
)

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
WRITTEN = string.digits + string.ascii_uppercase
WHOLE: tuple[Kind, ...] = ("vehicle", "pack", "lot", "product", "material")
PARTS: tuple[Kind, ...] = ("module", "cell", "material")


def sealed(stem: str) -> str:
    return f"{stem}-{check_character(stem)}"


stems = st.builds(
    lambda letter, rest: letter + rest,
    st.sampled_from([letter for letter, kind in LETTERS.items() if kind in WHOLE]),
    st.text(CROCKFORD, min_size=9, max_size=9),
)
parts = st.builds(
    lambda stem, letter, number: f"{stem}-{letter}{number:03d}",
    stems,
    st.sampled_from("MCS"),
    st.integers(0, 999),
)
codes = (stems | parts).map(sealed)


@given(codes)
def test_a_code_reads_as_itself(code: str) -> None:
    assert read_code(code) == code


@given(codes, st.text(" \t\n", max_size=3), st.text(" \t\n", max_size=3))
def test_case_and_blanks_around_a_code_are_forgiven(code: str, before: str, after: str) -> None:
    assert read_code(before + code.lower() + after) == code


@given(codes, st.data())
def test_every_single_wrong_character_is_found(code: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(code) - 1))
    wrong = data.draw(st.sampled_from(WRITTEN + "-"))
    assume(wrong != code[at])
    with pytest.raises(Invalid):
        read_code(code[:at] + wrong + code[at + 1 :])


@given(codes, st.data())
def test_a_missing_or_doubled_character_is_found(code: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(code) - 1))
    with pytest.raises(Invalid):
        read_code(code[:at] + code[at + 1 :])
    with pytest.raises(Invalid):
        read_code(code[:at] + code[at] + code[at:])


def test_nearly_every_swapped_pair_is_found() -> None:
    swapped = missed = 0
    for number in range(1000):
        stem = f"P3F9KQ27MH-C{number:03d}"
        code = sealed(stem)
        for at in range(len(code) - 1):
            pair = code[at : at + 2]
            if pair[0] == pair[1] or "-" in pair:
                continue
            swapped += 1
            try:
                read_code(code[:at] + pair[::-1] + code[at + 2 :])
            except Invalid:
                continue
            missed += 1
    assert swapped > 5000
    assert missed / swapped < 0.01


@given(st.text(WRITTEN, min_size=1, max_size=20))
def test_the_check_character_keeps_the_equation_of_the_standard(text: str) -> None:
    product = 36
    for character in text:
        product = 2 * ((product + WRITTEN.index(character)) % 36 or 36) % 37
    assert (product + WRITTEN.index(check_character(text))) % 36 == 1


def test_the_check_character_is_that_of_the_standards_example() -> None:
    # The International Standard Audiovisual Number, the best known user of MOD 37,36 (ISO 15706).
    assert check_character("0000-0000-D07A-0090") == "Q"
    assert check_character("0000-0000-D07A-0090-0000-0000") == "X"


@given(stems)
def test_the_check_character_does_not_depend_on_hyphens(stem: str) -> None:
    assert check_character("-".join(stem)) == check_character(stem)


@pytest.mark.parametrize("kind", WHOLE)
def test_a_fresh_code_is_valid_tells_its_kind_and_is_new(kind: Kind) -> None:
    fresh = {mint(kind) for _ in range(200)}
    assert len(fresh) == 200
    for code in fresh:
        assert read_code(code) == code
        assert kind_of(code) == kind


@given(stems, st.sampled_from(PARTS), st.integers(0, 999))
def test_a_part_carries_the_code_of_what_it_came_out_of(stem: str, kind: Kind, number: int) -> None:
    code = mint(kind, within=sealed(stem), number=number)
    assert read_code(code) == code
    assert kind_of(code) == kind
    assert code.startswith(f"{stem}-")
    assert f"{number:03d}" in code


@given(parts.map(sealed))
def test_a_cell_out_of_a_module_is_still_numbered_within_the_pack(module: str) -> None:
    assert mint("cell", within=module, number=7).startswith(f"{module.split('-', maxsplit=1)[0]}-C007-")


def test_every_kind_has_one_letter() -> None:
    assert sorted(LETTERS.values()) == sorted(KINDS)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "P",
        "hello",
        "P3F9KQ27MH",
        "P3F9KQ27MH-C17-W",
        "X3F9KQ27MT-2",
        "P3F9KQ27MH-2; DROP",
        "Ｐ3F9KQ27MT-2",
    ],
)
def test_what_is_no_code_is_named_as_such(text: str) -> None:
    with pytest.raises(Invalid, match="is not an item code: a code looks like"):
        read_code(text)
    with pytest.raises(Invalid, match="is not an item code"):
        kind_of(text)


def test_every_code_shown_as_an_example_is_a_code() -> None:
    with pytest.raises(Invalid) as told:
        read_code("?")
    shown = re.findall(r"\bP3F9[0-9A-Z-]+", f"{told.value} {items.__doc__}")
    assert len(shown) == 3
    for code in shown:
        assert read_code(code) == code


def test_a_mistyped_code_is_told_apart_from_what_is_no_code() -> None:
    code = sealed("P3F9KQ27MH")
    wrong = code[:-1] + ("0" if code[-1] != "0" else "1")
    with pytest.raises(Invalid, match="is mistyped"):
        read_code(wrong)


def test_a_form_takes_a_code_in_its_one_spelling_and_says_what_is_wrong_with_another() -> None:
    field = TypeAdapter(Code)
    code = sealed("P3F9KQ27MH-C017")
    assert field.validate_python(f" {code.lower()} ") == code
    with pytest.raises(ValidationError, match="is not an item code"):
        field.validate_python("cell 17")
    with pytest.raises(ValidationError, match="at most 40"):
        field.validate_python("P" * 10_000)


@given(codes, codes)
def test_two_items_never_share_a_uri(one: str, other: str) -> None:
    assume(one != other)
    assert item_uri("did:example:collector", one) != item_uri("did:example:collector", other)


def test_a_part_is_found_under_the_uri_of_its_pack() -> None:
    pack, cell = sealed("P3F9KQ27MH"), sealed("P3F9KQ27MH-C017")
    assert item_uri("did:example:collector", pack) == "did:example:collector/items/P3F9KQ27MH"
    assert item_uri("did:example:collector", cell).startswith("did:example:collector/items/P3F9KQ27MH#C017")


@given(codes)
def test_a_did_url_is_read_back_as_the_item_that_it_names(code: str) -> None:
    registrar = "did:webvh:Qmx:registry.example:minato"
    assert read_uri(item_uri(registrar, code)) == (registrar, code)


@pytest.mark.parametrize("rest", ["", "/items/", "/items/#", "/items/X#C017-2", "/items/ü", "/items/P#"])
def test_what_names_no_item_is_refused(rest: str) -> None:
    with pytest.raises(Invalid):
        read_uri(f"did:x:y{rest}")
