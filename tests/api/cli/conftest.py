"""The credence command in this process, and a score document made with keys that a test holds."""

import json
import os
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from api.cli.main import main
from api.score_document import (
    AnchorStatement,
    Trust,
    TrustedAnchor,
    TrustedScoreIssuer,
    compose_document,
    format_trust,
    score_members,
)
from chain.checkpoint import Checkpoint, sign_checkpoint
from chain.entry import commitment, encode_entry
from chain.merkle import Frontier, leaf_hash
from chain.note import LogSigner
from chain.proof import LogProof
from identity.keys import SigningKey
from identity.score_credential import issue_score_credential
from identity.status_list import StatusReference
from scoring.artifact import load_artifact
from scoring.features import ClaimSet, extract_features

NOW_MS = 1_790_000_000_000
ORIGIN = "credence.test/log"
CLAIMS = {
    "credit_line_minor": 20_000_00,
    "statement_minor": [3913_00, 3102_00, 689_00, 0, 0, 0],
    "paid_minor": [0, 689_00, 0, 0, 0, 0],
    "delay_months": [2, 2, -1, -1, -2, -2],
}


@dataclass(frozen=True)
class Ran:
    """What a command left: its exit code, and both of its outputs."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Credence = Callable[..., Ran]


@pytest.fixture
def credence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Credence:
    """Run a command in an empty folder, with nothing of ours in the environment."""
    for name in os.environ:
        if name.startswith("CREDENCE_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["credence", *map(str, arguments)])
        capfd.readouterr()
        code: object = 0
        umask = os.umask(0o022)
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        finally:
            os.umask(umask)
        out, err = capfd.readouterr()
        assert isinstance(code, int)
        return Ran(code, out, err)

    return run


@dataclass(frozen=True, kw_only=True)
class Issuer:
    """The keys of a service, as a test holds them."""

    attest: SigningKey
    seal: SigningKey
    log: LogSigner
    anchor: AnchorStatement | None

    @property
    def trust(self) -> bytes:
        anchors = ()
        if self.anchor is not None:
            chain_id, contract, log_id = self.anchor.chain_id, self.anchor.contract, self.anchor.log_id
            anchors = (TrustedAnchor(chain_id=chain_id, contract=contract, log_id=log_id),)
        trust = Trust(
            score_issuers=(TrustedScoreIssuer(did=self.attest.did, retired_at_size=None),),
            log_keys=(self.log.verifier_key,),
            seal_keys=(self.seal.public,),
            receipt_keys=(),
            anchors=anchors,
        )
        return json.dumps(format_trust(trust)).encode()


@dataclass(frozen=True, kw_only=True)
class Made:
    """A score document, the checkpoint that it is under, and its issuer."""

    document: bytes
    checkpoint: Checkpoint
    issuer: Issuer


def new_issuer() -> Issuer:
    return Issuer(
        attest=SigningKey.generate("ES256"),
        seal=SigningKey.generate("EdDSA"),
        log=LogSigner(name=ORIGIN, private_key=secrets.token_bytes(32)),
        anchor=AnchorStatement(
            chain_id=31337,
            contract="0x" + "00" * 19 + "01",
            log_id=bytes(range(32)),
            size=1,
            transaction=b"\1" * 32,
            block_number=7,
            block_hash=b"\2" * 32,
            state="mined",
        ),
    )


MakeDocument = Callable[..., Made]


@pytest.fixture(scope="session")
def make_document(model: Path) -> MakeDocument:
    """Make a document; `anchor_of` may say what anchored its checkpoint."""
    artifact = load_artifact(model)
    schema = artifact.scorecard.schema
    claims = {"urn:credence:repayment-history:1": [ClaimSet(issued_at_ms=NOW_MS, claims=CLAIMS)]}
    score = artifact.scorecard.score(extract_features(schema, claims, NOW_MS))

    def make(issuer: Issuer | None = None, anchor_of: Callable[[Checkpoint], AnchorStatement] | None = None) -> Made:
        issuer = issuer or new_issuer()
        ids: Mapping[str, str] = {"score_id": "sco_" + "0" * 32, "request_id": "req_" + "0" * 32}
        members = score_members(**ids, purpose="credit_application", score=score, artifact=artifact)
        status = StatusReference(uri="https://credence.test/v1/status-lists/0", index=5)
        issued = issue_score_credential(
            score={name: value for name, value in members.items() if value is not None},
            holder=SigningKey.generate().public,
            subject="sub",
            status=status,
            issued_at_ms=NOW_MS,
            valid_until_ms=NOW_MS + 86_400_000,
            key=issuer.attest,
        )
        body = {
            **ids,
            "model_sha256": artifact.digest.hex(),
            "jwt_sha256": issued.issuer_jwt_sha256.hex(),
        }
        entry, salt = encode_entry(type="score", at_ms=NOW_MS, tenant="t", seq=0, body=body), secrets.token_bytes(32)
        frontier = Frontier.empty().append(leaf_hash(commitment(entry, salt)))
        checkpoint = Checkpoint(origin=ORIGIN, size=frontier.size, root=frontier.root())
        if anchor_of is not None:
            issuer = replace(issuer, anchor=anchor_of(checkpoint))
        document = compose_document(
            members=members,
            credential=issued.sd_jwt,
            issued_at_ms=NOW_MS,
            valid_until_ms=NOW_MS + 86_400_000,
            status_uri=status.uri,
            status_index=status.index,
            index=0,
            entry=entry.decode(),
            salt=salt,
            proof=LogProof(
                index=0, entry=entry, salt=salt, inclusion=(), checkpoint=sign_checkpoint(checkpoint, issuer.log)
            ),
            anchor=issuer.anchor,
            seal_key=issuer.seal,
        )
        return Made(document=document, checkpoint=checkpoint, issuer=issuer)

    return make
