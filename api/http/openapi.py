"""The contract: what FastAPI generates, made complete, and printed canonically for openapi/openapi.json."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.http.errors import ProblemDocument

VERSION = "0.1.0"
_DESCRIPTION = """Private, explainable credit scores from verifiable credentials.

A lender asks for a presentation, a wallet answers it, Credence verifies and scores it, and every score stands in a
tamper-evident log that is anchored on an EVM chain. Errors are problem documents (RFC 9457) and never repeat what was
sent. Times are RFC 3339 in UTC."""

_TAGS = {
    "authorization": "OAuth2 client credentials (RFC 6749, section 4.4).",
    "presentation requests": "Ask a holder, by OpenID4VP 1.0.",
    "scores": "Score a presentation; read a score with its proof.",
    "audit": "What happened, for compliance officers.",
    "log": "The public log (C2SP tlog-tiles).",
    "registry": "Models, issuers, status lists and public keys.",
    "operations": "Health, readiness, metrics.",
}


def describe_app(app: FastAPI) -> None:
    """Make `app.openapi()` give the whole contract."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _openapi(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _openapi(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
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
    schemas = document["components"]["schemas"]
    problem = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs", {}))
    schemas["Problem"] = problem
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for operations in document["paths"].values():
        for operation in operations.values():
            operation.setdefault("security", [])
            responses = operation["responses"]
            default = responses.get("422", {}).get("content", {}).get("application/json", {})
            if "HTTPValidationError" in default.get("schema", {}).get("$ref", ""):
                del responses["422"]
    return document
