"""Takes what the outbox keeps to Headroom, on a thread of its own.

The thread serves the asynchronous client too: SQLite blocks, and what is to be delivered must not
depend on an event loop that may be closed, or busy.
"""

from __future__ import annotations

import logging
import os
import queue
import random
import threading
import time
from collections.abc import Sequence
from itertools import compress
from typing import Final

from headroom_client import calls
from headroom_client.errors import (
    Conflict,
    HeadroomError,
    InvalidRequest,
    NotFound,
    RequestTooLarge,
    ServerFailed,
    Unavailable,
)
from headroom_client.line import Line
from headroom_client.outbox import Entry, Outbox
from headroom_client.reading import usage_results

ATTEMPT_SECONDS: Final = 30.0
WAIT_SECONDS_FIRST: Final = 0.2
WAIT_SECONDS_MAX: Final = 60.0
LOOK_SECONDS: Final = 0.02
# After so many attempts a batch that Headroom fails at is looked through, event by event.
SUSPECT_AFTER: Final = 3
# What the answer to a batch, or to a single call, says of what was sent, not of Headroom's state.
WRONG_IN_ITSELF: Final = (InvalidRequest, RequestTooLarge, Conflict)

log = logging.getLogger("headroom_client")


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

    def flush(self, timeout_seconds: float) -> bool:
        """Deliver here and now, beside the thread; return False if time was up first.

        It needs no thread: at the end of a program none can be started any more.
        """
        deadline = time.monotonic() + timeout_seconds
        if self._outbox.waiting():
            self._outbox.hasten()
            self._failures = 0
        while self._outbox.waiting():
            left = deadline - time.monotonic()
            if left <= 0:
                # The thread may rest until the end of what was leased here, and is free again.
                self.wake()
                return False
            if not self._round(min(left, ATTEMPT_SECONDS)):
                time.sleep(LOOK_SECONDS)
        return True

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
        due = self._outbox.due_in_seconds()
        wait = due if due is None else max(due, self._backoff() if self._failures else 0.0)
        try:
            self._bell.get(timeout=wait)
            while True:  # One round serves all that rang.
                self._bell.get_nowait()
        except queue.Empty:
            pass

    def _round(self, timeout_seconds: float = ATTEMPT_SECONDS) -> bool:
        """Deliver one batch of each kind; return whether there was any, and all of it went."""
        sent = False
        if events := self._outbox.lease("event", calls.EVENTS_MAX):
            sent = self._deliver_events(events, timeout_seconds)
        releases = self._outbox.lease("release", calls.EVENTS_MAX)
        for number, entry in enumerate(releases):
            sent = self._deliver_release(entry, timeout_seconds)
            if not sent:
                self._outbox.postpone(releases[number + 1 :], self._backoff())
                break
        return sent

    def _deliver_events(self, events: Sequence[Entry], timeout_seconds: float) -> bool:
        try:
            call = calls.record([entry.body for entry in events])
            answer = self._line.attempt(call, timeout_seconds)
            results = usage_results(answer, len(events))
        except HeadroomError as error:
            if len(events) > 1 and _may_be_one_of(events, error):
                # One of them spoils the batch; the others have to arrive all the same.
                middle = len(events) // 2
                first = self._deliver_events(events[:middle], timeout_seconds)
                return self._deliver_events(events[middle:], timeout_seconds) and first
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

    def _deliver_release(self, entry: Entry, timeout_seconds: float) -> bool:
        try:
            self._line.attempt(calls.release(entry.id), timeout_seconds)
        except (*WRONG_IN_ITSELF, NotFound) as error:
            self._park(entry, f"{type(error).__name__}: {error}")
        except HeadroomError as error:
            self._failed(error, [entry])
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
        if isinstance(error, ServerFailed) and len(entries) == 1:
            # It may be this one that Headroom fails at: the others need not wait for it.
            self._outbox.postpone(entries, _wait_seconds(entries[0].attempts))
            return
        self._failures += 1
        self._outbox.postpone(entries, max(self._backoff(), error.retry_after_seconds))

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
