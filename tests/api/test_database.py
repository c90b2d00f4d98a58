"""The database: its migrations make the tables of the models, and what is committed is on disk."""

import sqlite3
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import sqlalchemy
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import MetaData, insert, inspect, select, text

from api.store import tables
from api.store.consents import consent_id_of
from api.store.database import (
    StoreUnavailable,
    _enter_wal,
    migrate,
    migrate_keystore,
    open_engine,
    read_transaction,
    write_transaction,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def engine(database):
    engine = open_engine(database)
    yield engine
    engine.dispose()


def alembic_config(url: str, revisions: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(ROOT / "migrations"))
    config.set_main_option("version_locations", str(ROOT / "migrations" / revisions))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


def shape_of(metadata: MetaData) -> dict[str, object]:
    """Everything of some tables that a statement or a writer can notice."""
    return {
        table.name: {
            "columns": {c.name: (str(c.type.as_generic()), c.nullable) for c in table.columns},
            "key": [column.name for column in table.primary_key],
            "foreign": sorted(
                (tuple(key.column_keys), key.referred_table.name, tuple(e.column.name for e in key.elements))
                for key in table.foreign_key_constraints
            ),
            "unique": sorted(
                tuple(column.name for column in each.columns)
                for each in table.constraints
                if isinstance(each, sqlalchemy.UniqueConstraint)
            ),
            "indices": sorted((i.name, tuple(column.name for column in i.columns), i.unique) for i in table.indexes),
        }
        for table in metadata.tables.values()
        if table.name != "alembic_version"
    }


KINDS = {"data": (migrate, tables.Model), "keystore": (migrate_keystore, tables.KeystoreModel)}


@pytest.mark.parametrize("kind", KINDS)
def test_the_migrations_make_exactly_the_tables_of_the_models(kind, databases, unmigrated_database):
    upgrade, model = KINDS[kind]
    with databases.fresh(upgrade) as migrated:
        compare_tables(migrated, unmigrated_database, model)


def compare_tables(migrated, unmigrated_database, model):
    by_migration = open_engine(migrated)
    by_model = open_engine(unmigrated_database)
    model.metadata.create_all(by_model)
    shapes = []
    for engine in (by_migration, by_model):
        reflected = MetaData()
        reflected.reflect(engine)
        shapes.append(shape_of(reflected))
    assert shapes[0] == shapes[1]
    assert set(shapes[0]) == set(model.metadata.tables)
    with by_migration.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, model.metadata) == []
    by_migration.dispose()
    by_model.dispose()


@pytest.mark.parametrize("kind", KINDS)
def test_alembic_finds_nothing_left_to_generate(kind, databases):
    with databases.fresh(KINDS[kind][0]) as migrated:
        command.check(alembic_config(migrated, kind))


@pytest.mark.parametrize("kind", KINDS)
def test_downgrade_leaves_nothing_and_upgrade_makes_it_again(unmigrated_database, kind):
    upgrade, _ = KINDS[kind]
    upgrade(unmigrated_database)
    engine = open_engine(unmigrated_database)
    first = set(inspect(engine).get_table_names())
    command.downgrade(alembic_config(unmigrated_database, kind), "base")
    assert set(inspect(engine).get_table_names()) == {"alembic_version"}
    upgrade(unmigrated_database)
    assert set(inspect(engine).get_table_names()) == first
    engine.dispose()


def rows_of(engine) -> dict[str, list[tuple[object, ...]]]:
    with read_transaction(engine) as transaction:
        return {
            table.name: [tuple(row) for row in transaction.execute(select(table).order_by(*table.primary_key))]
            for table in tables.Model.metadata.sorted_tables
        }


def test_a_populated_database_survives_being_migrated_again(harness, settings):
    harness.settle()
    harness.score()
    engine = open_engine(settings.database_url)
    with write_transaction(engine) as transaction:
        transaction.execute(
            insert(tables.anchor_targets).values(chain_id=1, contract="0x", log_id=b"1", genesis_hash=b"2")
        )
    before = rows_of(engine)
    populated = {name for name, rows in before.items() if rows}
    assert {"tenants", "clients", "scores", "log_entries", "log_head", "log_tiles", "status_indices"} <= populated
    migrate(settings.database_url)
    migrate_keystore(settings.keystore_url)
    assert rows_of(engine) == before
    assert harness.score()["log"]["index"] == 1
    engine.dispose()


def populate_every_table(engine) -> dict[str, list[dict[str, object]]]:
    """One row in each table that there is, whatever its columns; returns all of them by table."""
    metadata = MetaData()
    metadata.reflect(engine, only=lambda name, _: name != "alembic_version")
    values = {int: 7, str: "t", bytes: b"b"}
    rows = {
        table.name: [{column.name: values[column.type.python_type] for column in table.columns}]
        for table in metadata.sorted_tables
    }
    with write_transaction(engine) as transaction:
        for table in metadata.sorted_tables:
            transaction.execute(insert(table), rows[table.name])
    return rows


