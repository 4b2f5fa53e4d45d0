"""The OpenAPI 3.1 document, made from the routes, the actions' forms and the views."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema

from agents.role import Action
from agents.web.context import Context
from agents.web.gate import cookie_name
from agents.web.problems import Problem
from agents.web.rest import API, ROUTES, Ready, Route, Towards
from agents.web.views import Outcome

_REF = "#/components/schemas/{model}"
_FAULTS = {
    400: "The body cannot be read",
    401: "Nobody has said, and proved, who is asking",
    403: "Not allowed",
    404: "There is no such thing here",
    409: "Not possible now",
    413: "Too large",
    422: "The input is wrong; `fields` names each wrong field",
    429: "Too many tries",
    503: "Not available just now",
}


def document(context: Context, company: str) -> dict[str, Any]:
    """Return the OpenAPI document of one company's agent."""
    actions = context.agent.play.actions
    schemas = _Schemas([action.form for action in actions.values()])
    paths: dict[str, Any] = {}
    for one in ROUTES:
        paths.setdefault(API + one.path, {})[one.method.lower()] = _operation(one, schemas)
    for action in actions.values():
        paths[f"{API}/actions/{action.name}"] = {"post": _action(action, schemas)}
    paths["/ready"] = {
        "get": {
            "summary": "Say whether the agent can work",
            "operationId": "ready",
            "tags": ["operation"],
            "security": [],
            "responses": {
                "200": _json("It can", schemas.of(Ready)),
                "503": _json("Not yet", schemas.of(Ready)),
            },
        }
    }
    paths["/metrics"] = {
        "get": {
            "summary": "Tell the figures of operation, as Prometheus reads them",
            "operationId": "metrics",
            "tags": ["operation"],
            "responses": {"200": {"description": "The figures", "content": {"text/plain": {}}}},
        }
    }
    paths["/blobs/{id}"] = {
        "get": {
            "summary": "Serve an encrypted file to whoever has its unguessable name",
            "operationId": "blob",
            "tags": ["operation"],
            "security": [],
            "parameters": [_parameter("id", "path", {"type": "string"})],
            "responses": {
                "200": {"description": "The file", "content": {"application/octet-stream": {}}},
                "206": {"description": "The part asked for", "content": {"application/octet-stream": {}}},
                "404": {"description": _FAULTS[404]},
            },
        }
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"Meguri: {company}",
            "version": context.version or "0",
            "description": "One company's agent: its dealings, items and statements, and what it can do.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": context.public_url.rstrip("/") or "/"}],
        "security": [{"token": []}, {"session": [], "csrf": []}],
        "paths": paths,
        "components": {
            "schemas": schemas.definitions,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "A token, `meguri_…`"},
                "session": {"type": "apiKey", "in": "cookie", "name": cookie_name(context, "session")},
                "csrf": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "X-CSRF-Token",
                    "description": "Goes with the session's cookie in every change; GET /session tells it",
                },
            },
        },
    }


class _Schemas:
    """The models named in the document, each defined once."""

    def __init__(self, forms: Sequence[type[BaseModel]]) -> None:
        answers = [one.answer for one in ROUTES if one.answer is not None]
        models: set[type[BaseModel]] = {Problem, Outcome, Ready}
        for answer in answers:
            models |= {m for m in (answer, *get_args(answer)) if _is_model(m)}
        requests: set[type[BaseModel]] = {*forms, *(one.takes for one in ROUTES if one.takes)}
        taken = sorted(requests, key=_order)
        given = sorted(models - requests, key=_order)
        pairs: list[Any] = [(m, "validation") for m in taken] + [(m, "serialization") for m in given]
        names, found = models_json_schema(pairs, ref_template=_REF)
        self._names = {model: schema["$ref"] for (model, _), schema in names.items()}
        renamed = {old: re.sub(r"[^A-Za-z0-9._-]", "_", old) for old in found.get("$defs", {})}
        self.definitions: dict[str, Any] = {
            renamed[name]: _renamed(schema, renamed) for name, schema in found.get("$defs", {}).items()
        }
        self._renamed = renamed

    def of(self, model: Any) -> dict[str, Any]:
        """Return the schema of a type, by reference where it is a model."""
        if _is_model(model):
            reference: str = self._names[model]
            name = reference.rpartition("/")[2]
            return {"$ref": _REF.format(model=self._renamed.get(name, name))}
        if get_origin(model) is list:
            return {"type": "array", "items": self.of(get_args(model)[0])}
        return TypeAdapter(model).json_schema(ref_template=_REF)


