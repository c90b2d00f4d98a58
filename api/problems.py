"""Every error of every room, mapped once to a problem document (RFC 9457).

`detail` is the error's own fixed message and `code` its stable name: neither ever repeats what was sent.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import chain.errors as chain
import identity.errors as identity
import scoring.errors as scoring
from api.store import (
    anchors,
    consents,
    database,
    idempotency,
    jobs,
    nonces,
    offer_errors,
    promotions,
    revocation,
    sequencer,
    subjects,
    tenants,
    trust,
)

TYPE_PREFIX = "urn:credence:problem:"


class AccessError(Exception):
    """The root of what a route itself refuses."""

    code = "access_error"


class TokenMissing(AccessError):
    """The request carries no bearer token, or not a valid one."""

    code = "invalid_token"

    def __init__(self) -> None:
        super().__init__("A valid bearer token is required.")


class ScopeMissing(AccessError):
    """The token does not have the scope that the operation takes."""

    code = "insufficient_scope"

    def __init__(self) -> None:
        super().__init__("The token does not have the scope that this takes.")


class NotFound(AccessError):
    """There is no such resource, or it is another tenant's; which of the two is not said."""

    code = "not_found"

    def __init__(self) -> None:
        super().__init__("There is no such resource.")


class BodyTooLarge(AccessError):
    """The body of the request is larger than any that is served."""

    code = "body_too_large"

    def __init__(self) -> None:
        super().__init__("The body is larger than this takes.")


class RedirectUriNotAllowed(AccessError):
    """The lender's redirect_uri is none that an applicant may be sent to."""

    code = "redirect_uri_not_allowed"

    def __init__(self) -> None:
        super().__init__("The redirect_uri must be an https URL, without userinfo and without a fragment.")


