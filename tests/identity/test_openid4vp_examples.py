"""The examples of OpenID4VP 1.0: each is read, or refused by the rule that stands beside it."""

import json
from pathlib import Path
from urllib.parse import quote

import pytest

from identity.dcql import parse_dcql_query
from identity.encoding import encode_base64url, encode_json, parse_json, parse_json_object
from identity.errors import IdentityError
from identity.jws import parse_jws
from identity.openid4vp import (
    open_authorization_response,
    parse_authorization_response,
    parse_unsigned_request,
    parse_vp_token,
)

EXAMPLES = "1.0/examples"
SIMPLE = '{"credentials":[{"id":"a","format":"dc+sd-jwt","meta":{"vct_values":["x"]},"claims":[{"path":["b"]}]}]}'

#: By the example's name: what it is read as, "accepted" or the code of its refusal, and then the rule behind that.
VECTORS: dict[str, tuple[str, str, str | None]] = {
    "query_lang/simple": ("dcql", "accepted", None),
    "query_lang/claims_alternatives": ("dcql", "accepted", None),
    "query_lang/credentials_alternatives": ("dcql", "accepted", None),
    "query_lang/value_matching_simple": ("dcql", "accepted", None),
    "query_lang/simple_mdoc": ("dcql", "dcql_not_supported", "mdoc is not among the formats"),
    "query_lang/complex_mdoc": ("dcql", "dcql_not_supported", "mdoc is not among the formats"),
    "query_lang/multi_credentials": ("dcql", "dcql_not_supported", "mdoc is not among the formats"),
    "request/dcql_jwt_vc": ("dcql", "accepted", None),
    "request/dcql_ldp_vc": ("dcql", "accepted", None),
    "request/request_header_client_id_did": ("header", "alg_not_allowed", "RS256 is not among the algorithms"),
    "request/request_object_client_id_did": (
        "request",
        "request_object_invalid",
        "it is answered by a redirect; ours are answered by direct_post",
    ),
    "digital_credentials_api/signed_request_payload": (
        "request",
        "request_object_invalid",
        "it is answered to a browser, through the Digital Credentials API",
    ),
    "digital_credentials_api/signed_request_payload_compact": (
        "request",
        "request_object_invalid",
        "it is answered to a browser, through the Digital Credentials API",
    ),
    "digital_credentials_api/error_invalid_request": (
        "response",
        "response_invalid",
        "an answer to a browser has no state; one that is posted always brings it back",
    ),
    "response/ldp_vc": ("presentation", "accepted", None),
}


def read_example(kind: str, text: str) -> object:
    """Read an example as what it is; raises IdentityError."""
    match kind:
        case "dcql":
            return parse_dcql_query(parse_json(text))
        case "header":
            return parse_jws(".".join([encode_base64url(text.encode()), "e30", ""]))
        case "response":
            form = {name: str(value) for name, value in parse_json_object(text).items()}
            return parse_authorization_response(open_authorization_response(form))
        case "presentation":
            return parse_vp_token({"a": [parse_json(text)]})
    # A request: its query is cut short in print, so another stands in for it; and it is read under the one prefix that
    # is not signed, so that nothing but what it asks can be amiss.
    members = parse_json_object(text.replace("{ ... }", SIMPLE).replace("{...}", SIMPLE))
    uri = "https://client.example.org/" + quote(kind)
    parameters = {**members, "client_id": f"redirect_uri:{uri}", "response_uri": uri}
    return parse_unsigned_request(
        {name: value if isinstance(value, str) else encode_json(value).decode() for name, value in parameters.items()}
    )


@pytest.mark.parametrize("name", VECTORS)
def test_an_example_is_read_or_refused_by_a_rule(test_data: Path, name: str) -> None:
    kind, expected, rule = VECTORS[name]
    text = (test_data / "vectors" / "openid4vp-1.0" / EXAMPLES / f"{name}.json").read_text()
    try:
        read_example(kind, text)
        outcome = "accepted"
    except IdentityError as refused:
        outcome = refused.code
    assert outcome == expected
    assert (rule is None) == (outcome == "accepted")


def test_a_request_of_ours_that_is_read_so_is_accepted() -> None:
    """Or the refusals of the requests above would say nothing of what they ask."""
    members = {
        "response_type": "vp_token",
        "response_mode": "direct_post",
        "nonce": "n",
        "dcql_query": json.loads(SIMPLE),
    }
    assert read_example("request", json.dumps(members))


def test_every_example_that_a_service_reads_is_here(test_data: Path) -> None:
    folder = test_data / "vectors" / "openid4vp-1.0" / EXAMPLES
    found = {
        str(path.relative_to(folder).with_suffix(""))
        for kind in ("query_lang", "request", "digital_credentials_api", "response")
        for path in (folder / kind).glob("*.json")
    }
    # What is left are payloads of JWTs that nobody signed: test_verifier has their like, signed.
    assert found - VECTORS.keys() == {"response/jwt_vc", "response/kb_jwt_unsecured"}
