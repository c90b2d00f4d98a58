"""`credence wallet`: a small scriptable holder of credentials."""

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from itertools import zip_longest
from pathlib import Path
from typing import Any, get_args
from urllib.parse import parse_qsl, urlsplit

import httpx

from api.cli.terminal import USAGE, CommandFailed, print_json, print_rows, printable, read_file
from api.clock import now_ms
from api.settings import load_settings
from identity.did_resolver import DidResolver
from identity.disclosures import disclose_claims
from identity.encoding import JsonObject, encode_json, parse_json_object
from identity.errors import IdentityError
from identity.fetch import GuardedFetcher
from identity.holder import present
from identity.jwe import encrypt
from identity.jws import parse_jws
from identity.keys import Algorithm, PublicKey, SigningKey
from identity.openid4vp import REQUEST_OBJECT_TYP, RequestObject, parse_unsigned_request, verify_request_object
from identity.sd_jwt import RESERVED_CLAIMS, ParsedIssuerJwt, issuer_jwt_of, verify_sd_jwt

KEY_FILE, CREDENTIALS = "key.jwk", "credentials"
MAX_CREDENTIAL_BYTES = 256 * 1024
POST_TIMEOUT_S = 30.0


@dataclass(frozen=True, kw_only=True)
class RequestLink:
    """An openid4vp:// link: who asks, and where the signed question lies."""

    client_id: str
    request_uri: str


def make_key(out: Path, *, algorithm: str, as_json: bool) -> None:
    """Make a key file and print its public half."""
    alg: Algorithm | None = next((each for each in get_args(Algorithm) if each == algorithm), None)
    if alg is None:
        raise CommandFailed(f"The algorithms are {', '.join(get_args(Algorithm))}.", exit_code=USAGE)
    key, public = create_key_file(out, alg), _public_path(out)
    if as_json:
        print_json({"did": key.did, "public_jwk": key.public.jwk, "private_key": str(out), "public_key": str(public)})
    else:
        print_rows([("private key", out), ("public key", public), ("DID", key.did)], indent=0)


def create_key_file(out: Path, algorithm: Algorithm = "ES256") -> SigningKey:
    """A new key in a file of mode 0600, and its public half beside it; raises `CommandFailed` where one is there."""
    key = SigningKey.generate(algorithm)
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise CommandFailed(f"{out} is there already; a key is never written over.") from None
    with os.fdopen(descriptor, "w") as file:
        json.dump(key.to_private_jwk(), file)
    _public_path(out).write_text(json.dumps(key.public.jwk))
    return key


def load_key(path: Path) -> SigningKey:
    """The private key in a file that only its owner can read; raises `CommandFailed`."""
    data = read_file(path, max_bytes=4096)
    if path.stat().st_mode & 0o077:
        raise CommandFailed(f"{path} can be read by others; set its mode to 0600.")
    try:
        return SigningKey.from_private_jwk(parse_json_object(data))
    except IdentityError:
        raise CommandFailed(f"{path} is not a private JWK for ES256 or EdDSA.", exit_code=USAGE) from None


def receive_credentials(folder: Path, files: list[Path], *, as_json: bool) -> None:
    """Keep the credentials in files; all of them, or none."""
    key, dids = load_key(folder / KEY_FILE), DidResolver(fetcher_of())
    received = []
    for path in files:
        data = read_file(path, max_bytes=MAX_CREDENTIAL_BYTES)
        try:
            credential = data.decode("ascii").strip()
            verify_received(credential, key, dids)
        except UnicodeDecodeError:
            raise CommandFailed(f"{path} is not a credential.") from None
        except (IdentityError, CommandFailed) as refused:
            raise CommandFailed(f"{path} is refused: {refused}") from None
        received.append(credential)
    store_credentials(folder, received)
    if as_json:
        print_json({"received": len(received)})
    else:
        print(f"Received {len(received)} credential{'' if len(received) == 1 else 's'}.")


