"""SD-JWT VCs with key binding: the parts that one is made of, and what is done to them."""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from tests.differential.corpus import AUDIENCE, NONCE, NOW_S, Case
from tests.differential.signing import Key, dump, ed25519, p256, sign_compact, spell
from tests.fuzz.mutations import mutate_bytes, mutate_json, mutate_json_text, mutate_sd_jwt

ISSUER, HOLDER, STRANGER = p256(21), p256(22), p256(23)
ED_ISSUER, ED_HOLDER = ed25519(24), ed25519(25)
NAMES = ("currency", "inflow_minor", "months_active", "region", "ratio", "flags", "names", "ünïcode")


def digest(text: str) -> str:
    return spell(hashlib.sha256(text.encode()).digest())


@dataclass
class Parts:
    """What an SD-JWT VC is made of, each of which a change may replace, before or after the signatures."""

    header: Any
    payload: Any
    disclosures: list[Any]
    kb_header: Any
    kb_payload: Any
    issuer: Key = ISSUER
    holder: Key = HOLDER
    #: Disclosures that the issuer signed digests of and the holder does not show.
    hidden: list[Any] = field(default_factory=list)
    after: list[Callable[[str, str, list[str], str], tuple[str, list[str], str]]] = field(default_factory=list)
    whole: list[Callable[[str], str]] = field(default_factory=list)
    place_digests: bool = True
    hash_presented: bool = True

    def build(self) -> str:
        shown = [spell(dump(disclosure)) for disclosure in self.disclosures]
        hidden = [spell(dump(disclosure)) for disclosure in self.hidden]
        if self.place_digests and isinstance(self.payload, dict) and (shown or hidden):
            listed = self.payload.get("_sd", [])
            added = [digest(each) for each in (*shown, *hidden)]
            if isinstance(listed, list):
                self.payload["_sd"] = sorted([*listed, *dict.fromkeys(added)], key=str)
        jwt = sign_compact(self.header, self.payload, self.issuer)
        presented = "~".join([jwt, *shown, ""])
        if self.hash_presented and isinstance(self.kb_payload, dict):
            self.kb_payload["sd_hash"] = digest(presented)
        kb_jwt = sign_compact(self.kb_header, self.kb_payload, self.holder)
        for change in self.after:
            jwt, shown, kb_jwt = change(presented, jwt, shown, kb_jwt)
        text = "~".join([jwt, *shown, kb_jwt])
        for edit in self.whole:
            text = edit(text)
        return text


def whole_parts(random: Random) -> Parts:
    claims = {name: some_value(random) for name in random.sample(NAMES, random.randrange(1, len(NAMES)))}
    disclosed = random.sample(list(claims), random.randrange(len(claims) + 1))
    payload: dict[str, Any] = {
        **{
            "iss": ISSUER.did_jwk,
            "iat": NOW_S - random.randrange(1, 10**6),
            "exp": NOW_S + random.randrange(120, 10**7),
        },
        **{"vct": "urn:credence:mobile-money:1", "cnf": {"jwk": HOLDER.jwk}},
        **{name: value for name, value in claims.items() if name not in disclosed},
    }
    return Parts(
        header={"alg": "ES256", "typ": "dc+sd-jwt", "kid": f"{ISSUER.did_jwk}#0"},
        payload=payload,
        disclosures=[[some_salt(random), name, claims[name]] for name in disclosed],
        kb_header={"alg": "ES256", "typ": "kb+jwt"},
        kb_payload={"iat": NOW_S - random.randrange(200), "aud": AUDIENCE, "nonce": NONCE},
    )


def some_salt(random: Random) -> str:
    return spell(random.randbytes(16))


def some_value(random: Random, depth: int = 0) -> Any:
    match random.randrange(9 if depth < 3 else 6):
        case 0:
            return random.randrange(-(10**9), 10**9)
        case 1:
            return random.choice(("KES", "", "é€😀", 'a"\\b\n', "x" * 200))
        case 2:
            return random.choice((True, False, None))
        case 3:
            return random.choice((0.5, -2.25e3, 1e-7))
        case 4 | 5:
            return [random.randrange(10**6) for _ in range(random.randrange(12))]
        case 6:
            return [some_value(random, depth + 1) for _ in range(random.randrange(4))]
        case _:
            return {f"m{number}": some_value(random, depth + 1) for number in range(random.randrange(4))}


