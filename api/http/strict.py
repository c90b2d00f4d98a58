"""JSON bodies read strictly: of that media type, no name twice, no NaN, no depth without end."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute

from identity.encoding import parse_json


class StrictRequest(Request):
    """A request whose JSON is parsed as credentials are."""

    async def json(self) -> Any:
        """The body; raises an IdentityError that says what is wrong with it."""
        return parse_json(await self.body())


class StrictRoute(APIRoute):
    """A route that reads its body strictly."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, given a strict request."""
        handle = super().get_route_handler()

        async def handle_strictly(request: Request) -> Response:
            media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if self.body_field is not None and media_type != "application/json":
                raise HTTPException(415)
            return await handle(StrictRequest(request.scope, request.receive))

        return handle_strictly
