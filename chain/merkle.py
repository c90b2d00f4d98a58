"""The Merkle tree of RFC 6962, section 2.1: hashes, the append frontier, inclusion and consistency proofs.

Every hash that a proof needs covers a range of leaves, and every such range falls apart into complete subtrees, which
never change once they are full. A proof is therefore computed in two steps: name the subtrees, load them at once.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Self

from chain.errors import BadHash, BadTreeSize, IndexNotInTree, MalformedFrontier, ProofLengthWrong, RootMismatch

HASH_BYTES = 32
MAX_TREE_SIZE = 2**63 - 1
EMPTY_ROOT = sha256(b"").digest()

LeafRange = tuple[int, int]
"""Leaves `begin` up to, not including, `end`."""


@dataclass(frozen=True, slots=True)
class Subtree:
    """The complete subtree over leaves `index * 2**level` up to `(index + 1) * 2**level`; level 0 is a leaf hash."""

    level: int
    index: int


LoadHashes = Callable[[Sequence[Subtree]], Sequence[bytes]]
"""Gives the hash of each named subtree, in order; asked once a proof."""


def leaf_hash(data: bytes) -> bytes:
    """The hash of a leaf's data: SHA-256(0x00 || data), RFC 6962, section 2.1."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node: SHA-256(0x01 || left || right), RFC 6962, section 2.1."""
    return sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, kw_only=True)
class Frontier:
    """What a tree needs in order to grow: its size and the roots of its complete subtrees, the largest first."""

    size: int
    hashes: tuple[bytes, ...]

    def __post_init__(self) -> None:
        if not 0 <= self.size <= MAX_TREE_SIZE or len(self.hashes) != self.size.bit_count():
            raise MalformedFrontier
        if any(len(item) != HASH_BYTES for item in self.hashes):
            raise MalformedFrontier

    @classmethod
    def empty(cls) -> Self:
        """The frontier of the tree without leaves."""
        return cls(size=0, hashes=())

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Reads what `to_bytes` wrote; raises MalformedFrontier."""
        if len(data) < 8:
            raise MalformedFrontier
        hashes = tuple(data[offset : offset + HASH_BYTES] for offset in range(8, len(data), HASH_BYTES))
        return cls(size=int.from_bytes(data[:8], "big"), hashes=hashes)

    def to_bytes(self) -> bytes:
        """The size as 8 bytes, big-endian, then the hashes."""
        return self.size.to_bytes(8, "big") + b"".join(self.hashes)

    def append(self, leaf: bytes) -> Self:
        """The frontier after one more leaf hash."""
        return self.extend((leaf,))

    def extend(self, leaf_hashes: Iterable[bytes]) -> Self:
        """The frontier after these leaf hashes; raises BadHash, or MalformedFrontier past the largest tree."""
        size, hashes = self.size, list(self.hashes)
        for node in leaf_hashes:
            if len(node) != HASH_BYTES:
                raise BadHash
            carry = size
            while carry & 1:
                node = sha256(b"\x01" + hashes.pop() + node).digest()
                carry >>= 1
            hashes.append(node)
            size += 1
        return type(self)(size=size, hashes=tuple(hashes))

    def root(self) -> bytes:
        """The Merkle tree hash of all leaves."""
        return _join_subtrees(self.hashes) if self.hashes else EMPTY_ROOT


def subtree_root(hashes: bytes) -> bytes:
    """The root over a power of two of neighbouring hashes of one level, concatenated as a tile holds them."""
    while len(hashes) > HASH_BYTES:
        pairs = range(0, len(hashes), 2 * HASH_BYTES)
        hashes = b"".join([sha256(b"\x01" + hashes[at : at + 2 * HASH_BYTES]).digest() for at in pairs])
    return hashes


def root_at(size: int, load_hashes: LoadHashes) -> bytes:
    """The root that the tree had at an earlier size; raises BadTreeSize."""
    if not 0 <= size <= MAX_TREE_SIZE:
        raise BadTreeSize
    return _hash_ranges([(0, size)], load_hashes)[0] if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, load_hashes: LoadHashes) -> list[bytes]:
    """The audit path of a leaf in the tree of that size, leaf side first (RFC 6962, section 2.1.1).

    Raises IndexNotInTree or BadTreeSize.
    """
    return _hash_ranges(_inclusion_ranges(index, size), load_hashes)


def consistency_proof(old_size: int, new_size: int, load_hashes: LoadHashes) -> list[bytes]:
    """The proof that the tree of the new size extends that of the old one (RFC 6962, section 2.1.2).

    It is empty for equal sizes and for an old size of 0. Raises BadTreeSize.
    """
    return _hash_ranges(_consistency_ranges(old_size, new_size), load_hashes)


def verify_inclusion(*, leaf_hash: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Raises unless the proof leads from the leaf hash at that index to the root of the tree of that size.

    Raises IndexNotInTree, BadTreeSize, ProofLengthWrong, BadHash or RootMismatch.
    """
    siblings = _inclusion_ranges(index, size)
    _check_proof_form(proof, len(siblings), leaf_hash, root)
    node = leaf_hash
    for (begin, _), sibling in zip(siblings, proof, strict=True):
        node = node_hash(node, sibling) if begin > index else node_hash(sibling, node)
    if node != root:
        raise RootMismatch


