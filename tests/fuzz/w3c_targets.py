"""Fuzz targets: W3C documents, credentials and presentations, and what stands in them."""

import base64
import gzip
import json
from random import Random
from typing import Any

from identity import bitstring, data_integrity, encoding, jws, multikey, vc_jwt, vcdm
from identity.errors import LinkedDataFailed
from identity.ldp_vc import verify_credential_object, verify_presentation_object
from identity.linked_data.legacy_proof import verify_legacy_proof_claims
from identity.linked_data.structure import verify_structure
from tests.fuzz.mutations import dump_json, mutate_bytes, mutate_json_text, mutate_jws, mutate_lines
from tests.fuzz.targets import (
    AUDIENCE,
    BINDING,
    DIDS,
    HOLDER,
    ISSUER,
    NONCE,
    NOW_MS,
    Target,
    _is_number,
    _sign,
    _whole_token,
    taken,
    text_of,
)

DAY_MS = 86_400_000
CLAIMS = {"currency": "KES", "inflow_minor": [1, 2, 3], "ratio": 1.5, "note": "\u20ac"}


def _document(version: str, **changes: Any) -> dict[str, Any]:
    begin, end = ("validFrom", "validUntil") if version == "2.0" else ("issuanceDate", "expirationDate")
    return {
        "@context": [vcdm.CONTEXT_V2 if version == "2.0" else vcdm.CONTEXT_V1, vcdm.CREDIT_HISTORY_CONTEXT],
        "type": ["VerifiableCredential", "MobileMoneyCredential"],
        "issuer": {"id": ISSUER.did, "name": "A network"},
        begin: vcdm.format_date_time(NOW_MS - DAY_MS),
        end: vcdm.format_date_time(NOW_MS + DAY_MS),
        "credentialStatus": bitstring.BitstringReference(
            uri="https://issuer.example/lists/2", index=7, purpose="revocation"
        ).to_entry(),
        "credentialSubject": {"id": HOLDER.did, **CLAIMS},
        **changes,
    }


def _issuer_key(credential: vcdm.W3cCredential, kid: str | None) -> Any:
    return DIDS.resolve_key(did=credential.issuer, kid=kid, relationship="assertionMethod", now_ms=NOW_MS)


def _holder_key(did: str, kid: str | None) -> Any:
    return DIDS.resolve_key(did=did, kid=kid, relationship="authentication", now_ms=NOW_MS)


# Documents


def _run_document(data: bytes) -> bool:
    """What the model's rules are is asked again of whatever was taken."""
    credential = taken(lambda: vcdm.parse_credential(encoding.parse_json_object(data)))
    if credential is None:
        return False
    document = json.loads(data)
    contexts = document["@context"] if isinstance(document["@context"], list) else [document["@context"]]
    assert contexts[0] in (vcdm.CONTEXT_V1, vcdm.CONTEXT_V2)
    assert all(isinstance(context, str) for context in contexts)
    assert "VerifiableCredential" in document["type"]
    assert ":" in credential.issuer
    assert not {"@graph", "@included", "termsOfUse"} & document.keys()
    subject = document["credentialSubject"]
    subject = subject[0] if isinstance(subject, list) else subject
    assert credential.claims == {name: value for name, value in subject.items() if name != "id"}
    for name in ("validFrom", "validUntil", "issuanceDate", "expirationDate"):
        assert name not in document or isinstance(document[name], str)
    return True


def _run_presentation(data: bytes) -> bool:
    presentation = taken(lambda: vcdm.parse_presentation(encoding.parse_json_object(data)))
    if presentation is None:
        return False
    document = json.loads(data)
    assert "VerifiablePresentation" in document["type"]
    listed = document.get("verifiableCredential", [])
    assert len(presentation.credentials) == (len(listed) if isinstance(listed, list) else 1)
    return True


def _run_date_time(data: bytes) -> bool:
    text = text_of(data)
    at_ms = taken(lambda: vcdm.parse_date_time(text))
    assert at_ms is None or vcdm.parse_date_time(vcdm.format_date_time(at_ms)) // 1000 == at_ms // 1000
    return at_ms is not None


