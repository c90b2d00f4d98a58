"""The tiles of a log as C2SP tlog-tiles defines them: their paths, their bytes, how they grow, how proofs read them.

A tile holds up to 256 hashes of one level; at level 0 they are leaf hashes, above it each is the root of a full tile of
the level below. A store keeps one row a tile: (level, index) -> its hashes, concatenated; only the rightmost tile of a
level is partial, and its row is rewritten until it is full. A row therefore holds every narrower version of itself.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from chain.errors import (
    BadTilePath,
    BadTreeSize,
    MalformedEntryBundle,
    MalformedTile,
    TileNotInTree,
)
from chain.merkle import HASH_BYTES, MAX_TREE_SIZE, Frontier, LoadHashes, Subtree, subtree_root

TILE_HEIGHT = 8
TILE_WIDTH = 256
FULL_TILE_BYTES = TILE_WIDTH * HASH_BYTES
MAX_TILE_LEVEL = 63
MAX_ENTRY_BYTES = 2**16 - 1

_TILE_PATH = re.compile(
    r"tile/(?P<level>entries|0|[1-9][0-9]?)/(?P<index>(?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?",
    re.ASCII,
)


TileKey = tuple[int, int]
"""Where a tile stands in the store: its level and its index."""

LoadTiles = Callable[[Collection[TileKey]], Mapping[TileKey, bytes]]
"""Gives the stored hashes of each tile; a tile that is not stored is left out."""


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A hash tile of a given width, 1 to 256."""

    level: int
    index: int
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        """The tile's path below the log's prefix, such as `tile/0/x001/067.p/112`."""
        return f"tile/{self.level}/{_format_index_and_width(self.index, self.width)}"

    @property
    def key(self) -> TileKey:
        """The row that holds the tile."""
        return self.level, self.index


@dataclass(frozen=True, kw_only=True)
class EntryBundle:
    """The data of `width` entries from index `index * 256` on."""

    index: int
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        """The bundle's path below the log's prefix, such as `tile/entries/x001/067`."""
        return f"tile/entries/{_format_index_and_width(self.index, self.width)}"

    @property
    def first_entry(self) -> int:
        """The log index of the bundle's first entry."""
        return self.index * TILE_WIDTH


def parse_tile_path(path: str) -> Tile | EntryBundle:
    """The tile or entry bundle that a path below the log's prefix names; raises BadTilePath."""
    match = _TILE_PATH.fullmatch(path)
    if match is None:
        raise BadTilePath
    index = int(match["index"].replace("x", "").replace("/", ""))
    width = int(match["width"] or TILE_WIDTH)
    tile: Tile | EntryBundle
    if match["level"] == "entries":
        tile = EntryBundle(index=index, width=width)
    else:
        tile = Tile(level=int(match["level"]), index=index, width=width)
        if tile.level > MAX_TILE_LEVEL:
            raise BadTilePath
    # One name a tile: no superfluous x000 element, no .p/256.
    if width > TILE_WIDTH or tile.path != path:
        raise BadTilePath
    return tile


def tiles_of(size: int) -> list[Tile]:
    """All tiles of the tree of that size, level by level, left to right; raises BadTreeSize."""
    if not 0 <= size <= MAX_TREE_SIZE:
        raise BadTreeSize
    tiles = []
    level, hashes = 0, size
    while hashes:
        full, partial = divmod(hashes, TILE_WIDTH)
        tiles += [Tile(level=level, index=index) for index in range(full)]
        if partial:
            tiles.append(Tile(level=level, index=full, width=partial))
        level, hashes = level + 1, full
    return tiles


def entry_bundles_of(size: int) -> list[EntryBundle]:
    """All entry bundles of the tree of that size; raises BadTreeSize."""
    return [EntryBundle(index=tile.index, width=tile.width) for tile in tiles_of(size) if tile.level == 0]


def check_tile_in_tree(tile: Tile | EntryBundle, size: int) -> None:
    """Raises TileNotInTree unless the tree of that size, or an earlier one, has the tile at that width."""
    level = tile.level if isinstance(tile, Tile) else 0
    if tile.index * TILE_WIDTH + tile.width > size >> (TILE_HEIGHT * level):
        raise TileNotInTree


def slice_tile(tile: Tile, stored: bytes) -> bytes:
    """The bytes to serve for a tile out of its stored row; raises TileNotInTree where the row is still narrower."""
    if len(stored) < tile.width * HASH_BYTES:
        raise TileNotInTree
    return stored[: tile.width * HASH_BYTES]


