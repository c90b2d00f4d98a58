"""HEAD, which every path takes that takes GET (RFC 9110, section 9.3.2): the same answer without its content."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadMiddleware:
    """Serves HEAD as the GET that it stands for, and sends the headers alone."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_without_content(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        get = {**scope, "method": "GET"}
        try:
            await self._app(get, receive, send_without_content)
        finally:
            if "route" in get:  # or the log would not know which it was
                scope["route"] = get["route"]
