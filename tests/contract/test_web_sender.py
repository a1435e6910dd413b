"""What leaves for a webhook endpoint: to the resolved address only, bounded, never redirected."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from headroom.notifications.gateways.webhooks import NotDelivered, WebSender
from tests.webhook_scene import Receiver, receiver

NAME = "hooks.acme.example"


@pytest.fixture
def here() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


def refusal(sender: WebSender, url: str) -> str:
    with pytest.raises(NotDelivered) as refused:
        sender.send(url, {}, b"{}")
    return refused.value.reason


def test_a_message_arrives_as_it_was_given(here: Receiver) -> None:
    here.statuses = [202]

    status = WebSender(loopback=True).send(here.url, {"webhook-id": "evt_1"}, b'{"a":1}')

    assert status == 202
    (message,) = here.received
    assert message.body == '{"a":1}'
    assert message.headers["webhook-id"] == "evt_1"
    assert message.headers["content-type"] == "application/json"
    assert message.headers["host"] == here.url.split("/")[2]


def test_this_machine_is_refused_where_it_is_not_allowed(here: Receiver) -> None:
    assert refusal(WebSender(), here.url) == "address_refused"
    assert here.received == []


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["10.0.0.7"], ["1.1.1.1", "169.254.169.254"], ["::ffff:10.0.0.1"]]
)
def test_a_name_that_means_something_inside_is_refused(addresses: Sequence[str]) -> None:
    """Also when it means something public as well."""
    sender = WebSender(resolve=lambda host, port: addresses)
    assert refusal(sender, "https://hooks.acme.example/") == "address_refused"


def test_a_name_is_resolved_once_and_the_connection_goes_where_it_led(here: Receiver) -> None:
    """A second look could be told another address: that is how rebinding works."""
    port = int(here.url.split(":")[2].split("/")[0])
    looks: list[str] = []

    def resolve(host: str, port: int) -> Sequence[str]:
        looks.append(host)
        return ["127.0.0.1"]

    sender = WebSender(loopback=True, resolve=resolve)
    assert sender.send(f"http://localhost:{port}/", {}, b"{}") == 204
    assert looks == ["localhost"]
    assert here.received[0].headers["host"] == f"localhost:{port}"


def test_a_redirect_is_an_answer_and_not_followed() -> None:
    with receiver() as inside:

        def redirect(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(307)
            handler.send_header("location", inside.url)
            handler.send_header("content-length", "0")
            handler.end_headers()

        with receiver(redirect) as outside:
            assert WebSender(loopback=True).send(outside.url, {}, b"{}") == 307
        assert inside.received == []


def test_an_unknown_name_and_a_closed_door_are_told_apart() -> None:
    def unknown(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror

    assert refusal(WebSender(resolve=unknown), f"https://{NAME}/") == "unresolvable"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert refusal(WebSender(loopback=True), f"http://127.0.0.1:{port}/") == "connection_failed"


def test_an_endless_answer_is_not_read() -> None:
    """Its first line is all that counts."""

    def flood(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            for _ in range(1000):
                handler.wfile.write(b"x" * 65536)
        except OSError:
            pass

    with receiver(flood) as running:
        started = time.monotonic()
        assert WebSender(loopback=True).send(running.url, {}, b"{}") == 200
        assert time.monotonic() - started < 2


def dripping(first: bytes) -> Iterator[str]:
    """Run a server that says `first` and then a byte now and then, for longer than anyone waits."""
    stopped = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            connection, _ = server.accept()
            with connection:
                try:
                    connection.sendall(first)
                    while not stopped.wait(0.1):
                        connection.sendall(b"x")
                except OSError:
                    pass

        thread = threading.Thread(target=drip)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        stopped.set()
        thread.join()


@pytest.fixture
def dripping_headers() -> Iterator[str]:
    yield from dripping(b"HTTP/1.1 200 OK\r\nx: ")


@pytest.fixture
def dripping_handshake() -> Iterator[str]:
    yield from dripping(b"\x16\x03\x03\x3f\xff")


def test_whoever_drips_is_cut_off(dripping_headers: str) -> None:
    started = time.monotonic()
    sender = WebSender(loopback=True, total_seconds=1)

    assert refusal(sender, f"http://{dripping_headers}/") == "timeout"

    assert time.monotonic() - started < 3


def test_whoever_drips_a_handshake_is_cut_off(dripping_handshake: str) -> None:
    started = time.monotonic()
    sender = WebSender(loopback=True, total_seconds=1)

    assert refusal(sender, f"https://{dripping_handshake}/") == "timeout"

    assert time.monotonic() - started < 3


def test_what_speaks_no_http_is_a_failure() -> None:
    def babble(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"220 mail.example ESMTP\r\n")

    with receiver(babble) as running:
        assert refusal(WebSender(loopback=True), running.url) == "no_http_answer"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for NAME that signs itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@pytest.fixture
def secure(certificate: Path) -> Iterator[int]:
    """Run a server over TLS that answers 204 to whatever it is sent; yields its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)

        def serve() -> None:
            try:
                connection, _ = server.accept()
                with context.wrap_socket(connection, server_side=True) as wrapped:
                    said = b""
                    while not said.endswith(b"{}"):
                        said += wrapped.recv(65536)
                    wrapped.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
            except (OSError, ssl.SSLError):
                pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


def test_the_certificate_has_to_be_the_names_and_not_the_addresses(
    secure: int, certificate: Path
) -> None:
    trusting = ssl.create_default_context(cafile=str(certificate))
    sender = WebSender(loopback=True, resolve=lambda host, port: ["127.0.0.1"], context=trusting)
    assert sender.send(f"https://{NAME}:{secure}/", {}, b"{}") == 204


def test_a_certificate_of_another_name_is_refused(secure: int, certificate: Path) -> None:
    trusting = ssl.create_default_context(cafile=str(certificate))
    sender = WebSender(loopback=True, resolve=lambda host, port: ["127.0.0.1"], context=trusting)
    assert refusal(sender, f"https://other.example:{secure}/") == "tls_failed"


def test_a_certificate_that_nobody_trusts_is_refused(secure: int) -> None:
    sender = WebSender(loopback=True, resolve=lambda host, port: ["127.0.0.1"])
    assert refusal(sender, f"https://{NAME}:{secure}/") == "tls_failed"
