"""Promotion: told in every tenant's log before it counts, provable there, once however often it is asked for."""

import base64
import dataclasses
import json

import pytest
from sqlalchemy import select, update

from api.active_model import PromotedModelMissing, keep_promoted, load_active_model, promoted_folder
from api.settings import SettingsError
from api.store import promotions as promotions_module
from api.store.database import write_transaction
from api.store.promotions import NobodyToTell, Promotion, PromotionOvertaken, PromotionStore, load_promoted
from api.store.tables import promoted_model, told_promotions
from chain.entry import commitment
from chain.merkle import leaf_hash
from chain.proof import LogProof, verify_log_proof
from scoring.artifact import load_artifact, write_artifact, write_network
from tests.api.conftest import running_service
from tests.scoring.network.test_serving import build_network

PROMOTION = Promotion(
    model_sha256=bytes(range(32)),
    former_sha256=b"f" * 32,
    report_sha256=b"r" * 32,
    decision="better",
    override=None,
    epsilon_micro=1_000_000,
    delta_e12=1_000_000,
    ledger_sha256="ab" * 32,
)


@pytest.fixture
def store(harness):
    trust = harness.service.trust
    return PromotionStore(engine=trust._engine, subjects=trust._subjects, sequencer=trust._sequencer)


@pytest.fixture
def engine(store):
    return store._engine


def told(harness, tenant):
    return [json.loads(entry["entry"])["body"] for entry in harness.entries(tenant, type="promotion")]


def test_every_tenant_is_told_and_can_prove_it(harness, store, engine):
    harness.token("one", ("compliance",))
    harness.token("two", ("compliance",))
    assert store.promote(PROMOTION, harness.clock()) == 2
    expected = {
        "model_sha256": bytes(range(32)).hex(),
        "former_sha256": (b"f" * 32).hex(),
        "report_sha256": (b"r" * 32).hex(),
        "decision": "better",
        "epsilon_micro": 1_000_000,
        "delta_e12": 1_000_000,
        "ledger_sha256": "ab" * 32,
    }
    assert told(harness, "one") == told(harness, "two") == [expected]
    assert load_promoted(engine) == bytes(range(32))

    harness.publish()
    (entry,) = harness.entries("one", type="promotion")
    proof = harness.http.get(f"/v1/log/proof/{entry['log_index']}").json()
    text, salt = entry["entry"].encode(), base64.b64decode(entry["salt"])
    assert base64.b64decode(proof["leaf_hash"]) == leaf_hash(commitment(text, salt))
    verified = verify_log_proof(
        LogProof(
            index=entry["log_index"],
            entry=text,
            salt=salt,
            inclusion=tuple(base64.b64decode(each) for each in proof["inclusion"]),
            checkpoint=proof["checkpoint"],
        ),
        harness.service.load_trust().log_keys,
    )
    assert (verified.entry.type, verified.entry.body) == ("promotion", expected)


def test_the_same_again_tells_nobody_twice_but_whoever_came_since(harness, store):
    harness.token("one", ("compliance",))
    assert store.promote(PROMOTION, harness.clock()) == 1
    assert store.promote(PROMOTION, harness.clock()) == 0
    harness.token("two", ("compliance",))
    assert store.promote(PROMOTION, harness.clock()) == 1
    assert [len(told(harness, tenant)) for tenant in ("one", "two")] == [1, 1]


def test_going_back_is_told_as_well(harness, store, engine):
    harness.token("one", ("compliance",))
    other = dataclasses.replace(PROMOTION, model_sha256=b"o" * 32, decision="override", override="it was better")
    for promotion in (PROMOTION, other, PROMOTION):
        assert store.promote(promotion, harness.clock()) == 1
        assert load_promoted(engine) == promotion.model_sha256
    assert [body["decision"] for body in told(harness, "one")] == ["better", "override", "better"]
    assert told(harness, "one")[1]["override"] == "it was better"


def test_where_there_is_nobody_to_tell_nothing_is_promoted(harness, store, engine):
    with pytest.raises(NobodyToTell):
        store.promote(PROMOTION, harness.clock())
    assert load_promoted(engine) is None


