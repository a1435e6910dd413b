"""Whole use cases, interleaved one store operation at a time.

Each use case runs in a thread of its own, but only one thread moves at a time: before every store
operation it waits until the scheduler hands it the turn. So a seed is a history, and repeats.
"""

from __future__ import annotations

import random
import threading
import traceback
from collections.abc import Callable

from headroom.core.errors import Overloaded


class Died(BaseException):
    """The function died between two store operations. No Exception: nothing may catch it."""


class Interleaving:
    """Hands turns to use cases; `step` is what a table calls before each operation.

    `dies` is the share of turns at which the use case dies instead of going on.
    """

    def __init__(self, chance: random.Random, *, dies: float = 0) -> None:
        self._chance = chance
        self._dies = dies
        self._moved = threading.Condition()
        self._waiting: dict[int, threading.Thread] = {}
        self._running: dict[int, threading.Thread] = {}
        self._turn: int | None = None
        self._doomed: int | None = None
        self._count = 0
        self.failures: list[str] = []

    @property
    def running(self) -> int:
        """How many use cases are under way."""
        return len(self._running)

    def current(self) -> int | None:
        """Return the number of the use case that moves now, None outside of any."""
        me = threading.current_thread()
        return next((number for number, each in self._running.items() if each is me), None)

    def step(self, name: str) -> None:
        """Wait for the next turn; does nothing outside of a use case."""
        me = self.current()
        if me is None:
            return
        with self._moved:
            self._waiting[me] = threading.current_thread()
            self._turn = None
            self._moved.notify_all()
            self._moved.wait_for(lambda: self._turn == me)
            del self._waiting[me]
        if self._doomed == me:
            raise Died

    def start(self, use_case: Callable[[], None]) -> None:
        """Begin a use case, up to its first turn."""
        number = self._count
        self._count += 1

        def run() -> None:
            try:
                self.step("start")
                use_case()
            except (Died, Overloaded):
                pass  # Whoever asked will ask again: nothing was promised.
            except BaseException:  # noqa: BLE001 - handed to the test, which fails with it
                self.failures.append(traceback.format_exc())
            finally:
                with self._moved:
                    del self._running[number]
                    self._turn = None
                    self._moved.notify_all()

        thread = threading.Thread(target=run, daemon=True)
        self._running[number] = thread
        thread.start()
        with self._moved:
            self._moved.wait_for(lambda: number in self._waiting or number not in self._running)

    def move(self) -> None:
        """Let one of the use cases make its next store operation."""
        with self._moved:
            mover = self._chance.choice(sorted(self._waiting))
            if self._dies and self._chance.random() < self._dies:
                self._doomed = mover
            self._turn = mover
            self._moved.notify_all()
            self._moved.wait_for(lambda: self._turn != mover)
            self._doomed = None
