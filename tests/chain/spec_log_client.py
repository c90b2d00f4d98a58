"""A reader of tiled transparency logs, written from the specifications alone.

It shares no code with the service that it checks and imports nothing of it. Sources: C2SP signed-note v1.0.0,
tlog-checkpoint v1.0.0, tlog-tiles v0.1.0 and tlog-proof; RFC 6962, section 2.1; RFC 9162, section 2.1.3.2.

    python spec_log_client.py https://log.example/prefix VERIFIER_KEY [INDEX]
"""

import base64
import hashlib
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

Fetch = Callable[[str], bytes]


class LogIsWrong(Exception):
    pass


def expect(condition: bool, complaint: str) -> None:
    if not condition:
        raise LogIsWrong(complaint)


# RFC 6962, section 2.1


def hash_of_leaf(data: bytes) -> bytes:
    return hashlib.sha256(b"\0" + data).digest()


def hash_of_children(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def merkle_tree_hash(leaves: list[bytes]) -> bytes:
    """MTH over leaf hashes: whole pairs are joined row by row, an odd last one moves up as it is."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    row = leaves
    while len(row) > 1:
        paired = [hash_of_children(row[i], row[i + 1]) for i in range(0, len(row) - 1, 2)]
        row = paired + row[len(row) - len(row) % 2 :]
    return row[0]


def audit_path(m: int, leaves: list[bytes]) -> list[bytes]:
    """PATH(m, D[n]) of RFC 6962, section 2.1.1, as it is written there."""
    n = len(leaves)
    if n == 1:
        return []
    k = 1
    while k * 2 < n:
        k *= 2
    if m < k:
        return [*audit_path(m, leaves[:k]), merkle_tree_hash(leaves[k:])]
    return [*audit_path(m - k, leaves[k:]), merkle_tree_hash(leaves[:k])]


def root_of_audit_path(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """The numbered algorithm of RFC 9162, section 2.1.3.2."""
    expect(index < size, "the index is not in the tree")
    fn, sn, r = index, size - 1, leaf
    for p in path:
        expect(sn != 0, "the audit path is too long")
        if fn & 1 or fn == sn:
            r = hash_of_children(p, r)
            if not fn & 1:
                while fn and not fn & 1:
                    fn, sn = fn >> 1, sn >> 1
        else:
            r = hash_of_children(r, p)
        fn, sn = fn >> 1, sn >> 1
    expect(sn == 0, "the audit path is too short")
    return r


# C2SP signed-note


@dataclass(frozen=True)
class Key:
    name: str
    key_id: bytes
    public_key: bytes


def read_verifier_key(text: str) -> Key:
    name, key_id_hex, encoded = text.split("+", 2)
    material = base64.b64decode(encoded, validate=True)
    expect(material[0] == 0x01 and len(material) == 33, "not an Ed25519 verifier key")
    key_id = hashlib.sha256(name.encode() + b"\x0a" + material).digest()[:4]
    expect(key_id.hex() == key_id_hex, "the key ID is not the hash of the key")
    return Key(name, key_id, material[1:])


def open_note(note: bytes, key: Key) -> str:
    """The text of a note that the key signed."""
    characters = note.decode("utf-8")
    expect(not any(c < " " and c != "\n" for c in characters), "a control character in the note")
    blank = characters.rfind("\n\n")
    expect(blank >= 0 and characters.endswith("\n"), "no blank line before the signatures")
    text = characters[: blank + 1]
    verified = False
    for line in characters[blank + 2 : -1].split("\n"):
        dash, name, encoded = line.split(" ")
        expect(dash == "\u2014", "a signature line does not start with an em dash")
        blob = base64.b64decode(encoded, validate=True)
        if (name, blob[:4]) != (key.name, key.key_id):
            continue
        try:
            Ed25519PublicKey.from_public_bytes(key.public_key).verify(blob[4:], text.encode())
        except InvalidSignature:
            raise LogIsWrong("the signature does not verify") from None
        verified = True
    expect(verified, "the key did not sign the note")
    return text


def read_checkpoint(text: str) -> tuple[str, int, bytes]:
    origin, size, root, *extensions = text.removesuffix("\n").split("\n")
    expect(origin != "" and all(extensions), "an empty line in the checkpoint")
    expect(size.isascii() and size.isdecimal() and str(int(size)) == size, "the size is not a plain decimal")
    digest = base64.b64decode(root, validate=True)
    expect(len(digest) == 32, "the root is not 32 bytes")
    return origin, int(size), digest


# C2SP tlog-tiles


def tile_number(n: int) -> str:
    """`N` in zero-padded three-digit path elements, all but the last with an x before."""
    digits = str(n)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    elements = [digits[i : i + 3] for i in range(0, len(digits), 3)]
    return "/".join([f"x{element}" for element in elements[:-1]] + elements[-1:])


def resources(size: int, level: int) -> list[tuple[str, int]]:
    """The `<N>[.p/<W>]` of every tile of a level with the width of each; entry bundles are those of level 0."""
    hashes = size // 256**level
    listed = [(tile_number(n), 256) for n in range(hashes // 256)]
    if hashes % 256:
        listed.append((f"{tile_number(hashes // 256)}.p/{hashes % 256}", hashes % 256))
    return listed


@dataclass(frozen=True)
class VerifiedLog:
    """A log of which every signature, entry, tile and root was found right."""

    origin: str
    size: int
    root: bytes
    entries: list[bytes]
    paths: list[str]

    def leaf_hashes(self) -> list[bytes]:
        return [hash_of_leaf(entry) for entry in self.entries]

    def prove(self, index: int) -> list[bytes]:
        """The audit path of an entry, made from the leaves and verified up to the signed root."""
        leaves = self.leaf_hashes()
        path = audit_path(index, leaves)
        expect(root_of_audit_path(leaves[index], index, self.size, path) == self.root, "no path to the signed root")
        return path


def read_log(fetch: Fetch, verifier_key: str) -> VerifiedLog:
    """Reads a whole log through `fetch(path below the prefix)` and verifies all of it; raises LogIsWrong."""
    key = read_verifier_key(verifier_key)
    origin, size, root = read_checkpoint(open_note(fetch("checkpoint"), key))
    expect(origin == key.name, "the checkpoint is of another log")
    paths: list[str] = []

    def get(path: str) -> bytes:
        paths.append(path)
        return fetch(path)

    entries: list[bytes] = []
    for name, width in resources(size, 0):
        entries += read_entry_bundle(get(f"tile/entries/{name}"), width)
    leaves = [hash_of_leaf(entry) for entry in entries]
    expect(merkle_tree_hash(leaves) == root, "the entries do not hash to the signed root")

    expected, level = leaves, 0
    while expected:
        full_tile_roots = []
        for n, (name, width) in enumerate(resources(size, level)):
            tile = get(f"tile/{level}/{name}")
            hashes = expected[n * 256 : n * 256 + width]
            expect(tile == b"".join(hashes), "a tile does not hold the hashes of the tree")
            if width == 256:
                full_tile_roots.append(merkle_tree_hash(hashes))
        expected, level = full_tile_roots, level + 1
    return VerifiedLog(origin, size, root, entries, paths)


def read_entry_bundle(bundle: bytes, width: int) -> list[bytes]:
    entries = []
    while bundle:
        length = int.from_bytes(bundle[:2], "big")
        expect(len(bundle) >= 2 + length, "an entry bundle is cut short")
        entries.append(bundle[2 : 2 + length])
        bundle = bundle[2 + length :]
    expect(len(entries) == width, "an entry bundle has another number of entries")
    return entries


# C2SP tlog-proof


def check_proof(proof: str, entry: bytes, verifier_key: str) -> int:
    """Verifies the text of a tlog-proof for an entry's data and gives the entry's index; raises LogIsWrong."""
    head, _, checkpoint = proof.partition("\n\n")
    lines = head.split("\n")
    expect(lines[0] == "c2sp.org/tlog-proof@v1", "not a tlog-proof")
    if lines[1].startswith("extra "):
        del lines[1]
    expect(lines[1].startswith("index "), "no index in the proof")
    index = int(lines[1].removeprefix("index "))
    path = [base64.b64decode(line, validate=True) for line in lines[2:]]
    _, size, root = read_checkpoint(open_note(checkpoint.encode(), read_verifier_key(verifier_key)))
    expect(root_of_audit_path(hash_of_leaf(entry), index, size, path) == root, "the proof misses the signed root")
    return index


def fetch_over_http(prefix: str) -> Fetch:
    def fetch(path: str) -> bytes:
        with urllib.request.urlopen(f"{prefix.rstrip('/')}/{path}", timeout=10) as response:
            return bytes(response.read())

    return fetch


if __name__ == "__main__":
    log = read_log(fetch_over_http(sys.argv[1]), sys.argv[2])
    print(
        f"{log.origin}: {log.size} entries, root {log.root.hex()}, {len(log.paths)} tiles and bundles read: all right"
    )
    if len(sys.argv) > 3:
        print(f"entry {sys.argv[3]}: {len(log.prove(int(sys.argv[3])))} hashes lead to the signed root")
