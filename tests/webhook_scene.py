"""A queue in memory, and a receiver of webhooks on this machine, for tests of what is sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook

KEY = b"a key of the deployment"


class MemoryQueue:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.bodies: list[str] = []

    def send(self, messages: Iterable[dict[str, Any]], *, delay_seconds: int = 0) -> int:
        sent = [json.dumps(message) for message in messages]
        self.bodies += sent
        return len(sent)

    def take(self) -> list[dict[str, Any]]:
        """Return the messages, and forget them."""
        taken, self.bodies = self.bodies, []
        return [json.loads(body) for body in taken]


@dataclass(frozen=True)
class Received:
    """A message as it arrived."""

    headers: Mapping[str, str]
    body: str

    def verify(self, secret: str) -> dict[str, Any]:
        """Return the content, if the specification's own library finds it signed with this."""
        content: dict[str, Any] = Webhook(secret).verify(self.body, dict(self.headers))
        return content


@dataclass
class Receiver:
    """Answers with the statuses it was told, one after the other, then with 204."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)


@contextmanager
def receiver(answer: Callable[[BaseHTTPRequestHandler], None] | None = None) -> Iterator[Receiver]:
    """Run a receiver on the loopback interface. `answer` may answer in a way of its own."""
    running = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            headers = {name.lower(): value for name, value in self.headers.items()}
            running.received.append(Received(headers, body))
            if answer is not None:
                answer(self)
                return
            self.send_response(running.statuses.pop(0) if running.statuses else 204)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    running.url = f"http://127.0.0.1:{server.server_port}/hook?from=headroom"
    try:
        yield running
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
