"""Nobody's way into our network: hostile did:web DIDs and status URLs, and not one connection.

Everything goes through the resolver of DIDs and the status checker as the service builds them, over a resolver of
names and a network that count. What a name, a scheme or a port gives away is refused before any name is asked; what
only the address gives away is refused before any connection.
"""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpcore
import pytest

from identity.did_resolver import DidResolver
from identity.errors import (
    AddressNotPublic,
    BadDid,
    DidUnavailable,
    DidWebRefused,
    IdentityError,
    IssuerNotTrusted,
    RedirectNotFollowed,
    StatusUnavailable,
    UrlNotAllowed,
)
from identity.fetch import GuardedFetcher
from identity.keys import SigningKey
from identity.status_list import StatusChecker, StatusReference
from identity.trust import TrustedIssuers
from identity.verifier import Verifier

NOW_MS = 1_790_000_000_000
ISSUER = SigningKey.generate()
PUBLIC = "93.184.216.34"
TLS = ssl.create_default_context()
"""One for all: nothing here gets so far as to use it, and each takes a while to make."""


class Internet(httpcore.NetworkBackend):
    """Counts what names are asked and what addresses are connected to; connects to nothing."""

    def __init__(self, answers: Callable[[str], Sequence[str]] = lambda _: [PUBLIC]) -> None:
        self.answers = answers
        self.resolved: list[str] = []
        self.connected: list[str] = []
        self.fetcher = GuardedFetcher(resolve=self.resolve, network=self, ssl_context=TLS)
        self.dids = DidResolver(self.fetcher)
        self.statuses = StatusChecker(self.fetcher, self.dids)

    def resolve(self, host: str, _port: int) -> Sequence[str]:
        self.resolved.append(host)
        return self.answers(host)

    def connect_tcp(self, host: str, port: int, *args: object, **kwargs: object) -> httpcore.NetworkStream:
        self.connected.append(host)
        raise httpcore.ConnectError

    def resolve_did(self, did: str) -> None:
        self.dids.resolve_key(did=did, kid=None, relationship="assertionMethod", now_ms=NOW_MS)

    def check_status(self, url: str) -> None:
        self.statuses.check_status(StatusReference(uri=url, index=0), issuer=ISSUER.did, now_ms=NOW_MS)


