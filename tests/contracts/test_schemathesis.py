"""The service keeps its contract: schemathesis with all of its checks, over HTTP, with real ids and presentations.

Random values alone would be refused at the door, so most positive cases are given what no generator can invent: the id
of something that exists, a presentation that a holder signed. Every fourth keeps what was generated.
"""

import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from hashlib import sha256
from itertools import count
from typing import Any

import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema
from schemathesis.generation.case import Case
from sqlalchemy import update

from api.http import holder_session
from api.store.database import write_transaction
from api.store.tables import credential_offers
from identity.credential_types.types import load_credential_types
from identity.holder_proof import sign_holder_proof
from identity.issuer_list import sign_issuer_list
from identity.key_proof import make_key_proof
from identity.keys import SigningKey
from identity.openid4vci import PRE_AUTHORIZED_CODE
from identity.trust import TrustedIssuer
from tests.api.conftest import REPAYMENTS, VCT
from tests.api.test_revocation import add_copies
from tests.contracts.conftest import SCOPES

pytestmark = pytest.mark.slow

SEED = 20_261_122
MIN_CASES = 2_000
#: What a positive case may be answered with as schemathesis has it, and 400 and 422, which judge a presentation.
JUDGED = ["2xx", "400", "401", "403", "404", "409", "422"]
#: What a negative one may be: as schemathesis has it, and 413, which comes before any other look at a long body.
REFUSED = ["400", "401", "403", "404", "405", "406", "409", "413", "415", "422"]
CONFIG = {
    "seed": SEED,
    "continue-on-failure": True,
    "generation": {"deterministic": True, "database": "none"},
    "checks": {"negative_data_rejection": {"expected-statuses": REFUSED}},
    "phases": {"fuzzing": {"generation": {"max-examples": 15}}, "stateful": {"enabled": False}},
    "operations": [
        {
            # Verifying a secret is slow on purpose.
            "include-operation-id": "createToken",
            "phases": {"fuzzing": {"generation": {"max-examples": 10}}},
        },
        {
            "include-operation-id": [
                "createScore",
                "submitPresentation",
                "createHolderSession",
                "redeemOffer",
                "issueCredential",
                "importIssuerList",
            ],
            "checks": {
                "positive_data_acceptance": {"expected-statuses": JUDGED},
                "negative_data_rejection": {"expected-statuses": REFUSED},
            },
        },
    ],
}
#: Operations of which not every well-formed body can be accepted, whatever its schema says.
ALWAYS_REAL = {
    "createPresentationRequest",
    "trustIssuer",
    "importIssuerList",
    "createCredentialOffer",
    # The ids that the tool takes from answers would have one operation revoke what another one needs.
    "changeScoreStatus",
    "changeCredentialStatus",
}


