"""X.509 certificates as OpenID4VP uses them for a client identifier: the hash of a leaf, and the key that it is for."""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from identity.encoding import JsonValue, encode_base64url
from identity.errors import BadCertificate, BadKey, CertificateNotValid
from identity.keys import PublicKey, SigningKey, ed25519_public_key, p256_public_key

_MAX_CHAIN = 8
_MAX_CERTIFICATE_BYTES = 16 * 1024
_SELF_SIGNED_DAYS = 3650


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """One certificate: its DER bytes, the key that it is for, and from when to when (UTC milliseconds, both within)."""

    der: bytes
    key: PublicKey
    not_before_ms: int
    not_after_ms: int

    @property
    def hash(self) -> str:
        """The SHA-256 of the DER in base64url: what stands behind `x509_hash:` (OpenID4VP 1.0, section 5.9.3)."""
        return encode_base64url(hashlib.sha256(self.der).digest())

    def verify_valid(self, now_ms: int) -> None:
        """Raises CertificateNotValid before and after its time."""
        if not self.not_before_ms <= now_ms <= self.not_after_ms:
            raise CertificateNotValid


def parse_certificate(der: bytes) -> Certificate:
    """Read a DER certificate for a P-256 or Ed25519 key; raises BadCertificate. Who signed it is not asked here."""
    if len(der) > _MAX_CERTIFICATE_BYTES:
        raise BadCertificate
    try:
        certificate = x509.load_der_x509_certificate(der)
        public = certificate.public_key()
        if isinstance(public, ec.EllipticCurvePublicKey) and isinstance(public.curve, ec.SECP256R1):
            key = p256_public_key(public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))
        elif isinstance(public, Ed25519PublicKey):
            key = ed25519_public_key(public.public_bytes_raw())
        else:
            raise BadCertificate
        not_before, not_after = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion, BadKey):
        raise BadCertificate from None
    return Certificate(der=der, key=key, not_before_ms=_milliseconds(not_before), not_after_ms=_milliseconds(not_after))


@dataclass(frozen=True, kw_only=True)
class CertificateChain:
    """A leaf, and the DER of each certificate that vouches for the one before it, of whatever kind their keys are."""

    leaf: Certificate
    issuers: tuple[bytes, ...]

    @property
    def x5c(self) -> list[JsonValue]:
        """The chain as a header parameter: base64, not base64url, of each DER (RFC 7515, section 4.1.6)."""
        return [base64.b64encode(der).decode("ascii") for der in (self.leaf.der, *self.issuers)]


def parse_certificate_chain(pem: bytes) -> CertificateChain:
    """Read a PEM chain, the leaf first; raises BadCertificate unless each certificate signed the one before it."""
    try:
        leaf, *issuers = x509.load_pem_x509_certificates(pem)
        for issued, issuer in zip([leaf, *issuers], issuers, strict=False):
            issued.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        raise BadCertificate from None
    if len(issuers) >= _MAX_CHAIN:
        raise BadCertificate
    return CertificateChain(
        leaf=parse_certificate(leaf.public_bytes(Encoding.DER)),
        issuers=tuple(issuer.public_bytes(Encoding.DER) for issuer in issuers),
    )


def parse_x5c_leaf(x5c: JsonValue) -> Certificate:
    """The leaf of an `x5c` header parameter, its key not yet trusted; raises BadCertificate.

    A client identifier that is the leaf's hash needs no more of the chain: whoever signs with the leaf's key is it.
    """
    if not isinstance(x5c, list) or not 1 <= len(x5c) <= _MAX_CHAIN:
        raise BadCertificate
    leaf = x5c[0]
    if not isinstance(leaf, str) or len(leaf) > 2 * _MAX_CERTIFICATE_BYTES:
        raise BadCertificate
    try:
        der = base64.b64decode(leaf.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise BadCertificate from None
    if base64.b64encode(der).decode("ascii") != leaf:
        raise BadCertificate
    return parse_certificate(der)


def issue_self_signed(key: SigningKey, *, name: str, now_ms: int) -> bytes:
    """A PEM certificate by which a key speaks for itself, for ten years: `x509_hash:` needs a certificate, not a CA."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name[:64])])
    not_before = datetime.fromtimestamp(now_ms // 1000, UTC)
    private = key._key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(datetime.fromtimestamp(now_ms // 1000 + _SELF_SIGNED_DAYS * 86_400, UTC))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    )
    algorithm = None if isinstance(private, Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(private, algorithm).public_bytes(Encoding.PEM)


def _milliseconds(when: datetime) -> int:
    return int(when.timestamp()) * 1000
