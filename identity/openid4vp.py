"""OpenID4VP 1.0 on the wire: the request, signed or by value, the link to it, and the answer by direct_post."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast
from urllib.parse import urlencode

from identity.certificate import CertificateChain, parse_x5c_leaf
from identity.data_integrity import CRYPTOSUITES, PROOF_TYPE
from identity.dcql import DcqlQuery, parse_dcql_query
from identity.did_resolver import DidResolver
from identity.encoding import JsonObject, JsonValue, encode_json, parse_json, parse_json_object
from identity.errors import (
    BadKey,
    CertificateKeyMismatch,
    ClientIdMismatch,
    EncryptedResponseNotAsked,
    IssuerKeyMismatch,
    JsonNumber,
    RequestExpired,
    RequestObjectInvalid,
    ResponseInvalid,
    ResponseNotEncrypted,
    VpTokenInvalid,
)
from identity.jwe import ENCRYPTIONS, DecryptionKey, Encryption, EncryptionKey, decrypt, parse_encryption_jwk
from identity.jws import ParsedJws, parse_jws, sign_jws, verify_jws
from identity.keys import PublicKey, SigningKey
from identity.linked_data.legacy_proof import LEGACY_SUITES
from identity.presentation import Presentation, PresentationRequest, ResponseMode

REQUEST_OBJECT_TYP = "oauth-authz-req+jwt"
SELF_ISSUED_AUDIENCE = "https://self-issued.me/v2"

ClientIdPrefix = Literal["decentralized_identifier", "x509_hash", "redirect_uri"]
"""How a client identifier says who asks (section 5.9.3): by a DID, by the hash of a certificate, or not at all."""

# Fully specified names (appendix B.3, RFC 9864): "EdDSA" would not say with which curve. VC-JWTs still say it.
_ALGORITHMS: list[JsonValue] = ["ES256", "Ed25519"]
_VP_FORMATS: JsonObject = {
    "dc+sd-jwt": {"sd-jwt_alg_values": _ALGORITHMS, "kb-jwt_alg_values": _ALGORITHMS},
    "jwt_vc_json": {"alg_values": [*_ALGORITHMS, "EdDSA"]},
    "ldp_vc": {
        "proof_type_values": [PROOF_TYPE, *LEGACY_SUITES],
        "cryptosuite_values": list(CRYPTOSUITES),
    },
}
_RESPONSE_MODES: tuple[ResponseMode, ...] = ("direct_post", "direct_post.jwt")
_MAX_CREDENTIALS = 16
MAX_PRESENTATIONS = 16
_MAX_STATE = 256
_MAX_INTEGER = 2**53 - 1
_MAX_DESCRIPTION = 512
_CLOCK_SKEW_S = 60
# RFC 6749 section 4.1.2.1: the characters of `error`, and of `error_description`.
_ERROR_CODE = re.compile(r"[a-z_]{1,64}")
_ERROR_DESCRIPTION = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]*")


@dataclass(frozen=True, kw_only=True)
class RequestSigner:
    """Who signs request objects under one client identifier; `header` lets a wallet find the key."""

    client_id: str
    key: SigningKey = field(repr=False)
    header: JsonObject


@dataclass(frozen=True, kw_only=True)
class ResponseEncryption:
    """To which key of the verifier the wallet encrypts its answer, and how."""

    key: EncryptionKey
    encryption: Encryption


@dataclass(frozen=True, kw_only=True)
class RequestObject:
    """A verifier's request as its wallet reads it, after the signature was checked where its client signs.

    `client_name` is for whom it asks, as it says itself: a client that signs vouches for it, and nobody for that of a
    request by value. `encryption` is None where the answer goes in the clear (`direct_post`).
    """

    client_id: str
    response_uri: str
    nonce: str
    state: str | None
    query: DcqlQuery
    purpose: str | None
    client_name: str | None
    expires_at_ms: int | None
    encryption: ResponseEncryption | None


@dataclass(frozen=True, kw_only=True)
class OpenedResponse:
    """A wallet's answer, decrypted where it was encrypted, of which nothing was read yet but whose session it is of."""

    state: str
    encrypted: bool
    response_mode: ResponseMode
    members: JsonObject = field(repr=False)


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
    return "decentralized_identifier:" + key.did


