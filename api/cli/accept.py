"""`credence wallet accept`: obtain what a credential offer is for, by OpenID4VCI 1.0, and keep it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from api.cli.terminal import CommandFailed, print_json
from api.cli.wallet import (
    KEY_FILE,
    POST_TIMEOUT_S,
    fetcher_of,
    load_key,
    origin_of,
    store_credentials,
    verify_received,
)
from api.clock import now_ms
from identity.did_resolver import DidResolver
from identity.encoding import parse_json_object
from identity.errors import IdentityError
from identity.key_proof import make_key_proof
from identity.keys import SigningKey
from identity.openid4vci import (
    PRE_AUTHORIZED_CODE,
    SD_JWT_VC,
    CredentialConfiguration,
    CredentialOffer,
    IssuerMetadata,
    parse_credential_offer,
    parse_issuer_metadata,
    parse_offer_link,
    well_known_url,
)
from identity.score_credential import SCORE_VCT


@dataclass(frozen=True, kw_only=True)
class _Issuer:
    """Whom an offer is of: its metadata, and where it takes codes."""

    metadata: IssuerMetadata
    token_endpoint: str


def accept_offer(folder: Path, link: str, *, tx_code: str | None, copies: int | None, as_json: bool) -> None:
    """Obtain and keep what an offer is for: a credential for the wallet's key, or copies of a score.

    A score is shown to several lenders who should not find out about each other, so each copy gets a key of its own.
    """
    wallet_key = load_key(folder / KEY_FILE)
    offer = _fetch_offer(parse_offer_link(link))
    issuer = _fetch_issuer(offer)
    configuration = _choose(offer, issuer.metadata)
    single_use = configuration.vct == SCORE_VCT
    wanted = copies if copies is not None else issuer.metadata.batch_size if single_use else 1
    if wanted > (issuer.metadata.batch_size if single_use else 1):
        raise CommandFailed(f"The issuer gives at most {issuer.metadata.batch_size if single_use else 1} at once.")
    keys = [SigningKey.generate() for _ in range(wanted)] if single_use else [wallet_key]

    dids = DidResolver(fetcher_of())
    token = _redeem(issuer, offer, tx_code)
    issued = _request(issuer.metadata, configuration, keys, token)
    for credential, key in zip(issued, keys, strict=True):
        try:
            verify_received(credential, key, dids)
        except IdentityError as refused:
            raise CommandFailed(f"What was issued is refused: {refused}") from None
    store_credentials(folder, issued, keys=keys if single_use else None)
    if as_json:
        print_json({"received": len(issued), "vct": configuration.vct})
    else:
        print(f"Received {len(issued)} credential{'' if len(issued) == 1 else 's'}.")


def _fetch(url: str) -> bytes:
    return fetcher_of(origin_of(url)).fetch(url, "application/json")


def _fetch_offer(uri: str) -> CredentialOffer:
    offer = parse_credential_offer(_fetch(uri))
    # Whoever copied somebody's offer into a link of their own cannot have the code redeemed elsewhere.
    if origin_of(offer.credential_issuer) != origin_of(uri):
        raise CommandFailed("The offer is of another place than it came from.")
    return offer


def _fetch_issuer(offer: CredentialOffer) -> _Issuer:
    """The issuer of an offer, all of whose endpoints are where it is itself."""
    issuer = offer.credential_issuer
    metadata = parse_issuer_metadata(
        _fetch(well_known_url(issuer, "openid-credential-issuer")), credential_issuer=issuer
    )
    server = metadata.authorization_servers[0] if metadata.authorization_servers else issuer
    described = parse_json_object(_fetch(well_known_url(server, "oauth-authorization-server")))
    token_endpoint = described.get("token_endpoint")
    if described.get("issuer") != server or not isinstance(token_endpoint, str):
        raise CommandFailed("The issuer's authorization server is not described as it should be.")
    places = [server, token_endpoint, metadata.credential_endpoint, metadata.nonce_endpoint or issuer]
    if {origin_of(place) for place in places} != {origin_of(issuer)}:
        raise CommandFailed("The issuer has endpoints at another place than it is itself.")
    return _Issuer(metadata=metadata, token_endpoint=token_endpoint)


def _choose(offer: CredentialOffer, metadata: IssuerMetadata) -> CredentialConfiguration:
    """The first thing offered that this wallet can hold; raises `CommandFailed` where there is none."""
    for id in offer.configuration_ids:
        configuration = metadata.configurations.get(id)
        if (
            configuration is not None
            and configuration.format == SD_JWT_VC
            and "ES256" in configuration.proof_algorithms
            and not configuration.needs_key_attestation
            and not metadata.encryption_required
        ):
            return configuration
    raise CommandFailed("The offer is for nothing that this wallet can hold.")


def _redeem(issuer: _Issuer, offer: CredentialOffer, tx_code: str | None) -> str:
    if offer.wants_tx_code and tx_code is None:
        raise CommandFailed("The offer needs a transaction code, which came to you another way: --tx-code.")
    form = {"grant_type": PRE_AUTHORIZED_CODE, "pre-authorized_code": offer.pre_authorized_code}
    if tx_code is not None:
        form["tx_code"] = tx_code
    answer = _post(issuer.token_endpoint, data=form)
    token = answer.get("access_token")
    if not isinstance(token, str) or str(answer.get("token_type", "")).lower() != "bearer":
        raise CommandFailed("The issuer gave no bearer token.")
    return token


def _request(
    metadata: IssuerMetadata, configuration: CredentialConfiguration, keys: list[SigningKey], token: str
) -> list[str]:
    nonce = None
    if metadata.nonce_endpoint is not None:
        nonce = str(_post(metadata.nonce_endpoint).get("c_nonce"))
    proofs = [
        make_key_proof(key=key, credential_issuer=metadata.credential_issuer, nonce=nonce, now_ms=now_ms())
        for key in keys
    ]
    answer = _post(
        metadata.credential_endpoint,
        json={"credential_configuration_id": configuration.id, "proofs": {"jwt": proofs}},
        headers={"Authorization": f"Bearer {token}"},
    )
    credentials = answer.get("credentials")
    listed = [each.get("credential") for each in credentials] if isinstance(credentials, list) else []
    if len(listed) != len(keys) or not all(isinstance(each, str) for each in listed):
        raise CommandFailed("The issuer did not give a credential for each key.")
    return listed


def _post(url: str, **sent: Any) -> dict[str, Any]:
    """The JSON answer to a POST; raises `CommandFailed`, with the protocol's name of what is wrong."""
    try:
        answer = httpx.post(url, timeout=POST_TIMEOUT_S, trust_env=False, **sent)
        body = parse_json_object(answer.content)
    except httpx.HTTPError:
        raise CommandFailed("The issuer cannot be reached.") from None
    except IdentityError:
        raise CommandFailed("The issuer's answer is not JSON.") from None
    if answer.status_code != 200:
        code = json.dumps(str(body.get("error", body.get("code", "")))[:64])
        raise CommandFailed(f"The issuer refused ({answer.status_code} {code}).")
    return body
