"""What is fuzzed: each parser with valid inputs to begin from, how to change them, and what must hold of the outcome.

Of whatever it is given, a parser may raise leaves of IdentityError only. What it accepts must be what the valid inputs
say: a token that nobody signed says nothing new. Where a target signs what it is given, so that the fuzzer comes past
the signatures, the rules that the standard has are asked again here, in other words than the code's own.
"""

import base64
import hashlib
import json
import re
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import Any
from urllib.parse import parse_qsl, urlencode

from cryptography.hazmat.primitives.asymmetric import ec

from identity import certificate, dcql, did, did_web, encoding, jwe, jws, keys, openid4vp, sd_jwt, status_list
from identity.did_resolver import DidResolver
from identity.errors import IdentityError
from tests.fuzz.mutations import (
    dump_json,
    mutate_base64url,
    mutate_bytes,
    mutate_json_text,
    mutate_jws,
    mutate_lines,
    mutate_sd_jwt,
)

NOW_MS = 1_790_000_000_000
NOW_S = NOW_MS // 1000
NONCE, AUDIENCE = "n-0S6_WzA2Mj", "https://verifier.example"
BINDING = sd_jwt.KeyBinding(nonce=NONCE, audience=AUDIENCE)
DIDS = DidResolver(None)
LIST_URI = "https://issuer.example/lists/1"


@dataclass(frozen=True, kw_only=True)
class Target:
    """One parser: `run` returns whether it took the input, and lets everything escape that is not an IdentityError."""

    seeds: tuple[bytes, ...]
    run: Callable[[bytes], bool]
    mutate: Callable[[bytes, Random], bytes]


def signing_key(number: int) -> keys.SigningKey:
    """The same key in every run, so that a corpus stays valid."""
    numbers = ec.derive_private_key(number, ec.SECP256R1()).private_numbers()
    point = numbers.public_numbers
    coordinates = {"x": point.x, "y": point.y, "d": numbers.private_value}
    spelt = {name: encoding.encode_base64url(value.to_bytes(32)) for name, value in coordinates.items()}
    return keys.SigningKey.from_private_jwk({"kty": "EC", "crv": "P-256", **spelt})


ISSUER, HOLDER, STRANGER = signing_key(11), signing_key(12), signing_key(13)
CERTIFIED = openid4vp.certificate_signer(
    ISSUER, certificate.parse_certificate_chain(certificate.issue_self_signed(ISSUER, name="v", now_ms=NOW_MS))
)
JWE_KEY = jwe.derive_decryption_key(b"s" * 32, b"r1")


def text_of(data: bytes) -> str:
    """Any bytes as text: what is not UTF-8 becomes lone surrogates, as it could come out of a JSON escape."""
    return data.decode("utf-8", "surrogateescape")


def taken(parse: Callable[[], Any]) -> Any:
    """What a parser makes of its input, None where it refuses."""
    try:
        return parse()
    except IdentityError:
        return None


def only_what_seeds_say(parse: Callable[[bytes], Any], seeds: tuple[bytes, ...]) -> Callable[[bytes], bool]:
    """A run for signed inputs: whatever is accepted says what one of the seeds says."""
    said = [parse(seed) for seed in seeds]

    def run(data: bytes) -> bool:
        result = taken(lambda: parse(data))
        assert result is None or result in said, f"accepted, and nobody signed it: {result!r}"
        return result is not None

    return run


# Encodings and keys


def _run_base64url(data: bytes) -> bool:
    text = text_of(data)
    decoded = taken(lambda: encoding.decode_base64url(text))
    assert decoded is None or encoding.encode_base64url(decoded) == text, "two spellings of one value"
    return decoded is not None


def _run_json(data: bytes) -> bool:
    value = taken(lambda: [encoding.parse_json(data)])
    if value is None:
        return False
    text = data.decode("utf-8")
    assert json.loads(text) == value[0]
    assert encoding.parse_json(encoding.encode_json(value[0])) == value[0]
    return True


