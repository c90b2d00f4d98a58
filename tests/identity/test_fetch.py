"""The guarded fetcher against real servers on loopback; names resolve, and public addresses connect, as a test says."""

import datetime
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import httpcore
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from identity.errors import (
    AddressNotPublic,
    FetchFailed,
    FetchRefused,
    FetchTimeout,
    IdentityError,
    RedirectNotFollowed,
    ResponseTooLarge,
    UrlNotAllowed,
    UrlNotFound,
    WrongContentType,
)
from identity.fetch import GuardedFetcher

MEDIA_TYPE = "application/statuslist+jwt"
PUBLIC, PUBLIC_V6 = "93.184.216.34", "2606:2800:220:1::1"
PATIENT_S = 30.0
"""The deadline of what is not about the deadline: longer than a busy machine stands still."""

Respond = Callable[[socket.socket, bytes], None]


def answer(
    body: bytes = b"hello", *, status: str = "200 OK", headers: Sequence[str] = (), length: int | None = None
) -> bytes:
    lines = [
        f"HTTP/1.1 {status}",
        f"Content-Length: {len(body) if length is None else length}",
        *(headers or [f"Content-Type: {MEDIA_TYPE}"]),
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + body


class Server:
    """A server that reads one request head and does with the connection what the test wants."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self.sni: list[str | None] = []
        self.respond: Respond = lambda connection, _: connection.sendall(answer())
        outer = self
        if context is not None:
            context.sni_callback = lambda _socket, name, _context: self.sni.append(name)

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                try:
                    connection = context.wrap_socket(self.request, server_side=True) if context else self.request
                    with connection:
                        head = b""
                        while b"\r\n\r\n" not in head:
                            piece = connection.recv(4096)
                            if not piece:
                                return
                            head += piece
                        outer.requests.append(head)
                        outer.respond(connection, head)
                except OSError:
                    pass  # the client went away, as it should

        class Threading(socketserver.ThreadingTCPServer):
            daemon_threads = True
            block_on_close = False

        self._server = Threading(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Routed(httpcore.SyncBackend):
    """The internet of a test: public addresses lead to the local server; every asked address is written down."""

    def __init__(self, port: int, dead: Sequence[str] = ()) -> None:
        self.port, self.dead = port, dead
        self.asked: list[tuple[str, int]] = []

    def connect_tcp(self, host: str, port: int, *args: object, **kwargs: object) -> httpcore.NetworkStream:
        self.asked.append((host, port))
        if host in self.dead:
            raise httpcore.ConnectError
        return super().connect_tcp("127.0.0.1", self.port, PATIENT_S)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """A certificate for issuer.example that is its own authority, and a context that trusts nothing else."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer.example")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("issuer.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(secret + pem)
    return path, ssl.create_default_context(cadata=pem.decode())


@pytest.fixture
def https_server(certificates: tuple[Path, ssl.SSLContext]) -> Iterator[Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates[0])
    server = Server(context)
    yield server
    server.close()


@pytest.fixture
def http_server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def resolves_to(*addresses: str) -> Callable[[str, int], Sequence[str]]:
    return lambda _host, _port: addresses


def never(_host: str, _port: int) -> Sequence[str]:
    pytest.fail("the name must not be resolved")


def loopback(server: Server, *, timeout_s: float = PATIENT_S, **options: int) -> tuple[GuardedFetcher, str]:
    origin = f"http://127.0.0.1:{server.port}"
    allowed = frozenset({origin})
    fetcher = GuardedFetcher(allow_http_origins=allowed, resolve=never, timeout_s=timeout_s, **options)
    return fetcher, origin + "/status/1"


# What is fetched


@pytest.mark.parametrize("port", ["", ":443"])
def test_https_goes_to_the_pinned_address_with_the_right_sni_and_host(
    https_server: Server, certificates: tuple[Path, ssl.SSLContext], port: str
) -> None:
    network = Routed(https_server.port)
    fetcher = GuardedFetcher(
        resolve=resolves_to(PUBLIC), ssl_context=certificates[1], network=network, timeout_s=PATIENT_S
    )
    assert fetcher.fetch(f"https://issuer.example{port}/status/1?a=b", MEDIA_TYPE) == b"hello"
    assert network.asked == [(PUBLIC, 443)]
    assert https_server.sni == ["issuer.example"]
    [request] = https_server.requests
    assert request.startswith(b"GET /status/1?a=b HTTP/1.1\r\n")
    assert b"\r\nHost: issuer.example\r\n" in request
    assert f"\r\nAccept: {MEDIA_TYPE}\r\n".encode() in request


def test_the_name_is_resolved_once(https_server: Server, certificates: tuple[Path, ssl.SSLContext]) -> None:
    asked: list[str] = []

    def rebinding(host: str, _port: int) -> Sequence[str]:
        asked.append(host)
        return [PUBLIC] if len(asked) == 1 else ["127.0.0.1"]

    network = Routed(https_server.port)
    fetcher = GuardedFetcher(resolve=rebinding, ssl_context=certificates[1], network=network, timeout_s=PATIENT_S)
    assert fetcher.fetch("https://issuer.example/", MEDIA_TYPE) == b"hello"
    assert asked == ["issuer.example"]
    assert network.asked == [(PUBLIC, 443)]
    with pytest.raises(AddressNotPublic):
        fetcher.fetch("https://issuer.example/", MEDIA_TYPE)


def test_a_dead_address_is_passed_over(https_server: Server, certificates: tuple[Path, ssl.SSLContext]) -> None:
    network = Routed(https_server.port, dead=[PUBLIC_V6])
    fetcher = GuardedFetcher(
        resolve=resolves_to(PUBLIC_V6, PUBLIC), ssl_context=certificates[1], network=network, timeout_s=PATIENT_S
    )
    assert fetcher.fetch("https://issuer.example/", MEDIA_TYPE) == b"hello"
    assert network.asked == [(PUBLIC_V6, 443), (PUBLIC, 443)]
    network.dead = [PUBLIC_V6, PUBLIC]
    with pytest.raises(FetchFailed):
        fetcher.fetch("https://issuer.example/", MEDIA_TYPE)


def test_a_certificate_for_another_name_is_refused(
    https_server: Server, certificates: tuple[Path, ssl.SSLContext]
) -> None:
    fetcher = GuardedFetcher(
        resolve=resolves_to(PUBLIC), ssl_context=certificates[1], network=Routed(https_server.port), timeout_s=PATIENT_S
    )
    with pytest.raises(FetchFailed):
        fetcher.fetch("https://other.example/", MEDIA_TYPE)
    assert https_server.requests == []


def test_an_unknown_authority_is_refused(https_server: Server) -> None:
    fetcher = GuardedFetcher(resolve=resolves_to(PUBLIC), network=Routed(https_server.port), timeout_s=PATIENT_S)
    with pytest.raises(FetchFailed):
        fetcher.fetch("https://issuer.example/", MEDIA_TYPE)
    assert https_server.requests == []


def test_an_allowed_loopback_origin_is_fetched_over_http(http_server: Server) -> None:
    fetcher, url = loopback(http_server)
    assert fetcher.fetch(url, MEDIA_TYPE) == b"hello"


def test_a_chunked_body_is_read_whole(http_server: Server) -> None:
    head = f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: {MEDIA_TYPE.upper()}; a=b\r\n\r\n"
    http_server.respond = lambda connection, _: connection.sendall(head.encode() + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    fetcher, url = loopback(http_server)
    assert fetcher.fetch(url, MEDIA_TYPE) == b"abcde"


# Input 52: what is not


@pytest.mark.parametrize(
    "url",
    [
        "",
        "status",
        "http://issuer.example/status",
        "HTTPS://issuer.example/status",
        "ftp://issuer.example/",
        "file:///etc/passwd",
        "https://",
        "https:///status",
        "https:/issuer.example/",
        "https://localhost/",
        "https://metadata/",
        "https://issuer.example:8443/",
        "https://issuer.example:443:443/",
        "https://issuer.example:/",
        "https://user@issuer.example/",
        "https://user:secret@issuer.example/",
        "https://issuer.example@127.0.0.1/",
        "https://127.0.0.1/",
        "https://93.184.216.34/",
        "https://[::1]/",
        "https://[2606:2800:220:1::1]/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://0x7f.0.0.0x1/",
        "https://127.1/",
        "https://issuer.example./",
        "https://.example/",
        "https://issuer..example/",
        "https://-issuer.example/",
        "https://issuer_.example/",
        "https://ISSUER.example/",
        "https://issuer.example\\@127.0.0.1/",
        "https://issuer.example/\r\nHost: internal",
        "https://issuer.example/ x",
        "https://issuer.example/#fragment",
        "https://issuer.example?x",
        "https://issuer.example/\0",
        "https://issuer.exämple/",
        "https://issuer.example\u3002com/",
        "https://" + "a." * 130 + "example/",
        "https://issuer.example/" + "a" * 2048,
        " https://issuer.example/",
        "https://issuer.example/\n",
    ],
    ids=ascii,
)
def test_input_52_a_url_that_is_not_plain_https_is_refused(url: str) -> None:
    with pytest.raises(UrlNotAllowed):
        GuardedFetcher(resolve=never).fetch(url, MEDIA_TYPE)


def test_input_52_http_is_refused_but_for_the_exact_origin(http_server: Server) -> None:
    fetcher, url = loopback(http_server)
    origin = f"http://127.0.0.1:{http_server.port}"
    for refused in (
        url.replace("127.0.0.1", "localhost"),
        url.replace("127.0.0.1", "[::1]"),
        f"{origin}0/status",
        f"{origin}@issuer.example/",
        "http://127.0.0.1/status",
        "http://127.0.0.2/status",
        "http://issuer.example/status",
    ):
        with pytest.raises(UrlNotAllowed):
            fetcher.fetch(refused, MEDIA_TYPE)
    assert http_server.requests == []


@pytest.mark.parametrize(
    "origin",
    [
        "http://issuer.example",
        "http://10.0.0.1:80",
        "https://127.0.0.1",
        "http://127.0.0.1:80/",
        "http://127.0.0.1:0",
        "*",
    ],
)
def test_only_loopback_origins_can_be_allowed(origin: str) -> None:
    with pytest.raises(ValueError, match="loopback"):
        GuardedFetcher(allow_http_origins=frozenset({origin}))


PRIVATE = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "224.0.1.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2001:0:7f00:1::",
    "2001:db8::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "100::1",
    "not an address",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_input_52_an_address_that_is_not_public_is_refused(address: str) -> None:
    network = Routed(1)
    for addresses in ([address], [PUBLIC, address]):
        fetcher = GuardedFetcher(resolve=resolves_to(*addresses), network=network)
        with pytest.raises(AddressNotPublic):
            fetcher.fetch("https://issuer.example/", MEDIA_TYPE)
    assert network.asked == []


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
def test_input_52_a_redirect_is_refused(http_server: Server, status: int) -> None:
    fetcher, url = loopback(http_server)
    location = [f"Location: {url}/elsewhere", f"Content-Type: {MEDIA_TYPE}"]
    http_server.respond = lambda connection, _: connection.sendall(answer(status=f"{status} Go", headers=location))
    with pytest.raises(RedirectNotFollowed):
        fetcher.fetch(url, MEDIA_TYPE)
    assert len(http_server.requests) == 1


# Faults and floods


@pytest.mark.parametrize("status", ["404 Not Found", "410 Gone"])
def test_that_there_is_nothing_is_told_from_other_failures(http_server: Server, status: str) -> None:
    http_server.respond = lambda connection, _: connection.sendall(answer(b"", status=status))
    fetcher, url = loopback(http_server)
    with pytest.raises(UrlNotFound):
        fetcher.fetch(url, MEDIA_TYPE)


@pytest.mark.parametrize("status", ["403 Forbidden", "500 Oops", "204 No Content", "206 Partial"])
def test_another_status_than_200_is_a_failure_that_may_pass(http_server: Server, status: str) -> None:
    http_server.respond = lambda connection, _: connection.sendall(answer(b"", status=status))
    fetcher, url = loopback(http_server)
    with pytest.raises(FetchFailed) as failure:
        fetcher.fetch(url, MEDIA_TYPE)
    assert failure.value.retriable


@pytest.mark.parametrize(
    "headers",
    [
        ["Content-Type: text/html"],
        ["X: y"],
        [f"Content-Type: {MEDIA_TYPE}", "Content-Encoding: gzip"],
        ["Content-Type:"],
    ],
    ids=str,
)
def test_another_media_type_or_encoding_is_refused(http_server: Server, headers: list[str]) -> None:
    http_server.respond = lambda connection, _: connection.sendall(answer(headers=headers))
    fetcher, url = loopback(http_server)
    with pytest.raises(WrongContentType):
        fetcher.fetch(url, MEDIA_TYPE)


def test_one_of_several_media_types_is_taken(http_server: Server) -> None:
    fetcher, url = loopback(http_server)
    assert fetcher.fetch(url, f"text/plain, {MEDIA_TYPE}") == b"hello"
    assert f"\r\nAccept: text/plain, {MEDIA_TYPE}\r\n".encode() in http_server.requests[0]
    for accept in ("text/plain, application/json", MEDIA_TYPE + "+more", f"text/plain,{MEDIA_TYPE}"):
        with pytest.raises(WrongContentType):
            fetcher.fetch(url, accept)


def test_a_body_of_the_limit_is_read_and_one_byte_more_is_refused(http_server: Server) -> None:
    fetcher, url = loopback(http_server, max_bytes=1000)
    http_server.respond = lambda connection, _: connection.sendall(answer(b"x" * 1000))
    assert fetcher.fetch(url, MEDIA_TYPE) == b"x" * 1000
    with pytest.raises(ResponseTooLarge):
        fetcher.fetch(url, MEDIA_TYPE, max_bytes=999)
    http_server.respond = lambda connection, _: connection.sendall(answer(b"x" * 1001))
    assert fetcher.fetch(url, MEDIA_TYPE, max_bytes=1001) == b"x" * 1001
    with pytest.raises(ResponseTooLarge):
        fetcher.fetch(url, MEDIA_TYPE)


@pytest.mark.parametrize("length", ["99999999999999999999", "-1", "abc"])
def test_a_hostile_content_length_is_refused(http_server: Server, length: str) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {MEDIA_TYPE}\r\nContent-Length: {length}\r\n\r\n"
    http_server.respond = lambda connection, _: connection.sendall(head.encode() + b"hello")
    fetcher, url = loopback(http_server)
    with pytest.raises(IdentityError):
        fetcher.fetch(url, MEDIA_TYPE)


def test_an_endless_body_is_cut_at_the_limit(http_server: Server) -> None:
    sent = 0

    def flood(connection: socket.socket, _: bytes) -> None:
        nonlocal sent
        connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Type: {MEDIA_TYPE}\r\n\r\n".encode())
        while sent < 2**30:
            connection.sendall(b"x" * 4096)
            sent += 4096

    http_server.respond = flood
    fetcher, url = loopback(http_server)
    with pytest.raises(ResponseTooLarge):
        fetcher.fetch(url, MEDIA_TYPE)
    assert sent < 64 * 1024 * 1024


def drip(pieces: Sequence[bytes], wait_s: float) -> Respond:
    def respond(connection: socket.socket, _: bytes) -> None:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(wait_s)

    return respond


@pytest.mark.parametrize(
    "pieces",
    [
        [b"HTTP/1.1 200 OK\r\n", *[b"X-A: b\r\n"] * 100],
        [f"HTTP/1.1 200 OK\r\nContent-Type: {MEDIA_TYPE}\r\nContent-Length: 100\r\n\r\n".encode(), *[b"x"] * 100],
        [b"", *[b""] * 100],
    ],
    ids=["head", "body", "nothing"],
)
def test_a_dripping_server_is_left_at_the_deadline(http_server: Server, pieces: Sequence[bytes]) -> None:
    http_server.respond = drip(pieces, 0.1)
    fetcher, url = loopback(http_server, timeout_s=0.4)
    started = time.monotonic()
    with pytest.raises(FetchTimeout) as failure:
        fetcher.fetch(url, MEDIA_TYPE)
    assert 0.3 < time.monotonic() - started < 5
    assert failure.value.retriable


def test_a_silent_tls_handshake_is_left_at_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        fetcher = GuardedFetcher(resolve=resolves_to(PUBLIC), network=Routed(silent.getsockname()[1]), timeout_s=0.4)
        started = time.monotonic()
        with pytest.raises(FetchTimeout):
            fetcher.fetch("https://issuer.example/", MEDIA_TYPE)
        assert 0.3 < time.monotonic() - started < 5


def test_a_slow_resolver_is_left_at_the_deadline() -> None:
    release = threading.Event()

    def slow(_host: str, _port: int) -> Sequence[str]:
        release.wait(30)
        return [PUBLIC]

    started = time.monotonic()
    with pytest.raises(FetchTimeout):
        GuardedFetcher(resolve=slow, timeout_s=0.3).fetch("https://issuer.example/", MEDIA_TYPE)
    assert time.monotonic() - started < 5
    release.set()


def test_a_name_that_does_not_resolve_is_a_failure_that_may_pass() -> None:
    def unknown(_host: str, _port: int) -> Sequence[str]:
        raise socket.gaierror

    for resolve in (unknown, resolves_to()):
        with pytest.raises(FetchFailed) as failure:
            GuardedFetcher(resolve=resolve).fetch("https://issuer.example/", MEDIA_TYPE)
        assert failure.value.retriable


@pytest.mark.parametrize(
    "text",
    [b"", b"\0" * 100, b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 200\r\nbad header\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n"],
    ids=len,
)
def test_an_answer_that_is_no_http_is_a_failure(http_server: Server, text: bytes) -> None:
    http_server.respond = lambda connection, _: connection.sendall(text)
    fetcher, url = loopback(http_server)
    with pytest.raises(FetchFailed):
        fetcher.fetch(url, MEDIA_TYPE)


def test_a_body_cut_short_is_a_failure(http_server: Server) -> None:
    http_server.respond = lambda connection, _: connection.sendall(answer(b"half", length=8))
    fetcher, url = loopback(http_server)
    with pytest.raises(FetchFailed):
        fetcher.fetch(url, MEDIA_TYPE)


def test_refusals_are_final_and_failures_are_retriable() -> None:
    assert not any(leaf.retriable for leaf in [FetchRefused, *FetchRefused.__subclasses__()])
    assert FetchFailed.retriable
    assert FetchTimeout.retriable
