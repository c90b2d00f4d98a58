"""Requests that no client means to send, byte by byte: each gets a problem document that repeats nothing of it."""

import http.client
import json
import logging
import re
import socket
import time
from contextlib import suppress
from typing import Any

import jsonschema_rs
import pytest

from api.cli import http_server
from identity.keys import SigningKey
from tests.contracts.conftest import SCOPES

#: In everything that is sent, and in nothing that comes back.
MARK = "phone254700000000"
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JWT = {"Content-Type": "application/jwt"}
DEEP = b"[" * 20_000 + b"]" * 20_000
BODIES = {
    "nothing": b"",
    "not a number": b'{"request_id": NaN, "x": "' + MARK.encode() + b'"}',
    "infinity": b'{"expires_in_s": -Infinity, "x": "' + MARK.encode() + b'"}',
    "overflow": b'{"expires_in_s": 1e999, "x": "' + MARK.encode() + b'"}',
    "huge integer": b'{"expires_in_s": ' + b"9" * 5_000 + b', "x": "' + MARK.encode() + b'"}',
    "a name twice": b'{"purpose": "' + MARK.encode() + b'", "purpose": "' + MARK.encode() + b'"}',
    "deep": DEEP,
    "no UTF-8": b'{"purpose": "\xff\xfe' + MARK.encode() + b'"}',
    "UTF-16": ('{"purpose": "' + MARK + '"}').encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf{}",
    "lone surrogate": b'{"purpose": "\\ud800' + MARK.encode() + b'"}',
    "null byte": b'{"purpose": "\\u0000' + MARK.encode() + b'"}',
    "raw null byte": b'{"purpose": "\x00' + MARK.encode() + b'"}',
    "a list": json.dumps([MARK]).encode(),
    "a string": json.dumps(MARK).encode(),
    "null": b"null",
    "unknown members": json.dumps({MARK: {MARK: MARK}}).encode(),
    "truncated": b'{"purpose": "' + MARK.encode(),
    "a form": b"purpose=" + MARK.encode(),
    "a form with bad escapes": b"state=%zz%00%ff&vp_token=" + MARK.encode(),
    "a form that says it twice": b"state=1&state=2&vp_token=" + MARK.encode(),
    "a form with a JSON bomb": b"state=1&vp_token=" + DEEP,
    "too large": b'"' + MARK.encode() * 5_000 + b'"',
}
NOBODY = "0" * 32
POSTS = ["/v1/presentation-requests", "/v1/scores", "/v1/issuers", "/v1/oauth/token", "/v1/holder/sessions"]
RESPONSE = f"/v1/presentation-requests/req_{NOBODY}/response"
#: Every operation that takes a body; a test counts them.
BODY_OPERATIONS = [
    *(("POST", path) for path in (*POSTS, RESPONSE)),
    ("POST", f"/v1/presentation-requests/req_{NOBODY}/object"),
    ("POST", "/v1/issuers/distrust"),
    ("POST", "/v1/issuers/import"),
    ("POST", "/v1/credential-offers"),
    ("POST", f"/v1/scores/sco_{NOBODY}/offers"),
    ("PUT", f"/v1/scores/sco_{NOBODY}/status"),
    ("PUT", f"/v1/credentials/crd_{NOBODY}/status"),
    ("POST", f"/v1/issuers/ten_{NOBODY[:16]}/token"),
    ("POST", f"/v1/issuers/ten_{NOBODY[:16]}/credential"),
]
PATHS = [
    "/",
    f"/{MARK}",
    f"/v1/scores/{MARK}",
    f"/v1/scores/sco_{'0' * 32}%00{MARK}",
    f"/v1/scores/sco_{'0' * 32}%0a",
    f"/v1/scores/%ff%fe{MARK}",
    f"/v1/scores/%zz{MARK}",
    f"/v1/scores/%{MARK}",
    f"/v1/scores/..%2f..%2f{MARK}",
    f"/v1/presentation-requests/%00{MARK}",
    f"/v1/presentation-requests/{MARK * 300}",
    f"/v1/log/tile/%00{MARK}",
    f"/v1/log/tile/../../{MARK}",
    f"/v1/log/tile/0/x999/x999/x999/x999/999#{MARK}",
    f"/v1/log/tile/63/000.p/255?{MARK}",
    "/v1/log/tile/",
    f"/v1/log/proof/{'9' * 4_500}",
    f"/v1/log/proof/-1?{MARK}",
    f"/v1/log/proof/1e3?{MARK}",
    f"/v1/log/proof/%D9%A3?{MARK}",
    *(f"/v1/log/proof/{spelling}?{MARK}" for spelling in ("00", "+0", "0_0", "%200", "0.0", "-0")),
    f"/v1/audit/entries?limit=1_0&{MARK}",
    f"/v1/status-lists/%00{MARK}",
    f"/v1/models/{'A' * 64}{MARK}",
    f"/v1/status-lists/{'0' * 16}/{MARK}",
    f"/v1/scores/{MARK}/status",
    f"/v1/credentials/crd_{NOBODY}%0a{MARK}/status",
    f"/v1/credential-offers/{MARK}",
    f"/v1/credential-offers/off_{NOBODY}%00{MARK}/offer",
    f"/v1/credential-offers/..%2f{MARK}/qr",
    f"/v1/scores/sco_{NOBODY}/offers/{MARK}",
    f"/v1/presentation-requests/{MARK}/qr",
    f"/.well-known/openid-credential-issuer/v1/issuers/{MARK}",
    f"/.well-known/oauth-authorization-server/v1/issuers/ten_{NOBODY[:16]}%0a",
    f"/.well-known/openid-credential-issuer/{MARK}",
    f"/v1/audit/entries?cursor=1&cursor={MARK}",
    f"/v1/audit/entries?cursor={'9' * 4_500}",
    f"/v1/audit/entries?limit=0&{MARK}",
    f"/v1/audit/entries?limit=%00{MARK}",
    f"/v1/audit/entries?type={MARK}",
    f"/v1/audit/entries?type=score&type={MARK}",
    f"/v1/audit/entries?cursor=%ff%fe{MARK}",
    f"/v1/audit/entries?cursor=9223372036854775808&{MARK}",
]
#: What an applicant's token opens.
HELD_PATHS = [
    f"/v1/holder/{MARK}",
    f"/v1/holder/scores/{MARK}",
    f"/v1/holder/scores/sco_{'0' * 32}%00{MARK}",
    f"/v1/holder/receipts/rcp_{'0' * 32}%0a",
    f"/v1/holder/receipts/..%2f..%2f{MARK}",
    f"/v1/holder/scores?cursor=1&cursor={MARK}",
    f"/v1/holder/receipts?cursor={'9' * 4_500}",
    f"/v1/holder/requests?limit=0&{MARK}",
    f"/v1/holder/consents/{MARK}",
    f"/v1/holder/scores?limit=%00{MARK}",
]
OAUTH_ERROR = {"error", "error_description"}
METHODS = ["OPTIONS", "TRACE", "PUT", "PATCH", "DELETE", "PROPFIND", "QUERY"]
HEADERS: list[dict[str, Any]] = [
    {"Authorization": f"Bearer {MARK}"},
    {"Authorization": f"Bearer é{MARK}".encode()},
    {"Authorization": b"Bearer \xff\xfe" + MARK.encode()},
    {"Authorization": f"Bearer a.b.{MARK}"},
    {"Authorization": "Bearer " + ".".join(["e30", "e30", MARK])},
    {"Authorization": "Bearer " + "." * 5_000 + MARK},
    {"Authorization": f"Basic {MARK}"},
    {"Authorization": f"Digest username={MARK}"},
    {"Authorization": MARK},
    {},
]


