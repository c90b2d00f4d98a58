"""Fixtures for every room: the third-party test data, and databases of both kinds."""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.configuration import set_hypothesis_home_dir

from tests.postgres import PostgresServer, start_postgres

# The processes that run the tests have a core each; torch with a thread for every core in each of them is many times
# slower, and what they start inherits this.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# What runs writes under var/.
set_hypothesis_home_dir(Path(__file__).resolve().parents[1] / "var" / "cache" / "hypothesis")
# How fast a machine is, and how busy, says nothing of what is tested.
settings.register_profile("credence", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("credence")
DATABASES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
Migrate = Callable[[str], None]


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Return the folder of third-party vectors and public credit data, which are not ours to commit."""
    if not (folder := os.environ.get("CREDENCE_TEST_DATA")):
        pytest.skip("CREDENCE_TEST_DATA is not set: the third-party vectors and public data sets are not here")
    return Path(folder).resolve(strict=True)


#: What is longer may hold a key that was made for this run.
_LONGEST_ID = 40


def stable_id(value: object) -> str | None:
    """The name of a parameter that is the same in every process, or none: then pytest numbers it.

    Two processes that run the tests together must find the same ones, and a test whose name holds a key has another
    name in each.
    """
    text = ascii(value)
    return text if len(text) <= _LONGEST_ID else None


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Give a long text no name of its own, for the reason of `stable_id`."""
    return argname if isinstance(val, str | bytes) and len(val) > _LONGEST_ID else None


class SqliteDatabases:
    """Fresh SQLite files, copied from one that was migrated once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._templates: dict[Migrate, Path] = {}
        self._made = 0

    @contextmanager
    def fresh(self, migrate: Migrate | None) -> Iterator[str]:
        """Yield the URL of a new database with no rows: no tables either where ``migrate`` is None."""
        file = self._new_file()
        if migrate:
            if migrate not in self._templates:
                template = self._new_file()
                migrate(f"sqlite:///{template}")
                # What stands in a write-ahead log is not in the file that is copied.
                assert not template.with_name(f"{template.name}-wal").exists(), "migrate() left a connection open"
                self._templates[migrate] = template
            shutil.copyfile(self._templates[migrate], file)
        yield f"sqlite:///{file}"
        for each in self._folder.glob(f"{file.name}*"):
            each.unlink()

    def _new_file(self) -> Path:
        self._made += 1
        return self._folder / f"{self._made}.sqlite3"


class PostgresDatabases:
    """Fresh PostgreSQL databases, copied by the server from one that was migrated once."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._templates: dict[Migrate, str] = {}

    @contextmanager
    def fresh(self, migrate: Migrate | None) -> Iterator[str]:
        """Yield the URL of a new database with no rows: no tables either where ``migrate`` is None."""
        template = "template0"
        if migrate:
            if migrate not in self._templates:
                self._templates[migrate] = self._server.create_database()
                migrate(self._server.url(self._templates[migrate]))
            template = self._templates[migrate]
        name = self._server.create_database(template=template)
        yield self._server.url(name)
        self._server.drop_database(name)


@pytest.fixture(scope="session")
def postgres_server(pytestconfig: pytest.Config) -> Iterator[PostgresServer]:
    with start_postgres(pytestconfig.rootpath / "var" / "test-postgres") as server:
        yield server


@pytest.fixture(scope="session")
def sqlite_databases(tmp_path_factory: pytest.TempPathFactory) -> SqliteDatabases:
    return SqliteDatabases(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(scope="session")
def postgres_databases(postgres_server: PostgresServer) -> PostgresDatabases:
    return PostgresDatabases(postgres_server)


@pytest.fixture(params=list(DATABASES))
def databases(request: pytest.FixtureRequest) -> SqliteDatabases | PostgresDatabases:
    """Run the test once on SQLite and once on PostgreSQL."""
    request.node.user_properties.append(("database", request.param))
    made: SqliteDatabases | PostgresDatabases
    made = request.getfixturevalue("sqlite_databases" if request.param == "sqlite" else "postgres_databases")
    return made


@pytest.fixture
def unmigrated_database(databases: SqliteDatabases | PostgresDatabases) -> Iterator[str]:
    """Yield the URL of a database without tables."""
    with databases.fresh(None) as url:
        yield url


@pytest.fixture
def database(databases: SqliteDatabases | PostgresDatabases) -> Iterator[str]:
    """Yield the URL of a database at the newest revision, without rows."""
    from api.store.database import migrate

    with databases.fresh(migrate) as url:
        yield url


@pytest.fixture
def keystore_database(databases: SqliteDatabases | PostgresDatabases) -> Iterator[str]:
    """Yield the URL of a subject-key store at the newest revision, without rows, of the same kind as `database`."""
    from api.store.database import migrate_keystore

    with databases.fresh(migrate_keystore) as url:
        yield url


@pytest.fixture
def say_at_the_end(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Return what has a text stand in the summary of the run, from whichever process the test ran in."""
    return lambda text: request.node.user_properties.append(("said", text))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests said, and how many ran on each kind of database: passed or failed, not skipped."""
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        if report.when == "call":
            for name, value in report.user_properties:
                if name == "said":
                    terminalreporter.write_line(value)
    ran = Counter(
        dict(report.user_properties).get("database")
        for outcome in ("passed", "failed", "xfailed", "xpassed")
        for report in terminalreporter.getreports(outcome)
        if isinstance(report, pytest.TestReport) and report.when == "call"
    )
    said = ", ".join(f"{ran[kind]} {'test' if ran[kind] == 1 else 'tests'} on {DATABASES[kind]}" for kind in DATABASES)
    terminalreporter.write_line(f"databases: {said}")