def _run_jwk(data: bytes) -> bool:
    key = taken(lambda: keys.parse_public_jwk(encoding.parse_json(data)))
    assert key is None or keys.parse_public_jwk(key.jwk) == key
    return key is not None


def _run_did(data: bytes) -> bool:
    text = text_of(data)
    document = taken(lambda: did.resolve_did(text))
    if document is None:
        return False
    assert document.did == text
    for name, method in document.verification_methods.items():
        assert name.startswith(f"{text}#")
        assert did.resolve_verification_key(did=text, kid=name) == method.key
        # A did:key has one spelling for each key; a did:jwk as many as its JSON has.
        assert not text.startswith("did:key:") or (method.key and did.did_key(method.key) == text)
    return True


DID_WEB = "did:web:issuer.example:bank"


def _did_web_document() -> bytes:
    methods = [
        {"id": "#a", "type": "JsonWebKey", "controller": DID_WEB, "publicKeyJwk": ISSUER.public.jwk},
        {
            **{"id": f"{DID_WEB}#b", "type": "Multikey", "controller": DID_WEB, "expires": "2026-09-21T14:13:20Z"},
            "publicKeyMultibase": did.did_key(HOLDER.public).removeprefix("did:key:"),
        },
    ]
    relationships = {"assertionMethod": ["#a", f"{DID_WEB}#b"], "authentication": ["#b"], "deactivated": False}
    return dump_json({"id": DID_WEB, "verificationMethod": methods, **relationships})


def _run_did_web(data: bytes) -> bool:
    text = text_of(data)
    url = taken(lambda: did_web.did_web_url(text))
    if url is None:
        return False
    host, *path = text.split(":")[2:]
    assert url == "/".join(["https://" + host, *(path or [".well-known"]), "did.json"])
    assert re.fullmatch(r"([a-z0-9-]+\.)+[a-z][a-z0-9-]*", host)
    assert not {".", "..", ""} & set(path)
    return True


def _run_did_document(data: bytes) -> bool:
    document = taken(lambda: did_web.parse_did_document(data, did=DID_WEB))
    if document is None:
        return False
    assert json.loads(data)["id"] == DID_WEB
    assert json.loads(data).get("deactivated", False) is False
    for name in document.verification_methods:
        key = taken(partial(document.key, kid=name, relationship="assertionMethod", now_ms=NOW_MS))
        # Whatever the document says, it speaks for its own DID, and names as keys what it says are for assertions.
        assert key is None or (name.startswith(DID_WEB + "#") and json.loads(data)["assertionMethod"])
    return True


# JOSE


def _verify_jws(data: bytes) -> Any:
    parsed = jws.parse_jws(text_of(data))
    return parsed.kid, jws.verify_jws(parsed, ISSUER.public, typ="JWT")


def _run_signed_jws(data: bytes) -> bool:
    """Header and payload are the fuzzer's, the signature ours."""
    header, _, payload = data.partition(b"\n")
    token = _sign(header, payload, ISSUER)
    verified = taken(lambda: jws.verify_jws(jws.parse_jws(token), ISSUER.public, typ="JWT"))
    if verified is None:
        return False
    members = json.loads(header)
    assert members.keys() <= {"alg", "typ", "kid"}
    assert (members["alg"], members["typ"]) == ("ES256", "JWT")
    assert verified == payload
    return True


def _sign(header: bytes, payload: bytes, key: keys.SigningKey) -> str:
    signing_input = f"{encoding.encode_base64url(header)}.{encoding.encode_base64url(payload)}"
    return f"{signing_input}.{encoding.encode_base64url(key.sign(signing_input.encode()))}"


# SD-JWT VC


