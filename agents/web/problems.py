"""Each fault's one answer at this edge: RFC 9457 problem details for programs, a page for people."""

from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, Field

from agents.accounts import Hurried
from agents.service import Misfilled
from agents.words import recall, say, translate
from protocols.exchange import DOCUMENT
from schemas.errors import Fault, Invalid

STATUSES = {
    "malformed": 422,
    "unknown": 404,
    "out-of-step": 409,
    "forbidden": 403,
    "unavailable": 503,
    "unidentified": 401,
    "too-many-tries": 429,
    "not-json": 400,
    "too-large": 413,
}
TITLES = {
    "malformed": "Please check what was entered",
    "unknown": "There is no such thing here",
    "out-of-step": "Not possible now",
    "forbidden": "Not allowed",
    "unavailable": "Not available just now",
    "unidentified": "Please log in",
    "too-many-tries": "Too many tries",
    "not-json": "Not readable",
    "too-large": "Too large",
    "fault": "Something went wrong",
}


class NotJson(Invalid):
    """The body is no JSON that every reader reads alike."""

    code = "not-json"


class Problem(BaseModel):
    """A problem in the shape of RFC 9457."""

    type: str = Field(description="A URI that names the kind of problem")
    title: str
    status: int
    detail: str
    code: str
    fields: dict[str, str] = Field(default_factory=dict, description="What is wrong with each field")


def status_of(fault: Fault) -> int:
    """Return the HTTP status of a fault."""
    return STATUSES.get(fault.code, 500)


def problem_of(fault: Fault, language: str) -> Problem:
    """Return a fault as problem details in the reader's language."""
    fields = wrong_fields(fault, language)
    detail = say(fault, language)
    if fields:
        words = "; ".join(f"{name}: {what}" for name, what in fields.items())
        detail = translate(fault.template, {"fields": words}, language)
    status = status_of(fault)
    return Problem(
        type=f"{DOCUMENT}/problems/{fault.code}",
        title=translate(TITLES.get(fault.code, TITLES["fault"]), None, language),
        status=status,
        detail=detail,
        code=fault.code,
        fields=fields,
    )


def problem_of_status(status: int, language: str) -> Problem:
    """Return an HTTP status that no fault of ours caused as problem details."""
    code = next((code for code, known in STATUSES.items() if known == status), f"http-{status}")
    phrase = HTTPStatus(status).phrase
    words = translate(TITLES[code], None, language) if code in TITLES else phrase
    return Problem(type=f"{DOCUMENT}/problems/{code}", title=words, status=status, detail=words, code=code)


def wrong_fields(fault: Fault, language: str) -> dict[str, str]:
    """Return what is wrong with each field of a form."""
    if not isinstance(fault, Misfilled):
        return {}
    return {name: recall(words, language) for name, words in fault.fields.items()}


def extra_headers(fault: Fault) -> dict[str, str]:
    """Return the headers that go with a fault."""
    if isinstance(fault, Hurried):
        return {"Retry-After": str(fault.seconds)}
    if fault.code == "unidentified":
        return {"WWW-Authenticate": 'Bearer realm="meguri"'}
    return {}


def as_json(problem: Problem) -> dict[str, Any]:
    """Return problem details as JSON, without what is empty."""
    return problem.model_dump(exclude_defaults=True)
