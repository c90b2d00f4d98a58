"""One engine for SQLite and PostgreSQL, durable on both, and the migrations that make its tables."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout


class StoreError(Exception):
    """The root of what the store raises; each leaf carries a ``code`` and a message without data."""

    code = "store_error"


class StoreUnavailable(StoreError):
    """The database cannot be reached, or did not confirm a write: whether that is stored, trying it again shows."""

    code = "store_unavailable"

    def __init__(self) -> None:
        super().__init__("The database is not available. Try again.")


#: Those of the server's thread pool, and our own.
_MOST_THREADS = 48
#: How long a statement waits for another transaction, and a transaction for its next statement. A host that vanished
#: while it held the lock of the log's head would else hold up every other one until its connection is given up, hours.
_LONGEST_WAIT_MS = 30_000


def open_engine(url: str) -> Engine:
    """Open ``url`` (``sqlite:///…`` or ``postgresql+psycopg://…``) with every commit on disk before it returns."""
    # The server runs at most 40 requests at once, and none of them may wait for a connection that another one holds.
    engine = sqlalchemy.create_engine(
        url,
        pool_pre_ping=url.startswith("postgresql"),
        pool_size=8,
        max_overflow=_MOST_THREADS - 8,
        hide_parameters=True,  # or what was sent would stand in the messages of errors, and so in logs
    )
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        event.listen(engine, "connect", _configure_postgresql)
    return engine


def _configure_sqlite(connection: Any, _record: object) -> None:
    # The driver's own implicit BEGIN is deferred, and a deferred transaction that turns writer can fail with
    # "database is locked" whatever the timeout: so it is switched off, and `_begin_sqlite` says BEGIN itself.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout={_LONGEST_WAIT_MS}")
    _enter_wal(connection)
    for pragma in ("synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


_IN_THE_WAY = ("SQLITE_BUSY", "SQLITE_PROTOCOL")


def _enter_wal(connection: Any) -> None:
    """SQLite does not wait for this of itself: of two processes that open a new file at once, one is told busy."""
    until = time.monotonic() + _LONGEST_WAIT_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as refused:
            if not refused.sqlite_errorname.startswith(_IN_THE_WAY) or time.monotonic() >= until:
                raise
            time.sleep(0.01)


def _configure_postgresql(connection: Any, _record: object) -> None:
    for name in ("lock_timeout", "idle_in_transaction_session_timeout"):
        connection.execute(f"SET {name} = {_LONGEST_WAIT_MS}")
    # The server's own setting may be stronger, and then stays.
    connection.execute(
        "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
    )
    connection.commit()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def write_transaction(engine: Engine) -> Iterator[Connection]:
    """One transaction that may write: on leaving it is durable, or nothing of it is; raises `StoreUnavailable`."""
    with _availability(), engine.connect().execution_options(writes=True) as connection, connection.begin():
        yield connection


@contextmanager
def read_transaction(engine: Engine) -> Iterator[Connection]:
    """One consistent view of the database; raises `StoreUnavailable`."""
    with _availability(), engine.connect() as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield connection


@contextmanager
def _availability() -> Iterator[None]:
    """Make one error of all that is the database's doing, not the statement's: away, full, locked for long, demoted."""
    try:
        yield
    except (OperationalError, InterfaceError, InternalError, PoolTimeout) as error:
        raise StoreUnavailable from error


def migrate(url: str) -> None:
    """Bring the database at ``url`` to the newest revision, making it where it is not; raises `StoreUnavailable`."""
    _upgrade(url, "data")


def migrate_keystore(url: str) -> None:
    """Bring the subject-key store at ``url`` to the newest revision, making it where it is not; raises as `migrate`."""
    _upgrade(url, "keystore")


def _upgrade(url: str, revisions: str) -> None:
    migrations = Path(__file__).resolve().parents[2] / "migrations"
    config = Config()
    config.set_main_option("script_location", str(migrations))
    config.set_main_option("version_locations", str(migrations / revisions))
    config.set_main_option("path_separator", "newline")
    # Alembic's options are ConfigParser's: a percent sign in a password would be read as interpolation.
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    with _availability():
        command.upgrade(config, "head")
