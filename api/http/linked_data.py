"""How many presentations of JSON-LD are judged at once: settled at the door, before a thread or the database is taken.

The processes that canonicalize have a bound of their own. But whoever is turned away there has been authenticated,
looked up and verified half-way before, in the one process that all formats share, and of that anybody could ask a lot.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import Request

from api.http.auth import token_caller_of
from api.http.service import Service, service_of
from api.problems import TokenMissing
from identity.errors import LinkedDataBusy
from identity.ldp_vc import peek_needs_rdf

#: How long a presentation waits at the door for a place, and how often it looks. It takes its connection and no thread:
#: an honest rush gets its turn, and whoever asks again at once is slowed down by as much.
DOOR_WAIT_S = 1.0
_LOOK_EVERY_S = 0.25


@contextmanager
def linked_data_place(service: Service, tenant_id: str, vp_token: Any) -> Iterator[None]:
    """A place for the block, where a presentation in `vp_token` needs one; raises LinkedDataBusy, and counts that.

    `vp_token` may be anything that was sent: what is no vp_token needs no place.
    """
    if not _needs_rdf(vp_token):
        yield
        return
    try:
        service.linked_data_places.take(tenant_id)
    except LinkedDataBusy as refused:
        service.metrics.presentations.labels(refused.code).inc()
        raise
    try:
        yield
    finally:
        service.linked_data_places.give_back(tenant_id)


async def linked_data_door(request: Request) -> AsyncIterator[None]:
    """The same for a request with a bearer token and a JSON body, for as long as it is served; waits a moment for it.

    A token that is not valid gets no place, and is refused further in. One whose client was disabled gets one until
    then: that it was is in the database.
    """
    body = await request.json()
    vp_token = body.get("vp_token") if isinstance(body, dict) else None
    try:
        tenant_id = token_caller_of(request).tenant_id if _needs_rdf(vp_token) else None
    except TokenMissing:
        tenant_id = None
    if tenant_id is None:
        yield
        return
    service = service_of(request)
    give_up_at_s = time.monotonic() + DOOR_WAIT_S
    while not service.linked_data_places.has_room(tenant_id) and time.monotonic() < give_up_at_s:
        await asyncio.sleep(_LOOK_EVERY_S)
    with linked_data_place(service, tenant_id, vp_token):
        yield


def _needs_rdf(vp_token: Any) -> bool:
    return isinstance(vp_token, dict) and any(
        isinstance(presentation, dict) and peek_needs_rdf(presentation)
        for presentations in vp_token.values()
        if isinstance(presentations, list)
        for presentation in presentations
    )
