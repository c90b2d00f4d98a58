"""W3C credentials: as VCDM 1.1 JWTs, and with the JCS suites of Data Integrity."""

import base64
import hashlib
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from random import Random
from typing import Any

import rfc8785

from identity.multikey import decode_base58, encode_base58
from identity.vcdm import CONTEXT_V1, CONTEXT_V2, CREDIT_HISTORY_CONTEXT
from tests.differential.corpus import NOW_S, Case
from tests.differential.sd_jwt_cases import NAMES, changed_byte, der, high_s, nested, some_value, trailing_bits
from tests.differential.signing import Key, dump, ed25519, p256, sign_compact, spell
from tests.fuzz.mutations import mutate_json, mutate_json_text, mutate_jws

P256, ED25519, STRANGER = p256(31), ed25519(32), p256(33)
HOLDER = p256(34).did_jwk
DAY_S = 86_400


def date(at_s: float, form: str = "%Y-%m-%dT%H:%M:%SZ") -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime(form)


@dataclass
class Parts:
    """A document and what secures it: the claims and header of a JWT, or the options of a proof."""

    format: str
    document: dict[str, Any]
    key: Key
    #: Of a JWT.
    header: Any = None
    payload: Any = None
    #: Of a proof.
    proof: Any = None
    grafted: bool = False
    #: After it was signed.
    after: list[Callable[[Any], Any]] = field(default_factory=list)

    @property
    def is_2_0(self) -> bool:
        return "validFrom" in self.document

    def build(self) -> Any:
        if self.format == "jwt_vc_json":
            payload = self.payload
            if isinstance(payload, dict):
                payload = {**payload, "vc": payload.get("vc", self.document)}
                if payload["vc"] is ...:
                    del payload["vc"]
            presented: Any = sign_compact(self.header, payload, self.key)
        else:
            options = {**self.proof, "@context": self.document.get("@context")} if self.grafted else self.proof
            try:
                hashed = b"".join(hashlib.sha256(rfc8785.dumps(each)).digest() for each in (options, self.document))
            except rfc8785.CanonicalizationError:
                hashed = bytes(64)
            value = "z" + encode_base58(self.key.sign(hashed))
            presented = {**self.document, "proof": {**self.proof, "proofValue": value}}
        for change in self.after:
            presented = change(presented)
        return presented


def whole_parts(format: str, random: Random) -> Parts:
    key = random.choice((P256, ED25519))
    is_2_0 = format == "ldp_vc" and random.randrange(2) == 1
    begin, end = ("validFrom", "validUntil") if is_2_0 else ("issuanceDate", "expirationDate")
    contexts = [CONTEXT_V2 if is_2_0 else CONTEXT_V1, CREDIT_HISTORY_CONTEXT]
    document: dict[str, Any] = {
        "@context": contexts,
        "type": ["VerifiableCredential", "MobileMoneyCredential"],
        "issuer": key.did_jwk,
        begin: date(NOW_S - random.randrange(1, 400) * DAY_S),
        end: date(NOW_S + random.randrange(1, 400) * DAY_S),
        "credentialSubject": {
            "id": HOLDER,
            **{name: some_value(random) for name in random.sample(NAMES, random.randrange(1, 6))},
        },
    }
    parts = Parts(format=format, document=document, key=key)
    if format == "jwt_vc_json":
        parts.header = {"alg": key.alg, "typ": "JWT", "kid": f"{key.did_jwk}#0"}
        parts.payload = {"iss": key.did_jwk, "sub": HOLDER}
    else:
        parts.proof = {
            "type": "DataIntegrityProof",
            "cryptosuite": "ecdsa-jcs-2019" if key is P256 else "eddsa-jcs-2022",
            "created": date(NOW_S - random.randrange(1000)),
            "verificationMethod": f"{key.did_jwk}#0",
            "proofPurpose": "assertionMethod",
            "@context": contexts,
        }
    return parts


Change = Callable[[Parts, Random], None]


def nothing(_parts: Parts, _random: Random) -> None:
    return


def member(name: str, *values: Any) -> Change:
    """Put one of some values into the document, or take the member away (...)."""

    def change(parts: Parts, random: Random) -> None:
        put(parts.document, name, deepcopy(random.choice(values)))
        if name == "@context" and parts.proof and "@context" in parts.proof:
            put(parts.proof, name, deepcopy(parts.document.get(name, ...)))

    return change


