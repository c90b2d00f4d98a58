"""The signers of request objects: one certificate made once, or the operator's own; requests outlive a rotation."""

from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509

from api.keystore import append_key, load_or_create_keyring
from api.request_signers import load_request_signers
from api.settings import Settings, SettingsError
from identity.certificate import issue_self_signed, parse_certificate_chain
from identity.keys import SigningKey
from identity.openid4vp import client_id_of

NOW_MS = 1_790_000_000_000


@pytest.fixture
def settings(tmp_path):
    return Settings(var=tmp_path, base_url="https://credence.example")


def signers_of(settings, now_ms=NOW_MS):
    return load_request_signers(settings, load_or_create_keyring(settings.var / "keys", now_ms), now_ms)


def test_a_certificate_is_made_once_for_the_request_key(settings):
    by_did, by_certificate = signers_of(settings)
    assert by_did.client_id == client_id_of(by_did.key)
    assert by_certificate.client_id.startswith("x509_hash:")
    assert by_certificate.key.public == by_did.key.public
    assert signers_of(settings, NOW_MS + 1000) == (by_did, by_certificate)
    (path,) = (settings.var / "keys").glob("*.pem")
    subject = x509.load_pem_x509_certificate(path.read_bytes()).subject.rfc4514_string()
    assert subject == "CN=credence.example"


def test_a_crash_while_the_certificate_is_made_leaves_nothing_that_is_read(settings):
    keyring = load_or_create_keyring(settings.var / "keys", NOW_MS)
    (settings.var / "keys" / f"request-{keyring.active('request').kid}.new").write_bytes(b"half")
    made = signers_of(settings)
    assert signers_of(settings) == made


def test_the_operators_certificate_is_used(settings, tmp_path):
    key = load_or_create_keyring(settings.var / "keys", NOW_MS).active("request").signing_key
    named = tmp_path / "chain.pem"
    named.write_bytes(issue_self_signed(key, name="bought", now_ms=NOW_MS))
    _, by_certificate = signers_of(replace(settings, request_certificate=named))
    assert by_certificate.client_id == "x509_hash:" + parse_certificate_chain(named.read_bytes()).leaf.hash
    assert list((settings.var / "keys").glob("*.pem")) == []


def test_a_certificate_that_cannot_sign_is_refused_at_the_start(settings, tmp_path):
    key = load_or_create_keyring(settings.var / "keys", NOW_MS).active("request").signing_key
    texts = {
        "another's": issue_self_signed(SigningKey.generate(), name="x", now_ms=NOW_MS),
        "over": issue_self_signed(key, name="x", now_ms=NOW_MS - 4000 * 86_400_000),
        "no chain": b"-----BEGIN",
        "endless": b"x" * 10_000_000,
    }
    for name, text in texts.items():
        (tmp_path / name).write_bytes(text)
    for name in [*texts, "not there"]:
        with pytest.raises(SettingsError, match="CREDENCE_REQUEST_CERTIFICATE"):
            signers_of(replace(settings, request_certificate=Path(tmp_path / name)))


def test_a_request_outlives_the_rotation_of_its_key(settings):
    before = signers_of(settings)
    append_key(settings.var / "keys", "request", NOW_MS + 1)
    after = signers_of(settings)
    assert {each.client_id for each in before} < {each.client_id for each in after}
    assert not {each.client_id for each in before} & {each.client_id for each in after[:2]}


def test_a_certificate_of_our_own_that_is_damaged_is_named_as_such_and_can_be_moved_away(settings):
    signers_of(settings)
    (path,) = (settings.var / "keys").glob("*.pem")
    for rotated in (False, True):
        if rotated:
            append_key(settings.var / "keys", "request", NOW_MS + 1)
        path.write_bytes(b"-----BEGIN")
        with pytest.raises(SettingsError, match="made for itself"):
            signers_of(settings)
        path.unlink()
        assert signers_of(settings)
