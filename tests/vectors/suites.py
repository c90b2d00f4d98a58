"""Every third-party vector that is about something we read, and what becomes of it here.

A vector that its suite calls valid and that is refused has a rule, by the code of the refusal: the rules stand in
`RULES`, and the vectors themselves in the committed `refused_valid.json`.
"""

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from identity.bitstring import expand_bitstring
from identity.data_integrity import parse_proof, verify_proof
from identity.dcql import parse_dcql_query
from identity.did import resolve_did
from identity.did_resolver import DidResolver
from identity.errors import IdentityError
from identity.jws import parse_jws, verify_jws
from identity.keys import ed25519_public_key, p256_public_key, parse_public_jwk
from identity.linked_data.workers import LinkedDataWorkers
from identity.multikey import parse_multikey
from identity.status_list import verify_status_list
from tests.identity import (
    test_data_integrity,
    test_openid4vci,
    test_sd_jwt,
    test_status_list,
    test_vcdm,
)

ACCEPTED = "accepted"
EXAMPLES = "1.0/examples"


@dataclass(frozen=True, kw_only=True)
class Vector:
    """One vector: whether its suite calls it valid, and "accepted" or the code of our refusal; `rule` where refused."""

    suite: str
    id: str
    valid: bool
    outcome: str
    rule: str | None = None


#: Why a valid vector is refused, by suite and code.
RULES: dict[tuple[str, str], str] = {
    ("wycheproof JWS", "alg_not_allowed"): "RSA, HMAC and the curves P-384 and P-521 are not among the algorithms",
    ("wycheproof JWS", "bad_base64"): "HMAC, under a header with a character that base64url does not have",
    ("did:key", "bad_did"): "RSA and BLS12-381 keys, longer than any that we read, sign no credentials here",
    ("did:key", "key_not_supported"): "secp256k1, P-384, P-521 and X25519 keys sign no credentials here",
    ("SD-JWT specifications", "bad_kid"): "a key id is text; the test runs on with one that is",
    ("SD-JWT specifications", "bad_key"): "an RSA holder key; the test runs on with a P-256 key",
    ("SD-JWT specifications", "json_serialization"): "the JSON serialization of an SD-JWT has no place in OpenID4VP",
    ("Token Status List", "bad_did"): "its issuer is an https URL: nobody whom a DID names",
    ("OpenID4VP 1.0", "dcql_not_supported"): "mdoc, which the house does not verify",
    ("Data Integrity", "key_not_supported"): "P-384 is not among the curves",
    ("Data Integrity", "unsupported_suite"): "ecdsa-sd-2023 and suites before Data Integrity are not among the suites",
    ("Data Integrity", "context_not_allowed"): "a context that is not on disk is never fetched",
    ("Data Integrity", "proof_set_not_allowed"): "one proof a document: which of several counts would be our choice",
    ("Data Integrity", "proof_chain_not_allowed"): "a proof that builds on another is judged with it or not at all",
}
#: Files that hold no vector for us, and why.
NOT_RUN = (
    ("wycheproof ecdsa_secp256k1, JSON web encryption, key, crypto", "no key of these kinds, or no reader for them"),
    ("Token Status List, CBOR and CWT", "JSON Web Tokens only"),
    ("OpenID4VP and OpenID4VCI, wallet's and mdoc's examples", "what a wallet or another issuer reads"),
    ("Data Integrity, intermediate steps", "hashes and canonical forms on the way to the signed documents"),
)


def outcome_of(parse: Callable[[], object]) -> str:
    """ "accepted", or the code of the refusal."""
    try:
        parse()
    except IdentityError as refusal:
        return refusal.code
    return ACCEPTED


def run(test_data: Path) -> list[Vector]:
    """Run every vector, each suite in its own order."""
    folder = test_data / "vectors"
    suites: Iterable[Callable[[Path], Iterator[Vector]]] = (
        _signatures,
        _jws,
        _did_key,
        _sd_jwt,
        _token_status_list,
        _bitstring,
        _openid4vp,
        _openid4vci,
        _documents,
        _data_integrity,
    )
    return [vector for suite in suites for vector in suite(folder)]