HOSTS = [
    # The machine itself, and names of private networks
    *("localhost", "localhost.", "LOCALHOST", "localhost.localdomain", "a.localhost", "ip6-localhost", "loopback"),
    *("metadata", "metadata.google.internal", "metadata.internal", "kubernetes.default.svc.cluster.local"),
    "printer.local",
    *("router.lan", "nas.home", "gw.home.arpa", "1.0.0.127.in-addr.arpa", "db.corp", "wiki.intranet", "x.private"),
    *("abcdefghijklmnop.onion", "a.alt", "a.invalid"),
    # Addresses, in every notation that some resolver takes
    *("127.0.0.1", "127.0.0.1.", "127.1", "127.0.1", "0", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1"),
    *("169.254.169.254", "100.100.100.200", "93.184.216.34", "255.255.255.255", "224.0.0.1"),
    *("2130706433", "0x7f000001", "0x7f.0x0.0x0.0x1", "0x7f.1", "017700000001", "0177.0.0.1", "0177.0.0.01"),
    *("127.0.0.1.0x7f", "1.2.3.4.5", "127.000.000.001", "00000127.0.0.1", "169.254.43518", "0xa9fea9fe"),
    *("[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:0:0:1]", "[fe80::1%25eth0]"),
    "[fd00::1]",
    *("[64:ff9b::7f00:1]", "[2002:7f00:1::]", "::1", "fe80::1", "[::1", "::ffff:127.0.0.1"),
    # Other hosts behind the one that is read first
    *("user@issuer.example", "user:secret@issuer.example", "issuer.example@127.0.0.1", "issuer.example@localhost"),
    *("issuer.example\\@127.0.0.1", "127.0.0.1\\.issuer.example", "issuer.example\\.127.0.0.1"),
    "issuer.example%40127.0.0.1",
    *("issuer.example%2F@127.0.0.1", "issuer.example#@127.0.0.1", "issuer.example?@127.0.0.1"),
    "issuer.example;127.0.0.1",
    *("issuer.example%00.localhost", "issuer.example\0.localhost", "127.0.0.1%00.issuer.example"),
    "issuer.example\r\nHost: x",
    *("issuer.example 127.0.0.1", " issuer.example", "issuer.example\n", "issuer.example\t"),
    "issuer.example,127.0.0.1",
    # Names that are no names, or that look like others
    *("", ".", "..", "example", "issuer..example", ".issuer.example", "issuer.example.", "-issuer.example"),
    "issuer-.example",
    *("issuer_x.example", "Issuer.example", "issuer.EXAMPLE", "*.example", "a" * 64 + ".example"),
    "a." * 127 + "example",
    *("\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3", "\uff11\uff12\uff17.0.0.1"),
    *("127\u30020\u30020\u30021", "127\uff0e0\uff0e0\uff0e1"),
    *("issuer\u3002example", "\u0131ssuer.example", "issuer.example\u200b", "\u202eelpmaxe.reussi"),
    *("\u2168.example", "\u00b9.0.0.1"),
    *("%31%32%37.0.0.1", "%6c%6f%63%61%6c%68%6f%73%74", "issuer%2Eexample", "%2e%2e", "%", "%zz.example"),
]

PORTS = [
    *(
        "",
        "0",
        "22",
        "25",
        "80",
        "443",
        "0443",
        "3306",
        "6379",
        "8080",
        "8443",
        "65536",
        "99999999",
        "-1",
        "a",
        "80:80",
    ),
]
PATHS = [
    *("..", ".", "", "%2e%2e", "%2F", "%2f..", "a%00", "a\\..", "a/../b", "a?b", "a#b", "a b", "a\r\nb"),
    *("@127.0.0.1", "\uff0e\uff0e"),
]

HOSTILE_DIDS = [
    *(f"did:web:{host}" for host in HOSTS),
    *(f"did:web:{host}:user:alice" for host in ("localhost", "127.0.0.1", "[::1]", "a@issuer.example", "db.internal")),
    *(f"did:web:{host}%3A{port}" for host in ("issuer.example", "localhost", "127.0.0.1") for port in PORTS),
    *(f"did:web:issuer.example:{path}" for path in PATHS),
    *("did:web", "did:Web:issuer.example", "DID:web:issuer.example", "did:web:https://issuer.example"),
    "did:web://127.0.0.1",
    *("did:web:issuer.example/../x", "did:web:issuer.example?x", "did:web:issuer.example#k"),
    "did:web:" + "a" * 600 + ".example",
    *("did:http:127.0.0.1", "did:file:etc", "http://127.0.0.1/.well-known/did.json"),
]

HOSTILE_URLS = [
    *(f"https://{host}/status/1" for host in HOSTS),
    *(f"https://issuer.example:{port}/1" for port in PORTS if port != "443"),
    *(f"https://{host}:{port}/1" for host in ("localhost", "127.0.0.1") for port in PORTS),
    *(f"{scheme}//issuer.example/1" for scheme in ("http:", "HTTPS:", "ftp:", "gopher:", "ws:", "", "https:/")),
    *("file:///etc/passwd", "data:application/statuslist+jwt,a", "javascript:1", "unix:/var/run/docker.sock"),
    "dict://127.0.0.1:6379/",
    *("http://127.0.0.1/", "http://localhost/", "http://[::1]/", "http://169.254.169.254/latest/meta-data/"),
    "//127.0.0.1/",
    *("https://issuer.example/#f", "https://issuer.example/\\..", "https://issuer.example/a b"),
    "https://issuer.example/\r\nx: y",
    *("https://issuer.example/\0", "https://issuer.example/\u00e9", "\thttps://issuer.example/"),
    *("https://issuer.example?x", "https://?x"),
    "https://issuer.example/" + "a" * 2048,
]

HOSTILE_ADDRESSES = [
    *("127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255"),
    "192.168.0.1",
    *("169.254.169.254", "169.254.170.2", "100.64.0.1", "100.100.100.200", "192.0.0.192", "192.0.2.1"),
    "198.18.0.1",
    *("198.51.100.1", "203.0.113.1", "192.88.99.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1"),
    "::ffff:0:127.0.0.1",
    *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:a9fe:a9fe::1"),
    "2002:808:808::",
    *("2001:0:7f00:1::", "2001:db8::1", "3fff::1", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1"),
    "fd00:ec2::254",
    *("ff02::1", "ff0e::1", "100::1", "5f00::1", "127.0.0.1:80", "localhost", "not an address", ""),
]


def test_there_are_enough_of_them() -> None:
    for table in (HOSTILE_DIDS, HOSTILE_URLS):
        assert len(set(table)) == len(table) > 100


@pytest.mark.parametrize("did", HOSTILE_DIDS, ids=ascii)
def test_input_48_a_hostile_did_web_is_refused_before_any_name_is_asked(did: str) -> None:
    internet = Internet()
    with pytest.raises((DidWebRefused, BadDid)) as refused:
        internet.resolve_did(did)
    assert not refused.value.retriable
    assert (internet.resolved, internet.connected) == ([], [])


@pytest.mark.parametrize("url", HOSTILE_URLS, ids=lambda url: ascii(url)[:80])
def test_input_52_a_hostile_status_url_is_refused_before_any_name_is_asked(url: str) -> None:
    internet = Internet()
    with pytest.raises(UrlNotAllowed):
        internet.check_status(url)
    assert (internet.resolved, internet.connected) == ([], [])


@pytest.mark.parametrize("address", HOSTILE_ADDRESSES)
def test_inputs_48_and_52_a_name_with_any_address_inside_is_refused_before_any_connection(address: str) -> None:
    for answers in ([address], [PUBLIC, address], [address, PUBLIC, "2606:2800:220:1::1"]):
        internet = Internet(lambda _, answers=answers: answers)  # type: ignore[misc]
        with pytest.raises(AddressNotPublic):
            internet.resolve_did("did:web:issuer.example")
        with pytest.raises(AddressNotPublic):
            internet.check_status("https://issuer.example/status/1")
        assert internet.resolved == ["issuer.example"] * 2
        assert internet.connected == []


def test_inputs_48_and_52_a_name_is_asked_once_a_fetch_so_that_a_rebinding_finds_nothing() -> None:
    """The name server answers with a public address first, and with the loopback whenever it is asked again."""
    ask: tuple[tuple[Callable[[Internet], None], type[IdentityError]], ...] = (
        (lambda internet: internet.resolve_did("did:web:issuer.example"), DidUnavailable),
        (lambda internet: internet.check_status("https://issuer.example/status/1"), StatusUnavailable),
    )
    for fetch, unavailable in ask:
        internet = Internet()
        internet.answers = lambda _, internet=internet: [PUBLIC] if len(internet.resolved) == 1 else ["127.0.0.1"]  # type: ignore[misc]
        with pytest.raises(unavailable):
            fetch(internet)
        assert (internet.resolved, internet.connected) == (["issuer.example"], [PUBLIC])


# Redirects, over real sockets


class Redirecting:
    """A server that sends everyone elsewhere, to a port of its own that counts who comes."""

    def __init__(self) -> None:
        self.front, self.target = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
        self.status = 302
        self.asked = 0
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.front.getsockname()[1]}"

    def was_followed(self) -> bool:
        self.target.settimeout(0)
        try:
            self.target.accept()
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        self.front.close()
        self.target.close()

    def _serve(self) -> None:
        location = f"http://127.0.0.1:{self.target.getsockname()[1]}/"
        while True:
            try:
                connection, _ = self.front.accept()
            except OSError:
                return
            with connection:
                connection.recv(65_536)
                self.asked += 1
                connection.sendall(
                    f"HTTP/1.1 {self.status} Elsewhere\r\nLocation: {location}\r\nRefresh: 0; url={location}\r\n"
                    f"Content-Length: 0\r\nConnection: close\r\n\r\n".encode()
                )


@pytest.fixture
def redirecting() -> Iterator[Redirecting]:
    server = Redirecting()
    yield server
    server.close()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_inputs_48_and_52_a_redirect_is_never_followed(redirecting: Redirecting, status: int) -> None:
    redirecting.status = status
    fetcher = GuardedFetcher(allow_http_origins=frozenset({redirecting.origin}), timeout_s=30, ssl_context=TLS)
    dids = DidResolver(fetcher)
    did = "did:web:" + redirecting.origin.removeprefix("http://").replace(":", "%3A")
    with pytest.raises(RedirectNotFollowed):
        dids.resolve(did, now_ms=NOW_MS)
    with pytest.raises(RedirectNotFollowed):
        StatusChecker(fetcher, dids).check_status(
            StatusReference(uri=redirecting.origin + "/1", index=0), issuer=ISSUER.did, now_ms=NOW_MS
        )
    assert redirecting.asked == 2
    assert not redirecting.was_followed()


# Trust comes first


def test_an_issuer_that_is_not_trusted_is_never_fetched(scene: Any) -> None:
    """Neither its document nor its status list, whatever the name: the URLs of a stranger are not ours to visit."""
    internet = Internet()
    verifier = Verifier(
        statuses=internet.statuses, dids=internet.dids, linked_data=scene.linked_data, types=scene.types
    )
    request = scene.request()
    for did in ("did:web:issuer.example", "did:web:127.0.0.1", "did:web:localhost%3A22"):
        stranger = scene.credential(
            key=scene.issuer.known_as(did), status=StatusReference(uri="https://issuer.example/status/1", index=0)
        )
        vp_token = scene.present(request, stranger)
        for trusted in (scene.trusted, TrustedIssuers(())):
            with pytest.raises(IssuerNotTrusted):
                verifier.verify(vp_token, request, trusted, scene.now_ms)
    assert (internet.resolved, internet.connected) == ([], [])
