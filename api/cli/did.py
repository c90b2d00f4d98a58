"""`credence did`: the DID document that an institution publishes, and its keys as methods of it."""

import re
import sys
from pathlib import Path

from api.cli.terminal import USAGE, CommandFailed, print_json, read_file
from api.settings import load_settings
from identity.did_web import build_did_document, did_web_url
from identity.encoding import parse_json_object
from identity.errors import IdentityError, PrivateKeyInJwk
from identity.keys import PublicKey, SigningKey, parse_public_jwk

_FRAGMENT = re.compile(r"[A-Za-z0-9._:~=-]{1,256}")


def print_document(did: str, paths: list[Path]) -> None:
    """Write the document to standard output, and where it has to be published to standard error."""
    url = _document_url(did)
    keys = list(dict.fromkeys(map(_load_public_key, paths)))
    print_json(build_did_document(did, keys))
    print(f"Publish this at {url}", file=sys.stderr)


def sign_as(key: SigningKey, issuer: str) -> SigningKey:
    """`key` as a method of the did:web `issuer`, or as the method whose DID URL it is; raises `CommandFailed`."""
    did, separator, fragment = issuer.partition("#")
    _document_url(did)
    if separator and not _FRAGMENT.fullmatch(fragment):
        raise CommandFailed("The issuer's key is not named as a verification method can be.", exit_code=USAGE)
    return key.known_as(issuer)


def _document_url(did: str) -> str:
    try:
        return did_web_url(did, allow_http_origins=load_settings().allow_http_origins)
    except IdentityError as refused:
        raise CommandFailed(f"This DID cannot be published: {refused}", exit_code=USAGE) from None


def _load_public_key(path: Path) -> PublicKey:
    try:
        return parse_public_jwk(parse_json_object(read_file(path, max_bytes=4096)))
    except PrivateKeyInJwk:
        raise CommandFailed(f"{path} is a private key: give the .pub file beside it.", exit_code=USAGE) from None
    except IdentityError:
        raise CommandFailed(f"{path} is not a public JWK for ES256 or EdDSA.", exit_code=USAGE) from None