@pytest.mark.parametrize("told_before", [0, 1, 2])
def test_killed_anywhere_the_former_model_stands_and_a_rerun_completes(
    harness, store, engine, monkeypatch, told_before
):
    """After so many of three tenants were told; the last time, all of them, before the model is taken up."""
    for tenant in ("one", "two", "three"):
        harness.token(tenant, ("compliance",))
    store.promote(dataclasses.replace(PROMOTION, model_sha256=b"a" * 32), harness.clock())

    class Killed(BaseException):
        pass

    tell, calls = PromotionStore._tell, []

    def dying(self, *arguments):
        if len(calls) == told_before:
            raise Killed
        calls.append(arguments)
        return tell(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(PromotionStore, "_tell", dying)
        with pytest.raises(Killed):
            store.promote(PROMOTION, harness.clock())
    assert load_promoted(engine) == b"a" * 32
    assert store.promote(PROMOTION, harness.clock()) == 3 - told_before
    assert load_promoted(engine) == PROMOTION.model_sha256
    assert [len(told(harness, tenant)) for tenant in ("one", "two", "three")] == [2, 2, 2]


def test_killed_before_the_model_is_taken_up_a_rerun_takes_it_up(harness, store, engine, monkeypatch):
    harness.token("one", ("compliance",))

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(promotions_module, "write_transaction", die)
        with pytest.raises(KeyboardInterrupt):
            store.promote(PROMOTION, harness.clock())
    assert (len(told(harness, "one")), load_promoted(engine)) == (1, None)
    assert store.promote(PROMOTION, harness.clock()) == 0
    assert load_promoted(engine) == PROMOTION.model_sha256


def test_of_two_promotions_at_once_neither_is_taken_up_against_what_was_told(harness, store, engine, monkeypatch):
    harness.token("one", ("compliance",))
    tell = PromotionStore._tell

    def overtaken(self, *arguments):
        appended = tell(self, *arguments)
        with write_transaction(engine) as transaction:
            transaction.execute(update(told_promotions).values(model_sha256=b"o" * 32))
        return appended

    monkeypatch.setattr(PromotionStore, "_tell", overtaken)
    with pytest.raises(PromotionOvertaken):
        store.promote(PROMOTION, harness.clock())
    with engine.connect() as connection:
        assert connection.execute(select(promoted_model)).all() == []


# What the service then scores with


@pytest.fixture(params=["scorecard", "network"])
def other(request, model, tmp_path):
    """Another model than the one in the settings' folder, of either kind."""
    artifact = load_artifact(model)
    if request.param == "network":
        network = build_network(artifact.scorecard.schema)
        return write_network(tmp_path / "other", network=network, card=artifact.card)
    changed = dataclasses.replace(artifact.scorecard, offset=artifact.scorecard.offset + 1)
    return write_artifact(tmp_path / "other", scorecard=changed, card=artifact.card)


def test_a_service_scores_with_the_promoted_model_from_its_next_start_on(settings, other, model):
    with running_service(settings) as harness:
        before = harness.score()
        trust = harness.service.trust
        store = PromotionStore(engine=trust._engine, subjects=trust._subjects, sequencer=trust._sequencer)
        keep_promoted(settings, other)
        store.promote(dataclasses.replace(PROMOTION, model_sha256=other.digest), harness.clock())
        assert harness.score()["model"] == before["model"]
    with running_service(settings) as harness:
        assert harness.score()["model"]["sha256"] == other.digest.hex() != before["model"]["sha256"]


def test_the_model_is_found_on_this_host_or_the_service_does_not_start(settings, other, model):
    with pytest.raises(PromotedModelMissing):
        load_active_model(settings, other.digest)
    keep_promoted(settings, other)
    keep_promoted(settings, other)  # again: the same
    assert load_active_model(settings, other.digest).digest == other.digest
    assert load_active_model(settings, None).digest == load_artifact(model).digest
    assert load_active_model(settings, load_artifact(model).digest).digest == load_artifact(model).digest
    weights = promoted_folder(settings, other.digest) / "weights.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(PromotedModelMissing):
        load_active_model(settings, other.digest)


def test_a_pin_holds_against_a_promotion(settings, other, model):
    keep_promoted(settings, other)
    pinned = dataclasses.replace(settings, model_sha256=load_artifact(model).digest.hex())
    with pytest.raises(SettingsError):
        load_active_model(pinned, other.digest)
    assert load_active_model(dataclasses.replace(settings, model_sha256=other.digest.hex()), other.digest)
