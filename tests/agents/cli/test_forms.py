"""A form says the same whether it comes by a command line or not."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeAliasType, Union, get_args, get_origin
from uuid import UUID

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic.fields import FieldInfo

from agents.cli.actions import command_for, everything
from agents.cli.forms import Form, written
from agents.forms import fields_of
from schemas.errors import Invalid
from schemas.items import Code, mint

ACTIONS = everything().actions
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=30)
_MARK = get_args(Code)[-1]


def values(annotation: Any, metadata: tuple[Any, ...] = ()) -> st.SearchStrategy[Any]:
    """Return what a field of this type may hold, mostly."""
    if isinstance(annotation, TypeAliasType):
        return values(annotation.__value__, metadata)
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        return values(inner, (*metadata, *more))
    if get_origin(annotation) in {Union, UnionType}:
        return st.one_of(
            *(st.none() if one is NoneType else values(one, metadata) for one in get_args(annotation))
        )
    if get_origin(annotation) is Literal:
        return st.sampled_from(get_args(annotation))
    if get_origin(annotation) is tuple:
        return st.lists(values(get_args(annotation)[0]), max_size=4).map(tuple)
    if _MARK in metadata:
        return st.sampled_from([mint("pack"), mint("cell", mint("pack"), 7)])
    for one in metadata:
        if isinstance(one, StringConstraints) and one.pattern:
            return st.from_regex(str(one.pattern), fullmatch=True)
        if getattr(one, "pattern", None):
            return st.from_regex(one.pattern, fullmatch=True)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return models(annotation)
    plain: dict[Any, st.SearchStrategy[Any]] = {
        str: TEXT,
        int: st.integers(0, 100),
        float: st.floats(0, 100),
        Decimal: st.decimals(0, 100, allow_nan=False, places=2),
        bool: st.booleans(),
        date: st.dates(),
        UUID: st.uuids(),
    }
    if annotation in plain:
        return plain[annotation]
    return st.dictionaries(st.text("abc", min_size=1), st.integers(-(2**53), 2**53) | TEXT, max_size=3)


def offered(info: FieldInfo) -> st.SearchStrategy[Any] | None:
    """Return the choices that a field offers beside its type, if it does."""
    extra = info.json_schema_extra
    choices = extra.get("choices") if isinstance(extra, dict) else None
    return st.lists(st.sampled_from(choices), max_size=4).map(tuple) if isinstance(choices, list) else None


@st.composite
def models(draw: st.DrawFn, model: type[BaseModel]) -> BaseModel:
    """Return a filled model."""
    filled = {
        name: draw(offered(info) or values(info.annotation, tuple(info.metadata)))
        for name, info in model.model_fields.items()
        if info.is_required() or draw(st.booleans())
    }
    try:
        return model.model_validate(filled)
    except ValidationError:
        assume(False)
        raise


class Everything(BaseModel):
    """A form with every shape a field may have."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)
    name: str = Field(min_length=1, title="Name")
    paragraph: str = Field(default="", max_length=4000, title="Paragraph")
    count: int = Field(ge=-5, title="Count")
    mass_kg: Decimal | None = Field(default=None, title="Mass (kg)")
    day: date = Field(title="Day")
    tick: bool = Field(default=False, title="Tick")
    choice: Literal["one", "another one"] = Field(title="Choice")
    choices: tuple[Literal["wet", "leak"], ...] = Field(default=(), title="Choices")
    spaced: tuple[Literal["any time", "never"], ...] = Field(default=(), title="Choices with spaces")
    code: Code = Field(title="Code")
    codes: tuple[Code, ...] = Field(default=(), title="Codes")
    words: tuple[str, ...] = Field(default=(), title="Words")
    figures: tuple[Decimal, ...] = Field(default=(), title="Figures")
    photos: tuple[Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")], ...] = Field(
        default=(), title="Photos", json_schema_extra={"evidence": True}
    )
    free: dict[str, Any] = Field(default_factory=dict, title="Free")