def _vector(suite: str, id: str, outcome: str, *, valid: bool = True, rule: str | None = None) -> Vector:
    if valid and outcome != ACCEPTED and rule is None:
        rule = RULES.get((suite, outcome))
    return Vector(suite=suite, id=id, valid=valid, outcome=outcome, rule=rule)


def _load(file: Path) -> Any:
    return json.loads(file.read_bytes())


def _signatures(folder: Path) -> Iterator[Vector]:
    for suite, name, member, read in (
        ("wycheproof Ed25519", "ed25519_test", "pk", ed25519_public_key),
        ("wycheproof P-256", "ecdsa_secp256r1_sha256_p1363_test", "uncompressed", p256_public_key),
    ):
        for group in _load(folder / "wycheproof/testvectors_v1" / f"{name}.json")["testGroups"]:
            key = read(bytes.fromhex(group["publicKey"][member]))
            for case in group["tests"]:
                signature, message = bytes.fromhex(case["sig"]), bytes.fromhex(case["msg"])
                outcome = outcome_of(partial(key.verify, signature, message))
                yield _vector(suite, f"{name}#{case['tcId']}", outcome, valid=case["result"] == "valid")


def _jws(folder: Path) -> Iterator[Vector]:
    name = "json_web_signature_test"
    for group in _load(folder / "wycheproof/testvectors_v1" / f"{name}.json")["testGroups"]:
        jwk = {member: value for member, value in group.get("public", group["private"]).items() if member != "d"}
        for case in group["tests"]:

            def verify(jwk: Any = jwk, compact: str = case["jws"]) -> object:
                parsed = parse_jws(compact)
                return verify_jws(parsed, parse_public_jwk(jwk), typ=parsed.typ)

            yield _vector(
                "wycheproof JWS", f"{name}#{case['tcId']}", outcome_of(verify), valid=case["result"] == "valid"
            )


def _did_key(folder: Path) -> Iterator[Vector]:
    for file in sorted((folder / "did-key/test-vectors").glob("*.json")):
        vectors = _load(file)
        for number, did in enumerate(vectors.get("didDocument", vectors)):

            def resolve(did: str = did) -> object:
                return resolve_did(did).key(kid=None, relationship="assertionMethod", now_ms=0)

            yield _vector("did:key", f"{file.stem}#{number}", outcome_of(resolve))


def _sd_jwt(folder: Path) -> Iterator[Vector]:
    for name, text in _load(folder / "sd-jwt-python/_texts.json").items():
        if not name.endswith("specification.yml"):
            continue
        if "serialization_format: json" in text:
            outcome = "json_serialization"
        else:
            with tempfile.TemporaryDirectory() as empty:
                test_sd_jwt.test_specification_of_sd_jwt_python(name, Path(empty))
            # What the test asserts to be refused as it stands, before it runs on without it.
            refused = {"header_mod/": "bad_kid", "RSA": "bad_key"}
            outcome = next((code for mark, code in refused.items() if mark in name or mark in text), ACCEPTED)
        yield _vector("SD-JWT specifications", name.removesuffix("/specification.yml"), outcome)


def _token_status_list(folder: Path) -> Iterator[Vector]:
    texts = _load(folder / "token-status-list/_texts.json")
    for path in texts:
        name = Path(path).stem
        if name.startswith("status_list_encoding") and name.endswith("_json"):
            read = partial(test_status_list._unpack, test_status_list.example(name))
            yield _vector("Token Status List", name, outcome_of(read))
    token = "".join(texts["examples/status_list_jwt_raw.md"].split())
    verify = partial(
        verify_status_list,
        token,
        uri="https://example.com/statuslists/1",
        issuer="https://example.com",
        dids=DidResolver(None),
        now_ms=1_700_000_000_000,
    )
    yield _vector("Token Status List", "status_list_jwt_raw", outcome_of(verify))


