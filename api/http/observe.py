"""Counts and times every request, and logs one line of it: method, route, status, time; never a body or a header."""

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.metrics import Metrics

_LOG = logging.getLogger("credence.access")


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
        status = 500

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message["headers"],
                    (b"x-content-type-options", b"nosniff"),
                    (b"referrer-policy", b"no-referrer"),
                ]
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        finally:
            took_s = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", "unmatched")
            self._metrics.requests.labels(scope["method"], route, str(status)).inc()
            self._metrics.request_seconds.labels(scope["method"], route).observe(took_s)
            _LOG.info("%s %s %d %.1f ms", scope["method"], route, status, took_s * 1000)