@pytest.fixture(scope="module")
def problem(served):
    contract = served.http.get("/v1/openapi.json").json()
    schema = {"$ref": "#/components/schemas/Problem", "components": contract["components"]}
    return jsonschema_rs.validator_for(schema)


@pytest.fixture(scope="module")
def send(served):
    """Send a request as it stands, whatever a client library would say of it; returns status, headers and body."""
    token = served.token("lender", SCOPES)

    def send(method, path, body=None, headers=None):
        connection = http.client.HTTPConnection(served.http.base_url.host, served.http.base_url.port, timeout=10)
        connection.putrequest(method, "/", skip_accept_encoding=True)
        # The library refuses such paths; what it has buffered is replaced.
        connection._buffer[0] = f"{method} {path} HTTP/1.1".encode("latin-1")
        for name, value in {**token, **(headers or {}), "Content-Length": str(len(body or b""))}.items():
            connection.putheader(name, value)
        connection.endheaders(body or b"")
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, answer.headers, content

    return send


def _await_logged(caplog, beginning):
    """The line of a request, which is written after its answer was sent."""
    deadline_s = time.monotonic() + 10
    while True:
        for record in list(caplog.records):
            if record.name == "credence.access" and record.getMessage().startswith(beginning):
                return record.getMessage()
        assert time.monotonic() < deadline_s, "the request was never done with"
        time.sleep(0.01)


