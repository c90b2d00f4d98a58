"""The log over HTTP, read by a client that knows only the specifications."""

import base64
import importlib.util
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import insert, update

from api.store.database import write_transaction
from api.store.tables import log_entries, log_head, log_tiles
from api.store.tables import tenants as tenant_rows
from chain.merkle import Frontier, leaf_hash
from chain.note import format_verifier_key
from chain.tiles import append_leaves

PREFIX = "/v1/log/"
SEVERAL = 260
MANY = 70_000


@pytest.fixture(scope="session")
def spec_log_client():
    """The reader that is written from the specifications alone and shares no code with us."""
    path = Path(__file__).resolve().parents[1] / "chain" / "spec_log_client.py"
    specification = importlib.util.spec_from_file_location("spec_log_client", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def reader_of(harness, paths=None):
    def fetch(path):
        answer = harness.http.get(PREFIX + path)
        assert answer.status_code == 200, path
        if paths is not None:
            paths.append(path)
        return answer.content

    return fetch


def verifier_key_of(harness):
    (key,) = harness.http.get("/v1/keys").json()["log_keys"]
    return key["vkey"]


def append_synthetic(harness, count):
    """Entries of nobody's, put into the store as the sequencer would put them, but not one by one."""
    engine = harness.service.health._engine
    commitments = [sha256(index.to_bytes(4, "big")).digest() for index in range(count)]
    grown = append_leaves(Frontier.empty(), [leaf_hash(each) for each in commitments], lambda _keys: {})
    common = {"tenant_id": "synthetic", "type": "score", "at_ms": 0, "wrapped_key": b"", "sealed": b""}
    rows = [common | {"log_index": index, "seq": index, "commitment": each} for index, each in enumerate(commitments)]
    tiles = [{"level": level, "tile_index": index, "hashes": hashes} for (level, index), hashes in grown.tiles.items()]
    tenant = {"id": "synthetic", "name": "synthetic", "log_ref": "s", "next_seq": count, "created_at_ms": 0}
    with write_transaction(engine) as transaction:
        transaction.execute(insert(tenant_rows).values(tenant))
        for begin in range(0, count, 10_000):
            transaction.execute(insert(log_entries), rows[begin : begin + 10_000])
        transaction.execute(insert(log_tiles), tiles)
        transaction.execute(update(log_head).values(size=grown.frontier.size, frontier=grown.frontier.to_bytes()))
    return commitments


def test_the_client_of_the_specifications_reads_and_verifies_a_log_of_real_scores(harness, spec_log_client):
    commitments = append_synthetic(harness, SEVERAL)
    scores = [harness.score() for _ in range(3)]
    assert [score["log"]["index"] for score in scores] == [SEVERAL, SEVERAL + 1, SEVERAL + 2]
    harness.publish()
    read = spec_log_client.read_log(reader_of(harness), verifier_key_of(harness))
    assert (read.origin, read.size) == (harness.service.log_origin, SEVERAL + 3)
    assert read.entries[:SEVERAL] == commitments
    for score in scores:
        entry, salt = score["log"]["entry"].encode(), base64.b64decode(score["log"]["salt"])
        assert read.entries[score["log"]["index"]] == sha256(b"credence/entry/v1\0" + salt + entry).digest()


def test_our_proof_of_every_leaf_is_the_path_that_the_specification_gives(harness, spec_log_client):
    append_synthetic(harness, SEVERAL)
    harness.publish()
    read = spec_log_client.read_log(reader_of(harness), verifier_key_of(harness))
    checkpoint = harness.http.get("/v1/log/checkpoint").text
    for index in (0, 1, 127, 128, 254, 255, 256, 257, SEVERAL - 1):
        proof = harness.http.get(f"/v1/log/proof/{index}").json()
        assert (proof["index"], proof["size"], proof["checkpoint"]) == (index, SEVERAL, checkpoint)
        assert base64.b64decode(proof["leaf_hash"]) == sha256(b"\0" + read.entries[index]).digest()
        assert [base64.b64decode(each) for each in proof["inclusion"]] == read.prove(index)


def test_nothing_is_served_past_the_newest_checkpoint(harness, spec_log_client):
    harness.settle()
    append_synthetic(harness, SEVERAL)
    harness.publish()
    harness.score()
    # It is in the log, and proven to its lender later: nobody else can see yet that it is there.
    assert harness.service.log.load_size() == SEVERAL + 1
    read = spec_log_client.read_log(reader_of(harness), verifier_key_of(harness))
    assert read.size == SEVERAL
    for path in (
        "tile/0/001.p/5",
        "tile/entries/001.p/5",
        "tile/0/001",
        "tile/1/000",
        "tile/1/000.p/2",
        f"proof/{SEVERAL}",
    ):
        refused = harness.http.get(PREFIX + path)
        assert (refused.status_code, refused.headers["content-type"]) == (404, "application/problem+json"), path
    harness.publish()
    assert harness.http.get(PREFIX + "tile/0/001.p/5").status_code == 200
    # A reader with an older checkpoint still finds the tiles of its size.
    assert harness.http.get(PREFIX + "tile/0/001.p/4").status_code == 200


def test_an_empty_log_has_a_checkpoint_and_no_tiles(harness, spec_log_client):
    read = spec_log_client.read_log(reader_of(harness), verifier_key_of(harness))
    assert (read.size, read.paths, read.root) == (0, [], sha256(b"").digest())
    assert harness.http.get(PREFIX + "proof/0").status_code == 404


def test_checkpoints_follow_each_other_and_none_is_made_where_nothing_is_new(harness):
    harness.settle()
    harness.score()
    first = harness.service.log.append_checkpoint(harness.clock())
    assert first is not None
    assert harness.service.log.append_checkpoint(harness.clock()) is None
    harness.score()
    second = harness.service.log.append_checkpoint(harness.clock())
    assert (first.size, second.size) == (1, 2)
    assert harness.http.get(PREFIX + "checkpoint").text == second.note
    assert harness.service.log.load_checkpoint(1) == first


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/000.p/256",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/0",
        "tile/0/x000/000",
        "tile/00/000",
        "tile/-1/000",
        "tile/64/000",
        "tile/entries/x999/x999/x999/x999/x999/x999/999",
        "tile/entries",
        "tile/0/../0/000",
        "tile/0/000/",
        "proof/9007199254740991",
    ],
)
def test_a_path_that_names_no_tile_is_not_there(shared, path):
    shared.score()
    shared.publish()
    answer = shared.http.get(PREFIX + path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_full_tiles_may_be_kept_for_ever_and_a_checkpoint_never(harness):
    append_synthetic(harness, SEVERAL)
    harness.publish()
    assert "immutable" in harness.http.get(PREFIX + "tile/0/000").headers["cache-control"]
    assert "immutable" not in harness.http.get(PREFIX + "tile/0/001.p/4").headers["cache-control"]
    checkpoint = harness.http.get(PREFIX + "checkpoint")
    assert checkpoint.headers["cache-control"] == "no-cache"
    assert checkpoint.headers["content-type"] == "text/plain; charset=utf-8"


def test_the_published_key_is_the_one_that_signs(shared):
    signer = shared.service.log._signer
    assert verifier_key_of(shared) == format_verifier_key(signer.verifier_key)


@pytest.mark.slow
def test_a_log_of_70000_entries_serves_exactly_the_tile_set_of_that_size(harness, spec_log_client):
    commitments = append_synthetic(harness, MANY)
    harness.publish()
    served = []
    read = spec_log_client.read_log(reader_of(harness, served), verifier_key_of(harness))
    assert (read.size, read.entries) == (MANY, commitments)
    # tlog-tiles: 273 full tiles and one of 112 at level 0, one full and one of 17 above it, one of 1 on top.
    assert len([path for path in served if path.startswith("tile/entries/")]) == 274
    assert len([path for path in served if path.startswith("tile/0/")]) == 274
    assert [path for path in served if path.startswith(("tile/1/", "tile/2/"))] == [
        "tile/1/000",
        "tile/1/001.p/17",
        "tile/2/000.p/1",
    ]
    for path in (
        "tile/0/273",
        "tile/0/273.p/113",
        "tile/entries/273.p/113",
        "tile/0/274.p/1",
        "tile/1/001.p/18",
        "tile/1/001",
        "tile/2/000.p/2",
        "tile/3/000.p/1",
        f"proof/{MANY}",
    ):
        assert harness.http.get(PREFIX + path).status_code == 404, path
    for index in (0, 65_535, 65_536, MANY - 1):
        proof = harness.http.get(f"{PREFIX}proof/{index}").json()
        assert [base64.b64decode(each) for each in proof["inclusion"]] == read.prove(index)
    # And it goes on from there.
    assert harness.score()["log"]["index"] == MANY
    harness.publish()
    assert spec_log_client.read_log(reader_of(harness), verifier_key_of(harness)).size == MANY + 1