class RealValues:
    """Puts what exists into positive cases, by the id of the operation."""

    def __init__(self, harness: Any) -> None:
        self._harness = harness
        self._holder = SigningKey.generate()
        #: Whose consents nothing here can withdraw: the tool takes ids from answers.
        self._presenter = SigningKey.generate()
        self._turns: dict[str, Iterator[int]] = defaultdict(count)
        tenant_id = harness.service.tenants.load_or_append_tenant("lender", harness.clock())
        client = harness.service.tenants.append_client(
            tenant_id=tenant_id, name="schemathesis", scopes=frozenset(SCOPES), now_ms=harness.clock()
        )
        self._credentials = {"client_id": client.client_id, "client_secret": client.client_secret}
        self._score = harness.score(holder=self._holder)
        #: The headers of the applicant whose all this is.
        self.applicant = harness.holder(self._holder)
        self._receipt = harness.http.get("/v1/holder/receipts", headers=self.applicant).json()["receipts"][0]
        self._asked = harness.ask()
        other = harness.ask(purpose="prequalification")
        assert harness.submit(other, harness.vp_token(other, self._holder)).status_code == 201
        self._issuer = SigningKey.generate().did
        self._tenant_id = tenant_id
        self._offer_id = self._offer()
        self._score_offer_id = self._offer_copies(self._score)
        #: What is suspended and reinstated here: no other operation needs it.
        self._suspended = harness.score()
        (self._suspended_copy,) = add_copies(harness, self._suspended, 1)
        self._list_signer = SigningKey.generate()
        harness.service.trust.pin_signer(tenant_id, self._list_signer.did, harness.clock())
        deadline = time.monotonic() + 60
        while harness.http.get("/v1/log/proof/0").status_code != 200:
            assert time.monotonic() < deadline, "no checkpoint was published"
            time.sleep(0.01)

    def put_into(self, case: Case) -> None:
        """Change a positive case that is about to be sent."""
        if case.meta is None or not case.meta.generation.mode.is_positive:
            return
        operation_id = case.operation.definition.raw["operationId"]
        turn = next(self._turns[operation_id])
        if "Idempotency-Key" in case.headers:
            # Few keys are generated, and one that comes with a second body is refused.
            case.headers["Idempotency-Key"] = f"{turn}{case.headers['Idempotency-Key']}"[:255]
        put = getattr(self, operation_id, None)
        if put is not None and (turn % 4 != 3 or operation_id in ALWAYS_REAL):
            put(case, turn)

    def createToken(self, case: Case, turn: int) -> None:
        scope = {"scope": SCOPES[turn % len(SCOPES)]} if turn % 2 else {}
        case.body = {"grant_type": "client_credentials", **self._credentials, **scope}

    def createPresentationRequest(self, case: Case, turn: int) -> None:
        """Make the names of a query unique, and its sets name them: what a schema cannot say."""
        query = case.body["query"]
        for number, credential in enumerate(query["credentials"]):
            credential["id"] = f"{credential['id'][:60]}_{number}"
            claims = credential["claims"]
            for claim_number, claim in enumerate(claims):
                claim["id"] = f"claim_{claim_number}"
                claim["path"][-1] = f"{claim['path'][-1][:60]}{claim_number}"
            if credential.get("claim_sets"):
                credential["claim_sets"] = [[claim["id"]] for claim in claims][:16]
        if query.get("credential_sets"):
            ids = [credential["id"] for credential in query["credentials"]]
            query["credential_sets"] = [{"options": [ids], "required": True}]
        if case.body.get("redirect_uri"):
            case.body["redirect_uri"] = f"https://lender.example/applications/{turn}"
        case.body = case.body

    def readPresentationRequest(self, case: Case, _turn: int) -> None:
        case.path_parameters = {"request_id": self._asked["id"]}

    def readRequestObject(self, case: Case, turn: int) -> None:
        self.readPresentationRequest(case, turn)

    def submitPresentation(self, case: Case, turn: int) -> None:
        asked = self._harness.ask()
        stored = self._harness.service.requests.load_request(asked["id"], tenant_id=None, now_ms=self._harness.clock())
        case.path_parameters = {"request_id": asked["id"]}
        if turn % 5 == 4:
            case.body = {"state": stored.request.state, "error": "access_denied"}
        else:
            vp_token = self._harness.vp_token(asked, self._presenter)
            case.body = {"state": stored.request.state, "vp_token": json.dumps(vp_token)}

    def createScore(self, case: Case, _turn: int) -> None:
        asked = self._harness.ask()
        case.body = {"request_id": asked["id"], "vp_token": self._harness.vp_token(asked, self._presenter)}

    def readScore(self, case: Case, _turn: int) -> None:
        case.path_parameters = {"score_id": self._score["id"]}

    def createHolderSession(self, case: Case, _turn: int) -> None:
        service, now_ms = self._harness.service, self._harness.clock()
        nonce = service.nonces.issue(purpose="holder", now_ms=now_ms)
        proof = sign_holder_proof(audience=service.base_url, nonce=nonce, key=self._holder, now_ms=now_ms)
        case.body = {"format": "jwt", "proof": proof}

    def readHolderScore(self, case: Case, turn: int) -> None:
        self.readScore(case, turn)

    def readHolderReceipt(self, case: Case, _turn: int) -> None:
        case.path_parameters = {"receipt_id": self._receipt["id"]}

    def withdrawConsent(self, case: Case, turn: int) -> None:
        self._of_another_purpose(case, turn)

    def renewConsent(self, case: Case, turn: int) -> None:
        self._of_another_purpose(case, turn)

    def _of_another_purpose(self, case: Case, _turn: int) -> None:
        """A consent that no other operation here needs."""
        consents = self._harness.http.get("/v1/holder/consents", headers=self.applicant).json()["consents"]
        case.path_parameters = {"consent_id": next(e["id"] for e in consents if e["purpose"] == "prequalification")}

    def readTile(self, case: Case, turn: int) -> None:
        case.path_parameters = {"path": ["0/000.p/1", "entries/000.p/1"][turn % 2]}

    def readInclusionProof(self, case: Case, _turn: int) -> None:
        case.path_parameters = {"index": 0}

    def readModel(self, case: Case, _turn: int) -> None:
        case.path_parameters = {"sha256": self._score["model"]["sha256"]}

    def readStatusList(self, case: Case, _turn: int) -> None:
        case.path_parameters = {"list_id": self._score["status"]["uri"].rpartition("/")[2]}

    def _offer(self) -> str:
        answer = self._harness.http.post(
            "/v1/credential-offers",
            json={"type": VCT, "claims": REPAYMENTS},
            headers=self._harness.token("lender", ("issuer",)),
        )
        return str(answer.json()["id"])

    def _code(self) -> str:
        offer = self._harness.http.get(f"/v1/credential-offers/{self._offer()}/offer").json()
        return str(offer["grants"][PRE_AUTHORIZED_CODE]["pre-authorized_code"])

    def createCredentialOffer(self, case: Case, _turn: int) -> None:
        case.body |= {"type": VCT, "claims": REPAYMENTS}

    def readCredentialOffer(self, case: Case, _turn: int) -> None:
        case.path_parameters = {"offer_id": self._offer_id}

    def revokeCredentialOffer(self, case: Case, _turn: int) -> None:
        case.path_parameters = {"offer_id": self._offer()}

    def readOfferDocument(self, case: Case, turn: int) -> None:
        self.readCredentialOffer(case, turn)

    def readOfferQr(self, case: Case, turn: int) -> None:
        self.readCredentialOffer(case, turn)

    def createScoreOffer(self, case: Case, turn: int) -> None:
        self.readScore(case, turn)

    def readScoreOffer(self, case: Case, _turn: int) -> None:
        case.path_parameters = {"score_id": self._score["id"], "offer_id": self._score_offer_id}

    def _offer_copies(self, score: dict[str, Any]) -> str:
        answer = self._harness.http.post(
            f"/v1/scores/{score['id']}/offers", json={}, headers=self._harness.token("lender", ("lender",))
        )
        return str(answer.json()["id"])

    def readIssuerMetadata(self, case: Case, _turn: int) -> None:
        case.path_parameters = {"tenant_id": self._tenant_id}

    def readAuthorizationServerMetadata(self, case: Case, turn: int) -> None:
        self.readIssuerMetadata(case, turn)

    def createNonce(self, case: Case, turn: int) -> None:
        self.readIssuerMetadata(case, turn)

    def redeemOffer(self, case: Case, turn: int) -> None:
        self.readIssuerMetadata(case, turn)
        case.body = {"grant_type": PRE_AUTHORIZED_CODE, "pre-authorized_code": self._code()}

    def issueCredential(self, case: Case, turn: int) -> None:
        self.readIssuerMetadata(case, turn)
        issuer = f"/v1/issuers/{self._tenant_id}"
        code = self._code()
        redeemed = self._harness.http.post(
            f"{issuer}/token", data={"grant_type": PRE_AUTHORIZED_CODE, "pre-authorized_code": code}
        )
        assert redeemed.status_code == 200, redeemed.text
        # One bearer token is sent with everything: the newest offer's is made to be that one.
        sent = self._harness.token("lender", SCOPES)["Authorization"].removeprefix("Bearer ")
        with write_transaction(self._harness.service.issuance.offers._engine) as transaction:
            transaction.execute(update(credential_offers).values(token_sha256=None))
            transaction.execute(
                update(credential_offers)
                .where(credential_offers.c.code_sha256 == sha256(code.encode()).digest())
                .values(token_sha256=sha256(sent.encode()).digest())
            )
        proof = make_key_proof(
            key=SigningKey.generate(),
            credential_issuer=f"{self._harness.service.base_url}{issuer}",
            nonce=self._harness.http.post(f"{issuer}/nonce").json()["c_nonce"],
            now_ms=self._harness.clock(),
        )
        case.body = {"credential_configuration_id": "repayment-history", "proofs": {"jwt": [proof]}}

    def readBitstringStatusList(self, case: Case, turn: int) -> None:
        list_id = self._score["status"]["uri"].rpartition("/")[2]
        case.path_parameters = {"list_id": list_id, "purpose": ("revocation", "suspension")[turn % 2]}

    def readScoreStatus(self, case: Case, _turn: int) -> None:
        case.path_parameters = {"score_id": self._suspended["id"]}

    def changeScoreStatus(self, case: Case, _turn: int) -> None:
        # What is revoked stays so.
        score = self._harness.score() if case.body["status"] == "revoked" else self._suspended
        case.path_parameters = {"score_id": score["id"]}

    def readCredentialStatus(self, case: Case, _turn: int) -> None:
        case.path_parameters = {"credential_id": self._suspended_copy}

    def changeCredentialStatus(self, case: Case, _turn: int) -> None:
        copy = self._suspended_copy
        if case.body["status"] == "revoked":
            (copy,) = add_copies(self._harness, self._harness.score(), 1)
        case.path_parameters = {"credential_id": copy}

    def distrustIssuer(self, case: Case, turn: int) -> None:
        issuer = TrustedIssuer(did=SigningKey.generate().did, vct=VCT, valid_from_ms=0)
        self._harness.trust(self._tenant_id, issuer)
        case.body = {"did": issuer.did, "vct": VCT}

    def importIssuerList(self, case: Case, turn: int) -> None:
        now_ms = self._harness.clock()
        issuer = TrustedIssuer(did=self._issuer, vct=VCT, valid_from_ms=now_ms)
        case.body = sign_issuer_list(
            issuers=[issuer], sequence=turn, key=self._list_signer, now_ms=now_ms, expires_in_s=3600
        )

    def trustIssuer(self, case: Case, turn: int) -> None:
        types = sorted(load_credential_types())
        case.body = {"did": self._issuer, "vct": types[turn % len(types)]}


