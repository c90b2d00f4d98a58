"""The score document: every member is verified or refused, by keys that the verifier brings."""

import base64
import copy
import json
from dataclasses import replace

import pytest
import rfc8785
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from api.http.scores import load_document
from api.score_document import (
    MAX_DOCUMENT_BYTES,
    SEAL_TYP,
    DocumentNotVerified,
    MalformedDocument,
    NotYetLogged,
    ScoreDocumentError,
    TrustedAnchor,
    TrustedScoreIssuer,
    format_trust,
    parse_trust,
    score_members,
    verify_document,
)
from api.store.database import write_transaction
from api.store.tables import anchor_targets, anchor_transactions
from chain.note import LogSigner
from identity.jws import sign_jws
from identity.keys import SigningKey
from identity.sd_jwt import select_disclosures

CONTRACT = "0x5FbDB2315678afecb367f032d93F642f64180aa3"


@pytest.fixture(scope="module")
def anchored(module_harness):
    """A document with all its members, as GET /v1/scores/{id} gives it, and the trust that the service publishes."""
    harness = module_harness
    for _ in range(5):
        score = harness.score()
    harness.publish()
    size = harness.service.log.load_newest_checkpoint().size
    with write_transaction(harness.service.health._engine) as transaction:
        transaction.execute(
            insert(anchor_targets).values(chain_id=31337, contract=CONTRACT, log_id=b"\1" * 32, genesis_hash=b"\2" * 32)
        )
        transaction.execute(
            insert(anchor_transactions).values(
                hash=b"\3" * 32,
                chain_id=31337,
                contract=CONTRACT,
                checkpoint_size=size,
                nonce=0,
                raw=b"",
                max_fee_per_gas="1",
                max_priority_fee_per_gas="1",
                state="mined",
                prepared_at_ms=0,
                block_number=7,
                block_hash=b"\4" * 32,
            )
        )
    document = harness.http.get(f"/v1/scores/{score['id']}", headers=harness.token()).content
    return document, parse_trust(harness.http.get("/v1/keys").content)


@pytest.fixture
def document(shared, anchored):
    return anchored[0]


@pytest.fixture
def trust(shared, anchored):
    return anchored[1]


def reseal(members, key):
    """The document with the members sealed again, by a key that the test holds."""
    content = {name: value for name, value in members.items() if name != "seal"}
    header, _, signature = sign_jws({"typ": SEAL_TYP, "kid": key.public.thumbprint}, rfc8785.dumps(content), key).split(
        "."
    )
    return rfc8785.dumps({**content, "seal": f"{header}..{signature}"})


def test_a_document_verifies_by_the_published_keys(document, trust):
    verified = verify_document(document, trust)
    members = json.loads(document)
    assert verified.members["points"] == members["points"]
    assert verified.index == members["log"]["index"] == 4
    assert verified.checkpoint.size == 5
    assert (verified.anchor.contract, verified.anchor.size, verified.anchor.state) == (CONTRACT, 5, "mined")


def test_a_document_without_an_anchor_verifies_and_says_so(shared, trust):
    score = shared.score()
    shared.publish()
    document = shared.http.get(f"/v1/scores/{score['id']}", headers=shared.token()).content
    assert verify_document(document, trust).anchor is None


def test_a_document_older_than_intervals_verifies(shared, trust, monkeypatch):
    def score_members_then(**given):
        return {name: value for name, value in score_members(**given).items() if name != "interval"}

    monkeypatch.setattr("api.assess.score_members", score_members_then)
    score = shared.score()
    monkeypatch.undo()
    shared.publish()
    document = shared.http.get(f"/v1/scores/{score['id']}", headers=shared.token()).content
    assert "interval" not in json.loads(document)
    assert verify_document(document, trust).members["points"] == score["points"]


@pytest.mark.parametrize("seal_again", [True, False])
def test_an_interval_that_is_taken_away_or_widened_is_refused(shared, document, trust, seal_again):
    members = json.loads(document)
    without = {name: value for name, value in members.items() if name != "interval"}
    wider = {**members, "interval": {**members["interval"], "low_points": 300}}
    for altered in (without, wider):
        data = reseal(altered, shared.service.seal_key) if seal_again else rfc8785.dumps(altered)
        with pytest.raises(DocumentNotVerified):
            verify_document(data, trust)


def test_a_document_that_no_checkpoint_covers_is_not_verified_yet(shared, trust):
    shared.score()
    request = shared.ask()
    answer = shared.submit(request, shared.vp_token(request, SigningKey.generate()))
    with pytest.raises(NotYetLogged):
        verify_document(answer.content, trust)


def refused(data, trust):
    try:
        verify_document(data, trust)
    except ScoreDocumentError:
        return True
    return False


