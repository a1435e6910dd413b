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
        usage = consistent(self.usage)
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
                said = {name: value for name, value in usage.items() if value is not None}
                self.usage = {**(self.usage or {}), **said}
                self._told = True
            case {"type": "message_stop"}:
                self.complete = True


def consistent(usage: Mapping[str, Any]) -> dict[str, Any]:
    """Return a usage whose cache writes by lifetime sum up to their total.

    A stream counts the total on, and says the lifetimes once, at its start; what came on top has
    the lifetime that all had, or else the default one.
    """
    fixed = dict(usage)
    total, lifetimes = usage.get("cache_creation_input_tokens"), usage.get("cache_creation")
    if type(total) is not int or not isinstance(lifetimes, Mapping):
        return fixed
    short = lifetimes.get("ephemeral_5m_input_tokens") or 0
    long = lifetimes.get("ephemeral_1h_input_tokens") or 0
    if type(short) is not int or type(long) is not int or short + long == total:
        return fixed
    if total < short + long:
        del fixed["cache_creation"]
        return fixed
    rest = total - short - long
    short, long = (short, long + rest) if long and not short else (short + rest, long)
    fixed["cache_creation"] = {
        **lifetimes,
        "ephemeral_5m_input_tokens": short,
        "ephemeral_1h_input_tokens": long,
    }
    return fixed


def _is_output(delta: Mapping[str, Any]) -> bool:
    """Whether a piece is of generated tokens, and not empty; a signature is neither."""
    return any(delta.get(name) for name in ("text", "thinking", "partial_json"))
