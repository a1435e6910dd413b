"""A small fake of the Messages API over HTTP: JSON and server-sent events, failures and aborts.

Its message batches have ended as soon as they are created.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from clients.python.tests.http_server import Exchange, serving

MODEL = "claude-sonnet-4-6"
INPUT_TOKENS = 25
WORDS = ("Money", " that", " is", " counted", " exactly", ".")
OUTPUT_TOKENS = 40
BATCHES = "/v1/messages/batches"


@dataclass
class Script:
    """What becomes of one request. By default it is answered as it should be.

    `status` fails it; `cut_after` ends the connection after so many events; `hold_after` waits for
    `go_on` after so many; `silent` hangs up without a word; `error_after` says `overloaded_error`.
    """

    status: int = 200
    cut_after: int | None = None
    hold_after: int | None = None
    error_after: int | None = None
    silent: bool = False
    without_usage: bool = False
    usage: dict[str, Any] = field(default_factory=dict)
    delta_usage: dict[str, Any] = field(default_factory=dict)
    stop_reason: str = "end_turn"
    words: tuple[str, ...] = WORDS
    output_tokens: int = OUTPUT_TOKENS
    content_encoding: str = "identity"
    go_on: threading.Event = field(default_factory=threading.Event)
    reached: threading.Event = field(default_factory=threading.Event)


@dataclass
class Asked:
    """A request that reached the API."""

    path: str
    body: dict[str, Any]
    headers: dict[str, str]


@dataclass
class Batch:
    """A batch that was created, and when."""

    id: str
    requests: list[dict[str, Any]]
    at: datetime = field(default_factory=lambda: datetime.now(UTC))


class FakeMessages:
    """Answers by its scripts, one after another, and by the default one when there are no more.

    The scripts are for messages and for batches to create. `outcomes` says by custom id how a
    request of a batch ended, if not well, and `results` how the results of batches are sent: each
    as one event.
    """

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.scripts: list[Script] = []
        self.batches: dict[str, Batch] = {}
        self.outcomes: dict[str, str] = {}
        self.results = Script()
        self.counted_tokens = INPUT_TOKENS
        self.base_url = ""
        self._lock = threading.Lock()
        self._number = 0

    def expect(self, script: Script) -> Script:
        """Let the next request that has no script yet be answered by this one."""
        self.scripts.append(script)
        return script

    def messages(self) -> list[Asked]:
        """Return the requests that would have been billed."""
        return [asked for asked in self.asked if asked.path.split("?")[0] == "/v1/messages"]

    def created(self) -> list[Asked]:
        """Return the requests to create a batch."""
        return [each for each in self.asked if each.path.split("?")[0] == BATCHES]

    def answer(self, exchange: Exchange) -> None:
        body = json.loads(exchange.body or b"{}")
        path = exchange.path
        with self._lock:
            self.asked.append(
                Asked(path, body, {k.lower(): v for k, v in exchange.headers.items()})
            )
            if path.split("?")[0] in ("/v1/messages", BATCHES):
                self._number += 1
                script = self.scripts.pop(0) if self.scripts else Script()
            else:
                script = Script()
            message_id = f"msg_{id(self):x}_{self._number}"
        if path.split("?")[0] == "/v1/messages/count_tokens":
            _json(exchange, 200, {"input_tokens": self.counted_tokens})
        elif path.startswith(BATCHES):
            self._answer_of_batches(exchange, script, body)
        elif path.split("?")[0] != "/v1/messages":
            _json(exchange, 200, {"type": "unexpected"})
        elif script.silent:
            script.reached.set()
            exchange.hang_up()
        elif script.status != 200:
            _json(exchange, script.status, _error("overloaded_error"))
        elif body.get("stream"):
            _stream(exchange, script, message_id, body)
        else:
            script.reached.set()
            if script.hold_after is not None:
                script.go_on.wait(10)
            message = _message(message_id, body, script)
            if script.without_usage:
                del message["usage"]
            _json(exchange, 200, message)

    def _answer_of_batches(self, exchange: Exchange, script: Script, body: dict[str, Any]) -> None:
        path = exchange.path.split("?")[0]
        found = re.fullmatch(rf"{BATCHES}/([^/]+)(/results|/cancel)?", path)
        if exchange.command == "DELETE":
            assert found is not None
            _json(exchange, 200, {"id": found[1], "type": "message_batch_deleted"})
        elif found is not None and found[2] == "/results":
            self._send_results(exchange, self.batches[found[1]])
        elif found is not None:
            _json(exchange, 200, self._described(self.batches[found[1]]))
        elif exchange.command == "GET":
            listed = [self._described(each) for each in self.batches.values()]
            _json(exchange, 200, {"data": listed, "has_more": False})
        elif script.status != 200:
            _json(exchange, script.status, _error("overloaded_error"))
        else:
            batch = Batch(f"msgbatch_{id(self):x}_{self._number}", body["requests"])
            self.batches[batch.id] = batch
            script.reached.set()
            if script.hold_after is not None:
                script.go_on.wait(10)
            if script.silent:
                exchange.hang_up()
            else:
                _json(exchange, 200, self._described(batch))

    def _described(self, batch: Batch) -> dict[str, Any]:
        return {
            "id": batch.id,
            "type": "message_batch",
            "processing_status": "ended",
            "request_counts": {"processing": 0, "succeeded": len(batch.requests)},
            "created_at": batch.at.isoformat(),
            "ended_at": batch.at.isoformat(),
            "expires_at": (batch.at + timedelta(days=1)).isoformat(),
            "results_url": f"{self.base_url}{BATCHES}/{batch.id}/results",
        }

    def _send_results(self, exchange: Exchange, batch: Batch) -> None:
        script = self.results
        kind = {"content-type": "application/x-jsonl", "content-encoding": script.content_encoding}
        exchange.begin_chunks(kind)
        for number, asked in enumerate(batch.requests):
            if number == script.hold_after:
                script.reached.set()
                script.go_on.wait(10)
            if number == script.cut_after:
                exchange.hang_up()
                return
            result = self._result(batch, asked, script)
            line = json.dumps({"custom_id": asked["custom_id"], "result": result})
            is_last = number + 1 == len(batch.requests)
            exchange.chunk((line if is_last else f"{line}\n").encode())
        exchange.chunk(b"")

    def _result(self, batch: Batch, asked: dict[str, Any], script: Script) -> dict[str, Any]:
        custom_id = asked["custom_id"]
        outcome = self.outcomes.get(custom_id, "succeeded")
        if outcome == "errored":
            return {"type": outcome, "error": _error("invalid_request_error")}
        if outcome != "succeeded":
            return {"type": outcome}
        message = _message(f"msg_{batch.id}_{custom_id}", asked["params"], script)
        message["usage"] |= {"service_tier": "batch", **script.usage}
        if script.without_usage:
            del message["usage"]
        return {"type": outcome, "message": message}


@contextmanager
def fake_messages() -> Iterator[FakeMessages]:
    """Run the fake."""
    fake = FakeMessages()
    with serving(fake.answer) as base_url:
        fake.base_url = base_url
        yield fake


def usage_of(script: Script, output_tokens: int) -> dict[str, Any]:
    return {
        "input_tokens": INPUT_TOKENS,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output_tokens,
        "service_tier": "standard",
        **script.usage,
    }


def _message(message_id: str, body: dict[str, Any], script: Script) -> dict[str, Any]:
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [{"type": "text", "text": "".join(script.words)}] if script.words else [],
        "stop_reason": script.stop_reason,
        "stop_sequence": None,
        "usage": usage_of(script, min(script.output_tokens, body["max_tokens"])),
    }


def _events(message_id: str, body: dict[str, Any], script: Script) -> Iterator[dict[str, Any]]:
    start = {**_message(message_id, body, script), "content": [], "stop_reason": None}
    start["usage"] = usage_of(script, 1)
    yield {"type": "message_start", "message": start}
    if script.words:
        block = {"type": "text", "text": ""}
        yield {"type": "content_block_start", "index": 0, "content_block": block}
        for word in script.words:
            delta = {"type": "text_delta", "text": word}
            yield {"type": "content_block_delta", "index": 0, "delta": delta}
        yield {"type": "content_block_stop", "index": 0}
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": script.stop_reason, "stop_sequence": None},
        "usage": {
            "output_tokens": min(script.output_tokens, body["max_tokens"]),
            **script.delta_usage,
        },
    }
    yield {"type": "message_stop"}


def _stream(exchange: Exchange, script: Script, message_id: str, body: dict[str, Any]) -> None:
    exchange.begin_chunks({"content-type": "text/event-stream; charset=utf-8"})
    for number, event in enumerate(_events(message_id, body, script)):
        if number == script.error_after:
            _send_event(exchange, {"type": "error", **_error("overloaded_error")})
            break
        if number == script.hold_after:
            script.reached.set()
            script.go_on.wait(10)
        if number == script.cut_after:
            exchange.hang_up()
            return
        _send_event(exchange, event)
    exchange.chunk(b"")


def _send_event(exchange: Exchange, event: dict[str, Any]) -> None:
    exchange.chunk(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())


def _error(kind: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": "said so by the script"}}


def _json(exchange: Exchange, status: int, body: dict[str, Any]) -> None:
    exchange.reply(status, json.dumps(body).encode(), {"content-type": "application/json"})
