"""What a JSON-LD document may look like before anything is spent on it.

JSON-LD lets many JSON texts stand for one set of RDF statements, and a signature covers the statements alone. We read
the JSON. So every freedom by which a text can change while its statements do not is refused here, or, where only
expansion can tell, in the worker; what is left reads in one way.
"""

import re
from collections.abc import Container
from typing import Final

from identity.encoding import JsonObject, JsonValue
from identity.errors import (
    ContextNotAllowed,
    KeywordNotAllowed,
    NodeRepeated,
    RdfTooComplex,
    RelativeIri,
    UndefinedTerm,
    ValueNotAllowed,
)

MAX_BLANK_NODES: Final = 64
MAX_VALUES: Final = 4096
MAX_DEPTH: Final = 16
MAX_CONTEXTS: Final = 8
MAX_IRI_CHARS: Final = 2048
#: RFC 8785 writes numbers as doubles, so beyond this two integers have one canonical form.
MAX_INTEGER: Final = 2**53 - 1

# RFC 3987, less what would end an IRI in N-Quads: `<a> <b> <c> .` could otherwise be smuggled in as one name.
_ABSOLUTE_IRI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\x00-\x20<>\"{}|\\^`\x7f-\x9f\ud800-\udfff]+")
# Canonical N-Quads write control characters in a way of their own, which pyld does not; UTF-8 has no lone surrogates.
_NOT_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
# The terms whose values are graphs of their own in every context on our list (a test holds us to that).
_GRAPH_TERMS: Final = frozenset({"proof", "verifiableCredential"})


def is_absolute_iri(text: str) -> bool:
    """Whether `text` is an absolute IRI that N-Quads can hold, and not a blank node's label."""
    return _ABSOLUTE_IRI.fullmatch(text) is not None


def verify_structure(document: JsonObject, *, contexts: Container[str]) -> None:
    """Raises unless `document` is JSON-LD of the one kind that is canonicalized here; pure, and linear in its size.

    ContextNotAllowed: a context that is not exactly one of `contexts`, an inline one, or one in an odd place.
    KeywordNotAllowed: any member that begins with "@" but @context. UndefinedTerm: a member that is an IRI or empty.
    RelativeIri: an `id` that is not an absolute IRI, blank node labels included. NodeRepeated: one thing described in
    two objects of a graph. ValueNotAllowed: null, [], a fraction, an integer beyond 2^53, a nested array, a control
    character or lone surrogate, a type given twice. RdfTooComplex: over 64 blank nodes, 4096 values, 16 levels, 8
    contexts, or 2048 characters in an `id`.
    """
    if "@context" not in document:
        raise ContextNotAllowed
    _Walk(contexts).visit_node(document, depth=1, described=set(), is_graph=True)


class _Walk:
    def __init__(self, contexts: Container[str]) -> None:
        self._contexts = contexts
        self._blank_nodes = 0
        self._values = 0

    def visit_node(self, node: JsonObject, *, depth: int, described: set[str], is_graph: bool) -> None:
        """`described` are the ids that this graph describes already; `is_graph` says that the node begins a graph."""
        if depth > MAX_DEPTH:
            raise RdfTooComplex
        self._count_value()
        if "@context" in node:
            if not is_graph:
                raise ContextNotAllowed
            self._visit_context(node["@context"])
        # The name of a graph is a blank node, whether or not what it says has an id.
        self._count_blank_nodes(("id" not in node) + is_graph)
        for term, value in node.items():
            match term:
                case "@context":
                    continue
                case "id":
                    self._visit_id(value, is_reference=len(node) == 1, described=described)
                case "type":
                    self._visit_type(value)
                case _:
                    if term.startswith("@"):
                        raise KeywordNotAllowed
                    if not term or ":" in term:
                        raise UndefinedTerm
                    self._visit_value(term, value, depth=depth, described=described)

    def _visit_context(self, context: JsonValue) -> None:
        urls = context if isinstance(context, list) else [context]
        if not urls or not all(isinstance(url, str) and url in self._contexts for url in urls):
            raise ContextNotAllowed
        if len(urls) > MAX_CONTEXTS:
            raise RdfTooComplex

    def _visit_id(self, value: JsonValue, *, is_reference: bool, described: set[str]) -> None:
        if not isinstance(value, str) or not is_absolute_iri(value):
            raise RelativeIri
        if len(value) > MAX_IRI_CHARS:  # it is written out in every statement about the node
            raise RdfTooComplex
        self._count_value()
        if is_reference:
            return
        # Two objects with one id are one RDF node: what an issuer signed as a member of the one could be shown as a
        # member of the other, an expiry date out of the credential and into a reference to it.
        if value in described:
            raise NodeRepeated
        described.add(value)

    def _visit_type(self, value: JsonValue) -> None:
        types = value if isinstance(value, list) else [value]
        names = [name for name in types if isinstance(name, str) and name]
        if not types or len(names) != len(types) or len(set(names)) != len(names):
            raise ValueNotAllowed
        for name in names:
            if name.startswith("@"):
                raise KeywordNotAllowed
            self._count_value()

    def _visit_value(self, term: str, value: JsonValue, *, depth: int, described: set[str]) -> None:
        items = value if isinstance(value, list) else [value]
        if not items:
            raise ValueNotAllowed
        for item in items:
            if isinstance(item, dict):
                is_graph = term in _GRAPH_TERMS
                inner = set() if is_graph else described
                self.visit_node(item, depth=depth + 1, described=inner, is_graph=is_graph)
            elif _is_text(item) or (isinstance(item, int) and abs(item) <= MAX_INTEGER):
                self._count_value()
            else:
                raise ValueNotAllowed

    def _count_value(self) -> None:
        self._values += 1
        if self._values > MAX_VALUES:
            raise RdfTooComplex

    def _count_blank_nodes(self, number: int) -> None:
        self._blank_nodes += number
        if self._blank_nodes > MAX_BLANK_NODES:
            raise RdfTooComplex


def _is_text(value: JsonValue) -> bool:
    return isinstance(value, str) and _NOT_TEXT.search(value) is None
