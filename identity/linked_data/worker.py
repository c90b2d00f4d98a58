"""The worker: one process that canonicalizes JSON-LD and asks didkit, and that nobody would miss.

It is the only module that loads pyld and didkit. It has the lowest priority, a bound on its memory and, for each
document, on its CPU time; once it is warm it can open no file and no connection any more. It holds no secret, takes
one document at a time from the socket that is its standard input, and ends with the process that started it.
"""

import asyncio
import contextlib
import json
import os
import resource
import signal
import socket
from collections.abc import Mapping
from typing import Any, NoReturn

from pyld import jsonld

from identity.linked_data.contexts import CREDENTIALS_V1, ED25519_2020_V1, JWS_2020_V1
from identity.linked_data.frames import receive_frame, send_frame
from identity.linked_data.structure import is_absolute_iri

try:
    import didkit
except ImportError:  # it has no wheel for Python 3.13 and later
    didkit = None  # type: ignore[assignment]

MAX_MEMORY_BYTES = 1024 * 1024 * 1024
#: N-Quads repeat every name in every line, so a document of 64 KB could fill a disk.
MAX_N_QUADS_CHARS = 2 * 1024 * 1024
#: Left out or empty, pyld takes "http://example.org/base/" for it and makes absolute what is not.
_NO_BASE = None
#: The contexts on our list that didkit has built in; it knows no other, and never fetches one.
_DIDKIT_CONTEXTS = frozenset({CREDENTIALS_V1, ED25519_2020_V1, JWS_2020_V1})
_UNSIGNED = {
    "@context": CREDENTIALS_V1,
    "type": "VerifiableCredential",
    "issuer": "did:example:issuer",
    "issuanceDate": "2026-11-25T00:00:00Z",
    "credentialSubject": {"id": "did:example:subject"},
}
_ALL_IS_WELL = {"checks": ["proof"], "warnings": [], "errors": []}


