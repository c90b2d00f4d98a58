"""Every refusal of the identity room: one root, one leaf a reason, messages that never repeat the input."""

from typing import ClassVar, Literal

Step = Literal[
    "response", "request", "query", "binding", "type", "issuer", "proof", "repetition", "holder", "claims", "status"
]
"""A step of the verification of a presentation, in order: the wallet's response as such, then `Verifier.verify`."""


class IdentityError(Exception):
    """The root: `code` is stable and public, `message` is fixed, `retriable` says whether time alone may heal it."""

    code: ClassVar[str] = "identity_error"
    message: ClassVar[str] = "The identity material was refused."
    retriable: ClassVar[bool] = False

    #: Where a presentation was refused, and which of our own credential queries it was for: set by the verifier.
    step: Step | None = None
    query_id: str | None = None

    def __init__(self) -> None:
        super().__init__(self.message)


# Encodings


class BadBase64(IdentityError):
    code = "bad_base64"
    message = "Not canonical base64url without padding."


class BadJson(IdentityError):
    code = "bad_json"
    message = "Not well-formed JSON in UTF-8, or not of the expected type."


class JsonDuplicateKey(IdentityError):
    code = "json_duplicate_key"
    message = "A JSON object names a member twice."


class JsonNumber(IdentityError):
    code = "json_number"
    message = "A JSON number is not finite or has too many digits."


class JsonDepth(IdentityError):
    code = "json_depth"
    message = "JSON is nested too deeply."


class TooLarge(IdentityError):
    code = "too_large"
    message = "The token is larger than allowed."


# Keys and JOSE


class BadKey(IdentityError):
    code = "bad_key"
    message = "The key is malformed or of an unsupported kind."


class PrivateKeyInJwk(IdentityError):
    code = "private_key_in_jwk"
    message = "A public JWK carries private key material."


class BadJws(IdentityError):
    code = "bad_jws"
    message = "Not a JWS in compact serialization."


class AlgNotAllowed(IdentityError):
    code = "alg_not_allowed"
    message = "The signature algorithm is not allowed."


class AlgKeyMismatch(IdentityError):
    code = "alg_key_mismatch"
    message = "The signature algorithm does not belong to the key."


class UnsupportedCrit(IdentityError):
    code = "unsupported_crit"
    message = "The JOSE header asks for an extension that is not supported."


class KeySourceNotAllowed(IdentityError):
    code = "key_source_not_allowed"
    message = "The JOSE header brings its own key, which is never trusted."


class HeaderNotAllowed(IdentityError):
    code = "header_not_allowed"
    message = "The JOSE header has a parameter that is not allowed, or of the wrong type."


class WrongTyp(IdentityError):
    code = "wrong_typ"
    message = "The JWT is of another type than expected here."


class BadMultibase(IdentityError):
    code = "bad_multibase"
    message = "Not multibase in base58btc or base64url, or too long."


class BadKid(IdentityError):
    code = "bad_kid"
    message = "The key id is malformed."


class BadSignatureEncoding(IdentityError):
    code = "bad_signature_encoding"
    message = "The signature is not in the encoding of its algorithm."


class BadSignature(IdentityError):
    code = "bad_signature"
    message = "The signature does not verify."


class BadJwe(IdentityError):
    code = "bad_jwe"
    message = "Not a JWE in compact serialization."


class JweNotAllowed(IdentityError):
    code = "jwe_not_allowed"
    message = "The JWE uses an algorithm, a key or a header parameter that is not allowed."


class JweKeyMismatch(IdentityError):
    code = "jwe_key_mismatch"
    message = "The JWE is not encrypted to the key of the request."


class NotDecrypted(IdentityError):
    code = "not_decrypted"
    message = "The JWE does not decrypt."


# Certificates


class BadCertificate(IdentityError):
    code = "bad_certificate"
    message = "The certificate is malformed, or for a key of an unsupported kind."


class CertificateNotValid(IdentityError):
    code = "certificate_not_valid"
    message = "The certificate is not valid at this time."


class CertificateKeyMismatch(IdentityError):
    code = "certificate_key_mismatch"
    message = "The certificate is for another key."


# DIDs


class BadDid(IdentityError):
    code = "bad_did"
    message = "The DID is malformed, too long or of an unsupported method."