@pytest.mark.parametrize("step", [8, pytest.param(1, marks=pytest.mark.slow)])
def test_a_document_altered_in_any_byte_is_refused(document, trust, step):
    assert not refused(document, trust)
    passed = []
    for place, byte in list(enumerate(document))[::step]:
        # A bit, and for every seventh byte a character that keeps the JSON well-formed.
        for other in {byte ^ 1} | ({ord("0") + (byte + 1) % 10} if place % 7 == 0 else set()):
            if other != byte and not refused(document[:place] + bytes([other]) + document[place + 1 :], trust):
                passed.append((place, other))
    assert passed == []


def test_a_document_cut_short_or_grown_is_refused(document, trust):
    assert refused(document[:-1], trust)
    assert refused(document + b"\n", trust)
    assert refused(b" " + document, trust)
    assert refused(b"\xef\xbb\xbf" + document, trust)
    assert refused(document.replace(b'":', b'": ', 1), trust)
    assert refused(json.dumps(json.loads(document), indent=1).encode(), trust)
    assert refused(json.dumps(dict(reversed(json.loads(document).items())), separators=(",", ":")).encode(), trust)
    assert refused(b"", trust)
    assert refused(b"[" * 100_000, trust)
    assert refused(b'"' + b"a" * MAX_DOCUMENT_BYTES + b'"', trust)


def places_of(value, path=()):
    """The path of every value within a JSON value."""
    yield path
    for name, each in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places_of(each, (*path, name))


def changed_at(members, path, change):
    changed = copy.deepcopy(members)
    place = changed
    for name in path[:-1]:
        place = place[name]
    change(place, path[-1])
    return changed


def remove(place, name):
    del place[name]


def nullify(place, name):
    place[name] = None if place[name] is not None else "something"


def grow(place, name):
    if isinstance(place[name], dict):
        place[name]["more"] = 1
    elif isinstance(place[name], list):
        place[name].append("more")
    else:
        place[name] = place[name] + "x" if isinstance(place[name], str) else 1 - int(place[name] or 0)


#: What only the seal vouches for, because nothing else in the document says the same.
SEALED_ONLY = {"transaction", "block_number", "block_hash", "state"}


@pytest.mark.parametrize("change", [remove, nullify, grow])
def test_a_member_changed_anywhere_is_refused_even_where_the_seal_is_made_again(document, trust, change):
    """The seal is over all; beneath it each member stands on a proof of its own, but for four of the anchor's."""
    thief = SigningKey.generate("EdDSA")
    careless = replace(trust, seal_keys=(*trust.seal_keys, thief.public))
    members = json.loads(document)
    assert not refused(reseal(members, thief), careless)
    passed = []
    for path in places_of(members):
        if path and path[0] != "seal" and not (change is nullify and path == ("anchor",)):
            changed = changed_at(members, path, change)
            if not refused(reseal(changed, thief), careless):
                passed.append(path)
            assert refused(rfc8785.dumps(changed), trust)
    allowed = {("anchor", name) for name in SEALED_ONLY} if change is grow else set()
    assert set(passed) <= allowed


def test_a_member_added_or_taken_from_the_whole_is_refused(document, trust):
    members = json.loads(document)
    for changed in (
        members | {"more": 1},
        {name: value for name, value in members.items() if name != "anchor"},
        {name: value for name, value in members.items() if name != "seal"},
        members | {"v": 2},
        members | {"v": True},
        members | {"seal": members["seal"].replace("..", ".e30.")},
        members | {"seal": members["seal"] + "."},
        [members],
    ):
        assert refused(rfc8785.dumps(changed), trust)


def test_a_credential_that_shows_less_than_the_document_says_is_refused(document, trust):
    thief = SigningKey.generate("EdDSA")
    careless = replace(trust, seal_keys=(*trust.seal_keys, thief.public))
    members = json.loads(document)
    members["credential"] = select_disclosures(members["credential"], ["band", "points"])
    with pytest.raises(DocumentNotVerified):
        verify_document(reseal(members, thief), careless)


def test_the_members_of_one_document_do_not_verify_in_another(shared, document, trust):
    thief = SigningKey.generate("EdDSA")
    careless = replace(trust, seal_keys=(*trust.seal_keys, thief.public))
    ours = json.loads(document)
    other_id = next(e["score"]["id"] for e in shared.entries(type="score") if e["score"]["id"] != ours["id"])
    other = json.loads(
        load_document(shared.service, shared.service.tenants.load_or_append_tenant("lender", 0), other_id)
    )
    assert not refused(reseal(other, thief), careless)
    for name in ("id", "request_id", "credential", "log", "status"):
        assert refused(reseal(ours | {name: other[name]}, thief), careless), name


def test_a_document_made_again_by_other_keys_is_refused(harness, trust):
    """Everything about it is right, but for whose it is."""
    score = harness.score()
    harness.publish()
    forged = harness.http.get(f"/v1/scores/{score['id']}", headers=harness.token()).content
    theirs = parse_trust(harness.http.get("/v1/keys").content)
    assert not refused(forged, theirs)
    assert refused(forged, trust)
    # Nor does it help to trust all of their keys but one.
    for name in ("score_issuers", "log_keys", "seal_keys"):
        assert refused(forged, replace(theirs, **{name: getattr(trust, name)})), name


