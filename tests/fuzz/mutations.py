"""Changes that know what they change: JSON by its tree, base64url by what it spells, compact tokens by their parts.

All randomness is the caller's, so that a seed gives the same changes again.
"""

import base64
import json
from collections.abc import Callable
from random import Random
from typing import Any

#: Values that a member of the wrong type, range or spelling may have.
HOSTILE_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**53 + 1, 10**19, -(10**19), 0.5, 1e308, 253_402_300_800),
    *("", "0", "true", "\u0000", "\ud7ff", "é", "../..", "http://127.0.0.1/", "did:jwk:", "did:key:z", "a" * 300),
    *([], {}, [[]], [{}], [None], {"": None}, {"...": "x"}, {"_sd": []}, {"_sd": ["x"]}, {"@id": "x"}, ["x", "x"]),
)
#: Members that a protocol may give a meaning, wherever they stand.
HOSTILE_NAMES = (
    *("", "_sd", "_sd_alg", "...", "iss", "sub", "aud", "exp", "nbf", "iat", "cnf", "vct", "status", "jti", "nonce"),
    *("alg", "typ", "kid", "jwk", "jku", "x5c", "x5u", "crit", "b64", "zip", "enc", "epk", "d", "use", "key_ops"),
    *("@context", "@id", "@type", "@graph", "@included", "id", "type", "proof", "issuer", "holder", "vc", "vp"),
    *("controller", "verificationMethod", "assertionMethod", "authentication", "deactivated", "revoked", "expires"),
    *("publicKeyJwk", "publicKeyMultibase", "publicKeyBase58", "privateKeyJwk"),
    *("validFrom", "validUntil", "issuanceDate", "expirationDate", "credentialStatus", "credentialSubject"),
)
HOSTILE_TEXTS = (b"NaN", b"1e400", b"-0", b"0" * 30, b"9" * 30, b'"\\ud800"', b'"\xff"', b"\xef\xbb\xbf", b"\x00")

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def dump_json(value: Any) -> bytes:
    """Write compact JSON, whatever stands in it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def mutate_bytes(data: bytes, random: Random) -> bytes:
    """Change one place of a byte string."""
    at = random.randrange(len(data) + 1)
    match random.randrange(6):
        case 0:
            return data[:at] + bytes([random.randrange(256)]) + data[at + 1 :]
        case 1:
            return data[:at] + data[at + 1 + random.randrange(8) :]
        case 2:
            return data[:at] + bytes([random.randrange(256)]) + data[at:]
        case 3:
            return data[:at] + random.choice(HOSTILE_TEXTS) + data[at:]
        case 4 if data:
            bit = random.randrange(8 * len(data))
            return bytes(each ^ (1 << bit % 8) if place == bit // 8 else each for place, each in enumerate(data))
        case _:
            other = random.randrange(len(data) + 1)
            return data[:at] + data[min(at, other) : max(at, other)] + data[at:]


def mutate_json(value: Any, random: Random) -> Any:
    """Return a copy of a JSON value with one node changed, added, removed or moved."""
    value = json.loads(json.dumps(value))
    # A node is reached through its parent and the name or place that it has there.
    places: list[tuple[Any, Any]] = []
    unvisited = [value]
    while unvisited:
        node = unvisited.pop()
        children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for name, child in children:
            places.append((node, name))
            unvisited.append(child)
    if not places:
        return random.choice(HOSTILE_VALUES)
    parent, name = random.choice(places)
    match random.randrange(8):
        case 0:
            del parent[name]
        case 1:
            parent[name] = random.choice(HOSTILE_VALUES)
        case 2:
            parent[name] = _neighbour(parent[name], random)
        case 3 if isinstance(parent, dict):
            parent[random.choice(HOSTILE_NAMES)] = parent.pop(name)
        case 4 if isinstance(parent, dict):
            parent[random.choice(HOSTILE_NAMES)] = random.choice(HOSTILE_VALUES)
        case 5:
            other, other_name = random.choice(places)
            # Parents come before their children, so neither can be put into itself.
            parent[name], other[other_name] = json.loads(json.dumps([other[other_name], parent[name]]))
        case 6:
            for _ in range(random.choice((1, 2, 40))):
                parent[name] = [parent[name]] if random.randrange(2) else {"a": parent[name]}
        case _:
            if isinstance(parent, list):
                parent.insert(name, parent[name])
            else:
                parent[name] = [parent[name], parent[name]]
    return value


def _neighbour(value: Any, random: Random) -> Any:
    """A value that differs a little, and often is of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return random.choice((value + 1, value - 1, -value, value * 1000, str(value), float(value), [value]))
    if isinstance(value, str):
        data = mutate_bytes(value.encode("utf-8", "surrogatepass"), random)
        return random.choice((data.decode("utf-8", "replace"), value + " ", value.swapcase(), value[:-1], [value]))
    return random.choice(HOSTILE_VALUES)