def did_signer(key: SigningKey) -> RequestSigner:
    """The signer that a wallet finds by the DID of `key`."""
    return RequestSigner(client_id=client_id_of(key), key=key, header={"kid": key.kid})


def certificate_signer(key: SigningKey, chain: CertificateChain) -> RequestSigner:
    """The signer that a wallet finds by the hash of the leaf of `chain`; raises CertificateKeyMismatch."""
    if chain.leaf.key != key.public:
        raise CertificateKeyMismatch
    return RequestSigner(client_id="x509_hash:" + chain.leaf.hash, key=key, header={"x5c": chain.x5c})


def build_request_object(
    request: PresentationRequest,
    signer: RequestSigner,
    now_ms: int,
    *,
    client_name: str | None = None,
    encryption_key: EncryptionKey | None = None,
    wallet_nonce: str | None = None,
) -> str:
    """The signed request object of `request` (a compact JWS, RFC 9101), as served at its request_uri.

    `client_name` is for whom we ask: all tenants share our client identifier. `encryption_key` is the request's, where
    its answer is to be encrypted. `wallet_nonce` is what a wallet gave that fetches by POST (section 5.10), so that it
    knows the object for fresh. Raises ClientIdMismatch when `signer` is not the one that the request names as its
    audience, RequestExpired when it is too late to ask.
    """
    if request.audience != signer.client_id:
        raise ClientIdMismatch
    request.verify_live(now_ms)
    payload = {
        "aud": SELF_ISSUED_AUDIENCE,
        **_request_parameters(request, encryption_key, client_name),
        "exp": request.expires_at_ms // 1000,
        "iat": now_ms // 1000,
    }
    if wallet_nonce is not None:
        payload["wallet_nonce"] = wallet_nonce
    return sign_jws({**signer.header, "typ": REQUEST_OBJECT_TYP}, encode_json(payload), signer.key)


def request_link(client_id: str, request_uri: str, *, by_post: bool = False) -> str:
    """The link that opens a wallet, or stands in a QR code (sections 5.4 and 9)."""
    method = {"request_uri_method": "post"} if by_post else {}
    return "openid4vp://?" + urlencode({"client_id": client_id, "request_uri": request_uri, **method})


def unsigned_request_link(request: PresentationRequest, encryption_key: EncryptionKey | None = None) -> str:
    """The link that holds the whole request by value, as the prefix `redirect_uri:` has it: nobody signs it.

    All that binds the answer is where it goes to: raises ClientIdMismatch unless the client identifier is the
    response_uri (section 5.9.3).
    """
    if request.audience != "redirect_uri:" + request.response_uri:
        raise ClientIdMismatch
    parameters = _request_parameters(request, encryption_key, None)
    return "openid4vp://?" + urlencode(
        {name: value if isinstance(value, str) else encode_json(value) for name, value in parameters.items()}
    )


def _request_parameters(
    request: PresentationRequest, encryption_key: EncryptionKey | None, client_name: str | None
) -> JsonObject:
    """What is asked, signed or not.

    `purpose` and the metadata's `client_name` (RFC 7591) are parameters of ours: a wallet that knows them can tell the
    applicant, and any other skips them (section 5.1).
    """
    metadata: JsonObject = {"vp_formats_supported": _VP_FORMATS}
    if client_name is not None:
        metadata["client_name"] = client_name
    if request.response_mode == "direct_post.jwt":
        assert encryption_key is not None
        metadata["jwks"] = {"keys": [encryption_key.jwk]}
        metadata["encrypted_response_enc_values_supported"] = list(ENCRYPTIONS)
    return {
        "client_id": request.audience,
        "client_metadata": metadata,
        "dcql_query": request.query.to_json(),
        "nonce": request.nonce,
        "purpose": request.purpose,
        "response_mode": request.response_mode,
        "response_type": "vp_token",
        "response_uri": request.response_uri,
        "state": request.state,
    }