def test_a_retired_issuer_counts_for_what_it_logged_before(document, trust):
    index = json.loads(document)["log"]["index"]
    (issuer,) = trust.score_issuers
    for retired_at_size, counts in ((index + 1, True), (index, False), (0, False), (None, True)):
        retired = TrustedScoreIssuer(did=issuer.did, retired_at_size=retired_at_size)
        assert refused(document, replace(trust, score_issuers=(retired,))) is not counts


def test_a_retired_log_key_counts_for_checkpoints_before(document, trust):
    (key,) = trust.log_keys
    assert not refused(document, replace(trust, log_keys=(replace(key, retired_at_size=5),)))
    assert refused(document, replace(trust, log_keys=(replace(key, retired_at_size=4),)))
    stranger = LogSigner(name=key.name, private_key=b"k" * 32).verifier_key
    assert refused(document, replace(trust, log_keys=(stranger,)))


@pytest.mark.parametrize("change", [{"chain_id": 1}, {"contract": "0x" + "0" * 40}, {"log_id": b"\0" * 32}])
def test_an_anchor_elsewhere_is_refused(document, trust, change):
    (anchor,) = trust.anchors
    assert refused(document, replace(trust, anchors=(replace(anchor, **change),)))
    assert refused(document, replace(trust, anchors=()))


def test_trust_survives_being_written_down(trust):
    assert parse_trust(json.dumps(format_trust(trust)).encode()) == trust
    assert trust.anchors == (TrustedAnchor(chain_id=31337, contract=CONTRACT, log_id=b"\1" * 32),)


def test_a_trust_file_with_anything_unknown_or_missing_is_refused(trust):
    written = format_trust(trust)
    for path in places_of(written):
        # A list of none is a list; everything else that is not as it was is not trust.
        for change in (remove, nullify, grow):
            if path and not (change is remove and (isinstance(path[-1], int) or path == ("receipt_keys",))):
                changed = changed_at(written, path, change)
                if change is grow and path[-1] in ("did", "contract", "retired_at_size", "chain_id"):
                    continue  # another name is another name
                if change is nullify and path[-1] == "retired_at_size":
                    changed = changed_at(written, path, lambda place, name: place.update({name: "soon"}))
                with pytest.raises(MalformedDocument):
                    parse_trust(json.dumps(changed).encode())


def test_a_trust_file_older_than_receipts_trusts_no_key_for_them(trust):
    written = format_trust(trust)
    del written["receipt_keys"]
    assert parse_trust(json.dumps(written).encode()) == replace(trust, receipt_keys=())


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
HOSTILE = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@HOSTILE
@given(data=st.binary(max_size=300) | JSON_VALUES.map(lambda value: json.dumps(value).encode()))
def test_hostile_bytes_raise_only_our_errors(data):
    with pytest.raises(MalformedDocument):
        parse_trust(data)
    with pytest.raises(ScoreDocumentError):
        verify_document(data, EMPTY)


EMPTY = parse_trust(b'{"v":1,"score_issuers":[],"log_keys":[],"seal_keys":[],"anchors":[]}')


@HOSTILE
@given(value=JSON_VALUES, choice=st.randoms(use_true_random=False))
def test_a_hostile_member_raises_only_our_errors(anchored, shared, value, choice):
    """Behind a seal that is trusted, so that what comes after it is reached."""
    document, trust = anchored
    thief = SigningKey.from_private_jwk(THIEF)
    careless = replace(trust, seal_keys=(thief.public,))
    members = json.loads(document)
    path = choice.choice([path for path in places_of(members) if path and path[0] != "seal"])
    changed = changed_at(members, path, lambda place, name: place.__setitem__(name, value))
    try:
        sealed = reseal(changed, thief)
    except rfc8785.CanonicalizationError:
        return
    verify = [lambda: verify_document(sealed, careless), lambda: verify_document(rfc8785.dumps(changed), trust)]
    for each in verify:
        try:
            each()
        except ScoreDocumentError:
            continue
        assert changed == members or path[-1] in SEALED_ONLY or path == ("anchor",)


THIEF = {
    "kty": "OKP",
    "crv": "Ed25519",
    "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
}


@HOSTILE
@given(value=JSON_VALUES, choice=st.randoms(use_true_random=False))
def test_a_hostile_trust_raises_only_our_errors(anchored, shared, value, choice):
    document, trust = anchored
    written = format_trust(trust)
    path = choice.choice([path for path in places_of(written) if path])
    changed = changed_at(written, path, lambda place, name: place.__setitem__(name, value))
    try:
        parsed = parse_trust(json.dumps(changed).encode())
    except MalformedDocument:
        return
    refused(document, parsed)


def test_the_seal_is_a_detached_signature_that_others_can_check(document):
    members = json.loads(document)
    header, empty, signature = members["seal"].split(".")
    assert empty == ""
    assert len(base64.urlsafe_b64decode(signature + "==")) == 64
    assert json.loads(base64.urlsafe_b64decode(header + "==="))["typ"] == SEAL_TYP
