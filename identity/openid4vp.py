"""OpenID4VP 1.0 on the wire: the signed request object, the link to it, and the wallet's direct_post answer."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlencode

from identity.dcql import DcqlQuery, parse_dcql_query
from identity.did import resolve_verification_key
from identity.encoding import JsonValue, encode_json, parse_json, parse_json_object
from identity.errors import (
    ClientIdMismatch,
    EncryptedResponseNotAsked,
    IssuerKeyMismatch,
    JsonNumber,
    RequestExpired,
    RequestObjectInvalid,
    ResponseInvalid,
    VpTokenInvalid,
)
from identity.jws import parse_jws, sign_jws, verify_jws
from identity.keys import SigningKey
from identity.presentation import Presentation, PresentationRequest

REQUEST_OBJECT_TYP = "oauth-authz-req+jwt"
SELF_ISSUED_AUDIENCE = "https://self-issued.me/v2"
CLIENT_ID_PREFIX = "decentralized_identifier:"

# Fully specified names (appendix B.3, RFC 9864): "EdDSA" would not say with which curve.
_ALGORITHMS = ("ES256", "Ed25519")
_MAX_CREDENTIALS = 16
_MAX_PRESENTATIONS = 16
_MAX_STATE = 256
_MAX_INTEGER = 2**53 - 1
_MAX_DESCRIPTION = 512
_CLOCK_SKEW_S = 60
# RFC 6749 section 4.1.2.1: the characters of `error`, and of `error_description`.
_ERROR_CODE = re.compile(r"[a-z_]{1,64}")
_ERROR_DESCRIPTION = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]*")


@dataclass(frozen=True, kw_only=True)
class RequestObject:
    """A verifier's request as its wallet reads it, after the signature was checked."""

    client_id: str
    response_uri: str
    nonce: str
    state: str | None
    query: DcqlQuery
    purpose: str | None
    expires_at_ms: int | None


@dataclass(frozen=True, kw_only=True)
class AuthorizationResponse:
    """Presentations by query id, none of them verified yet, and the state of the request they answer."""

    vp_token: Mapping[str, list[Presentation]]
    state: str


@dataclass(frozen=True, kw_only=True)
class AuthorizationErrorResponse:
    """The wallet's refusal: an OAuth error code, and a description in printable ASCII that only a person may read."""

    error: str
    description: str | None
    state: str


def client_id_of(key: SigningKey) -> str:
    """The client identifier of a verifier that signs with `key` (prefix `decentralized_identifier:`, section 5.9.3)."""
    return CLIENT_ID_PREFIX + key.did


def build_request_object(request: PresentationRequest, key: SigningKey, now_ms: int) -> str:
    """The signed request object of `request` (a compact JWS, RFC 9101), as served at its request_uri.

    `purpose` is a parameter of ours: a wallet that knows it can tell the applicant why. Raises ClientIdMismatch when
    `key` is not the one the request names as its audience, RequestExpired when it is too late to ask.
    """
    if request.audience != client_id_of(key):
        raise ClientIdMismatch
    request.verify_live(now_ms)
    payload: dict[str, JsonValue] = {
        "aud": SELF_ISSUED_AUDIENCE,
        "client_id": request.audience,
        "client_metadata": {
            "vp_formats_supported": {
                "dc+sd-jwt": {"sd-jwt_alg_values": list(_ALGORITHMS), "kb-jwt_alg_values": list(_ALGORITHMS)}
            }
        },
        "dcql_query": request.query.to_json(),
        "exp": request.expires_at_ms // 1000,
        "iat": now_ms // 1000,
        "nonce": request.nonce,
        "purpose": request.purpose,
        "response_mode": "direct_post",
        "response_type": "vp_token",
        "response_uri": request.response_uri,
        "state": request.state,
    }
    return sign_jws({"kid": key.kid, "typ": REQUEST_OBJECT_TYP}, encode_json(payload), key)


def request_link(client_id: str, request_uri: str) -> str:
    """The link that opens a wallet, or stands in a QR code (sections 5.4 and 9)."""
    return "openid4vp://?" + urlencode({"client_id": client_id, "request_uri": request_uri})


