"""credence validate and promote, the whole way on the synthetic population."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api.active_model import load_active_model
from api.cli import train as train_module
from api.cli.tenants import open_stores
from api.settings import load_settings
from api.store.promotions import load_promoted
from scoring.artifact import load_artifact
from scoring.population import synthetic_population, training_rows
from scoring.validation.report import load_report

Credence = Callable[..., Any]
TERMS = ["--data", "synthetic", "--population", "people"]


@pytest.fixture(scope="module")
def _rows() -> dict[bytes, Any]:
    return {}


@pytest.fixture
def trained(credence: Credence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _rows: dict[bytes, Any]) -> Path:
    """Two models of the synthetic population, a smaller one than usual: a good one, and one of next to no budget."""

    def fewer(schema: Any) -> Any:
        if schema.digest not in _rows:
            _rows[schema.digest] = training_rows(schema, synthetic_population(3_000, 1))
        return _rows[schema.digest]

    monkeypatch.setattr(train_module, "synthetic_rows", fewer)
    for name, epsilon in (("good", "8"), ("poor", "0.01")):
        ran = credence(
            *("train", *TERMS, "--epsilon", epsilon, "--delta", "0.000001", "--budget", "20"),
            *("--row-cap", "9000", "--holdout", "0.4", "--out", name),
        )
        assert ran.code == 0, ran.err
    return tmp_path


def validate(credence: Credence, model: str, *arguments: str, epsilon: str = "10", out: str = "report.json") -> Any:
    return credence("validate", *TERMS, "--epsilon", epsilon, "--model", model, "--out", out, *arguments)


def entries(tenant: str) -> list[dict[str, Any]]:
    from api.store.scores import ScoreStore

    with open_stores(load_settings()) as stores:
        tenant_id = stores.tenants.load_tenant_id(tenant)
        scores = ScoreStore(engine=stores.engine, subjects=stores.trust._subjects)
        opened = scores.load_entries(tenant_id, from_seq=0, limit=99, type="promotion")
        return [json.loads(each.entry)["body"] for each in opened]


def test_a_challenger_that_is_better_is_chosen_promoted_and_served(credence: Credence, trained: Path) -> None:
    ran = validate(credence, "poor", "--challenger", "good", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["report"]["choice"]["why"] == "better"
    assert (ran.json["reused"], ran.json["charged_epsilon_micro"]) == (False, 10_000_000)
    report, digest = load_report(trained / "report.json")
    assert digest.hex() == ran.json["report_sha256"]
    again = validate(credence, "poor", "--challenger", "good", "--json").json
    assert (again["reused"], again["charged_epsilon_micro"]) == (True, 0)
    assert again["report"] == ran.json["report"]

    shown = validate(credence, "poor", "--challenger", "good").out
    assert "nothing was spent" in shown
    assert "choice: the challenger" in shown
    auc = report.models[1].performance.figures["auc"]
    assert f"{auc.value_ppm / 1e6:.3f} [" in shown  # type: ignore[union-attr]

    assert credence("promote", "--validation", "report.json", "--model", "good").code == 1  # nobody to tell
    for tenant in ("one", "two"):
        assert credence("clients", "add", "x", "--scope", "lender", "--tenant", tenant).code == 0
    promoted = credence("promote", "--validation", "report.json", "--model", "good", "--json")
    assert promoted.code == 0, promoted.err
    good = load_artifact(trained / "good")
    assert promoted.json == {
        "model_sha256": good.digest.hex(),
        "former_sha256": None,
        "report_sha256": digest.hex(),
        "decision": "better",
        "entries": 2,
    }
    for tenant in ("one", "two"):
        (body,) = entries(tenant)
        assert (body["model_sha256"], body["report_sha256"]) == (good.digest.hex(), digest.hex())
        assert body["epsilon_micro"] == 10_000_000
    assert credence("promote", "--validation", "report.json", "--model", "good", "--json").json["entries"] == 0
    settings = load_settings()
    with open_stores(settings) as stores:
        assert load_active_model(settings, load_promoted(stores.engine)).digest == good.digest


def test_nothing_is_promoted_that_its_report_does_not_speak_for(credence: Credence, trained: Path) -> None:
    assert credence("clients", "add", "x", "--scope", "lender", "--tenant", "one").code == 0
    assert validate(credence, "good", "--challenger", "poor").code == 0

    def promote(model: str, *arguments: str, report: str = "report.json") -> Any:
        return credence("promote", "--validation", report, "--model", model, *arguments)

    assert (promote("poor").code, "does not choose" in promote("poor").err) == (1, True)
    assert promote("good", "--json").json["decision"] == "first"
    assert validate(credence, "poor", epsilon="5", out="alone.json").code == 0
    refused = promote("poor", report="alone.json")
    assert (refused.code, "not shown to be better" in refused.err) == (1, True)
    assert (promote("good", report="alone.json").code, len(entries("one"))) == (1, 1)
    assert promote("poor", "--override", "x" * 201).code == 2
    overridden = promote("poor", "--override", "The committee asked for it.", "--json", report="alone.json")
    assert (overridden.code, overridden.json["decision"]) == (0, "override")
    assert overridden.json["former_sha256"] == load_artifact(trained / "good").digest.hex()
    assert entries("one")[1]["override"] == "The committee asked for it."
    assert promote("good").code == 1  # chosen once, but against nothing that is active now


def test_small_data_is_not_releasable_and_promotes_nothing(credence: Credence, trained: Path) -> None:
    assert credence("clients", "add", "x", "--scope", "lender", "--tenant", "one").code == 0
    ran = validate(credence, "poor", "--challenger", "good", epsilon="1")
    assert ran.code == 0, ran.err
    assert "AUC                not releasable: noise" in ran.out
    assert "the champion stays: the AUCs are not releasable" in ran.out
    for model in ("good", "poor"):
        assert credence("promote", "--validation", "report.json", "--model", model).code == 1
    assert entries("one") == []


def test_what_makes_no_sense_is_refused_in_a_line(credence: Credence, trained: Path) -> None:
    for model, epsilon, said in (("good", "0", "--epsilon"), ("nowhere", "1", "nowhere")):
        ran = validate(credence, model, epsilon=epsilon)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
        assert said in ran.err
    assert validate(credence, "good", "--delta", "0.00001").code == 2
    assert credence("promote", "--validation", "nowhere.json", "--model", "good").code == 2
    assert credence("promote", "--validation", "var/keys/reuse.key", "--model", "good").code == 2
    assert not (trained / "report.json").exists()


def test_the_holdout_has_its_own_account(credence: Credence, trained: Path) -> None:
    ran = validate(credence, "good", epsilon="19.9")
    assert ran.code == 0, ran.err  # what training spent costs those held out nothing
    over = validate(credence, "poor", epsilon="19.9", out="more.json")
    assert (over.code, "holdout" in over.err) == (1, True)
    assert validate(credence, "poor", epsilon="0.1").code == 1  # a report is never written over
    (trained / "var/keys/split.key").unlink()
    lost = validate(credence, "good", epsilon="0.1", out="lost.json")
    assert (lost.code, "split.key" in lost.err) == (1, True)


def test_a_population_without_a_holdout_cannot_be_validated(credence: Credence, trained: Path, tmp_path: Path) -> None:
    terms = ["--delta", "0.000001", "--budget", "20", "--row-cap", "9000", "--out", "everybody"]
    ran = credence("train", "--data", "synthetic", "--population", "others", "--epsilon", "1", *terms)
    assert ran.code == 0, ran.err
    ran = credence(
        "validate", "--data", "synthetic", "--population", "others", "--epsilon", "1", "--model", "good", "--out", "x"
    )
    assert (ran.code, "--holdout" in ran.err) == (1, True)
    ran = validate(credence, "everybody", out="y")
    assert ran.code == 0, ran.err  # of another population, so of other people
    everybody = credence("train", *TERMS, "--epsilon", "1", *terms[:-1], "all-of-them")
    assert everybody.code == 0, everybody.err
    seen = validate(credence, "all-of-them", epsilon="1", out="z")
    assert (seen.code, "may be in it" in seen.err) == (1, True)