class IssuerKeyMismatch(IdentityError):
    code = "issuer_key_mismatch"
    message = "The key id does not belong to the issuer's DID."


class UnknownKid(IdentityError):
    code = "unknown_kid"
    message = "The DID has no such verification method."


class KeyAmbiguous(IdentityError):
    code = "key_ambiguous"
    message = "No key is named, and the DID has none or several that could be meant."


class KeyNotForRelationship(IdentityError):
    code = "key_not_for_relationship"
    message = "The DID does not use this key for what was signed."


class KeyPastItsEnd(IdentityError):
    code = "key_past_its_end"
    message = "The DID's key is revoked or has expired."


class KeyNotSupported(IdentityError):
    code = "key_not_supported"
    message = "The DID's key is of a kind that is not supported."


class KeyControllerMismatch(IdentityError):
    code = "key_controller_mismatch"
    message = "The DID's key is under the control of another DID."


class PrivateKeyPublished(IdentityError):
    code = "private_key_published"
    message = "The DID's document publishes the private half of the key."


class DidWebRefused(IdentityError):
    """What no waiting heals: a did:web that names no place from which a document may be fetched."""

    code = "did_web_refused"
    message = "The did:web must not be resolved."


class DidWebHostNotAllowed(DidWebRefused):
    code = "did_web_host_not_allowed"
    message = "The did:web names a host that is not a public name in lower case."


class DidWebPortNotAllowed(DidWebRefused):
    code = "did_web_port_not_allowed"
    message = "The did:web names a port that is not allowed."


class DidWebPathNotAllowed(DidWebRefused):
    code = "did_web_path_not_allowed"
    message = "The did:web has an empty part, a dot part, or a character that is not allowed in its path."


class DidWebEncodingNotAllowed(DidWebRefused):
    code = "did_web_encoding_not_allowed"
    message = "The did:web percent-encodes something else than the colon before a port."


class BadDidDocument(IdentityError):
    code = "bad_did_document"
    message = "The DID's document, or the part of it that is needed, is malformed."


class DidDocumentMismatch(IdentityError):
    code = "did_document_mismatch"
    message = "The document is another DID's."


class TooManyVerificationMethods(IdentityError):
    code = "too_many_verification_methods"
    message = "The DID's document has more verification methods than allowed."


class DidDeactivated(IdentityError):
    code = "did_deactivated"
    message = "The DID is deactivated."


class DidNotFound(IdentityError):
    code = "did_not_found"
    message = "The DID's document is not published, or not any more."


class DidUnavailable(IdentityError):
    code = "did_unavailable"
    message = "The DID's document cannot be fetched now."
    retriable = True


# Claims and time


class MissingClaim(IdentityError):
    code = "missing_claim"
    message = "A required claim is missing or of the wrong type."


class BadTime(IdentityError):
    code = "bad_time"
    message = "A time is no plausible number of seconds, or not in RFC 3339 with a zone."


class Expired(IdentityError):
    code = "expired"
    message = "The token has expired."


class NotYetValid(IdentityError):
    code = "not_yet_valid"
    message = "The token is not valid yet."


class IssuedInFuture(IdentityError):
    code = "issued_in_future"
    message = "The token says that it was issued in the future."


class BadConfirmation(IdentityError):
    code = "bad_confirmation"
    message = "The cnf claim is not exactly one JWK."


# SD-JWT


class BadSdJwt(IdentityError):
    code = "bad_sd_jwt"
    message = "Not an SD-JWT in compact serialization."


class BadDisclosure(IdentityError):
    code = "bad_disclosure"
    message = "A disclosure is malformed."


class DuplicateDisclosure(IdentityError):
    code = "duplicate_disclosure"
    message = "A disclosure is given twice."


class DisclosureNotReferenced(IdentityError):
    code = "disclosure_not_referenced"
    message = "A disclosure belongs to no digest of the credential."


class DigestRepeated(IdentityError):
    code = "digest_repeated"
    message = "A digest stands twice in the credential."


class ReservedClaimName(IdentityError):
    code = "reserved_claim_name"
    message = "A disclosure uses a claim name that SD-JWT reserves."


class ClaimCollision(IdentityError):
    code = "claim_collision"
    message = "A disclosed claim collides with a claim of the same name."


class DisclosureMisplaced(IdentityError):
    code = "disclosure_misplaced"
    message = "A disclosure has the wrong length for its place."


