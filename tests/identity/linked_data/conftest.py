"""What the tests of linked data share: one pool, with the contexts that the W3C's vectors use besides ours."""

import copy
from collections.abc import Iterator

import pytest

from identity.encoding import JsonObject
from identity.linked_data.workers import LinkedDataWorkers
from tests.identity.linked_data.didkit_issued import Issued

#: The first is the whole of that context. The second is not published with the vectors, so that these terms are read
#: off their N-Quads; what the vector shows is the naming of blank nodes.
VECTOR_CONTEXTS = {
    "https://www.w3.org/ns/credentials/examples/v2": {
        "@context": {"@vocab": "https://www.w3.org/ns/credentials/examples#"}
    },
    "https://w3id.org/citizenship/v4rc1": {
        "@context": {
            "id": "@id",
            "type": "@type",
            "image": {"@id": "https://schema.org/image", "@type": "@id"},
            "birthDate": {
                "@id": "https://schema.org/birthDate",
                "@type": "http://www.w3.org/2001/XMLSchema#dateTime",
            },
            "residentSince": {
                "@id": "https://w3id.org/citizenship#residentSince",
                "@type": "http://www.w3.org/2001/XMLSchema#dateTime",
            },
            "employmentAuthorizationDocument": {
                "@id": "https://w3id.org/citizenship#employmentAuthorizationDocument",
                "@type": "@id",
            },
            **{
                term: f"https://schema.org/{term}"
                for term in ("Person", "additionalName", "familyName", "gender", "givenName", "identifier")
            },
            **{
                term: f"https://w3id.org/citizenship#{term}"
                for term in (
                    "EmployablePerson",
                    "EmploymentAuthorizationDocument",
                    "EmploymentAuthorizationDocumentCredential",
                    "birthCountry",
                    "lprCategory",
                    "lprNumber",
                )
            },
        }
    },
}
#: For a suite at which didkit panics, and which no context on our list defines.
ETHEREUM_CONTEXT = {
    "urn:test:ethereum": {
        "@context": {
            "EthereumPersonalSignature2021": "https://w3id.org/security#EthereumPersonalSignature2021",
            "proofPurpose": {"@id": "https://w3id.org/security#proofPurpose", "@type": "@vocab"},
            "assertionMethod": "https://w3id.org/security#assertionMethod",
            "proofValue": "https://w3id.org/security#proofValue",
            "verificationMethod": {"@id": "https://w3id.org/security#verificationMethod", "@type": "@id"},
            "created": {
                "@id": "http://purl.org/dc/terms/created",
                "@type": "http://www.w3.org/2001/XMLSchema#dateTime",
            },
        }
    }
}


@pytest.fixture(scope="session")
def workers() -> Iterator[LinkedDataWorkers]:
    workers = LinkedDataWorkers(timeout_s=20, extra_contexts=VECTOR_CONTEXTS | ETHEREUM_CONTEXT)
    yield workers
    workers.close()


@pytest.fixture(scope="session")
def issued() -> Issued:
    return Issued()


@pytest.fixture
def signed(issued) -> JsonObject:
    return copy.deepcopy(issued.credentials["Ed25519Signature2018", "Ed25519", "did:key"])


@pytest.fixture
def presented(issued) -> JsonObject:
    return copy.deepcopy(issued.presentations["Ed25519Signature2018", "Ed25519", "did:key"])
