"""Takes what the outbox keeps to Headroom, on a thread of its own.

The thread serves the asynchronous client too: SQLite blocks, and what is to be delivered must not
depend on an event loop that may be closed, or busy.
"""

from __future__ import annotations

import logging
import os
import queue
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import compress
from typing import Any, Final

from headroom_client import calls
from headroom_client.errors import (
    Conflict,
    HeadroomError,
    InvalidRequest,
    NotFound,
    Refused,
    RequestTooLarge,
    ServerFailed,
    Unavailable,
)
from headroom_client.line import Line, may_repeat
from headroom_client.outbox import (
    HOLD_MARGIN_SECONDS,
    HOLD_RETRY_SECONDS,
    Entry,
    Kind,
    Left,
    Outbox,
)
from headroom_client.reading import authorization, usage_results

ATTEMPT_SECONDS: Final = 30.0
ATTEMPT_SECONDS_MIN: Final = 0.05
WAIT_SECONDS_FIRST: Final = 0.2
WAIT_SECONDS_MAX: Final = 60.0
LOOK_SECONDS: Final = 0.02
# How many entries that go one by one are sent before the next events are looked for.
SINGLES_MAX: Final = 100
# After so many attempts a batch that Headroom fails at is looked through, event by event.
SUSPECT_AFTER: Final = 3
# What the answer to a batch, or to a single call, says of what was sent, not of Headroom's state.
WRONG_IN_ITSELF: Final = (InvalidRequest, RequestTooLarge, Conflict)

log = logging.getLogger("headroom_client")

Deliver = Callable[[Sequence[Entry], float | None], bool]


@dataclass(frozen=True, slots=True)
class Flushed:
    """What a flush left in the outbox, and why. It is true if nothing was left."""

    left: tuple[Left, ...] = ()

    def __bool__(self) -> bool:
        return not self.left

    def __str__(self) -> str:
        if not self.left:
            return "nothing waits"
        reasons = "; ".join(f"{left.count} {left.because}" for left in self.left)
        return f"{sum(left.count for left in self.left)} wait: {reasons}"


