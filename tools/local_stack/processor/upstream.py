"""localstripe as the processor calls it."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tools import processes
from tools.local_stack.emulator import STACK_PYTHON

LOOPBACK = Path(__file__).with_name("loopback.py")
START_PATIENCE_SECONDS = 20.0
STOP_PATIENCE_SECONDS = 10.0
TIMEOUT_SECONDS = 10.0
# localstripe takes any key of this form.
ANY_KEY = "sk_test_local"

Data = dict[str, Any]


class UpstreamFailed(Exception):
    """localstripe did not start."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and the JSON that came with it, or the `page` that a person sees instead."""

    status: int
    data: Data
    headers: dict[str, str] = field(default_factory=dict)
    page: str | None = None


@dataclass(frozen=True, slots=True)
class Upstream:
    """localstripe at an address."""

    url: str

    def send(self, method: str, path: str, body: bytes = b"", *, key: str = ANY_KEY) -> Answer:
        """Pass a request on; `path` may carry a query."""
        request = urllib.request.Request(  # noqa: S310  (our own http address)
            self.url + path,
            data=body if method == "POST" else None,
            method=method,
            headers={
                "authorization": f"Bearer {key}",
                "content-type": "application/x-www-form-urlencoded",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
                return Answer(answer.status, _parse(answer.read()))
        except urllib.error.HTTPError as error:
            return Answer(error.code, _parse(error.read()))

    def post(self, path: str, **fields: object) -> Answer:
        """Send fields by POST."""
        return self.send("POST", path, urlencode(fields).encode())

    def get(self, path: str) -> Data | None:
        """Return an object, None if there is none."""
        answer = self.send("GET", path)
        return answer.data if answer.status == 200 else None

    def listed(self, path: str) -> list[Data]:
        """Return all that is listed under a path, oldest first."""
        found: list[Data] = self.send("GET", f"{path}?limit=1000000").data["data"]
        return found

    def is_up(self) -> bool:
        try:
            return self.send("GET", "/v1/events?limit=1").status == 200
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False


class LocalStripe:
    """A localstripe process of our own, with its store under `home`."""

    def __init__(self, home: Path) -> None:
        if not STACK_PYTHON.exists():
            raise UpstreamFailed(f"{STACK_PYTHON} is missing; `make up` builds it")
        home.mkdir(parents=True, exist_ok=True)
        port = processes.free_port()
        log = home / "localstripe.log"
        with log.open("wb") as output:
            # A child in our session, so that whoever ends the group of this process ends it too.
            self._process = subprocess.Popen(
                [STACK_PYTHON, LOOPBACK, str(port), str(home / "localstripe.pickle")],
                cwd=home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.upstream = Upstream(f"http://127.0.0.1:{port}")
        deadline = time.monotonic() + START_PATIENCE_SECONDS
        while not self.upstream.is_up():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise UpstreamFailed(f"localstripe did not start:\n{processes.tail(log)}")
            time.sleep(processes.POLL_SECONDS)

    def stop(self) -> None:
        """End it, letting it write its store."""
        self._process.terminate()
        try:
            self._process.wait(STOP_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _parse(text: bytes) -> Data:
    try:
        told = json.loads(text)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