class Refused(Exception):
    """The document is refused; `code` is that of an error in `identity.errors`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class ContextLoader:
    """Serves the contexts that the service sent, by their exact URLs, and has no way to any other."""

    def __init__(self, contexts: Mapping[str, Mapping[str, Any]]) -> None:
        self._contexts = contexts

    def __call__(self, url: str, _options: Mapping[str, Any]) -> dict[str, Any]:
        if url not in self._contexts:
            raise Refused("context_not_allowed")
        return {
            "contentType": "application/ld+json",
            "contextUrl": None,
            "documentUrl": url,
            "document": self._contexts[url],
        }


def expand(document: Mapping[str, Any], loader: ContextLoader) -> list[Any]:
    """Expand a document (JSON-LD 1.1 API, section 5.1); raises Refused where that would lose any part of it."""

    def refuse_dropped(_term: str | None) -> NoReturn:
        raise Refused("undefined_term")

    options = {"documentLoader": loader, "base": _NO_BASE}
    expanded: list[Any] = jsonld.expand(document, options, on_property_dropped=refuse_dropped)
    _verify_names(expanded)
    return expanded


def _verify_names(value: Any) -> None:
    """Raises Refused for a name that is not an absolute IRI: the step to RDF drops it without a word."""
    if isinstance(value, list):
        for item in value:
            _verify_names(item)
    elif isinstance(value, dict) and "@value" not in value:
        for key, member in value.items():
            if key == "@id":
                if not is_absolute_iri(member):
                    raise Refused("relative_iri")
            elif key == "@type":
                if not all(is_absolute_iri(name) for name in member):
                    raise Refused("undefined_term")
            else:
                _verify_names(member)


def canonicalize(document: Mapping[str, Any], loader: ContextLoader) -> str:
    """The canonical N-Quads of a document (RDFC-1.0, which URDNA2015 became); raises Refused."""
    options = {"algorithm": "URDNA2015", "format": "application/n-quads", "documentLoader": loader, "base": _NO_BASE}
    n_quads: str = jsonld.normalize(expand(document, loader), options)
    if len(n_quads) > MAX_N_QUADS_CHARS:
        raise Refused("rdf_too_complex")
    return n_quads


def write_out_contexts(value: Any, contexts: Mapping[str, Mapping[str, Any]]) -> Any:
    """The document with each context that didkit does not know replaced by what stands at its URL.

    A context reaches no RDF statement, only what it defines does, so that the signature is over the same bytes. That
    it is one of ours, and not one of the document's own, was verified before the URL was replaced.
    """
    if isinstance(value, list):
        return [write_out_contexts(item, contexts) for item in value]
    if not isinstance(value, dict):
        return value
    written = {name: write_out_contexts(member, contexts) for name, member in value.items()}
    if "@context" in value:
        urls = value["@context"] if isinstance(value["@context"], list) else [value["@context"]]
        written["@context"] = [url if url in _DIDKIT_CONTEXTS else contexts[url]["@context"] for url in urls]
    return written


def main() -> NoReturn:
    """Serve until the other side is gone."""
    connection = socket.socket(fileno=0)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    try:
        hello = receive_frame(connection)
        worker = _Worker(hello["contexts"])
        worker.warm_up()
        # From here on there is no number left for a file or a socket: whatever pyld or didkit would like to open,
        # now or in a later release, they cannot.
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
        send_frame(connection, {"ready": True})
        while True:
            request = receive_frame(connection)
            # Who killed us is told by the signal: SIGPROF is the document's own doing. SIGALRM is for the case that
            # the service is gone and nobody else would end us.
            signal.setitimer(signal.ITIMER_PROF, request["cpu_s"])
            signal.setitimer(signal.ITIMER_REAL, request["wall_s"])
            answer = worker.answer(request)
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
            send_frame(connection, answer)
            if answer["is_last"]:
                break
    except (EOFError, OSError, ValueError, KeyError):
        pass
    finally:
        # didkit's threads crash an interpreter that ends in the ordinary way.
        os._exit(0)


class _Worker:
    def __init__(self, contexts: Mapping[str, Mapping[str, Any]]) -> None:
        self._loader = ContextLoader(contexts)
        self._contexts = contexts
        self._loop = asyncio.new_event_loop()

    def warm_up(self) -> None:
        """Load, open and cache all that a document will need."""
        for url in self._contexts:
            canonicalize({"@context": url, "@id": "urn:warm:up", "@type": "urn:warm:up"}, self._loader)
        if didkit is not None:
            self._ask_didkit("credential", _UNSIGNED, {})

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a request; `is_last` where this process should give no other."""
        try:
            if "legacy_proof" in request:
                self._verify_legacy_proof(request["document"], **request["legacy_proof"])
                return {"is_last": False}
            return {"n_quads": canonicalize(request["document"], self._loader), "is_last": False}
        except Refused as refused:
            return {"refused": refused.code, "is_last": False}
        except (MemoryError, RecursionError):
            return {"refused": "rdf_too_complex", "is_last": True}
        except jsonld.JsonLdError:
            return {"refused": "bad_linked_data", "is_last": False}
        except BaseException:  # noqa: BLE001 (a panic in Rust is one; after what nobody foresaw, nothing here is sure)
            return {"refused": "bad_linked_data", "is_last": True}

    def _verify_legacy_proof(self, document: Mapping[str, Any], kind: str, options: Mapping[str, str]) -> None:
        if didkit is None:
            raise Refused("unsupported_suite")
        # didkit drops what its contexts do not define, as pyld does, but does not tell.
        expand(document, self._loader)
        try:
            verdict = self._ask_didkit(kind, write_out_contexts(document, self._contexts), options)
        except (didkit.DIDKitException, ValueError):  # type: ignore[misc]
            raise Refused("bad_linked_data") from None
        if verdict != _ALL_IS_WELL:
            raise Refused("bad_signature")

    def _ask_didkit(self, kind: str, document: Mapping[str, Any], options: Mapping[str, str]) -> dict[str, Any]:
        verify = {"credential": didkit.verify_credential, "presentation": didkit.verify_presentation}[kind]

        async def ask() -> str:  # its functions want a loop that runs by the time that they are called
            answer: str = await verify(json.dumps(document), json.dumps(options))
            return answer

        verdict: dict[str, Any] = json.loads(self._loop.run_until_complete(ask()))
        return verdict


if __name__ == "__main__":
    main()
