"""Trust: by period and level, by hand and by signed list, told in the log, and nobody's URL fetched before it."""

import json

import pytest
from sqlalchemy import insert, select

from api.clock import format_time
from api.store import sequencer as sequencer_module
from api.store import trust as trust_module
from api.store.database import write_transaction
from api.store.tables import trusted_issuers
from identity.encoding import encode_json
from identity.errors import DidUnavailable
from identity.issuer_list import ISSUER_LIST_TYP, MAX_ISSUERS, sign_issuer_list
from identity.jws import sign_jws
from identity.keys import SigningKey
from identity.trust import TrustedIssuer
from tests.api.conftest import VCT

AIRTIME = "urn:credence:airtime:1"
HOUR_MS = 3_600_000


def operator(harness, tenant):
    return harness.token(tenant, ("operator",))


def trust(harness, tenant, **body):
    return harness.http.post("/v1/issuers", json={"vct": VCT} | body, headers=operator(harness, tenant))


def distrust(harness, tenant, did, vct=VCT):
    return harness.http.post("/v1/issuers/distrust", json={"did": did, "vct": vct}, headers=operator(harness, tenant))


def listed(harness, tenant, did=None):
    issuers = harness.http.get("/v1/issuers", headers=harness.token(tenant)).json()["issuers"]
    return [each for each in issuers if each["did"] != harness.institution.did and did in (None, each["did"])]


def is_scored(harness, tenant, issuer):
    """Whether a credential of the issuer's is scored now."""
    holder, request = SigningKey.generate(), harness.ask(tenant)
    answer = harness.submit(request, harness.vp_token(request, holder, harness.credential(holder, key=issuer)), tenant)
    assert answer.status_code == 201 or answer.json()["code"] == "issuer_not_trusted", answer.text
    return answer.status_code == 201


def told(harness, tenant):
    return [json.loads(entry["entry"])["body"] for entry in harness.entries(tenant, type="trust")]


def test_trust_has_a_period_and_a_level_and_is_told_in_the_log(harness):
    issuer, now_ms = SigningKey.generate(), harness.clock()
    period = {"valid_from": format_time(now_ms + HOUR_MS), "valid_to": format_time(now_ms + 3 * HOUR_MS)}
    answer = trust(harness, "t", did=issuer.did, evidence_level="agent_attested", **period)
    assert answer.status_code == 201, answer.text
    expected = {"did": issuer.did, "vct": VCT, **period, "evidence_level": "agent_attested", "list_issuer": None}
    assert answer.json() == expected
    assert listed(harness, "t") == [expected]
    seen = []
    for _ in range(4):
        seen.append(is_scored(harness, "t", issuer))
        harness.clock.now_ms += HOUR_MS
        harness.tokens.clear()
    assert seen == [False, True, True, False]
    assert told(harness, "t") == [
        {
            "action": "trusted",
            "did": issuer.did,
            "vct": VCT,
            "valid_from": now_ms + HOUR_MS,
            "valid_to": now_ms + 3 * HOUR_MS,
            "evidence_level": "agent_attested",
        }
    ]


def test_an_issuer_may_have_several_periods_that_do_not_overlap(shared):
    did, now_ms = SigningKey.generate().did, shared.clock()
    first, second = ({"valid_to": format_time(now_ms + HOUR_MS)}, {"valid_from": format_time(now_ms + HOUR_MS)})
    for period in (first, second):
        assert trust(shared, "several", did=did, **period).status_code == 201
    assert [each["valid_to"] for each in listed(shared, "several")] == [first["valid_to"], None]
    for other in ({}, {"valid_to": format_time(now_ms + 2 * HOUR_MS)}, {**first, "evidence_level": "self_declared"}):
        refused = trust(shared, "several", did=did, **other)
        assert (refused.status_code, refused.json()["code"]) == (409, "trust_overlaps"), other
    # Another type is another matter, and the same once more changes nothing.
    assert trust(shared, "several", did=did, vct=AIRTIME).status_code == 201
    for period in (first, second):
        assert trust(shared, "several", did=did, **period).status_code == 201
    assert len(told(shared, "several")) == 3


@pytest.mark.parametrize(
    ("period", "code"),
    [
        ({"valid_from": "2026-09-21T14:13:20Z", "valid_to": "2026-09-21T14:13:20Z"}, "trust_period_empty"),
        ({"valid_to": "2020-01-01T00:00:00Z"}, "trust_period_empty"),
        ({"valid_from": "2026-02-30T00:00:00Z"}, "invalid_request"),
        ({"valid_from": "2026-01-01T00:00:00+01:00"}, "invalid_request"),
        ({"valid_from": "2026-01-01"}, "invalid_request"),
        ({"valid_from": 5}, "invalid_request"),
        ({"evidence_level": "regulated"}, "invalid_request"),
    ],
)
def test_a_period_or_a_level_that_is_none_is_refused(shared, period, code):
    refused = trust(shared, "refused", did=SigningKey.generate().did, **period)
    assert (refused.status_code, refused.json()["code"]) == (422, code)
    assert listed(shared, "refused") == []


