"""A small schema and model, the taiwan schema and data, for every test of the room."""

import csv
import gzip
import os
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest

from scoring.card import LedgerReference, Mechanism, ModelCard, Privacy
from scoring.features import ClaimSet
from scoring.schema import Schema, parse_schema
from scoring.scorecard import Scorecard, points_table

SMALL = b"""
name = "small"
label = "bad"
person = "id"
rows_per_person = 2

[[credential]]
vct = "urn:test:many:1"
max_age_days = 30
many = "newest"

[[credential]]
vct = "urn:test:sum:1"
many = "sum"

[[feature]]
name = "income"
kind = "numeric"
low = 0
high = 1000
cells = 4
special = [-9]
source = "urn:test:one:1#/months/0/net_minor"
source_divisor = 100

[[feature]]
name = "jobs"
kind = "integer"
low = 0
high = 3
source = "urn:test:many:1#/jobs"

[[feature]]
name = "sent"
kind = "numeric"
low = 0
high = 100000
log = true
source = "urn:test:sum:1#/sent_minor"

[[feature]]
name = "trade"
kind = "categorical"
categories = ["1", "2", "farm"]
source = "urn:test:one:1#/trade~1code"

[[feature]]
name = "age"
kind = "integer"
low = 18
high = 90
protected = true
source = "urn:test:one:1#/age"

[[feature]]
name = "late-30"
kind = "integer"
low = 0
high = 9

[[derived]]
name = "per_job"
expr = "income / jobs"
kind = "numeric"
low = 0
high = 500
monotone = "decreasing"

[[derived]]
name = "of_age"
expr = "income / age"
kind = "numeric"
low = 0
high = 50

[[derived]]
name = "late"
expr = "income * `late-30`"
kind = "numeric"
low = 0
high = 50

[[cross]]
of = ["jobs", "per_job"]

[[cross]]
of = ["trade", "of_age"]
"""


@pytest.fixture(scope="session")
def small_toml() -> bytes:
    return SMALL


@pytest.fixture(scope="session")
def small() -> Schema:
    return parse_schema(SMALL)


@pytest.fixture(scope="session")
def taiwan() -> Schema:
    return parse_schema(files("scoring").joinpath("schemas/taiwan.toml").read_bytes())


@pytest.fixture(scope="session")
def taiwan_rows() -> list[dict[str, str]]:
    """The whole public set, in file order."""
    if "CREDENCE_TEST_DATA" not in os.environ:
        pytest.skip("CREDENCE_TEST_DATA is unset: no public data")
    path = Path(os.environ["CREDENCE_TEST_DATA"]) / "data/taiwan/taiwan.csv.gz"
    with gzip.open(path, "rt") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="session")
def taiwan_claims() -> Callable[[dict[str, str]], dict[str, list[ClaimSet]]]:
    """A row as the claims of a repayment-history credential issued at 0."""

    def claims_of(row: dict[str, str]) -> dict[str, list[ClaimSet]]:
        claims: dict[str, object] = {
            "currency": "TWD",
            "credit_line_minor": round(float(row["LIMIT_BAL"]) * 100),
            "statement_minor": [round(float(row[f"BILL_AMT{month}"]) * 100) for month in range(1, 7)],
            "paid_minor": [round(float(row[f"PAY_AMT{month}"]) * 100) for month in range(1, 7)],
            "delay_months": [int(row[f"PAY_{month}"]) for month in (0, 2, 3, 4, 5, 6)],
        }
        return {"urn:credence:repayment-history:1": [ClaimSet(issued_at_ms=0, claims=claims)]}

    return claims_of


@pytest.fixture(scope="session")
def small_scorecard(small: Schema) -> Scorecard:
    """income: 4 ordinary cells, -9, absent. jobs: 4, absent. trade: 3, other, absent."""
    return Scorecard(
        schema=small,
        tables=(
            points_table(small, "income", bins=(0, 1, 1, 2, 3, 4), points=(-30, 0, 0, 40, -10, -20)),
            points_table(small, "jobs", bins=(0, 1, 2, 2, 3), points=(-25, 5, 20, 20, 0)),
            points_table(small, "trade", bins=(0, 1, 2, 3, 4), points=(10, 0, 5, -5, 0)),
        ),
        offset=550,
    )


@pytest.fixture(scope="session")
def model_card() -> ModelCard:
    return ModelCard(
        name="small scorecard",
        created_at_ms=1_700_000_000_000,
        data_kind="synthetic",
        population="nobody",
        limits=("Made of nothing.",),
        privacy=Privacy(
            epsilon_micro=1_000_000,
            delta_e12=1_000_000,
            rows_per_person=2,
            institutions=1,
            sampler="os",
            mechanisms=(
                Mechanism(name="cell_counts", releases=1, sensitivity_squared=12, scale=1, sigma_micro=50_000_000),
            ),
            ledger=(LedgerReference(id="1", sha256="ab" * 32),),
        ),
    )
