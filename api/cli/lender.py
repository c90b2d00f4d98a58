"""A lender's way of calling the service: a token, what to ask for, and the score when it is anchored."""

import json
import time
from collections.abc import Mapping
from typing import Any

import httpx

from api.cli.terminal import CommandFailed
from scoring.schema import Schema

CALL_TIMEOUT_S = 30.0
ANCHOR_TIMEOUT_S = 45.0
_POLL_S = 0.1


class ApiClient:
    """An OAuth2 client of the API, with a token for all of its scopes; every refusal raises `CommandFailed`."""

    def __init__(self, base_url: str, *, client_id: str, client_secret: str) -> None:
        self._http = httpx.Client(base_url=base_url, timeout=CALL_TIMEOUT_S, trust_env=False)
        answer = self._http.post(
            "/v1/oauth/token", data={"grant_type": "client_credentials"}, auth=(client_id, client_secret)
        )
        self._http.headers["Authorization"] = f"Bearer {checked(answer).json()['access_token']}"

    def get(self, path: str, **parameters: str | int) -> httpx.Response:
        """GET a path."""
        return checked(self._http.get(path, params=parameters))

    def post(self, path: str, body: Mapping[str, Any]) -> httpx.Response:
        """POST a JSON body."""
        return checked(self._http.post(path, json=body))

    def close(self) -> None:
        """Close its connections."""
        self._http.close()


def build_query(schema: Schema, vcts: list[str]) -> dict[str, Any]:
    """A DCQL query for credentials of these types, and of each only the claims that the model reads."""
    claims: dict[str, dict[str, None]] = {vct: {} for vct in vcts}
    for column in schema.inputs:
        for source in schema.sources_of(column):
            if source.vct in claims:
                claims[source.vct][source.pointer[0]] = None
    return {
        "credentials": [
            {
                "id": vct.split(":")[2],
                "format": "dc+sd-jwt",
                "meta": {"vct_values": [vct]},
                "claims": [{"path": [name]} for name in names],
            }
            for vct, names in claims.items()
            if names
        ]
    }


def await_anchored(client: ApiClient, score_id: str) -> bytes:
    """The document of a score once a block holds an anchor over it; raises `CommandFailed` after a while."""
    deadline_s = time.monotonic() + ANCHOR_TIMEOUT_S
    while time.monotonic() < deadline_s:
        document = client.get(f"/v1/scores/{score_id}").content
        if json.loads(document)["anchor"] is not None:
            return document
        time.sleep(_POLL_S)
    raise CommandFailed(f"The score was not anchored within {ANCHOR_TIMEOUT_S:.0f} s.")


def checked(answer: httpx.Response) -> httpx.Response:
    """The answer, if it is of success; raises `CommandFailed` with the problem's code."""
    if answer.is_success:
        return answer
    try:
        code = str(answer.json().get("code", ""))
    except (ValueError, AttributeError):
        code = ""
    request = answer.request
    raise CommandFailed(f"{request.method} {request.url.path} answered {answer.status_code} {code}".rstrip() + ".")