def _run_status_entry(data: bytes) -> bool:
    entry = taken(lambda: bitstring.parse_status_entry(encoding.parse_json_object(data)))
    assert entry is None or bitstring.parse_status_entry(entry.to_entry()) == entry
    return entry is not None


def _run_bitstring(data: bytes) -> bool:
    """The compressed list is the fuzzer's: whatever it is, it inflates to 16 MiB at most."""
    bits = taken(lambda: bitstring.expand_bitstring("u" + encoding.encode_base64url(data)))
    if bits is None:
        return False
    assert bitstring.MIN_BITSTRING_BYTES <= len(bits) <= bitstring.MAX_BITSTRING_BYTES
    assert gzip.decompress(data) == bits
    assert taken(lambda: [bitstring.bit_at(bits, 8 * len(bits))]) is None
    assert taken(lambda: [bitstring.bit_at(bits, -1)]) is None
    return True


def _run_multikey(data: bytes) -> bool:
    text = text_of(data)
    key = taken(lambda: multikey.parse_multikey(text))
    # In base58 a key has one spelling; multibase has another base as well.
    assert key is None or not text.startswith("z") or multikey.encode_multikey(key) == text
    return key is not None


# JWTs


def _credential_jwt(version: str) -> bytes:
    document = _document(version)
    if version == "2.0":
        return vc_jwt.sign_credential_jwt(document, ISSUER, kid=ISSUER.kid).encode()
    payload = {"iss": ISSUER.did, "sub": HOLDER.did, "vc": document}
    return jws.sign_jws({"typ": "JWT", "kid": ISSUER.kid}, encoding.encode_json(payload), ISSUER).encode()


def _verify_credential_jwt(data: bytes) -> Any:
    return vc_jwt.verify_credential_jwt(text_of(data), issuer_key_for=_issuer_key, now_ms=NOW_MS)


def _run_signed_credential_jwt(data: bytes) -> bool:
    """Header and payload are the fuzzer's, the signature ours."""
    header, _, payload = data.partition(b"\n")
    verified = taken(lambda: _verify_credential_jwt(_sign(header, payload, ISSUER).encode()))
    if verified is None:
        return False
    head, claims = json.loads(header), json.loads(payload)
    assert head["typ"] in ("JWT", "vc+jwt")
    assert not {"crit", "jwk", "jku", "x5c", "b64"} & head.keys()
    assert ("vc" in claims) == (head["typ"] == "JWT") == (verified.credential.version == "1.1")
    assert verified.credential.issuer == ISSUER.did
    assert claims.get("iss", ISSUER.did) == ISSUER.did
    assert "aud" not in claims
    for name, holds in (("exp", lambda at: at > NOW_MS / 1000 - 60), ("nbf", lambda at: at <= NOW_MS / 1000 + 60)):
        assert name not in claims or (_is_number(claims[name]) and holds(claims[name]))
    assert verified.expires_at_ms is None or verified.expires_at_ms > NOW_MS - 60_000
    return True


def _presentation_jwt() -> bytes:
    signed = vc_jwt.sign_presentation_jwt(
        _credential_jwt("2.0").decode(),
        HOLDER,
        holder=HOLDER.did,
        kid=HOLDER.kid,
        key_binding=BINDING,
        now_ms=NOW_MS,
    )
    return signed.encode()


def _verify_presentation_jwt(data: bytes) -> Any:
    return vc_jwt.verify_presentation_jwt(
        vc_jwt.parse_presentation_jwt(text_of(data)),
        issuer_key_for=_issuer_key,
        holder_key_for=_holder_key,
        key_binding=BINDING,
        now_ms=NOW_MS,
    )


# Data Integrity, in the suites that need no RDF


class _NoLinkedData:
    """Stands where the worker processes do: what needs them is refused."""

    def canonicalize(self, _document: encoding.JsonObject) -> bytes:
        raise LinkedDataFailed

    def verify_legacy_proof(self, *_arguments: object, **_named: object) -> None:
        raise LinkedDataFailed


def _secured(document: dict[str, Any], key: Any, purpose: Any, **members: Any) -> dict[str, Any]:
    return data_integrity.add_proof(
        document,
        key,
        cryptosuite="ecdsa-jcs-2019",
        verification_method=key.kid,
        purpose=purpose,
        created=vcdm.format_date_time(NOW_MS),
        canonicalize=_NoLinkedData().canonicalize,
        members=members,
    )