def mutate_json_text(text: bytes, random: Random) -> bytes:
    """Change a JSON text: mostly by its tree, else in its spelling (a name twice, white space, any byte)."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return mutate_bytes(text, random)
    match random.randrange(12):
        case 0:
            return mutate_bytes(text, random)
        case 1 if isinstance(value, dict) and value:
            name = random.choice(list(value))
            again = dump_json({name: random.choice((value[name], random.choice(HOSTILE_VALUES)))})
            return again[:-1] + b"," + text.lstrip()[1:]
        case 2:
            return json.dumps(value, indent=1).encode()
        case 3 if isinstance(value, dict):
            members = list(value.items())
            random.shuffle(members)
            return dump_json(dict(members))
        case _:
            try:
                return dump_json(mutate_json(value, random))
            except (ValueError, TypeError, RecursionError):
                return mutate_bytes(text, random)


def mutate_base64url(text: bytes, random: Random, mutate: Callable[[bytes, Random], bytes] = mutate_bytes) -> bytes:
    """Change what base64url spells, by `mutate`; or now and then its spelling alone."""
    match random.randrange(10):
        case 0:
            return text + b"=" * random.choice((1, 2, 3))
        case 1 if text:
            # The same bytes in another spelling, where the last character has bits to spare.
            last = _ALPHABET.find(text[-1:])
            return text[:-1] + _ALPHABET[last ^ 1 : (last ^ 1) + 1] if last >= 0 else text
        case 2:
            return mutate_bytes(text, random)
        case 3:
            return text.replace(b"-", b"+").replace(b"_", b"/")
        case _:
            try:
                data = base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
            except ValueError:
                return mutate_bytes(text, random)
            return base64.urlsafe_b64encode(mutate(data, random)).rstrip(b"=")


def mutate_jws(token: bytes, random: Random) -> bytes:
    """Change one part of a compact JWS, and leave its signature as it was, or the other way round."""
    parts = token.split(b".")
    at = random.randrange(len(parts))
    if random.randrange(20) == 0:
        return b".".join(parts[:at] + parts[at : at + 1] * random.choice((0, 2)) + parts[at + 1 :])
    parts[at] = mutate_base64url(parts[at], random, mutate_bytes if at == 2 else mutate_json_text)
    return b".".join(parts)


def mutate_sd_jwt(token: bytes, random: Random) -> bytes:
    """Change one part of an SD-JWT: a JWT, a disclosure, or which disclosures there are and in what order."""
    parts = token.split(b"~")
    at = random.randrange(len(parts))
    match random.randrange(8):
        case 0:
            del parts[at]
        case 1:
            parts.insert(random.randrange(len(parts) + 1), parts[at])
        case 2:
            random.shuffle(parts)
        case _:
            is_jwt = at == 0 or parts[at].count(b".") == 2
            parts[at] = (
                mutate_jws(parts[at], random) if is_jwt else mutate_base64url(parts[at], random, mutate_json_text)
            )
    return b"~".join(parts)


def mutate_lines(data: bytes, random: Random) -> bytes:
    """Change one of several JSON texts, one a line; or take one away, repeat or move it."""
    lines = data.split(b"\n")
    at = random.randrange(len(lines))
    match random.randrange(12):
        case 0:
            del lines[at]
        case 1:
            lines.insert(random.randrange(len(lines) + 1), lines[at])
        case 2:
            random.shuffle(lines)
        case _:
            lines[at] = mutate_json_text(lines[at], random).replace(b"\n", b" ")
    return b"\n".join(lines)
