"""The linked-data workers: an honest document in milliseconds, a hostile one stopped, and nothing in between lost."""

import pytest

from identity.encoding import JsonObject
from identity.errors import RdfTooComplex, UndefinedTerm
from identity.linked_data.contexts import CREDENTIALS_V2, CREDIT_HISTORY_V1
from identity.linked_data.workers import LinkedDataWorkers


@pytest.fixture(scope="module")
def workers():
    workers = LinkedDataWorkers(timeout_s=0.5)
    yield workers
    workers.close()


def credential(**subject) -> JsonObject:
    return {
        "@context": [CREDENTIALS_V2, CREDIT_HISTORY_V1],
        "type": ["VerifiableCredential", "AirtimeCredential"],
        "issuer": "did:example:operator",
        "credentialSubject": {"id": "did:example:holder", **subject},
    }


def twin_stars(rays: int) -> JsonObject:
    """Two blank nodes with as many blank children each: every order of the children is tried, for either."""
    leaf: JsonObject = {"type": "VerifiableCredential"}
    star: JsonObject = {"type": "VerifiableCredential", "evidence": [dict(leaf) for _ in range(rays)]}
    return credential() | {"evidence": [star, dict(star)]}


def test_a_credential_is_canonicalized(workers):
    assert workers.canonicalize(credential(currency="KES", topup_n=[3, 2, 1], advance_minor=5)).decode() == (
        '<did:example:holder> <urn:credence:terms#advance_minor> "5"^^<http://www.w3.org/2001/XMLSchema#integer> .\n'
        '<did:example:holder> <urn:credence:terms#currency> "KES" .\n'
        "<did:example:holder> <urn:credence:terms#topup_n> "
        '"[3,2,1]"^^<http://www.w3.org/1999/02/22-rdf-syntax-ns#JSON> .\n'
        "_:c14n0 <http://www.w3.org/1999/02/22-rdf-syntax-ns#type> "
        "<https://www.w3.org/2018/credentials#VerifiableCredential> .\n"
        "_:c14n0 <http://www.w3.org/1999/02/22-rdf-syntax-ns#type> <urn:credence:terms#AirtimeCredential> .\n"
        "_:c14n0 <https://www.w3.org/2018/credentials#credentialSubject> <did:example:holder> .\n"
        "_:c14n0 <https://www.w3.org/2018/credentials#issuer> <did:example:operator> .\n"
    )


def test_a_term_that_no_context_defines_is_refused(workers):
    with pytest.raises(UndefinedTerm):
        workers.canonicalize(credential(income_minor=5))


def test_what_takes_too_long_is_stopped_and_the_next_document_is_served(workers):
    with pytest.raises(RdfTooComplex):
        workers.canonicalize(twin_stars(20))
    assert workers.canonicalize(credential(currency="KES"))
