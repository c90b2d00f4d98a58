import base64
import hashlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.certificate import issue_self_signed, parse_certificate_chain
from identity.did_resolver import DidResolver
from identity.encoding import decode_base64url, encode_base64url, encode_json
from identity.errors import (
    BadCertificate,
    BadDid,
    BadJson,
    BadJwe,
    BadSignature,
    CertificateKeyMismatch,
    CertificateNotValid,
    ClientIdMismatch,
    DcqlInvalid,
    EncryptedResponseNotAsked,
    IdentityError,
    JsonDuplicateKey,
    JsonNumber,
    JweKeyMismatch,
    KeyNotForRelationship,
    KeySourceNotAllowed,
    PrivateKeyInJwk,
    RequestExpired,
    RequestObjectInvalid,
    ResponseInvalid,
    ResponseNotEncrypted,
    VpTokenInvalid,
    WrongTyp,
)
from identity.fetch import GuardedFetcher
from identity.jwe import derive_decryption_key, encrypt
from identity.jws import parse_jws, sign_jws
from identity.keys import SigningKey
from identity.openid4vp import (
    AuthorizationErrorResponse,
    AuthorizationResponse,
    ResponseEncryption,
    build_request_object,
    certificate_signer,
    client_id_of,
    did_signer,
    open_authorization_response,
    parse_authorization_response,
    parse_unsigned_request,
    parse_vp_token,
    request_link,
    unsigned_request_link,
    verify_request_object,
)


def rebuilt(scene: Any, *, key: SigningKey | None = None, header: dict[str, Any] | None = None, **changes: Any) -> str:
    """Our request object with other members (... leaves one out), signed again by the verifier or another key."""
    compact = build_request_object(scene.request(), did_signer(scene.verifier_key), scene.now_ms)
    payload = {**json.loads(parse_jws(compact).payload), **changes}
    payload = {name: value for name, value in payload.items() if value is not ...}
    key = key or scene.verifier_key
    header = {"kid": key.kid, "typ": "oauth-authz-req+jwt", **(header or {})}
    return sign_jws(header, encode_json(payload), key)


def read_answer(form: dict[str, str], **arguments: Any) -> Any:
    return parse_authorization_response(open_authorization_response(form, **arguments))


def read(scene: Any, compact: str) -> Any:
    return verify_request_object(compact, client_id=client_id_of(scene.verifier_key), now_ms=scene.now_ms)


def test_the_request_object_has_the_members_of_the_specifications_example(scene: Any, test_data: Path) -> None:
    examples = test_data / "vectors" / "openid4vp-1.0" / "1.0" / "examples"
    parsed = parse_jws(build_request_object(scene.request(), did_signer(scene.verifier_key), scene.now_ms))
    payload = json.loads(parsed.payload)
    header = json.loads((examples / "request" / "request_header_client_id_did.json").read_text())
    assert parsed.header.keys() == header.keys()
    assert parsed.header["typ"] == header["typ"]
    # The example is not JSON (its query is cut short), so its names are read as text. It answers by redirect.
    text = (examples / "request" / "request_object_client_id_did.json").read_text()
    for name in ("client_id", "response_type", "nonce", "dcql_query", "client_metadata"):
        assert f'"{name}"' in text
        assert name in payload
    assert payload["client_id"].startswith("decentralized_identifier:did:")
    ours = payload["client_metadata"]["vp_formats_supported"]
    for name in ("sd_jwt_vc", "w3c_jwt", "w3c_ldp"):
        metadata = json.loads((examples / "client_metadata" / f"{name}_verifier_metadata.json").read_text())
        for format, members in metadata["vp_formats_supported"].items():
            assert ours[format].keys() == members.keys()
    # Fully specified identifiers (appendix B.3, RFC 9864), which "EdDSA" is not.
    assert all(names == ["ES256", "Ed25519"] for names in ours["dc+sd-jwt"].values())


