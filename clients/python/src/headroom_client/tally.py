"""What an answer of the Messages API says was used, also one that was cut off in the middle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Tally:
    """Reads a stream of server-sent events as its bytes come along, in pieces of any size.

    `usage` is what the stream said so far, None before it began. Of a stream that was cut off
    nobody says how much output there was: then it is as many tokens as pieces of content arrived,
    each of which has at least one, so that nobody pays for more than was delivered.
    """

    message_id: str | None = None
    stop_reason: str | None = None
    usage: dict[str, Any] | None = None
    complete: bool = False
    _pieces: int = 0
    _told: bool = False
    _rest: bytes = b""
    _data: list[bytes] = field(default_factory=list)

    def feed(self, chunk: bytes) -> None:
        """Take in the next bytes."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for raw in lines:
            line = raw.rstrip(b"\r")
            if line.startswith(b"data:"):
                self._data.append(line[5:].strip())
            elif not line and self._data:
                data, self._data = b"\n".join(self._data), []
                self._take(data)

    def final_usage(self) -> dict[str, Any] | None:
        """Return the usage to record, None if the model did not begin to answer."""
        if self.usage is None:
            return None
        usage = dict(self.usage)
        if not self._told and self._pieces > (usage.get("output_tokens") or 0):
            usage["output_tokens"] = self._pieces
            usage["headroom"] = {"output_tokens": "counted, as the stream was cut off"}
        return usage

    def _take(self, data: bytes) -> None:
        try:
            event = json.loads(data)
        except ValueError:
            return
        match event:
            case {"type": "message_start", "message": Mapping() as message}:
                found, usage = message.get("id"), message.get("usage")
                self.message_id = found if isinstance(found, str) else None
                self.usage = dict(usage) if isinstance(usage, Mapping) else None
            case {"type": "content_block_delta", "delta": Mapping() as delta}:
                self._pieces += _is_output(delta)
            case {"type": "message_delta", "usage": Mapping() as usage}:
                self.stop_reason = stop_reason_of(event.get("delta")) or self.stop_reason
                said = {name: value for name, value in usage.items() if value is not None}
                self.usage = {**(self.usage or {}), **said}
                self._told = True
            case {"type": "message_stop"}:
                self.complete = True


def stop_reason_of(message: object) -> str | None:
    """Return why a message, or what is known of one, says that it ended."""
    found = message.get("stop_reason") if isinstance(message, Mapping) else None
    return found if isinstance(found, str) else None


def _is_output(delta: Mapping[str, Any]) -> bool:
    """Whether a piece is of generated tokens, and not empty; a signature is neither."""
    return any(delta.get(name) for name in ("text", "thinking", "partial_json"))