@pytest.mark.parametrize("kind", KINDS)
def test_a_populated_database_of_the_first_revision_keeps_its_rows(kind, unmigrated_database):
    command.upgrade(alembic_config(unmigrated_database, kind), "0001")
    engine = open_engine(unmigrated_database)
    before = populate_every_table(engine)
    KINDS[kind][0](unmigrated_database)
    metadata = MetaData()
    metadata.reflect(engine)
    with read_transaction(engine) as transaction:
        for name, rows in before.items():
            kept = transaction.execute(select(metadata.tables[name])).mappings().one()
            assert {column: kept[column] for column in rows[0]} == rows[0]
    engine.dispose()


@pytest.mark.parametrize("kind", KINDS)
def test_a_downgrade_leaves_the_rows_that_the_first_revision_had(kind, unmigrated_database):
    command.upgrade(alembic_config(unmigrated_database, kind), "0001")
    engine = open_engine(unmigrated_database)
    before = populate_every_table(engine)
    KINDS[kind][0](unmigrated_database)
    command.downgrade(alembic_config(unmigrated_database, kind), "0001")
    metadata = MetaData()
    metadata.reflect(engine)
    with read_transaction(engine) as transaction:
        for name, rows in before.items():
            assert [dict(row) for row in transaction.execute(select(metadata.tables[name])).mappings()] == rows
    engine.dispose()


def test_trust_that_the_first_revision_could_not_limit_is_gone_after_a_downgrade(unmigrated_database):
    migrate(unmigrated_database)
    engine = open_engine(unmigrated_database)
    own = {"tenant_id": "t", "did": "did:key:a", "vct": "v", "valid_to_ms": 5, "list_issuer": None}
    full = {"evidence_level": "system_of_record"}
    rows = [
        own | full | {"id": "1", "valid_from_ms": 1},
        own | full | {"id": "2", "valid_from_ms": 6, "valid_to_ms": None},
        own | full | {"id": "3", "valid_from_ms": 3, "vct": "listed", "list_issuer": "did:key:l"},
        own | {"id": "4", "valid_from_ms": 3, "vct": "less", "evidence_level": "self_declared"},
    ]
    with write_transaction(engine) as transaction:
        transaction.execute(insert(tables.tenants).values(tenant("t")))
        transaction.execute(insert(tables.trusted_issuers), rows)
    command.downgrade(alembic_config(unmigrated_database, "data"), "0001")
    with read_transaction(engine) as transaction:
        kept = transaction.execute(sqlalchemy.text("SELECT vct, valid_from_ms, valid_to_ms FROM trusted_issuers")).all()
    assert [tuple(row) for row in kept] == [("v", 6, None)]
    engine.dispose()


def test_a_score_older_than_consents_is_under_one_after_the_migration(unmigrated_database):
    command.upgrade(alembic_config(unmigrated_database, "data"), "0001")
    engine = open_engine(unmigrated_database)
    populate_every_table(engine)
    migrate(unmigrated_database)
    with read_transaction(engine) as transaction:
        score = transaction.execute(select(tables.scores)).one()
        entry = transaction.execute(select(tables.log_entries)).one()
        (purpose,) = transaction.execute(select(tables.presentation_requests.c.purpose)).scalars()
        consent = transaction.execute(select(tables.consents)).one()
    assert consent.id == consent_id_of(score.subject_id, purpose)
    assert (consent.tenant_id, consent.subject_id, consent.purpose, consent.given_at_ms, consent.withdrawn_at_ms) == (
        score.tenant_id, score.subject_id, purpose, entry.at_ms, None,
    )  # fmt: skip
    engine.dispose()


