"""The way of one score over HTTP, on every database."""

import json

import pytest

from api.score_document import NotYetLogged, Trust, parse_trust, verify_document
from identity.keys import SigningKey


def test_a_presentation_becomes_a_durable_score(harness):
    holder = SigningKey.generate()
    request = harness.ask()
    vp_token = harness.vp_token(request, holder)
    answer = harness.http.post(
        "/v1/scores", json={"request_id": request["id"], "vp_token": vp_token}, headers=harness.token()
    )
    assert answer.status_code == 201
    score = answer.json()
    assert answer.headers["location"] == f"/v1/scores/{score['id']}"
    assert score["outcome"] == "scored"
    assert 300 <= score["points"] <= 850
    assert 1 <= len(score["reasons"]) <= 4
    assert score["log"]["index"] == 0

    poll = harness.http.get(f"/v1/presentation-requests/{request['id']}", headers=harness.token()).json()
    assert (poll["status"], poll["score_id"]) == ("submitted", score["id"])
