"""A form's fields come from its model, and what comes back is what the API would be sent."""

from datetime import date
from decimal import Decimal
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from agents.forms import fields_of
from agents.web.forms import MOST_ROWS, read_posted, shown
from agents.web.render import environment
from protocols.collection import Quote, Request
from protocols.delivery import Offer
from schemas.items import Code, mint
from tests.agents.texts import actions, models


class Everything(BaseModel):
    """One field of each shape."""

    text: str = Field(max_length=40)
    paragraph: str = Field(default="", max_length=1000)
    whole: int = Field(ge=1, le=9)
    decimal: Decimal | None = Field(default=None, gt=0)
    day: date
    tick: bool = False
    one: Literal["a", "b"]
    some: tuple[Literal["a", "b", "c"], ...] = ()
    code: Code
    codes: tuple[Code, ...] = ()
    lines: tuple[str, ...] = ()
    photos: tuple[str, ...] = Field(default=(), json_schema_extra={"evidence": True})
    other: dict[str, Any] = Field(default_factory=dict)


def test_each_type_has_its_shape() -> None:
    assert {one.name: one.shape for one in fields_of(Everything)} == {
        "text": "text",
        "paragraph": "paragraph",
        "whole": "number",
        "decimal": "number",
        "day": "date",
        "tick": "tick",
        "one": "choice",
        "some": "choices",
        "code": "code",
        "codes": "codes",
        "lines": "lines",
        "photos": "evidence",
        "other": "json",
    }


def test_limits_and_choices_are_the_models() -> None:
    fields = {one.name: one for model in (Request, Quote) for one in fields_of(model)}
    assert fields["odometer_km"].least == "0"
    assert fields["price_jpy"].least == "-100000000"
    assert fields["first_registration"].shape == "month"
    assert fields["findings"].choices == ("wet", "leak", "heat", "swelling", "accident")
    assert fields["vehicle_model"].longest == 80


def test_every_form_has_a_title_for_each_field() -> None:
    untitled = [
        (model.__name__, name)
        for model in models()
        for name, info in model.model_fields.items()
        if not info.title
    ]
    assert untitled == []


def test_every_action_can_be_shown() -> None:
    for action in actions():
        fields = fields_of(action.form)
        assert set(shown(fields, {})) == {one.name for one in fields}


def test_what_was_filled_in_is_what_is_meant() -> None:
    code, other = mint("pack"), mint("cell", mint("pack"), 1)
    posted = {
        "text": ["hello"],
        "whole": ["3"],
        "decimal": [" 2.50 "],
        "day": ["2026-04-01"],
        "tick": ["yes"],
        "one": ["b"],
        "some": ["a", "c"],
        "code": [code.lower()],
        "codes": [f"{code}\r\n{other} {code}"],
        "lines": ["one\r\n\r\ntwo words"],
        "photos": ["0" * 64, ""],
        "other": ['{"x": 1}'],
        "paragraph": [""],
    }
    found = Everything.model_validate(read_posted(fields_of(Everything), posted))
    assert found.decimal == Decimal("2.50")
    assert found.day == date(2026, 4, 1)
    assert found.tick
    assert found.some == ("a", "c")
    assert (found.code, found.codes) == (code, (code, other, code))
    assert found.lines == ("one", "two words")
    assert found.photos == ("0" * 64,)
    assert found.other == {"x": 1}


def test_rows_are_read_in_order_and_empty_ones_left_out() -> None:
    first, second = mint("cell", mint("pack"), 1), mint("cell", mint("pack"), 2)
    posted = {
        "lines-10-item": [second],
        "lines-2-item": [first],
        "lines-2-grade": ["A"],
        "lines-3-item": [""],
        "lines-x-item": ["no"],
    }
    rows = read_posted(fields_of(Offer), posted)["lines"]
    assert rows == [{"item": first, "grade": "A"}, {"item": second}]


def test_rows_have_an_end() -> None:
    posted = {f"lines-{number}-item": ["x"] for number in range(MOST_ROWS + 50)}
    assert len(read_posted(fields_of(Offer), posted)["lines"]) == MOST_ROWS


@given(st.dictionaries(st.sampled_from([*Everything.model_fields, "csrf"]), st.lists(st.text(), max_size=3)))
def test_no_post_breaks_the_form(posted: dict[str, list[str]]) -> None:
    fields = fields_of(Everything)
    data = read_posted(fields, posted)
    assert set(data) <= set(Everything.model_fields)
    shown(fields, data)


@pytest.mark.parametrize("name", environment().list_templates())
def test_every_template_compiles_and_trusts_nothing(name: str) -> None:
    found = environment()
    assert found.loader is not None
    source, _, _ = found.loader.get_source(found, name)
    found.get_template(name)
    assert "|safe" not in source.replace(" ", "")
    assert "style=" not in source
    assert "<script>" not in source
