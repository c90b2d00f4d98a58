"""The artifact: what is written loads; nothing missing, altered, unknown or unstated does."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rfc8785
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from scoring.artifact import load_artifact, write_artifact
from scoring.card import ModelCard
from scoring.cells import Product
from scoring.errors import (
    ArtifactAltered,
    ArtifactExists,
    ArtifactIncomplete,
    ArtifactUnknownFile,
    ArtifactUnwritten,
    CardInvalid,
    InputProtected,
    InputUnsourced,
    NoiseNotFromSystem,
    PrivacyUnderstated,
    PrivacyUnstated,
    ReasonUnknown,
    SchemaMismatch,
    ScorecardInvalid,
    ScoringError,
    WeightsInvalid,
)
from scoring.features import features_from_row
from scoring.schema import Schema
from scoring.scorecard import Scorecard, Thresholds, learned_cross, points_table

FILES = ("weights.safetensors", "card.json", "schema.toml", "MANIFEST.json")


@pytest.fixture
def directory(tmp_path: Path, small_scorecard: Scorecard, model_card: ModelCard) -> Path:
    write_artifact(tmp_path / "model", scorecard=small_scorecard, card=model_card)
    return tmp_path / "model"


def seal(directory: Path) -> None:
    """Write the manifest anew, as somebody would who altered a file and knows the format."""
    names = [name for name in FILES[:3] if (directory / name).exists()]
    hashes = {name: hashlib.sha256((directory / name).read_bytes()).hexdigest() for name in names}
    digest = hashlib.sha256(b"credence/artifact/v1\0" + rfc8785.dumps(dict(hashes))).hexdigest()
    (directory / "MANIFEST.json").write_bytes(rfc8785.dumps({"v": 1, "files": dict(hashes), "digest": digest}))


def alter_card(directory: Path, change: Callable[[dict], None]) -> None:
    card = json.loads((directory / "card.json").read_bytes())
    change(card)
    (directory / "card.json").write_bytes(rfc8785.dumps(card))
    seal(directory)


def alter_tensors(directory: Path, change: Callable[[dict], None]) -> None:
    tensors = load((directory / "weights.safetensors").read_bytes())
    change(tensors)
    (directory / "weights.safetensors").write_bytes(save(tensors))
    seal(directory)


def test_what_is_written_is_what_loads(directory: Path, small_scorecard: Scorecard, model_card: ModelCard) -> None:
    artifact = load_artifact(directory)
    assert artifact.scorecard == small_scorecard
    assert artifact.card == model_card
    assert artifact.card_json == (directory / "card.json").read_bytes()
    assert load_artifact(directory, expected_digest=artifact.digest) == artifact
    manifest = json.loads((directory / "MANIFEST.json").read_bytes())
    assert manifest["digest"] == artifact.digest.hex()
    seal(directory)
    assert json.loads((directory / "MANIFEST.json").read_bytes()) == manifest


@pytest.fixture
def known_scorecard(small_scorecard: Scorecard) -> Scorecard:
    tables = (replace(one, deviations=tuple(range(len(one.points)))) for one in small_scorecard.tables)
    return replace(small_scorecard, tables=tuple(tables), thresholds=Thresholds(refer_above_points=90))


def test_deviations_load_and_the_digest_is_over_them(
    tmp_path: Path, directory: Path, known_scorecard: Scorecard, model_card: ModelCard
) -> None:
    written = write_artifact(tmp_path / "known", scorecard=known_scorecard, card=model_card)
    assert load_artifact(tmp_path / "known").scorecard == known_scorecard
    assert known_scorecard.points_digest == load_artifact(directory).scorecard.points_digest
    alter_tensors(tmp_path / "known", lambda tensors: tensors["deviations/jobs"].__setitem__(0, 1))
    assert load_artifact(tmp_path / "known").digest != written.digest


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: tensors.pop("deviations/jobs"),
        lambda tensors: tensors.update({"deviations/age": np.zeros(5, np.int32)}),
        lambda tensors: tensors.update({"deviations/jobs": np.zeros(5, np.float32)}),
    ],
)
def test_deviations_of_other_inputs_than_the_models_are_refused(
    tmp_path: Path, known_scorecard: Scorecard, model_card: ModelCard, change: Callable[[dict], None]
) -> None:
    write_artifact(tmp_path / "known", scorecard=known_scorecard, card=model_card)
    alter_tensors(tmp_path / "known", change)
    with pytest.raises(WeightsInvalid):
        load_artifact(tmp_path / "known")


def test_an_artifact_older_than_intervals_loads_and_is_written_again_as_it_was(directory: Path, tmp_path: Path) -> None:
    alter_card(directory, lambda card: card["thresholds"].pop("refer_above_points"))
    old = load_artifact(directory)
    assert old.scorecard.thresholds.refer_above_points is None
    assert all(table.deviations is None for table in old.scorecard.tables)
    assert write_artifact(tmp_path / "again", scorecard=old.scorecard, card=old.card).digest == old.digest


def test_the_card_is_integers_and_says_what_a_claim_needs(directory: Path) -> None:
    text = (directory / "card.json").read_text()
    card = json.loads(text, parse_float=pytest.fail)
    assert (card["privacy"]["epsilon_micro"], card["privacy"]["delta_e12"]) == (1_000_000, 1_000_000)
    assert card["scaling"]["pdo"] == 20
    assert card["inputs"][0] == {"name": "income", "reason": "R00"}


def test_writing_is_repeatable(
    tmp_path: Path, directory: Path, small_scorecard: Scorecard, model_card: ModelCard
) -> None:
    again = write_artifact(tmp_path / "again", scorecard=small_scorecard, card=model_card)
    assert again == load_artifact(directory)


def test_any_altered_byte_is_refused(directory: Path) -> None:
    """Every bit position is not needed: every byte of every file, with one bit of it flipped."""
    tried = 0
    for name in FILES:
        data = (directory / name).read_bytes()
        for at in range(len(data)):
            (directory / name).write_bytes(data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1 :])
            with pytest.raises(ArtifactAltered):
                load_artifact(directory)
            tried += 1
        (directory / name).write_bytes(data)
    assert tried > 3_000
    assert load_artifact(directory)


@pytest.mark.parametrize("name", FILES)
def test_bytes_added_or_cut_are_refused(directory: Path, name: str) -> None:
    data = (directory / name).read_bytes()
    for altered in (data + b"\n", b" " + data, data[:-1], b""):
        (directory / name).write_bytes(altered)
        with pytest.raises(ArtifactAltered):
            load_artifact(directory)


def test_another_digest_than_expected_is_refused(directory: Path) -> None:
    with pytest.raises(ArtifactAltered):
        load_artifact(directory, expected_digest=bytes(32))


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused(directory: Path, name: str) -> None:
    (directory / name).unlink()
    with pytest.raises(ArtifactIncomplete):
        load_artifact(directory)
    if name != "MANIFEST.json":
        seal(directory)
        with pytest.raises(ArtifactIncomplete):
            load_artifact(directory)


@pytest.mark.parametrize("name", FILES)
def test_a_link_in_place_of_a_file_is_refused(directory: Path, name: str) -> None:
    (directory / name).rename(directory.parent / name)
    (directory / name).symlink_to(directory.parent / name)
    with pytest.raises(ArtifactIncomplete):
        load_artifact(directory)


def test_a_pipe_in_place_of_a_file_is_refused(directory: Path) -> None:
    (directory / "card.json").unlink()
    os.mkfifo(directory / "card.json")
    with pytest.raises(ArtifactIncomplete):
        load_artifact(directory)


def test_a_directory_in_place_of_a_file_is_refused(directory: Path) -> None:
    (directory / "card.json").unlink()
    (directory / "card.json").mkdir()
    with pytest.raises(ArtifactIncomplete):
        load_artifact(directory)


@pytest.mark.parametrize("name", ["notes.txt", ".hidden", "weights.pt"])
def test_an_unknown_file_is_refused(directory: Path, name: str) -> None:
    (directory / name).write_bytes(b"")
    with pytest.raises(ArtifactUnknownFile):
        load_artifact(directory)


def test_no_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactIncomplete):
        load_artifact(tmp_path / "nothing")


@pytest.mark.parametrize(
    "member",
    [
        *("epsilon_micro", "delta_e12", "unit", "adjacency", "rows_per_person", "institutions", "accountant"),
        *("sampler", "mechanisms", "ledger"),
    ],
)
def test_a_card_without_a_part_of_its_privacy_is_refused(directory: Path, member: str) -> None:
    alter_card(directory, lambda card: card["privacy"].pop(member))
    with pytest.raises(PrivacyUnstated):
        load_artifact(directory)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("epsilon_micro", 0),
        ("epsilon_micro", -1),
        ("epsilon_micro", True),
        ("epsilon_micro", "1000000"),
        ("epsilon_micro", None),
        ("epsilon_micro", 1.5),
        ("epsilon_micro", 10**12),
        ("delta_e12", 0),
        ("delta_e12", 10**12),
        ("rows_per_person", 0),
        ("institutions", 0),
        ("unit", "record"),
        ("adjacency", "replace"),
        ("accountant", "gdp"),
        ("mechanisms", []),
        ("mechanisms", [{"name": "sum"}]),
        ("mechanisms", {}),
        ("ledger", []),
        ("ledger", [{"id": "1", "sha256": "00"}]),
        ("ledger", [{"id": "1", "sha256": "zz" * 32}]),
        ("ledger", [{"id": "1", "sha256": "ab" * 32, "extra": 1}]),
        ("extra", 1),
    ],
)
def test_a_card_that_states_its_privacy_wrongly_is_refused(directory: Path, member: str, value: object) -> None:
    alter_card(directory, lambda card: card["privacy"].update({member: value}))
    with pytest.raises(PrivacyUnstated):
        load_artifact(directory)


@pytest.mark.parametrize(
    ("mechanism", "privacy"),
    [
        ({"sigma_micro": 20_000_000}, {}),
        ({"releases": 5}, {}),
        ({"sensitivity_squared": 60}, {}),
        ({}, {"epsilon_micro": 400_000}),
        ({"sigma_micro": 45_000_000}, {"delta_e12": 1}),
        ({}, {"institutions": 3}),
    ],
)
def test_a_card_that_states_less_than_its_noise_costs_is_refused(
    directory: Path, mechanism: dict, privacy: dict
) -> None:
    def understate(card: dict) -> None:
        card["privacy"]["mechanisms"][0].update(mechanism)
        card["privacy"].update(privacy)

    alter_card(directory, understate)
    with pytest.raises(PrivacyUnderstated):
        load_artifact(directory)


def test_a_card_with_other_rows_a_person_than_its_schema_is_refused(directory: Path) -> None:
    alter_card(directory, lambda card: card["privacy"].update(rows_per_person=1))
    with pytest.raises(SchemaMismatch):
        load_artifact(directory)


@pytest.mark.parametrize("privacy", [None, {}, [], "private", 1])
def test_a_card_without_privacy_is_refused(directory: Path, privacy: object) -> None:
    alter_card(directory, lambda card: card.update(privacy=privacy))
    with pytest.raises(PrivacyUnstated):
        load_artifact(directory)
    alter_card(directory, lambda card: card.pop("privacy"))
    with pytest.raises(PrivacyUnstated):
        load_artifact(directory)


@pytest.mark.parametrize("sampler", ["seeded", "none", "OS", "", None])
def test_noise_that_is_not_the_systems_is_refused(directory: Path, sampler: object) -> None:
    alter_card(directory, lambda card: card["privacy"].update(sampler=sampler))
    with pytest.raises(NoiseNotFromSystem):
        load_artifact(directory)


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"v": True},
        {"extra": 1},
        {"name": ""},
        {"name": "x" * 501},
        {"created_at": "2026-01-01"},
        {"created_at": -1},
        {"data_kind": "real"},
        {"population": 1},
        {"limits": "none"},
        {"limits": [1]},
        {"schema": {"name": "small"}},
        {"points_sha256": 1},
        {"scaling": {}},
        {"inputs": {}},
        {"inputs": ["income"]},
        {"bands": [{"name": "A"}]},
        {"thresholds": {"unscorable_below_ppm": 0}},
        {"thresholds": {"unscorable_below_ppm": 0, "refer_below_ppm": 1.5}},
        {"thresholds": {"unscorable_below_ppm": 0, "refer_below_ppm": 1, "refer_above_points": None}},
        {"thresholds": {"unscorable_below_ppm": 0, "refer_below_ppm": 1, "refer_above": 1}},
    ],
)
def test_a_card_with_anything_unknown_or_of_the_wrong_type_is_refused(directory: Path, change: dict) -> None:
    alter_card(directory, lambda card: card.update(change))
    with pytest.raises(CardInvalid):
        load_artifact(directory)


@pytest.mark.parametrize(
    "member",
    [
        *("v", "name", "created_at", "data_kind", "population", "limits", "schema", "points_sha256", "scaling"),
        *("inputs", "bands", "thresholds"),
    ],
)
def test_a_card_without_a_member_is_refused(directory: Path, member: str) -> None:
    alter_card(directory, lambda card: card.pop(member))
    with pytest.raises(CardInvalid):
        load_artifact(directory)


@pytest.mark.parametrize(("member", "value"), [("pdo", 21), ("base_points", 601), ("max_points", 900), ("offset", "0")])
def test_another_scale_is_refused(directory: Path, member: str, value: object) -> None:
    alter_card(directory, lambda card: card["scaling"].update({member: value}))
    with pytest.raises(CardInvalid):
        load_artifact(directory)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data.replace(b'{"bands"', b'{"v":1,"bands"'),
        lambda data: data.replace(b":", b": ", 1),
        lambda data: data.replace(b"1000000,", b"1000000.0,", 1),
        lambda data: data.replace(b"1000000,", b"NaN,", 1),
        lambda data: b"\xff" + data,
        lambda data: b"[" * 100_000,
        lambda data: b"[]",
        lambda data: b"1" * 5_000,
    ],
)
def test_a_card_that_is_not_canonical_json_is_refused(directory: Path, spoil: Callable[[bytes], bytes]) -> None:
    data = (directory / "card.json").read_bytes()
    assert spoil(data) != data
    (directory / "card.json").write_bytes(spoil(data))
    seal(directory)
    with pytest.raises(CardInvalid):
        load_artifact(directory)


def test_another_schema_is_refused(directory: Path) -> None:
    schema = (directory / "schema.toml").read_bytes()
    (directory / "schema.toml").write_bytes(schema.replace(b"high = 1000\n", b"high = 1001\n"))
    seal(directory)
    with pytest.raises(SchemaMismatch):
        load_artifact(directory)


def test_a_schema_under_which_an_input_is_protected_or_unsourced_is_refused(directory: Path) -> None:
    original = (directory / "schema.toml").read_bytes()
    for old, new, error in (
        (b'source = "urn:test:many:1#/jobs"', b"", InputUnsourced),
        (b'source = "urn:test:many:1#/jobs"', b'source = "urn:test:many:1#/jobs"\nprotected = true', InputProtected),
    ):
        schema = original.replace(old, new)
        (directory / "schema.toml").write_bytes(schema)
        digest = hashlib.sha256(b"credence/schema/v1\0" + schema).hexdigest()
        alter_card(directory, lambda card, digest=digest: card["schema"].update(sha256=digest))
        with pytest.raises(error):
            load_artifact(directory)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda tensors: tensors.pop("bins/jobs"), WeightsInvalid),
        (lambda tensors: tensors.update({"points/age": np.zeros(3, np.int32)}), WeightsInvalid),
        (lambda tensors: tensors.update({"points/jobs": np.zeros(5, np.int64)}), WeightsInvalid),
        (lambda tensors: tensors.update({"points/jobs": np.zeros(5, np.float32)}), WeightsInvalid),
        (lambda tensors: tensors.update({"points/jobs": np.zeros((5, 1), np.int32)}), WeightsInvalid),
        (lambda tensors: tensors.update({"points/jobs": np.zeros(4, np.int32)}), ScorecardInvalid),
        (lambda tensors: tensors.update({"bins/jobs": np.array([0, 1, 2, 2, 9], np.int32)}), ScorecardInvalid),
        (lambda tensors: tensors.update({"points/jobs": np.array([-25, 5, 20, 20, 1], np.int32)}), ArtifactAltered),
    ],
)
def test_tables_that_do_not_fit_are_refused(
    directory: Path, change: Callable[[dict], None], error: type[ScoringError]
) -> None:
    alter_tensors(directory, change)
    with pytest.raises(error):
        load_artifact(directory)


def test_a_reason_outside_the_registry_is_refused(directory: Path) -> None:
    alter_card(directory, lambda card: card["inputs"][0].update(reason="R999"))
    with pytest.raises(ReasonUnknown):
        load_artifact(directory)


HEADERS = st.dictionaries(
    st.sampled_from(["bins/jobs", "points/jobs", "__metadata__"]),
    st.fixed_dictionaries(
        {},
        optional={
            "dtype": st.sampled_from(["I32", "F32", "BF16", "F8_E4M3", "X", 1]),
            "shape": st.lists(st.integers(-1, 10**20), max_size=3),
            "data_offsets": st.lists(st.integers(-1, 10**20), max_size=3),
        },
    ),
).map(lambda header: json.dumps(header).encode())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=100) | HEADERS.map(lambda header: len(header).to_bytes(8, "little") + header + bytes(20)))
def test_hostile_weights_raise_our_error_only(directory: Path, weights: bytes) -> None:
    (directory / "weights.safetensors").write_bytes(weights)
    seal(directory)
    with pytest.raises(WeightsInvalid):
        load_artifact(directory)


def test_what_would_not_load_is_not_written(tmp_path: Path, small_scorecard: Scorecard, model_card: ModelCard) -> None:
    seeded = replace(model_card, privacy=replace(model_card.privacy, sampler="seeded"))
    with pytest.raises(NoiseNotFromSystem):
        write_artifact(tmp_path / "model", scorecard=small_scorecard, card=seeded)
    huge = replace(model_card, privacy=replace(model_card.privacy, epsilon_micro=2**60))
    with pytest.raises(CardInvalid):
        write_artifact(tmp_path / "model", scorecard=small_scorecard, card=huge)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(directory: Path, small_scorecard: Scorecard, model_card: ModelCard) -> None:
    before = load_artifact(directory)
    with pytest.raises(ArtifactExists):
        write_artifact(directory, scorecard=small_scorecard, card=replace(model_card, name="another"))
    assert load_artifact(directory) == before


def test_a_failed_write_leaves_nothing(
    tmp_path: Path, small_scorecard: Scorecard, model_card: ModelCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(ArtifactUnwritten):
        write_artifact(tmp_path / "model", scorecard=small_scorecard, card=model_card)
    assert list(tmp_path.iterdir()) == []


def test_serving_imports_no_training_library() -> None:
    code = (
        "import sys; import scoring.artifact, scoring.features, scoring.scorecard;"
        "print([name for name in ('torch', 'opendp', 'scipy', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# A cross that the fit chose


@pytest.fixture
def crossed(small: Schema, small_scorecard: Scorecard) -> Scorecard:
    """income x trade beside the three tables: income's six cells in two, trade's five in three."""
    cross = learned_cross(small, "income", "trade", Product(left=(0, 0, 1, 1, 1), right=(0, 1, 2, 2)))
    points = (5, 0, -5, -3, 2, 9, 1)
    table = points_table(small, cross.name, bins=tuple(range(7)), points=points, crosses=(cross,))
    return replace(small_scorecard, tables=(*small_scorecard.tables, table), crosses=(cross,))


def test_a_cross_that_the_fit_chose_is_written_loads_and_scores(
    tmp_path: Path, small: Schema, crossed: Scorecard, small_scorecard: Scorecard, model_card: ModelCard
) -> None:
    write_artifact(tmp_path / "crossed", scorecard=crossed, card=model_card)
    artifact = load_artifact(tmp_path / "crossed")
    assert artifact.scorecard == crossed
    assert crossed.points_digest != small_scorecard.points_digest
    assert json.loads(artifact.card_json)["inputs"][3]["of"] == ["income", "trade"]
    row = {"income": "900", "jobs": "1", "sent": "", "trade": "2", "age": "40", "late-30": "0"}
    features = features_from_row(small, row)
    assert crossed.unclamped_points(features) == small_scorecard.unclamped_points(features) + 2
    unknown = features_from_row(small, row | {"trade": ""})
    assert crossed.unclamped_points(unknown) == small_scorecard.unclamped_points(unknown) + 1
    assert crossed.score(features).coverage.features_total == 4


LEFT, RIGHT = "left/income x trade", "right/income x trade"


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (lambda tensors: tensors.pop(LEFT), WeightsInvalid),
        (lambda tensors: tensors.update({"left/jobs": tensors[LEFT]}), WeightsInvalid),
        (lambda tensors: tensors.update({LEFT: np.zeros(0, np.int32)}), WeightsInvalid),
        (lambda tensors: tensors.update({LEFT: np.zeros(4, np.int32)}), ScorecardInvalid),
        (
            lambda tensors: tensors.update({LEFT: np.array([0, 0, 2, 2, 2], np.int32)}),
            ScorecardInvalid,
        ),
        (lambda tensors: tensors.update({RIGHT: np.array([0, -1, 2, 2], np.int32)}), ScorecardInvalid),
        (lambda tensors: tensors.update({LEFT: np.array([0, 0, 0, 1, 1], np.int32)}), ArtifactAltered),
    ],
)
def test_cells_of_a_cross_that_do_not_fit_are_refused(
    tmp_path: Path,
    crossed: Scorecard,
    model_card: ModelCard,
    change: Callable[[dict], None],
    refusal: type[ScoringError],
) -> None:
    write_artifact(tmp_path / "crossed", scorecard=crossed, card=model_card)
    alter_tensors(tmp_path / "crossed", change)
    with pytest.raises(refusal):
        load_artifact(tmp_path / "crossed")


@pytest.mark.parametrize("of", [["income"], ["income", "nothing"], ["income", "age"], ["trade", "income"], [1, 2], []])
def test_a_cross_of_other_columns_than_the_schemas_is_refused(
    tmp_path: Path, crossed: Scorecard, model_card: ModelCard, of: object
) -> None:
    write_artifact(tmp_path / "crossed", scorecard=crossed, card=model_card)
    alter_card(tmp_path / "crossed", lambda card: card["inputs"][3].update(of=of))
    with pytest.raises(ScoringError):
        load_artifact(tmp_path / "crossed")


def test_a_cross_of_a_protected_column_is_never_a_model(small: Schema, crossed: Scorecard) -> None:
    cross = learned_cross(small, "income", "age", Product(left=(0, 0, 1, 1, 1), right=(0,) * 31))
    assert cross.protected
    table = points_table(small, cross.name, bins=(0, 1, 2), points=(0, 1, 2), crosses=(cross,))
    with pytest.raises(ScorecardInvalid):  # its cells do not fit age's
        replace(crossed, tables=(*crossed.tables[:3], table), crosses=(cross,))
    fitting = Product(left=(0, 0, 1, 1, 1), right=(0,) * (small.graded[4].cells.count - 1))
    cross = learned_cross(small, "income", "age", fitting)
    with pytest.raises(InputProtected):
        replace(crossed, tables=(*crossed.tables[:3], table), crosses=(cross,))
