"""Long work says how far it is, and about how long it goes on."""

from __future__ import annotations

import io
from itertools import count

from rich.console import Console

from tools.progress import follow


def lines_of(items: int, seconds_each: int) -> list[str]:
    """Follow some items without a terminal; the clock goes on a little at each look."""
    console = Console(file=io.StringIO(), width=100)
    ticks = count(step=seconds_each)
    seen = list(
        follow(range(items), "copying", total=items, console=console, clock=lambda: next(ticks))
    )
    assert seen == list(range(items))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_a_line_at_times_says_how_long_it_goes_on() -> None:
    lines = lines_of(4, 5)

    # Each look takes five seconds, and each line two: 10 seconds for the first of four.
    assert lines[0] == "  copying: 1 of 4 (25 %), about 30 s left"
    assert [line.partition(",")[0] for line in lines] == [
        "  copying: 1 of 4 (25 %)",
        "  copying: 2 of 4 (50 %)",
        "  copying: 3 of 4 (75 %)",
    ]


def test_items_may_weigh_more_than_one() -> None:
    console = Console(file=io.StringIO(), width=100)
    ticks = count(step=10)
    batches = [25, 25, 10]

    seen = list(
        follow(
            batches,
            "loading",
            total=60,
            console=console,
            weigh=lambda each: each,
            clock=lambda: next(ticks),
        )
    )

    assert seen == batches
    assert isinstance(console.file, io.StringIO)
    first, second = console.file.getvalue().splitlines()
    assert first == "  loading: 25 of 60 (41 %), about 28 s left"
    assert second.startswith("  loading: 50 of 60 (83 %)")


def test_what_is_short_says_nothing() -> None:
    assert lines_of(4, 0) == []


def test_a_terminal_gets_a_bar() -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=100, _environ={"TERM": "xterm"})

    assert list(follow("abc", "copying", total=3, console=console)) == ["a", "b", "c"]
    assert "copying" in file.getvalue()
    assert "3/3" in file.getvalue()
