"""Counts and times every request, and logs one line of it: method, route, status, time; never a body or a header.

What nobody handled ends here too: whatever is outside of us would log its message, and with it perhaps what was sent.
"""

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.errors import log_internal_error, problem_response
from api.http.metrics import Metrics
from api.problems import INTERNAL

_LOG = logging.getLogger("credence.access")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class ObserveMiddleware:
    """Wraps the application; labels are route templates, so that no id becomes a label."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status, started_response = 500, False

        async def send_and_note(message: Message) -> None:
            nonlocal status, started_response
            if message["type"] == "http.response.start":
                status, started_response = message["status"], True
                headers = [
                    *message["headers"],
                    (b"x-content-type-options", b"nosniff"),
                    (b"referrer-policy", b"no-referrer"),
                ]
                if all(name != b"cache-control" for name, _ in headers):
                    headers.append((b"cache-control", b"no-store"))  # whose answer it is, only its route can know
                message["headers"] = headers
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except Exception as error:  # noqa: BLE001  (see above)
            log_internal_error(error, _route_of(scope))
            if not started_response:
                await problem_response(INTERNAL)(scope, receive, send_and_note)
        finally:
            took_s = time.perf_counter() - started
            route = _route_of(scope)
            # A method is whatever the client says, and a label must be one of few.
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.requests.labels(method, route, str(status)).inc()
            self._metrics.request_seconds.labels(method, route).observe(took_s)
            _LOG.info("%s %s %d %.1f ms", method, route, status, took_s * 1000)


def _route_of(scope: Scope) -> str:
    return str(getattr(scope.get("route"), "path", "unmatched"))
