"""C2SP tlog-tiles: the specification's own examples, growth in batches, proofs read back at every past size."""

import re
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.errors import (
    BadTilePath,
    BadTreeSize,
    ChainError,
    MalformedEntryBundle,
    MalformedTile,
    TileNotInTree,
)
from chain.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root_at,
    subtree_root,
    verify_consistency,
    verify_inclusion,
)
from chain.tiles import (
    EntryBundle,
    Tile,
    append_leaves,
    check_tile_in_tree,
    encode_entry_bundle,
    entry_bundles_of,
    hash_loader,
    parse_entry_bundle,
    parse_tile_path,
    slice_tile,
    tiles_of,
)

LEAVES = [leaf_hash(index.to_bytes(4, "big")) for index in range(66_000)]


def test_index_1234067_is_encoded_as_the_specification_says() -> None:
    # C2SP tlog-tiles, "Merkle Tree": "index 1234067 will be encoded as x001/x234/067"
    assert Tile(level=0, index=1_234_067).path == "tile/0/x001/x234/067"
    assert parse_tile_path("tile/0/x001/x234/067") == Tile(level=0, index=1_234_067)


def test_the_tile_set_of_70000_leaves_is_the_one_that_the_specification_lists() -> None:
    # C2SP tlog-tiles, "Partial Tiles": "273 full level 0 tiles, one partial level 0 tile of width 112, one full level
    # 1 tile, one partial level 1 tile of width 17, and one partial level 2 tile of width 1"
    tiles = tiles_of(70_000)
    assert tiles == [
        *[Tile(level=0, index=index) for index in range(273)],
        Tile(level=0, index=273, width=112),
        Tile(level=1, index=0),
        Tile(level=1, index=1, width=17),
        Tile(level=2, index=0, width=1),
    ]
    assert [tile.path for tile in tiles[272:]] == [
        "tile/0/272",
        "tile/0/273.p/112",
        "tile/1/000",
        "tile/1/001.p/17",
        "tile/2/000.p/1",
    ]
    bundles = entry_bundles_of(70_000)
    assert [bundle.path for bundle in bundles[272:]] == ["tile/entries/272", "tile/entries/273.p/112"]
    assert (len(bundles), bundles[273].first_entry) == (274, 69_888)


def test_a_tree_of_256_leaves_has_a_full_tile_and_a_partial_one_above() -> None:
    # C2SP tlog-tiles, "Partial Tiles": "a full level 0 tile and a partial level 1 tile of width 1"
    assert tiles_of(256) == [Tile(level=0, index=0), Tile(level=1, index=0, width=1)]


def test_the_empty_tree_has_no_tiles() -> None:
    assert tiles_of(0) == entry_bundles_of(0) == []
    with pytest.raises(BadTreeSize):
        tiles_of(-1)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0",
        "tile/0/",
        "tile/0/0",
        "tile/0/0000",
        "tile/00/000",
        "tile/-1/000",
        "tile/64/000",
        "tile/0/x000/001",
        "tile/0/001/002",
        "tile/0/x001/x002",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/999",
        "tile/0/000.p/",
        "tile/0/000.p/1\n",
        "tile/0/٠٠٠",
        "/tile/0/000",
        "tile/0/000/../001",
        "tile/entries/x000/000",
        "tile/entries/000.p/256",
        "tile/data/000",
        "tile/0/" + "x001/" * 200 + "000",
    ],
)
def test_a_path_that_names_no_tile_is_refused(path: str) -> None:
    with pytest.raises(BadTilePath):
        parse_tile_path(path)


TILES = st.builds(Tile, level=st.integers(0, 63), index=st.integers(0, 2**60), width=st.integers(1, 256))
BUNDLES = st.builds(EntryBundle, index=st.integers(0, 2**60), width=st.integers(1, 256))


@given(TILES | BUNDLES)
def test_paths_come_back_as_the_tile_they_name(tile: Tile | EntryBundle) -> None:
    assert parse_tile_path(tile.path) == tile
    assert re.fullmatch(r"tile/(\d+|entries)/(x\d{3}/)*\d{3}(\.p/\d+)?", tile.path)


@given(st.text(alphabet="tile/entrsx0123456789.p", max_size=40) | st.text(max_size=20))
def test_hostile_paths_are_refused_or_canonical(path: str) -> None:
    try:
        tile = parse_tile_path(path)
    except ChainError:
        return
    assert tile.path == path


