"""What an answer of the Messages API says was used, also one that was cut off in the middle."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

# What the API counts of a prompt: of every attempt at an answer, until it says otherwise.
_PROMPT: Final = (
    *("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"),
    "cache_creation",
)
_ENDINGS: Final = re.compile(r"(?:[-@](?:[0-9]{8}|latest)|-fast|-v[0-9]+(?::[0-9]+)*|\[1m\])+$")


@dataclass(slots=True)
class Tally:
    """Reads a stream of server-sent events as its bytes come along, in pieces of any size.

    `usage` is what the stream said so far, None before it began. Of a stream that was cut off
    nobody says how much output there was: then it is as many tokens as pieces of content arrived,
    each of which has at least one, so that nobody pays for more than was delivered.

    `asked` is the model that the request named, None where answers name another way. A fallback
    that took over is told in the stream, and in the usage of one that was cut off, as the API does:
    what it gave out is priced as its own, and what others gave out before as theirs.
    """

    asked: str | None = None
    message_id: str | None = None
    stop_reason: str | None = None
    usage: dict[str, Any] | None = None
    complete: bool = False
    _pieces: int = 0
    _told: bool = False
    _serving: str | None = None
    _declined: list[tuple[str, int]] = field(default_factory=list)
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
        # The token that the stream began with was of whom declined.
        begun = 0 if self._declined else usage.get("output_tokens") or 0
        if not self._told and (self._declined or self._pieces > begun):
            usage["output_tokens"] = self._pieces
            usage["headroom"] = {"output_tokens": "counted, as the stream was cut off"}
        # The end of a stream lists them itself, if there was a fallback.
        is_open = self._serving is not None and not usage.get("iterations")
        if is_open and (self._declined or not self._told):
            usage["iterations"] = self._attempts(usage)
        return usage

    def _attempts(self, usage: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the attempts as the API lists them; all of them read the prompt of the request."""
        prompt = {name: usage[name] for name in _PROMPT if usage.get(name) is not None}
        attempts = [("message", model, pieces) for model, pieces in self._declined]
        served = ("fallback_message", self._serving, usage.get("output_tokens") or 0)
        return [
            {"type": kind, "model": model, **prompt, "output_tokens": output}
            for kind, model, output in (*attempts, served)
        ]

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
                if self.asked is not None and _is_another(message.get("model"), self.asked):
                    self._serving = message["model"]
            case {
                "type": "content_block_start",
                "content_block": {
                    "type": "fallback",
                    "from": {"model": str() as declined},
                    "to": {"model": str() as serving},
                },
            }:
                self._declined.append((declined, self._pieces))
                self._serving, self._pieces = serving, 0
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
    """Whether a piece is of generated tokens, and not empty; a signature is neither.

    `content` is what a compaction gave out.
    """
    return any(delta.get(name) for name in ("text", "thinking", "partial_json", "content"))


def _is_another(served: object, asked: str) -> bool:
    """Tell whether an answer names another Claude model than was asked for.

    Two spellings of one model that are not seen through here have the same price; a name of a
    gateway's own has none.
    """
    return isinstance(served, str) and "claude" in served and _plain(served) != _plain(asked)


def _plain(model: str) -> str:
    """Return a name without what may stand around it: who runs it, its date, its version there."""
    name = model.rpartition("/")[2].rpartition("anthropic.")[2].replace(".", "-")
    return _ENDINGS.sub("", name.lower())
