"""The demonstration's institutions: their keys, the credentials they issue, the status lists they publish."""

import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from api.cli.issue import DAY_MS, LEAST_STATUS_LIST, sign_status_list
from api.cli.wallet import create_key_file, load_key
from identity.credential_types.types import load_credential_types
from identity.encoding import JsonValue
from identity.issuance import issue_credential
from identity.keys import PublicKey, SigningKey
from identity.status_list import STATUS_LIST_MEDIA_TYPE, StatusReference

VALID_DAYS = 90

#: Each synthetic institution and the credential types that it issues.
ISSUES = {
    "synthetic-operator": ("mobile-money", "airtime", "remittance", "gig-income"),
    "synthetic-cooperative": ("savings-group", "agri-delivery"),
    "synthetic-bank": ("recurring-bill", "loan-outcome", "repayment-history"),
}


@dataclass(frozen=True, kw_only=True)
class Institution:
    """An issuer of some credential types, with one status list at `status_uri`."""

    name: str
    vcts: frozenset[str]
    key: SigningKey = field(repr=False)
    status_uri: str


def load_institutions(folder: Path, origin: str) -> tuple[Institution, ...]:
    """The institutions with the keys in `folder`, made at first use; their status lists lie under `origin`."""
    types = load_credential_types()
    institutions = []
    for name, type_names in ISSUES.items():
        path = folder / f"{name}.jwk"
        institutions.append(
            Institution(
                name=name,
                vcts=frozenset(vct for vct, each in types.items() if each.name in type_names),
                key=load_key(path) if path.exists() else create_key_file(path),
                status_uri=f"{origin}/{name}",
            )
        )
    return tuple(institutions)


def issue_to(
    institutions: tuple[Institution, ...],
    claims: Mapping[str, Mapping[str, JsonValue]],
    holder: PublicKey,
    *,
    made_ms: int,
) -> list[str]:
    """A credential of each type in `claims`, from the institution that issues it."""
    types = load_credential_types()
    issuer_of = {vct: institution for institution in institutions for vct in institution.vcts}
    return [
        issue_credential(
            type=types[vct],
            claims=of_type,
            holder=holder,
            key=issuer_of[vct].key,
            now_ms=made_ms,
            expires_at_ms=made_ms + VALID_DAYS * DAY_MS,
            status=StatusReference(uri=issuer_of[vct].status_uri, index=secrets.randbelow(LEAST_STATUS_LIST)),
        )
        for vct, of_type in claims.items()
    ]


@contextmanager
def published_status_lists(institutions: tuple[Institution, ...], *, port: int, made_ms: int) -> Iterator[None]:
    """Serve each institution's status list on loopback while the context lasts; nothing on them is revoked."""
    lists = {
        f"/{each.name}": sign_status_list(
            each.status_uri, bytes(LEAST_STATUS_LIST), each.key, made_ms=made_ms, valid_days=1
        ).encode()
        for each in institutions
    }

    class Handler(BaseHTTPRequestHandler):
        """Answers GET with a status list."""

        def do_GET(self) -> None:
            body = lists.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Type", STATUS_LIST_MEDIA_TYPE)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, name="status-lists", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
