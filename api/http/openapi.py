"""The contract: what FastAPI generates from the routes, made complete, and printed for openapi/openapi.json.

``python -m api.http.openapi`` prints it; no database, key or model is needed.
"""

import json
import sys
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi

from api.http import (
    audit,
    auth,
    holder,
    holder_session,
    issuance,
    issuers,
    log,
    offers,
    operations,
    presentations,
    registry,
    requests,
    scores,
    status,
)
from api.http.errors import MEDIA_TYPE, ProblemDocument
from api.problems import OVERLOADED, STATUS_OF

VERSION = "0.1.0"
_DESCRIPTION = """Private, explainable credit scores from verifiable credentials.

A lender asks for a presentation, a wallet answers it, Credence verifies and scores it, and every score stands in a
tamper-evident log that is anchored on an EVM chain.

**A lender's first score**

1. `POST /v1/oauth/token` with the client's id and secret: a bearer token for 15 minutes.
2. `POST /v1/presentation-requests` with a purpose and a credential query: show `request_link` to the applicant as a
   link, or `qr_uri` as an image, for a wallet on another device.
3. The applicant's wallet answers by itself. `GET /v1/presentation-requests/{request_id}` until `score_id` is there, or
   `last_refusals` says why not. (A
   lender that holds the presentation itself posts it to `/v1/scores` instead.)
4. `GET /v1/scores/{score_id}`: the score, its reasons, and everything that proves it. Keep the bytes: anyone can verify
   them offline, against the keys of `GET /v1/keys`.

**An applicant** proves a key: `POST /v1/holder/nonce`, then `POST /v1/holder/sessions` with the nonce signed by it. The
token opens that key's own scores, receipts, consents and who asked, at every lender; nothing else does.

**Errors** are problem documents (RFC 9457) with a stable `code`; they never repeat what was sent. A request that no
operation here takes is answered with one too: 404 for a path, 405 with `Allow` for a method. A fault of ours is a 500
with the code `internal_error`. What is not HTTP at all is closed by the server with a bare 400.

**HEAD** is taken wherever GET is, and answered with the headers alone.

**Repeating a request.** `POST /v1/presentation-requests` and `POST /v1/scores` take an `Idempotency-Key`; the same key
with the same body has the same result, however often it is sent. An offer has none: made again, it is another
one. The very same presentation again also gets the score that it got before.

**Pages of any origin** may use what takes no client's token (CORS); the rest is closed to browsers.

**Bodies** are at most 64 KB, but for an issuer list. JSON is read strictly: a name that stands twice, a number that
JSON does not have, or nesting deeper than 32 is refused, and so is a member that the contract does not name.

**Times** are RFC 3339 in UTC. **Amounts** are integers in minor units."""

_TAGS = {
    "authorization": "OAuth2 client credentials (RFC 6749, section 4.4).",
    "presentation requests": "Ask an applicant for credentials, by OpenID4VP 1.0.",
    "scores": "Score a presentation; read a score with its proof.",
    "applicant": "Prove a key; see what is its holder's, and withdraw a consent.",
    "status": "Suspend and revoke what was issued; the status lists that tell everybody.",
    "issuers": "Which issuers the tenant trusts for what, and when.",
    "credential offers": "Offer credentials and copies of scores to a holder's wallet.",
    "issuance": "What a wallet meets: OpenID4VCI 1.0, pre-authorized codes, key proofs, batches.",
    "audit": "What was decided and why, for compliance officers.",
    "log": "The public log, as C2SP tlog-tiles lays it out; it holds salted commitments and no content.",
    "registry": "Models and public keys.",
    "operations": "Health, readiness, metrics, and this contract.",
}

#: The problems of a status: the name of the component, and what an operation means by it.
_PROBLEMS = {
    400: ("BadRequest", "The body is not what it claims to be: not strict JSON, not a form, or not a presentation."),
    401: ("Unauthorized", "There is no bearer token, or it is not valid any more: get a new one."),
    403: (
        "Forbidden",
        "The token does not have the scope that the operation takes; or the applicant withdrew consent to the purpose.",
    ),
    405: ("MethodNotAllowed", "The path is there, but not with this method."),
    404: ("NotFound", "There is no such resource, or it is another tenant's; which of the two is not said."),
    409: (
        "Conflict",
        "It is too late for this: the request was answered with another presentation, is over, or is for another "
        "session; the Idempotency-Key came with another body before; or what stands already does not allow it.",
    ),
    410: ("Gone", "The payload was erased; its entry in the log remains."),
    413: ("ContentTooLarge", "The body, or a presentation in it, is too large."),
    415: ("UnsupportedMediaType", "The body is of a media type that the operation does not take."),
    422: (
        "Refused",
        "Understood and refused: a member is not as the contract says (`invalid_request`, with `errors`), or the "
        "presentation does not hold, or asks for what cannot be.",
    ),
    503: ("Unavailable", (
        "Something that the answer needs is away. Try again after `Retry-After`: the same presentation, or the same "
        "Idempotency-Key and body, is never taken twice."
    )),
}  # fmt: skip
#: Codes that no error class of a room carries.
_OTHER_CODES = {
    405: {"method_not_allowed"},
    415: {"unsupported_media_type"},
    422: {"invalid_request"},
    503: {OVERLOADED.code},
}

router = APIRouter(prefix="/v1", tags=["operations"])


