"""Pages of other origins: what takes no client's token is open to them, and nothing else is."""

import pytest

from api.http.cross_origin import open_methods_of
from tests.api.test_tenancy import HOLDER, OPERATIONS, PUBLIC, routes_of

ORIGIN = {"Origin": "https://wallet.example"}
ALLOW = "access-control-allow-origin"


def test_what_takes_a_clients_token_is_closed_and_all_else_is_open(shared):
    opened = open_methods_of(shared.http.app.routes)
    for path, route in routes_of(shared.http.app):
        (method,) = route.methods
        is_open = any(pattern.match(path) and method in methods for pattern, methods in opened)
        expected = OPERATIONS[route.operation_id] in (PUBLIC, HOLDER) and route.operation_id != "createToken"
        assert is_open is expected, route.operation_id


def test_a_page_reads_lists_keys_the_log_and_its_own_refusals(shared):
    uri = shared.score()["status"]["uri"]
    for path in (uri, f"{uri}/revocation", "/v1/keys", "/v1/log/checkpoint", "/v1/models", "/v1/status-lists/x"):
        for method in ("GET", "HEAD"):
            answer = shared.http.request(method, path, headers=ORIGIN)
            assert answer.headers[ALLOW] == "*", path
            assert "access-control-allow-credentials" not in answer.headers
    assert "max-age" in shared.http.get(uri, headers=ORIGIN).headers["cache-control"]


def test_a_page_reads_nothing_of_a_clients(shared):
    for path in (f"/v1/scores/sco_{'0' * 32}", "/v1/issuers", "/v1/audit/entries", "/v1/metrics", "/v1/nowhere"):
        assert ALLOW not in shared.http.get(path, headers=shared.token() | ORIGIN).headers
        asked = shared.http.options(path, headers=ORIGIN | {"Access-Control-Request-Method": "GET"})
        assert (asked.status_code, ALLOW in asked.headers) == (404 if "nowhere" in path else 405, False)
    refused = shared.http.post("/v1/oauth/token", data={"grant_type": "client_credentials"}, headers=ORIGIN)
    assert ALLOW not in refused.headers


def test_a_browser_that_asks_beforehand_is_told(shared):
    asked = shared.ask()
    answer = shared.http.options(
        f"/v1/presentation-requests/{asked['id']}/response",
        headers=ORIGIN | {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"},
    )
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-methods"] == "POST"
    assert answer.headers[ALLOW] == "*"
    # A lender's own view of the request stands beside it, and stays closed.
    asked_of_lender = shared.http.options(
        f"/v1/presentation-requests/{asked['id']}", headers=ORIGIN | {"Access-Control-Request-Method": "GET"}
    )
    assert asked_of_lender.status_code == 405


@pytest.mark.parametrize("headers", [{}, ORIGIN, {"Access-Control-Request-Method": "GET"}])
def test_options_that_no_browser_sent_is_no_method(shared, headers):
    answer = shared.http.options("/v1/keys", headers=headers)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
