"""A served network: the trained one's scores, its reasons, its artifact, and everything that does not load."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rfc8785
import torch
from safetensors.numpy import load, save

from scoring.artifact import (
    load_artifact,
    load_model,
    load_network,
    write_artifact,
    write_network,
)
from scoring.card import ModelCard
from scoring.cells import Product
from scoring.errors import (
    ArtifactAltered,
    CardInvalid,
    InputProtected,
    InputUnsourced,
    NetworkInvalid,
    NoiseNotFromSystem,
    PrivacyUnderstated,
    ScorecardInvalid,
    WeightsInvalid,
)
from scoring.features import Features
from scoring.network.arithmetic import MOST_INPUT, MOST_WEIGHT, ONE, WEIGHT_BITS
from scoring.network.encoding import InputTable
from scoring.network.fitting import FittedNetwork
from scoring.network.serving import MOST_UNITS, Network
from scoring.schema import Schema, parse_schema
from scoring.scorecard import BASE_POINTS, Scorecard, pd_ppm_of_points, points_of_log_odds


def build_network(schema: Schema, **changes: object) -> Network:
    """Random weights over all inputs of a schema."""
    source = np.random.default_rng(5)
    tables = tuple(
        InputTable(feature=one.name, values=source.integers(-ONE, ONE, (one.cells.count, 2)).astype(np.int32))
        for one in schema.inputs
    )
    inputs = 2 * len(tables) + 1
    members: dict[str, object] = {
        "schema": schema,
        "tables": tables,
        "hidden": source.integers(-(2**WEIGHT_BITS), 2**WEIGHT_BITS, (3, inputs)).astype(np.int32),
        "output": source.integers(-(2**WEIGHT_BITS), 2**WEIGHT_BITS, 3 + inputs).astype(np.int32),
    }
    return Network(**{**members, **changes})  # type: ignore[arg-type]


def some_cells(schema: Schema, count: int) -> np.ndarray:
    """Cells of all columns; those of a cross follow its operands."""
    source = np.random.default_rng(6)
    cells = [source.integers(0, column.cells.count, count) for column in schema.graded]
    for cross in schema.crosses:
        assert isinstance(cross.cells, Product)
        pairs = zip(cells[cross.of[0]].tolist(), cells[cross.of[1]].tolist(), strict=True)
        cells.append(np.array([cross.cells.cell_of_cells(*pair) for pair in pairs]))
    return np.stack(cells, axis=1)


def features_of(cells: np.ndarray) -> Features:
    return Features(values=(), cells=tuple(cells.tolist()), credential_types=("urn:x",))


@pytest.fixture
def network(small: Schema) -> Network:
    return build_network(small)


@pytest.fixture
def directory(tmp_path: Path, network: Network, model_card: ModelCard) -> Path:
    write_network(tmp_path / "model", network=network, card=model_card)
    return tmp_path / "model"


# The score


def test_serving_scores_what_training_scored(small: Schema, network: Network) -> None:
    cells = some_cells(small, 200)
    fitted = FittedNetwork(columns=small.inputs, tables=network.tables, hidden=network.hidden, output=network.output)
    of_inputs = torch.from_numpy(cells[:, [small.position[column.name] for column in small.inputs]])
    log_odds = fitted.log_odds(of_inputs).tolist()
    points = [network.unclamped_points(features_of(row)) for row in cells]
    assert points == [round(points_of_log_odds(-one)) for one in log_odds]
    assert points == network.points_of_cells(cells).tolist()
    assert len(set(points)) > 20


def test_a_score_has_points_band_and_probability_of_the_same_scale(small: Schema, network: Network) -> None:
    row = some_cells(small, 1)[0]
    score = network.score(features_of(row))
    unclamped = network.unclamped_points(features_of(row))
    assert score.pd_ppm == pd_ppm_of_points(unclamped)
    assert score.points == min(max(unclamped, 300), 850)
    assert score.outcome in ("scored", "refer")
    absent = np.array([column.cells.absent for column in small.columns])
    assert network.score(features_of(absent)).outcome == "unscorable"


def test_a_reason_is_what_one_better_cell_alone_would_add(small: Schema, network: Network) -> None:
    row = some_cells(small, 4)[3]
    lost = network.points_lost(features_of(row))
    place = small.position[small.inputs[0].name]
    best = max(
        network.unclamped_points(features_of(np.concatenate([row[:place], [cell], row[place + 1 :]])))
        for cell in range(small.columns[place].cells.count)
    )
    assert lost[small.inputs[0].name] == best - network.unclamped_points(features_of(row)) >= 0
    reasons = network.reasons_of(features_of(row))
    assert [one.points_lost for one in reasons] == sorted((one.points_lost for one in reasons), reverse=True)
    assert sum(one.points_lost for one in reasons) <= sum(lost.values())
    assert 1 <= len(reasons) <= 4


def test_with_output_weights_alone_a_network_is_a_scorecard_of_its_inputs(small: Schema) -> None:
    straight = build_network(small)
    output = straight.output.copy()
    output[:3] = 0
    straight = build_network(small, output=output)
    row = some_cells(small, 1)[0]
    total = float(output[-1])
    for (column, place), table, first in zip(straight._columns, straight.tables, range(3, 100, 2), strict=False):
        assert column.name == table.feature
        total += float(table.values[row[place]] @ output[first : first + 2].astype(np.float64)) / ONE
    assert straight.unclamped_points(features_of(row)) == round(points_of_log_odds(-total / 2**WEIGHT_BITS))
    assert BASE_POINTS == 600


# What is no network


@pytest.mark.parametrize(
    "changes",
    [
        {"tables": ()},
        {"hidden": np.zeros((0, 7), np.int32), "output": np.zeros(7, np.int32)},
        {"hidden": np.zeros((MOST_UNITS + 1, 7), np.int32), "output": np.zeros(MOST_UNITS + 8, np.int32)},
        {"hidden": np.zeros((3, 6), np.int32)},
        {"output": np.zeros(9, np.int32)},
        {"output": np.full(10, MOST_WEIGHT + 1, np.int32)},
        {"hidden": np.full((3, 7), np.iinfo(np.int32).min, np.int32)},
        {"hidden": np.zeros((3, 7), np.int64)},
    ],
)
def test_shapes_and_sizes_are_held_to(small: Schema, changes: dict[str, object]) -> None:
    with pytest.raises(NetworkInvalid):
        build_network(small, **changes)


def test_tables_fit_the_schema(small: Schema, network: Network) -> None:
    first = network.tables[0]
    for table in (
        InputTable(feature="nobody", values=first.values),
        InputTable(feature=first.feature, values=first.values[:-1]),
        InputTable(feature=first.feature, values=first.values[:, :0]),
        InputTable(feature=first.feature, values=first.values.astype(np.int64)),
        InputTable(feature=first.feature, values=np.full_like(first.values, -MOST_INPUT - 1)),
        network.tables[1],
    ):
        with pytest.raises(NetworkInvalid):
            build_network(small, tables=(table, *network.tables[1:]))
    with pytest.raises(ScorecardInvalid):
        build_network(small, bands=())


def test_no_input_is_protected_or_without_a_source(small: Schema, network: Network) -> None:
    for refusal, column in (
        (InputProtected, next(one for one in small.columns if one.protected)),
        (InputUnsourced, next(one for one in small.columns if not one.sourced and not one.protected)),
    ):
        table = InputTable(feature=column.name, values=np.zeros((column.cells.count, 2), np.int32))
        with pytest.raises(refusal):
            build_network(small, tables=(table, *network.tables[1:]))


# The artifact


def seal(directory: Path) -> None:
    """Write the manifest anew, as somebody would who altered a file and knows the format."""
    names = ("weights.safetensors", "card.json", "schema.toml")
    hashes = {name: hashlib.sha256((directory / name).read_bytes()).hexdigest() for name in names}
    digest = hashlib.sha256(b"credence/artifact/v1\0" + rfc8785.dumps(dict(hashes))).hexdigest()
    (directory / "MANIFEST.json").write_bytes(rfc8785.dumps({"v": 1, "files": dict(hashes), "digest": digest}))


def test_what_is_written_is_what_loads(directory: Path, network: Network, model_card: ModelCard) -> None:
    artifact = load_network(directory)
    assert artifact.card == model_card
    assert artifact.network.weights_digest == network.weights_digest
    cells = some_cells(network.schema, 50)
    assert artifact.network.points_of_cells(cells).tolist() == network.points_of_cells(cells).tolist()
    again = load_model(directory, expected_digest=artifact.digest)
    assert again.digest == artifact.digest
    with pytest.raises(ArtifactAltered):
        load_network(directory, expected_digest=bytes(32))


def test_neither_kind_of_model_loads_as_the_other(
    directory: Path, tmp_path: Path, small_scorecard: Scorecard, model_card: ModelCard
) -> None:
    write_artifact(tmp_path / "scorecard", scorecard=small_scorecard, card=model_card)
    with pytest.raises(CardInvalid):
        load_artifact(directory)
    with pytest.raises(CardInvalid):
        load_network(tmp_path / "scorecard")
    assert load_model(tmp_path / "scorecard").model == small_scorecard


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (lambda card: card.update(more=1), CardInvalid),
        (lambda card: card["architecture"].update(activation="relu"), CardInvalid),
        (lambda card: card["architecture"].update(weight_bits=17), CardInvalid),
        (lambda card: card["scaling"].update(pdo=40), CardInvalid),
        (lambda card: card["inputs"].reverse(), ArtifactAltered),
        (lambda card: card["inputs"].pop(), WeightsInvalid),
        (lambda card: card.update(weights_sha256="0" * 64), ArtifactAltered),
        (lambda card: card["privacy"].update(sampler="seeded"), NoiseNotFromSystem),
        (lambda card: card["privacy"]["mechanisms"][0].update(sigma_micro=1_000_000), PrivacyUnderstated),
    ],
)
def test_an_altered_card_does_not_load(directory: Path, change: Callable[[dict], None], refusal: type) -> None:
    card = json.loads((directory / "card.json").read_bytes())
    change(card)
    (directory / "card.json").write_bytes(rfc8785.dumps(card))
    seal(directory)
    with pytest.raises(refusal):
        load_network(directory)


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (lambda tensors: tensors.update(more=np.zeros(1, np.int32)), WeightsInvalid),
        (lambda tensors: tensors.pop("output"), WeightsInvalid),
        (lambda tensors: tensors.update(hidden=tensors["hidden"].astype(np.float32)), WeightsInvalid),
        (lambda tensors: tensors.update(hidden=tensors["hidden"][:, :-1].copy()), NetworkInvalid),
        (lambda tensors: tensors["output"].__setitem__(0, 7), ArtifactAltered),
    ],
)
def test_altered_weights_do_not_load(directory: Path, change: Callable[[dict], None], refusal: type) -> None:
    tensors = {name: tensor.copy() for name, tensor in load((directory / "weights.safetensors").read_bytes()).items()}
    change(tensors)
    (directory / "weights.safetensors").write_bytes(save(tensors))
    seal(directory)
    with pytest.raises(refusal):
        load_network(directory)


def test_seeded_noise_makes_no_network(tmp_path: Path, network: Network, model_card: ModelCard) -> None:
    for source in ("seeded", "none"):
        card = replace(model_card, privacy=replace(model_card.privacy, sampler=source))
        with pytest.raises(NoiseNotFromSystem):
            write_network(tmp_path / "model", network=network, card=card)
    assert not (tmp_path / "model").exists()


def test_a_network_is_served_without_torch(directory: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None; from pathlib import Path; from scoring.artifact import load_model;"
        f"print(load_model(Path({str(directory)!r})).digest.hex())"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == load_network(directory).digest.hex()


def test_a_schema_is_that_of_the_training(directory: Path, small_toml: bytes) -> None:
    other = small_toml.replace(b"high = 500", b"high = 501")
    parse_schema(other)
    (directory / "schema.toml").write_bytes(other)
    seal(directory)
    with pytest.raises(Exception, match="another schema"):
        load_network(directory)
