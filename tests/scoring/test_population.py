"""The synthetic population: fits the credential types, says what it is, and is read alike by training and serving."""

import json
from datetime import date
from pathlib import Path

import jsonschema_rs
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from scoring.errors import TrainingDataInvalid
from scoring.features import ClaimSet, extract_features, features_from_row
from scoring.population import INSTITUTIONS, Person, synthetic_population, training_rows
from scoring.rows import read_rows, write_rows
from scoring.schema import Schema, parse_schema

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def schema() -> Schema:
    return parse_schema((ROOT / "scoring/schemas/synthetic.toml").read_bytes())


@pytest.fixture(scope="module")
def people() -> tuple[Person, ...]:
    return synthetic_population(3_000, 1)


def test_claims_fit_the_nine_credential_types(people: tuple[Person, ...]) -> None:
    schemas = [json.loads(path.read_text()) for path in (ROOT / "identity/credential_types").glob("*.json")]
    validators = {
        schema["$id"]: jsonschema_rs.Draft202012Validator(schema, validate_formats=True) for schema in schemas
    }
    assert len(validators) == 9
    seen = set()
    for person in people[:800]:
        for vct, claims in person.claims.items():
            assert [error.message for error in validators[vct].iter_errors(dict(claims))] == []
            seen.add(vct)
    assert seen == set(validators)


def test_every_source_of_the_schema_is_a_claim_of_its_type(schema: Schema, people: tuple[Person, ...]) -> None:
    assert len(schema.vcts) == 9
    assert 20 <= len(schema.inputs) <= 40
    for vct in schema.vcts:
        person = next(person for person in people if vct in person.claims)
        found = extract_features(schema, {vct: [ClaimSet(issued_at_ms=0, claims=person.claims[vct])]}, now_ms=0)
        for feature, value in zip(schema.features, found.values, strict=False):
            assert feature.source is not None
            assert (value is not None) == (feature.source.vct == vct)


def test_every_figure_comes_of_one_issuer(schema: Schema) -> None:
    for column in schema.columns:
        assert len({source.vct for source in schema.sources_of(column)}) == 1


def test_served_and_trained_cells_are_the_same(schema: Schema, people: tuple[Person, ...], tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.csv", training_rows(schema, people[:500]))
    for person, row in zip(people[:500], read_rows(tmp_path / "rows.csv"), strict=True):
        claims = {vct: [ClaimSet(issued_at_ms=0, claims=one)] for vct, one in person.claims.items()}
        served, trained = extract_features(schema, claims, now_ms=0), features_from_row(schema, row)
        assert (served.cells, served.values) == (trained.cells, trained.values)
        assert row["default"] == str(int(person.defaulted))


def test_it_is_the_same_for_a_seed_and_moves_with_the_period(people: tuple[Person, ...]) -> None:
    assert synthetic_population(50, 1) == people[:50]
    assert synthetic_population(50, 2) != people[:50]
    later = synthetic_population(50, 1, period_to=date(2027, 2, 28))
    assert {claims["period_to"] for person in later for claims in person.claims.values()} == {"2027-02-28"}
    assert [person.defaulted for person in later] == [person.defaulted for person in people[:50]]


def test_everything_says_synthetic(schema: Schema, people: tuple[Person, ...]) -> None:
    assert schema.name == "synthetic"
    assert all(person.id.startswith("synthetic-") for person in people)
    assert all(institution.name.startswith("synthetic-") for institution in INSTITUTIONS)


def test_institutions_differ_and_so_do_people(people: tuple[Person, ...]) -> None:
    assert 0.12 <= np.mean([person.defaulted for person in people]) <= 0.20
    rates = [
        np.mean([person.defaulted for person in people if person.institution == institution.name])
        for institution in INSTITUTIONS
    ]
    assert max(rates) - min(rates) > 0.03
    carried = [len(person.claims) for person in people]
    assert min(carried) >= 2
    assert max(carried) >= 6


def test_discipline_shows_in_what_people_carry(people: tuple[Person, ...]) -> None:
    """One documented cause, seen from outside: instalments paid late go with a bad outcome."""
    vct = "urn:credence:loan-outcome:1"
    carriers = [person for person in people if vct in person.claims]
    late = [
        int(str(one.claims[vct]["instalment_due_n"])) - int(str(one.claims[vct]["instalment_on_time_n"]))
        for one in carriers
    ]
    assert roc_auc_score([person.defaulted for person in carriers], late) > 0.6


def test_rows_that_are_not_a_table_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    for data in (b"", b"a,a\n1,2\n", b"a,b\n1\n", b"a,b\n1,2,3\n", b'a\n"1', b"a\n\xff\n"):
        path.write_bytes(data)
        with pytest.raises(TrainingDataInvalid):
            read_rows(path)
    with pytest.raises(TrainingDataInvalid):
        read_rows(tmp_path / "missing.csv")
    for rows in ([], [{"a": "1"}, {"b": "2"}]):
        with pytest.raises(TrainingDataInvalid):
            write_rows(path, rows)
    path.write_bytes(b"\xef\xbb\xbfa,b\r\n1,\r\n\r\n")
    assert read_rows(path) == [{"a": "1", "b": ""}]