def test_two_processes_may_migrate_a_new_database_at_once(unmigrated_database):
    program = "import sys; from api.store.database import migrate; migrate(sys.argv[1])"
    started = [
        subprocess.Popen([sys.executable, "-c", program, unmigrated_database], cwd=ROOT, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    assert [(each.communicate()[1].decode()[-500:], each.returncode) for each in started] == [("", 0)] * 2
    engine = open_engine(unmigrated_database)
    assert set(inspect(engine).get_table_names()) == {*tables.Model.metadata.tables, "alembic_version"}
    engine.dispose()


@pytest.mark.parametrize(
    ("name", "tries"), [("SQLITE_BUSY_RECOVERY", 2), ("SQLITE_PROTOCOL", 2), ("SQLITE_CANTOPEN", 1)]
)
def test_who_finds_another_process_entering_wal_tries_again(name, tries):
    class Connection:
        asked = 0

        def execute(self, _pragma):
            self.asked += 1
            if self.asked == 1:
                refused = sqlite3.OperationalError("database is locked")
                refused.sqlite_errorname = name
                raise refused

    connection = Connection()
    with nullcontext() if tries == 2 else pytest.raises(sqlite3.OperationalError):
        _enter_wal(connection)
    assert connection.asked == tries


def test_every_connection_is_durable(engine):
    with read_transaction(engine) as transaction:
        if engine.dialect.name == "sqlite":
            asked = {
                name: transaction.exec_driver_sql(f"PRAGMA {name}").scalar_one()
                for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            }
            assert asked == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30000}
        else:
            for name in ("fsync", "synchronous_commit", "full_page_writes"):
                assert transaction.exec_driver_sql(f"SHOW {name}").scalar_one() == "on"


def test_a_server_that_does_not_wait_for_its_disk_is_made_to(databases, database):
    if not database.startswith("postgresql"):
        pytest.skip("SQLite has no such setting of the database's own")
    admin = sqlalchemy.create_engine(database, isolation_level="AUTOCOMMIT")
    for set_there, found in (("off", "on"), ("remote_write", "remote_write")):
        with admin.connect() as connection:
            name = connection.exec_driver_sql("SELECT current_database()").scalar_one()
            connection.exec_driver_sql(f"ALTER DATABASE {name} SET synchronous_commit = {set_there}")
        engine = open_engine(database)
        with read_transaction(engine) as transaction:
            assert transaction.exec_driver_sql("SHOW synchronous_commit").scalar_one() == found
        engine.dispose()
    admin.dispose()


def test_what_holds_a_lock_and_does_not_go_on_is_waited_for_but_not_for_ever(database, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("api.store.database._LONGEST_WAIT_MS", 300)
        hasty = open_engine(database)
        with read_transaction(hasty):
            pass  # connected, and to be used again
    patient = open_engine(database)
    lock = select(tables.tenants).with_for_update()
    with write_transaction(patient) as transaction:
        transaction.execute(insert(tables.tenants).values(tenant("t")))
    with write_transaction(patient) as transaction:
        transaction.execute(lock)
        with pytest.raises(StoreUnavailable), write_transaction(hasty) as waiting:
            waiting.execute(lock)
    with write_transaction(hasty) as transaction:
        assert len(transaction.execute(lock).all()) == 1
    if hasty.dialect.name == "postgresql":

        def vanish_and_come_back(vanished):
            vanished.execute(lock)
            with write_transaction(patient) as transaction:
                transaction.execute(lock)
            vanished.execute(lock)

        with pytest.raises(StoreUnavailable), write_transaction(hasty) as transaction:
            vanish_and_come_back(transaction)
    hasty.dispose()
    patient.dispose()


def tenant(name: str) -> dict[str, object]:
    return {"id": name, "name": name, "log_ref": name, "next_seq": 0, "created_at_ms": 2**53}


def test_a_write_is_whole_or_not_at_all(engine):
    def write_two(transaction):
        transaction.execute(insert(tables.tenants).values(tenant("half")))
        raise RuntimeError

    with pytest.raises(RuntimeError), write_transaction(engine) as transaction:
        write_two(transaction)
    with read_transaction(engine) as transaction:
        assert transaction.execute(select(tables.tenants)).all() == []


def test_a_read_sees_one_moment_and_may_not_write(engine):
    with read_transaction(engine) as reading:
        assert reading.execute(select(tables.tenants)).all() == []
        with write_transaction(engine) as writing:
            writing.execute(insert(tables.tenants).values(tenant("later")))
        assert reading.execute(select(tables.tenants)).all() == []
    with read_transaction(engine) as reading:
        assert reading.execute(select(tables.tenants.c.created_at_ms)).scalars().all() == [2**53]


def test_a_reference_to_nothing_is_refused(engine):
    issuer = {
        "id": "tru_0",
        "tenant_id": "nobody",
        "did": "did:key:z",
        "vct": "v",
        "valid_from_ms": 0,
        "evidence_level": "system_of_record",
    }
    with pytest.raises(sqlalchemy.exc.IntegrityError), write_transaction(engine) as transaction:
        transaction.execute(insert(tables.trusted_issuers).values(issuer))


def test_an_error_of_the_database_does_not_repeat_what_was_sent(engine):
    with write_transaction(engine) as transaction:
        transaction.execute(insert(tables.tenants).values(tenant("t")))
    with pytest.raises(sqlalchemy.exc.IntegrityError) as refused, write_transaction(engine) as transaction:
        transaction.execute(insert(tables.tenants).values(tenant("t") | {"log_ref": "+254712345678"}))
    assert "254712345678" not in str(refused.value)


@pytest.fixture
def database_that_is_away(unmigrated_database, tmp_path):
    if unmigrated_database.startswith("sqlite"):
        return f"sqlite:///{tmp_path}/not-there/database.sqlite3"
    return unmigrated_database.replace("port=5432", "port=5433")


@pytest.mark.parametrize("bring_up", [migrate, migrate_keystore])
def test_a_database_that_is_away_cannot_be_migrated(database_that_is_away, bring_up):
    with pytest.raises(StoreUnavailable):
        bring_up(database_that_is_away)


def test_a_database_that_is_away_is_unavailable(database_that_is_away):
    engine = open_engine(database_that_is_away)
    for transaction in (read_transaction, write_transaction):
        with pytest.raises(StoreUnavailable), transaction(engine) as connection:
            connection.execute(text("SELECT 1"))
