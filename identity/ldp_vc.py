"""W3C credentials and presentations as JSON objects with proofs in them: Data Integrity, and the suites before it.

The older suites (Ed25519Signature2018 and its kin, for VCDM 1.1) are verified by a library that looks at the signature
alone, so every check of this module comes first for them too.
"""

import hashlib

from identity.data_integrity import (
    CRYPTOSUITES,
    PROOF_TYPE,
    Canonicalize,
    add_proof,
    check_proof_claims,
    parse_proof,
    sole_proof,
    verify_proof,
)
from identity.did import Relationship
from identity.encoding import JsonObject, encode_json, parse_json_object
from identity.errors import (
    AudienceMismatch,
    HolderKeyMissing,
    IdentityError,
    IssuedInFuture,
    IssuerKeyMismatch,
    MissingClaim,
    NonceMismatch,
    PresentationFormatMismatch,
    PresentationNotSingle,
    ProofChainNotAllowed,
    ProofInvalid,
    ProofPurposeMismatch,
    SubjectNotHolder,
    TooLarge,
)
from identity.jwt import SKEW_S
from identity.key_binding import KeyBinding
from identity.keys import PublicKey, SigningKey
from identity.linked_data.workers import LinkedDataWorkers
from identity.vcdm import (
    CONTEXT_V2,
    HolderKeyFor,
    IssuerKeyFor,
    VerifiedW3cCredential,
    format_date_time,
    parse_credential,
    parse_date_time,
    parse_presentation,
)

MAX_DOCUMENT_BYTES = 131_072


def verify_presentation_object(
    document: JsonObject,
    *,
    issuer_key_for: IssuerKeyFor,
    holder_key_for: HolderKeyFor,
    linked_data: LinkedDataWorkers,
    key_binding: KeyBinding,
    now_ms: int,
) -> VerifiedW3cCredential:
    """Verify a presentation of one credential: the credential, that its subject presents it, for this request, now.

    Raises PresentationNotSingle, PresentationFormatMismatch, SubjectNotHolder, HolderKeyMissing, KbInFuture, KbStale,
    MissingClaim, TooLarge, and as `verify_credential_object`, `check_proof_claims` and the functions given do.
    """
    # 1. Hold the document against the model's rules.
    _check_json(document, MAX_DOCUMENT_BYTES)
    presentation = parse_presentation(document)

    # 2. Its proof is for us and for this request (OpenID4VP 1.0, appendix B.1.3.2), and was made now.
    method, made_at_ms, _ = _check_proof(document, purpose="authentication", key_binding=key_binding, now_ms=now_ms)
    if made_at_ms is None:
        raise MissingClaim
    key_binding.verify_fresh(made_at_ms, now_ms)

    # 3. It holds one credential, and that holds; only then is anything resolved that it names.
    if len(presentation.credentials) != 1:
        raise PresentationNotSingle
    presented = presentation.credentials[0]
    if not isinstance(presented, dict):
        raise PresentationFormatMismatch
    verified = verify_credential_object(
        presented, issuer_key_for=issuer_key_for, linked_data=linked_data, now_ms=now_ms
    )

    # 4. Whom it is about has signed the presentation, with a key that is for this.
    subject = verified.credential.subject_id
    if subject is None:
        raise HolderKeyMissing
    if presentation.holder not in (None, subject):
        raise SubjectNotHolder
    try:
        holder = holder_key_for(subject, method)
    except IssuerKeyMismatch:
        raise SubjectNotHolder from None
    if sole_proof(document)["type"] == PROOF_TYPE:
        verify_proof(parse_proof(document), holder, canonicalize=linked_data.canonicalize)
    else:
        linked_data.verify_legacy_proof(
            document, kind="presentation", challenge=key_binding.nonce, domain=key_binding.audience
        )
    return VerifiedW3cCredential(
        credential=verified.credential,
        expires_at_ms=verified.expires_at_ms,
        holder=holder,
        digest=verified.digest,
    )