def put(target: dict[str, Any], name: str, value: Any) -> None:
    if value is ...:
        target.pop(name, None)
    else:
        target[name] = value


def begin(*values: Any) -> Change:
    return lambda parts, random: member("validFrom" if parts.is_2_0 else "issuanceDate", *values)(parts, random)


def end(*values: Any) -> Change:
    return lambda parts, random: member("validUntil" if parts.is_2_0 else "expirationDate", *values)(parts, random)


def subject(name: str, *values: Any) -> Change:
    return lambda parts, random: put(parts.document["credentialSubject"], name, random.choice(values))


def header(name: str, *values: Any) -> Change:
    return lambda parts, random: put(parts.header, name, random.choice(values))


def claim(name: str, *values: Any) -> Change:
    return lambda parts, random: put(parts.payload, name, random.choice(values))


def proof(name: str, *values: Any) -> Change:
    return lambda parts, random: put(parts.proof, name, random.choice(values))


def after(function: Callable[[Any, Random], Any]) -> Change:
    """Change what was signed."""
    return lambda parts, random: parts.after.append(lambda presented: function(presented, random))


def signature(function: Callable[[str, Random], str]) -> Change:
    """Change the signature of a JWT."""
    return after(lambda compact, random: ".".join((*compact.split(".")[:2], function(compact.split(".")[2], random))))


def proof_value(function: Callable[[str, Random], Any]) -> Change:
    """Change the value of a proof."""

    def change(secured: dict[str, Any], random: Random) -> dict[str, Any]:
        value = function(secured["proof"]["proofValue"], random)
        return {**secured, "proof": {**secured["proof"], "proofValue": value}}

    return after(change)


def shuffled(parts: Parts, random: Random) -> None:
    for name in ("document", "header", "payload", "proof"):
        members = list((getattr(parts, name) or {}).items())
        random.shuffle(members)
        if members:
            setattr(parts, name, dict(members))


def issuer_object(parts: Parts, random: Random) -> None:
    parts.document["issuer"] = {"id": parts.document["issuer"], "name": random.choice(("A network", "é"))}


def subject_in_a_list(parts: Parts, _random: Random) -> None:
    parts.document["credentialSubject"] = [parts.document["credentialSubject"]]


def did_key_issuer(parts: Parts, _random: Random) -> None:
    did = parts.key.did_key
    parts.document["issuer"] = did
    method = f"{did}#{did.removeprefix('did:key:')}"
    if parts.header:
        parts.header["kid"], parts.payload["iss"] = method, did
    else:
        parts.proof["verificationMethod"] = method


def signed_by_a_stranger(parts: Parts, _random: Random) -> None:
    parts.key = STRANGER if parts.key is P256 else ed25519(99)


def another_issuer(parts: Parts, random: Random) -> None:
    """The document names another issuer than whoever signed it."""
    parts.document["issuer"] = random.choice((STRANGER.did_jwk, STRANGER.did_key, "https://issuer.example"))


def registered_claims_alone(parts: Parts, _random: Random) -> None:
    """VCDM 1.1 section 6.3.1: what the JWT says need not stand in the document as well."""
    parts.payload |= {"nbf": NOW_S - 50, "exp": NOW_S + 5000, "jti": "urn:uuid:7"}
    for name in ("issuanceDate", "expirationDate", "issuer"):
        del parts.document[name]


def both(first: Change, second: Change) -> Change:
    def change(parts: Parts, random: Random) -> None:
        first(parts, random)
        second(parts, random)

    return change


def anonymous(parts: Parts, _random: Random) -> None:
    del parts.document["credentialSubject"]["id"]
    if parts.payload:
        del parts.payload["sub"]


def grafted_context(parts: Parts, _random: Random) -> None:
    """The proof is signed with the document's contexts in it, and shown without them."""
    del parts.proof["@context"]
    parts.grafted = True


def tampered(secured: dict[str, Any], random: Random) -> dict[str, Any]:
    changed = mutate_json({name: value for name, value in secured.items() if name != "proof"}, random)
    return {**changed, "proof": secured["proof"]} if isinstance(changed, dict) else secured | {"id": "urn:x"}


def tampered_proof(secured: dict[str, Any], random: Random) -> dict[str, Any]:
    return {**secured, "proof": mutate_json(secured["proof"], random)}


