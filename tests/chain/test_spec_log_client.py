"""The client that knows only the specifications reads our log and finds all of it right."""

from collections.abc import Callable
from hashlib import sha256
from types import ModuleType
from typing import Any

import pytest

from chain.note import LogSigner, format_verifier_key
from chain.proof import format_tlog_proof
from chain.tiles import entry_bundles_of, tiles_of

SIZE = 70_000


@pytest.fixture(scope="module")
def log(new_log: Callable[[], Any]) -> Any:
    """70,000 leaves in batches of up to 256, as the sequencer groups them."""
    log = new_log()
    commitments = [sha256(index.to_bytes(4, "big")).digest() for index in range(SIZE)]
    while len(log.commitments) < SIZE:
        begin = len(log.commitments)
        log.append(commitments[begin : begin + begin % 256 + 1])
    return log


@pytest.fixture(scope="module")
def verifier_key(signer: LogSigner) -> str:
    return format_verifier_key(signer.verifier_key)


def test_it_verifies_a_log_of_70000_leaves_and_reads_exactly_its_tile_set(
    log: Any, spec_log_client: ModuleType, verifier_key: str
) -> None:
    read = spec_log_client.read_log(log.fetch, verifier_key)
    assert (read.origin, read.size, read.root) == ("credence.example/log", SIZE, log.frontier.root())
    assert read.entries == log.commitments
    ours = [bundle.path for bundle in entry_bundles_of(SIZE)] + [tile.path for tile in tiles_of(SIZE)]
    assert read.paths == ours
    assert len(log.tiles) == 273 + 1 + 1 + 1 + 1


def test_its_audit_paths_are_our_inclusion_proofs(log: Any, spec_log_client: ModuleType, verifier_key: str) -> None:
    read = spec_log_client.read_log(log.fetch, verifier_key)
    for index in (0, 255, 256, 65_535, 65_536, 69_887, SIZE - 1):
        assert read.prove(index) == log.inclusion(index)


def test_it_verifies_our_tlog_proof(log: Any, spec_log_client: ModuleType, verifier_key: str) -> None:
    proof = format_tlog_proof(index=4711, inclusion=log.inclusion(4711), checkpoint=log.checkpoint())
    assert spec_log_client.check_proof(proof, log.commitments[4711], verifier_key) == 4711
    with pytest.raises(spec_log_client.LogIsWrong):
        spec_log_client.check_proof(proof, log.commitments[4712], verifier_key)


@pytest.mark.parametrize("path", ["tile/0/000", "tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"])
def test_it_finds_one_altered_bit_in_a_tile(
    log: Any, spec_log_client: ModuleType, verifier_key: str, path: str
) -> None:
    def fetch(asked: str) -> bytes:
        served = log.fetch(asked)
        return bytes([served[0] ^ 1]) + served[1:] if asked == path else served

    with pytest.raises(spec_log_client.LogIsWrong):
        spec_log_client.read_log(fetch, verifier_key)


def test_it_finds_one_altered_bit_in_an_entry(log: Any, spec_log_client: ModuleType, verifier_key: str) -> None:
    def fetch(asked: str) -> bytes:
        served = log.fetch(asked)
        return served[:-1] + bytes([served[-1] ^ 1]) if asked == "tile/entries/100" else served

    with pytest.raises(spec_log_client.LogIsWrong):
        spec_log_client.read_log(fetch, verifier_key)