def _check(answer, problem):
    status, headers, content = answer
    assert 400 <= status < 500
    assert headers["content-type"] == "application/problem+json"
    assert MARK not in str(headers) + content.decode()
    if content:
        problem.validate(json.loads(content))
        assert json.loads(content)["status"] == status
    return status


def test_every_operation_with_a_body_is_listed_here(served):
    paths = served.http.get("/v1/openapi.json").json()["paths"]
    taken = [(method.upper(), path) for path in paths for method, each in paths[path].items() if "requestBody" in each]
    templates = {method_path: re.sub(r"\{\w+\}", "[^/]+", method_path[1]) for method_path in taken}
    for method, path in BODY_OPERATIONS:
        (found,) = {each for each, pattern in templates.items() if each[0] == method and re.fullmatch(pattern, path)}
        del templates[found]
    assert not templates


@pytest.mark.parametrize(("method", "path"), BODY_OPERATIONS)
@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_not_what_it_should_be(send, problem, method, path, name):
    for headers in (JSON, FORM, JWT, {"Content-Type": f"text/{MARK}"}, {}):
        answer = send(method, path, BODIES[name], headers)
        if answer[1]["content-type"] == "application/json":  # an OAuth error
            assert path.endswith(("/token", "/credential"))
            assert answer[0] in {400, 401}
            assert MARK not in str(answer[1]) + answer[2].decode()
            assert set(json.loads(answer[2])) in (OAUTH_ERROR, OAUTH_ERROR | {"code"})
        else:
            assert _check(answer, problem) in {400, 404, 413, 415, 422}


@pytest.mark.parametrize("path", PATHS, ids=range(len(PATHS)))
def test_a_path_or_query_that_names_nothing(send, problem, path):
    assert _check(send("GET", path), problem) in {404, 422}


@pytest.mark.parametrize("path", HELD_PATHS, ids=range(len(HELD_PATHS)))
def test_a_holder_that_names_nothing(served, send, problem, path):
    applicant = served.holder(SigningKey.generate())
    assert _check(send("GET", path, headers=applicant), problem) in {404, 422}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", ["/v1/healthz", "/v1/issuers", "/v1/scores", "/v1/log/tile/0/000"])
def test_a_method_that_the_path_does_not_take(send, problem, method, path):
    status, headers, content = send(method, path)
    assert _check((status, headers, content), problem) == 405
    assert headers["allow"] == {"/v1/issuers": "GET, HEAD, POST", "/v1/scores": "POST"}.get(path, "GET, HEAD")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/healthz",
        "/v1/issuers",
        "/v1/openapi.json",
        "/v1/log/proof/999999",
        "/v1/audit/entries?limit=0",
        "/v1/scores",
        f"/v1/scores/{MARK}",
        f"/{MARK}",
    ],
)
def test_head_is_get_without_the_content(send, path):
    status, headers, content = send("GET", path)
    status_of_head, headers_of_head, content_of_head = send("HEAD", path)
    assert (status_of_head, content_of_head) == (status, b"")
    assert content
    changing = {"date"}
    assert {name: value for name, value in headers_of_head.items() if name not in changing} == {
        name: value for name, value in headers.items() if name not in changing
    }


