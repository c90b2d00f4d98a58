"""did:web: where a document stands and what of it counts; then everything that is refused, each for its own reason."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.did import DidDocument, Relationship
from identity.did_web import MAX_DID_WEB_CHARS, MAX_VERIFICATION_METHODS, did_web_url, parse_did_document
from identity.errors import (
    BadDid,
    BadDidDocument,
    BadKey,
    BadMultibase,
    DidDeactivated,
    DidDocumentMismatch,
    DidWebEncodingNotAllowed,
    DidWebHostNotAllowed,
    DidWebPathNotAllowed,
    DidWebPortNotAllowed,
    IdentityError,
    KeyAmbiguous,
    KeyControllerMismatch,
    KeyNotForRelationship,
    KeyNotSupported,
    KeyPastItsEnd,
    PrivateKeyInJwk,
    PrivateKeyPublished,
    TooManyVerificationMethods,
    UnknownKid,
)
from identity.keys import PublicKey, SigningKey
from identity.multikey import encode_base58, encode_multikey
from tests.conftest import stable_id

DID = "did:web:issuer.example"
NOW_MS = 1_790_000_000_000  # 2026-09-21T14:13:20Z
ED25519, P256 = SigningKey.generate("EdDSA"), SigningKey.generate("ES256")


# Where the document stands


@pytest.mark.parametrize(
    ("did", "url"),
    [
        # The examples of the did:web specification, but for the port, which is not served.
        ("did:web:w3c-ccg.github.io", "https://w3c-ccg.github.io/.well-known/did.json"),
        ("did:web:w3c-ccg.github.io:user:alice", "https://w3c-ccg.github.io/user/alice/did.json"),
        ("did:web:issuer.example:Score_1.v2-x", "https://issuer.example/Score_1.v2-x/did.json"),
        ("did:web:xn--80ak6aa92e.example", "https://xn--80ak6aa92e.example/.well-known/did.json"),
    ],
)
def test_the_url_of_a_did_web(did: str, url: str) -> None:
    assert did_web_url(did) == url


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_loopback_port_is_for_exactly_the_allowed_origins(host: str) -> None:
    did = f"did:web:{host}%3A8443:bank"
    allowed = frozenset({f"http://{host}:8443"})
    assert did_web_url(did, allow_http_origins=allowed) == f"http://{host}:8443/bank/did.json"
    for other in ("%3A8444", "%3A844", "%3A80", ""):
        with pytest.raises((DidWebPortNotAllowed, DidWebHostNotAllowed)):
            did_web_url(f"did:web:{host}{other}:bank", allow_http_origins=allowed)
    with pytest.raises(DidWebPortNotAllowed):
        did_web_url(did)


@pytest.mark.parametrize(
    ("refusal", "did"),
    [
        *((BadDid, did) for did in ("", "did:web", "did:key:z6Mk", "DID:web:a.example", "did:WEB:a.example")),
        *((BadDid, f"did:web:a.example{rest}") for rest in ("/path", "?x=1", "#key-1", ":a/b", ":a#b")),
        (BadDid, "did:web:a.example:" + "x" * MAX_DID_WEB_CHARS),
        *((DidWebHostNotAllowed, f"did:web:{host}") for host in ("", "localhost", "example", "db.internal", "a.local")),
        *((DidWebHostNotAllowed, f"did:web:{host}") for host in ("127.0.0.1", "10.0.0.1", "[::1]", "0x7f.1", "127.1")),
        *(
            (DidWebHostNotAllowed, f"did:web:{host}")
            for host in ("Issuer.example", "a.example.", "a..example", "a_b.c")
        ),
        *(
            (DidWebHostNotAllowed, f"did:web:{host}")
            for host in ("user@a.example", "a.example\\x", "a.example\0", "é.com")
        ),
        *((DidWebPortNotAllowed, f"did:web:{host}") for host in ("a.example%3A443", "a.example%3A8443", "[0]%3A8443")),
        *((DidWebPortNotAllowed, f"did:web:{host}") for host in ("10.0.0.1%3A80", "a.example%3A", "localhost%3A0")),
        *((DidWebEncodingNotAllowed, f"did:web:{host}") for host in ("a.example%3a443", "%2e%2e", "a%2Eexample", "a%")),
        *((DidWebEncodingNotAllowed, f"did:web:{host}") for host in ("a.example%00", "a.example%2F", "%3A80", "a%3Ab")),
        *((DidWebEncodingNotAllowed, f"did:web:a.example:{part}") for part in ("%2e%2e", "%2F", "a%3Ab", "%", "x%00")),
        *((DidWebPathNotAllowed, f"did:web:a.example:{part}") for part in ("", "..", ".", "a::b", "a:..:b", "8443:")),
        *(
            (DidWebPathNotAllowed, f"did:web:a.example:{part}")
            for part in ("a b", "a\\b", "a@b", "a\n", "é", "a;b", "~a")
        ),
    ],
    ids=stable_id,
)
def test_input_48_what_names_no_place_is_refused(refusal: type[IdentityError], did: str) -> None:
    with pytest.raises(refusal) as refused:
        did_web_url(did, allow_http_origins=frozenset({"http://localhost:8443"}))
    assert type(refused.value) is refusal


@given(st.text(st.characters(codec=None), max_size=60), st.sampled_from(["", "did:web:", "did:web:a.example:"]))
def test_hostile_dids_name_https_at_their_own_host_or_are_refused(text: str, prefix: str) -> None:
    try:
        url = did_web_url(prefix + text)
    except IdentityError:
        return
    host = (prefix + text).split(":")[2]
    assert url.startswith(f"https://{host}/")
    assert url.endswith("/did.json")


# What of the document counts


def method(id: str = "#key-1", **members: Any) -> dict[str, Any]:
    written = {"id": id, "type": "JsonWebKey", "controller": DID, "publicKeyJwk": P256.public.jwk, **members}
    return {name: value for name, value in written.items() if value is not ...}


def multibase(value: Any, type: str = "Multikey") -> dict[str, Any]:
    """What makes a method say its key in multibase."""
    return {"type": type, "publicKeyJwk": ..., "publicKeyMultibase": value}


def parse(document: Any, did: str = DID) -> DidDocument:
    return parse_did_document(json.dumps(document).encode(), did=did)


def document(*methods: dict[str, Any], **members: Any) -> dict[str, Any]:
    """A document whose methods all serve for assertions."""
    return {
        "id": DID,
        "verificationMethod": list(methods),
        "assertionMethod": [each["id"] for each in methods],
        **members,
    }


def key_of(parsed: DidDocument, kid: str | None, relationship: Relationship = "assertionMethod") -> PublicKey:
    return parsed.key(kid=kid, relationship=relationship, now_ms=NOW_MS)


@pytest.mark.parametrize(
    ("type_", "member", "value", "key"),
    [
        ("JsonWebKey", "publicKeyJwk", P256.public.jwk, P256),
        ("JsonWebKey2020", "publicKeyJwk", {**ED25519.public.jwk, "kid": "x", "alg": "EdDSA", "use": "sig"}, ED25519),
        ("JsonWebKey2020", "publicKeyJwk", {**P256.public.jwk, "x5u": "https://a.example", "x5c": []}, P256),
        ("Multikey", "publicKeyMultibase", encode_multikey(P256.public), P256),
        ("Multikey", "publicKeyMultibase", encode_multikey(ED25519.public), ED25519),
        ("Ed25519VerificationKey2020", "publicKeyMultibase", encode_multikey(ED25519.public), ED25519),
        ("Ed25519VerificationKey2018", "publicKeyBase58", encode_base58(ED25519.public.point), ED25519),
        ("EcdsaSecp256r1VerificationKey2019", "publicKeyMultibase", encode_multikey(P256.public), P256),
        ("EcdsaSecp256r1VerificationKey2019", "publicKeyJwk", P256.public.jwk, P256),
    ],
)
def test_the_types_of_verification_methods(type_: str, member: str, value: Any, key: SigningKey) -> None:
    only = {"id": f"{DID}#key-1", "type": type_, "controller": DID, member: value}
    parsed = parse(document(only))
    assert key_of(parsed, f"{DID}#key-1") == key_of(parsed, None) == key.public


def test_methods_are_referred_to_or_embedded_by_absolute_or_relative_urls() -> None:
    embedded = method("#c", **multibase(encode_multikey(ED25519.public)))
    written = {
        "@context": ["https://www.w3.org/ns/did/v1"],
        "id": DID,
        "alsoKnownAs": ["https://issuer.example"],
        "verificationMethod": [method("#a"), method(f"{DID}#b", publicKeyJwk=ED25519.public.jwk)],
        "assertionMethod": [f"{DID}#a", "#b"],
        "authentication": ["#b", embedded],
        "keyAgreement": [{"id": "#a"}],
        "service": [{"id": "#s", "type": "LinkedDomains", "serviceEndpoint": "http://10.0.0.1/"}],
    }
    parsed = parse(written)
    both: set[Relationship] = {"assertionMethod", "authentication"}
    assert {id: each.relationships for id, each in parsed.verification_methods.items()} == {
        f"{DID}#a": {"assertionMethod"},
        f"{DID}#b": both,
        f"{DID}#c": {"authentication"},
    }
    assert key_of(parsed, "#a") == P256.public
    assert key_of(parsed, "#c", "authentication") == ED25519.public


def test_input_42_a_key_that_the_document_uses_for_something_else_is_refused() -> None:
    parsed = parse({"id": DID, "verificationMethod": [method()], "authentication": ["#key-1"]})
    assert key_of(parsed, "#key-1", "authentication") == P256.public
    with pytest.raises(KeyNotForRelationship):
        key_of(parsed, "#key-1")
    with pytest.raises(KeyNotForRelationship):  # in the document, and for nothing
        key_of(parse({"id": DID, "verificationMethod": [method()]}), "#key-1")


@pytest.mark.parametrize(
    ("refusal", "changes"),
    [
        (KeyControllerMismatch, {"controller": "did:web:other.example"}),
        (KeyControllerMismatch, {"controller": ...}),
        (KeyControllerMismatch, {"controller": [DID]}),
        (KeyNotSupported, {"type": "RsaVerificationKey2018"}),
        (KeyNotSupported, {"type": ["JsonWebKey"]}),
        (KeyNotSupported, {"type": ...}),
        (KeyNotSupported, {"publicKeyJwk": {"kty": "EC", "crv": "secp256k1", "x": "a", "y": "b"}}),
        (KeyNotSupported, {"publicKeyJwk": {"kty": "RSA", "n": "a", "e": "AQAB"}}),
        (KeyNotSupported, {"publicKeyJwk": {"kty": "OKP", "crv": ["Ed25519"]}}),
        (KeyNotSupported, multibase("z6LSeu9HkTHSfLLeUs2nnzUSNedgDUevfNQgQjQC23ZCit6F")),  # X25519
        (BadKey, {"publicKeyJwk": ...}),
        (BadKey, {"publicKeyJwk": "z6Mk"}),
        (BadKey, {"publicKeyJwk": {**P256.public.jwk, "x": "AA"}}),
        (BadKey, {"publicKeyJwk": {**P256.public.jwk, "use": "enc"}}),
        (BadKey, {"publicKeyMultibase": encode_multikey(P256.public)}),
        (BadKey, {"type": "Multikey"}),
        (BadKey, multibase(7)),
        (BadKey, multibase(encode_multikey(P256.public), type="Ed25519VerificationKey2020")),
        (BadKey, {"type": "EcdsaSecp256r1VerificationKey2019", "publicKeyJwk": ED25519.public.jwk}),
        (BadKey, {"type": "Ed25519VerificationKey2018", "publicKeyJwk": ..., "publicKeyBase58": "2NEpo7TZRRrLZSi2U"}),
        (BadMultibase, {"type": "Ed25519VerificationKey2018", "publicKeyJwk": ..., "publicKeyBase58": "1" * 4096}),
        (BadMultibase, multibase("f00")),
        (PrivateKeyInJwk, {"publicKeyJwk": P256.to_private_jwk()}),
        (PrivateKeyPublished, {"privateKeyJwk": P256.to_private_jwk()}),
        (PrivateKeyPublished, {"secretKeyMultibase": "z3u2"}),
        (BadDidDocument, {"revoked": "2026-09-21"}),
        (BadDidDocument, {"expires": "2026-09-21T14:13:20"}),
        (BadDidDocument, {"expires": "2026-02-30T00:00:00Z"}),
        (BadDidDocument, {"expires": None}),
    ],
    ids=stable_id,
)  # fmt: skip
def test_a_method_that_cannot_be_used_is_refused_and_spoils_no_other(
    refusal: type[IdentityError], changes: dict[str, Any]
) -> None:
    parsed = parse(document(method("#bad", **changes), method("#good")))
    with pytest.raises(refusal) as refused:
        key_of(parsed, "#bad")
    assert type(refused.value) is refusal
    assert key_of(parsed, "#good") == P256.public
    with pytest.raises(KeyAmbiguous):
        key_of(parsed, None)


def test_the_method_of_another_did_is_never_a_key_of_this_one() -> None:
    foreign = "did:web:other.example#key-1"
    for written in (
        document(method(foreign)),
        document(method(foreign, controller="did:web:other.example")),
        document(assertionMethod=[foreign]),
        document(assertionMethod=[method(foreign)]),
        document(method(DID + ".evil#key-1")),
    ):
        with pytest.raises(IdentityError):
            key_of(parse(written), None)
        with pytest.raises(UnknownKid):
            key_of(parse(written), "#key-1")


@pytest.mark.parametrize("name", ["revoked", "expires"])
@pytest.mark.parametrize("end", ["2026-09-21T14:13:20Z", "2026-09-21T17:13:20+03:00", "2026-09-21T14:13:20.000999Z"])
def test_input_51_a_key_is_refused_from_its_revocation_or_expiry_on(name: str, end: str) -> None:
    parsed = parse(document(method(**{name: end})))
    assert parsed.key(kid="#key-1", relationship="assertionMethod", now_ms=NOW_MS - 1) == P256.public
    with pytest.raises(KeyPastItsEnd):
        key_of(parsed, "#key-1")


def test_input_51_the_earlier_of_two_ends_counts() -> None:
    parsed = parse(document(method(revoked="2026-09-21T14:13:20Z", expires="2030-01-01T00:00:00Z")))
    with pytest.raises(KeyPastItsEnd):
        key_of(parsed, "#key-1")


def test_input_51_a_deactivated_did_is_refused() -> None:
    with pytest.raises(DidDeactivated):
        parse(document(method(), deactivated=True))
    assert key_of(parse(document(method(), deactivated=False)), None) == P256.public


@pytest.mark.parametrize(
    "id", [..., None, 7, "", DID + "/", DID + ":user", "did:web:other.example", DID.upper()], ids=str
)
def test_input_49_the_document_of_another_did_is_refused(id: Any) -> None:
    written = document(method(), id=id)
    with pytest.raises(DidDocumentMismatch):
        parse({name: value for name, value in written.items() if value is not ...})


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"[]", b"null", b'"did:web:issuer.example"', b"<html>", b"\xff\xfe", b'{"id":"a","id":"b"}'),
        *(b"[" * 40 + b"]" * 40, b'{"id":NaN}', b"\xef\xbb\xbf{}"),
        *(
            json.dumps(written).encode()
            for written in (
                document(deactivated="yes"),
                document(deactivated=1),
                document(verificationMethod={}),
                document(verificationMethod=[7]),
                document(verificationMethod=["#key-1"], assertionMethod=[7]),
                document(verificationMethod=[method(id=...)]),
                document(verificationMethod=[method(id=7)]),
                document(method(), method()),
                document(method(), method(f"{DID}#key-1")),
                document(method(), assertionMethod=[method()]),
                document(method(), assertionMethod="#key-1"),
                document(method(), assertionMethod=["#key-2"]),
                document(method(), authentication=[None]),
            )
        ),
    ],
    ids=stable_id,
)
def test_a_malformed_document_is_refused(body: bytes) -> None:
    with pytest.raises(BadDidDocument):
        parse_did_document(body, did=DID)


def test_more_methods_than_allowed_are_refused() -> None:
    most = [method(f"#{number}") for number in range(MAX_VERIFICATION_METHODS)]
    assert len(parse(document(*most)).verification_methods) == MAX_VERIFICATION_METHODS
    for written in (document(*most, method("#more")), document(*most, authentication=[method("#more")])):
        with pytest.raises(TooManyVerificationMethods):
            parse(written)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 9) | st.sampled_from(["#key-1", DID, f"{DID}#key-1", "Multikey", ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["id", "type", "controller", "publicKeyJwk", "publicKeyMultibase", "kty", "crv", "revoked"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


CHANGES = st.dictionaries(st.sampled_from(["type", "id", "revoked", "publicKeyJwk"]), JSON)


@given(methods=JSON, assertion=JSON, authentication=JSON, changes=CHANGES)
def test_hostile_documents_raise_only_our_errors(
    methods: Any, assertion: Any, authentication: Any, changes: dict[str, Any]
) -> None:
    for verification_methods in (methods, [method(**changes)]):
        written = {"id": DID, "verificationMethod": verification_methods}
        try:
            parsed = parse({**written, "assertionMethod": assertion, "authentication": authentication})
            assert key_of(parsed, "#key-1") == P256.public
        except IdentityError:
            pass
