"""Sending a webhook: signed by the Standard Webhooks specification, to a public address only."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from http.client import HTTPConnection, HTTPException
from typing import Final, Protocol

from standardwebhooks import Webhook

from headroom.core.errors import InvalidRequest
from headroom.notifications.domain.targets import Target, is_public, parse_target

CONNECT_TIMEOUT_SECONDS: Final = 3
READ_TIMEOUT_SECONDS: Final = 10
# From the first packet to the status line, however slowly the receiver drips.
TOTAL_SECONDS: Final = 15
ADDRESSES_TRIED_MAX: Final = 2
USER_AGENT: Final = "Headroom-Webhooks/1"

# Returns the addresses of a host, or raises OSError.
Resolve = Callable[[str, int], Sequence[str]]


class NotDelivered(Exception):
    """The receiver gave no answer; `reason` is what an owner is told of it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Sender(Protocol):
    """Whoever carries a message to its endpoint."""

    def send(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """Send a message and return the status of the answer.

        Raises:
            NotDelivered: there was no answer.
        """


def sign(secrets: Sequence[str], message_id: str, payload: str, now: datetime) -> Mapping[str, str]:
    """Return the headers that prove a message, one signature for each secret."""
    signatures = [Webhook(secret).sign(message_id, now, payload) for secret in secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def resolve_by_dns(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a host, IPv4 first: Lambda has no way out by IPv6."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return sorted({str(entry[4][0]) for entry in found}, key=lambda each: (":" in each, each))


class WebSender:
    """Sends over HTTPS to the address that the host's name had when it was looked at.

    The name is resolved once, every address is held against the rules, and the connection goes to
    one of them: a name that means another address a moment later leads nowhere. Redirects are
    answers like others, no proxy is asked, and the body of the answer is not read.
    """

    def __init__(
        self,
        *,
        loopback: bool = False,
        resolve: Resolve = resolve_by_dns,
        context: ssl.SSLContext | None = None,
        total_seconds: int = TOTAL_SECONDS,
    ) -> None:
        self._loopback = loopback
        self._resolve = resolve
        self._context = context or ssl.create_default_context()
        self._total_seconds = total_seconds

    def send(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        try:
            target = parse_target(url, loopback=self._loopback)
        except InvalidRequest as error:
            raise NotDelivered("address_refused") from error
        carried = {
            "Host": target.authority,
            "Content-Type": "application/json",
            "User-Agent": USER_AGENT,
            "Accept-Encoding": "identity",
            "Connection": "close",
            **headers,
        }
        failure = NotDelivered("unresolvable")
        for address in self._addresses(target)[:ADDRESSES_TRIED_MAX]:
            try:
                plain = socket.create_connection((address, target.port), CONNECT_TIMEOUT_SECONDS)
            except OSError:
                failure = NotDelivered("connection_failed")
                continue
            return self._exchange(plain, target, carried, body)
        raise failure

    def _addresses(self, target: Target) -> Sequence[str]:
        try:
            addresses = self._resolve(target.host, target.port)
        except (OSError, UnicodeError) as error:
            raise NotDelivered("unresolvable") from error
        # One that is not public among those that are is a trap, and no mistake.
        if not all(is_public(address, loopback=self._loopback) for address in addresses):
            raise NotDelivered("address_refused")
        return addresses

    def _exchange(
        self, plain: socket.socket, target: Target, headers: Mapping[str, str], body: bytes
    ) -> int:
        line = _Line(plain)
        watch = threading.Timer(self._total_seconds, line.cut)
        watch.start()
        try:
            plain.settimeout(READ_TIMEOUT_SECONDS)
            if target.secure:
                wrapped = self._context.wrap_socket(
                    plain, server_hostname=target.host, do_handshake_on_connect=False
                )
                line.socket = wrapped
                wrapped.do_handshake()
            connection = HTTPConnection(target.host, target.port)
            connection.auto_open = 0
            connection.sock = line.socket
            connection.request("POST", target.path, body, dict(headers))
            status = connection.getresponse().status
            # What was cut off in the middle looks like an answer that ended.
            if line.is_cut:
                raise NotDelivered("timeout")
            return status
        except ssl.SSLError as error:
            raise NotDelivered("timeout" if line.is_cut else "tls_failed") from error
        except TimeoutError as error:
            raise NotDelivered("timeout") from error
        except HTTPException as error:
            raise NotDelivered("timeout" if line.is_cut else "no_http_answer") from error
        except OSError as error:
            raise NotDelivered("timeout" if line.is_cut else "connection_lost") from error
        finally:
            watch.cancel()
            line.socket.close()


class _Line:
    """A connection that another thread can cut, whatever it is waiting for."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.is_cut = False

    def cut(self) -> None:
        self.is_cut = True
        with suppress(OSError):
            # Not the method of a TLS socket, which would take the session from under its reader.
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)