class LinkTooLong(AccessError):
    """The request link is longer than a QR code holds."""

    code = "link_too_long"

    def __init__(self) -> None:
        super().__init__("The request link is longer than a QR code holds: use a client_id_prefix that signs.")


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A problem document before it is written."""

    status: int
    code: str
    detail: str
    retry_after_s: int | None = None


#: Malformed: the bytes are not what they claim to be, whoever sent them.
_BAD_REQUEST: Sequence[type[Exception]] = (
    identity.BadBase64, identity.BadJson, identity.JsonDuplicateKey, identity.JsonNumber, identity.JsonDepth,
    identity.BadJws, identity.ResponseInvalid, identity.VpTokenInvalid, identity.EncryptedResponseNotAsked,
    identity.ResponseNotEncrypted, identity.BadJwe,
)  # fmt: skip

#: Of a wallet that wants a credential: the protocol's own form of them is in api/http/issuance.py.
_BAD_CREDENTIAL_REQUEST: Sequence[type[Exception]] = (
    identity.CredentialRequestInvalid, identity.UnknownCredentialConfiguration, identity.UnknownCredentialIdentifier,
    identity.ResponseEncryptionNotOffered, identity.KeyProofMissing, identity.ProofTypeNotSupported,
    identity.TooManyKeyProofs, identity.KeyProofKeyAmbiguous, identity.KeyProofAudienceMismatch,
    identity.KeyProofNonceMissing, identity.KeyProofNoncesDiffer, identity.KeyProofStale,
    identity.KeyProofIssuerNotAllowed, identity.HolderKeyRepeated, offer_errors.PreAuthorizedCodeInvalid,
    offer_errors.TxCodeWrong, offer_errors.TxCodeMissing, offer_errors.TxCodeNotExpected, offer_errors.AlreadyIssued,
    offer_errors.HolderKeyUsedBefore,
)  # fmt: skip

_TOO_LARGE: Sequence[type[Exception]] = (BodyTooLarge, identity.TooLarge)

_UNAUTHORIZED: Sequence[type[Exception]] = (
    TokenMissing,
    tenants.ClientNotAuthenticated,
    offer_errors.AccessTokenInvalid,
)

_FORBIDDEN: Sequence[type[Exception]] = (ScopeMissing, consents.ConsentWithdrawn)

_NOT_FOUND: Sequence[type[Exception]] = (NotFound, chain.BadTilePath, chain.TileNotInTree, chain.IndexNotInTree)

#: The request is no longer, or not any more, what the answer is for.
_CONFLICT: Sequence[type[Exception]] = (
    identity.NonceUsed, identity.RequestExpired, identity.StateMismatch, identity.ResponseUriMismatch,
    idempotency.IdempotencyKeyReused, nonces.NonceSpent, offer_errors.ScoreOver, offer_errors.OfferOver,
    revocation.RevocationFinal, revocation.ScoreNotValid, trust.TrustOverlaps, trust.IssuerListStale,
)  # fmt: skip

_GONE: Sequence[type[Exception]] = (subjects.SubjectKeyDestroyed,)

#: Well-formed, understood, and refused: a presentation that does not hold, or a claim that a model cannot read.
_REFUSED: Sequence[type[Exception]] = (
    identity.BadKey, identity.PrivateKeyInJwk, identity.AlgNotAllowed, identity.AlgKeyMismatch,
    identity.UnsupportedCrit, identity.KeySourceNotAllowed, identity.HeaderNotAllowed, identity.WrongTyp,
    identity.BadKid, identity.BadSignatureEncoding, identity.BadSignature, identity.BadDid,
    identity.IssuerKeyMismatch, identity.UnknownKid, identity.KeyAmbiguous, identity.KeyNotForRelationship,
    identity.KeyPastItsEnd, identity.KeyNotSupported, identity.KeyControllerMismatch, identity.PrivateKeyPublished,
    identity.DidWebHostNotAllowed, identity.DidWebPortNotAllowed, identity.DidWebPathNotAllowed,
    identity.DidWebEncodingNotAllowed, identity.BadDidDocument, identity.DidDocumentMismatch,
    identity.TooManyVerificationMethods, identity.DidDeactivated, identity.DidNotFound, identity.BadMultibase,
    identity.MissingClaim, identity.BadTime, identity.Expired,
    identity.NotYetValid, identity.IssuedInFuture, identity.BadConfirmation, identity.BadSdJwt,
    identity.BadDisclosure, identity.DuplicateDisclosure, identity.DisclosureNotReferenced, identity.DigestRepeated,
    identity.ReservedClaimName, identity.ClaimCollision, identity.DisclosureMisplaced, identity.BadSdPayload,
    identity.SdAlgNotAllowed, identity.ReservedClaimDisclosed, identity.TooManyDisclosures,
    identity.DisclosureTooLarge, identity.ClaimNotInCredential, identity.KeyBindingMissing,
    identity.KeyBindingUnexpected, identity.HolderKeyMissing, identity.SdHashMismatch, identity.AudienceMismatch,
    identity.NonceMismatch, identity.ClientIdMismatch, identity.KbStale, identity.KbInFuture,
    identity.UnsupportedStatus, identity.BadStatusIndex, identity.UnknownStatusValue, identity.BadStatusList,
    identity.StatusListTooLarge, identity.StatusListIssuerMismatch, identity.StatusListSubjectMismatch,
    identity.UrlNotAllowed, identity.AddressNotPublic, identity.RedirectNotFollowed,
    identity.ResponseTooLarge, identity.WrongContentType, identity.IssuerNotTrusted, identity.TrustPeriodEmpty,
    identity.BadIssuerList, identity.IssuerListTooLong, identity.IssuerListRepeats, identity.IssuerListExpired,
    identity.IssuerListSignerMismatch, trust.IssuerListNotPinned, identity.ClaimsDoNotFit,
    identity.UnknownCredentialType, identity.PresentationFormatMismatch, identity.UnknownQueryId,
    identity.CredentialMissing, identity.TooManyPresentations, identity.CredentialRepeated, identity.VctNotAsked,
    identity.ClaimMissing, identity.CredentialSetIncomplete, identity.JweNotAllowed, identity.JweKeyMismatch,
    identity.NotDecrypted,
    identity.ArrayNotWhole, identity.HolderMismatch, identity.CredentialRevoked, identity.CredentialSuspended,
    RedirectUriNotAllowed, LinkTooLong, identity.DcqlInvalid, identity.DcqlNotSupported,
    scoring.ValueInvalid, scoring.SeveralCredentials,
    nonces.NonceInvalid, identity.HolderProofStale,
    # Linked data.
    identity.ContextNotAllowed, identity.KeywordNotAllowed, identity.UndefinedTerm, identity.RelativeIri,
    identity.NodeRepeated, identity.ValueNotAllowed, identity.RdfTooComplex, identity.BadLinkedData,
    identity.BadLinkedDataProof, identity.UnsupportedSuite,
    identity.ContextNotFirst, identity.UnknownMember, identity.IdNotUrl, identity.W3cTypeInvalid,
    identity.IssuerInvalid, identity.CredentialSubjectInvalid, identity.SeveralSubjects, identity.ValidityReversed,
    identity.LanguageValueInvalid, identity.RelatedObjectInvalid, identity.TermsOfUseNotSupported,
    identity.W3cPresentationInvalid, identity.PresentationNotSingle, identity.SubjectNotHolder,
    identity.JwtClaimMismatch, identity.EmbeddedProof, identity.ProofMissing, identity.ProofInvalid,
    identity.ProofSetNotAllowed, identity.ProofChainNotAllowed, identity.ProofPurposeMismatch,
    identity.ProofContextMismatch, identity.BadProofValue, identity.StatusListTooShort,
    identity.StatusPurposeMismatch, identity.StatusEntryInvalid,
)  # fmt: skip

#: Not the caller's doing, and likely to pass.
_UNAVAILABLE: Sequence[type[Exception]] = (
    identity.StatusUnavailable, identity.StatusListExpired, identity.FetchFailed, identity.FetchTimeout,
    identity.LinkedDataBusy, identity.LinkedDataFailed,
    identity.UrlNotFound, identity.DidUnavailable,
    chain.ChainUnavailable, database.StoreUnavailable, sequencer.SequencerStopped,
)  # fmt: skip

#: Never the answer to a request: met when issuing, training, starting or anchoring, or a fault of our own.
_INTERNAL: Sequence[type[Exception]] = (
    identity.BadConsentReceipt, identity.ReceiptKeyNotTrusted, identity.CannotIssue, identity.CredentialOfferInvalid,
    identity.IssuerMetadataInvalid, identity.RequestObjectInvalid, identity.CannotPresent, identity.BadCertificate,
    identity.CertificateNotValid, identity.CertificateKeyMismatch, scoring.ExpressionInvalid,
    scoring.ColumnMissing, scoring.InputProtected, scoring.InputUnsourced, scoring.ReasonUnknown,
    scoring.SchemaInvalid, scoring.CardInvalid, scoring.ScorecardInvalid, scoring.NetworkInvalid,
    scoring.ArtifactUnwritten,
    scoring.ArtifactExists, scoring.ArtifactIncomplete, scoring.ArtifactUnknownFile, scoring.ArtifactAltered,
    scoring.PrivacyUnstated, scoring.PrivacyUnderstated, scoring.NoiseNotFromSystem, scoring.SchemaMismatch,
    scoring.WeightsInvalid, scoring.PrivacyParametersInvalid, scoring.ReleaseUncharged, scoring.RowInvalid,
    scoring.TrainingDataInvalid, scoring.EvaluationInvalid, scoring.LedgerDamaged, scoring.LedgerUnavailable,
    scoring.PopulationUnknown, scoring.PopulationChanged, scoring.BudgetExceeded, scoring.KeyFileInvalid,
    scoring.SplitChanged, scoring.PopulationNotSplit, scoring.HoldoutNeedsPerson,
    scoring.HoldoutSeen, scoring.ReportInvalid, scoring.ReportAltered, scoring.ReportExists, scoring.ReportUnwritten,
    scoring.DriftNotComparable, promotions.NobodyToTell, promotions.PromotionOvertaken,
    chain.BadHash, chain.BadTreeSize,
    chain.MalformedFrontier,
    chain.ProofLengthWrong, chain.RootMismatch, chain.MalformedTile, chain.MalformedEntryBundle, chain.BadKeyName,
    chain.BadSigningKey, chain.BadVerifierKey, chain.AmbiguousVerifierKeys, chain.MalformedNote,
    chain.BadNoteSignature, chain.NoTrustedSignature, chain.UnverifiedSignature, chain.BadOrigin,
    chain.MalformedCheckpoint, chain.NotSignedByOrigin, chain.LogKeyRetired, chain.EntryMembersWrong,
    chain.EntryValueRefused, chain.EntryTooLarge, chain.EntryNotCanonical, chain.BadSalt, chain.MalformedProof,
    chain.ChainRefused, chain.WrongChain, chain.ContractMissing, chain.BadChainAddress, chain.BadAccountKey,
    chain.AccountUnfunded, chain.TransactionRefused, chain.TransactionReverted, chain.TransactionPending,
    chain.DeployerMissing, chain.AnvilMissing, chain.AnvilFailed, chain.AnvilRunning, chain.AnvilPortInUse,
    chain.AnvilStateDamaged, anchors.OtherChain, anchors.NotAPublisher, anchors.ForkedLog, jobs.LeaseLost,
    sequencer.OtherOrigin, subjects.MasterKeyMissing, tenants.UnknownScope,
)  # fmt: skip

_STATUSES: dict[int, Sequence[type[Exception]]] = {
    400: (*_BAD_REQUEST, *_BAD_CREDENTIAL_REQUEST),
    401: _UNAUTHORIZED,
    403: _FORBIDDEN,
    404: _NOT_FOUND,
    409: _CONFLICT,
    410: _GONE,
    413: _TOO_LARGE,
    422: _REFUSED,
    500: _INTERNAL,
    503: _UNAVAILABLE,
}
STATUS_OF: dict[type[Exception], int] = {leaf: status for status, leaves in _STATUSES.items() for leaf in leaves}
INTERNAL = Problem(status=500, code="internal_error", detail="Something failed on our side; it has been recorded.")
_RETRY_AFTER_S = 5
OVERLOADED = Problem(
    status=503,
    code="overloaded",
    detail="More is asked at once than can be served. Try again.",
    retry_after_s=_RETRY_AFTER_S,
)


def problem_of(error: Exception) -> Problem:
    """The problem document of an error that a room raised; what no room raised is our own fault."""
    status = STATUS_OF.get(type(error), 500)
    if status == 500:
        return INTERNAL
    return Problem(
        status=status,
        code=str(getattr(error, "code", "error")),
        detail=str(error),
        retry_after_s=_RETRY_AFTER_S if status == 503 else None,
    )