Change = Callable[[Parts, Random], None]


def claim(name: str, *values: Any) -> Change:
    """Put one of some values into the signed payload."""
    return lambda parts, random: parts.payload.__setitem__(name, random.choice(values))


def no_claim(name: str) -> Change:
    return lambda parts, _random: parts.payload.pop(name, None)


def header(name: str, *values: Any) -> Change:
    return lambda parts, random: parts.header.__setitem__(name, random.choice(values))


def kb(name: str, *values: Any) -> Change:
    return lambda parts, random: parts.kb_payload.__setitem__(name, random.choice(values))


def kb_header(name: str, *values: Any) -> Change:
    return lambda parts, random: parts.kb_header.__setitem__(name, random.choice(values))


def raw(part: str, old: bytes, *new: bytes) -> Change:
    """Spell a place of a part's JSON as no encoder would, before it is signed."""

    def change(parts: Parts, random: Random) -> None:
        if part == "payload" and isinstance(parts.payload, dict):
            shown = [digest(spell(dump(disclosure))) for disclosure in parts.disclosures]
            parts.payload["_sd"] = shown
            parts.place_digests = False
        text = dump(getattr(parts, part))
        assert old in text
        setattr(parts, part, text.replace(old, random.choice(new), 1))
        if part == "kb_payload":
            parts.hash_presented = False

    return change


def disclose(*disclosure: Any) -> Change:
    """Sign the digest of one more disclosure, and show it."""
    return lambda parts, _random: parts.disclosures.append(list(disclosure))


def edit(function: Callable[[str, Random], str]) -> Change:
    return lambda parts, random: parts.whole.append(lambda text: function(text, random))


def in_part(place: int, function: Callable[[str, Random], str]) -> Change:
    """Change one of the three parts of the issuer's JWT (0, 1, 2) or of the key binding's (3, 4, 5) after signing."""

    def change(parts: Parts, random: Random) -> None:
        def apply(_presented: str, jwt: str, shown: list[str], kb_jwt: str) -> tuple[str, list[str], str]:
            pieces = [*jwt.split("."), *kb_jwt.split(".")]
            pieces[place] = function(pieces[place], random)
            return ".".join(pieces[:3]), shown, ".".join(pieces[3:])

        parts.after.append(apply)

    return change


def shuffled(part: str) -> Change:
    def change(parts: Parts, random: Random) -> None:
        members = list(getattr(parts, part).items())
        random.shuffle(members)
        setattr(parts, part, dict(members))

    return change


def fewer_disclosures(parts: Parts, random: Random) -> None:
    random.shuffle(parts.disclosures)
    kept = random.randrange(len(parts.disclosures) + 1)
    parts.hidden, parts.disclosures = parts.disclosures[kept:], parts.disclosures[:kept]


def nested_disclosures(parts: Parts, random: Random) -> None:
    inner = [some_salt(random), "inner", some_value(random)]
    element = [some_salt(random), some_value(random)]
    outer = {"_sd": [digest(spell(dump(inner)))], "plain": 1, "list": [1, {"...": digest(spell(dump(element)))}]}
    if random.randrange(2):
        parts.payload["nested"] = outer
    else:
        parts.disclosures.append([some_salt(random), "nested", outer])
    shown = [digest(spell(dump(each))) for each in parts.disclosures]
    parts.payload["_sd"] = shown
    parts.place_digests = False
    parts.disclosures += random.choice(([inner, element], [inner], [element], []))