def verify_credential_object(
    document: JsonObject,
    *,
    issuer_key_for: IssuerKeyFor,
    linked_data: LinkedDataWorkers,
    now_ms: int,
    max_bytes: int = MAX_DOCUMENT_BYTES,
) -> VerifiedW3cCredential:
    """Verify a credential with a proof in it: its document, its times, its issuer's signature; not its status.

    Raises TooLarge, Expired, NotYetValid, and as documents, proofs and `issuer_key_for` do.
    """
    # 1. Hold the document against the model's rules, and its proof against those of credentials.
    _check_json(document, max_bytes)
    credential = parse_credential(document)
    method, _, proof_expires_at_ms = _check_proof(document, purpose="assertionMethod", key_binding=None, now_ms=now_ms)

    # 2. Time.
    credential.verify_times(now_ms)

    # 3. The issuer's signature, with a key that the caller trusts for this issuer and type.
    key = issuer_key_for(credential, method)
    ends = [each for each in (credential.valid_until_ms, proof_expires_at_ms) if each is not None]
    return VerifiedW3cCredential(
        credential=credential,
        expires_at_ms=min(ends, default=None),
        holder=None,
        digest=_verify_credential_signature(document, key, linked_data),
    )


def peek_needs_rdf(presentation: JsonObject) -> bool:
    """Whether a presentation, not yet looked at, may have to be canonicalized as RDF for a proof in it to be verified.

    Not where the proofs of it and of its credentials say that they are of a suite over canonical JSON (JCS).
    """
    credentials = presentation.get("verifiableCredential")
    secured = [presentation, *(credentials if isinstance(credentials, list) else [credentials])]
    return not all(isinstance(each, dict) and _peek_is_jcs(each) for each in secured)


def _peek_is_jcs(secured: JsonObject) -> bool:
    try:
        suite = sole_proof(secured).get("cryptosuite")
    except IdentityError:
        return False
    return isinstance(suite, str) and suite in CRYPTOSUITES and not CRYPTOSUITES[suite][1]


def sign_presentation_object(
    credential: JsonObject,
    key: SigningKey,
    *,
    holder: str,
    kid: str,
    cryptosuite: str,
    canonicalize: Canonicalize,
    key_binding: KeyBinding,
    now_ms: int,
) -> JsonObject:
    """A VCDM 2.0 presentation of one credential object, with a proof by the key `kid` of the DID `holder`."""
    document: JsonObject = {
        "@context": [CONTEXT_V2],
        "type": ["VerifiablePresentation"],
        "holder": holder,
        "verifiableCredential": [credential],
    }
    return add_proof(
        document,
        key,
        cryptosuite=cryptosuite,
        verification_method=kid,
        purpose="authentication",
        created=format_date_time(now_ms),
        canonicalize=canonicalize,
        members={"challenge": key_binding.nonce, "domain": key_binding.audience},
    )


def _verify_credential_signature(document: JsonObject, key: PublicKey, linked_data: LinkedDataWorkers) -> bytes:
    """The SHA-256 of the canonical document, by which it is known again however its JSON is written."""
    if sole_proof(document)["type"] == PROOF_TYPE:
        return verify_proof(parse_proof(document), key, canonicalize=linked_data.canonicalize)
    linked_data.verify_legacy_proof(document, kind="credential")
    unsecured = {name: value for name, value in document.items() if name != "proof"}
    return hashlib.sha256(linked_data.canonicalize(unsecured)).digest()


def _check_proof(
    document: JsonObject, *, purpose: Relationship, key_binding: KeyBinding | None, now_ms: int
) -> tuple[str, int | None, int | None]:
    """What a proof says of itself, before anything is spent on it: its verification method, and from when to when."""
    proof = sole_proof(document)
    if proof.get("type") == PROOF_TYPE:
        parsed = parse_proof(document)
        check_proof_claims(parsed, purpose=purpose, key_binding=key_binding, now_ms=now_ms)
        return parsed.verification_method, parsed.created_ms, parsed.expires_ms

    if "previousProof" in proof:
        raise ProofChainNotAllowed
    method, made_at_ms = proof.get("verificationMethod"), parse_date_time(proof.get("created"))
    if not isinstance(method, str):
        raise ProofInvalid
    if proof.get("proofPurpose") != purpose:
        raise ProofPurposeMismatch
    if proof.get("domain") != (None if key_binding is None else key_binding.audience):
        raise AudienceMismatch
    if proof.get("challenge") != (None if key_binding is None else key_binding.nonce):
        raise NonceMismatch
    if now_ms < made_at_ms - SKEW_S * 1000:
        raise IssuedInFuture
    return method, made_at_ms, None


def _check_json(document: JsonObject, max_bytes: int) -> None:
    """That the document is one that our own strict reader gives, whoever took it off the wire."""
    written = encode_json(document)
    if len(written) > max_bytes:
        raise TooLarge
    parse_json_object(written)
