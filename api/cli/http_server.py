"""The HTTP server as we run it: what it takes from a connection before a request is whole is bounded."""

import sys
from asyncio import BaseTransport, Transport
from asyncio.events import TimerHandle
from typing import cast

import uvicorn
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.http.errors import problem_response
from api.problems import OVERLOADED

KEEP_ALIVE_S = 15
SHUTDOWN_S = 20
MAX_CONNECTIONS = 1024
MAX_HEAD_BYTES = 16 * 1024
#: Head, body and trailers together; the body's own limit is answered for, this one is not.
MAX_REQUEST_BYTES = 1024 * 1024
RECEIVE_TIMEOUT_S = 10.0


class HeadTooLarge(Exception):
    """The line and the headers of a request are larger than any that is served; its server answers 400."""


class BoundedProtocol(HttpToolsProtocol):
    """Closes a connection that does not finish a request in time, or whose headers or trailers do not end.

    The server's own limits do neither with this parser: a connection that says nothing, or a header without end, would
    be held for ever. What is too much at once is answered as any problem is, and not in the server's own words.
    """

    _unfinished_bytes = 0
    _in_head = False
    _deadline: TimerHandle | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        """Wait for the first request, but not for long."""
        super().connection_made(cast(Transport, transport))
        self._expect_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._expect_nothing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, unless it is of a request that should have ended."""
        super().data_received(data)
        if self._deadline is None or self.transport.is_closing():
            return
        self._unfinished_bytes += len(data)
        if self._in_head and self._unfinished_bytes > MAX_HEAD_BYTES:
            self.send_400_response("Invalid HTTP request received.")
        elif self._unfinished_bytes > MAX_REQUEST_BYTES:
            self.transport.close()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._in_head, self._unfinished_bytes = True, 0
        self._expect_request()

    def on_headers_complete(self) -> None:
        """Its headers are there; raises `HeadTooLarge`."""
        self._in_head = False
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > MAX_HEAD_BYTES:
            raise HeadTooLarge
        crowded = max(len(self.connections), len(self.tasks)) > MAX_CONNECTIONS
        self.app = _answer_overloaded if crowded else self.config.loaded_app
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """It is whole."""
        self._expect_nothing()
        super().on_message_complete()

    def _expect_request(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(RECEIVE_TIMEOUT_S, self.transport.close)

    def _expect_nothing(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


async def _answer_overloaded(scope: Scope, receive: Receive, send: Send) -> None:
    response = problem_response(OVERLOADED)
    response.headers["Connection"] = "close"
    await response(scope, receive, send)


def http_server(app: FastAPI) -> uvicorn.Server:
    """The server of an application, to be run on a socket that is bound already."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            loop="uvloop" if sys.platform != "win32" else "auto",
            http=BoundedProtocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=SHUTDOWN_S,
        )
    )