def ed25519_keys(name: str) -> Change:
    def change(parts: Parts, random: Random) -> None:
        if random.randrange(2):
            parts.issuer = ED_ISSUER
            parts.payload["iss"] = random.choice((ED_ISSUER.did_jwk, ED_ISSUER.did_key))
            parts.header = {"alg": name, "typ": "dc+sd-jwt"}
        else:
            parts.holder = ED_HOLDER
            parts.payload["cnf"] = {"jwk": ED_HOLDER.jwk}
            parts.kb_header["alg"] = name

    return change


def did_key_issuer(parts: Parts, _random: Random) -> None:
    parts.payload["iss"] = ISSUER.did_key
    parts.header["kid"] = f"{ISSUER.did_key}#{ISSUER.did_key.removeprefix('did:key:')}"


def signed_by_a_stranger(parts: Parts, _random: Random) -> None:
    parts.issuer = STRANGER


def bound_by_a_stranger(parts: Parts, _random: Random) -> None:
    parts.holder = STRANGER


def issued_by_a_stranger(parts: Parts, _random: Random) -> None:
    """The stranger signs in the issuer's name, with a key of its own."""
    parts.issuer = STRANGER
    parts.header["kid"] = f"{STRANGER.did_jwk}#0"


def repeat_disclosure(parts: Parts, random: Random) -> None:
    parts.disclosures.append([some_salt(random), "again", 1])
    parts.disclosures.append(parts.disclosures[-1])


def unreferenced_disclosure(parts: Parts, random: Random) -> None:
    def apply(_presented: str, jwt: str, shown: list[str], kb_jwt: str) -> tuple[str, list[str], str]:
        more = [*shown, spell(dump([some_salt(random), "more", 1]))]
        payload = parts.kb_payload | {"sd_hash": digest("~".join([jwt, *more, ""]))}
        return jwt, more, sign_compact(parts.kb_header, payload, parts.holder)

    parts.after.append(apply)


def digest_twice(parts: Parts, random: Random) -> None:
    text = digest("decoy")
    if random.randrange(2):
        parts.payload["_sd"] = [text, text]
    else:
        parts.payload["_sd"] = [text]
        parts.payload["nested"] = {"_sd": [text]}


def collision(parts: Parts, _random: Random) -> None:
    parts.payload["region"] = "plain"
    parts.disclosures = [["salt", "region", "disclosed"]]


def high_s(part: str, _random: Random) -> str:
    signature = base64.urlsafe_b64decode(part + "==")
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    return spell(signature[:32] + (order - int.from_bytes(signature[32:])).to_bytes(32))


def der(part: str, _random: Random) -> str:
    signature = base64.urlsafe_b64decode(part + "==")
    return spell(encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:])))


def trailing_bits(part: str, _random: Random) -> str:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return part[:-1] + alphabet[alphabet.index(part[-1]) ^ 1]


def changed_byte(text: str, random: Random) -> str:
    return mutate_bytes(text.encode(), random).decode("utf-8", "replace")


def changed_anywhere(text: str, random: Random) -> str:
    return mutate_sd_jwt(text.encode(), random).decode("utf-8", "replace")


def any_payload(parts: Parts, random: Random) -> None:
    """Sign a payload with anything changed in it."""
    shown = [digest(spell(dump(disclosure))) for disclosure in parts.disclosures]
    parts.payload["_sd"] = shown
    parts.place_digests = False
    parts.payload = mutate_json_text(dump(parts.payload), random)


def any_header(parts: Parts, random: Random) -> None:
    parts.header = mutate_json_text(dump(parts.header), random)


def any_disclosure(parts: Parts, random: Random) -> None:
    parts.disclosures.append(mutate_json([some_salt(random), "some", {"a": [1, {"b": 2}]}], random))


def any_key_binding(parts: Parts, random: Random) -> None:
    parts.whole.append(lambda text: rebind(text, parts, random))


def rebind(text: str, parts: Parts, random: Random) -> str:
    payload = mutate_json_text(dump(parts.kb_payload), random)
    return text[: text.rindex("~") + 1] + sign_compact(parts.kb_header, payload, parts.holder)


def without_binding(text: str, _random: Random) -> str:
    return text[: text.rindex("~") + 1]


