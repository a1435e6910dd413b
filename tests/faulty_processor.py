"""The local payment processor with the faults of a network and of a processor, on demand.

Replies are lost or late, before or after the processor acted, or errors are answered in their
place. `POST /_config/faults` says what is next, so that a deployed stack can be tried as well.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from tools.local_stack.processor.asking import Asked
from tools.local_stack.processor.processor import Processor
from tools.local_stack.processor.running import run
from tools.local_stack.processor.server import ReplyLost
from tools.local_stack.processor.upstream import Answer, Upstream

# "lost" closes the connection; "error" answers 500, which is kept under the key if it acted.
Kind = Literal["lost_before", "lost_after", "error_before", "error_after", "late"]


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong the next `times` times that `path` is called by `method`."""

    kind: Kind
    path: str
    method: str = "POST"
    times: int = 1
    seconds: float = 0.0


class FaultyProcessor(Processor):
    """A processor whose next replies go wrong as they are told to."""

    def __init__(self, upstream: Upstream, tell: Callable[[dict[str, Any]], None]) -> None:
        super().__init__(upstream, tell)
        self._faults: list[Fault] = []
        self._choosing = threading.Lock()
        # How often each request was carried out, whatever became of its reply.
        self.acted: list[tuple[str, str]] = []

    def break_next(self, fault: Fault) -> None:
        """Let a fault happen."""
        with self._choosing:
            self._faults.append(fault)

    def answer(self, asked: Asked) -> Answer:
        fault = None if asked.path.startswith("/_config/") else self._next(asked)
        match fault and fault.kind:
            case "lost_before":
                raise ReplyLost
            case "lost_after":
                super().answer(asked)
                raise ReplyLost
            case "error_before":
                return _error()
            case "late":
                assert fault is not None
                time.sleep(fault.seconds)
            case "error_after":
                # Stripe keeps a 500 under the key, and replays it to whoever asks again.
                asked = replace(asked, headers={**asked.headers, "x-error-after": "yes"})
        return super().answer(asked)

    def act(self, asked: Asked) -> Answer:
        if asked.method == "POST":
            self.acted.append((asked.method, asked.path))
        answer = super().act(asked)
        return _error() if "x-error-after" in asked.headers else answer

    def configure(self, asked: Asked) -> Answer:
        if (asked.method, asked.path) != ("POST", "/_config/faults"):
            return super().configure(asked)
        fields: dict[str, Any] = dict(asked.fields)
        fields |= {name: int(fields[name]) for name in ("times",) if name in fields}
        fields |= {name: float(fields[name]) for name in ("seconds",) if name in fields}
        self.break_next(Fault(**fields))
        return Answer(200, {})

    def _next(self, asked: Asked) -> Fault | None:
        with self._choosing:
            for index, fault in enumerate(self._faults):
                if (fault.method, fault.path) == (asked.method, asked.path):
                    if fault.times > 1:
                        self._faults[index] = replace(fault, times=fault.times - 1)
                    else:
                        del self._faults[index]
                    return fault
        return None


def _error() -> Answer:
    return Answer(500, {"error": {"type": "api_error", "message": "something went wrong"}})


if __name__ == "__main__":
    run(FaultyProcessor)
