"""Requests read strictly: no parameter twice, and JSON of that media type, no name twice, no NaN, no endless depth."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from identity.encoding import parse_json


class StrictRequest(Request):
    """A request whose JSON is parsed as credentials are."""

    async def json(self) -> Any:
        """The body, read once; raises an IdentityError that says what is wrong with it."""
        if not hasattr(self, "_json"):
            self._json = parse_json(await self.body())
        return self._json


class StrictRoute(APIRoute):
    """A route that reads its parameters and its body strictly."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, given a strict request."""
        handle = super().get_route_handler()

        async def handle_strictly(request: Request) -> Response:
            self._verify_unrepeated(request)
            media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if self.body_field is not None and media_type != "application/json":
                raise HTTPException(415)
            return await handle(StrictRequest(request.scope, request.receive))

        return handle_strictly

    def _verify_unrepeated(self, request: Request) -> None:
        """Raises RequestValidationError where a parameter of ours stands twice: the framework would take the last."""
        repeated = [
            ("query", each.alias)
            for each in self.dependant.query_params
            if len(request.query_params.getlist(each.alias)) > 1
        ]
        repeated += [
            ("header", each.alias)
            for each in self.dependant.header_params
            if len(request.headers.getlist(each.alias)) > 1
        ]
        if repeated:
            raise RequestValidationError([{"loc": place, "type": "repeated"} for place in repeated])
