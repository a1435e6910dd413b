"""The real functions of Headroom behind an HTTP server, with faults on the way to them."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

# Before the handlers: it makes their clients moto's.
import tests.in_process  # noqa: F401
from clients.python.tests.http_server import Exchange, serving
from functions.authorize_spend import handler as authorize_spend
from functions.ingest_usage import handler as ingest_usage
from headroom.spending.domain.budget import Budget
from headroom.spending.store.line_record import LineRecord
from tests.in_process import Application, Context, Organization, application, sample

NAME = "acme_finn"
USER = f"user_{NAME}"


@dataclass(frozen=True)
class Fault:
    """What happens to one request instead, or after it: an answer, or none."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"<html>Bad gateway</html>"
    reached: bool = False


LOST_REPLY = Fault(reached=True)
LOST_REQUEST = Fault()


class HeadroomServer:
    """One organization on the real functions. `faults` befall the next requests, in order.

    `down` is an outage: every request is cut off before it reaches anything. While `answering` is
    clear nothing is answered; `reached` tells that a request waits for that.
    """

    def __init__(self, app: Application, organization: Organization) -> None:
        self.app = app
        self.organization = organization
        self.base_url = ""
        self.faults: list[Fault] = []
        self.down = False
        self.answering = threading.Event()
        self.answering.set()
        self.reached = threading.Event()
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        # Moto is not atomic; the functions' own atomicity is tested elsewhere.
        self._lock = threading.Lock()

    @property
    def key(self) -> str:
        return self.organization.service_key

    def calls(self, method: str, path: str) -> list[tuple[str, str, dict[str, str], bytes]]:
        """Return the requests whose path begins so."""
        return [call for call in self.asked if call[0] == method and call[1].startswith(path)]

    def budget(self) -> Budget:
        with self._lock:
            return self.app.budget(self.organization, NAME)

    def holds(self) -> int:
        with self._lock:
            return self.app.holds(self.organization, NAME)

    def lines(self) -> list[LineRecord]:
        """Return the ledger, which was found to agree with the counters."""
        with self._lock:
            return self.app.lines(self.organization, NAME)

    def answer(self, exchange: Exchange) -> None:
        headers = {name.lower(): value for name, value in exchange.headers.items()}
        if not self.answering.is_set():
            self.reached.set()
            self.answering.wait(30)
        with self._lock:
            fault = self.faults.pop(0) if self.faults else None
            self.asked.append((exchange.command, exchange.path, headers, exchange.body))
            if self.down:
                exchange.hang_up()
                return
            if fault is not None and not fault.reached:
                _befall(exchange, fault)
                return
            raw = self._invoke(exchange, headers)
        if fault is not None:
            _befall(exchange, fault)
        else:
            exchange.reply(raw["statusCode"], raw["body"].encode(), raw["headers"])

    def _invoke(self, exchange: Exchange, headers: dict[str, str]) -> dict[str, Any]:
        event = sample("authorize_spend/create_authorization")
        path, _, query = exchange.path.partition("?")
        event |= {"rawPath": path, "rawQueryString": query, "headers": headers}
        event["requestContext"]["http"] |= {"method": exchange.command, "path": path}
        event["body"] = base64.b64encode(exchange.body).decode()
        event["isBase64Encoded"] = True
        is_usage = path.startswith("/v1/usage")
        function = ingest_usage.handler if is_usage else authorize_spend.handler
        return dict(function(event, cast("Any", Context())))


@contextmanager
def headroom_server(**document: Any) -> Iterator[HeadroomServer]:
    """Run Headroom with an organization of one member; a document changes how it is provisioned."""
    member = {
        "user_id": USER,
        "name": "Ada",
        "email": "ada@acme.example",
        "role": "primary_owner",
        "seat_tier": "standard",
        "continue_with_extra_usage": True,
    }
    wanted: dict[str, Any] = {
        "plan": "enterprise",
        "spend_limit": "10000",
        "seat_tiers": {"standard": {"allowance": []}},
        "members": [member],
        "wallet": {},
        **document,
    }
    if wanted["plan"] == "enterprise":
        del wanted["wallet"]
    with application() as app:
        server = HeadroomServer(app, _provision(app, wanted))
        with serving(server.answer) as base_url:
            server.base_url = base_url
            yield server


def _provision(app: Application, wanted: dict[str, Any]) -> Organization:
    document = sample("provision_organization/organization")
    del document["wallet"]
    answer = app.invoke_provisioning({**document, **wanted})
    assert answer["type"] == "organization", answer
    return Organization(answer["id"], answer["service_key"], answer["admin_key"], answer["members"])


def _befall(exchange: Exchange, fault: Fault) -> None:
    if fault.status is None:
        exchange.hang_up()
        return
    exchange.reply(fault.status, fault.body, {"content-type": "text/html", **fault.headers})


def wait_until(true: Callable[[], bool], *, seconds: float = 20) -> None:
    """Wait for what other threads and processes bring about."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def envelope(kind: str, message: str = "said so by the test") -> bytes:
    """Return an error as the contract has it."""
    return json.dumps({"type": "error", "error": {"type": kind, "message": message}}).encode()