def verify_request_object(compact: str, *, client_id: str, now_ms: int) -> RequestObject:
    """Reads a request object as a wallet does, checked against the DID within the link's `client_id`.

    Raises WrongTyp, BadSignature and their kin, ClientIdMismatch when the object speaks for another client or its key
    is not the client's, RequestExpired, and RequestObjectInvalid when it names no key or asks for anything
    but a direct_post of a vp_token.
    """
    if not client_id.startswith(CLIENT_ID_PREFIX):
        raise ClientIdMismatch
    parsed = parse_jws(compact)
    if parsed.kid is None:  # section 5.9.3: the key must be named, even where the DID has one only
        raise RequestObjectInvalid
    try:
        key = resolve_verification_key(did=client_id.removeprefix(CLIENT_ID_PREFIX), kid=parsed.kid)
    except IssuerKeyMismatch:
        raise ClientIdMismatch from None
    payload = parse_json_object(verify_jws(parsed, key, typ=REQUEST_OBJECT_TYP))
    if payload.get("client_id") != client_id:
        raise ClientIdMismatch
    fixed = {"aud": SELF_ISSUED_AUDIENCE, "response_mode": "direct_post", "response_type": "vp_token"}
    if any(payload.get(name) != value for name, value in fixed.items()):
        raise RequestObjectInvalid
    # Section 8.2: a redirect_uri has no place beside direct_post. transaction_data would bind more than we show.
    if {"redirect_uri", "transaction_data"} & payload.keys():
        raise RequestObjectInvalid
    expires_at_s = payload.get("exp")
    if expires_at_s is not None:
        if not isinstance(expires_at_s, int) or isinstance(expires_at_s, bool):
            raise RequestObjectInvalid
        if now_ms >= (expires_at_s + _CLOCK_SKEW_S) * 1000:
            raise RequestExpired
    return RequestObject(
        client_id=client_id,
        response_uri=_required_text(payload, "response_uri"),
        nonce=_required_text(payload, "nonce"),
        state=_optional_text(payload, "state"),
        query=parse_dcql_query(payload.get("dcql_query")),
        purpose=_optional_text(payload, "purpose"),
        expires_at_ms=None if expires_at_s is None else expires_at_s * 1000,
    )


def parse_authorization_response(form: Mapping[str, str]) -> AuthorizationResponse | AuthorizationErrorResponse:
    """Reads the fields of a direct_post (section 8.2), of which the caller has refused any that came twice.

    Unknown fields are skipped, as section 8.1 demands. Raises EncryptedResponseNotAsked for a `response` field,
    ResponseInvalid when the answer is neither a vp_token nor an error or lacks the state that we always send, and
    VpTokenInvalid.
    """
    if "response" in form:
        raise EncryptedResponseNotAsked
    state = form.get("state", "")
    if not 1 <= len(state) <= _MAX_STATE or ("vp_token" in form) == ("error" in form):
        raise ResponseInvalid
    if "vp_token" in form:
        return AuthorizationResponse(vp_token=parse_vp_token(parse_json(form["vp_token"])), state=state)
    description = form.get("error_description")
    if not _ERROR_CODE.fullmatch(form["error"]):
        raise ResponseInvalid
    if description is not None and (
        len(description) > _MAX_DESCRIPTION or not _ERROR_DESCRIPTION.fullmatch(description)
    ):
        raise ResponseInvalid
    return AuthorizationErrorResponse(error=form["error"], description=description, state=state)


def parse_vp_token(value: JsonValue) -> Mapping[str, list[Presentation]]:
    """Reads a `vp_token` JSON value: presentations by query id, each a string or an object (section 8.1, appendix B).

    Raises VpTokenInvalid, and JsonNumber for an integer in an object that not every JSON parser reads alike (RFC 7493,
    section 2.2): such an object has no canonical form to sign or to know again.
    """
    if not isinstance(value, dict) or not 1 <= len(value) <= _MAX_CREDENTIALS:
        raise VpTokenInvalid
    for presentations in value.values():
        if not isinstance(presentations, list) or not 1 <= len(presentations) <= _MAX_PRESENTATIONS:
            raise VpTokenInvalid
        for presentation in presentations:
            if not isinstance(presentation, str | dict) or not presentation:
                raise VpTokenInvalid
            _verify_exact_integers(presentation)
    return cast(Mapping[str, list[Presentation]], value)


def _verify_exact_integers(value: JsonValue) -> None:
    if isinstance(value, int) and abs(value) > _MAX_INTEGER:
        raise JsonNumber
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            _verify_exact_integers(item)


def _required_text(payload: Mapping[str, JsonValue], name: str) -> str:
    value = payload.get(name)
    if not isinstance(value, str) or not value:
        raise RequestObjectInvalid
    return value


def _optional_text(payload: Mapping[str, JsonValue], name: str) -> str | None:
    value = payload.get(name)
    if value is not None and not isinstance(value, str):
        raise RequestObjectInvalid
    return value