def any_document(parts: Parts, random: Random) -> None:
    changed = mutate_json(parts.document, random)
    parts.document = changed if isinstance(changed, dict) else parts.document
    if parts.proof:
        put(parts.proof, "@context", parts.document.get("@context", ...))


def any_proof(parts: Parts, random: Random) -> None:
    parts.proof = mutate_json(parts.proof, random)


def any_header(parts: Parts, random: Random) -> None:
    parts.header = mutate_json_text(dump(parts.header), random)


def any_payload(parts: Parts, random: Random) -> None:
    parts.payload = mutate_json_text(dump({**parts.payload, "vc": parts.document}), random)


def raw_payload(*spellings: bytes) -> Change:
    """Spell a place of the claims as no encoder would, before they are signed."""

    def change(parts: Parts, random: Random) -> None:
        text = dump({**parts.payload, "vc": parts.document})
        parts.payload = text.replace(b'"type":', random.choice(spellings) + b'"type":', 1)

    return change


def base58_of(change: Callable[[str, Random], str]) -> Callable[[str, Random], str]:
    """A change of a JWS signature, for a proof's value."""

    def apply(value: str, random: Random) -> str:
        part = change(spell(decode_base58(value[1:], max_chars=140)), random)
        return "z" + encode_base58(base64.urlsafe_b64decode(part + "=="))

    return apply


def for_p256(change: Change) -> Change:
    """What only a signature by P-256 can have done to it."""
    return lambda parts, random: change(parts, random) if parts.key is P256 else None