def test_every_tile_of_a_tree_is_in_it_and_the_next_is_not() -> None:
    for size in (1, 255, 256, 257, 65_535, 65_536, 70_000):
        for tile in tiles_of(size):
            check_tile_in_tree(tile, size)
            with pytest.raises(TileNotInTree):
                check_tile_in_tree(Tile(level=tile.level, index=size // 256 ** (tile.level + 1) + 1, width=1), size)
        with pytest.raises(TileNotInTree):
            check_tile_in_tree(EntryBundle(index=size // 256, width=size % 256 + 1), size)
        # The narrower versions of a tile belong to earlier sizes of the same tree.
        check_tile_in_tree(EntryBundle(index=0, width=1), size)


def test_a_narrower_tile_is_the_beginning_of_the_stored_row() -> None:
    row = b"".join(LEAVES[:100])
    assert slice_tile(Tile(level=0, index=0, width=100), row) == row
    assert slice_tile(Tile(level=0, index=0, width=3), row) == b"".join(LEAVES[:3])
    with pytest.raises(TileNotInTree):
        slice_tile(Tile(level=0, index=0, width=101), row)
    with pytest.raises(TileNotInTree):
        slice_tile(Tile(level=0, index=0), row)


@given(st.lists(st.binary(max_size=70), max_size=256))
def test_entry_bundles_come_back(entries: list[bytes]) -> None:
    bundle = encode_entry_bundle(entries)
    assert parse_entry_bundle(bundle, len(entries)) == entries
    with pytest.raises(MalformedEntryBundle):
        parse_entry_bundle(bundle, len(entries) + 1)
    with pytest.raises(MalformedEntryBundle):
        parse_entry_bundle(bundle + b"\x00", len(entries))


def test_the_length_of_an_entry_is_a_big_endian_uint16() -> None:
    assert encode_entry_bundle([b"ab", b""]) == b"\x00\x02ab\x00\x00"
    assert len(encode_entry_bundle([bytes(65_535)])) == 65_537


@pytest.mark.parametrize("entries", [[bytes(65_536)], [b""] * 257])
def test_what_no_bundle_can_hold_is_refused(entries: list[bytes]) -> None:
    with pytest.raises(MalformedEntryBundle):
        encode_entry_bundle(entries)


@given(st.binary(max_size=300), st.integers(0, 256))
def test_hostile_bundles_are_refused_or_come_back_as_they_were(data: bytes, width: int) -> None:
    try:
        entries = parse_entry_bundle(data, width)
    except ChainError:
        return
    assert encode_entry_bundle(entries) == data


def test_tiles_hold_the_hashes_that_the_specification_defines(new_log: Callable[[], Any]) -> None:
    log = new_log()
    appended = append_leaves(log.frontier, LEAVES, log.load_tiles)
    # MTH(D[(n * 256 + i) * 256**l : (n * 256 + i + 1) * 256**l]) for i from 0 to 255
    assert set(appended.tiles) == {tile.key for tile in tiles_of(len(LEAVES))}
    for tile in tiles_of(len(LEAVES)):
        span = 256**tile.level
        begin = tile.index * 256 * span
        hashes = [subtree_root(b"".join(LEAVES[begin + i * span : begin + (i + 1) * span])) for i in range(tile.width)]
        assert appended.tiles[tile.key] == b"".join(hashes)
    assert appended.frontier == Frontier.empty().extend(LEAVES)


@given(st.lists(st.integers(0, 700), max_size=12))
def test_batches_of_any_size_grow_the_same_tiles(new_log: Callable[[], Any], batches: list[int]) -> None:
    data = [sha256(index.to_bytes(4, "big")).digest() for index in range(sum(batches))]
    in_batches, at_once = new_log(), new_log()
    at_once.append(data)
    for count in batches:
        begin = in_batches.frontier.size
        in_batches.loads.clear()
        in_batches.append(data[begin : begin + count])
        # One look at the store a batch, for rightmost partial tiles only.
        assert len(in_batches.loads) <= 1
        partial = {tile.key for tile in tiles_of(begin) if tile.width < 256}
        assert all(keys <= partial for keys in in_batches.loads)
    assert in_batches.tiles == at_once.tiles
    assert in_batches.frontier == at_once.frontier


def test_a_batch_that_fills_no_tile_touches_one_row(new_log: Callable[[], Any]) -> None:
    log = new_log()
    log.append([bytes(32)] * 65_900)
    log.loads.clear()
    appended = append_leaves(log.frontier, LEAVES[:50], log.load_tiles)
    assert log.loads == [{(0, 257)}]
    assert set(appended.tiles) == {(0, 257)}


@pytest.fixture(scope="module")
def log(new_log: Callable[[], Any]) -> Any:
    log = new_log()
    log.append([index.to_bytes(4, "big") for index in range(len(LEAVES))])
    return log


@given(st.data())
def test_proofs_for_every_past_size_are_read_from_the_current_tiles(log: Any, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 66_000))
    index = data.draw(st.integers(0, size - 1))
    load_hashes = hash_loader(log.load_tiles)
    root = root_at(size, load_hashes)
    assert root == Frontier.empty().extend(LEAVES[:size]).root()
    verify_inclusion(
        leaf_hash=LEAVES[index], index=index, size=size, proof=inclusion_proof(index, size, load_hashes), root=root
    )
    verify_consistency(
        old_size=size,
        new_size=66_000,
        old_root=root,
        new_root=log.frontier.root(),
        proof=consistency_proof(size, 66_000, load_hashes),
    )


def test_a_proof_looks_at_the_store_once_and_at_few_tiles(log: Any) -> None:
    log.loads.clear()
    log.inclusion(12_345)
    assert len(log.loads) == 1
    assert len(log.loads[0]) <= 6


def test_the_root_of_the_empty_tree_needs_no_tile(new_log: Callable[[], Any]) -> None:
    log = new_log()
    assert root_at(0, hash_loader(log.load_tiles)) == EMPTY_ROOT
    assert log.loads == []


@pytest.mark.parametrize("spoil", [None, b"", bytes(32 * 9), bytes(32 * 11), bytes(319)])
def test_an_append_over_a_lost_or_cut_tile_is_refused(new_log: Callable[[], Any], spoil: bytes | None) -> None:
    log = new_log()
    log.append([bytes(32)] * 266)
    if spoil is None:
        del log.tiles[0, 1]
    else:
        log.tiles[0, 1] = spoil
    with pytest.raises(MalformedTile):
        log.append([bytes(32)])


def test_a_proof_over_a_lost_or_cut_tile_is_refused(new_log: Callable[[], Any]) -> None:
    log = new_log()
    log.append([bytes(32)] * 266)
    log.tiles[0, 1] = log.tiles[0, 1][:-1]
    with pytest.raises(MalformedTile):
        log.inclusion(3)
    del log.tiles[0, 1]
    with pytest.raises(MalformedTile):
        log.inclusion(3)