def test_a_request_object_is_what_the_wallet_reads(scene: Any) -> None:
    request = scene.request()
    compact = build_request_object(request, did_signer(scene.verifier_key), scene.now_ms)
    asked = read(scene, compact)
    assert asked.client_name is None
    assert (asked.client_id, asked.response_uri) == (request.audience, request.response_uri)
    assert (asked.nonce, asked.state, asked.query) == (request.nonce, request.state, request.query)
    assert (asked.purpose, asked.expires_at_ms) == (request.purpose, request.expires_at_ms)
    payload = json.loads(parse_jws(compact).payload)
    assert payload["aud"] == "https://self-issued.me/v2"
    assert payload["response_mode"] == "direct_post"
    assert "redirect_uri" not in payload


def test_a_link_carries_the_client_id_and_where_to_fetch_the_object(scene: Any) -> None:
    client_id = client_id_of(scene.verifier_key)
    link = urlsplit(request_link(client_id, "https://verifier.example/r/1?x=1&y=2"))
    assert link.scheme == "openid4vp"
    assert parse_qs(link.query) == {"client_id": [client_id], "request_uri": ["https://verifier.example/r/1?x=1&y=2"]}


def test_a_request_is_signed_only_by_the_key_that_it_names_and_only_in_time(scene: Any) -> None:
    with pytest.raises(ClientIdMismatch):
        build_request_object(scene.request(), did_signer(SigningKey.generate()), scene.now_ms)
    with pytest.raises(RequestExpired):
        build_request_object(scene.request(expires_at_ms=scene.now_ms), did_signer(scene.verifier_key), scene.now_ms)


def test_15_a_credential_or_a_key_binding_is_no_request_object(scene: Any) -> None:
    for typ in ("dc+sd-jwt", "kb+jwt", "JWT", "openid4vci-proof+jwt"):
        with pytest.raises(WrongTyp):
            read(scene, rebuilt(scene, header={"typ": typ}))
    with pytest.raises(WrongTyp):
        read(scene, scene.credential(key=scene.verifier_key).split("~")[0])


def test_a_request_object_that_does_not_say_which_key_signed_it_is_refused(scene: Any) -> None:
    payload = parse_jws(rebuilt(scene)).payload
    with pytest.raises(RequestObjectInvalid):
        read(scene, sign_jws({"typ": "oauth-authz-req+jwt"}, payload, scene.verifier_key))


class VerifierDocument(GuardedFetcher):
    """The document of a verifier of did:web, in which its key serves for `relationship`."""

    def __init__(self, key: SigningKey, relationship: str) -> None:
        super().__init__()
        method = {"id": key.kid, "type": "JsonWebKey", "controller": key.did, "publicKeyJwk": key.public.jwk}
        self.document = {"id": key.did, "verificationMethod": [method], relationship: [key.kid]}

    def fetch(self, url: str, accept: str, *, max_bytes: int | None = None) -> bytes:
        assert url == "https://verifier.example/.well-known/did.json"
        return encode_json(self.document)


def test_a_verifier_of_did_web_is_known_by_a_key_for_authentication(scene: Any) -> None:
    key = scene.verifier_key.known_as("did:web:verifier.example")
    request = scene.request(audience=client_id_of(key))
    compact = build_request_object(request, did_signer(key), scene.now_ms)

    def verify(dids: DidResolver | None) -> Any:
        return verify_request_object(compact, client_id=client_id_of(key), now_ms=scene.now_ms, dids=dids)

    assert verify(DidResolver(VerifierDocument(key, "authentication"))).nonce == request.nonce
    with pytest.raises(KeyNotForRelationship):
        verify(DidResolver(VerifierDocument(key, "assertionMethod")))
    with pytest.raises(BadSignature):
        verify(DidResolver(VerifierDocument(SigningKey.generate().known_as(key.kid), "authentication")))
    with pytest.raises(BadDid):
        verify(None)


