"""create_app(): builds the rooms once, hands them to the routes, and runs the workers beside them."""

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache

from anyio import CapacityLimiter
from fastapi import FastAPI

from api.active_model import load_active_model
from api.assess import Rooms
from api.clock import now_ms
from api.http.cross_origin import CrossOriginMiddleware, open_methods_of
from api.http.errors import install_error_handlers
from api.http.head import HeadMiddleware
from api.http.issuers import IMPORT_PATH, MAX_IMPORT_BYTES
from api.http.limits import BodyLimitMiddleware
from api.http.linked_data_places import LinkedDataPlaces
from api.http.metrics import Metrics
from api.http.observe import ObserveMiddleware
from api.http.openapi import install_routes
from api.http.service import Service
from api.http.signed_lists import SignedLists
from api.issuance import IssuanceRooms
from api.keystore import Keyring, load_or_create_keyring
from api.receipts import Receipts
from api.request_signers import load_request_signers
from api.score_document import Trust, TrustedAnchor, TrustedScoreIssuer
from api.settings import Settings
from api.store.anchors import AnchorStore, Target
from api.store.consents import ConsentStore
from api.store.database import migrate, migrate_keystore, open_engine
from api.store.health import HealthStore
from api.store.holder import HolderStore
from api.store.issuer_keys import IssuerKeyStore
from api.store.jobs import JobStore, Lease
from api.store.log import LogStore
from api.store.nonces import NonceStore
from api.store.offers import OfferStore
from api.store.promotions import load_promoted
from api.store.requests import RequestStore
from api.store.revocation import RevocationStore
from api.store.scores import ScoreStore
from api.store.sequencer import Sequencer
from api.store.status import StatusStore
from api.store.subjects import SubjectStore
from api.store.tenants import TenantStore
from api.store.trust import TrustStore
from api.workers.anchoring import AnchorPolicy, AnchorRooms, anchor_step
from api.workers.loop import RecurringStep, WorkerLoop
from chain.anchor import AnchorClient, create_log, deploy_contract
from chain.node import load_chain, parse_account_key
from chain.note import LogSigner, VerifierKey
from identity.credential_types.types import load_credential_types
from identity.did_resolver import DidResolver
from identity.fetch import GuardedFetcher
from identity.linked_data.workers import LinkedDataWorkers
from identity.status_list import StatusChecker
from identity.verifier import Verifier

MAX_BODY_BYTES = 64 * 1024
#: How long one step waits for contract and log to be mined, and so a stop for the step; the next one waits on.
_SET_UP_WAIT_S = 15.0
_PASSWORDS_AT_ONCE = 2
#: How long an offer that is over may keep its claims, where it did not erase them itself.
_SWEEP_EVERY_MS = 60_000


