"""The JSON-LD contexts that linked data may use, as files, and nothing that a document or a network could bring."""

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

CREDENTIALS_V1 = "https://www.w3.org/2018/credentials/v1"
CREDENTIALS_V2 = "https://www.w3.org/ns/credentials/v2"
DATA_INTEGRITY_V2 = "https://w3id.org/security/data-integrity/v2"
ED25519_2020_V1 = "https://w3id.org/security/suites/ed25519-2020/v1"
JWS_2020_V1 = "https://w3id.org/security/suites/jws-2020/v1"
CREDIT_HISTORY_V1 = "urn:credence:contexts:credit-history:v1"

_FILES = {
    CREDENTIALS_V1: "credentials-v1.jsonld",
    CREDENTIALS_V2: "credentials-v2.jsonld",
    DATA_INTEGRITY_V2: "data-integrity-v2.jsonld",
    ED25519_2020_V1: "ed25519-2020-v1.jsonld",
    JWS_2020_V1: "jws-2020-v1.jsonld",
    CREDIT_HISTORY_V1: "credit-history-v1.jsonld",
}


def load_contexts() -> Mapping[str, Mapping[str, Any]]:
    """Every allowed context document by its exact URL; SOURCES.md says where each file comes from."""
    folder = files(__package__)
    return {url: json.loads((folder / name).read_text("utf-8")) for url, name in _FILES.items()}
