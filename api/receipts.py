"""The consent receipts of a service: what each event of a consent is receipted with, signed."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from api.store.consents import StoredConsent, consent_id_of
from api.store.tenants import TenantStore
from identity.consent_receipt import ConsentReceipt, ConsentState, PiiInformation, issue_consent_receipt
from identity.credential_types.types import CredentialType
from identity.keys import SigningKey
from identity.verifier import VerifiedCredential


@dataclass(frozen=True, kw_only=True)
class SignedReceipt:
    """A receipt as its holder keeps it, and the digest (SHA-256, in hex) that the log entry beside it commits to."""

    id: str
    jws: str

    @property
    def sha256(self) -> str:
        """Over the signed text; 128 bits of salt within it keep it from being guessed."""
        return sha256(self.jws.encode("ascii")).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Receipts:
    """Signs receipts; `retention_days` is for lenders that state no period of their own."""

    key: SigningKey = field(repr=False)
    tenants: TenantStore
    types: Mapping[str, CredentialType]
    base_url: str
    retention_days: int

    def sign_given(
        self,
        *,
        tenant_id: str,
        subject_id: str,
        purpose: str,
        credentials: Sequence[VerifiedCredential],
        request_id: str,
        score_id: str,
        valid_days: int,
        now_ms: int,
    ) -> SignedReceipt:
        """The receipt of a presentation that was accepted."""
        return self._sign(
            tenant_id=tenant_id,
            subject_id=subject_id,
            purpose=purpose,
            information=tuple(self._information_of(each) for each in credentials),
            state="given",
            now_ms=now_ms,
            valid_days=valid_days,
            request_id=request_id,
            score_id=score_id,
        )

    def sign_changed(self, consent: StoredConsent, *, withdraws: bool, now_ms: int) -> SignedReceipt:
        """The receipt of a consent that its holder withdraws, or gives again; nothing is disclosed with either."""
        return self._sign(
            tenant_id=consent.tenant_id,
            subject_id=consent.subject_id,
            purpose=consent.purpose,
            information=(),
            state="withdrawn" if withdraws else "given",
            now_ms=now_ms,
            valid_days=None,
            request_id=None,
            score_id=None,
        )

    def _sign(
        self,
        *,
        tenant_id: str,
        subject_id: str,
        purpose: str,
        information: tuple[PiiInformation, ...],
        state: ConsentState,
        now_ms: int,
        valid_days: int | None,
        request_id: str | None,
        score_id: str | None,
    ) -> SignedReceipt:
        lender = self.tenants.load_lender(tenant_id)
        receipt_id = "rcp_" + secrets.token_hex(16)
        consent_id = consent_id_of(subject_id, purpose)
        receipt = ConsentReceipt(
            id=receipt_id,
            consent_id=consent_id,
            principal_id=subject_id,
            controller=lender.controller,
            processor=self.base_url,
            purpose=purpose,
            information=information,
            retention_days=lender.retention_days or self.retention_days,
            withdrawal=f"{self.base_url}/v1/holder/consents/{consent_id}/withdrawal",
            state=state,
            event_at_ms=now_ms,
            valid_days=valid_days,
            request_id=request_id,
            score_id=score_id,
        )
        return SignedReceipt(id=receipt_id, jws=issue_consent_receipt(receipt, key=self.key))

    def _information_of(self, credential: VerifiedCredential) -> PiiInformation:
        names = self.types[credential.vct].claim_names
        return PiiInformation(
            credential_type=credential.vct,
            disclosed=tuple(name for name in names if name in credential.claims),
            unused=tuple(name for name in names if name in credential.unasked),
            withheld=tuple(name for name in names if name not in {*credential.claims, *credential.unasked}),
        )