def test_distrust_ends_trust_now(harness):
    issuer = SigningKey.generate()
    assert distrust(harness, "t", issuer.did).status_code == 404
    trust(harness, "t", did=issuer.did)
    trust(harness, "other", did=issuer.did)
    assert is_scored(harness, "t", issuer)
    harness.clock.now_ms += 1
    ended = distrust(harness, "t", issuer.did)
    assert (ended.status_code, [each["did"] for each in ended.json()["issuers"]]) == (200, [issuer.did])
    assert (is_scored(harness, "t", issuer), is_scored(harness, "other", issuer)) == (False, True)
    (stands,) = listed(harness, "t")
    assert stands["valid_to"] == format_time(harness.clock())
    assert distrust(harness, "t", issuer.did).status_code == 404
    assert told(harness, "t")[-1] == {"action": "distrusted", "did": issuer.did, "vct": VCT}
    # Trusted anew, it is trusted again; a period to come that is distrusted never was.
    assert trust(harness, "t", did=issuer.did).status_code == 201
    assert is_scored(harness, "t", issuer)
    later = SigningKey.generate().did
    trust(harness, "t", did=later, valid_from=format_time(harness.clock() + HOUR_MS))
    assert distrust(harness, "t", later).status_code == 200
    assert listed(harness, "t", later) == []


class CountingDids:
    """A resolver that notes whom it was asked for, and reaches nobody over a network."""

    def __init__(self, dids):
        self.dids, self.asked = dids, []

    def resolve(self, did, *, now_ms):
        self.asked.append(did)
        if did.startswith("did:web:"):
            raise DidUnavailable
        return self.dids.resolve(did, now_ms=now_ms)


def with_dids(service):
    """Have a service that is the test's own ask a resolver that counts."""
    dids = CountingDids(service.dids)
    object.__setattr__(service, "dids", dids)
    return dids


def test_an_issuer_that_cannot_be_reached_is_not_stored(harness):
    dids = with_dids(harness.service)
    refused = trust(harness, "t", did="did:web:bank.example")
    assert (refused.status_code, refused.json()["code"]) == (503, "did_unavailable")
    assert refused.headers["retry-after"]
    assert dids.asked == ["did:web:bank.example"]
    assert (listed(harness, "t"), told(harness, "t")) == ([], [])


def test_a_presentation_of_an_unknown_issuers_fetches_nothing(harness):
    asked = []
    fetcher = harness.service.dids._fetcher
    fetch = fetcher.fetch

    def fetch_counted(url, *arguments, **named):
        asked.append(url)
        return fetch(url, *arguments, **named)

    fetcher.fetch = fetch_counted
    stranger = SigningKey.generate().known_as("did:web:stranger.example")
    assert not is_scored(harness, "t", stranger)
    assert asked == []


# Lists


def sign(harness, signer, sequence, *entries, valid_s=3_600, **changes):
    issuers = [TrustedIssuer(**({"vct": VCT, "valid_from_ms": 0, "did": did} | changes)) for did in entries]
    return sign_issuer_list(
        issuers=issuers, sequence=sequence, key=signer, now_ms=harness.clock(), expires_in_s=valid_s
    )


def send(harness, tenant, token, **headers):
    return harness.http.post(
        "/v1/issuers/import",
        content=token,
        headers=operator(harness, tenant) | {"Content-Type": "application/jwt"} | headers,
    )


@pytest.fixture
def signer():
    return SigningKey.generate()


def pin(harness, tenant, signer):
    tenant_id = harness.service.tenants.load_or_append_tenant(tenant, harness.clock())
    harness.service.trust.pin_signer(tenant_id, signer.did, harness.clock())
    return tenant_id