def another_binding(text: str, _random: Random) -> str:
    return text + "~" + text[text.rindex("~") + 1 :]


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def without_disclosures(change: Change) -> Change:
    """A change of `_sd` itself, which building would put digests into."""

    def alone(parts: Parts, random: Random) -> None:
        parts.disclosures = []
        change(parts, random)

    return alone


def another_hash(parts: Parts, _random: Random) -> None:
    parts.hash_presented = False
    parts.kb_payload["sd_hash"] = digest("other")


VALID: dict[str, Change] = {
    "nothing": lambda _parts, _random: None,
    "header members reordered": shuffled("header"),
    "payload members reordered": shuffled("payload"),
    "fewer disclosures": fewer_disclosures,
    "nested disclosures": nested_disclosures,
    "decoy digests": claim("_sd", [digest("decoy 1")], [digest("decoy 1"), digest("decoy 2")]),
    "_sd_alg named": claim("_sd_alg", "sha-256"),
    "other times": claim("nbf", NOW_S - 5, 0, NOW_S + 30, NOW_S - 0.5),
    "within the skew": claim("exp", NOW_S - 30, NOW_S - 59.5),
    "no exp": no_claim("exp"),
    "fractional times": claim("iat", NOW_S - 1.5, NOW_S - 0.25),
    "no kid": lambda parts, _random: parts.header.pop("kid"),
    "relative kid": header("kid", "#0"),
    "issuer is a did:key": did_key_issuer,
    "EdDSA": ed25519_keys("EdDSA"),
    "Ed25519": ed25519_keys("Ed25519"),
    "more claims": claim("more", {"a": [1, {"b": None}]}, "é", 2.5, []),
    "sub and jti": claim("sub", "did:example:1", "urn:uuid:1"),
    "other s": in_part(2, high_s),
    "other s of the binding": in_part(5, high_s),
    "white space": lambda parts, _random: setattr(parts, "header", dump(parts.header).replace(b",", b" ,\n ")),
    "binding members reordered": shuffled("kb_payload"),
    "binding with jti": kb("jti", "1"),
    "issuer's audience is us": claim("aud", AUDIENCE, [AUDIENCE], ["https://other.example", AUDIENCE]),
}