def test_a_request_object_of_another_client_is_refused(scene: Any) -> None:
    other = SigningKey.generate()
    with pytest.raises(ClientIdMismatch):  # signed by another, in another's name
        read(scene, rebuilt(scene, key=other))
    with pytest.raises(ClientIdMismatch):  # ours by signature, another's by content
        read(scene, rebuilt(scene, client_id=client_id_of(other)))
    with pytest.raises(BadSignature):  # signed by another, in our name
        read(scene, rebuilt(scene, key=other, header={"kid": scene.verifier_key.kid}))
    compact = rebuilt(scene)
    for client_id in ("x509_san_dns:verifier.example", "redirect_uri:https://verifier.example", scene.verifier_key.did):
        with pytest.raises(ClientIdMismatch):
            verify_request_object(compact, client_id=client_id, now_ms=scene.now_ms)
    with pytest.raises(BadDid):
        verify_request_object(compact, client_id="decentralized_identifier:did:example:123", now_ms=scene.now_ms)


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "https://wallet.example"},
        {"aud": ...},
        {"response_mode": "direct_post.jwt"},
        {"wallet_nonce": "not given"},
        {"response_mode": ["direct_post"]},
        {"response_mode": "fragment"},
        {"response_mode": ...},
        {"response_type": "vp_token id_token"},
        {"redirect_uri": "https://verifier.example/cb"},
        {"transaction_data": ["x"]},
        {"response_uri": ...},
        {"response_uri": 1},
        {"nonce": ""},
        {"nonce": ...},
        {"state": 1},
        {"purpose": ["loan"]},
        {"exp": "soon"},
        {"exp": True},
    ],
)
def test_a_request_object_that_asks_otherwise_is_refused(scene: Any, changes: dict[str, Any]) -> None:
    with pytest.raises(RequestObjectInvalid):
        read(scene, rebuilt(scene, **changes))


def test_a_signed_request_says_for_whom_it_asks(scene: Any) -> None:
    signer = did_signer(scene.verifier_key)
    compact = build_request_object(scene.request(), signer, scene.now_ms, client_name="Wakulima SACCO")
    assert read(scene, compact).client_name == "Wakulima SACCO"
    with pytest.raises(RequestObjectInvalid):
        read(scene, rebuilt(scene, client_metadata={"client_name": ["Wakulima"]}))


def test_a_request_object_expires_after_the_skew(scene: Any) -> None:
    read(scene, rebuilt(scene, exp=scene.now_ms // 1000 - 59))
    with pytest.raises(RequestExpired):
        read(scene, rebuilt(scene, exp=scene.now_ms // 1000 - 60))


def test_an_answer_is_read_and_unknown_fields_are_skipped() -> None:
    form = {"vp_token": '{"c0":["a~b~"]}', "state": "s", "iss": "whoever"}
    assert read_answer(form) == AuthorizationResponse(vp_token={"c0": ["a~b~"]}, state="s")


def test_the_wallets_refusal_is_read() -> None:
    # The specification's example (section 8.2), and one without a description.
    form = {"error": "invalid_request", "error_description": "unsupported client_id_prefix", "state": "eyJhb6sVA"}
    assert read_answer(form) == AuthorizationErrorResponse(
        error="invalid_request", description="unsupported client_id_prefix", state="eyJhb6sVA"
    )
    assert read_answer({"error": "access_denied", "state": "s"}) == AuthorizationErrorResponse(
        error="access_denied", description=None, state="s"
    )


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, ResponseInvalid),
        ({"state": "s"}, ResponseInvalid),
        ({"vp_token": "{}", "error": "access_denied", "state": "s"}, ResponseInvalid),
        ({"vp_token": '{"a":["b"]}'}, ResponseInvalid),
        ({"vp_token": '{"a":["b"]}', "state": ""}, ResponseInvalid),
        ({"vp_token": '{"a":["b"]}', "state": "s" * 257}, ResponseInvalid),
        ({"error": "Access Denied!", "state": "s"}, ResponseInvalid),
        ({"error": "access_denied\n", "state": "s"}, ResponseInvalid),
        ({"error": "access_denied", "error_description": 'say "cheese"', "state": "s"}, ResponseInvalid),
        ({"error": "access_denied", "error_description": "\x1b[2J", "state": "s"}, ResponseInvalid),
        ({"error": "access_denied", "error_description": "x" * 513, "state": "s"}, ResponseInvalid),
        ({"response": "eyJ.a.b.c.d", "state": "s"}, EncryptedResponseNotAsked),
        ({"vp_token": "eyJhbGciOiJFUzI1NiJ9.e30.x~", "state": "s"}, BadJson),
        ({"vp_token": '{"a":["b"],"a":["c"]}', "state": "s"}, JsonDuplicateKey),
    ],
)
def test_what_is_no_answer_is_refused(form: dict[str, str], error: type[IdentityError]) -> None:
    with pytest.raises(error) as refused:
        read_answer(form)
    assert type(refused.value) is error


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        "x",
        {"a": "x"},
        {"a": []},
        {"a": [""]},
        {"a": [1]},
        {"a": [{}]},
        {"a": [True]},
        {"a": [["x"]]},
        {"a": [None]},
        {"a": ["x"] * 17},
        {f"a{n}": ["x"] for n in range(17)},
    ],
)
def test_what_is_no_vp_token_is_refused(value: Any) -> None:
    with pytest.raises(VpTokenInvalid):
        parse_vp_token(value)