class BadSdPayload(IdentityError):
    code = "bad_sd_payload"
    message = "The SD-JWT payload misuses _sd, _sd_alg or the array digest."


class SdAlgNotAllowed(IdentityError):
    code = "sd_alg_not_allowed"
    message = "The disclosure digest algorithm is not sha-256."


class ReservedClaimDisclosed(IdentityError):
    code = "reserved_claim_disclosed"
    message = "A claim that must be in the signed payload was delivered by disclosure."


class TooManyDisclosures(IdentityError):
    code = "too_many_disclosures"
    message = "The SD-JWT has more disclosures than allowed."


class DisclosureTooLarge(IdentityError):
    code = "disclosure_too_large"
    message = "A disclosure is larger than allowed."


class ClaimNotInCredential(IdentityError):
    code = "claim_not_in_credential"
    message = "The credential holds no disclosure for an asked claim."


class CannotIssue(IdentityError):
    code = "cannot_issue"
    message = "The claims cannot be issued as asked."


# Key binding


class KeyBindingMissing(IdentityError):
    code = "key_binding_missing"
    message = "The presentation lacks the required key binding."


class KeyBindingUnexpected(IdentityError):
    code = "key_binding_unexpected"
    message = "The credential carries a key binding where none is expected."


class HolderKeyMissing(IdentityError):
    code = "holder_key_missing"
    message = "The credential names no holder key to bind to."


class SdHashMismatch(IdentityError):
    code = "sd_hash_mismatch"
    message = "The key binding is for another set of disclosures."


class NonceMismatch(IdentityError):
    code = "nonce_mismatch"
    message = "The key binding is for another request."


class AudienceMismatch(IdentityError):
    code = "audience_mismatch"
    message = "The key binding is for another verifier."


class KbStale(IdentityError):
    code = "kb_stale"
    message = "The key binding is too old."


class KbInFuture(IdentityError):
    code = "kb_in_future"
    message = "The key binding says that it was made in the future."


# The applicant


class HolderProofStale(IdentityError):
    code = "holder_proof_stale"
    message = "The proof of the holder's key was made too long ago."


class BadConsentReceipt(IdentityError):
    code = "bad_consent_receipt"
    message = "The consent receipt is not one of this version."


class ReceiptKeyNotTrusted(IdentityError):
    code = "receipt_key_not_trusted"
    message = "The consent receipt is signed by a key that is not trusted for receipts."


# Fetching


class FetchRefused(IdentityError):
    """What no waiting heals: the address or the answer is outside the rules of `identity.fetch`."""

    code = "fetch_refused"
    message = "The URL must not be fetched."


class UrlNotAllowed(FetchRefused):
    code = "url_not_allowed"
    message = "The URL is not an allowed https URL."


class AddressNotPublic(FetchRefused):
    code = "address_not_public"
    message = "The URL's host has an address that is not public."


class RedirectNotFollowed(FetchRefused):
    code = "redirect_not_followed"
    message = "The URL answered with a redirect, which is never followed."


class ResponseTooLarge(FetchRefused):
    code = "response_too_large"
    message = "The URL's answer is larger than allowed."


class WrongContentType(FetchRefused):
    code = "wrong_content_type"
    message = "The URL's answer is of another media type or encoding than asked."


class FetchFailed(IdentityError):
    code = "fetch_failed"
    message = "The URL could not be fetched."
    retriable = True


class UrlNotFound(FetchFailed):
    code = "url_not_found"
    message = "The URL's host says that there is nothing at it."


class FetchTimeout(FetchFailed):
    code = "fetch_timeout"
    message = "The URL did not answer in time."


# Status


class UnsupportedStatus(IdentityError):
    code = "unsupported_status"
    message = "The credential's status is of a kind that is not supported."


class BadStatusIndex(IdentityError):
    code = "bad_status_index"
    message = "The status index is not an index of the list."


class BadStatusList(IdentityError):
    code = "bad_status_list"
    message = "The status list is malformed."


class StatusListTooLarge(IdentityError):
    code = "status_list_too_large"
    message = "The status list inflates to more than allowed."


class StatusListIssuerMismatch(IdentityError):
    code = "status_list_issuer_mismatch"
    message = "The status list is not signed by the credential's issuer."


class StatusListSubjectMismatch(IdentityError):
    code = "status_list_subject_mismatch"
    message = "The status list was made for another URL."