def test_a_list_of_a_pinned_signer_is_taken_and_replaced_as_a_whole(harness, signer):
    pin(harness, "t", signer)
    first, second, own = (SigningKey.generate() for _ in range(3))
    trust(harness, "t", did=own.did)
    token = sign(harness, signer, 1, first.did, "did:web:bank.example", evidence_level="agent_attested")
    answer = send(harness, "t", token)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["list_issuer"], answer.json()["sequence"], answer.json()["issuers"]) == (signer.did, 1, 2)
    (entry,) = listed(harness, "t", first.did)
    assert (entry["list_issuer"], entry["evidence_level"]) == (signer.did, "agent_attested")
    assert entry["valid_to"] == answer.json()["expires_at"]
    assert is_scored(harness, "t", first)
    assert send(harness, "t", token).json() == answer.json()  # the very same: nothing changes

    assert send(harness, "t", sign(harness, signer, 7, second.did)).status_code == 200
    assert {each["did"] for each in listed(harness, "t")} == {own.did, second.did}
    assert [is_scored(harness, "t", each) for each in (first, second, own)] == [False, True, True]
    assert [each["action"] for each in told(harness, "t")] == ["pinned", "trusted", "imported", "imported"]
    assert told(harness, "t")[-1].keys() == {"action", "list_issuer", "sequence", "sha256", "issuers"}


def test_a_list_ends_what_it_says_with_itself(harness, signer):
    pin(harness, "t", signer)
    issuer = SigningKey.generate()
    send(harness, "t", sign(harness, signer, 1, issuer.did, valid_s=60))
    assert is_scored(harness, "t", issuer)
    harness.clock.now_ms += 60_000
    assert not is_scored(harness, "t", issuer)
    # A later list of the signer brings it back.
    send(harness, "t", sign(harness, signer, 2, issuer.did))
    assert is_scored(harness, "t", issuer)


def test_what_a_tenant_says_itself_stands_above_every_list(harness, signer):
    pin(harness, "t", signer)
    issuer = SigningKey.generate()
    send(harness, "t", sign(harness, signer, 1, issuer.did, evidence_level="self_declared"))
    assert distrust(harness, "t", issuer.did).json()["issuers"][0]["list_issuer"] == signer.did
    assert not is_scored(harness, "t", issuer)
    send(harness, "t", sign(harness, signer, 2, issuer.did))
    assert not is_scored(harness, "t", issuer)
    assert listed(harness, "t", issuer.did) == []
    # Trusted by hand it counts by hand, whatever the list's own word.
    assert trust(harness, "t", did=issuer.did, evidence_level="agent_attested").status_code == 201
    assert is_scored(harness, "t", issuer)
    tenant_id = harness.service.tenants.load_tenant_id("t")
    found = harness.service.trust.load_trusted(tenant_id).require(issuer.did, VCT, harness.clock())
    assert (found.evidence_level, found.list_issuer) == ("agent_attested", None)


def test_an_older_list_or_another_of_the_same_number_is_refused(shared, signer):
    pin(shared, "older", signer)
    did = SigningKey.generate().did
    newest = sign(shared, signer, 5, did)
    assert send(shared, "older", newest).status_code == 200
    for stale in (sign(shared, signer, 4, did), sign(shared, signer, 5), sign(shared, signer, 0)):
        refused = send(shared, "older", stale)
        assert (refused.status_code, refused.json()["code"]) == (409, "issuer_list_stale")
    assert [each["did"] for each in listed(shared, "older")] == [did]


def test_a_list_of_a_signer_that_is_not_pinned_is_refused_before_anything_is_fetched(harness, signer):
    pin(harness, "theirs", signer)
    dids = with_dids(harness.service)
    web = SigningKey.generate().known_as("did:web:registry.example")
    for each in (signer, web):
        refused = send(harness, "t", sign(harness, each, 1, SigningKey.generate().did))
        assert (refused.status_code, refused.json()["code"]) == (422, "issuer_list_not_pinned")
    assert dids.asked == []
    assert (listed(harness, "t"), told(harness, "t")) == ([], [])


def forge(harness, signer, did, change):
    """A list in the signer's name, as somebody else would have it."""
    token = sign(harness, signer, 2, did)
    header, payload, signature = token.split(".")
    now_s = harness.clock() // 1000
    body = {"iss": signer.did, "iat": now_s, "exp": now_s + 9, "sequence": 2, "issuers": []}
    other = SigningKey.generate()
    as_signer = {"typ": ISSUER_LIST_TYP, "kid": signer.kid}
    return {
        "tampered": f"{header}.{payload[:-6]}{'A' if payload[-6] != 'A' else 'B'}{payload[-5:]}.{signature}",
        "unsigned": f"{header}.{payload}.",
        "forged": sign_jws(as_signer, encode_json(body), other),
        "expired": sign_jws(as_signer, encode_json(body | {"exp": now_s}), signer),
        "unknown member": sign_jws(as_signer, encode_json(body | {"next": 1}), signer),
        "another type": sign_jws({"typ": "JWT", "kid": signer.kid}, encode_json(body), signer),
        "one bad entry": sign_jws(as_signer, encode_json(body | {"issuers": [{"did": did}]}), signer),
        "not a JWS": "a list",
        "not ASCII": "é.é.é",
        "empty": "",
    }[change]


