"""What the tests of the log share: a log in memory whose store is a dict of tile rows, as the SQL store's are."""

import importlib.util
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pytest

from api.cli import local_service
from chain.anvil import find_anvil
from chain.checkpoint import Checkpoint, sign_checkpoint
from chain.errors import AnvilMissing
from chain.merkle import Frontier, inclusion_proof, leaf_hash
from chain.note import LogSigner
from chain.tiles import (
    EntryBundle,
    TileKey,
    append_leaves,
    encode_entry_bundle,
    hash_loader,
    parse_tile_path,
    slice_tile,
)

ORIGIN = "credence.example/log"


@dataclass
class MemoryLog:
    signer: LogSigner
    frontier: Frontier = field(default_factory=Frontier.empty)
    tiles: dict[TileKey, bytes] = field(default_factory=dict)
    commitments: list[bytes] = field(default_factory=list)
    loads: list[set[TileKey]] = field(default_factory=list)

    def append(self, commitments: list[bytes]) -> None:
        appended = append_leaves(self.frontier, [leaf_hash(item) for item in commitments], self.load_tiles)
        self.frontier = appended.frontier
        self.tiles.update(appended.tiles)
        self.commitments += commitments

    def load_tiles(self, keys: Collection[TileKey]) -> Mapping[TileKey, bytes]:
        self.loads.append(set(keys))
        return {key: self.tiles[key] for key in keys if key in self.tiles}

    def checkpoint(self) -> str:
        head = Checkpoint(origin=ORIGIN, size=self.frontier.size, root=self.frontier.root())
        return sign_checkpoint(head, self.signer)

    def inclusion(self, index: int, size: int | None = None) -> list[bytes]:
        return inclusion_proof(index, self.frontier.size if size is None else size, hash_loader(self.load_tiles))

    def fetch(self, path: str) -> bytes:
        """What the log's HTTP prefix serves below itself."""
        if path == "checkpoint":
            return self.checkpoint().encode()
        tile = parse_tile_path(path)
        if isinstance(tile, EntryBundle):
            return encode_entry_bundle(self.commitments[tile.first_entry : tile.first_entry + tile.width])
        return slice_tile(tile, self.tiles.get(tile.key, b""))


@pytest.fixture(scope="session")
def signer() -> LogSigner:
    return LogSigner(name=ORIGIN, private_key=bytes(range(32)))


@pytest.fixture(scope="session")
def new_log(signer: LogSigner) -> Callable[[], MemoryLog]:
    return lambda: MemoryLog(signer=signer)


@pytest.fixture(scope="session")
def spec_log_client() -> ModuleType:
    """The client that is written from the specifications alone; loaded by path, it belongs to no package."""
    path = Path(__file__).with_name("spec_log_client.py")
    spec = importlib.util.spec_from_file_location("spec_log_client", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["spec_log_client"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def anvil_binary(pytestconfig: pytest.Config) -> Path:
    try:
        return find_anvil(pytestconfig.rootpath)
    except AnvilMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    return local_service.free_port