class StatusListExpired(IdentityError):
    code = "status_list_expired"
    message = "The status list has expired."
    retriable = True


class StatusListTooShort(IdentityError):
    code = "status_list_too_short"
    message = "The status list is shorter than the least that hides whose status is asked."


class StatusPurposeMismatch(IdentityError):
    code = "status_purpose_mismatch"
    message = "The status list is for another purpose than the credential's entry."


class StatusEntryInvalid(IdentityError):
    code = "status_entry_invalid"
    message = "An entry of credentialStatus is malformed."


class UnknownStatusValue(IdentityError):
    code = "unknown_status_value"
    message = "The status list gives a value without a known meaning."


class StatusUnavailable(IdentityError):
    code = "status_unavailable"
    message = "The credential's status cannot be checked now."
    retriable = True


# Trust


class IssuerNotTrusted(IdentityError):
    code = "issuer_not_trusted"
    message = "The issuer is not trusted for this credential type now."


class TrustPeriodEmpty(IdentityError):
    code = "trust_period_empty"
    message = "The period of trust ends before it begins."


class BadIssuerList(IdentityError):
    code = "bad_issuer_list"
    message = "The issuer list is not one: a member is missing, unknown or of another form."


class IssuerListTooLong(IdentityError):
    code = "issuer_list_too_long"
    message = "The issuer list names more issuers than are taken."


class IssuerListRepeats(IdentityError):
    code = "issuer_list_repeats"
    message = "The issuer list names one issuer twice for one credential type and an overlapping period."


class IssuerListExpired(IdentityError):
    code = "issuer_list_expired"
    message = "The issuer list has expired, or is dated in the future."


class IssuerListSignerMismatch(IdentityError):
    code = "issuer_list_signer_mismatch"
    message = "The issuer list is signed by another DID than the one that it names."


# Credential types


class ClaimsDoNotFit(IdentityError):
    """`pointer` is a JSON pointer of the schema's own names; empty when a member is missing or unknown."""

    code = "claims_do_not_fit"
    message = "The claims do not fit their credential type."

    def __init__(self, *, pointer: str) -> None:
        super().__init__()
        self.pointer = pointer


class UnknownCredentialType(IdentityError):
    code = "unknown_credential_type"
    message = "The credential is of a type that is not supported."


# Queries and presentations


class DcqlInvalid(IdentityError):
    """`pointer` is a JSON pointer of DCQL's own names and positions."""

    code = "dcql_invalid"
    message = "Not a valid DCQL query."

    def __init__(self, *, pointer: str) -> None:
        super().__init__()
        self.pointer = pointer


class DcqlNotSupported(DcqlInvalid):
    code = "dcql_not_supported"
    message = "The DCQL query asks for something that is not supported."


class RequestExpired(IdentityError):
    code = "request_expired"
    message = "The presentation request has expired."


class NonceUsed(IdentityError):
    code = "nonce_used"
    message = "Another presentation was already made for this request."


class StateMismatch(IdentityError):
    code = "state_mismatch"
    message = "The answer carries the state of another request."


class ResponseUriMismatch(IdentityError):
    code = "response_uri_mismatch"
    message = "The answer was posted to another request's address."


class VpTokenInvalid(IdentityError):
    code = "vp_token_invalid"
    message = "The vp_token is not an object of presentations by query id."


class PresentationFormatMismatch(IdentityError):
    code = "presentation_format_mismatch"
    message = "A presentation is not of the format that its query asks for."


class UnknownQueryId(IdentityError):
    code = "unknown_query_id"
    message = "The vp_token answers a query that was not made."


class CredentialMissing(IdentityError):
    code = "credential_missing"
    message = "The vp_token lacks a credential that was asked for."


class CredentialSetIncomplete(IdentityError):
    code = "credential_set_incomplete"
    message = "The vp_token has part of an optional set of credentials, which is answered whole or not at all."


class TooManyPresentations(IdentityError):
    code = "too_many_presentations"
    message = "The vp_token has several presentations where one was asked for."


class CredentialRepeated(IdentityError):
    code = "credential_repeated"
    message = "One credential is presented twice."


class VctNotAsked(IdentityError):
    code = "vct_not_asked"
    message = "The credential is of another type than the query asks for."


class ClaimMissing(IdentityError):
    code = "claim_missing"
    message = "The presentation lacks a claim, or a value of it, that the query asks for."


