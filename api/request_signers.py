"""Who signs request objects: the request keys under their DIDs, and under the hash of a certificate."""

import os
from pathlib import Path

from api.keystore import Keyring, StoredKey, locked, sync_folder
from api.settings import Settings, SettingsError
from identity.certificate import issue_self_signed, parse_certificate_chain
from identity.errors import IdentityError
from identity.openid4vp import RequestSigner, certificate_signer, did_signer

_MAX_PEM_BYTES = 64 * 1024
_OWN_IS_DAMAGED = (
    "A certificate that the service made for itself, keys/request-*.pem in its folder, cannot be used. Move it away: "
    "what is needed is made anew, and requests that were made under the old one are over."
)


def load_request_signers(settings: Settings, keyring: Keyring, now_ms: int) -> tuple[RequestSigner, ...]:
    """Every signer, those that new requests are made under first: so a request outlives the rotation of its key.

    The certificate is the one that the settings name, or one that the request key makes for itself, once. Raises
    `SettingsError` where the named one cannot be used, or one that was made is damaged.
    """
    active, *retired = reversed(keyring.all("request"))
    folder = settings.var / "keys"
    named = settings.request_certificate
    try:
        pem = _read_pem(named) if named != Path() else _load_or_create_certificate(folder, active, settings, now_ms)
        chain = parse_certificate_chain(pem)
        chain.leaf.verify_valid(now_ms)
        by_certificate = certificate_signer(active.signing_key, chain)
    except (OSError, IdentityError) as wrong:
        if named == Path():
            raise SettingsError(_OWN_IS_DAMAGED) from wrong
        raise SettingsError(
            "CREDENCE_REQUEST_CERTIFICATE must be a PEM chain, the leaf first, valid now, for the active request key."
        ) from wrong
    try:
        earlier = [
            certificate_signer(key.signing_key, parse_certificate_chain(_certificate_path(folder, key).read_bytes()))
            for key in retired
            if _certificate_path(folder, key).exists()
        ]
    except (OSError, IdentityError) as wrong:
        raise SettingsError(_OWN_IS_DAMAGED) from wrong
    by_did = [did_signer(key.signing_key) for key in (active, *retired)]
    return (by_did[0], by_certificate, *by_did[1:], *earlier)


def _load_or_create_certificate(folder: Path, key: StoredKey, settings: Settings, now_ms: int) -> bytes:
    path = _certificate_path(folder, key)
    with locked(folder):
        if not path.exists():
            name = settings.base_url.partition("://")[2]
            with path.with_suffix(".new").open("wb") as file:
                file.write(issue_self_signed(key.signing_key, name=name, now_ms=now_ms))
                file.flush()
                os.fsync(file.fileno())
            # A crash before this line leaves a .new file, which the next start writes over.
            path.with_suffix(".new").rename(path)
            sync_folder(folder)
    return path.read_bytes()


def _certificate_path(folder: Path, key: StoredKey) -> Path:
    return folder / f"request-{key.kid}.pem"


def _read_pem(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MAX_PEM_BYTES)
