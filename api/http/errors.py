"""Problem documents on the wire (RFC 9457): what went wrong, and never what was sent."""

import logging
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match

from api.problems import INTERNAL, STATUS_OF, TYPE_PREFIX, Problem, ScopeMissing, problem_of
from identity.errors import DcqlInvalid, IdentityError

_LOG = logging.getLogger("credence.http")
MEDIA_TYPE = "application/problem+json"


class InvalidMember(BaseModel):
    """A member of the request that is not as the contract says."""

    pointer: str = Field(description="Where it stands, as a JSON pointer into the body or the name of a parameter.")
    code: str = Field(description="What is wrong with it.")


class ProblemDocument(BaseModel):
    """A problem document (RFC 9457)."""

    model_config = ConfigDict(title="Problem")

    type: str = Field(description="A URN that names the kind of problem.", examples=["urn:credence:problem:nonce_used"])
    title: str = Field(description="The kind of problem, in words.")
    status: int = Field(description="The HTTP status code.")
    detail: str = Field(description="What is wrong; never repeats what was sent.")
    code: str = Field(description="The stable name of the problem, for programs.", examples=["nonce_used"])
    errors: list[InvalidMember] | None = Field(default=None, description="Each member that is wrong.")


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's account of the problems that an operation may answer with; the contract writes each out once."""
    problem = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: problem}} for status in statuses}


def problem_response(problem: Problem, errors: list[dict[str, str]] | None = None) -> Response:
    """The response of a problem."""
    body: dict[str, Any] = {
        "type": TYPE_PREFIX + problem.code,
        "title": problem.code.replace("_", " ").capitalize(),
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
    }
    if errors:
        body["errors"] = errors
    headers = {}
    if problem.retry_after_s is not None:
        headers["Retry-After"] = str(problem.retry_after_s)
    if problem.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="credence"'
    if problem.code == ScopeMissing.code:  # a token of more scope would do, which is not so of every 403
        headers["WWW-Authenticate"] = 'Bearer realm="credence", error="insufficient_scope"'
    return JSONResponse(body, status_code=problem.status, media_type=MEDIA_TYPE, headers=headers)


def install_error_handlers(app: FastAPI) -> None:
    """Make every error of `app` a problem document."""
    for leaf in STATUS_OF:
        app.add_exception_handler(leaf, _on_room_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_error)


def _on_room_error(request: Request, error: Exception) -> Response:
    problem = problem_of(error)
    if problem.status == INTERNAL.status:
        log_internal_error(error, _route_of(request))
    if isinstance(error, DcqlInvalid):
        return problem_response(problem, [{"pointer": "/query" + error.pointer, "code": problem.code}])
    if isinstance(error, IdentityError) and error.query_id is not None:  # a name of the lender's own
        return problem_response(problem, [{"pointer": "/vp_token/" + error.query_id, "code": problem.code}])
    return problem_response(problem)


def log_internal_error(error: Exception, route: str) -> None:
    """Record an error of our own: its type and where it was raised, not its message, which may hold what was sent."""
    place = "".join(traceback.format_tb(error.__traceback__))
    _LOG.error("internal error: %s at %s\n%s", type(error).__name__, route, place)


def _on_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    body = getattr(request.scope.get("route"), "body_field", None)
    ours = _Names() if body is None else _names_of(body.field_info.annotation)
    errors = [{"pointer": _pointer(each, ours), "code": str(each["type"])} for each in error.errors()]
    detail = "The request is not as the contract says; each wrong member is named."
    return problem_response(Problem(status=422, code="invalid_request", detail=detail), errors[:32])


def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if type(error.__cause__) in STATUS_OF:
        # The framework turns whatever reading the body raises into a 400 of its own.
        assert isinstance(error.__cause__, Exception)
        return problem_response(problem_of(error.__cause__))
    phrase = HTTPStatus(error.status_code).phrase
    response = problem_response(
        Problem(status=error.status_code, code=phrase.lower().replace(" ", "_"), detail=f"{phrase}.")
    )
    for name, value in (error.headers or {}).items():
        response.headers[name] = value
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        response.headers["Allow"] = ", ".join(_allowed_methods(request))
    return response


def _allowed_methods(request: Request) -> list[str]:
    """Every method of a path: the framework names those of one route, though several may share it."""
    scope = {"type": "http", "path": request.scope["path"], "root_path": request.scope.get("root_path", "")}
    methods = [
        method
        for method in ("DELETE", "GET", "PATCH", "POST", "PUT")
        if any(route.matches({**scope, "method": method})[0] is Match.FULL for route in request.app.routes)
    ]
    return sorted([*methods, "HEAD"] if "GET" in methods else methods)


@dataclass(frozen=True, kw_only=True)
class _Names:
    """What stands in the place of an error and is ours: names of members, and the tags that tell variants apart."""

    members: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()


def _pointer(error: Mapping[str, Any], ours: _Names) -> str:
    """Where an error is; a name that is not in our contract is what the client made up, and becomes a star."""
    kind, *place = error["loc"]
    if kind != "body":
        return "/".join(str(part) for part in place)
    if error["type"] in {"union_tag_invalid", "union_tag_not_found"}:
        place.append(error["ctx"]["discriminator"].strip("'"))
    # A tag is in no body at this place: pydantic says with it which variant it tried.
    shown = [part for part in place if part not in ours.tags]
    return "/" + "/".join(str(part) if isinstance(part, int) or part in ours.members else "*" for part in shown)


@cache
def _names_of(model: type[BaseModel]) -> _Names:
    """The name of every member that a body may have, and the tag of every variant, at any depth."""
    schema = model.model_json_schema()
    objects = [schema, *schema.get("$defs", {}).values()]
    return _Names(
        members=frozenset(name for each in objects for name in each.get("properties", {})),
        tags=frozenset(_tags_in(schema)),
    )


def _tags_in(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(discriminator := schema.get("discriminator"), dict):
            yield from discriminator.get("mapping", {})
        schema = list(schema.values())
    for part in schema if isinstance(schema, list) else ():
        yield from _tags_in(part)


def _route_of(request: Request) -> str:
    return str(getattr(request.scope.get("route"), "path", "unknown"))
