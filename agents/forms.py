"""What a form asks for: the fields of a pydantic model as every door shows them, the page and the command."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeAliasType, Union, get_args, get_origin

import annotated_types as limits
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from schemas.items import Code

Shape = Literal[
    "text",
    "paragraph",
    "number",
    "date",
    "month",
    "tick",
    "choice",
    "choices",
    "code",
    "codes",
    "lines",
    "rows",
    "evidence",
    "json",
]

LONG_TEXT = 200
_CODE_MARK = get_args(Code)[-1]


@dataclass(frozen=True)
class Field:
    """One field as people see it."""

    name: str
    title: str
    shape: Shape
    required: bool = False
    default: Any = None
    choices: tuple[str, ...] = ()
    least: str = ""
    most: str = ""
    step: str = ""
    longest: int | None = None
    help: str = ""
    fields: tuple["Field", ...] = field(default=())


def fields_of(form: type[BaseModel]) -> tuple[Field, ...]:
    """List a model's fields as people see them; what is there for their agents alone is left out."""
    return tuple(_field(name, info) for name, info in form.model_fields.items() if not _is_sealed(info))


def _is_sealed(info: FieldInfo) -> bool:
    extra = info.json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("sealed"))


def _unwrapped(annotation: Any) -> tuple[Any, tuple[Any, ...], bool]:
    """Return the bare type, its metadata, and whether it may be left out as None."""
    if isinstance(annotation, TypeAliasType):
        return _unwrapped(annotation.__value__)
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        bare, more, optional = _unwrapped(inner)
        return bare, (*more, *metadata), optional
    if get_origin(annotation) in {Union, UnionType}:
        rest = [one for one in get_args(annotation) if one is not NoneType]
        if len(rest) == 1:
            bare, more, _ = _unwrapped(rest[0])
            return bare, more, True
    return annotation, (), False


def _field(name: str, info: FieldInfo) -> Field:
    bare, inner, _ = _unwrapped(info.annotation)
    metadata = (*inner, *info.metadata)
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    # A default that is made anew each time, such as a fresh code, is left to the moment of saving.
    default = None if info.is_required() or info.default_factory else info.default
    plain = Field(
        name=name,
        title=info.title or name.replace("_", " ").capitalize(),
        shape="text",
        required=info.is_required(),
        default=None if default is PydanticUndefined else default,
        longest=next((m.max_length for m in metadata if getattr(m, "max_length", None) is not None), None),
        help=info.description or "",
    )
    if extra.get("evidence"):
        return replace(plain, shape="evidence")
    if isinstance(choices := extra.get("choices"), list):
        return replace(plain, shape="choices", choices=tuple(map(str, choices)), longest=None)
    if get_origin(bare) in {tuple, list, set, frozenset}:
        return _several(plain, get_args(bare)[0])
    return _single(plain, bare, metadata)


def _several(plain: Field, of: Any) -> Field:
    bare, metadata, _ = _unwrapped(of)
    if get_origin(bare) is Literal:
        return replace(plain, shape="choices", choices=tuple(map(str, get_args(bare))))
    if isinstance(bare, type) and issubclass(bare, BaseModel):
        return replace(plain, shape="rows", fields=fields_of(bare))
    return replace(plain, shape="codes" if _CODE_MARK in metadata else "lines", longest=None)


def _single(plain: Field, bare: Any, metadata: Sequence[Any]) -> Field:
    if get_origin(bare) is Literal:
        return replace(plain, shape="choice", choices=tuple(map(str, get_args(bare))))
    if bare is bool:
        return replace(plain, shape="tick")
    if bare is date:
        return replace(plain, shape="date")
    if bare in {int, float, Decimal}:
        return replace(
            plain,
            shape="number",
            least=_limit(metadata, (limits.Ge, "ge"), (limits.Gt, "gt")),
            most=_limit(metadata, (limits.Le, "le"), (limits.Lt, "lt")),
            step="1" if bare is int else "any",
        )
    if _CODE_MARK in metadata:
        return replace(plain, shape="code")
    if get_origin(bare) in {dict, Mapping} or bare in {dict, Mapping}:
        return replace(plain, shape="json", longest=None)
    if isinstance(bare, type) and issubclass(bare, BaseModel):
        return replace(plain, shape="json", longest=None)
    pattern = next((m.pattern for m in metadata if getattr(m, "pattern", None)), None)
    if pattern and re.fullmatch(pattern, "2019-04") and not re.search(pattern, "2019-13"):
        return replace(plain, shape="month")
    return replace(plain, shape="paragraph" if (plain.longest or 0) > LONG_TEXT else "text")


def _limit(metadata: Sequence[Any], *kinds: tuple[type, str]) -> str:
    for one in metadata:
        for kind, name in kinds:
            if isinstance(one, kind):
                return str(getattr(one, name))
    return ""
