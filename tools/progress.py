"""How far long work is and about how long it goes on: a bar in a terminal, else a line at times."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

T = TypeVar("T")

LINE_EVERY_SECONDS: Final = 5.0


def follow(
    items: Iterable[T],
    name: str,
    *,
    total: int,
    console: Console,
    weigh: Callable[[T], int] = lambda item: 1,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[T]:
    """Pass on `items`, which weigh `total` together, one each unless told, and show how far it is.

    What is short says nothing where there is no terminal.
    """
    if console.is_terminal and not console.is_dumb_terminal:
        with _bar(name, console) as bar:
            task = bar.add_task("", total=total)
            for item in items:
                yield item
                bar.advance(task, weigh(item))
        return
    started = said = clock()
    done = 0
    for item in items:
        yield item
        done += weigh(item)
        if done < total and clock() - said >= LINE_EVERY_SECONDS:
            said = clock()
            left = (said - started) / done * (total - done)
            part = f"{done:,} of {total:,} ({done * 100 // total} %)"
            console.print(f"  {name}: {part}, about {left:.0f} s left")


def _bar(name: str, console: Console) -> Progress:
    return Progress(
        TextColumn(f"  {name}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=console,
        transient=True,
    )