def test_head_leaves_the_connection_to_the_next_request(served):
    connection = http.client.HTTPConnection(served.http.base_url.host, served.http.base_url.port, timeout=10)
    for method in ("HEAD", "GET", "HEAD", "GET"):
        connection.request(method, "/v1/healthz")
        answer = connection.getresponse()
        assert (answer.status, bool(answer.read())) == (200, method == "GET")
    connection.close()


def test_head_is_logged_and_counted_by_its_route(send, caplog):
    caplog.set_level(logging.INFO, "credence.access")
    send("HEAD", "/v1/models/" + "0" * 64)
    assert _await_logged(caplog, "HEAD ").startswith("HEAD /v1/models/{sha256} 404 ")


@pytest.mark.parametrize("headers", HEADERS, ids=range(len(HEADERS)))
def test_a_token_that_is_none(served, problem, headers):
    connection = http.client.HTTPConnection(served.http.base_url.host, served.http.base_url.port, timeout=10)
    connection.request("GET", "/v1/issuers", headers=headers)
    answer = connection.getresponse()
    status = _check((answer.status, answer.headers, answer.read()), problem)
    connection.close()
    assert status == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "headers",
    [
        {"Idempotency-Key": f"two words {MARK}"},
        {"Idempotency-Key": MARK * 20},
        {"Idempotency-Key": f"é{MARK}".encode()},
        {"Idempotency-Key": b"\xff\xfe" + MARK.encode()},
        {"Idempotency-Key": ""},
    ],
    ids=range(5),
)
def test_an_idempotency_key_that_is_none(send, problem, headers):
    body = json.dumps({"purpose": "credit_review", "query": {"credentials": []}}).encode()
    assert _check(send("POST", "/v1/presentation-requests", body, JSON | headers), problem) == 422


@pytest.mark.parametrize(
    "sent",
    [
        f"GET / {MARK}\r\n\r\n".encode(),
        b"\x16\x03\x01" + MARK.encode(),
        f"GET /v1/healthz HTTP/1.1\r\nHost: a\r\nContent-Length: {MARK}\r\n\r\n".encode(),
        f"GET /v1/healthz HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\nX: {MARK}\r\n\r\n".encode(),
        f"POST /v1/scores HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{MARK}\r\n".encode(),
        f"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n{MARK}".encode(),
        f"GET /v1/healthz HTTP/1.1\r\nHost: a\r\nX-{MARK}\x00: 1\r\n\r\n".encode(),
    ],
    ids=range(7),
)
def test_what_is_not_http_is_closed_without_an_echo(served, sent):
    with socket.create_connection((served.http.base_url.host, served.http.base_url.port), timeout=10) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while received := connection.recv(65_536):
            answer += received
    assert MARK.encode() not in answer
    assert answer.startswith(b"HTTP/1.1 4") or not answer
    assert served.http.get("/v1/healthz").status_code == 200


def _connect(served):
    return socket.create_connection((served.http.base_url.host, served.http.base_url.port), timeout=10)


def _read_to_the_end(connection):
    answer = b""
    try:
        while received := connection.recv(65_536):
            answer += received
    except ConnectionResetError:
        pass  # closed while we were still sending
    return answer


def _ask_for_health(connection):
    connection.sendall(b"GET /v1/healthz HTTP/1.1\r\nHost: a\r\n\r\n")
    answer = b""
    while not answer.endswith(b'{"status":"alive"}'):
        received = connection.recv(65_536)
        assert received, "closed without an answer"
        answer += received