def verify_consistency(
    *, old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Raises unless the proof shows that the new tree holds the old one as its beginning.

    An old size of 0 is consistent with everything, its root being that of the empty tree.
    Raises BadTreeSize, ProofLengthWrong, BadHash or RootMismatch.
    """
    ranges = _consistency_ranges(old_size, new_size)
    _check_proof_form(proof, len(ranges), old_root, new_root)
    if old_size == 0 and old_root != EMPTY_ROOT:
        raise RootMismatch
    if old_size == 0 and new_size > 0:
        return
    steps = list(zip(ranges, proof, strict=True))
    # The walk starts at the last subtree that both trees share whole: the first hash of the proof, or, where that
    # subtree is the whole old tree, the old root itself.
    old = new = steps.pop(0)[1] if steps and steps[0][0][1] == old_size else old_root
    for (begin, _), sibling in steps:
        if begin < old_size:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
        else:
            new = node_hash(new, sibling)
    if old != old_root or new != new_root:
        raise RootMismatch


def _check_proof_form(proof: Sequence[bytes], expected_length: int, *ends: bytes) -> None:
    if len(proof) != expected_length:
        raise ProofLengthWrong
    if any(len(item) != HASH_BYTES for item in (*proof, *ends)):
        raise BadHash


def _inclusion_ranges(index: int, size: int) -> list[LeafRange]:
    """The ranges of leaves whose hashes are PATH(index, D[size]), leaf side first."""
    if not 0 < size <= MAX_TREE_SIZE:
        raise BadTreeSize
    if not 0 <= index < size:
        raise IndexNotInTree
    begin, end = 0, size
    ranges = []
    while end - begin > 1:
        split = _split(begin, end)
        if index < split:
            ranges.append((split, end))
            end = split
        else:
            ranges.append((begin, split))
            begin = split
    return ranges[::-1]


def _consistency_ranges(old_size: int, new_size: int) -> list[LeafRange]:
    """The ranges of leaves whose hashes are PROOF(old_size, D[new_size]), leaf side first."""
    if not 0 <= old_size <= new_size <= MAX_TREE_SIZE:
        raise BadTreeSize
    if old_size == 0:
        return []
    begin, end = 0, new_size
    ranges = []
    while end > old_size:
        split = _split(begin, end)
        if old_size <= split:
            ranges.append((split, end))
            end = split
        else:
            ranges.append((begin, split))
            begin = split
    if begin > 0:
        # The verifier cannot know this subtree; where begin is 0 it is the old tree itself, whose root it has.
        ranges.append((begin, end))
    return ranges[::-1]


def _split(begin: int, end: int) -> int:
    """Where RFC 6962 parts a range: after the largest power of two of leaves that is smaller than the range."""
    return begin + (1 << ((end - begin - 1).bit_length() - 1))


def _hash_ranges(ranges: Sequence[LeafRange], load_hashes: LoadHashes) -> list[bytes]:
    subtrees = [_complete_subtrees(begin, end) for begin, end in ranges]
    loaded = iter(load_hashes([subtree for group in subtrees for subtree in group]) if ranges else ())
    return [_join_subtrees([next(loaded) for _ in group]) for group in subtrees]


def _complete_subtrees(begin: int, end: int) -> list[Subtree]:
    """The complete subtrees of a range that starts where RFC 6962 parts the tree, the largest first."""
    subtrees = []
    while begin < end:
        level = (end - begin).bit_length() - 1
        subtrees.append(Subtree(level, begin >> level))
        begin += 1 << level
    return subtrees


def _join_subtrees(hashes: Sequence[bytes]) -> bytes:
    """The root over complete subtrees, the largest first: each smaller one is the right child of the one before."""
    root = hashes[-1]
    for left in reversed(hashes[:-1]):
        root = node_hash(left, root)
    return root
