"""The report's file: one encoding, whole or not at all, and nothing in it that does not follow."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import rfc8785

from scoring.artifact import Artifact
from scoring.card import ModelCard
from scoring.dp.mechanisms import Releases
from scoring.dp.sampler import SystemSampler
from scoring.errors import (
    NoiseNotFromSystem,
    PrivacyUnderstated,
    PrivacyUnstated,
    ReportAltered,
    ReportExists,
    ReportInvalid,
    ReportUnwritten,
)
from scoring.schema import Schema
from scoring.validation.choice import choose_champion
from scoring.validation.drift import drift_reference
from scoring.validation.fairness import measure_fairness
from scoring.validation.histogram import GROUP_GRID, groupings_of, read_held_out, release_tables, score_edges
from scoring.validation.performance import measure_performance
from scoring.validation.report import (
    ValidatedModel,
    ValidationReport,
    encode_report,
    load_report,
    parse_report,
    report_digest,
    write_report,
)

Document = dict[str, Any]


@pytest.fixture(scope="module")
def report(
    small: Schema,
    artifacts: tuple[Artifact, Artifact],
    model_card: ModelCard,
    people: Callable[[int], list[dict[str, str]]],
) -> ValidationReport:
    """Of two models on two thousand people, at an epsilon that leaves something to say."""
    groupings = groupings_of(small)
    releases = Releases(sampler=SystemSampler(), charged_rho_e12=5 * 10**12, rows_per_person=small.rows_per_person)
    tables = release_tables(read_held_out(small, people(2_000), artifacts, groupings), artifacts, groupings, releases)
    models = tuple(
        ValidatedModel(
            role=role,  # type: ignore[arg-type]
            tables=one,
            performance=measure_performance(one.scores, one.bands, rows_per_person=2),
            fairness=tuple(measure_fairness(each, one.scores, one.bands, rows_per_person=2) for each in one.groups),
            drift_reference=drift_reference(one.scores, score_edges(one.bands, GROUP_GRID)),
        )
        for role, one in zip(("champion", "challenger"), tables, strict=True)
    )
    first, second = (model.performance.figures["auc"] for model in models)
    return ValidationReport(
        created_at=5,
        data_kind="synthetic",
        population="north",
        schema_name=small.name,
        schema_sha256=small.digest.hex(),
        holdout_ppm=200_000,
        privacy=replace(model_card.privacy, epsilon_micro=40_000_000, mechanisms=releases.list_mechanisms()),
        models=models,
        choice=choose_champion(first, second),
    )


@pytest.fixture
def document(report: ValidationReport) -> Document:
    return dict(json.loads(encode_report(report)))


def test_a_report_reads_as_it_was_written(report: ValidationReport, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    data = write_report(path, report)
    assert path.read_bytes() == data == encode_report(report)
    assert load_report(path) == (report, report_digest(data))
    assert load_report(path, expected_digest=report_digest(data))[0] == report
    with pytest.raises(ReportAltered):
        load_report(path, expected_digest=bytes(32))
    assert [file.name for file in tmp_path.iterdir()] == ["report.json"]


def test_everything_said_of_a_model_is_in_what_was_released(report: ValidationReport) -> None:
    """Recomputed from the tables in the file alone."""
    for model in parse_report(encode_report(report)).models:
        again = measure_performance(model.tables.scores, model.tables.bands, rows_per_person=2)
        assert again == model.performance


def test_every_altered_byte_shows(report: ValidationReport) -> None:
    data = encode_report(report)
    digest = report_digest(data)
    for at in range(0, len(data), 97):
        altered = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        assert report_digest(altered) != digest


def test_a_report_is_never_written_over_and_never_half(report: ValidationReport, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("mine")
    with pytest.raises(ReportExists):
        write_report(path, report)
    assert path.read_text() == "mine"
    path.unlink()
    path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(ReportExists):
        write_report(path, report)
    with pytest.raises(ReportUnwritten):
        write_report(tmp_path / "missing" / "report.json", report)
    with pytest.raises(ReportInvalid):
        load_report(tmp_path / "missing" / "report.json")


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (("v",), 2),
        (("v",), True),
        (("created_at",), "5"),
        (("data_kind",), "real"),
        (("schema_sha256",), "AB" * 32),
        (("confidence_ppm",), 950_000),
        (("more",), 1),
        (("models",), []),
        (("models", 0, "role"), "challenger"),
        (("models", 0, "tables", "model_sha256"), ""),
        (("models", 0, "tables", "scores", "counts", 0), [1, 2, 3]),
        (("models", 0, "tables", "scores", "counts", 0), [1, True]),
        (("models", 0, "performance", "figures", "ks"), {"reason": "privacy"}),
        (("models", 0, "performance", "figures", "ks"), {"value_ppm": 1}),
        (("models", 0, "performance", "figures", "auc"), {"reason": "noise"}),
        (("models", 0, "drift_reference"), None),
        (("choice", "winner"), "challenger"),
        (("choice", "why"), "no_challenger"),
        (("choice", "auc_difference"), None),
        (("privacy", "sampler"), "os "),
    ],
)
def test_what_does_not_follow_is_refused(document: Document, at: tuple[str | int, ...], value: object) -> None:
    *path, last = at
    place: Any = document
    for step in path:
        place = place[step]
    place[last] = value
    with pytest.raises((ReportInvalid, NoiseNotFromSystem)):
        parse_report(rfc8785.dumps(document))


@pytest.mark.parametrize("name", ["v", "privacy", "models", "choice", "population"])
def test_a_missing_member_is_refused(document: Document, name: str) -> None:
    del document[name]
    with pytest.raises(ReportInvalid):
        parse_report(rfc8785.dumps(document))


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"{", b'{"v": 1}', b"\xff", b"[" * 100_000, b" " * 5_000_000])
def test_hostile_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ReportInvalid):
        parse_report(data)


def test_a_second_spelling_is_refused(document: Document) -> None:
    with pytest.raises(ReportInvalid):
        parse_report(json.dumps(document).encode())


def test_a_report_claims_no_less_than_its_noise_cost(report: ValidationReport) -> None:
    with pytest.raises(PrivacyUnderstated):
        parse_report(encode_report(replace(report, privacy=replace(report.privacy, epsilon_micro=1_000_000))))
    with pytest.raises(PrivacyUnstated):
        parse_report(encode_report(replace(report, privacy=replace(report.privacy, mechanisms=()))))
    for source in ("seeded", "none"):
        with pytest.raises(NoiseNotFromSystem):
            parse_report(encode_report(replace(report, privacy=replace(report.privacy, sampler=source))))
