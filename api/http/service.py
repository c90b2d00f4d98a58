"""What the routes of a running service reach: the rooms and stores that `create_app` built once."""

from collections.abc import Callable
from dataclasses import dataclass, field

from anyio import CapacityLimiter
from fastapi import Request

from api.assess import Rooms
from api.http.linked_data_places import LinkedDataPlaces
from api.http.metrics import Metrics
from api.http.signed_lists import SignedLists
from api.issuance import IssuanceRooms
from api.score_document import Trust
from api.store.anchors import AnchorStore
from api.store.health import HealthStore
from api.store.holder import HolderStore
from api.store.log import LogStore
from api.store.nonces import NonceStore
from api.store.requests import RequestStore
from api.store.revocation import RevocationStore
from api.store.scores import ScoreStore
from api.store.status import StatusStore
from api.store.tenants import TenantStore
from api.store.trust import TrustStore
from identity.did_resolver import DidResolver
from identity.keys import SigningKey
from identity.openid4vp import RequestSigner


@dataclass(frozen=True, kw_only=True)
class Service:
    """The service as its routes see it; `load_trust` gives what a verifier of its documents needs to trust."""

    rooms: Rooms
    issuance: IssuanceRooms
    clock: Callable[[], int]
    base_url: str
    log_origin: str
    token_key: bytes = field(repr=False)
    mac_key: bytes = field(repr=False)
    #: Hashing a password takes 64 MiB: anyone may ask for it, and nobody may have more of it than this at once.
    password_limiter: CapacityLimiter
    linked_data_places: LinkedDataPlaces
    #: Those that new requests are made under come first.
    request_signers: tuple[RequestSigner, ...]
    #: What the keys of encrypted answers are derived from, the active one first.
    response_keys: tuple[bytes, ...] = field(repr=False)
    allow_http_origins: frozenset[str]
    seal_key: SigningKey = field(repr=False)
    tenants: TenantStore
    requests: RequestStore
    scores: ScoreStore
    holders: HolderStore
    nonces: NonceStore
    statuses: StatusStore
    signed_lists: SignedLists
    revocations: RevocationStore
    trust: TrustStore
    dids: DidResolver
    #: Every key that signed credentials here, the one that signs now last.
    attest_keys: tuple[SigningKey, ...] = field(repr=False)
    log: LogStore
    anchors: AnchorStore
    health: HealthStore
    metrics: Metrics
    load_trust: Callable[[], Trust]


def service_of(request: Request) -> Service:
    """The service that a request came to."""
    service: Service = request.app.state.service
    return service
