"""RFC 6962 trees: published vectors, then every small tree, then what must be refused."""

from collections.abc import Sequence
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from chain.errors import (
    BadHash,
    BadTreeSize,
    ChainError,
    IndexNotInTree,
    MalformedFrontier,
    ProofLengthWrong,
    RootMismatch,
)
from chain.merkle import (
    EMPTY_ROOT,
    MAX_TREE_SIZE,
    Frontier,
    Subtree,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_at,
    subtree_root,
    verify_consistency,
    verify_inclusion,
)

# The reference data of Certificate Transparency: google/certificate-transparency, cpp/merkletree/merkle_tree_test.cc,
# and transparency-dev/merkle, proof/verify_test.go.
CT_LEAVES = [
    bytes.fromhex(data)
    for data in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
CT_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
CT_INCLUSION = [
    (0, 1, []),
    (
        0,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (2, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (
        1,
        5,
        [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
]
CT_CONSISTENCY = [
    (1, 1, []),
    (1, 8, CT_INCLUSION[1][2]),
    (
        6,
        8,
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        [
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
    (
        6,
        7,
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
]


class Leaves:
    """A tree that hashes each complete subtree once, and the root it had at every size."""

    def __init__(self, hashes: Sequence[bytes]) -> None:
        self.hashes = hashes
        self._known: dict[Subtree, bytes] = {}
        frontier = Frontier.empty()
        self.roots = [frontier.root()]
        for item in hashes:
            frontier = frontier.append(item)
            self.roots.append(frontier.root())

    def load(self, subtrees: Sequence[Subtree]) -> list[bytes]:
        return [self._hash(subtree) for subtree in subtrees]

    def _hash(self, subtree: Subtree) -> bytes:
        if subtree not in self._known:
            begin, end = subtree.index << subtree.level, (subtree.index + 1) << subtree.level
            assert end <= len(self.hashes), "asked for a subtree that is not complete"
            self._known[subtree] = subtree_root(b"".join(self.hashes[begin:end]))
        return self._known[subtree]


CT = Leaves([leaf_hash(data) for data in CT_LEAVES])
TREE = Leaves([leaf_hash(index.to_bytes(2, "big")) for index in range(300)])


def mth(leaves: Sequence[bytes]) -> bytes:
    """MTH(D[n]) as RFC 6962, section 2.1, writes it."""
    if not leaves:
        return sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    k = next(2**e for e in range(20) if 2**e < len(leaves) <= 2 ** (e + 1))
    return node_hash(mth(leaves[:k]), mth(leaves[k:]))


def subproof(m: int, leaves: Sequence[bytes], whole: bool) -> list[bytes]:
    """SUBPROOF(m, D[n], b) as RFC 6962, section 2.1.2, writes it."""
    n = len(leaves)
    if m == n:
        return [] if whole else [mth(leaves)]
    k = next(2**e for e in range(20) if 2**e < n <= 2 ** (e + 1))
    if m <= k:
        return [*subproof(m, leaves[:k], whole), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], False), mth(leaves[:k])]


def unhex(hashes: Sequence[str]) -> list[bytes]:
    return [bytes.fromhex(item) for item in hashes]


def test_roots_of_the_certificate_transparency_vectors() -> None:
    assert [root.hex() for root in CT.roots[1:]] == CT_ROOTS
    assert (
        CT.roots[0] == EMPTY_ROOT == bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    )


@pytest.mark.parametrize(("index", "size", "expected"), CT_INCLUSION)
def test_inclusion_proofs_of_the_certificate_transparency_vectors(index: int, size: int, expected: list[str]) -> None:
    assert inclusion_proof(index, size, CT.load) == unhex(expected)
    verify_inclusion(leaf_hash=CT.hashes[index], index=index, size=size, proof=unhex(expected), root=CT.roots[size])


@pytest.mark.parametrize(("old_size", "new_size", "expected"), CT_CONSISTENCY)
def test_consistency_proofs_of_the_certificate_transparency_vectors(
    old_size: int, new_size: int, expected: list[str]
) -> None:
    assert consistency_proof(old_size, new_size, CT.load) == unhex(expected)
    verify_consistency(
        old_size=old_size,
        new_size=new_size,
        old_root=CT.roots[old_size],
        new_root=CT.roots[new_size],
        proof=unhex(expected),
    )


def test_roots_equal_those_of_pymerkle_on_10000_leaves() -> None:
    oracle = InmemoryTree(algorithm="sha256")
    frontier = Frontier.empty()
    for index in range(10_000):
        oracle.append_entry(index.to_bytes(4, "big"))
        frontier = frontier.append(leaf_hash(index.to_bytes(4, "big")))
        if index % 97 == 0:
            assert frontier.root() == oracle.get_root()
    assert frontier.root() == oracle.get_root()


def test_small_proofs_equal_the_definitions_of_the_rfc() -> None:
    for size in range(1, 66):
        leaves = TREE.hashes[:size]
        assert TREE.roots[size] == mth(leaves) == root_at(size, TREE.load)
        for old_size in range(1, size + 1):
            assert consistency_proof(old_size, size, TREE.load) == subproof(old_size, leaves, True)


def test_every_inclusion_proof_up_to_300_leaves_verifies() -> None:
    for size in range(1, 301):
        for index in range(size):
            proof = inclusion_proof(index, size, TREE.load)
            verify_inclusion(leaf_hash=TREE.hashes[index], index=index, size=size, proof=proof, root=TREE.roots[size])


def test_every_consistency_proof_up_to_300_leaves_verifies() -> None:
    for new_size in range(301):
        for old_size in range(new_size + 1):
            verify_consistency(
                old_size=old_size,
                new_size=new_size,
                old_root=TREE.roots[old_size],
                new_root=TREE.roots[new_size],
                proof=consistency_proof(old_size, new_size, TREE.load),
            )


@given(st.data())
def test_an_inclusion_proof_with_one_altered_byte_is_refused(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 300))
    index = data.draw(st.integers(0, size - 1))
    parts = [TREE.hashes[index], TREE.roots[size], *inclusion_proof(index, size, TREE.load)]
    altered = data.draw(st.integers(0, len(parts) - 1))
    parts[altered] = _alter(data, parts[altered])
    with pytest.raises(RootMismatch):
        verify_inclusion(leaf_hash=parts[0], index=index, size=size, proof=parts[2:], root=parts[1])


@given(st.data())
def test_a_consistency_proof_with_one_altered_byte_is_refused(data: st.DataObject) -> None:
    new_size = data.draw(st.integers(1, 300))
    old_size = data.draw(st.integers(1, new_size))
    parts = [TREE.roots[old_size], TREE.roots[new_size], *consistency_proof(old_size, new_size, TREE.load)]
    altered = data.draw(st.integers(0, len(parts) - 1))
    parts[altered] = _alter(data, parts[altered])
    with pytest.raises(RootMismatch):
        verify_consistency(old_size=old_size, new_size=new_size, old_root=parts[0], new_root=parts[1], proof=parts[2:])


@given(st.data())
def test_an_inclusion_proof_counts_for_no_other_index(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 300))
    index, other = data.draw(st.lists(st.integers(0, size - 1), min_size=2, max_size=2, unique=True))
    with pytest.raises((RootMismatch, ProofLengthWrong)):
        verify_inclusion(
            leaf_hash=TREE.hashes[index],
            index=other,
            size=size,
            proof=inclusion_proof(index, size, TREE.load),
            root=TREE.roots[size],
        )


@pytest.mark.parametrize("spoil", [lambda proof: proof[:-1], lambda proof: [*proof, proof[0]], lambda _: []])
def test_a_proof_of_another_length_is_refused(spoil: object) -> None:
    assert callable(spoil)
    with pytest.raises(ProofLengthWrong):
        verify_inclusion(
            leaf_hash=TREE.hashes[5],
            index=5,
            size=11,
            proof=spoil(inclusion_proof(5, 11, TREE.load)),
            root=TREE.roots[11],
        )
    with pytest.raises(ProofLengthWrong):
        verify_consistency(
            old_size=6,
            new_size=11,
            old_root=TREE.roots[6],
            new_root=TREE.roots[11],
            proof=spoil(consistency_proof(6, 11, TREE.load)),
        )


def test_hashes_of_another_length_are_refused() -> None:
    # Two hashes whose concatenation is the same as that of the right ones must not pass for them.
    left, right = TREE.hashes[:2]
    with pytest.raises(BadHash):
        verify_inclusion(leaf_hash=left + right[:1], index=0, size=2, proof=[right[1:]], root=TREE.roots[2])
    with pytest.raises(BadHash):
        Frontier.empty().append(b"short")


@pytest.mark.parametrize(("index", "size"), [(0, 0), (-1, 3), (3, 3), (0, -1), (0, MAX_TREE_SIZE + 1)])
def test_indices_outside_the_tree_are_refused(index: int, size: int) -> None:
    with pytest.raises((IndexNotInTree, BadTreeSize)):
        inclusion_proof(index, size, TREE.load)


@pytest.mark.parametrize(("old_size", "new_size"), [(-1, 3), (4, 3), (0, MAX_TREE_SIZE + 1)])
def test_sizes_that_do_not_grow_are_refused(old_size: int, new_size: int) -> None:
    with pytest.raises(BadTreeSize):
        consistency_proof(old_size, new_size, TREE.load)


def test_only_the_empty_root_is_consistent_with_everything() -> None:
    verify_consistency(old_size=0, new_size=3, old_root=EMPTY_ROOT, new_root=TREE.roots[3], proof=[])
    with pytest.raises(RootMismatch):
        verify_consistency(old_size=0, new_size=3, old_root=TREE.roots[1], new_root=TREE.roots[3], proof=[])
    with pytest.raises(RootMismatch):
        verify_consistency(old_size=0, new_size=0, old_root=EMPTY_ROOT, new_root=TREE.roots[1], proof=[])


@given(
    st.integers(-5, 2**70),
    st.integers(-5, 2**70),
    st.lists(st.binary(max_size=40), max_size=70),
    st.binary(max_size=40),
    st.binary(max_size=40),
)
def test_hostile_proofs_raise_only_our_errors(
    first: int, second: int, proof: list[bytes], start: bytes, root: bytes
) -> None:
    with pytest.raises(ChainError):
        verify_inclusion(leaf_hash=start, index=first, size=second, proof=proof, root=root)
    if first != second:
        with pytest.raises(ChainError):
            verify_consistency(old_size=first, new_size=second, old_root=start, new_root=root, proof=proof)


def test_a_frontier_survives_its_bytes_at_every_size() -> None:
    frontier = Frontier.empty()
    for item in TREE.hashes:
        assert Frontier.from_bytes(frontier.to_bytes()) == frontier
        assert len(frontier.to_bytes()) == 8 + 32 * frontier.size.bit_count()
        frontier = frontier.append(item)


@given(st.integers(0, 300), st.integers(0, 300))
def test_a_batch_grows_a_frontier_as_single_leaves_do(first: int, second: int) -> None:
    begin, end = sorted((first, second))
    grown = Frontier.empty().extend(TREE.hashes[:begin]).extend(TREE.hashes[begin:end])
    assert (grown.size, grown.root()) == (end, TREE.roots[end])


@given(st.binary(max_size=200))
def test_hostile_frontier_bytes_are_refused_or_come_back_as_they_were(data: bytes) -> None:
    try:
        frontier = Frontier.from_bytes(data)
    except ChainError:
        return
    assert frontier.to_bytes() == data


def test_a_frontier_with_a_hash_too_many_is_refused() -> None:
    with pytest.raises(MalformedFrontier):
        Frontier(size=4, hashes=(TREE.roots[4], TREE.hashes[4]))
    with pytest.raises(MalformedFrontier):
        Frontier.from_bytes(Frontier.empty().append(TREE.hashes[0]).to_bytes()[:-32])


def _alter(data: st.DataObject, value: bytes) -> bytes:
    at, mask = data.draw(st.integers(0, len(value) - 1)), data.draw(st.integers(1, 255))
    return value[:at] + bytes([value[at] ^ mask]) + value[at + 1 :]
