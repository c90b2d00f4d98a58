"""The service behind a real HTTP server, for what only a socket can show."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from api.app import create_app
from api.cli.http_server import http_server
from api.settings import Settings
from api.store.database import migrate
from identity.keys import SigningKey
from tests.api.conftest import Clock, Harness, model
from tests.conftest import SqliteDatabases

__all__ = ["model"]
SCOPES = ("lender", "compliance", "operator", "issuer", "metrics")


class RunningClock(Clock):
    """A clock that starts where a test's stands, and runs: a service waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self._started = time.monotonic()

    def __call__(self) -> int:
        return self.now_ms + round(1000 * (time.monotonic() - self._started))


@pytest.fixture(scope="module")
def served(
    model: Path, sqlite_databases: SqliteDatabases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Harness]:
    """A service on a port of its own, whose clients speak HTTP to it."""
    folder = tmp_path_factory.mktemp("served")
    clock = RunningClock()
    listener = socket.create_server(("127.0.0.1", 0))
    base_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with sqlite_databases.fresh(migrate) as database:
        app = create_app(
            Settings(
                var=folder,
                database_url=database,
                keystore_url=f"sqlite:///{folder}/keystore.sqlite3",
                model=model,
                base_url=base_url,
                checkpoint_interval_ms=50,
            ),
            clock,
        )
        server = http_server(app)
        thread = threading.Thread(target=server.run, args=([listener],), name="uvicorn")
        thread.start()
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        with httpx.Client(base_url=base_url) as http:
            yield Harness(
                http=http,  # type: ignore[arg-type]
                service=app.state.service,
                clock=clock,
                institution=SigningKey.generate(),
            )
        server.should_exit = True
        thread.join()