def encode_entry_bundle(entries: Sequence[bytes]) -> bytes:
    """The entries, each after its length as a big-endian uint16; raises MalformedEntryBundle for what cannot fit."""
    if len(entries) > TILE_WIDTH or any(len(entry) > MAX_ENTRY_BYTES for entry in entries):
        raise MalformedEntryBundle
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def parse_entry_bundle(data: bytes, width: int) -> list[bytes]:
    """The entries of a bundle that holds exactly `width` of them; raises MalformedEntryBundle."""
    entries: list[bytes] = []
    offset = 0
    while offset < len(data) and len(entries) < width:
        begin = offset + 2
        offset = begin + int.from_bytes(data[offset:begin], "big")
        entries.append(data[begin:offset])
    # A cut length or entry leaves the offset past the end.
    if offset != len(data) or len(entries) != width:
        raise MalformedEntryBundle
    return entries


@dataclass(frozen=True, kw_only=True)
class Append:
    """What a batch of leaves changes: the new head and the rows to insert or overwrite."""

    frontier: Frontier
    tiles: dict[TileKey, bytes]


def append_leaves(frontier: Frontier, leaf_hashes: Sequence[bytes], load_tiles: LoadTiles) -> Append:
    """Grows the tree by a batch of leaf hashes, reading only the partial tiles that the batch touches.

    Pure but for `load_tiles`, which is asked at most once. Raises BadHash, or MalformedTile where a stored partial tile
    does not have the width that the frontier's size asks for.
    """
    grown = frontier.extend(leaf_hashes)
    touched = _partial_tiles_touched(frontier.size, grown.size)
    stored = load_tiles(list(touched)) if touched else {}
    tiles: dict[TileKey, bytes] = {}
    level, position, hashes = 0, frontier.size, list(leaf_hashes)
    while hashes:
        index, width = divmod(position, TILE_WIDTH)
        partial = stored.get((level, index), b"") if width else b""
        if len(partial) != width * HASH_BYTES:
            raise MalformedTile
        row = partial + b"".join(hashes)
        full_tile_roots = []
        for offset in range(0, len(row), FULL_TILE_BYTES):
            tile = row[offset : offset + FULL_TILE_BYTES]
            tiles[(level, index)] = tile
            if len(tile) == FULL_TILE_BYTES:
                full_tile_roots.append(subtree_root(tile))
            index += 1
        level, position, hashes = level + 1, position // TILE_WIDTH, full_tile_roots
    return Append(frontier=grown, tiles=tiles)


def hash_loader(load_tiles: LoadTiles) -> LoadHashes:
    """Reads the hashes of complete subtrees out of tiles, for proofs and roots of the current and any earlier size.

    The reader raises MalformedTile where a tile is missing or too narrow.
    """

    def load_hashes(subtrees: Sequence[Subtree]) -> list[bytes]:
        spans = [_tile_span(subtree) for subtree in subtrees]
        tiles = load_tiles({key for key, _, _ in spans})
        hashes = []
        for key, begin, end in spans:
            row = tiles.get(key, b"")
            if len(row) < end * HASH_BYTES:
                raise MalformedTile
            hashes.append(subtree_root(row[begin * HASH_BYTES : end * HASH_BYTES]))
        return hashes

    return load_hashes


def _tile_span(subtree: Subtree) -> tuple[TileKey, int, int]:
    """The tile that holds the subtree, and which of its hashes the subtree's root is made of."""
    tile_level, height = divmod(subtree.level, TILE_HEIGHT)
    index, begin = divmod(subtree.index << height, TILE_WIDTH)
    return (tile_level, index), begin, begin + (1 << height)


def _partial_tiles_touched(old_size: int, new_size: int) -> list[TileKey]:
    """The partial tiles of the old tree that gain a hash on the way to the new size."""
    touched = []
    level = 0
    while old_size != new_size:
        if old_size % TILE_WIDTH:
            touched.append((level, old_size // TILE_WIDTH))
        level, old_size, new_size = level + 1, old_size // TILE_WIDTH, new_size // TILE_WIDTH
    return touched


def _format_index_and_width(index: int, width: int) -> str:
    groups = [f"{index % 1000:03d}"]
    while index := index // 1000:
        groups.append(f"x{index % 1000:03d}")
    path = "/".join(reversed(groups))
    return path if width == TILE_WIDTH else f"{path}.p/{width}"