def verify_request_object(
    compact: str,
    *,
    client_id: str,
    now_ms: int,
    wallet_nonce: str | None = None,
    dids: DidResolver | None = None,
) -> RequestObject:
    """Reads a request object as a wallet does, checked against the DID or the hash within the link's `client_id`.

    Without `dids` a DID must be its own document; the key of any other has to be one for authentication. Of a
    certificate it takes the hash, the key and the dates: the hash names the certificate, whoever else signed it. Raises
    WrongTyp, BadSignature and their kin, BadCertificate, CertificateNotValid, ClientIdMismatch when the object speaks
    for another client or its key is not the client's, RequestExpired, and RequestObjectInvalid when it names no key,
    lacks the `wallet_nonce` that the wallet gave, or asks for anything but a direct_post of a vp_token.
    """
    parsed = parse_jws(compact, brings_certificate=client_id.startswith("x509_hash:"))
    key = _client_key(parsed, client_id, dids or DidResolver(None), now_ms)
    payload = parse_json_object(verify_jws(parsed, key, typ=REQUEST_OBJECT_TYP))
    if payload.get("aud") != SELF_ISSUED_AUDIENCE or payload.get("wallet_nonce") != wallet_nonce:
        raise RequestObjectInvalid
    expires_at_s = payload.get("exp")
    if expires_at_s is not None:
        if not isinstance(expires_at_s, int) or isinstance(expires_at_s, bool):
            raise RequestObjectInvalid
        if now_ms >= (expires_at_s + _CLOCK_SKEW_S) * 1000:
            raise RequestExpired
    return _read_request(payload, client_id, None if expires_at_s is None else expires_at_s * 1000)


def parse_unsigned_request(parameters: Mapping[str, str]) -> RequestObject:
    """Reads the parameters of a link that holds its request by value, as a wallet does; nothing vouches for them.

    Raises ClientIdMismatch unless the client identifier is the very address that the answer goes to, the JSON errors,
    and RequestObjectInvalid as `verify_request_object`, also where the link names a signed request besides.
    """
    if {"request", "request_uri"} & parameters.keys():
        raise RequestObjectInvalid
    payload: JsonObject = dict(parameters)
    for name in ("dcql_query", "client_metadata"):
        if name in parameters:
            payload[name] = parse_json(parameters[name])
    client_id = parameters.get("client_id", "")
    if client_id != f"redirect_uri:{parameters.get('response_uri')}":
        raise ClientIdMismatch
    return _read_request(payload, client_id, None)


def _client_key(parsed: ParsedJws, client_id: str, dids: DidResolver, now_ms: int) -> PublicKey:
    """The key that a client identifier stands for; under `redirect_uri:` nothing may be signed (section 5.9.3)."""
    prefix, _, identifier = client_id.partition(":")
    if prefix == "decentralized_identifier":
        if parsed.kid is None:  # section 5.9.3: the key must be named, even where the DID has one only
            raise RequestObjectInvalid
        try:
            return dids.resolve_key(did=identifier, kid=parsed.kid, relationship="authentication", now_ms=now_ms)
        except IssuerKeyMismatch:
            raise ClientIdMismatch from None
    if prefix == "x509_hash":
        leaf = parse_x5c_leaf(parsed.x5c)
        if leaf.hash != identifier:
            raise ClientIdMismatch
        leaf.verify_valid(now_ms)
        return leaf.key
    raise ClientIdMismatch


def _read_request(payload: JsonObject, client_id: str, expires_at_ms: int | None) -> RequestObject:
    if payload.get("client_id") != client_id:
        raise ClientIdMismatch
    mode = payload.get("response_mode")
    if payload.get("response_type") != "vp_token" or mode not in _RESPONSE_MODES:
        raise RequestObjectInvalid
    # Section 8.2: a redirect_uri has no place beside direct_post. transaction_data would bind more than we show.
    if {"redirect_uri", "transaction_data"} & payload.keys():
        raise RequestObjectInvalid
    metadata = payload.get("client_metadata")
    return RequestObject(
        client_id=client_id,
        response_uri=_required_text(payload, "response_uri"),
        nonce=_required_text(payload, "nonce"),
        state=_optional_text(payload, "state"),
        query=parse_dcql_query(payload.get("dcql_query")),
        purpose=_optional_text(payload, "purpose"),
        client_name=_optional_text(metadata, "client_name") if isinstance(metadata, dict) else None,
        expires_at_ms=expires_at_ms,
        encryption=_read_encryption(metadata) if mode == "direct_post.jwt" else None,
    )