def _secured_presentation() -> bytes:
    presentation = {
        "@context": [vcdm.CONTEXT_V2],
        "type": ["VerifiablePresentation"],
        "holder": HOLDER.did,
        "verifiableCredential": [_secured(_document("2.0"), ISSUER, "assertionMethod")],
    }
    return dump_json(_secured(presentation, HOLDER, "authentication", challenge=NONCE, domain=AUDIENCE))


def _verify_credential_object(data: bytes) -> Any:
    linked_data: Any = _NoLinkedData()
    return verify_credential_object(
        encoding.parse_json_object(data), issuer_key_for=_issuer_key, linked_data=linked_data, now_ms=NOW_MS
    )


def _verify_presentation_object(data: bytes) -> Any:
    linked_data: Any = _NoLinkedData()
    return verify_presentation_object(
        encoding.parse_json_object(data),
        issuer_key_for=_issuer_key,
        holder_key_for=_holder_key,
        linked_data=linked_data,
        key_binding=BINDING,
        now_ms=NOW_MS,
    )


def _run_signed_proof(data: bytes) -> bool:
    """Options and document are the fuzzer's, the signature over them ours."""
    options, _, text = data.partition(b"\n")
    values = taken(lambda: (encoding.parse_json_object(options), encoding.parse_json_object(text)))
    hashed = values and taken(lambda: b"".join(data_integrity.canonical_json(value) for value in values))
    if hashed is None:
        return False
    try:
        signed = data_integrity._hash(values[1], values[0], "ecdsa-jcs-2019", _NoLinkedData().canonicalize)
    except (ValueError, LinkedDataFailed):
        return False
    value = "z" + multikey.encode_base58(ISSUER.sign(signed))
    secured = {**values[1], "proof": {**values[0], "proofValue": value}}
    verified = taken(lambda: _verify_credential_object(dump_json(secured)))
    if verified is None:
        return False
    proof = secured["proof"]
    assert (proof["type"], proof["cryptosuite"]) == ("DataIntegrityProof", "ecdsa-jcs-2019")
    assert proof["proofPurpose"] == "assertionMethod"
    assert proof["verificationMethod"].partition("#")[0] == ISSUER.did
    assert not {"challenge", "domain", "previousProof"} & proof.keys()
    assert verified.credential.issuer == ISSUER.did
    return True


# JSON-LD before any RDF


def _run_structure(data: bytes) -> bool:
    document = taken(lambda: encoding.parse_json_object(data))
    if (
        document is None
        or taken(
            lambda: [verify_structure(document, contexts=vcdm.ALLOWED_CONTEXTS | {vcdm.CONTEXT_V1, vcdm.CONTEXT_V2})]
        )
        is None
    ):
        return False
    unvisited: list[Any] = [document]
    while unvisited:
        value = unvisited.pop()
        if isinstance(value, dict):
            assert not [name for name in value if name.startswith("@") and name != "@context"]
            assert all(isinstance(each, str) for each in _listed(value.get("@context", [])))
            unvisited += value.values()
        elif isinstance(value, list):
            unvisited += value
        else:
            assert value is not None
    return True


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _run_legacy_proof(data: bytes) -> bool:
    def verify() -> object:
        document = encoding.parse_json_object(data)
        return verify_legacy_proof_claims(document, kind="presentation", challenge=NONCE, domain=AUDIENCE)

    options = taken(verify)
    if options is None:
        return False
    proof = json.loads(data)["proof"]
    assert (proof["challenge"], proof["domain"], proof["proofPurpose"]) == (NONCE, AUDIENCE, "authentication")
    assert proof["verificationMethod"].partition("#")[0] == json.loads(data)["holder"]
    return True