def verify_received(credential: str, key: SigningKey, dids: DidResolver) -> None:
    """Raises IdentityError or `CommandFailed` unless the credential is its issuer's, in time, and the wallet's."""
    at_ms = now_ms()

    def issuer_key_for(parsed: ParsedIssuerJwt) -> PublicKey:
        return dids.resolve_key(did=parsed.issuer, kid=parsed.kid, relationship="assertionMethod", now_ms=at_ms)

    verified = verify_sd_jwt(credential, issuer_key_for=issuer_key_for, now_ms=at_ms, key_binding=None)
    if verified.holder != key.public:
        raise CommandFailed("It is bound to another key than this wallet's.")


def store_credentials(folder: Path, credentials: list[str], keys: list[SigningKey] | None = None) -> None:
    """Put verified credentials into the wallet, with the keys of those that are not bound to the wallet's."""
    (folder / CREDENTIALS).mkdir(mode=0o700, exist_ok=True)
    for credential, key in zip_longest(credentials, keys or []):
        path = folder / CREDENTIALS / f"{sha256(issuer_jwt_of(credential).encode()).hexdigest()[:24]}.sd-jwt"
        if key is not None:
            # The key first: a crash between the two leaves a key without a credential.
            _write_private(path.with_suffix(".key.jwk"), json.dumps(key.to_private_jwk()))
        _write_private(path, credential)


def _write_private(path: Path, text: str) -> None:
    """Write a file that nobody else can read, at no moment, on disk when this returns."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def list_credentials(folder: Path, *, as_json: bool) -> None:
    """Print what the wallet holds; no claim's value."""
    listed = [_describe(credential) for credential in load_credentials(folder)]
    if as_json:
        print_json({"credentials": listed})
    for each in [] if as_json else listed:
        print_rows(
            [
                ("type", each["vct"]),
                ("issuer", each["issuer"]),
                ("expires", each["expires"] or "never"),
                ("claims", ", ".join(each["claims"])),
            ],
            indent=0,
        )
        print()


def load_credentials(folder: Path) -> list[str]:
    """The wallet's credentials, oldest first."""
    paths = sorted((folder / CREDENTIALS).glob("*.sd-jwt"), key=lambda path: (path.stat().st_mtime_ns, path.name))
    return [path.read_text("ascii") for path in paths]


def present_credentials(folder: Path, link: str, *, dry_run: bool, as_json: bool) -> None:
    """Answer the request that a link names: by direct_post, or on standard output for the lender to carry."""
    key, credentials = load_key(folder / KEY_FILE), load_credentials(folder)
    request = load_request(link)
    vp_token = present(request=request, credentials=credentials, key=key, now_ms=now_ms())
    if as_json:
        print_json({"vp_token": vp_token, "state": request.state, "nonce": request.nonce})
        return
    _show(request, {id: [_describe(str(one)) for one in presented] for id, presented in vp_token.items()})
    if dry_run:
        print("Nothing was sent.")
        return
    page = post_presentation(request, vp_token)
    print("Sent." if page is None else f"Sent. Go on at {page}")


def load_request(link: str) -> RequestObject:
    """The request of a link: fetched and its signature verified, or what the link itself holds where nobody signs.

    Raises `CommandFailed` and IdentityError.
    """
    parts = urlsplit(link)
    members = parse_qsl(parts.query, keep_blank_values=True)
    named = dict(members)
    by_value = named.get("client_id", "").startswith("redirect_uri:")
    if parts.scheme == "openid4vp" and by_value and len(named) == len(members):
        return parse_unsigned_request(named)
    return fetch_request(parse_request_link(link))


def parse_request_link(link: str) -> RequestLink:
    """Read an openid4vp:// link (OpenID4VP 1.0, section 5.4); raises `CommandFailed`."""
    parts = urlsplit(link)
    members = dict(parse_qsl(parts.query))
    if parts.scheme != "openid4vp" or not {"client_id", "request_uri"} <= members.keys():
        raise CommandFailed("This is not an openid4vp:// link with client_id and request_uri.", exit_code=USAGE)
    # A wallet that does not fetch by POST, which this one does not, does so by GET (OpenID4VP 1.0, section 5.1).
    if members.get("request_uri_method", "get") not in {"get", "post"}:
        raise CommandFailed("The link wants its request fetched by a method that there is not.")
    return RequestLink(client_id=members["client_id"], request_uri=members["request_uri"])