def test_a_presentation_is_a_string_or_an_object_whose_numbers_everybody_reads_alike() -> None:
    token = {"a": ["x"], "b": [{"type": ["VerifiablePresentation"], "n": 2**53 - 1, "f": 0.5, "t": True}]}
    assert parse_vp_token(token) == token
    for number in (2**53, -(2**53)):
        with pytest.raises(JsonNumber):
            parse_vp_token({"a": [{"deep": [{"n": number}]}]})


@settings(max_examples=100)
@given(
    st.dictionaries(st.sampled_from(["vp_token", "state", "error", "error_description", "response", "x"]), st.text())
)
def test_hostile_answers_raise_only_our_errors(form: dict[str, str]) -> None:
    try:
        response = read_answer(form)
    except IdentityError:
        return
    assert response.state == form["state"]


# Client identifier prefixes (section 5.9.3)


@pytest.fixture(scope="session")
def certified(scene: Any) -> Any:
    pem = issue_self_signed(scene.verifier_key, name="verifier.example", now_ms=scene.now_ms)
    return certificate_signer(scene.verifier_key, parse_certificate_chain(pem))


def test_a_request_is_signed_under_the_hash_of_a_certificate(scene: Any, certified: Any) -> None:
    request = scene.request(audience=certified.client_id)
    compact = build_request_object(request, certified, scene.now_ms)
    header = json.loads(decode_base64url(compact.split(".")[0]))
    assert header.keys() == {"alg", "typ", "x5c"}
    der = base64.b64decode(header["x5c"][0])
    assert certified.client_id == "x509_hash:" + encode_base64url(hashlib.sha256(der).digest())
    asked = verify_request_object(compact, client_id=certified.client_id, now_ms=scene.now_ms)
    assert (asked.client_id, asked.nonce, asked.query) == (certified.client_id, request.nonce, request.query)


def test_a_certificate_of_another_key_cannot_sign(scene: Any) -> None:
    pem = issue_self_signed(SigningKey.generate(), name="x", now_ms=scene.now_ms)
    with pytest.raises(CertificateKeyMismatch):
        certificate_signer(scene.verifier_key, parse_certificate_chain(pem))


def test_a_request_object_under_a_certificate_is_refused_where_anything_is_amiss(scene: Any, certified: Any) -> None:
    request = scene.request(audience=certified.client_id)
    payload = parse_jws(build_request_object(request, certified, scene.now_ms), brings_certificate=True).payload
    other = SigningKey.generate()
    theirs = parse_certificate_chain(issue_self_signed(other, name="x", now_ms=scene.now_ms)).x5c
    typ = {"typ": "oauth-authz-req+jwt"}
    cases: list[tuple[str, type[IdentityError]]] = [
        (sign_jws({**typ, "x5c": theirs}, payload, other), ClientIdMismatch),  # another certificate
        (sign_jws({**typ, **certified.header}, payload, other), BadSignature),  # ours, and another's signature
        (sign_jws({**typ, "x5c": []}, payload, scene.verifier_key), BadCertificate),
        (sign_jws(typ, payload, scene.verifier_key), BadCertificate),
        (sign_jws({"typ": "JWT", **certified.header}, payload, scene.verifier_key), WrongTyp),
        (sign_jws({**typ, **certified.header, "x5u": "https://x"}, payload, scene.verifier_key), KeySourceNotAllowed),
        (rebuilt(scene, header=certified.header), ClientIdMismatch),  # signed rightly, in the name of the DID
    ]
    for compact, error in cases:
        with pytest.raises(error):
            verify_request_object(compact, client_id=certified.client_id, now_ms=scene.now_ms)
    compact = build_request_object(request, certified, scene.now_ms)
    for now_ms in (scene.now_ms - 1, scene.now_ms + 11 * 365 * 86_400_000):
        with pytest.raises(CertificateNotValid):
            verify_request_object(compact, client_id=certified.client_id, now_ms=now_ms)
    # Where the client is a DID, a certificate is a key source like any other.
    with pytest.raises(KeySourceNotAllowed):
        read(scene, rebuilt(scene, header=certified.header))