def _sd_jwt(*, bound: bool, **changes: Any) -> bytes:
    claims = {
        **{"iss": ISSUER.did, "vct": "urn:credence:mobile-money:1", "iat": NOW_S - 5, "exp": NOW_S + 9000},
        "cnf": {"jwk": HOLDER.public.jwk},
        "status": {"status_list": {"idx": 7, "uri": LIST_URI}},
        **{"currency": "KES", "inflow_minor": [1, 2, 3], "nested": {"a": {"b": [True, None]}}},
    } | changes
    issued = sd_jwt.issue_sd_jwt(
        claims=claims,
        disclosable=("currency", "inflow_minor"),
        key=ISSUER,
        random_bytes=lambda count: bytes(range(count)),
    )
    return (issued + (_key_binding(issued) if bound else "")).encode()


def _key_binding(presented: str) -> str:
    payload = {"iat": NOW_S, "nonce": NONCE, "aud": AUDIENCE, "sd_hash": sd_jwt.digest_of(presented)}
    return jws.sign_jws({"typ": "kb+jwt"}, encoding.encode_json(payload), HOLDER)


def _verify_sd_jwt(data: bytes, *, bound: bool = True) -> Any:
    verified = sd_jwt.verify_sd_jwt(
        text_of(data),
        issuer_key_for=lambda parsed: did.resolve_verification_key(did=parsed.issuer, kid=parsed.kid),
        now_ms=NOW_MS,
        key_binding=BINDING if bound else None,
    )
    # A P-256 signature has a second value that verifies as well, and says the same.
    return replace(verified, issuer_jwt=verified.issuer_jwt.rpartition(".")[0])


def _run_unbound_sd_jwt(data: bytes) -> bool:
    """Without key binding anybody may leave disclosures out, and nothing else."""
    whole = _verify_sd_jwt(_sd_jwt(bound=False), bound=False)
    result = taken(lambda: _verify_sd_jwt(data, bound=False))
    if result is None:
        return False
    assert set(result.disclosed) <= set(whole.disclosed)
    assert all(name in whole.claims and whole.claims[name] == value for name, value in result.claims.items())
    assert replace(result, claims={}, disclosed=()) == replace(whole, claims={}, disclosed=())
    return True


def _signed_sd_jwt_seed() -> bytes:
    """Lines of JSON: issuer header, payload, key binding header, payload, then disclosures; "@0" is a digest to be."""
    lines: tuple[Any, ...] = (
        {"alg": "ES256", "typ": "dc+sd-jwt", "kid": ISSUER.kid},
        {
            **{"iss": ISSUER.did, "vct": "urn:x", "iat": NOW_S - 5, "exp": NOW_S + 9000, "nbf": NOW_S - 9},
            **{"_sd_alg": "sha-256", "_sd": ["@0", "@1", "decoy"], "cnf": {"jwk": HOLDER.public.jwk}},
            **{"status": {"status_list": {"idx": 7, "uri": LIST_URI}}, "plain": [1, {"...": "@2"}, {"_sd": ["@3"]}]},
        },
        {"alg": "ES256", "typ": "kb+jwt"},
        {"iat": NOW_S, "nonce": NONCE, "aud": AUDIENCE, "sd_hash": "@"},
        ["salt0", "currency", "KES"],
        ["salt1", "months", [1, 2, 3]],
        ["salt2", {"element": True}],
        ["salt3", "nested", {"x": None}],
    )
    return b"\n".join(map(dump_json, lines))


def _build_signed_sd_jwt(data: bytes) -> str:
    header, payload, kb_header, kb_payload, *texts = data.split(b"\n") + [b""] * (3 - data.count(b"\n"))
    disclosures: list[str] = []
    # The last first: a disclosure may hold the digest of one after it.
    digests: dict[bytes, bytes] = {}
    for place in reversed(range(len(texts))):
        text = _put_digests(texts[place], digests)
        disclosures.insert(0, encoding.encode_base64url(text))
        digests[b'"@%d"' % place] = b'"%s"' % sd_jwt.digest_of(disclosures[0]).encode()
    presented = "~".join([_sign(header, _put_digests(payload, digests), ISSUER), *disclosures, ""])
    hashed = kb_payload.replace(b'"@"', b'"%s"' % sd_jwt.digest_of(presented).encode())
    return presented + _sign(kb_header, hashed, HOLDER)