def fetch_request(link: RequestLink) -> RequestObject:
    """Fetch the question and verify that whom the link names asks it, and that the answer goes where it came from."""
    origin = origin_of(link.request_uri)
    fetcher = fetcher_of(origin)
    compact = fetcher.fetch(link.request_uri, f"application/{REQUEST_OBJECT_TYP}").decode("ascii", "replace")
    request = verify_request_object(compact, client_id=link.client_id, now_ms=now_ms(), dids=DidResolver(fetcher))
    # Whoever copied somebody's link into their own page cannot have the answer sent elsewhere.
    if origin_of(request.response_uri) != origin:
        raise CommandFailed("The answer would go to another place than the request came from.")
    return request


def post_presentation(request: RequestObject, vp_token: Any) -> str | None:
    """Send the answer (OpenID4VP 1.0, section 8), encrypted where that was asked; returns the page to go on to, if any.

    Raises `CommandFailed` where it is not taken.
    """
    state = {} if request.state is None else {"state": request.state}
    if request.encryption is None:
        form = {"vp_token": json.dumps(vp_token, separators=(",", ":")), **state}
    else:
        within = encode_json({"vp_token": vp_token, **state})
        form = {"response": encrypt(within, request.encryption.key, request.encryption.encryption)}
    try:
        answer = httpx.post(request.response_uri, data=form, timeout=POST_TIMEOUT_S, trust_env=False)
    except httpx.HTTPError:
        raise CommandFailed("The verifier cannot be reached.") from None
    if answer.status_code != 200:
        raise CommandFailed(f"The verifier refused the presentation ({answer.status_code} {_code_of(answer)}).")
    page = _member_of(answer, "redirect_uri")
    # It is printed, and nothing that it says is to be obeyed by a terminal.
    return page if page.startswith(("https://", "http://")) and page.isascii() and page.isprintable() else None


def _show(request: RequestObject, disclosed: dict[str, list[dict[str, Any]]]) -> None:
    expires = "" if request.expires_at_ms is None else f"{datetime.fromtimestamp(request.expires_at_ms / 1000, UTC):%c}"
    print_rows(
        [
            ("asked by", printable(request.client_id)),
            ("answer goes to", origin_of(request.response_uri)),
            # Where nobody signs, nobody stands for the name.
            ("on behalf of", None if request.client_id.startswith("redirect_uri:") else printable(request.client_name)),
            ("purpose", printable(request.purpose)),
            ("until", f"{expires} UTC"),
        ],
        indent=0,
    )
    for credentials in disclosed.values():
        for each in credentials:
            print(f"\n{each['vct']}")
            print(f"  discloses  {', '.join(each['claims'])}")
    print()


def _describe(sd_jwt: str) -> dict[str, Any]:
    payload = parse_json_object(parse_jws(issuer_jwt_of(sd_jwt)).payload)
    claims: JsonObject
    claims, _ = disclose_claims(payload, [part for part in sd_jwt.split("~")[1:-1] if part])
    expires_at_s = payload.get("exp")
    return {
        "vct": payload.get("vct"),
        "issuer": payload.get("iss"),
        "expires": datetime.fromtimestamp(expires_at_s, UTC).date().isoformat()
        if isinstance(expires_at_s, int)
        else None,
        "claims": sorted(claims.keys() - RESERVED_CLAIMS),
    }


def fetcher_of(*origins: str) -> GuardedFetcher:
    """Fetches from public addresses, and from loopback origins that are allowed or that the link itself is of."""
    allowed = load_settings().allow_http_origins | set(filter(_is_loopback, origins))
    return GuardedFetcher(allow_http_origins=allowed)


def _public_path(private: Path) -> Path:
    return private.with_name(private.name + ".pub")


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _is_loopback(origin: str) -> bool:
    return origin.startswith("http://") and urlsplit(origin).hostname in {"127.0.0.1", "::1", "localhost"}


def _code_of(answer: httpx.Response) -> str:
    return _member_of(answer, "code")[:64]


def _member_of(answer: httpx.Response, name: str) -> str:
    try:
        return str(answer.json().get(name, ""))
    except (ValueError, AttributeError):
        return ""