def _bitstring(folder: Path) -> Iterator[Vector]:
    text = _load(folder / "bitstring-status-list/_texts.json")["rec-examples.txt"]
    for number, encoded in enumerate(sorted(set(_strings_after(text, '"encodedList": "')))):
        yield _vector("Bitstring Status List", f"encodedList#{number}", outcome_of(partial(expand_bitstring, encoded)))


def _strings_after(text: str, mark: str) -> Iterator[str]:
    for piece in text.split(mark)[1:]:
        yield piece.partition('"')[0]


def _openid4vp(folder: Path) -> Iterator[Vector]:
    for file in sorted((folder / "openid4vp-1.0" / EXAMPLES / "query_lang").glob("*.json")):
        yield _vector("OpenID4VP 1.0", f"query_lang/{file.stem}", outcome_of(partial(parse_dcql_query, _load(file))))
    for name in ("dcql_jwt_vc", "dcql_ldp_vc"):
        value = _load(folder / "openid4vp-1.0" / EXAMPLES / "request" / f"{name}.json")
        yield _vector("OpenID4VP 1.0", f"request/{name}", outcome_of(partial(parse_dcql_query, value)))
    presented = outcome_of(test_sd_jwt.test_published_presentation_of_openid4vp)
    yield _vector("OpenID4VP 1.0", "sd_jwt_vcld/01", presented)


def _openid4vci(folder: Path) -> Iterator[Vector]:
    texts = _load(folder / "openid4vci-1.0/_texts.json")
    for name, (kind, rule) in test_openid4vci.VECTORS.items():
        if name.endswith(".json"):
            text = (folder / "openid4vci-1.0" / EXAMPLES / name).read_text()
        else:
            text = texts[f"{EXAMPLES}/{name}"].partition("\n\n")[2]
        outcome = outcome_of(partial(test_openid4vci.read_example, kind, text))
        yield _vector("OpenID4VCI 1.0", name, outcome, rule=rule)


def _documents(folder: Path) -> Iterator[Vector]:
    for recorded in test_vcdm.DOCUMENTS:
        suite = "VCDM 2.0 documents" if recorded["vector"].startswith("vcdm2") else "VCDM 1.1 documents"
        document = test_vcdm.load_document(folder.parent, recorded["vector"])
        outcome = test_vcdm.outcome_of(document, recorded["layer"])
        yield _vector(suite, Path(recorded["vector"]).stem, outcome, valid=recorded["valid"], rule=recorded.get("rule"))


def _data_integrity(folder: Path) -> Iterator[Vector]:
    """At the proof layer: the issuer is an https URL under a did:key's method, which nothing above it would take."""
    workers = LinkedDataWorkers(extra_contexts=test_data_integrity.EXAMPLES_CONTEXT)
    try:
        for suite in ("vc-di-eddsa", "vc-di-ecdsa"):
            root = folder / suite / "TestVectors"
            for file in sorted(root.rglob("*.json")):
                signed = _load(file)
                if not isinstance(signed, dict) or "proof" not in signed or not _is_whole(signed):
                    continue
                verify = partial(_verify_secured, signed, workers)
                name = f"{suite}/{file.relative_to(root).with_suffix('')}"
                yield _vector("Data Integrity", name, outcome_of(verify))
    finally:
        workers.close()


def _is_whole(signed: dict[str, Any]) -> bool:
    proofs = signed["proof"] if isinstance(signed["proof"], list) else [signed["proof"]]
    return all(isinstance(proof, dict) and "proofValue" in proof for proof in proofs)


def _verify_secured(signed: dict[str, Any], workers: LinkedDataWorkers) -> bytes:
    proof = parse_proof(signed)
    key = parse_multikey(proof.verification_method.partition("#")[2])
    return verify_proof(proof, key, canonicalize=workers.canonicalize)