CHANGES = (
    "tampered",
    "unsigned",
    "forged",
    "expired",
    "unknown member",
    "another type",
    "one bad entry",
    "not a JWS",
    "not ASCII",
    "empty",
)


@pytest.mark.parametrize("change", CHANGES)
def test_a_hostile_list_changes_nothing(shared, signer, change):
    tenant, did = f"hostile {change}", SigningKey.generate().did
    pin(shared, tenant, signer)
    assert send(shared, tenant, sign(shared, signer, 1, did)).status_code == 200
    before = listed(shared, tenant), told(shared, tenant)
    refused = send(shared, tenant, forge(shared, signer, did, change).encode())
    assert refused.status_code in (400, 422), refused.text
    assert (listed(shared, tenant), told(shared, tenant)) == before


def test_a_list_that_cannot_be_written_whole_is_not_written_at_all(harness, signer, monkeypatch):
    pin(harness, "t", signer)
    kept = SigningKey.generate()
    send(harness, "t", sign(harness, signer, 1, kept.did))
    token = sign(harness, signer, 2, SigningKey.generate().did)
    for module, name in ((trust_module, "append_version"), (sequencer_module, "append_leaves")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, lambda *_: 1 / 0)
            assert send(harness, "t", token).status_code == 500
        assert [each["did"] for each in listed(harness, "t")] == [kept.did]
        assert is_scored(harness, "t", kept)
    assert send(harness, "t", token).status_code == 200


def test_a_list_of_ten_thousand_is_taken_and_costs_a_request_nothing(harness, signer):
    tenant_id = pin(harness, "t", signer)
    token = sign(harness, signer, 1, *(f"did:web:issuer-{number}.example" for number in range(MAX_ISSUERS)))
    assert len(token) > 1_000_000
    answer = send(harness, "t", token)
    assert (answer.status_code, answer.json()["issuers"]) == (200, MAX_ISSUERS)
    store = harness.service.trust
    assert store.load_trusted(tenant_id) is store.load_trusted(tenant_id)


def test_more_than_a_list_may_be_is_not_read(shared):
    for length in (8 * 1024 * 1024 + 1, 10**15):
        refused = send(shared, "long", b"a", **{"Content-Length": str(length)})
        assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")
    # And nothing at all of whoever has no token.
    refused = shared.http.post(
        "/v1/issuers/import", content=b"a" * 100_000, headers={"Content-Type": "application/jwt"}
    )
    assert refused.status_code == 401
    for media_type in ("application/json", "text/plain", ""):
        assert send(shared, "long", b"{}", **{"Content-Type": media_type}).status_code == 415


def test_a_change_that_another_process_makes_is_seen_at_once(harness):
    tenant_id = harness.service.tenants.load_or_append_tenant("t", 0)
    issuer, store = SigningKey.generate(), harness.service.trust
    assert store.load_trusted(tenant_id).issuers == ()
    # A row alone, without its version, is not: what is kept is good while the version stays.
    row = {"id": "tru_0", "tenant_id": tenant_id, "did": "did:key:z", "vct": VCT, "valid_from_ms": 0}
    with write_transaction(store._engine) as transaction:
        transaction.execute(insert(trusted_issuers).values(row | {"evidence_level": "self_declared"}))
    assert store.load_trusted(tenant_id).issuers == ()
    harness.trust(tenant_id, TrustedIssuer(did=issuer.did, vct=VCT, valid_from_ms=0))
    assert {each.did for each in store.load_trusted(tenant_id).issuers} == {issuer.did, "did:key:z"}


def test_a_signer_that_is_unpinned_takes_its_issuers_along(harness, signer):
    tenant_id = pin(harness, "t", signer)
    issuer = SigningKey.generate()
    send(harness, "t", sign(harness, signer, 3, issuer.did))
    (pinned,) = harness.service.trust.load_pinned(tenant_id)
    assert (pinned.did, pinned.sequence) == (signer.did, 3)
    assert harness.service.trust.unpin_signer(tenant_id, signer.did, harness.clock())
    assert not harness.service.trust.unpin_signer(tenant_id, signer.did, harness.clock())
    assert not is_scored(harness, "t", issuer)
    refused = send(harness, "t", sign(harness, signer, 4, issuer.did))
    assert refused.json()["code"] == "issuer_list_not_pinned"
    with harness.service.trust._engine.connect() as connection:
        assert (
            connection.execute(select(trusted_issuers.c.did).where(trusted_issuers.c.list_issuer.is_not(None))).all()
            == []
        )
