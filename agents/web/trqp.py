"""The Trust Registry Query Protocol 2 on the authority's site: POST /authorization and POST /recognition.

Answers are facts that anyone may read in the framework and the register. Nothing of a question is kept.
Refusals are problem details (RFC 9457): 400 for a question that is none, 404 for another authority's.
"""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from agents.role import Books
from agents.service import read_form, roles_of
from agents.web.gate import Pace, body_of
from agents.web.problems import NotJson
from agents.web.public import FOR_ALL
from agents.web.rest import see
from agents.web.views import Seeing
from credentials import strict
from credentials.moments import moment, stamp
from governance.trqp import authorised, recognised
from schemas.claims import MembershipRegister
from schemas.errors import Invalid, Unknown

MOST_BYTES: Final = 16_384
MOST_A_MINUTE: Final = 600
_UTC = re.compile(r"[^+]*Z")


class Question(BaseModel):
    """Who, what, about what, by whose rules."""

    model_config = ConfigDict(frozen=True, str_max_length=2000)
    entity_id: str = Field(min_length=1)
    authority_id: str = Field(min_length=1)
    action: str = Field(min_length=1)
    resource: str = Field(min_length=1)
    context: dict[str, str] = Field(default_factory=dict, max_length=20)


def add_trqp(app: web.Application) -> None:
    """Add the two questions to the authority's site."""
    pace = Pace(MOST_A_MINUTE)

    def asked(name: Literal["authorized", "recognized"]) -> Callable[[web.Request], Any]:
        async def answer(request: web.Request) -> web.Response:
            pace.step(request)
            question = await _question(request)
            found = await see(request, lambda s: _answer(s, question, name))
            return web.json_response(found, headers=FOR_ALL)

        return answer

    app.router.add_post("/authorization", asked("authorized"))
    app.router.add_post("/recognition", asked("recognized"))


async def _question(request: web.Request) -> Question:
    try:
        data = strict.loads(await body_of(request, MOST_BYTES), limit=MOST_BYTES)
        if not isinstance(data, dict):
            raise NotJson("send one JSON object")
        question = read_form(Question, {name: data[name] for name in Question.model_fields if name in data})
        _moment(question)
    except Invalid as invalid:
        if invalid.code != Invalid.code:
            raise
        raise NotJson(invalid.template, **invalid.values) from invalid
    return question


def _moment(question: Question) -> datetime | None:
    """Return the time that a question asks about; it is written in UTC, with a Z."""
    told = question.context.get("time", "")
    if not told:
        return None
    found = moment(told)
    if not _UTC.fullmatch(told):
        raise Invalid("write the time in UTC, with a Z at its end")
    return found


def _answer(s: Seeing, question: Question, name: Literal["authorized", "recognized"]) -> dict[str, Any]:
    me = s.desk.company.did
    if question.authority_id != me:
        raise Unknown("this registry answers for {authority} alone", authority=me)
    at = _moment(question)
    framework = s.desk.framework(at)
    if name == "recognized":
        yes, message = recognised(framework, me, question.entity_id, question.action, question.resource)
    else:
        roles, standing = _membership(s.desk, question.entity_id, at)
        yes, message = authorised(
            framework, roles, standing, question.action, question.resource, question.context
        )
    answer: dict[str, Any] = {
        "entity_id": question.entity_id,
        "authority_id": question.authority_id,
        "action": question.action,
        "resource": question.resource,
        name: yes,
        "time_evaluated": stamp(s.desk.now),
        "message": message,
    }
    if at is not None:
        answer["time_requested"] = question.context["time"]
    return answer | ({"context": question.context} if question.context else {})


def _membership(books: Books, did: str, at: datetime | None) -> tuple[tuple[str, ...], str]:
    """Return in which roles and standing a company was a member at a moment, or is now."""
    me = books.company.did
    if did == me:
        return roles_of(books, did, me), "accredited"
    members = books.members()
    if at is not None and at < books.now:
        held = books.credential_at(me, "MembershipRegister", at)
        members = MembershipRegister.model_validate(held.claim).members if held else ()
    entry = next((one for one in members if one.did == did), None)
    return (entry.roles, entry.status) if entry else ((), "")