def _put_digests(text: bytes, digests: Mapping[bytes, bytes]) -> bytes:
    for name, digest in digests.items():
        text = text.replace(name, digest)
    return text


def _run_signed_sd_jwt(data: bytes) -> bool:
    token = _build_signed_sd_jwt(data)
    result = taken(lambda: _verify_sd_jwt(token.encode("utf-8", "surrogateescape")))
    if result is None:
        return False
    issuer_jwt, *disclosures, kb_jwt = token.split("~")
    header, payload = _parts(issuer_jwt)
    kb_header, kb_payload = _parts(kb_jwt)
    assert (header["alg"], header["typ"], kb_header["alg"], kb_header["typ"]) == (
        "ES256",
        "dc+sd-jwt",
        "ES256",
        "kb+jwt",
    )
    assert not {"crit", "jwk", "jku", "x5c", "x5u", "b64"} & (header.keys() | kb_header.keys())
    assert result.issuer == payload["iss"] == ISSUER.did
    assert result.vct == payload["vct"]
    assert payload["cnf"]["jwk"]["x"] == HOLDER.public.jwk["x"]
    assert _is_number(payload["iat"])
    assert payload["iat"] <= NOW_S + 60
    assert "exp" not in payload or (_is_number(payload["exp"]) and payload["exp"] > NOW_S - 60)
    assert "nbf" not in payload or (_is_number(payload["nbf"]) and payload["nbf"] <= NOW_S + 60)
    assert (kb_payload["nonce"], kb_payload["aud"]) == (NONCE, AUDIENCE)
    assert _is_number(kb_payload["iat"])
    assert NOW_S - 300 <= kb_payload["iat"] <= NOW_S + 60
    hashed = hashlib.sha256(token[: -len(kb_jwt)].encode()).digest()
    assert kb_payload["sd_hash"] == base64.urlsafe_b64encode(hashed).decode().rstrip("=")
    assert len(set(disclosures)) == len(disclosures)
    assert not set(result.disclosed) & {"iss", "iat", "nbf", "exp", "cnf", "vct", "status", "_sd", "...", "_sd_alg"}
    unvisited: list[Any] = [result.claims]
    while unvisited:
        value = unvisited.pop()
        assert not isinstance(value, dict) or not {"_sd", "..."} & value.keys()
        unvisited += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for disclosure in disclosures:
        name, value = json.loads(base64.urlsafe_b64decode(disclosure + "=="))[-2:]
        if name in result.disclosed and not isinstance(value, list | dict):
            assert result.claims[name] == value
    return True


def _parts(compact: str) -> tuple[dict[str, Any], dict[str, Any]]:
    header, payload, _ = compact.split(".")
    return json.loads(base64.urlsafe_b64decode(header + "==")), json.loads(base64.urlsafe_b64decode(payload + "=="))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


# Status lists


def _status_list(statuses: bytes = bytes([0, 1, 2, 0] * 16), bits: int = 2) -> bytes:
    token = status_list.issue_status_list(
        uri=LIST_URI, statuses=statuses, bits=bits, key=ISSUER, now_ms=NOW_MS, ttl_s=60, expires_in_s=600
    )
    return token.encode()


def _verify_status_list(data: bytes) -> status_list.StatusList:
    return status_list.verify_status_list(text_of(data), uri=LIST_URI, issuer=ISSUER.did, dids=DIDS, now_ms=NOW_MS)