def create_app(settings: Settings, clock: Callable[[], int] = now_ms) -> FastAPI:
    """Build the service that `settings` describe; it begins to work with the application's lifespan.

    Raises SettingsError, KeystoreError, ArtifactInvalid or StoreError where it could not work.
    """
    settings.var.mkdir(mode=0o700, parents=True, exist_ok=True)
    migrate(settings.database_url)
    migrate_keystore(settings.keystore_url)
    engine = open_engine(settings.database_url)
    keystore = open_engine(settings.keystore_url)
    keyring = load_or_create_keyring(settings.var / "keys", clock())
    metrics = Metrics()

    subjects = SubjectStore(
        engine=engine,
        keystore=keystore,
        master_keys=[key.secret for key in keyring.all("encrypt")],
        mac_key=keyring.active("mac").secret,
    )
    request_signers = load_request_signers(settings, keyring, clock())
    tenants = TenantStore(engine=engine, subjects=subjects)
    requests_store = RequestStore(engine=engine, audience=request_signers[0].client_id, base_url=settings.base_url)
    log_store = LogStore(
        engine=engine, signer=LogSigner(name=settings.log_origin, private_key=keyring.active("log").secret)
    )
    anchors = AnchorStore(engine=engine)
    sequencer = Sequencer(
        engine=engine,
        requests=requests_store,
        origin=settings.log_origin,
        observe_batch=metrics.batch_entries.observe,
    )
    attest_key = keyring.active("attest").signing_key
    statuses = StatusStore(engine=engine, issuer=attest_key.did)
    trust = TrustStore(engine=engine, subjects=subjects, sequencer=sequencer)
    fetcher = GuardedFetcher(allow_http_origins=settings.allow_http_origins)
    dids = DidResolver(fetcher)
    linked_data = LinkedDataWorkers()
    types = load_credential_types()
    scores = ScoreStore(engine=engine, subjects=subjects)
    nonces = NonceStore(engine=engine, mac_key=keyring.active("mac").secret)
    status_list_prefix = f"{settings.base_url}/v1/status-lists/"
    rooms = Rooms(
        verifier=Verifier(
            statuses=StatusChecker(fetcher, dids, linked_data),
            dids=dids,
            linked_data=linked_data,
            types=types,
        ),
        artifact=load_active_model(settings, load_promoted(engine)),
        attest_key=attest_key,
        trust=trust,
        requests=requests_store,
        subjects=subjects,
        consents=ConsentStore(engine=engine),
        receipts=Receipts(
            key=keyring.active("receipt").signing_key,
            tenants=tenants,
            types=types,
            base_url=settings.base_url,
            retention_days=settings.retention_days,
        ),
        statuses=statuses,
        sequencer=sequencer,
        mac_key=keyring.active("mac").secret,
        status_list_prefix=status_list_prefix,
        score_valid_days=settings.score_valid_days,
    )
    issuance = IssuanceRooms(
        offers=OfferStore(
            engine=engine,
            keystore=keystore,
            master_keys=[key.secret for key in keyring.all("encrypt")],
            mac_key=keyring.active("mac").secret,
        ),
        issuer_keys=IssuerKeyStore(keystore=keystore, master_keys=[key.secret for key in keyring.all("encrypt")]),
        nonces=nonces,
        scores=scores,
        statuses=statuses,
        subjects=subjects,
        sequencer=sequencer,
        types=types,
        attest_key=rooms.attest_key,
        base_url=settings.base_url,
        status_list_prefix=status_list_prefix,
    )
    service = Service(
        rooms=rooms,
        issuance=issuance,
        clock=clock,
        base_url=settings.base_url,
        log_origin=settings.log_origin,
        token_key=keyring.active("token").secret,
        password_limiter=CapacityLimiter(_PASSWORDS_AT_ONCE),
        linked_data_places=LinkedDataPlaces(),
        mac_key=keyring.active("mac").secret,
        request_signers=request_signers,
        response_keys=tuple(key.secret for key in reversed(keyring.all("response"))),
        allow_http_origins=settings.allow_http_origins,
        seal_key=keyring.active("seal").signing_key,
        tenants=tenants,
        requests=requests_store,
        scores=scores,
        holders=HolderStore(engine=engine, entries=scores),
        nonces=nonces,
        statuses=statuses,
        signed_lists=SignedLists(),
        revocations=RevocationStore(engine=engine, subjects=subjects, sequencer=sequencer),
        trust=trust,
        dids=dids,
        attest_keys=tuple(key.signing_key for key in keyring.all("attest")),
        log=log_store,
        anchors=anchors,
        health=HealthStore(engine=engine, keystore=keystore),
        metrics=metrics,
        load_trust=lambda: trust_of(keyring, settings.log_origin, anchors.load_target()),
    )
    workers = WorkerLoop(
        jobs=JobStore(engine=engine, owner=secrets.token_hex(8)),
        steps=_worker_steps(settings, keyring, log_store, anchors, issuance),
        clock=clock,
    )

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        sequencer.start()
        log_store.append_checkpoint(clock())
        workers.start()
        yield
        workers.stop()
        sequencer.stop()
        linked_data.close()
        engine.dispose()
        keystore.dispose()

    app = FastAPI(
        title="Credence", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False
    )
    app.state.service = service
    app.add_middleware(BodyLimitMiddleware, max_bytes=MAX_BODY_BYTES, larger={IMPORT_PATH: MAX_IMPORT_BYTES})
    app.add_middleware(HeadMiddleware)
    install_routes(app)
    app.add_middleware(CrossOriginMiddleware, open_methods=open_methods_of(app.routes))
    app.add_middleware(ObserveMiddleware, metrics=metrics)
    install_error_handlers(app)
    return app


