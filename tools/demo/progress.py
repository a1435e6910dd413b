"""How far the replay is: a live bar in a terminal, a line now and then anywhere else."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
)
from rich.text import Text

from tools.demo.replay import Outcome

LINE_EVERY_SECONDS: Final = 5.0


class ReplayProgress:
    """Counts outcomes and shows them; use it as a context manager."""

    def __init__(
        self, console: Console, total: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console
        self._total = total
        self._clock = clock
        self._started = self._said = clock()
        self._done = self._allowed = self._refused = self._failed = 0
        self._live = _bar(console) if console.is_terminal and not console.is_dumb_terminal else None
        if self._live:
            self._task = self._live.add_task("", total=total, counts="")

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()
        elif self._said != self._clock() and self._done:
            self._say()

    def observe(self, outcome: Outcome) -> None:
        """Take one more outcome in."""
        self._done += 1
        self._allowed += outcome.allowed
        self._refused += outcome.refusal is not None
        self._failed += outcome.failure is not None
        if self._live:
            self._live.update(self._task, completed=self._done, counts=self._counts())
        elif self._clock() - self._said >= LINE_EVERY_SECONDS and self._done < self._total:
            self._say()

    def _say(self) -> None:
        self._said = self._clock()
        elapsed = self._said - self._started
        left = elapsed / self._done * (self._total - self._done)
        estimate = f", about {left:.0f} s left" if self._done < self._total else ""
        self._console.print(
            f"  {self._done:,} of {self._total:,} ({self._done * 100 // self._total} %): "
            f"{self._counts()}{estimate}"
        )

    def _counts(self) -> str:
        counts = f"{self._allowed:,} allowed, {self._refused:,} refused"
        return f"{counts}, {self._failed:,} failed" if self._failed else counts


class _TimeLeft(ProgressColumn):
    """The estimate while it runs, the whole time at the end."""

    def render(self, task: Task) -> Text:
        if task.finished:
            return Text(f" in {task.finished_time or 0:.0f} s", "dim")
        left = task.time_remaining
        return Text("" if left is None else f" about {left:.0f} s left", "dim")


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("  Replaying"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn(" {task.fields[counts]}"),
        _TimeLeft(),
        console=console,
        expand=True,
        refresh_per_second=8,
    )