def unsigned(scene: Any, **changes: Any) -> Any:
    uri = "https://verifier.example/v1/presentation-requests/r1/response"
    return scene.request(audience=f"redirect_uri:{uri}", response_uri=uri, **changes)


def test_a_request_that_nobody_signs_stands_in_its_link(scene: Any) -> None:
    request = unsigned(scene)
    link = urlsplit(unsigned_request_link(request))
    parameters = dict(parse_qsl(link.query, strict_parsing=True))
    assert link.scheme == "openid4vp"
    assert not {"request", "request_uri", "redirect_uri"} & parameters.keys()
    asked = parse_unsigned_request(parameters)
    assert (asked.client_id, asked.response_uri) == (request.audience, request.response_uri)
    assert (asked.nonce, asked.state, asked.query) == (request.nonce, request.state, request.query)
    assert (asked.encryption, asked.expires_at_ms) == (None, None)
    with pytest.raises(ClientIdMismatch):
        unsigned_request_link(scene.request())
    with pytest.raises(ClientIdMismatch):  # section 5.9.3: nothing signed may come under this prefix
        verify_request_object(rebuilt(scene), client_id=request.audience, now_ms=scene.now_ms)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_uri": "https://attacker.example/"}, ClientIdMismatch),
        ({"response_uri": ...}, ClientIdMismatch),
        ({"client_id": "decentralized_identifier:did:jwk:e30"}, ClientIdMismatch),
        ({"client_id": ...}, ClientIdMismatch),
        ({"request": "a.b.c"}, RequestObjectInvalid),
        ({"request_uri": "https://verifier.example/object"}, RequestObjectInvalid),
        ({"redirect_uri": "https://verifier.example/"}, RequestObjectInvalid),
        ({"response_mode": "fragment"}, RequestObjectInvalid),
        ({"nonce": ...}, RequestObjectInvalid),
        ({"dcql_query": "{"}, BadJson),
        ({"client_metadata": '{"a":1,"a":2}'}, JsonDuplicateKey),
        ({"dcql_query": ...}, DcqlInvalid),
    ],
)
def test_a_link_that_holds_another_request_is_refused(scene: Any, changes: Any, error: type[IdentityError]) -> None:
    parameters = {**dict(parse_qsl(urlsplit(unsigned_request_link(unsigned(scene))).query)), **changes}
    with pytest.raises(error):
        parse_unsigned_request({name: value for name, value in parameters.items() if value is not ...})


# Encrypted answers (section 8.3)

KEY = derive_decryption_key(b"s" * 32, b"r1")


def test_a_wallet_encrypts_to_the_key_of_the_request_and_by_what_both_know(scene: Any) -> None:
    request = scene.request(response_mode="direct_post.jwt")
    compact = build_request_object(request, did_signer(scene.verifier_key), scene.now_ms, encryption_key=KEY.public)
    asked = read(scene, compact)
    assert asked.encryption == ResponseEncryption(key=KEY.public, encryption="A128GCM")
    metadata = json.loads(parse_jws(compact).payload)["client_metadata"]
    assert metadata["jwks"]["keys"][0].keys() == {"kty", "crv", "x", "y", "use", "alg", "kid"}
    assert metadata["encrypted_response_enc_values_supported"] == ["A128GCM", "A256GCM"]

    def offering(**changes: Any) -> Any:
        return read(scene, rebuilt(scene, response_mode="direct_post.jwt", client_metadata={**metadata, **changes}))

    assert offering(encrypted_response_enc_values_supported=["A256GCM"]).encryption.encryption == "A256GCM"
    other = {**KEY.public.jwk, "kty": "OKP"}
    assert offering(jwks={"keys": [other, KEY.public.jwk]}).encryption.key == KEY.public
    for changes in (
        {"encrypted_response_enc_values_supported": ["A128CBC-HS256"]},
        {"encrypted_response_enc_values_supported": "A128GCM"},
        {"jwks": {"keys": []}},
        {"jwks": {"keys": [other]}},
        {"jwks": {"keys": KEY.public.jwk}},
        {"jwks": []},
    ):
        with pytest.raises(RequestObjectInvalid):
            offering(**changes)
    with pytest.raises(PrivateKeyInJwk):
        offering(jwks={"keys": [{**KEY.public.jwk, "d": "AA"}]})


