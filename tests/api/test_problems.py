"""Problem documents: every error is mapped once, and none of them repeats what was sent."""

import importlib
import inspect
import json
import logging
import pkgutil
import re
from collections import Counter
from pathlib import Path

import pytest
import sqlalchemy

import api.store
import chain
import identity
import scoring
from api import problems
from api.problems import INTERNAL, STATUS_OF, AccessError, problem_of
from api.score_document import ScoreDocumentError
from api.store.database import StoreError
from chain.errors import ChainError
from identity.errors import IdentityError
from identity.keys import SigningKey
from identity.openid4vci import PRE_AUTHORIZED_CODE
from scoring.errors import ScoringError

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("identity", "scoring", "chain", "api")
#: What a person would recognize, in every alphabet that a field takes.
MARKER = "254712345678"
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}

#: Modules that only training imports, behind libraries that serving does without.
TRAINING = {"scoring.training", "scoring.dp.sampler", "scoring.validation.validate"}


def classes_below(root):
    return [each for child in root.__subclasses__() for each in (child, *classes_below(child))]


def refusals_of(root):
    """Every class below a root that is raised: those with none below, and those whose name stands behind a raise."""
    sources = "".join(each.read_text() for room in ROOMS for each in (ROOT / room).rglob("*.py"))
    raised = set(re.findall(r"raise (?:errors\.)?(\w+)", sources))
    return [each for each in classes_below(root) if not each.__subclasses__() or each.__name__ in raised]


@pytest.fixture(scope="module", autouse=True)
def _every_module_of_the_rooms():
    for room in (identity, scoring, chain, api.store):
        for module in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
            if module.name not in TRAINING:
                importlib.import_module(module.name)


ROOTS = [IdentityError, ScoringError, ChainError, StoreError, AccessError]


@pytest.mark.parametrize("root", ROOTS, ids=lambda root: root.__name__)
def test_every_error_of_a_room_is_mapped_exactly_once(root):
    refusals = refusals_of(root)
    assert len(refusals) > 3
    assert len({refusal.code for refusal in refusals}) == len(refusals)
    mapped = Counter(leaf for leaves in problems._STATUSES.values() for leaf in leaves)
    assert {refusal.__name__: mapped[refusal] for refusal in refusals if mapped[refusal] != 1} == {}


def test_nothing_is_mapped_that_is_no_error_of_a_room():
    known = {leaf for root in ROOTS for leaf in refusals_of(root)}
    assert set(STATUS_OF) <= known


def test_every_error_has_a_name_of_its_own():
    codes = Counter(leaf.code for leaf, status in STATUS_OF.items() if status != 500)
    # Two rooms may refuse the same thing; one room has one name a thing.
    by_room = Counter((leaf.__module__.partition(".")[0], leaf.code) for leaf in STATUS_OF)
    assert [name for name, count in by_room.items() if count > 1] == []
    assert all(code.replace("_", "").isalnum() and code == code.lower() for code in codes)


