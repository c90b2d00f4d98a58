"""How much a request may send: refused before it is read where it says so, and while it is read where it does not."""

from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.errors import problem_response
from api.problems import BodyTooLarge, problem_of


class BodyLimitMiddleware:
    """Answers 413 to a body of more than `max_bytes`, declared or chunked, however long it would go on.

    `larger` names the paths that take more. Their routes read the body themselves, after they know who sends it.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, larger: Mapping[str, int]) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._larger = larger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        max_bytes = self._larger.get(scope["path"], self._max_bytes)
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and (len(declared) > 18 or int(declared) > max_bytes):
            response = problem_response(problem_of(BodyTooLarge()))
            # The body is not read, so the connection cannot serve another request.
            response.headers["Connection"] = "close"
            await response(scope, receive, send)
            return
        received = 0

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > max_bytes:
                raise BodyTooLarge
            return message

        await self._app(scope, receive_counted, send)