class Courier:
    """Delivers an outbox by one line, until it is closed."""

    def __init__(self, outbox: Outbox, line: Line) -> None:
        self._outbox = outbox
        self._line = line
        self._pid = 0
        self._thread = threading.Thread()
        # A simple queue may be used from destructors, as an Event may not.
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._starting = threading.RLock()
        self._closing = False
        self._failures = 0
        self.last_error: HeadroomError | None = None

    def start(self) -> None:
        """See that the thread runs, also in a process that was forked from the one that had it."""
        if self._pid != os.getpid():
            # Whoever held the lock at the fork is not here to let it go.
            self._starting = threading.RLock()
        with self._starting:
            if self._closing or (self._pid == os.getpid() and self._thread.is_alive()):
                return
            self._bell = queue.SimpleQueue()
            self._thread = threading.Thread(target=self._run, name="headroom-courier", daemon=True)
            self._thread.start()
            self._pid = os.getpid()

    def wake(self) -> None:
        """Tell the thread that there is something to deliver. Safe to call from a destructor."""
        if self._pid == os.getpid():
            self._bell.put(None)

    def flush(self, timeout_seconds: float) -> Flushed:
        """Deliver here and now, beside the thread; say what is left if time is up first.

        It needs no thread: at the end of a program none can be started any more.
        """
        deadline = time.monotonic() + timeout_seconds
        if self._outbox.waiting():
            self._outbox.hasten()
            self._failures = 0
        while self._outbox.waiting():
            if time.monotonic() >= deadline:
                # The thread may rest until the end of what was leased here, and is free again.
                self.wake()
                return Flushed(tuple(self._outbox.left()))
            if not self._round(deadline):
                time.sleep(LOOK_SECONDS)
        return Flushed()

    def close(self) -> None:
        """Stop the thread after what it is at."""
        self._closing = True
        if self._pid == os.getpid():
            self.wake()
            self._thread.join(ATTEMPT_SECONDS + 5)

    def _run(self) -> None:
        while not self._closing:
            try:
                delivered = self._round()
            except Exception as error:
                # The edge of the thread: a full disk, say. It must outlive that.
                log.exception("the outbox could not be delivered")
                delivered, self._failures = False, self._failures + 1
                self.last_error = Unavailable(str(error))
            if not delivered and not self._closing:
                self._rest()

    def _rest(self) -> None:
        try:
            self._bell.get(timeout=self._rest_seconds())
            while True:  # One round serves all that rang.
                self._bell.get_nowait()
        except queue.Empty:
            pass

    def _rest_seconds(self) -> float | None:
        """Return how long to do nothing: after failures for longer, but while holds are open."""
        due = self._outbox.due_in_seconds()
        if due is None or not self._failures:
            return due
        rest = self._backoff()
        expires = self._outbox.hold_expires_in_seconds()
        if expires is not None:
            rest = min(rest, max(expires - HOLD_MARGIN_SECONDS, HOLD_RETRY_SECONDS))
        return max(due, rest)

    def _round(self, deadline: float | None = None) -> bool:
        """Deliver what is due of each kind; return whether there was any, and all of it went.

        With a deadline, a moment of the monotonic clock, nothing begins after it.
        """
        sent = False
        # What is given back becomes a release.
        steps: tuple[tuple[Kind, int, Deliver], ...] = (
            ("event", calls.EVENTS_MAX, self._deliver_events),
            ("give_back", 1, self._learn_what_to_release),
            ("release", 1, self._deliver_release),
        )
        for kind, size, deliver in steps:
            for _ in range(SINGLES_MAX if size == 1 else 1):
                if deadline is not None and time.monotonic() >= deadline:
                    return sent
                with self._leased(kind, size) as entries:
                    if not entries:
                        break
                    sent = deliver(entries, deadline)
                if not sent:
                    break
        return sent

    @contextmanager
    def _leased(self, kind: Kind, count: int) -> Iterator[list[Entry]]:
        entries = self._outbox.lease(kind, count)
        try:
            yield entries
        except BaseException:
            # Nobody would take over from a process that goes on.
            with suppress(sqlite3.Error):
                self._outbox.let_go(entries)
            raise

    def _attempt(self, call: calls.Call, deadline: float | None) -> dict[str, Any]:
        if deadline is None:
            return self._line.attempt(call, ATTEMPT_SECONDS)
        left = max(deadline - time.monotonic(), ATTEMPT_SECONDS_MIN)
        return self._line.attempt(call, min(left, ATTEMPT_SECONDS))

    def _deliver_events(self, events: Sequence[Entry], deadline: float | None) -> bool:
        try:
            answer = self._attempt(calls.record([entry.body for entry in events]), deadline)
            results = usage_results(answer, len(events))
        except HeadroomError as error:
            if len(events) > 1 and _may_be_one_of(events, error):
                # One of them spoils the batch; the others have to arrive all the same.
                self._outbox.renew(events)
                middle = len(events) // 2
                first = self._deliver_events(events[:middle], deadline)
                self._outbox.renew(events[middle:])
                return self._deliver_events(events[middle:], deadline) and first
            if isinstance(error, WRONG_IN_ITSELF):
                self._park(events[0], f"{type(error).__name__}: {error}")
                return True
            self._failed(error, events)
            return False
        self._succeeded()
        for entry, result in zip(events, results, strict=True):
            if result.status == "rejected":
                self._park(entry, f"{result.error_type}: {result.error_message}")
        # What is parked was marked so, and is none of those that are forgotten.
        accepted = [result.status != "rejected" for result in results]
        self._outbox.done(list(compress(events, accepted)))
        return True

    def _learn_what_to_release(self, entries: Sequence[Entry], deadline: float | None) -> bool:
        """Repeat an authorization whose answer was lost, and release what it says is held.

        The same key finds the hold of the first attempt. If there was none, one is taken now, for
        as long as it takes to release it.
        """
        (entry,) = entries
        if self._outbox.is_over(entry):
            self._outbox.done([entry])
            return True
        try:
            answer = self._attempt(calls.repeat_authorization(entry.id, entry.body), deadline)
            held = authorization(answer)
        except (*WRONG_IN_ITSELF, Refused) as error:
            if may_repeat(error):
                self._failed(error, entries)
                return False
            # Headroom holds nothing under this key, or did and does no more.
            log.info("nothing is held under the idempotency key %s: %s", entry.id, error)
            self._outbox.done([entry])
        except HeadroomError as error:
            self._failed(error, entries)
            return False
        else:
            self._outbox.replace(entry, "release", held.id, held.expires_at.timestamp())
        self._succeeded()
        return True

    def _deliver_release(self, entries: Sequence[Entry], deadline: float | None) -> bool:
        (entry,) = entries
        try:
            self._attempt(calls.release(entry.id), deadline)
        except (*WRONG_IN_ITSELF, NotFound) as error:
            self._park(entry, f"{type(error).__name__}: {error}")
        except HeadroomError as error:
            self._failed(error, entries)
            return False
        else:
            self._succeeded()
            self._outbox.done([entry])
        return True

    def _park(self, entry: Entry, because: str) -> None:
        log.error("Headroom rejected %s %s: %s", entry.kind, entry.id, because)
        self._outbox.park(entry, because)

    def _succeeded(self) -> None:
        self._failures, self.last_error = 0, None

    def _failed(self, error: HeadroomError, entries: Sequence[Entry]) -> None:
        self.last_error = error
        log.warning("not delivered, %d entries are kept: %s", len(entries), error)
        because = f"{type(error).__name__}: {error}"
        if isinstance(error, ServerFailed) and len(entries) == 1:
            # It may be this one that Headroom fails at: the others need not wait for it.
            self._outbox.postpone(entries, _wait_seconds(entries[0].attempts), because)
            return
        self._failures += 1
        self._outbox.postpone(entries, max(self._backoff(), error.retry_after_seconds), because)

    def _backoff(self) -> float:
        return _wait_seconds(self._failures)


def _may_be_one_of(events: Sequence[Entry], error: HeadroomError) -> bool:
    """Whether one event may be what spoils the batch; failures of the server become suspect."""
    if isinstance(error, WRONG_IN_ITSELF):
        return True
    patient = max(entry.attempts for entry in events) < SUSPECT_AFTER
    return isinstance(error, ServerFailed) and not patient


def _wait_seconds(failures: int) -> float:
    # 2 ** 20 is beyond the longest wait, and no float overflows on the way there.
    longest = min(WAIT_SECONDS_FIRST * 2 ** min(failures, 20), WAIT_SECONDS_MAX)
    return random.uniform(longest / 2, longest)  # noqa: S311