def _worker_steps(
    settings: Settings, keyring: Keyring, log_store: LogStore, anchors: AnchorStore, issuance: IssuanceRooms
) -> dict[str, RecurringStep]:
    key = keyring.active("anchor").secret

    def open_target() -> Target:
        chain = load_chain(settings.rpc_url)
        contract = settings.anchor_contract or deploy_contract(
            rpc_url=settings.rpc_url, chain_id=chain.chain_id, key=key, timeout_s=_SET_UP_WAIT_S
        )
        log_id = create_log(
            rpc_url=settings.rpc_url,
            chain_id=chain.chain_id,
            contract_address=contract,
            key=key,
            origin=settings.log_origin,
            publishers=[parse_account_key(key).address],
            timeout_s=_SET_UP_WAIT_S,
        )
        return Target(chain_id=chain.chain_id, contract=contract, log_id=log_id, genesis_hash=chain.genesis_hash)

    @cache
    def client_for(target: Target) -> AnchorClient:
        return AnchorClient(
            rpc_url=settings.rpc_url,
            chain_id=target.chain_id,
            contract_address=target.contract,
            log_id=target.log_id,
            key=key,
        )

    anchor_rooms = AnchorRooms(
        anchors=anchors,
        log=log_store,
        policy=AnchorPolicy(
            confirmations=settings.anchor_confirmations,
            interval_ms=settings.anchor_interval_ms,
            resend_after_ms=settings.anchor_resend_after_ms,
        ),
        open_target=open_target,
        client_for=client_for,
    )

    def run_checkpoint(_lease: Lease, at_ms: int) -> None:
        log_store.append_checkpoint(at_ms)

    def run_anchor(lease: Lease, at_ms: int) -> None:
        anchor_step(anchor_rooms, lease, at_ms)

    def run_sweep(_lease: Lease, at_ms: int) -> None:
        issuance.nonces.sweep(at_ms)
        while issuance.offers.sweep(at_ms):
            pass

    steps = {
        "checkpoint": RecurringStep(run=run_checkpoint, every_ms=settings.checkpoint_interval_ms),
        "sweep": RecurringStep(run=run_sweep, every_ms=_SWEEP_EVERY_MS),
    }
    if settings.rpc_url:
        steps["anchor"] = RecurringStep(run=run_anchor, every_ms=settings.anchor_poll_ms)
    return steps


def trust_of(keyring: Keyring, origin: str, target: Target | None) -> Trust:
    """What a verifier of this service's documents trusts."""
    return Trust(
        score_issuers=tuple(
            TrustedScoreIssuer(did=key.signing_key.did, retired_at_size=key.retired_at_size)
            for key in keyring.all("attest")
        ),
        log_keys=tuple(
            VerifierKey(
                name=origin,
                public_key=LogSigner(name=origin, private_key=key.secret).verifier_key.public_key,
                retired_at_size=key.retired_at_size,
            )
            for key in keyring.all("log")
        ),
        seal_keys=tuple(key.signing_key.public for key in keyring.all("seal")),
        receipt_keys=tuple(key.signing_key.public for key in keyring.all("receipt")),
        anchors=()
        if target is None
        else (TrustedAnchor(chain_id=target.chain_id, contract=target.contract, log_id=target.log_id),),
    )
