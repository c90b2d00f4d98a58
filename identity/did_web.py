"""did:web (W3C CCG): where the document of a DID stands, and what of it counts (DID Core 1.0, CID 1.0)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from identity.did import DidDocument, Relationship, VerificationMethod
from identity.encoding import JsonObject, JsonValue, parse_json_object
from identity.errors import (
    BadDid,
    BadDidDocument,
    BadKey,
    BadTime,
    DidDeactivated,
    DidDocumentMismatch,
    DidWebEncodingNotAllowed,
    DidWebHostNotAllowed,
    DidWebPathNotAllowed,
    DidWebPortNotAllowed,
    IdentityError,
    KeyControllerMismatch,
    KeyNotSupported,
    PrivateKeyPublished,
    TooManyVerificationMethods,
)
from identity.hosts import is_public_name
from identity.keys import Algorithm, PublicKey, ed25519_public_key, parse_public_jwk
from identity.multikey import MAX_MULTIKEY_CHARS, decode_base58, parse_multikey
from identity.vcdm import parse_date_time

METHOD = "did:web:"
MAX_DID_WEB_CHARS = 512
MAX_VERIFICATION_METHODS = 64
# In the order of preference; DID Core 1.0 section 6, DID 1.1 ("application/did"), and what plain web servers send.
MEDIA_TYPES = "application/did, application/did+json, application/did+ld+json, application/json"

_LOOPBACK_PORT = re.compile(r"(localhost|127\.0\.0\.1)%3A([1-9][0-9]{0,4})")
_PATH_PART = re.compile(r"(?!\.\.?\Z)[A-Za-z0-9._-]+")
_RELATIONSHIPS: tuple[Relationship, ...] = ("assertionMethod", "authentication")
_KEY_MEMBERS = {"publicKeyJwk", "publicKeyMultibase", "publicKeyBase58", "publicKeyHex", "publicKeyPem"}
_PRIVATE_MEMBERS = {"privateKeyJwk", "privateKeyMultibase", "privateKeyBase58", "secretKeyJwk", "secretKeyMultibase"}
# The members of a JWK that a key is made of; others (x5c, x5u, iat) say nothing that we would believe.
_JWK_MEMBERS = {"kty", "crv", "x", "y", "d", "k", "p", "q", "dp", "dq", "qi", "oth", "alg", "use", "key_ops"}
_JWK_KINDS = (["EC", "P-256"], ["OKP", "Ed25519"])
# The types of verification methods: in which members their keys stand, and for which algorithm, where they say so.
_TYPES: Mapping[str, tuple[frozenset[str], Algorithm | None]] = {
    "JsonWebKey": (frozenset({"publicKeyJwk"}), None),
    "JsonWebKey2020": (frozenset({"publicKeyJwk"}), None),
    "Multikey": (frozenset({"publicKeyMultibase"}), None),
    "Ed25519VerificationKey2020": (frozenset({"publicKeyMultibase"}), "EdDSA"),
    "Ed25519VerificationKey2018": (frozenset({"publicKeyBase58", "publicKeyJwk"}), "EdDSA"),
    "EcdsaSecp256r1VerificationKey2019": (frozenset({"publicKeyMultibase", "publicKeyJwk"}), "ES256"),
}


def did_web_url(did: str, *, allow_http_origins: frozenset[str] = frozenset()) -> str:
    """The URL of the document of a did:web (section "Read (Resolve)").

    It is https at the port of https. Only a loopback host with a port that makes an origin of `allow_http_origins` is
    read over http. Raises BadDid for what is no did:web or too long, and the leaves of DidWebRefused.
    """
    if not did.startswith(METHOD) or len(did) > MAX_DID_WEB_CHARS or not {"/", "?", "#"}.isdisjoint(did):
        raise BadDid
    host, *path = did.removeprefix(METHOD).split(":")
    if loopback := _LOOPBACK_PORT.fullmatch(host):
        origin = f"http://{loopback[1]}:{loopback[2]}"
        if origin not in allow_http_origins:
            raise DidWebPortNotAllowed
    else:
        _verify_host(host)
        origin = f"https://{host}"
    for part in path:
        if "%" in part:
            raise DidWebEncodingNotAllowed
        if not _PATH_PART.fullmatch(part):
            raise DidWebPathNotAllowed
    return "/".join([origin, *(path or [".well-known"]), "did.json"])


def parse_did_document(body: bytes, *, did: str) -> DidDocument:
    """Read the document of `did` as JSON (DID Core 1.0 section 6.2): its keys for assertions and authentication.

    A key that cannot be used does not spoil the others: it is refused when it is named. Services and everything else
    are skipped. Raises BadDidDocument, DidDocumentMismatch, DidDeactivated, TooManyVerificationMethods.
    """
    try:
        document = parse_json_object(body)
    except IdentityError:
        raise BadDidDocument from None
    if document.get("id") != did:
        raise DidDocumentMismatch
    match document.get("deactivated", False):
        case True:
            raise DidDeactivated
        case False:
            pass
        case _:
            raise BadDidDocument
    methods: dict[str, VerificationMethod] = {}
    for value in _list(document, "verificationMethod"):
        _add_method(methods, value, did, frozenset())
    for relationship in _RELATIONSHIPS:
        for value in _list(document, relationship):
            if isinstance(value, str):
                _add_relationship(methods, value, did, relationship)
            else:
                _add_method(methods, value, did, frozenset({relationship}))
    return DidDocument(did=did, verification_methods=methods)


def build_did_document(did: str, keys: Sequence[PublicKey]) -> JsonObject:
    """The document of a did:web whose `keys`, each named after its thumbprint, sign credentials and status lists.

    A key of it signs as `SigningKey.known_as(did)`.
    """
    ids: list[JsonValue] = [f"{did}#{key.thumbprint}" for key in keys]
    return {
        "@context": ["https://www.w3.org/ns/did/v1", "https://w3id.org/security/suites/jws-2020/v1"],
        "id": did,
        "verificationMethod": [
            {"id": id, "type": "JsonWebKey2020", "controller": did, "publicKeyJwk": key.jwk}
            for id, key in zip(ids, keys, strict=True)
        ],
        "assertionMethod": ids,
    }


def _verify_host(host: str) -> None:
    name, encoded, rest = host.partition("%")
    if encoded and not (name and re.fullmatch(r"3A[0-9]{0,5}", rest)):
        raise DidWebEncodingNotAllowed
    if encoded:
        raise DidWebPortNotAllowed
    if not is_public_name(host):
        raise DidWebHostNotAllowed


def _list(document: JsonObject, name: str) -> list[JsonValue]:
    value = document.get(name, [])
    if not isinstance(value, list):
        raise BadDidDocument
    if len(value) > MAX_VERIFICATION_METHODS:
        raise TooManyVerificationMethods
    return value


def _add_method(
    methods: dict[str, VerificationMethod], value: JsonValue, did: str, relationships: frozenset[Relationship]
) -> None:
    if not isinstance(value, dict):
        raise BadDidDocument
    id = _absolute(value.get("id"), did)
    if id in methods:
        raise BadDidDocument
    if len(methods) == MAX_VERIFICATION_METHODS:
        raise TooManyVerificationMethods
    try:
        if not id.startswith(f"{did}#") or value.get("controller") != did:
            raise KeyControllerMismatch
        methods[id] = VerificationMethod(
            key=_public_key(value), relationships=relationships, ends_at_ms=_ends_at_ms(value)
        )
    except IdentityError as refused:
        methods[id] = VerificationMethod(key=None, relationships=relationships, refusal=type(refused))


def _add_relationship(
    methods: dict[str, VerificationMethod], reference: str, did: str, relationship: Relationship
) -> None:
    id = _absolute(reference, did)
    if id in methods:
        methods[id] = replace(methods[id], relationships=methods[id].relationships | {relationship})
    elif id.startswith(f"{did}#"):
        raise BadDidDocument  # it refers to a method of its own that is not there


def _absolute(id: JsonValue, did: str) -> str:
    """The DID URL of a verification method, which may be written as a fragment alone (DID Core 1.0 section 3.2.2)."""
    if not isinstance(id, str):
        raise BadDidDocument
    return did + id if id.startswith("#") else id


def _public_key(method: JsonObject) -> PublicKey:
    """Raises PrivateKeyPublished or PrivateKeyInJwk, KeyNotSupported for another kind of key, BadKey, BadMultibase."""
    if not _PRIVATE_MEMBERS.isdisjoint(method):
        raise PrivateKeyPublished
    type_ = method.get("type")
    if not isinstance(type_, str) or type_ not in _TYPES:
        raise KeyNotSupported
    allowed, alg = _TYPES[type_]
    given = _KEY_MEMBERS & method.keys()
    if len(given) != 1 or not given <= allowed:
        raise BadKey
    [member] = given
    value = method[member]
    if member == "publicKeyJwk":
        key = _key_of_jwk(value)
    elif not isinstance(value, str):
        raise BadKey
    elif member == "publicKeyMultibase":
        key = parse_multikey(value)
    else:
        key = ed25519_public_key(decode_base58(value, max_chars=MAX_MULTIKEY_CHARS))
    if alg not in (None, key.alg):
        raise BadKey
    return key


def _key_of_jwk(jwk: JsonValue) -> PublicKey:
    if not isinstance(jwk, dict):
        raise BadKey
    if [jwk.get("kty"), jwk.get("crv")] not in _JWK_KINDS:
        raise KeyNotSupported
    return parse_public_jwk({name: value for name, value in jwk.items() if name in _JWK_MEMBERS})


def _ends_at_ms(method: JsonObject) -> int | None:
    """The earlier of `revoked` and `expires` (CID 1.0 section 2.2), whose fractions count down to the millisecond."""
    try:
        ends = [parse_date_time(method[name]) for name in ("revoked", "expires") if name in method]
    except BadTime:
        raise BadDidDocument from None
    return min(ends, default=None)
