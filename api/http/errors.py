"""Problem documents on the wire (RFC 9457): what went wrong, and never what was sent."""

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from api.problems import INTERNAL, STATUS_OF, TYPE_PREFIX, Problem, problem_of

_LOG = logging.getLogger("credence.http")
MEDIA_TYPE = "application/problem+json"

#: What pydantic calls an error whose place names what the client made up, and not a member of ours.
_PLACES_OF_THE_CLIENT = {"extra_forbidden", "invalid_key", "value_error.extra"}


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
    """OpenAPI's account of the problems that an operation may answer with."""
    headers = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
    challenge = {"WWW-Authenticate": {"description": "RFC 6750.", "schema": {"type": "string"}}}
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            **({"headers": headers} if status == 503 else {}),
            **({"headers": challenge} if status == 401 else {}),
        }
        for status in statuses
    }


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
    return JSONResponse(body, status_code=problem.status, media_type=MEDIA_TYPE, headers=headers)


def install_error_handlers(app: FastAPI) -> None:
    """Make every error of `app` a problem document."""
    for leaf in STATUS_OF:
        app.add_exception_handler(leaf, _on_room_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(Exception, _on_room_error)


def _on_room_error(request: Request, error: Exception) -> Response:
    problem = problem_of(error)
    if problem.status == INTERNAL.status:
        # The type and the place, not the message: a foreign error's message may hold what was sent.
        _LOG.error("internal error", extra={"error": type(error).__name__, "route": _route_of(request)}, exc_info=None)
    return problem_response(problem)


def _on_invalid_request(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [{"pointer": _pointer(each), "code": str(each["type"])} for each in error.errors()]
    detail = "The request is not as the contract says; each wrong member is named."
    return problem_response(Problem(status=422, code="invalid_request", detail=detail), errors[:32])


def _on_http_error(_request: Request, error: Exception) -> Response:
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
    return response


def _pointer(error: dict[str, Any]) -> str:
    place = [str(part) for part in error["loc"]]
    if error["type"] in _PLACES_OF_THE_CLIENT:
        place = [*place[:-1], "*"]
    return "/".join(place[1:]) if place and place[0] != "body" else "/" + "/".join(place[1:])


def _route_of(request: Request) -> str:
    return str(getattr(request.scope.get("route"), "path", "unknown"))
