"""Certificates for client identifiers: what is read of one, and what is refused."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.certificate import (
    issue_self_signed,
    parse_certificate,
    parse_certificate_chain,
    parse_x5c_leaf,
)
from identity.errors import BadCertificate, CertificateNotValid, IdentityError
from identity.keys import SigningKey

NOW_MS = 1_790_000_000_000
NOW = datetime.fromtimestamp(NOW_MS // 1000, UTC)
KEY = SigningKey.generate()


def issued(public: Any, by: Any, issuer: str, subject: str = "leaf") -> x509.Certificate:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
        .public_key(public)
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
        .sign(by, hashes.SHA256())
    )


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(each.public_bytes(Encoding.PEM) for each in certificates)


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
def test_a_key_certifies_itself(algorithm: Any) -> None:
    key = SigningKey.generate(algorithm)
    chain = parse_certificate_chain(issue_self_signed(key, name="lender.example:8700", now_ms=NOW_MS))
    assert chain.leaf.key == key.public
    assert chain.issuers == ()
    leaf = parse_x5c_leaf(chain.x5c)
    assert leaf == chain.leaf
    leaf.verify_valid(NOW_MS)
    leaf.verify_valid(NOW_MS + 3649 * 86_400_000)
    for outside_ms in (NOW_MS - 1, NOW_MS + 3651 * 86_400_000):
        with pytest.raises(CertificateNotValid):
            leaf.verify_valid(outside_ms)


def test_a_chain_is_read_leaf_first_whatever_kind_its_issuers_keys_are() -> None:
    root = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    leaf = issued(KEY._key.public_key(), root, "root")
    top = issued(root.public_key(), root, "root", "root")
    chain = parse_certificate_chain(pem(leaf, top))
    assert (chain.leaf.key, len(chain.issuers), len(chain.x5c)) == (KEY.public, 1, 2)
    assert parse_x5c_leaf(chain.x5c).hash == chain.leaf.hash
    other = issued(root.public_key(), rsa.generate_private_key(public_exponent=65537, key_size=2048), "x", "root")
    impostor = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    for wrong in (pem(top, leaf), pem(leaf, other, other), pem(issued(KEY._key.public_key(), impostor, "root"), top)):
        with pytest.raises(BadCertificate):
            parse_certificate_chain(wrong)


@pytest.mark.parametrize("text", [b"", b"-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n", b"\xff" * 100])
def test_what_is_no_chain_is_refused(text: bytes) -> None:
    with pytest.raises(BadCertificate):
        parse_certificate_chain(text)
    with pytest.raises(BadCertificate):
        parse_certificate_chain(issue_self_signed(KEY, name="x", now_ms=NOW_MS) * 9)


def test_a_leaf_for_another_kind_of_key_is_refused() -> None:
    for private in (
        rsa.generate_private_key(public_exponent=65537, key_size=2048),
        ec.generate_private_key(ec.SECP384R1()),
    ):
        with pytest.raises(BadCertificate):
            parse_certificate(issued(private.public_key(), private, "leaf").public_bytes(Encoding.DER))


DER = parse_certificate_chain(issue_self_signed(KEY, name="x", now_ms=NOW_MS)).leaf.der
TEXT = base64.b64encode(DER).decode()


@pytest.mark.parametrize(
    "x5c",
    [
        None,
        [],
        "x",
        [1],
        [TEXT] * 9,
        [TEXT.replace("+", "-").replace("/", "_").rstrip("=") + "_"],
        [TEXT + "\n"],
        [" " + TEXT],
        ["\u00e9" * 8],
        ["A" * 40_000],
        [base64.b64encode(DER + b"x").decode()],
        [base64.b64encode(DER[:-1]).decode()],
    ],
)
def test_what_is_no_x5c_is_refused(x5c: Any) -> None:
    with pytest.raises(BadCertificate):
        parse_x5c_leaf(x5c)


@settings(max_examples=200)
@given(place=st.integers(0, len(DER) - 1), value=st.integers(0, 255))
def test_an_altered_byte_is_another_certificate_or_none(place: int, value: int) -> None:
    altered = DER[:place] + bytes([value]) + DER[place + 1 :]
    try:
        certificate = parse_certificate(altered)
    except IdentityError:
        return
    assert (certificate.hash == parse_certificate(DER).hash) == (altered == DER)