class ArrayNotWhole(IdentityError):
    code = "array_not_whole"
    message = "The credential lets items of an array be withheld, so that its months cannot be told."


class HolderMismatch(IdentityError):
    code = "holder_mismatch"
    message = "The credentials are bound to different holder keys."


class ClientIdMismatch(AudienceMismatch):
    code = "client_id_mismatch"
    message = "The presentation or request is for another verifier's client identifier."


class CredentialRevoked(IdentityError):
    code = "credential_revoked"
    message = "The issuer has revoked the credential."


class CredentialSuspended(IdentityError):
    code = "credential_suspended"
    message = "The issuer has suspended the credential."


# OpenID4VP


class RequestObjectInvalid(IdentityError):
    code = "request_object_invalid"
    message = "Not a request for a vp_token by direct_post."


class ResponseInvalid(IdentityError):
    code = "response_invalid"
    message = "Not an authorization response."


class EncryptedResponseNotAsked(IdentityError):
    code = "encrypted_response_not_asked"
    message = "The response is encrypted, which was not asked for."


class ResponseNotEncrypted(IdentityError):
    code = "response_not_encrypted"
    message = "The response is not encrypted, which was asked for."


class CannotPresent(IdentityError):
    code = "cannot_present"
    message = "The wallet holds no credentials that answer the query."


# Linked data


class ContextNotAllowed(IdentityError):
    code = "context_not_allowed"
    message = "The linked data uses a JSON-LD context that is not on the list, or brings its own."


class KeywordNotAllowed(IdentityError):
    code = "keyword_not_allowed"
    message = "The linked data uses a JSON-LD keyword that a credential has no need of."


class UndefinedTerm(IdentityError):
    code = "undefined_term"
    message = "The linked data has a term that its contexts do not define, so that no signature covers it."


class RelativeIri(IdentityError):
    code = "relative_iri"
    message = "The linked data names something by an IRI that is not absolute, so that no signature covers it."


class NodeRepeated(IdentityError):
    code = "node_repeated"
    message = "The linked data describes one thing in two places, so that its members could be moved between them."


class ValueNotAllowed(IdentityError):
    code = "value_not_allowed"
    message = "The linked data has a value that RDF drops or alters, such as null, a fraction or an empty array."


class RdfTooComplex(IdentityError):
    code = "rdf_too_complex"
    message = "The linked data is larger, or takes longer to canonicalize, than allowed."


class BadLinkedData(IdentityError):
    code = "bad_linked_data"
    message = "Not well-formed JSON-LD."


class BadLinkedDataProof(IdentityError):
    code = "bad_linked_data_proof"
    message = "Not exactly one linked-data proof for this purpose by a key that its signer controls."


class UnsupportedSuite(IdentityError):
    code = "unsupported_suite"
    message = "The linked-data proof is of a suite that is not supported here."


class LinkedDataBusy(IdentityError):
    code = "linked_data_busy"
    message = "More linked data waits to be checked than can be checked in time."
    retriable = True


class LinkedDataFailed(IdentityError):
    code = "linked_data_failed"
    message = "The process that checks linked data ended before it had an answer."
    retriable = True


# OpenID4VCI


class CredentialRequestInvalid(IdentityError):
    code = "credential_request_invalid"
    message = "Not a credential request: it names one configuration or one identifier, and brings proofs."


class UnknownCredentialConfiguration(IdentityError):
    code = "unknown_credential_configuration"
    message = "The credential offer is not for that credential configuration."


class UnknownCredentialIdentifier(IdentityError):
    code = "unknown_credential_identifier"
    message = "No such credential identifier was given with the access token."


class ResponseEncryptionNotOffered(IdentityError):
    code = "response_encryption_not_offered"
    message = "An encrypted credential response is not offered."


class KeyProofMissing(IdentityError):
    code = "key_proof_missing"
    message = "The credential request brings no key proof."


class ProofTypeNotSupported(IdentityError):
    code = "proof_type_not_supported"
    message = "The only proof type is jwt."


class TooManyKeyProofs(IdentityError):
    code = "too_many_key_proofs"
    message = "The credential request brings more key proofs than are issued at once."


class KeyProofKeyAmbiguous(IdentityError):
    code = "key_proof_key_ambiguous"
    message = "A key proof names its key by exactly one of jwk and kid."