def encrypted(value: Any, key: Any = KEY) -> dict[str, str]:
    return {"response": encrypt(encode_json(value), key.public, "A128GCM")}


def test_an_encrypted_answer_is_read_with_the_state_within() -> None:
    arguments: Any = {"response_mode": "direct_post.jwt", "keys": [KEY]}
    token = {"c0": ["a~b~"], "c1": [{"type": "VerifiablePresentation"}]}
    form = {**encrypted({"vp_token": token, "state": "s", "iss": "x"}), "state": "somebody else's, and not looked at"}
    assert read_answer(form, **arguments) == AuthorizationResponse(vp_token=token, state="s")
    declined = AuthorizationErrorResponse(error="access_denied", description=None, state="s")
    for form in (encrypted({"error": "access_denied", "state": "s"}), {"error": "access_denied", "state": "s"}):
        assert read_answer(form, **arguments) == declined


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"vp_token": '{"a":["b"]}', "state": "s"}, ResponseNotEncrypted),
        ({**encrypted({"vp_token": {"a": ["b"]}, "state": "s"}), "vp_token": '{"a":["b"]}'}, ResponseInvalid),
        ({**encrypted({"vp_token": {"a": ["b"]}, "state": "s"}), "error": "access_denied"}, ResponseInvalid),
        ({"state": "s"}, ResponseInvalid),
        (encrypted({"vp_token": {"a": ["b"]}}), ResponseInvalid),
        (encrypted({"vp_token": {"a": ["b"]}, "state": 1}), ResponseInvalid),
        (encrypted({"vp_token": '{"a":["b"]}', "state": "s"}), VpTokenInvalid),  # JSON within JSON
        (encrypted({"error": 1, "state": "s"}), ResponseInvalid),
        (encrypted({"error": "access_denied", "error_description": 1, "state": "s"}), ResponseInvalid),
        (encrypted(["vp_token"]), BadJson),
        (encrypted({"vp_token": {"a": ["b"]}, "state": "s"}, derive_decryption_key(b"s" * 32, b"r2")), JweKeyMismatch),
        ({"response": "eyJ.a.b.c"}, BadJwe),
    ],
)
def test_38_what_is_no_encrypted_answer_is_refused(form: dict[str, str], error: type[IdentityError]) -> None:
    with pytest.raises(error) as refused:
        read_answer(form, response_mode="direct_post.jwt", keys=[KEY])
    assert type(refused.value) is error


def test_a_wallet_that_gave_a_nonce_takes_no_object_without_it(scene: Any) -> None:
    signer = did_signer(scene.verifier_key)
    arguments: Any = {"client_id": signer.client_id, "now_ms": scene.now_ms}
    fresh = build_request_object(scene.request(), signer, scene.now_ms, wallet_nonce="w")
    verify_request_object(fresh, **arguments, wallet_nonce="w")
    for compact, nonce in ((fresh, "v"), (fresh, None), (rebuilt(scene), "w")):
        with pytest.raises(RequestObjectInvalid):
            verify_request_object(compact, **arguments, wallet_nonce=nonce)


@settings(max_examples=100)
@given(place=st.integers(0, 10_000), replacement=st.characters(codec="utf-8"))
def test_one_altered_character_of_a_request_object_is_noticed(scene: Any, place: int, replacement: str) -> None:
    compact = build_request_object(scene.request(), did_signer(scene.verifier_key), scene.now_ms)
    place %= len(compact)
    if compact[place] == replacement:
        return
    with pytest.raises(IdentityError):
        read(scene, compact[:place] + replacement + compact[place + 1 :])