DOCUMENT_VALID: dict[str, Change] = {
    "nothing": nothing,
    "members reordered": shuffled,
    "no end": end(...),
    "other times": begin(date(NOW_S - 5), date(NOW_S + 30), date(0), date(NOW_S - 7200, "%Y-%m-%dT%H:%M:%S+02:00")),
    "within the skew": end(date(NOW_S - 30)),
    "fractions of seconds": begin(
        date(NOW_S - 500, "%Y-%m-%dT%H:%M:%S.25Z"), date(NOW_S - 500, "%Y-%m-%dT%H:%M:%S.123456Z")
    ),
    "an id": member("id", "urn:uuid:0c2b", "https://issuer.example/1", "did:example:1"),
    "issuer is an object": issuer_object,
    "issuer is a did:key": did_key_issuer,
    "subject in a list": subject_in_a_list,
    "subject without an id": anonymous,
    "other numbers": subject("ratio", 1.0, -0.0, 1e21, 1e-7, 123456.789, 2**53 - 1),
    "other texts": subject("names", "\u20ac\u0000", "\U0001f600", "\u2028", ['"', "\\", "/"]),
    "evidence": member("evidence", {"type": "DocumentVerification"}, [{"type": ["A", "B"], "id": "urn:e"}]),
    "a schema": member("credentialSchema", {"id": "https://issuer.example/s", "type": "JsonSchema"}),
    "one context": member("@context", [CONTEXT_V1]),
    "more types": member("type", ["VerifiableCredential"], ["VerifiableCredential", "urn:x", "https://a.example/b"]),
}
DOCUMENT_BROKEN: dict[str, Change] = {
    "expired": end(date(NOW_S - 61), date(NOW_S - DAY_S)),
    "not yet valid": begin(date(NOW_S + 61), date(NOW_S + DAY_S)),
    "a date without a zone": begin(date(NOW_S - DAY_S, "%Y-%m-%dT%H:%M:%S")),
    "a date without a time": begin(date(NOW_S - DAY_S, "%Y-%m-%d")),
    "an end without a zone": end(date(NOW_S + DAY_S, "%Y-%m-%dT%H:%M:%S"), date(NOW_S + DAY_S, "%Y-%m-%d")),
    "a date in another form": begin(
        "yesterday", "2020-02-30T00:00:00Z", "2020-01-01 00:00:00Z", "20200101T000000Z", " "
    ),
    "a date that is no text": begin(1, None, True, [date(NOW_S - 50)], {}),
    "an end that is no text": end(NOW_S + 50, None, True, [date(NOW_S + 50)], ""),
    "end before begin": both(begin(date(NOW_S - 10)), end(date(NOW_S - 20))),
    "no begin": begin(...),
    "no issuer": member("issuer", ...),
    "issuer is no name": member("issuer", "", 1, None, [], {}, "issuer", {"id": 1}),
    "another issuer": another_issuer,
    "no context": member("@context", ..., [], None, ""),
    "another context first": member("@context", ["https://example.com/v1", CONTEXT_V1], [CREDIT_HISTORY_CONTEXT]),
    "a context inline": member("@context", [CONTEXT_V1, {"@vocab": "urn:x#"}], [CONTEXT_V2, {"a": "urn:b"}]),
    "a context that is unknown": member("@context", [CONTEXT_V1, "https://evil.example/c"]),
    "no type": member("type", ..., [], None, "", 1, {}),
    "not the credential's type": member(
        "type", ["MobileMoneyCredential"], "MobileMoneyCredential", ["VerifiablePresentation"]
    ),
    "a type twice": member("type", ["VerifiableCredential", "A", "A"]),
    "no subject": member("credentialSubject", ..., None, [], {}, "x", 1),
    "two subjects": member("credentialSubject", [{"id": "urn:a", "x": 1}, {"id": "urn:b", "x": 2}]),
    "subject's id is no URL": subject("id", "me", 1, None, ""),
    "id is no URL": member("id", "me", 1, None, ["urn:a"]),
    "another status": member("credentialStatus", {"type": "StatusList2021Entry"}, {"id": "urn:a"}, "x", []),
    "terms of use": member("termsOfUse", {"type": "NoScoring"}),
    "an unknown member": member("conditions", "none", {"forbidden": True}),
    "evidence without a type": member("evidence", {"id": "urn:e"}, "x", []),
    "nested deeply": subject("deep", *(nested(depth) for depth in (33, 64, 101))),
    "a number that no double holds": subject("ratio", 2**53 + 1, 10**21),
    "any document": any_document,
    "signed by a stranger": signed_by_a_stranger,
}
JWT_VALID: dict[str, Change] = {
    "claims that the document has": both(claim("jti", "urn:uuid:1"), member("id", "urn:uuid:1")),
    "claims instead of members": registered_claims_alone,
    "issued then": claim("iat", NOW_S - 100, NOW_S - 0.5),
    "no kid": header("kid", ...),
    "relative kid": header("kid", "#0"),
    "a content type": header("cty", "vc"),
    "other s": for_p256(signature(high_s)),
}
JWT_BROKEN: dict[str, Change] = {
    "type of another token": header("typ", "kb+jwt", "dc+sd-jwt", "at+jwt", "vc+jwt", "vp+jwt", "", None, 1, ...),
    "alg of another": header("alg", "none", "HS256", "ES384", "RS256", "ES256K", None, 1, ...),
    "critical extension": header("crit", ["exp"], []),
    "b64 is false": header("b64", False),
    "header brings a key": header("jwk", STRANGER.jwk),
    "unknown header": header("foo", 1),
    "another content type": header("cty", "vp", "JWT", 1),
    "kid of another issuer": header("kid", f"{STRANGER.did_jwk}#0"),
    "kid names no key": header("kid", "0", "", "../../x", None, 1),
    "claim names another issuer": claim("iss", STRANGER.did_jwk, "", None, 1),
    "claim names no issuer": claim("iss", ...),
    "claim names another subject": claim("sub", "did:example:other", "", None, 1),
    "claim names another credential": both(member("id", "urn:uuid:1"), claim("jti", "urn:uuid:2", 1)),
    "expired by the claim": claim("exp", NOW_S - 61, 0),
    "not yet valid by the claim": claim("nbf", NOW_S + 61),
    "issued in the future": claim("iat", NOW_S + 61),
    "a time is no number": lambda parts, random: claim(
        random.choice(("exp", "nbf", "iat")), str(NOW_S), True, None, []
    )(parts, random),
    "a time is out of range": claim("exp", 1e300, 253_402_300_800, 10**19),
    "claim's times are others": claim("exp", NOW_S + 777),
    "restricted to an audience": claim("aud", "https://other.example", [], None),
    "an unknown claim": claim("scope", "x"),
    "a presentation too": claim("vp", {}),
    "no document": claim("vc", ..., None, [], "x"),
    "a proof inside": member("proof", {"type": "x"}),
    "marks of an SD-JWT": claim("_sd_alg", "sha-256"),
    "a name twice": raw_payload(b'"type":[],', b'"issuer":"x","issuer":"y",'),
    "a number is not finite": raw_payload(b'"n":NaN,', b'"n":1e400,', b'"n":' + b"9" * 30 + b","),
    "a lone surrogate": raw_payload(b'"n":"\\ud800",'),
    "signature in DER": for_p256(signature(der)),
    "signature of another length": signature(lambda part, random: part[: random.choice((0, 4, 80))]),
    "signature is zero": signature(lambda _part, _random: spell(bytes(64))),
    "base64 is padded": signature(lambda part, _random: part + "=="),
    "base64 has trailing bits": signature(trailing_bits),
    "a changed byte": after(changed_byte),
    "a changed part": after(lambda compact, random: mutate_jws(compact.encode(), random).decode("utf-8", "replace")),
    "any header": any_header,
    "any payload": any_payload,
}
PROOF_VALID: dict[str, Change] = {
    "no creation": proof("created", ...),
    "expires later": proof("expires", date(NOW_S + 500)),
    "an id of the proof": proof("id", "urn:uuid:2"),
    "a nonce": proof("nonce", "x"),
    "other s": for_p256(proof_value(base58_of(high_s))),
    "context is one text": member("@context", CONTEXT_V1),
}
PROOF_BROKEN: dict[str, Change] = {
    "for another purpose": proof("proofPurpose", "authentication", "", None, 1, ["assertionMethod"], ...),
    "made in the future": proof("created", date(NOW_S + 61), date(NOW_S + DAY_S)),
    "made at no time": proof("created", "yesterday", 1, None, date(NOW_S - 50, "%Y-%m-%d")),
    "proof expired": proof("expires", date(NOW_S - 61)),
    "proof expires at no time": proof("expires", "tomorrow", 1, None, ""),
    "for a request": proof("challenge", "x", 1),
    "for a domain": proof("domain", "https://other.example", ["https://other.example"]),
    "of another type": proof("type", "Ed25519Signature2020", "", None, ...),
    "of another suite": proof("cryptosuite", "eddsa-rdfc-2022", "ecdsa-rdfc-2019", "bbs-2023", "", None, 1, ...),
    "suite of another key": lambda parts, _random: put(
        parts.proof, "cryptosuite", "eddsa-jcs-2022" if parts.key is P256 else "ecdsa-jcs-2019"
    ),
    "method of another issuer": proof("verificationMethod", f"{STRANGER.did_jwk}#0"),
    "method names no key": lambda parts, random: proof(
        "verificationMethod", parts.key.did_jwk, f"{parts.key.did_jwk}#1", "#0", "", None, 1, {"id": "x"}, ...
    )(parts, random),
    "an unknown member of the proof": proof("conditions", "none"),
    "builds on another proof": proof("previousProof", "urn:uuid:1", []),
    "proof without a context": proof("@context", ...),
    "proof with another context": proof("@context", [CONTEXT_V2], "x", None, []),
    "context grafted at signing": grafted_context,
    "no proof": after(lambda secured, _random: {name: secured[name] for name in secured if name != "proof"}),
    "proof is no object": after(lambda secured, random: {**secured, "proof": random.choice((None, "x", 1, []))}),
    "a list of one proof": after(lambda secured, _random: {**secured, "proof": [secured["proof"]]}),
    "two proofs": after(lambda secured, _random: {**secured, "proof": [secured["proof"]] * 2}),
    "value in base64": proof_value(lambda value, _random: "u" + spell(decode_base58(value[1:], max_chars=140))),
    "value in DER": for_p256(proof_value(base58_of(der))),
    "value of another length": proof_value(lambda value, random: value[: random.choice((0, 1, 30, 80))]),
    "value with more": proof_value(lambda value, random: value + random.choice(("1", "z", " ", "0", "\u00e9"))),
    "value is no text": proof_value(lambda _value, random: random.choice((None, 1, [], {}))),
    "tampered": after(tampered),
    "tampered proof": after(tampered_proof),
    "any proof": any_proof,
}


def w3c_case(format: str, random: Random) -> Case:
    parts = whole_parts(format, random)
    own = (JWT_VALID, JWT_BROKEN) if format == "jwt_vc_json" else (PROOF_VALID, PROOF_BROKEN)
    valid, broken = DOCUMENT_VALID | own[0], DOCUMENT_BROKEN | own[1]
    changes = valid if random.random() < 0.42 else broken
    mutation = random.choice(list(changes))
    changes[mutation](parts, random)
    return Case(format=format, mutation=mutation, presented=parts.build())


vc_jwt_case = partial(w3c_case, "jwt_vc_json")
data_integrity_case = partial(w3c_case, "ldp_vc")