@router.get(
    "/openapi.json",
    operation_id="readContract",
    summary="Read this contract",
    response_class=Response,
    responses={
        200: {
            "description": "An OpenAPI 3.1 document.",
            "content": {"application/json": {"schema": {"type": "object"}}},
        }
    },
)
def read_contract(request: Request) -> Response:
    """The contract of the version that answers, byte for byte the one that its release holds."""
    return Response(format_contract(request.app), media_type="application/json")


def install_routes(app: FastAPI) -> None:
    """Give `app` every route, and make `app.openapi()` the whole contract."""
    for routes in (
        auth,
        requests,
        presentations,
        scores,
        status,
        offers,
        issuance,
        holder_session,
        holder,
        issuers,
        audit,
        log,
        registry,
        operations,
    ):
        app.include_router(routes.router)
    app.include_router(router)

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _complete(_generate(app))
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def format_contract(app: FastAPI) -> str:
    """The contract as openapi/openapi.json holds it."""
    return json.dumps(app.openapi(), indent=2, ensure_ascii=False) + "\n"


def _generate(app: FastAPI) -> dict[str, Any]:
    return get_openapi(
        title="Credence",
        version=VERSION,
        summary="Private, explainable credit scores from verifiable credentials",
        description=_DESCRIPTION,
        routes=app.routes,
        tags=[{"name": name, "description": description} for name, description in _TAGS.items()],
        servers=[{"url": "/", "description": "This service."}],
        contact={"name": "The Credence maintainers", "url": "https://credence.example/"},
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )


def _complete(document: dict[str, Any]) -> dict[str, Any]:
    components = document["components"]
    schemas = components["schemas"]
    problem = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs", {}))
    schemas["Problem"] = problem
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    components["responses"] = {
        name: _problem_response(status, description) for status, (name, description) in sorted(_PROBLEMS.items())
    }
    components["securitySchemes"]["clientCredentials"]["description"] = (
        "A bearer token from `POST /v1/oauth/token`, valid for 15 minutes."
    )
    components["securitySchemes"]["clientBasic"] = {
        "type": "http",
        "scheme": "basic",
        "description": "A client's id and secret, for the token endpoint only; they may also stand in the form.",
    }
    components["securitySchemes"]["offerToken"] = {
        "type": "http",
        "scheme": "bearer",
        "description": "The access token that a wallet got for a pre-authorized code.",
    }
    for path_item in document["paths"].values():
        for operation in path_item.values():
            operation.setdefault("security", [])
            operation["responses"].setdefault("405", {"content": {MEDIA_TYPE: {}}})
            operation["responses"] = {
                status: _shared(status, response)
                for status, response in sorted(operation["responses"].items())
                if "HTTPValidationError" not in json.dumps(response)
            }
    _drop_generated_titles(document["paths"])
    _drop_generated_titles(schemas)
    document = _with_public_names(document)
    examples = json.loads(Path(__file__).with_name("examples.json").read_text())
    for name, example in examples.items():
        document["components"]["schemas"][name]["examples"] = [example]
    return document


def _problem_response(status: int, description: str) -> dict[str, Any]:
    codes = {
        str(getattr(leaf, "code", "")) for leaf, answered in STATUS_OF.items() if answered == status
    } | _OTHER_CODES.get(status, set())
    response: dict[str, Any] = {
        "description": f"{description}\n\nCodes: {', '.join(f'`{code}`' for code in sorted(codes))}.",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if status == 405:
        response["headers"] = {
            "Allow": {
                "description": "The methods that the path takes.",
                "required": True,
                "schema": {"type": "string"},
            }
        }
    if status in {401, 403}:
        response["headers"] = {
            "WWW-Authenticate": {
                "description": "The scheme to authenticate with (RFC 6750), where another token would do.",
                "required": status == 401,
                "schema": {"type": "string"},
            }
        }
    if status == 503:
        response["headers"] = {
            "Retry-After": {
                "description": "Seconds to wait before trying again.",
                "required": True,
                "schema": {"type": "integer", "minimum": 1},
            }
        }
    return response


def _shared(status: str, response: dict[str, Any]) -> dict[str, Any]:
    """A reference in place of a problem response, which means the same wherever it stands."""
    if list(response.get("content", {})) != [MEDIA_TYPE]:
        return response
    return {"$ref": f"#/components/responses/{_PROBLEMS[int(status)][0]}"}


def _drop_generated_titles(value: Any) -> None:
    """Drop every title of a member, which only says its name again."""
    if isinstance(value, dict):
        for member, child in value.items():
            if member in {"properties", "$defs"}:
                for schema in child.values():
                    schema.pop("title", None)
            elif member in {"schema", "items", "additionalProperties"} and isinstance(child, dict):
                child.pop("title", None)
            _drop_generated_titles(child)
    elif isinstance(value, list):
        for child in value:
            _drop_generated_titles(child)


def _with_public_names(document: dict[str, Any]) -> dict[str, Any]:
    """The schemas under their titles: the names of our classes are not the contract's."""
    text = json.dumps(document)
    schemas = document["components"]["schemas"]
    names = {name: schema.get("title", name) for name, schema in schemas.items()}
    assert len(set(names.values())) == len(names), "two schemas have one title"
    for name, public in names.items():
        text = text.replace(f'"#/components/schemas/{name}"', f'"#/components/schemas/{public}"')
    renamed: dict[str, Any] = json.loads(text)
    renamed["components"]["schemas"] = {
        names[name]: {member: part for member, part in schema.items() if member != "title"}
        for name, schema in sorted(renamed["components"]["schemas"].items(), key=lambda item: names[item[0]])
    }
    return renamed


if __name__ == "__main__":
    app = FastAPI()
    install_routes(app)
    sys.stdout.write(format_contract(app))