BROKEN: dict[str, Change] = {
    "expired": claim("exp", NOW_S - 61, NOW_S - 10**6, 0),
    "not yet valid": claim("nbf", NOW_S + 61, NOW_S + 10**6),
    "issued in the future": claim("iat", NOW_S + 61, NOW_S + 10**6),
    "a time is no number": lambda parts, random: claim(
        random.choice(("exp", "iat", "nbf")), str(NOW_S), True, None, [NOW_S], {}
    )(parts, random),
    "a time is out of range": lambda parts, random: claim(
        random.choice(("exp", "nbf", "iat")), -1, 253_402_300_800, 10**19, 1e300
    )(parts, random),
    "a number is too long": raw("payload", b'"vct"', b'"n":' + b"9" * 21 + b',"vct"', b'"n":' + b"9" * 400 + b',"vct"'),
    "a number is not finite": raw("payload", b'"vct"', b'"n":NaN,"vct"', b'"n":-Infinity,"vct"', b'"n":1e400,"vct"'),
    "no iat": no_claim("iat"),
    "no iss": no_claim("iss"),
    "no vct": no_claim("vct"),
    "vct is no name": claim("vct", "", 1, None, ["urn:x"]),
    "iss is no name": claim("iss", "", 1, None, "https://issuer.example", "did:web:issuer.example", "did:jwk:AAAA"),
    "another issuer": claim("iss", STRANGER.did_jwk, STRANGER.did_key),
    "type of another token": header("typ", "JWT", "kb+jwt", "vc+sd-jwt", "statuslist+jwt", "DC+SD-JWT", "", None, 1),
    "no typ": lambda parts, _random: parts.header.pop("typ"),
    "alg is none": header("alg", "none", "None", ""),
    "alg of another key": header("alg", "HS256", "ES384", "EdDSA", "RS256", "ES256K", "es256"),
    "alg is no name": header("alg", 1, None, ["ES256"], {}),
    "no alg": lambda parts, _random: parts.header.pop("alg"),
    "critical extension": header("crit", ["exp"], [], ["b64"], "b64"),
    "b64 is false": header("b64", False),
    "header brings a key": lambda parts, random: header(
        random.choice(("jwk", "jku", "x5u", "x5c")), STRANGER.jwk, "https://evil.example/k", ["AA"]
    )(parts, random),
    "unknown header": header("foo", 1, "bar"),
    "kid of another issuer": header("kid", f"{STRANGER.did_jwk}#0", f"{ISSUER.did_key}#0"),
    "kid names no key": header("kid", f"{ISSUER.did_jwk}#1", "#1", "0", "../../etc/passwd", "", "' OR 1=1", "\u0000"),
    "kid is no name": header("kid", 1, None, [], {}),
    "signed by a stranger": signed_by_a_stranger,
    "signed by a stranger with its kid": issued_by_a_stranger,
    "signature in DER": in_part(2, der),
    "signature of another length": in_part(2, lambda part, random: part[: random.choice((0, 4, 80))]),
    "signature is zero": in_part(2, lambda _part, _random: spell(bytes(64))),
    "base64 is padded": lambda parts, random: in_part(random.randrange(6), lambda part, _r: part + "=")(parts, random),
    "base64 has trailing bits": lambda parts, random: in_part(random.choice((2, 5)), trailing_bits)(parts, random),
    "base64 has white space": lambda parts, random: in_part(
        random.randrange(6), lambda part, _r: part[:8] + "\n" + part[8:]
    )(parts, random),
    "a name twice in the header": raw("header", b'"typ"', b'"alg":"none","typ"', b'"typ":"JWT","typ"'),
    "a name twice in the payload": raw("payload", b'"vct"', b'"vct":"urn:y","vct"', b'"a":1,"a":2,"vct"'),
    "a name twice in a disclosure": lambda parts, _random: parts.disclosures.append(b'["s","d",{"a":1,"a":2}]'),
    "a lone surrogate": raw("payload", b'"vct"', b'"a":"\\ud800","vct"', b'"\\udfff":1,"vct"'),
    "a byte order mark": raw("payload", b'{"iss"', b'\xef\xbb\xbf{"iss"'),
    "not UTF-8": raw("payload", b'"vct"', b'"a":"\xff","vct"'),
    "nested deeply": claim("deep", *(nested(depth) for depth in (33, 64, 101))),
    "payload is no object": lambda parts, random: setattr(parts, "payload", random.choice((b"[]", b"1", b"null", b""))),
    "disclosure twice": repeat_disclosure,
    "disclosure of nothing": unreferenced_disclosure,
    "digest twice": digest_twice,
    "disclosure collides": collision,
    "disclosure of a reserved name": lambda parts, random: disclose("s", random.choice(("_sd", "...", "_sd_alg")), [])(
        parts, random
    ),
    "disclosure of a registered claim": lambda parts, random: disclosed_instead(
        parts, random.choice(("iss", "iat", "exp", "nbf", "cnf", "vct", "status"))
    ),
    "disclosure of another length": lambda parts, random: parts.disclosures.append(
        random.choice((["s"], ["s", 1], ["s", "a", 1, 2], [], {"s": 1}, "s", b"", b"[", b'["s","a",1] x'))
    ),
    "disclosure with a salt that is no text": disclose(1, "salted", 1),
    "disclosure with a name that is no text": disclose("s", 1, 1),
    "_sd is no list": without_disclosures(claim("_sd", "x", {}, None, 1)),
    "_sd holds no text": without_disclosures(claim("_sd", [1], [None], [[]], [{"...": "x"}])),
    "... out of place": claim(
        "nested", {"...": "x"}, {"a": {"...": "x", "b": 1}}, [{"...": "x", "b": 1}], [{"...": 1}]
    ),
    "_sd_alg within": claim("nested", {"_sd_alg": "sha-256"}),
    "_sd_alg of another hash": claim("_sd_alg", "sha-512", "md5", "", 1, None),
    "no cnf": no_claim("cnf"),
    "cnf of another kind": claim("cnf", {}, None, {"kid": "x"}, {"jwk": HOLDER.jwk, "kid": "x"}, {"jwk": None}, "x"),
    "cnf with a private key": claim("cnf", {"jwk": {**HOLDER.jwk, "d": spell(bytes(32))}}),
    "cnf with more members": claim(
        "cnf",
        {"jwk": {**HOLDER.jwk, "use": "enc"}},
        {"jwk": {**HOLDER.jwk, "foo": 1}},
        {"jwk": {**HOLDER.jwk, "alg": "ES384"}},
        {"jwk": {**HOLDER.jwk, "key_ops": ["encrypt"]}},
    ),
    "cnf is no point": claim("cnf", {"jwk": {**HOLDER.jwk, "x": spell(bytes(32))}}, {"jwk": {**HOLDER.jwk, "y": "AA"}}),
    "no binding": edit(without_binding),
    "binding twice": edit(another_binding),
    "bound by a stranger": bound_by_a_stranger,
    "binding of another request": kb("nonce", "other", "", None, 1, [NONCE]),
    "binding for another": kb("aud", "https://other.example", "", None, [AUDIENCE], 1, AUDIENCE + "/"),
    "binding too old": kb("iat", NOW_S - 361, NOW_S - 10**6, 0),
    "binding a little old": kb("iat", NOW_S - 330),
    "binding in the future": kb("iat", NOW_S + 61, NOW_S + 10**6),
    "binding's time is no number": kb("iat", str(NOW_S), True, None, [], 1e300, -1),
    "binding expired": kb("exp", NOW_S - 61, "x", None),
    "binding not yet valid": kb("nbf", NOW_S + 61),
    "binding lacks a claim": lambda parts, random: parts.kb_payload.pop(random.choice(("iat", "aud", "nonce"))),
    "binding without a hash": lambda parts, _random: setattr(parts, "hash_presented", False),
    "binding of another hash": another_hash,
    "binding of another type": kb_header("typ", "JWT", "dc+sd-jwt", "", None, "KB+JWT"),
    "binding without a type": lambda parts, _random: parts.kb_header.pop("typ"),
    "binding's alg": kb_header("alg", "none", "HS256", "EdDSA", "ES384", 1, None),
    "binding's critical extension": kb_header("crit", ["exp"]),
    "binding's header brings a key": kb_header("jwk", HOLDER.jwk, STRANGER.jwk),
    "binding's unknown header": kb_header("foo", 1),
    "binding's signature": in_part(5, lambda part, _random: spell(bytes(64)) if part else part),
    "no tilde": edit(lambda text, _random: text.replace("~", ".")),
    "an empty disclosure": edit(lambda text, _random: text.replace("~", "~~", 1)),
    "issuer's audience is another": claim("aud", "https://other.example", ["https://other.example"], [], 1, None),
    "a changed byte": edit(changed_byte),
    "a changed part": edit(changed_anywhere),
    "any header": any_header,
    "any payload": any_payload,
    "any disclosure": any_disclosure,
    "any binding": any_key_binding,
}
#: These have many ways each.
OFTEN = ("a changed byte", "a changed part", "any header", "any payload", "any disclosure", "any binding")


def disclosed_instead(parts: Parts, name: str) -> None:
    value = parts.payload.pop(name, 1)
    parts.disclosures.append(["salt", name, value])


def sd_jwt_case(random: Random) -> Case:
    parts = whole_parts(random)
    if random.random() < 0.4:
        mutation = random.choice(list(VALID))
        VALID[mutation](parts, random)
    else:
        mutation = random.choice(OFTEN) if random.random() < 0.3 else random.choice(list(BROKEN))
        BROKEN[mutation](parts, random)
    return Case(format="dc+sd-jwt", mutation=mutation, presented=parts.build())