def _trickle(connection, *, for_s):
    began_s = time.monotonic()
    while time.monotonic() - began_s < for_s:
        connection.sendall(b"a")
        time.sleep(0.02)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /v1/heal",
        b"GET /v1/healthz HTTP/1.1\r\nHost: a\r\nX: ",
        b"POST /v1/scores HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{",
    ],
    ids=["nothing", "half a line", "half a header", "half a body"],
)
def test_a_request_that_never_ends_is_given_up(served, monkeypatch, sent):
    monkeypatch.setattr(http_server, "RECEIVE_TIMEOUT_S", 0.2)
    with _connect(served) as connection:
        connection.sendall(sent)
        answer = _read_to_the_end(connection)  # that it returns is what is tested
    assert answer == b""


def test_a_second_request_that_never_ends_is_given_up(served, monkeypatch):
    with _connect(served) as connection:
        _ask_for_health(connection)
        monkeypatch.setattr(http_server, "RECEIVE_TIMEOUT_S", 0.2)
        connection.sendall(b"GET /v1/heal")
        assert _read_to_the_end(connection) == b""


def test_a_drop_now_and_then_buys_no_more_time(served, monkeypatch):
    monkeypatch.setattr(http_server, "RECEIVE_TIMEOUT_S", 0.5)
    with _connect(served) as connection:
        connection.sendall(b"GET /v1/healthz HTTP/1.1\r\nHost: a\r\nX: ")
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            _trickle(connection, for_s=9)


def test_a_connection_that_is_kept_alive_is_served_after_the_time_for_one_request(served, monkeypatch):
    monkeypatch.setattr(http_server, "RECEIVE_TIMEOUT_S", 3.0)
    with _connect(served) as connection:
        _ask_for_health(connection)
        time.sleep(3.3)
        _ask_for_health(connection)


@pytest.mark.parametrize("path", [*POSTS, RESPONSE])
def test_a_client_that_goes_away_is_no_fault_of_ours(served, caplog, path):
    caplog.set_level(logging.INFO, "credence")
    media_type = (FORM if path in {"/v1/oauth/token", RESPONSE} else JSON)["Content-Type"]
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {media_type}\r\nContent-Length: 9\r\n\r\n"
    with _connect(served) as connection:
        connection.sendall(head.encode() + b"a")
    assert " 500 " not in _await_logged(caplog, "POST ")
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR] == []


@pytest.mark.parametrize(
    "head",
    [
        b"GET /v1/healthz?" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /v1/healthz HTTP/1.1\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
        b"GET /v1/healthz HTTP/1.1\r\n" + b"X: a\r\n" * 20_000 + b"\r\n",
        b"GET /v1/healthz HTTP/1.1\r\nX: " + b"a" * 20_000_000,
    ],
    ids=["path", "header", "headers", "no end"],
)
def test_a_head_larger_than_any_is_refused_before_it_is_whole(served, head):
    with _connect(served) as connection:
        try:
            connection.sendall(head)
        except (BrokenPipeError, ConnectionResetError):
            return  # refused while we were still sending
        answer = _read_to_the_end(connection)
    assert answer.startswith(b"HTTP/1.1 400") or not answer


def test_a_trailer_without_end_is_not_collected(served, monkeypatch):
    monkeypatch.setattr(http_server, "RECEIVE_TIMEOUT_S", 600.0)
    head = (
        b"POST /v1/scores HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with _connect(served) as connection, suppress(BrokenPipeError, ConnectionResetError):
        connection.sendall(head + b"1\r\n{\r\n0\r\nX: " + b"a" * 20_000_000)
        # That this returns is what is tested; what it returns, where anything, is no success.
        assert not _read_to_the_end(connection).startswith(b"HTTP/1.1 2")


def test_more_than_can_be_served_at_once_is_a_problem_that_says_when_to_come_back(send, problem, monkeypatch):
    assert send("GET", "/v1/healthz")[0] == 200
    monkeypatch.setattr(http_server, "MAX_CONNECTIONS", 0)
    status, headers, content = send("GET", "/v1/healthz")
    problem.validate(json.loads(content))
    assert (status, json.loads(content)["code"]) == (503, "overloaded")
    assert (headers["content-type"], headers["connection"]) == ("application/problem+json", "close")
    assert int(headers["retry-after"]) > 0
    monkeypatch.undo()
    assert send("GET", "/v1/healthz")[0] == 200