class Nested(BaseModel):
    """Rows of forms."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)
    rows: tuple[Everything, ...] = Field(min_length=1, title="Rows")


def read(form: type[BaseModel], words: list[str]) -> BaseModel:
    """Read a form back from a command line, the way a command does."""
    import click

    options = Form(form)
    command = click.Command("it", params=options.options())
    with command.make_context("it", words) as context:
        data, _ = options.read(context.params)
    return form.model_validate(data, extra="forbid")


@pytest.mark.parametrize("form", [Everything, Nested])
@given(data=st.data())
@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
def test_a_form_survives_the_command_line(form: type[BaseModel], data: st.DataObject) -> None:
    filled = data.draw(models(form))
    assert read(form, written(filled)) == filled


@pytest.mark.parametrize("name", sorted(ACTIONS))
@given(data=st.data())
@settings(max_examples=6, suppress_health_check=list(HealthCheck))
def test_every_actions_form_survives_the_command_line(name: str, data: st.DataObject) -> None:
    form = ACTIONS[name].form
    filled = data.draw(models(form))
    evidence = {field.name: () for field in fields_of(form) if field.shape == "evidence"}
    filled = filled.model_copy(update=evidence)
    assert read(form, written(filled)) == filled


@pytest.mark.parametrize("name", sorted(ACTIONS))
def test_every_action_has_an_option_for_every_field(name: str) -> None:
    command = command_for(ACTIONS[name])
    options = {option for param in command.params for option in param.opts}
    for field in ACTIONS[name].form.model_fields:
        assert f"--{field.replace('_', '-')}" in options
    names = [option for param in command.params for option in (*param.opts, *param.secondary_opts)]
    assert len(set(names)) == len(names)


def test_a_row_may_hold_commas_where_no_field_follows() -> None:
    from protocols.delivery import AcceptInPart

    code = mint("cell", mint("pack"), 3)
    data = read(AcceptInPart, ["--rejected", f"item={code}, reason=wet, bent, and late"])
    assert data == AcceptInPart.model_validate(
        {"rejected": [{"item": code, "reason": "wet, bent, and late"}]}
    )


def test_rows_come_from_csv_and_json_files(tmp_path: Path) -> None:
    from agents.roles.predictions import PredictForm

    code = mint("cell", mint("pack"), 3)
    table = tmp_path / "history.csv"
    table.write_text("cycle,soh_pct,sd_pct\n0,100,\n500,91.5,0.4\n")
    listed = tmp_path / "history.json"
    listed.write_text('[{"cycle": 0, "soh_pct": "100"}, {"cycle": 500, "soh_pct": "91.5", "sd_pct": "0.4"}]')
    ways = [
        [f"--history=@{table}"],
        [f"--history=@{listed}"],
        ["--history=cycle=0,soh_pct=100", "--history=cycle=500,soh_pct=91.5,sd_pct=0.4"],
    ]
    rest = [f"--item={code}", "--cycles", "600,800", "--cycles", "1000"]
    forms = [read(PredictForm, [*way, *rest]) for way in ways]
    assert forms[0] == forms[1] == forms[2]
    assert [int(cycle) for cycle in PredictForm.model_validate(forms[0]).cycles] == [600, 800, 1000]


def test_codes_come_from_a_file_of_lines(tmp_path: Path) -> None:
    from agents.roles.recycler import RecycleForm

    codes = [mint("pack") for _ in range(3)]
    listed = tmp_path / "codes.txt"
    listed.write_text(f"{codes[0]}\n{codes[1]}, {codes[2]}\n")
    form = RecycleForm.model_validate(read(RecycleForm, [f"--items=@{listed}", "--result=done"]))
    assert form.items == tuple(codes)


@pytest.mark.parametrize(
    "word", ["item", "reason=x,colour=red,item=", "@/nowhere.json", "{", "colour=red", "=", ""]
)
def test_a_row_that_is_none_is_refused_in_words(word: str) -> None:
    from protocols.delivery import AcceptInPart

    with pytest.raises((Invalid, ValidationError)):
        read(AcceptInPart, [f"--rejected={word}"])