class KeyProofAudienceMismatch(IdentityError):
    code = "key_proof_audience_mismatch"
    message = "The key proof was made for another credential issuer."


class KeyProofNonceMissing(IdentityError):
    code = "key_proof_nonce_missing"
    message = "The key proof has no nonce."


class KeyProofNoncesDiffer(IdentityError):
    code = "key_proof_nonces_differ"
    message = "The key proofs of one request have different nonces."


class KeyProofStale(IdentityError):
    code = "key_proof_stale"
    message = "The key proof is too old."


class KeyProofIssuerNotAllowed(IdentityError):
    code = "key_proof_issuer_not_allowed"
    message = "The key proof names an issuer, which an anonymous wallet does not have."


class HolderKeyRepeated(IdentityError):
    code = "holder_key_repeated"
    message = "Two key proofs of one request are of the same key."


class CredentialOfferInvalid(IdentityError):
    code = "credential_offer_invalid"
    message = "Not a credential offer with a pre-authorized code."


class IssuerMetadataInvalid(IdentityError):
    code = "issuer_metadata_invalid"
    message = "Not the metadata of that credential issuer."


# W3C credentials


class ContextNotFirst(IdentityError):
    code = "context_not_first"
    message = "The first context is not that of a version of the W3C data model."


class UnknownMember(IdentityError):
    code = "unknown_member"
    message = "The credential, presentation or proof has a member that nobody here would act on."


class IdNotUrl(IdentityError):
    code = "id_not_url"
    message = "An id is not one URL."


class W3cTypeInvalid(IdentityError):
    code = "w3c_type_invalid"
    message = "The type lacks the type that the data model requires, or is not a list of names."


class IssuerInvalid(IdentityError):
    code = "issuer_invalid"
    message = "The issuer is neither a URL nor an object with one as its id."


class CredentialSubjectInvalid(IdentityError):
    code = "credential_subject_invalid"
    message = "The credential has no subject, or one of which nothing is said."


class SeveralSubjects(IdentityError):
    code = "several_subjects"
    message = "The credential is about more than one subject."


class ValidityReversed(IdentityError):
    code = "validity_reversed"
    message = "The credential's validity ends before it begins."


class LanguageValueInvalid(IdentityError):
    code = "language_value_invalid"
    message = "A name or a description is neither a text nor a text with a language."


class RelatedObjectInvalid(IdentityError):
    code = "related_object_invalid"
    message = "A status, schema, evidence, refresh service or terms of use lacks its type or has an id that is no URL."


class TermsOfUseNotSupported(IdentityError):
    code = "terms_of_use_not_supported"
    message = "The credential comes with terms of use, which cannot be read here and might forbid its use."


class W3cPresentationInvalid(IdentityError):
    code = "w3c_presentation_invalid"
    message = "The presentation's holder or its credentials are not in a form of the data model."


class PresentationNotSingle(IdentityError):
    code = "presentation_not_single"
    message = "The presentation does not hold exactly one credential."


class SubjectNotHolder(IdentityError):
    code = "subject_not_holder"
    message = "The credential's subject is not the one who presents it."


class JwtClaimMismatch(IdentityError):
    code = "jwt_claim_mismatch"
    message = "A claim of the JWT contradicts the credential or presentation within it."


class EmbeddedProof(IdentityError):
    code = "embedded_proof"
    message = "What a JWT secures carries a proof of its own, which nobody would verify."


# Data Integrity


class ProofMissing(IdentityError):
    code = "proof_missing"
    message = "The credential or presentation has no proof."


class ProofInvalid(IdentityError):
    code = "proof_invalid"
    message = "The proof lacks a member that it must have, or has one of the wrong type."


class ProofSetNotAllowed(IdentityError):
    code = "proof_set_not_allowed"
    message = "The credential or presentation has more than one proof."


class ProofChainNotAllowed(IdentityError):
    code = "proof_chain_not_allowed"
    message = "The proof builds on another proof."


class ProofPurposeMismatch(IdentityError):
    code = "proof_purpose_mismatch"
    message = "The proof was made for another purpose."


class ProofContextMismatch(IdentityError):
    code = "proof_context_mismatch"
    message = "The proof was made under other contexts than the document's."


class BadProofValue(IdentityError):
    code = "bad_proof_value"
    message = "The proof's value is not in the encoding of its suite."
