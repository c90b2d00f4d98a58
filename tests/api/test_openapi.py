"""The contract: generated, committed, whole, and without a finding of the linters."""

import difflib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import jsonschema_rs
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from api.http.openapi import format_contract, install_routes
from api.http.wire import CredentialTypeName
from api.problems import STATUS_OF
from identity.credential_types.types import load_credential_types

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = ROOT / "openapi" / "openapi.json"
BIN = ROOT / "node_modules" / ".bin"
#: Operations whose errors have the form that their protocol gives them.
PROTOCOLS_OWN = ("/oauth/token", "{tenant_id}/token", "{tenant_id}/credential")
METHODS = {"get", "put", "post", "delete", "patch", "head", "options", "trace"}


@pytest.fixture(scope="module")
def app():
    app = FastAPI()
    install_routes(app)
    return app


@pytest.fixture(scope="module")
def contract(app):
    return json.loads(format_contract(app))


def _operations(contract):
    for path, item in contract["paths"].items():
        for method in METHODS & set(item):
            yield f"{method.upper()} {path}", item[method]


def _resolved(contract, value):
    if "$ref" not in value:
        return value
    _, _, kind, name = value["$ref"].split("/")
    return contract["components"][kind][name]


def test_the_committed_contract_is_the_generated_one(app):
    generated = format_contract(app).splitlines(keepends=True)
    committed = COMMITTED.read_text(encoding="utf-8").splitlines(keepends=True)
    diff = difflib.unified_diff(committed, generated, "openapi/openapi.json", "what the routes say", n=2)
    assert generated == committed, "openapi/openapi.json is stale: run `make openapi`\n" + "".join(diff)


def test_generating_needs_nothing_but_the_code_and_is_the_same_every_time(app, tmp_path):
    printed = [
        subprocess.run(
            [sys.executable, "-m", "api.http.openapi"],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout.decode()
        for seed in ("1", "2")
    ]
    assert printed == [format_contract(app)] * 2
    assert not list(tmp_path.iterdir())


def test_the_contract_is_served_as_it_is_committed(harness):
    answer = harness.http.get("/v1/openapi.json")
    assert answer.status_code == 200
    assert answer.text == COMMITTED.read_text(encoding="utf-8")


def test_every_route_is_an_operation_with_an_id_of_its_own(contract, harness):
    served = {
        f"{method} {route.path}"
        for route in _routes(harness.http.app.routes)
        if isinstance(route, APIRoute)
        for method in route.methods
    }
    documented = dict(_operations(contract))
    assert {label.replace("{path}", "{path:path}") for label in documented} == served
    assert len({operation["operationId"] for operation in documented.values()}) == len(documented)


def _routes(routes):
    for route in routes:
        inner = getattr(route, "original_router", None)
        yield from [route] if inner is None else _routes(inner.routes)


def test_every_problem_is_a_problem_document_and_every_code_is_named(contract):
    for label, operation in _operations(contract):
        for status, response in operation["responses"].items():
            answer = _resolved(contract, response)
            if status.startswith(("4", "5")) and not label.endswith(PROTOCOLS_OWN) and "/readyz" not in label:
                schema = answer["content"]["application/problem+json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/Problem"}, f"{label} {status}"
    described = "".join(response["description"] for response in contract["components"]["responses"].values())
    unnamed = {leaf.code for leaf, status in STATUS_OF.items() if status != 500 and f"`{leaf.code}`" not in described}
    assert not unnamed


def test_what_takes_a_token_says_so_and_names_its_scope(contract):
    scopes = {operation["operationId"]: operation["security"] for _, operation in _operations(contract)}
    taken = {name: each[0]["clientCredentials"] for name, each in scopes.items() if "clientCredentials" in str(each)}
    assert taken == {
        "createPresentationRequest": ["lender"],
        "readPresentationRequest": ["lender"],
        "createScore": ["lender"],
        "readScore": ["lender"],
        "createScoreOffer": ["lender"],
        "readScoreOffer": ["lender"],
        "createCredentialOffer": ["issuer"],
        "readCredentialOffer": ["issuer"],
        "revokeCredentialOffer": ["issuer"],
        "readOwnIssuer": ["issuer"],
        "listAuditEntries": ["compliance"],
        "readScoreStatus": [],
        "changeScoreStatus": ["operator"],
        "readCredentialStatus": [],
        "changeCredentialStatus": ["operator"],
        "listIssuers": [],
        "trustIssuer": ["operator"],
        "distrustIssuer": ["operator"],
        "importIssuerList": ["operator"],
        "readMetrics": ["metrics"],
    }
    for label, operation in _operations(contract):
        if operation["operationId"] in taken:
            assert {"401", "403"} <= set(operation["responses"]), label


def test_every_schema_and_parameter_says_what_it_is(contract):
    silent = [
        f"{name}.{member}"
        for name, schema in contract["components"]["schemas"].items()
        for member, part in schema.get("properties", {}).items()
        if not part.get("description") and "$ref" not in part and member not in OBVIOUS
    ]
    silent += [
        f"{label} {parameter['name']}"
        for label, operation in _operations(contract)
        for parameter in operation.get("parameters", [])
        if not parameter.get("description")
    ]
    silent += [name for name, schema in contract["components"]["schemas"].items() if not schema.get("description")]
    assert not silent


#: Members whose name, in a schema that is described, says it all.
OBVIOUS = {"did", "name", "min", "max", "better", "chain_id", "block_number", "format", "v"}


def test_every_example_fits_its_schema(contract):
    for name, schema in contract["components"]["schemas"].items():
        within = {"$ref": f"#/components/schemas/{name}", "components": contract["components"]}
        for example in schema.get("examples", []):
            jsonschema_rs.validator_for(within).validate(example)
    with_example = {name for name, schema in contract["components"]["schemas"].items() if "examples" in schema}
    assert {"NewPresentationRequest", "NewScore", "ScoreDocument", "Problem"} <= with_example


@pytest.mark.parametrize(
    "command",
    [
        ("spectral", "lint", "--fail-severity=hint", "openapi/openapi.json"),
        ("redocly", "lint"),
    ],
    ids=lambda command: command[0],
)
def test_the_linters_find_nothing(command):
    if not (BIN / command[0]).exists():
        pytest.skip("node_modules is not here: `make test` installs the linters")
    result = subprocess.run(
        [BIN / command[0], *command[1:]],
        cwd=ROOT,
        env={**os.environ, "REDOCLY_SUPPRESS_NOTIFICATIONS": "true"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_credential_types_that_may_be_asked_for_are_those_that_can_be_verified() -> None:
    assert set(get_args(CredentialTypeName)) == set(load_credential_types())