def _run_signed_status_list(data: bytes) -> bool:
    """Header and payload are the fuzzer's; "@lst" stands for a list of its third line."""
    header, payload, packed = (*data.split(b"\n", 2), b"", b"")[:3]
    compressed = base64.urlsafe_b64encode(zlib.compress(packed)).rstrip(b"=")
    token = _sign(header, payload.replace(b'"@lst"', b'"%s"' % compressed), ISSUER)
    verified = taken(lambda: _verify_status_list(token.encode()))
    if verified is None:
        return False
    members = json.loads(payload)
    assert members.get("iss", ISSUER.did) == ISSUER.did
    assert members["sub"] == LIST_URI
    assert _is_number(members["iat"])
    assert "exp" not in members or members["exp"] > NOW_S
    assert verified.bits in (1, 2, 4, 8)
    assert verified.expires_at_ms > NOW_MS
    for index in (-1, 0, 8 * len(verified.packed) // verified.bits):
        value = taken(lambda index=index: [verified.status(index)])
        assert (value is None) == (not 0 <= index < 8 * len(verified.packed) // verified.bits)
    return True


def _run_zlib(data: bytes) -> bool:
    """The compressed list itself is the fuzzer's: whatever it is, it inflates to 16 MiB at most, and in little time."""
    list_ = {"bits": 1, "lst": encoding.encode_base64url(data)}
    payload = encoding.encode_json({"sub": LIST_URI, "iat": NOW_S, "status_list": list_})
    token = _sign(dump_json({"alg": "ES256", "typ": "statuslist+jwt", "kid": ISSUER.kid}), payload, ISSUER)
    began_s = time.process_time()
    verified = taken(lambda: _verify_status_list(token.encode()))
    assert time.process_time() - began_s < 5
    assert verified is None or len(verified.packed) <= status_list.MAX_INFLATED_BYTES
    assert verified is None or zlib.decompress(data) == verified.packed
    return verified is not None


def _run_status_reference(data: bytes) -> bool:
    reference = taken(lambda: status_list.parse_status_reference(encoding.parse_json(data)))
    assert reference is None or status_list.parse_status_reference(reference.to_claim()) == reference
    return reference is not None


# OpenID4VP

QUERY = {
    "credentials": [
        {
            "id": "money",
            "format": "dc+sd-jwt",
            "meta": {"vct_values": ["urn:credence:mobile-money:1"]},
            "claims": [{"id": "a", "path": ["currency"], "values": ["KES", 1]}, {"id": "b", "path": ["inflow_minor"]}],
            "claim_sets": [["a", "b"], ["a"]],
        },
        {
            "id": "pay",
            "format": "ldp_vc",
            "meta": {"type_values": [["VerifiableCredential", "urn:x"], ["urn:y"]]},
            "claims": [{"path": ["credentialSubject", "months", None, "x"]}],
        },
        {
            "id": "rent",
            "format": "dc+sd-jwt",
            "multiple": True,
            "meta": {"vct_values": ["urn:credence:recurring-bill:1"]},
            "claims": [{"path": ["currency"]}],
        },
    ],
    "credential_sets": [{"options": [["money", "rent"], ["pay"]], "required": True}],
}


def _run_dcql(data: bytes) -> bool:
    query = taken(lambda: dcql.parse_dcql_query(encoding.parse_json(data)))
    assert query is None or dcql.parse_dcql_query(query.to_json()) == query
    return query is not None


def _run_vp_token(data: bytes) -> bool:
    vp_token = taken(lambda: openid4vp.parse_vp_token(encoding.parse_json(data)))
    assert vp_token is None or openid4vp.parse_vp_token(json.loads(json.dumps(dict(vp_token)))) == vp_token
    return vp_token is not None


def _run_authorization_response(data: bytes) -> bool:
    form = dict(parse_qsl(text_of(data), keep_blank_values=True, errors="surrogateescape"))
    response = taken(lambda: openid4vp.parse_authorization_response(openid4vp.open_authorization_response(form)))
    assert response is None or response.state == form["state"]
    return response is not None


def _request_object() -> bytes:
    payload = {
        **{"aud": openid4vp.SELF_ISSUED_AUDIENCE, "client_id": openid4vp.client_id_of(ISSUER), "dcql_query": QUERY},
        **{"response_mode": "direct_post", "response_type": "vp_token", "response_uri": "https://v.example/r"},
        **{"exp": NOW_S + 60, "nonce": NONCE, "state": "s", "purpose": "credit"},
    }
    header = {"kid": ISSUER.kid, "typ": openid4vp.REQUEST_OBJECT_TYP}
    return jws.sign_jws(header, encoding.encode_json(payload), ISSUER).encode()


def _verify_request_object(data: bytes) -> Any:
    return openid4vp.verify_request_object(text_of(data), client_id=openid4vp.client_id_of(ISSUER), now_ms=NOW_MS)


def _certified_request() -> bytes:
    payload = encoding.parse_json_object(jws.parse_jws(_request_object().decode()).payload)
    header = {**CERTIFIED.header, "typ": openid4vp.REQUEST_OBJECT_TYP}
    return jws.sign_jws(header, encoding.encode_json({**payload, "client_id": CERTIFIED.client_id}), ISSUER).encode()


def _verify_certified_request(data: bytes) -> Any:
    return openid4vp.verify_request_object(text_of(data), client_id=CERTIFIED.client_id, now_ms=NOW_MS)


def _unsigned_request() -> bytes:
    members = {
        **{"client_id": "redirect_uri:https://v.example/r", "response_uri": "https://v.example/r", "nonce": NONCE},
        **{"response_mode": "direct_post.jwt", "response_type": "vp_token", "state": "s"},
        "dcql_query": json.dumps(QUERY),
        "client_metadata": json.dumps({"jwks": {"keys": [JWE_KEY.public.jwk]}}),
    }
    return urlencode(members).encode()


def _run_unsigned_request(data: bytes) -> bool:
    members = dict(parse_qsl(text_of(data), keep_blank_values=True, errors="surrogateescape"))
    request = taken(lambda: openid4vp.parse_unsigned_request(members))
    assert request is None or request.client_id == f"redirect_uri:{request.response_uri}"
    return request is not None


def _open_encrypted_response(data: bytes) -> Any:
    return openid4vp.open_authorization_response(
        {"response": text_of(data)}, response_mode="direct_post.jwt", keys=[JWE_KEY]
    )


def _mutate_form(data: bytes, random: Random) -> bytes:
    fields = parse_qsl(text_of(data), keep_blank_values=True, errors="surrogateescape")
    if not fields or random.randrange(6) == 0:
        return mutate_bytes(data, random)
    at = random.randrange(len(fields))
    name, value = fields[at]
    match random.randrange(4):
        case 0:
            fields[at] = (random.choice(("response", "state", "vp_token", "error", "error_description", "iss")), value)
        case 1:
            del fields[at]
        case _:
            mutate = mutate_json_text if name == "vp_token" else mutate_bytes
            fields[at] = (name, text_of(mutate(value.encode("utf-8", "surrogateescape"), random)))
    return urlencode(fields, errors="surrogateescape").encode()


def _whole_token(verify: Callable[[bytes], Any], mutate: Callable[[bytes, Random], bytes], *seeds: bytes) -> Target:
    return Target(seeds=seeds, run=only_what_seeds_say(verify, seeds), mutate=mutate)


_JWS = jws.sign_jws({"typ": "JWT", "kid": "#0"}, b'{"a":1}', ISSUER).encode()
_JWT_HEADER = dump_json({"alg": "ES256", "typ": "JWT", "kid": ISSUER.kid})
_ED25519_DID = "did:key:z6MkrJVnaZkeFzdQyMZu1cgjg7k1pZZ6pvBQ7XJPt4swbTQ2"

TARGETS: dict[str, Target] = {
    "base64url": Target(seeds=(b"", b"AA", b"Zm8", b"-_-_"), run=_run_base64url, mutate=mutate_base64url),
    "json": Target(
        seeds=(dump_json(QUERY), b'[1,-2.5e3,"\\ud83d\\ude00",null]', b"{}"), run=_run_json, mutate=mutate_json_text
    ),
    "jwk": Target(
        seeds=(
            dump_json(ISSUER.public.jwk),
            dump_json({**ISSUER.public.jwk, "alg": "ES256", "use": "sig", "kid": "1"}),
            dump_json(keys.SigningKey.generate("EdDSA").public.jwk),
        ),
        run=_run_jwk,
        mutate=mutate_json_text,
    ),
    "did": Target(
        seeds=(ISSUER.did.encode(), did.did_key(ISSUER.public).encode(), _ED25519_DID.encode()),
        run=_run_did,
        mutate=mutate_bytes,
    ),
    "did-web": Target(
        seeds=(b"did:web:issuer.example", DID_WEB.encode(), b"did:web:xn--a.co.ke:x:y_z.1"),
        run=_run_did_web,
        mutate=mutate_bytes,
    ),
    "did-document": Target(seeds=(_did_web_document(),), run=_run_did_document, mutate=mutate_json_text),
    "jws": _whole_token(_verify_jws, mutate_jws, _JWS),
    "jws-signed": Target(seeds=(_JWT_HEADER + b'\n{"a":1}',), run=_run_signed_jws, mutate=mutate_lines),
    "sd-jwt": _whole_token(_verify_sd_jwt, mutate_sd_jwt, _sd_jwt(bound=True)),
    "sd-jwt-unbound": Target(seeds=(_sd_jwt(bound=False),), run=_run_unbound_sd_jwt, mutate=mutate_sd_jwt),
    "sd-jwt-signed": Target(seeds=(_signed_sd_jwt_seed(),), run=_run_signed_sd_jwt, mutate=mutate_lines),
    "token-status-list": _whole_token(
        _verify_status_list, mutate_jws, _status_list(), _status_list(bytes([0, 1] * 32), 1)
    ),
    "token-status-list-signed": Target(
        seeds=(
            b"\n".join(
                (
                    dump_json({"alg": "ES256", "typ": "statuslist+jwt", "kid": ISSUER.kid}),
                    dump_json(
                        {
                            **{"iss": ISSUER.did, "sub": LIST_URI, "iat": NOW_S - 5, "exp": NOW_S + 60, "ttl": 5},
                            "status_list": {"bits": 1, "lst": "@lst"},
                        }
                    ),
                    b"\x00\x01",
                )
            ),
        ),
        run=_run_signed_status_list,
        mutate=mutate_lines,
    ),
    "token-status-list-zlib": Target(
        seeds=(zlib.compress(bytes(64)), zlib.compress(bytes(2**21))), run=_run_zlib, mutate=mutate_bytes
    ),
    "status-reference": Target(
        seeds=(dump_json({"status_list": {"idx": 7, "uri": LIST_URI}}),),
        run=_run_status_reference,
        mutate=mutate_json_text,
    ),
    "dcql": Target(seeds=(dump_json(QUERY),), run=_run_dcql, mutate=mutate_json_text),
    "vp-token": Target(
        seeds=(
            dump_json(
                {
                    "money": [_sd_jwt(bound=True).decode()],
                    "rent": ["a", {"type": ["VerifiablePresentation"], "n": [1, -2.5, None]}],
                }
            ),
        ),
        run=_run_vp_token,
        mutate=mutate_json_text,
    ),
    "authorization-response": Target(
        seeds=(
            urlencode({"state": "s", "vp_token": '{"money":["a"]}'}).encode(),
            urlencode({"state": "s", "error": "access_denied", "error_description": "no"}).encode(),
        ),
        run=_run_authorization_response,
        mutate=_mutate_form,
    ),
    "request-object": _whole_token(_verify_request_object, mutate_jws, _request_object()),
    "request-object-x509": _whole_token(_verify_certified_request, mutate_jws, _certified_request()),
    "unsigned-request": Target(seeds=(_unsigned_request(),), run=_run_unsigned_request, mutate=_mutate_form),
    "encrypted-response": _whole_token(
        _open_encrypted_response,
        mutate_jws,
        jwe.encrypt(b'{"state":"s","error":"a"}', JWE_KEY.public, "A128GCM").encode(),
    ),
}