def _legacy_presentation() -> bytes:
    header = base64.urlsafe_b64encode(dump_json({"alg": "ES256", "b64": False, "crit": ["b64"]})).rstrip(b"=").decode()
    proof = {
        "type": "JsonWebSignature2020",
        "created": "2026-09-21T00:00:00Z",
        "verificationMethod": HOLDER.kid,
        "proofPurpose": "authentication",
        "challenge": NONCE,
        "domain": AUDIENCE,
        "jws": f"{header}..{encoding.encode_base64url(HOLDER.sign(b'x'))}",
    }
    document = {"@context": [vcdm.CONTEXT_V1], "type": ["VerifiablePresentation"], "holder": HOLDER.did, "proof": proof}
    return dump_json(document)


def _mutate_multibase(data: bytes, random: Random) -> bytes:
    return data[:1] + mutate_bytes(data[1:], random) if random.randrange(4) else mutate_bytes(data, random)


_OPTIONS = {
    "type": "DataIntegrityProof",
    "cryptosuite": "ecdsa-jcs-2019",
    "created": vcdm.format_date_time(NOW_MS),
    "verificationMethod": ISSUER.kid,
    "proofPurpose": "assertionMethod",
    "@context": _document("2.0")["@context"],
}
_JWT_1_1_HEADER = dump_json({"alg": "ES256", "typ": "JWT", "kid": ISSUER.kid})
_JWT_2_0_HEADER = dump_json({"alg": "ES256", "typ": "vc+jwt", "cty": "vc", "kid": ISSUER.kid})
_JWT_1_1_CLAIMS = {"iss": ISSUER.did, "sub": HOLDER.did, "nbf": NOW_MS // 1000 - 9, "exp": NOW_MS // 1000 + 900}
_BARE_1_1 = {name: value for name, value in _document("1.1").items() if not name.endswith("Date")}

W3C_TARGETS: dict[str, Target] = {
    "credential-document": Target(
        seeds=(dump_json(_document("2.0")), dump_json(_document("1.1"))), run=_run_document, mutate=mutate_json_text
    ),
    "presentation-document": Target(
        seeds=(_secured_presentation(), _legacy_presentation()), run=_run_presentation, mutate=mutate_json_text
    ),
    "date-time": Target(
        seeds=(b"2026-09-21T14:13:20Z", b"2026-09-21T14:13:20.123+02:00"), run=_run_date_time, mutate=mutate_bytes
    ),
    "status-entry": Target(
        seeds=(dump_json(_document("2.0")["credentialStatus"]),), run=_run_status_entry, mutate=mutate_json_text
    ),
    "bitstring": Target(seeds=(gzip.compress(bytes(16_384), mtime=0),), run=_run_bitstring, mutate=mutate_bytes),
    "multikey": Target(
        seeds=(multikey.encode_multikey(ISSUER.public).encode(),), run=_run_multikey, mutate=_mutate_multibase
    ),
    "credential-jwt": _whole_token(_verify_credential_jwt, mutate_jws, _credential_jwt("2.0"), _credential_jwt("1.1")),
    "credential-jwt-signed": Target(
        seeds=(
            _JWT_2_0_HEADER + b"\n" + dump_json(_document("2.0")),
            _JWT_1_1_HEADER + b"\n" + dump_json({**_JWT_1_1_CLAIMS, "vc": _BARE_1_1}),
        ),
        run=_run_signed_credential_jwt,
        mutate=mutate_lines,
    ),
    "presentation-jwt": _whole_token(_verify_presentation_jwt, mutate_jws, _presentation_jwt()),
    "data-integrity": _whole_token(
        _verify_credential_object,
        mutate_json_text,
        dump_json(_secured(_document("2.0"), ISSUER, "assertionMethod")),
        dump_json(_secured(_document("1.1"), ISSUER, "assertionMethod")),
    ),
    "data-integrity-signed": Target(
        seeds=(dump_json(_OPTIONS) + b"\n" + dump_json(_document("2.0")),), run=_run_signed_proof, mutate=mutate_lines
    ),
    "data-integrity-presentation": _whole_token(_verify_presentation_object, mutate_json_text, _secured_presentation()),
    "linked-data-structure": Target(
        seeds=(dump_json(_document("2.0", credentialSubject={"id": HOLDER.did, "currency": "KES"})),),
        run=_run_structure,
        mutate=mutate_json_text,
    ),
    "legacy-proof": Target(seeds=(_legacy_presentation(),), run=_run_legacy_proof, mutate=mutate_json_text),
}