def test_every_answer_is_one_that_the_contract_has(served, say_at_the_end, monkeypatch):
    token = served.token("lender", SCOPES)["Authorization"]
    base_url = str(served.http.base_url)
    monkeypatch.setattr(holder_session, "SESSION_VALID_S", 3_600)  # or it could end before the run does
    real = RealValues(served)
    of_applicant = {"include-tag": "applicant", "headers": real.applicant}
    config = SchemathesisConfig.from_dict(
        CONFIG
        | {
            "base-url": base_url,
            "headers": {"Authorization": token},
            "operations": [*CONFIG["operations"], of_applicant],
        }
    )
    schema = schemathesis.openapi.from_dict(served.http.get("/v1/openapi.json").json(), config=config)
    operations = sorted(each.ok().label for each in schema.get_all_operations())

    cases, positive, accepted, failures, errors = Counter(), Counter(), Counter(), {}, []
    statuses: dict[str, Counter[int]] = defaultdict(Counter)

    @schemathesis.hook("before_call")
    def put_real_values(context, case, kwargs):
        real.put_into(case)
        if case.media_type == "application/jwt" and isinstance(case.body, str):
            kwargs["data"] = case.body.encode()  # the tool takes the media type for JSON, and would quote it

    try:
        for event in from_schema(schema).execute():
            if isinstance(event, events.NonFatalError | events.FatalError):
                errors.append(str(event))
            if not isinstance(event, events.ScenarioFinished) or event.is_final:
                continue
            recorder = event.recorder
            for case_id, node in recorder.cases.items():
                label, case = node.value.operation.label, node.value
                interaction = recorder.interactions.get(case_id)
                if interaction is None or interaction.response is None:
                    errors.append(f"{label}: no answer to a {case.method}")
                    continue
                status = interaction.response.status_code
                cases[label] += 1
                statuses[label][status] += 1
                if case.meta is not None and case.meta.generation.mode.is_positive and node.parent_id is None:
                    positive[label] += 1
                    accepted[label] += 200 <= status < 300
                for check in recorder.checks.get(case_id, []):
                    if check.status == Status.FAILURE:
                        failures.setdefault((label, check.name, check.failure_info.failure.message), check)
    finally:
        schemathesis.hooks.GLOBAL_HOOK_DISPATCHER.unregister(put_real_values)

    say_at_the_end(f"{'operation':<58}{'cases':>7}{'positive':>10}{'2xx':>6}  answers")
    for label in operations:
        answers = " ".join(f"{status}:{number}" for status, number in sorted(statuses[label].items()))
        say_at_the_end(f"{label:<58}{cases[label]:>7}{positive[label]:>10}{accepted[label]:>6}  {answers}")
    totals = cases.total(), positive.total(), accepted.total()
    say_at_the_end(f"{'all ' + str(len(operations)) + ' operations':<58}{totals[0]:>7}{totals[1]:>10}{totals[2]:>6}")
    shown = [
        f"{label}: {name}: {message}\n{check.failure_info.code_sample}"
        for (label, name, message), check in failures.items()
    ]
    assert not errors, "\n".join(errors)
    assert not failures, "\n\n".join(shown)
    assert cases.total() >= MIN_CASES
    assert not {label for label in operations if not accepted[label] or accepted[label] < positive[label] / 3}
