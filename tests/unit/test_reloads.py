"""Asking for a reload at once never fails the request that crossed the threshold."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from headroom.core.settings import ReloadSettings
from headroom.wallets.gateways.reloads import LambdaReloads

SETTINGS = ReloadSettings("reload-wallet", "us-east-1")


def test_it_is_invoked_without_waiting_for_what_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str | None, Any]] = []

    class Service(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            asked.append(
                (self.path, self.headers["x-amz-invocation-type"], json.loads(body)),
            )
            self.send_response(202)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    warned: list[Any] = []
    with HTTPServer(("127.0.0.1", 0), Service) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        LambdaReloads(SETTINGS, lambda *told, **facts: warned.append(facts)).ask("org_1")
        server.shutdown()
        thread.join()
    path = "/2015-03-31/functions/reload-wallet/invocations"
    assert asked == [(path, "Event", {"organization_id": "org_1"})]
    assert warned == []


def test_a_service_that_is_not_there_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    warned: list[Any] = []
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    began = time.monotonic()

    LambdaReloads(SETTINGS, lambda *told, **facts: warned.append(facts)).ask("org_1")

    assert [facts["org_id"] for facts in warned] == ["org_1"]
    assert time.monotonic() - began < 10
