"""The processor over HTTP, on the loopback interface."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tools.local_stack.processor.asking import Asked, parse_target
from tools.local_stack.processor.processor import Processor


class ReplyLost(Exception):
    """The connection is to be closed without a reply."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # A burst of clients should be answered, and not turned away at the door.
    request_queue_size = 128


class ProcessorServer:
    """A processor that answers at `url` until it is closed.

    `keep` is called before each answer to what may have changed something.
    """

    def __init__(
        self, processor: Processor, port: int = 0, keep: Callable[[], None] = lambda: None
    ) -> None:
        self._server = _Server(("127.0.0.1", port), _handler_of(processor, keep))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler_of(processor: Processor, keep: Callable[[], None]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body leave in two writes; without this the second waits for an acknowledgement.
        disable_nagle_algorithm = True

        def _answer(self) -> None:
            path, query = parse_target(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length") or 0))
            try:
                answer = processor.answer(Asked(self.command, path, query, headers, body))
                if self.command != "GET":
                    keep()
            except ReplyLost:
                self.close_connection = True
                return
            kind, text = "application/json", json.dumps(answer.data).encode()
            if answer.page is not None:
                kind, text = "text/html; charset=utf-8", answer.page.encode()
            self.send_response(answer.status)
            for name, value in {"content-type": kind, **answer.headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_DELETE = _answer  # noqa: N815  (the names that it looks for)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing: a log of every payment is nobody's wish here."""

    return Handler