def _is_model(one: Any) -> bool:
    return isinstance(one, type) and issubclass(one, BaseModel)


def _order(model: type[BaseModel]) -> tuple[str, str]:
    return model.__name__, model.__module__


def _renamed(schema: Any, names: Mapping[str, str]) -> Any:
    if isinstance(schema, dict):
        return {
            key: _REF.format(model=names.get(value.rpartition("/")[2], value.rpartition("/")[2]))
            if key == "$ref" and isinstance(value, str)
            else _renamed(value, names)
            for key, value in schema.items()
        }
    if isinstance(schema, list):
        return [_renamed(one, names) for one in schema]
    return schema


def _json(
    description: str, schema: Mapping[str, Any], media_type: str = "application/json"
) -> dict[str, Any]:
    return {"description": description, "content": {media_type: {"schema": dict(schema)}}}


def _parameter(name: str, place: str, schema: Mapping[str, Any], *, required: bool = True) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name, "in": place, "required": required, "schema": dict(schema)}
    if title := schema.get("title"):
        found["description"] = title
    return found


def _faults(*codes: int) -> dict[str, Any]:
    problem = {"$ref": _REF.format(model="Problem")}
    return {str(code): _json(_FAULTS[code], problem, "application/problem+json") for code in codes}


def _operation(one: Route, schemas: _Schemas) -> dict[str, Any]:
    tag = one.path.split("/")[1]
    operation: dict[str, Any] = {
        "summary": one.summary,
        "operationId": one.run.__name__,
        "tags": [tag],
    }
    parameters = [_parameter(n, "path", {"type": "string"}) for n in re.findall(r"{(\w+)}", one.path)]
    if one.query is not None:
        for name, schema in TypeAdapter(one.query).json_schema()["properties"].items():
            parameters.append(_parameter(name, "query", schema, required=False))
    parameters += [_parameter(name, "header", {"type": "string"}, required=False) for name in one.headers]
    if parameters:
        operation["parameters"] = parameters
    if one.rank is None:
        operation["security"] = []
    elif one.rank != "operator":
        operation["description"] = f"Needs the rank of {one.rank}."
    faults = [404] if "{" in one.path else []
    if one.takes is not None or one.path == "/verify":
        schema = schemas.of(one.takes) if one.takes else {"type": "object"}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
        faults += [400, 413, 422]
    elif one.takes_media_type != "application/json":
        operation["requestBody"] = {"required": True, "content": {one.takes_media_type: {}}}
        faults += [413, 422]
    if one.query is not None:
        faults.append(422)
    if one.path == "/session" and one.method == "POST":
        faults.append(429)
    if one.answer is not None:
        responses = {str(one.status): _json("The answer", schemas.of(one.answer))}
    elif one.status in {202, 204}:
        responses = {str(one.status): {"description": "Done" if one.status == 204 else "Begun"}}  # noqa: PLR2004
    else:
        responses = {str(one.status): {"description": "The file", "content": {one.media_type: {}}}}
    operation["responses"] = responses | _faults(401, 403, *dict.fromkeys(sorted(faults)))
    return operation


def _action(action: Action[Any], schemas: _Schemas) -> dict[str, Any]:
    to = TypeAdapter(Towards).json_schema()["properties"]["to"]
    needs_to = action.protocol is not None
    where: dict[str, Any] = {"type": "object", "properties": {"to": to}}
    if needs_to:
        where["required"] = ["to"]
    words = (action.run.__doc__ or action.title).strip().splitlines()[0]
    sends = ", ".join(message.kind for message in action.sends)
    described = [words, f"Needs the rank of {action.rank}."]
    if action.protocol is not None:
        described.append(f"Sends {sends} of {action.protocol.name}.")
    return {
        "summary": action.title,
        "description": " ".join(described),
        "operationId": action.name,
        "tags": ["actions"],
        "parameters": [
            _parameter(
                "Idempotency-Key",
                "header",
                {
                    "type": "string",
                    "maxLength": 200,
                    "title": "A second call with the same key changes nothing",
                },
                required=False,
            )
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"allOf": [where, schemas.of(action.form)]}}},
        },
        "responses": {
            "201": _json("What came of it", schemas.of(Outcome)),
            **_faults(400, 401, 403, 404, 409, 413, 422, 503),
        },
    }