def instance_of(leaf):
    """The error as it is raised, whatever it takes besides its fixed message."""
    parameters = inspect.signature(leaf).parameters.values()
    needed = [p for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    positional = [MARKER for p in needed if p.kind is not p.KEYWORD_ONLY]
    return leaf(*positional, **{p.name: MARKER for p in needed if p.kind is p.KEYWORD_ONLY})


@pytest.mark.parametrize("leaf", STATUS_OF, ids=lambda leaf: leaf.__name__)
def test_the_problem_of_an_error_is_its_fixed_message(leaf):
    error = instance_of(leaf)
    problem = problem_of(error)
    assert problem.status == STATUS_OF[leaf]
    assert MARKER not in problem.detail
    if problem.status == 500:
        assert problem == INTERNAL
    else:
        assert (problem.code, problem.detail) == (leaf.code, str(error))
        assert (problem.retry_after_s is not None) is (problem.status == 503)


def test_what_time_alone_may_heal_is_answered_so_that_it_is_tried_again():
    """As the refusals of a request do not count it, neither may its status say that the presentation is at fault."""
    assert {leaf for leaf in STATUS_OF if issubclass(leaf, IdentityError) and leaf.retriable} == {
        leaf for leaf, status in STATUS_OF.items() if issubclass(leaf, IdentityError) and status == 503
    }


def test_what_no_room_raised_is_our_own_fault_and_tells_nothing():
    assert problem_of(ValueError(MARKER)) == INTERNAL
    # A document is verified where no service is: it is not an error of the service's.
    assert ScoreDocumentError not in STATUS_OF


def test_a_problem_document_is_what_rfc_9457_says(shared):
    refused = shared.http.get(f"/v1/scores/sco_{'0' * 32}", headers=shared.token())
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json() == {
        "type": "urn:credence:problem:not_found",
        "title": "Not found",
        "status": 404,
        "detail": "There is no such resource.",
        "code": "not_found",
    }


@pytest.fixture
def logged(caplog):
    """Every record that the service wrote, tracebacks included; what the test client logs is not ours."""
    caplog.set_level(logging.DEBUG)
    formatter = logging.Formatter("%(name)s %(message)s %(args)s")

    def text():
        ours = [record for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
        assert ours, "nothing was logged, so that nothing was tested"
        extra = [str(vars(record)) for record in ours]
        return "\n".join([formatter.format(record) for record in ours] + extra)

    return text


def marked_requests(shared):
    """Requests that are wrong in one place each, where the marker stands."""
    lender = shared.token(scopes=("lender", "operator", "compliance", "issuer"))
    holder = SigningKey.generate()
    asked = shared.ask()
    good = {
        "purpose": "credit_review",
        "query": {
            "credentials": [
                {
                    "id": "a",
                    "format": "dc+sd-jwt",
                    "meta": {"vct_values": ["urn:credence:airtime:1"]},
                    "claims": [{"path": ["currency"]}],
                }
            ]
        },
        "holder_policy": "any",
        "expires_in_s": 60,
    }

    def spoiled(value, path=()):
        """Each way to put the marker into a JSON value: for a member, as a member, and as a member's name."""
        if isinstance(value, dict):
            yield value | {MARKER: 1}
            yield value | {"more": MARKER}
            for name, each in value.items():
                rest = {n: v for n, v in value.items() if n != name}
                yield rest | {MARKER: each}
                for changed in spoiled(each):
                    yield value | {name: changed}
        elif isinstance(value, list):
            yield [*value, MARKER]
            yield [*value, {MARKER: MARKER}]
            for place, each in enumerate(value):
                for changed in spoiled(each):
                    yield [*value[:place], changed, *value[place + 1 :]]
        yield from (MARKER, f"+{MARKER} \u2603", [MARKER], {MARKER: MARKER}, int(MARKER), -float(MARKER))

    bodies = {
        "/v1/presentation-requests": good,
        "/v1/scores": {"request_id": asked["id"], "vp_token": {"history": ["a.b.c~"]}},
        "/v1/credential-offers": {
            "type": "urn:credence:airtime:1",
            "claims": {"currency": "KES", "topup_n": [1]},
            "tx_code": {"length": 6},
            "expires_in_s": 60,
            "valid_days": 30,
        },
        "/v1/issuers": {"did": SigningKey.generate().did, "vct": "urn:credence:airtime:1"},
    }
    for path, body in bodies.items():
        for changed in spoiled(body):
            yield "POST", path, {"json": changed, "headers": lender}
        for raw in (
            f'{{"{MARKER}": 1, "{MARKER}": 2}}',
            f'{{"a": {MARKER}{MARKER}}}',
            f'{{"a": NaN, "b": "{MARKER}"}}',
            f'{{"a": "{MARKER}',
            f'{{"a": "{MARKER}\\ud800"}}',
            "[" * 40 + f'"{MARKER}"',
            MARKER,
            f'"{MARKER}"',
        ):
            yield "POST", path, {"content": raw, "headers": lender | JSON}
        yield "POST", path, {"content": MARKER * 6000, "headers": lender | JSON}
        yield "POST", path, {"content": json.dumps(body), "headers": lender | {"Content-Type": MARKER}}
        for headers in ({"Idempotency-Key": f"{MARKER} {MARKER}"}, {"Authorization": f"Bearer {MARKER}"}):
            yield "POST", path, {"json": body, "headers": lender | headers}

    response_uri = asked["response_uri"]
    state = shared.state_of(asked)
    for form in (
        {"state": MARKER},
        {"state": state, "vp_token": MARKER},
        {"state": state, "vp_token": f'{{"{MARKER}": ["{MARKER}"]}}'},
        {"state": state, "vp_token": f'{{"history": ["{MARKER}.a.b~"]}}'},
        {"state": state, "error": MARKER},
        {"state": state, "error": "access_denied", "error_description": MARKER},
        {"state": state, "response": MARKER},
        {MARKER: MARKER},
    ):
        yield "POST", response_uri, {"data": form}
    yield "POST", response_uri, {"content": MARKER, "headers": FORM}
    yield "POST", response_uri, {"content": f"{MARKER}=%ff", "headers": FORM}
    # A presentation that is right but for what was put behind it.
    bound = shared.vp_token(asked, holder)["history"][0]
    yield (
        "POST",
        "/v1/scores",
        {
            "json": {"request_id": asked["id"], "vp_token": {"history": [bound + MARKER]}},
            "headers": lender,
        },
    )

    for form in (
        {"grant_type": MARKER},
        {"grant_type": "client_credentials", "client_id": MARKER, "client_secret": MARKER},
        {"grant_type": "client_credentials", "client_id": f"{MARKER}\0", "client_secret": MARKER},
        {MARKER: MARKER},
    ):
        yield "POST", "/v1/oauth/token", {"data": form}
    yield "POST", "/v1/oauth/token", {"auth": (MARKER, MARKER), "data": {"grant_type": "client_credentials"}}
    yield "POST", "/v1/oauth/token", {"headers": {"Authorization": f"Basic {MARKER}"} | FORM, "content": "a=b"}

    tenant_id = shared.service.tenants.load_or_append_tenant("lender", shared.clock())
    issuer = f"/v1/issuers/{tenant_id}"
    for form in (
        {"grant_type": MARKER},
        {"grant_type": PRE_AUTHORIZED_CODE, "pre-authorized_code": MARKER, "tx_code": MARKER},
        {"grant_type": PRE_AUTHORIZED_CODE, "pre-authorized_code": MARKER, "authorization_details": MARKER},
        {MARKER: MARKER},
    ):
        yield "POST", f"{issuer}/token", {"data": form}
    for body in (MARKER, f'{{"{MARKER}": "{MARKER}"}}', f'{{"proofs": {{"jwt": ["{MARKER}"]}}}}'):
        for token in (MARKER, f"Bearer {MARKER}"):
            yield "POST", f"{issuer}/credential", {"content": body, "headers": JSON | {"Authorization": token}}
    yield "POST", f"{issuer}/nonce?{MARKER}={MARKER}", {"content": MARKER}

    for path in (
        f"/{MARKER}",
        f"/v1/credential-offers/{MARKER}",
        f"/v1/credential-offers/off_{MARKER:0>32}/offer",
        f"/.well-known/openid-credential-issuer/v1/issuers/{MARKER}",
        f"/.well-known/oauth-authorization-server/v1/issuers/ten_{MARKER:0>16}",
        f"/v1/{MARKER}",
        f"/v1/scores/{MARKER}",
        f"/v1/scores/sco_{MARKER}",
        f"/v1/scores/sco_{MARKER:0>32}",
        f"/v1/presentation-requests/{MARKER}",
        f"/v1/presentation-requests/{MARKER}/object",
        f"/v1/models/{MARKER}",
        f"/v1/models/{MARKER:0>64}",
        f"/v1/status-lists/{MARKER}",
        f"/v1/log/proof/{MARKER}",
        f"/v1/log/proof/-{MARKER}",
        f"/v1/log/tile/{MARKER}",
        f"/v1/log/tile/0/{MARKER}",
        f"/v1/scores/?phone={MARKER}",
        f"/v1/audit/entries/?phone={MARKER}",
        f"/v1/audit/entries?cursor={MARKER}x",
        f"/v1/audit/entries?limit={MARKER}",
        f"/v1/audit/entries?type={MARKER}",
        f"/v1/readyz?{MARKER}={MARKER}",
        f"/v1/healthz#{MARKER}",
    ):
        yield "GET", path, {"headers": lender | {"X-Forwarded-For": MARKER, "X-Request-Id": MARKER, "Cookie": MARKER}}
        yield "DELETE", path, {"headers": lender | {"Origin": f"http://{MARKER}"}}
    yield f"M{MARKER}", "/v1/scores", {}
    yield f"M{MARKER}", f"/v1/{MARKER}", {}


def test_nothing_that_was_sent_comes_back_or_is_logged(shared, logged):
    statuses = Counter()
    for method, path, arguments in marked_requests(shared):
        answer = shared.http.request(method, path, **arguments)
        sent = (method, path, str(arguments)[:300])
        statuses[answer.status_code] += 1
        assert answer.status_code < 500, sent
        assert MARKER not in str(answer.headers), sent
        if answer.status_code < 300:  # nothing is wrong with it, such as a query that asks for a claim of that name
            continue
        assert MARKER not in answer.text, sent
        if answer.status_code >= 400 and not path.endswith(("/token", "/credential")):
            assert answer.headers["content-type"] == "application/problem+json", sent
            assert set(answer.json()) <= {"type", "title", "status", "detail", "code", "errors"}
    assert {400, 401, 404, 405, 413, 422} <= set(statuses)
    assert MARKER not in logged()
    assert MARKER not in shared.http.get("/v1/metrics", headers=shared.token(scopes=("metrics",))).text
    assert MARKER not in json.dumps(shared.entries(limit=200))


def test_a_fault_of_our_own_is_recorded_by_its_place_and_never_by_what_was_sent(shared, logged, monkeypatch):
    def fail(*arguments, **named):
        raise ValueError(f"cannot parse {MARKER}")

    monkeypatch.setattr(shared.service.scores, "load_score_entry", fail)
    answer = shared.http.get(f"/v1/scores/sco_{'0' * 32}", headers=shared.token())
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert answer.headers["content-type"] == "application/problem+json"
    said = logged()
    assert "ValueError" in said
    assert "/v1/scores/{score_id}" in said
    assert MARKER not in said


def test_a_database_that_is_away_is_a_503_that_says_when_to_come_back(harness):
    headers = harness.token()
    request = harness.ask()

    def be_away(*arguments):
        raise sqlalchemy.exc.OperationalError("SELECT", {}, Exception(MARKER))

    sqlalchemy.event.listen(harness.service.health._engine, "before_cursor_execute", be_away)
    try:
        answers = [
            harness.http.get(f"/v1/presentation-requests/{request['id']}", headers=headers),
            harness.http.post(
                "/v1/scores", json={"request_id": request["id"], "vp_token": {"a": ["b"]}}, headers=headers
            ),
        ]
        ready = harness.http.get("/v1/readyz")
        alive = harness.http.get("/v1/healthz")
    finally:
        sqlalchemy.event.remove(harness.service.health._engine, "before_cursor_execute", be_away)
    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
        assert int(answer.headers["retry-after"]) > 0
    assert (ready.status_code, ready.json()["status"]) == (503, "down")
    assert alive.status_code == 200
    assert harness.http.get("/v1/readyz").json()["status"] == "degraded"


def test_a_subject_key_store_that_is_away_is_down_too(harness):
    """Nothing can be scored without it, so nobody should send requests here."""
    keystore = harness.service.rooms.subjects._keystore

    def be_away(*arguments):
        raise sqlalchemy.exc.OperationalError("SELECT", {}, Exception(MARKER))

    sqlalchemy.event.listen(keystore, "before_cursor_execute", be_away)
    try:
        ready = harness.http.get("/v1/readyz")
    finally:
        sqlalchemy.event.remove(keystore, "before_cursor_execute", be_away)
    assert (ready.status_code, ready.json()["database"]) == (503, "failing")
    assert harness.http.get("/v1/readyz").json()["database"] == "ok"