def _read_encryption(metadata: JsonValue) -> ResponseEncryption:
    """The first key and the first content encryption that both sides know (section 8.3)."""
    jwks = metadata.get("jwks") if isinstance(metadata, dict) else None
    keys = jwks.get("keys") if isinstance(jwks, dict) else None
    if not isinstance(metadata, dict) or not isinstance(keys, list):
        raise RequestObjectInvalid
    offered = metadata.get("encrypted_response_enc_values_supported", ["A128GCM"])
    encryption = next((each for each in ENCRYPTIONS if isinstance(offered, list) and each in offered), None)
    for jwk in keys:
        try:
            key = parse_encryption_jwk(jwk)
        except BadKey:
            continue
        if encryption is not None:
            return ResponseEncryption(key=key, encryption=encryption)
    raise RequestObjectInvalid


def open_authorization_response(
    form: Mapping[str, str], *, response_mode: ResponseMode = "direct_post", keys: Sequence[DecryptionKey] = ()
) -> OpenedResponse:
    """Opens a direct_post (section 8.2), of whose fields the caller has refused any that came twice.

    Under `direct_post.jwt` all of it, the state too, is encrypted to one of `keys` (section 8.3). Raises what `decrypt`
    raises, the JSON errors, EncryptedResponseNotAsked, and ResponseInvalid where there is no state such as we send.
    """
    encrypted = "response" in form
    if encrypted and response_mode == "direct_post":
        raise EncryptedResponseNotAsked
    if encrypted and {"vp_token", "error"} & form.keys():
        raise ResponseInvalid
    members: JsonObject = parse_json_object(decrypt(form["response"], keys)) if encrypted else dict(form)
    state = members.get("state")
    if not isinstance(state, str) or not 1 <= len(state) <= _MAX_STATE:
        raise ResponseInvalid
    return OpenedResponse(state=state, encrypted=encrypted, response_mode=response_mode, members=members)


def parse_authorization_response(opened: OpenedResponse) -> AuthorizationResponse | AuthorizationErrorResponse:
    """Reads what an opened response says; unknown members are skipped, as section 8.1 demands.

    A wallet that declines may do so in the clear, for it discloses nothing. Raises ResponseNotEncrypted, the JSON
    errors, VpTokenInvalid, and ResponseInvalid when it is neither a vp_token nor an error.
    """
    members = opened.members
    if ("vp_token" in members) == ("error" in members):
        raise ResponseInvalid
    if "vp_token" in members:
        if opened.response_mode == "direct_post.jwt" and not opened.encrypted:
            raise ResponseNotEncrypted
        # A form holds it as JSON text, an encrypted answer is JSON itself.
        vp_token = members["vp_token"] if opened.encrypted else parse_json(cast(str, members["vp_token"]))
        return AuthorizationResponse(vp_token=parse_vp_token(vp_token), state=opened.state)
    error, description = members["error"], members.get("error_description")
    if not isinstance(error, str) or not _ERROR_CODE.fullmatch(error):
        raise ResponseInvalid
    if description is not None:
        if not isinstance(description, str) or len(description) > _MAX_DESCRIPTION:
            raise ResponseInvalid
        if not _ERROR_DESCRIPTION.fullmatch(description):
            raise ResponseInvalid
    return AuthorizationErrorResponse(error=error, description=description, state=opened.state)


def parse_vp_token(value: JsonValue) -> Mapping[str, list[Presentation]]:
    """Reads a `vp_token` JSON value: presentations by query id, each a string or an object (section 8.1, appendix B).

    Raises VpTokenInvalid, and JsonNumber for an integer in an object that not every JSON parser reads alike (RFC 7493,
    section 2.2): such an object has no canonical form to sign or to know again.
    """
    if not isinstance(value, dict) or not 1 <= len(value) <= _MAX_CREDENTIALS:
        raise VpTokenInvalid
    for presentations in value.values():
        if not isinstance(presentations, list) or not 1 <= len(presentations) <= MAX_PRESENTATIONS:
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
