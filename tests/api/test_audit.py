"""The audit trail: everything once and in order, and each entry is what the log commits to."""

import base64
import hashlib
import json

import pytest
from sqlalchemy import delete

from api.store.tables import subject_keys
from identity.keys import SigningKey
from identity.sd_jwt import issuer_jwt_of

ENTRIES = 12


@pytest.fixture(scope="module")
def trail(module_harness):
    """A tenant's trail, scores and refusals in turn, with another tenant's entries between them."""
    scores = []
    for number in range(ENTRIES):
        if number % 3 == 2:
            refused = module_harness.submit(module_harness.ask(), {"history": ["x~"]})
            assert refused.status_code in (400, 422)
        else:
            scores.append(module_harness.score())
        module_harness.score("other")
    module_harness.publish()
    return scores


def pages_of(shared, **query):
    headers = shared.token(scopes=("compliance",))
    cursor = 0
    while cursor is not None:
        page = shared.http.get("/v1/audit/entries", params=query | {"cursor": cursor}, headers=headers).json()
        yield page["entries"]
        cursor = page["next_cursor"]


@pytest.mark.parametrize("limit", [1, 5, ENTRIES - 1, ENTRIES, 200])
def test_pages_cover_every_entry_once_and_in_order(shared, trail, limit):
    pages = list(pages_of(shared, limit=limit))
    entries = [entry for page in pages for entry in page]
    assert [entry["seq"] for entry in entries] == list(range(ENTRIES))
    assert all(len(page) == limit for page in pages[:-1])
    assert len(pages) == -(-ENTRIES // limit)
    indices = [entry["log_index"] for entry in entries]
    assert indices == sorted(set(indices))


@pytest.mark.parametrize("limit", [1, 3, 200])
def test_a_filter_leaves_out_the_other_types(shared, trail, limit):
    by_type = {
        kind: [entry for page in pages_of(shared, limit=limit, type=kind) for entry in page]
        for kind in ("score", "refusal")
    }
    assert {kind: {entry["type"] for entry in entries} for kind, entries in by_type.items()} == {
        "score": {"score"},
        "refusal": {"refusal"},
    }
    assert sorted(entry["seq"] for entries in by_type.values() for entry in entries) == list(range(ENTRIES))
    assert [entry["score"]["id"] for entry in by_type["score"]] == [score["id"] for score in trail]


def test_a_page_past_the_end_is_empty(shared, trail):
    page = shared.http.get("/v1/audit/entries?cursor=9007199254740991", headers=shared.token(scopes=("compliance",)))
    assert page.json() == {"entries": [], "next_cursor": None}


@pytest.mark.parametrize("query", ["cursor=-1", "cursor=x", "limit=0", "limit=201", "type=tombstone", "cursor=1e3"])
def test_a_malformed_page_is_refused(shared, query):
    refused = shared.http.get(f"/v1/audit/entries?{query}", headers=shared.token(scopes=("compliance",)))
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    assert refused.json()["errors"][0]["pointer"] == query.partition("=")[0]


@pytest.mark.parametrize("query", ["cursor=3&cursor=0", "type=score&limit=2&type=refusal", "limit=1&limit=1"])
def test_a_parameter_that_stands_twice_is_refused_and_not_chosen_from(shared, query):
    refused = shared.http.get(f"/v1/audit/entries?{query}", headers=shared.token(scopes=("compliance",)))
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    assert refused.json()["errors"] == [{"pointer": query.partition("=")[0], "code": "repeated"}]


def test_a_lender_does_not_read_the_trail(shared):
    refused = shared.http.get("/v1/audit/entries", headers=shared.token(scopes=("lender", "operator")))
    assert refused.status_code == 403


def commitments_of(shared):
    """Every commitment of the log, read from its entry bundles."""
    size = int(shared.http.get("/v1/log/checkpoint").text.split("\n")[1])
    commitments = []
    while len(commitments) < size:
        number, width = len(commitments) // 256, min(size - len(commitments), 256)
        path = f"{number:03}" if width == 256 else f"{number:03}.p/{width}"
        bundle = shared.http.get(f"/v1/log/tile/entries/{path}").content
        while bundle:
            length = int.from_bytes(bundle[:2], "big")
            commitments.append(bundle[2 : 2 + length])
            bundle = bundle[2 + length :]
    return commitments


def test_an_entry_and_its_salt_hash_to_the_commitment_in_the_log(shared, trail):
    shared.publish()
    commitments = commitments_of(shared)
    salts = set()
    for page in pages_of(shared, limit=200):
        for entry in page:
            salt = base64.b64decode(entry["salt"])
            digest = hashlib.sha256(b"credence/entry/v1\0" + salt + entry["entry"].encode()).digest()
            assert commitments[entry["log_index"]] == digest
            salts.add(salt)
            content = json.loads(entry["entry"])
            assert (content["v"], content["seq"], content["type"]) == (1, entry["seq"], entry["type"])
            assert set(content) == {"v", "type", "at", "tenant", "seq", "body"}
    assert len(salts) == ENTRIES
    assert all(len(salt) == 32 for salt in salts)


def test_the_entry_of_a_score_commits_to_its_jwt(shared, trail):
    entries = [entry for page in pages_of(shared, type="score") for entry in page]
    for score, entry in zip(trail, entries, strict=True):
        body = json.loads(entry["entry"])["body"]
        jwt = issuer_jwt_of(score["credential"])
        assert body["jwt_sha256"] == hashlib.sha256(jwt.encode()).hexdigest()
        assert (body["score_id"], body["model_sha256"]) == (score["id"], score["model"]["sha256"])
        assert {name: score[name] for name in entry["score"]} == entry["score"]


def test_an_erased_subject_leaves_its_leaf_and_nothing_else(harness):
    holder = SigningKey.generate()
    erased, kept = harness.score(holder=holder), harness.score()
    subjects = harness.service.scores._subjects
    (subject_id,) = [
        row["subject_id"] for row in rows_of(harness, "SELECT subject_id, id FROM scores") if row["id"] == erased["id"]
    ]
    with subjects._keystore.begin() as transaction:
        transaction.execute(delete(subject_keys).where(subject_keys.c.subject_id == subject_id))
    entries = harness.entries()
    assert {name: entries[0][name] for name in ("seq", "entry", "salt", "score")} == {
        "seq": 0,
        "entry": None,
        "salt": None,
        "score": None,
    }
    assert entries[1]["score"]["id"] == kept["id"]
    gone = harness.http.get(f"/v1/scores/{erased['id']}", headers=harness.token())
    assert (gone.status_code, gone.json()["code"]) == (410, "payload_erased")
    harness.publish()
    assert harness.http.get("/v1/log/proof/0").status_code == 200


def rows_of(harness, statement):
    with harness.service.health._engine.connect() as connection:
        return [dict(row) for row in connection.exec_driver_sql(statement).mappings()]
