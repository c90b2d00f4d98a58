"""Pages of other origins (Fetch standard, section 3.3): what takes no client's token, the page of a wallet may use.

Nothing here knows a cookie, so a page can do no more than anybody without a browser. What a client authenticates for
stays closed to pages: a client's secret does not belong in one.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.auth import caller_of

_CLOSED = frozenset({"createToken"})
_PREFLIGHT_S = 86_400


class CrossOriginMiddleware:
    """Lets pages of every origin read what takes no client's token, and answers the browser's question beforehand."""

    def __init__(self, app: ASGIApp, open_methods: Sequence[tuple[re.Pattern[str], frozenset[str]]]) -> None:
        self._app = app
        self._open_methods = open_methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        methods = self._methods_of(scope["path"]) if scope["type"] == "http" else frozenset()
        if not methods:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if scope["method"] == "OPTIONS" and "origin" in headers and "access-control-request-method" in headers:
            await self._answer_preflight(methods)(scope, receive, send)
            return

        async def send_openly(message: Message) -> None:
            if message["type"] == "http.response.start" and scope["method"] in methods:
                answered = MutableHeaders(scope=message)
                answered["Access-Control-Allow-Origin"] = "*"
                answered["Access-Control-Expose-Headers"] = "Location, Retry-After, WWW-Authenticate"
            await send(message)

        await self._app(scope, receive, send_openly)

    def _methods_of(self, path: str) -> frozenset[str]:
        found = [methods for pattern, methods in self._open_methods if pattern.match(path)]
        return frozenset().union(*found)

    @staticmethod
    def _answer_preflight(methods: frozenset[str]) -> Response:
        return Response(
            status_code=204,
            headers={
                "Access-Control-Allow-Origin": "*",
                "Access-Control-Allow-Methods": ", ".join(sorted(methods)),
                "Access-Control-Allow-Headers": "Authorization, Content-Type",
                "Access-Control-Max-Age": str(_PREFLIGHT_S),
            },
        )


def open_methods_of(routes: Sequence[Any]) -> list[tuple[re.Pattern[str], frozenset[str]]]:
    """The methods of each path that takes no client's token."""
    methods: dict[str, set[str]] = {}
    for path, route in _operations(routes):
        if route.operation_id not in _CLOSED and not _takes_client(route.dependant):
            methods.setdefault(path, set()).update(route.methods or ())
            if "GET" in methods[path]:
                methods[path].add("HEAD")
    return [(compile_path(path)[0], frozenset(each)) for path, each in methods.items()]


def _operations(routes: Sequence[Any], prefix: str = "") -> Iterator[tuple[str, APIRoute]]:
    for route in routes:
        if isinstance(route, APIRoute):
            yield prefix + route.path, route
        elif (included := getattr(route, "original_router", None)) is not None:
            yield from _operations(included.routes, prefix + route.include_context.prefix)


def _takes_client(dependant: Dependant) -> bool:
    return any(each.call is caller_of or _takes_client(each) for each in dependant.dependencies)
