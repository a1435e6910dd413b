"""`make bench`: what an authorized request costs, side by side with the naive way.

Ratios and counts are what it is about; seconds depend on the machine.
"""

from __future__ import annotations

import statistics
import sys
import time
import warnings
from collections.abc import Callable

from rich.console import Console

from tools.bench import handler_time, import_time, pool_writes, steady, throughput
from tools.dynamodb_local import DynamoDbLocalUnavailable, dynamodb_local

console = Console(highlight=False)


def main() -> int:
    """Run all benches; return 1 if a figure misses its target."""
    warnings.simplefilter("ignore")  # Powertools warns of each request that counts nothing.
    console.print(
        "[bold]Headroom, measured[/bold]  (ratios and counts; seconds are this machine's)"
    )
    started = time.monotonic()
    missed = 0
    try:
        with dynamodb_local() as endpoint_url:
            benches: list[tuple[str, Callable[[], list[Figure]]]] = [
                ("One request in the steady state", lambda: _steady(endpoint_url)),
                ("A long replay", _pool_writes),
                ("Side by side with the naive way", lambda: _throughput(endpoint_url)),
                ("The handler's own time", _handler_time),
                ("Cold start", _import_time),
            ]
            for number, (name, bench) in enumerate(benches, 1):
                console.print(f"\n[bold]{name}[/bold]  [dim]{number} of {len(benches)}[/dim]")
                for figure in bench():
                    missed += not figure.met
                    console.print(f"  {figure}", soft_wrap=True)
    except DynamoDbLocalUnavailable as reason:
        console.print(f"The bench needs Amazon's DynamoDB Local. {reason}")
        return 2
    console.print(f"\nDone in {time.monotonic() - started:.0f} s.")
    if missed:
        console.print(f"[red]{missed} figures miss their target.[/red]")
    return 1 if missed else 0


class Figure:
    """A line of the report: what was measured, and against which target."""

    def __init__(self, name: str, value: str, target: str = "", *, met: bool = True) -> None:
        self.met = met
        mark = " " if not target else ("[green]✓[/green]" if met else "[red]✗[/red]")
        self._text = f"{mark} {name:<58} {value:>8}  [dim]{target}[/dim]"

    def __str__(self) -> str:
        return self._text


def _steady(endpoint_url: str) -> list[Figure]:
    counts = steady.measure(endpoint_url)
    return [
        Figure(
            "authorize: calls",
            f"{counts.authorize_calls}",
            "exactly 1",
            met=counts.authorize_calls == 1,
        ),
        Figure(
            "authorize: write units",
            f"{counts.authorize_units}",
            "exactly 1",
            met=counts.authorize_units == 1,
        ),
        Figure(
            "authorize, repeated elsewhere: write units",
            f"{counts.repeat_units}",
            "exactly 0",
            met=counts.repeat_units == 0,
        ),
        Figure(
            "settle: calls", f"{counts.settle_calls}", "exactly 1", met=counts.settle_calls == 1
        ),
        Figure("settle: write units, and one in the index", f"{counts.settle_units}"),
        Figure(
            f"settle {steady.BATCH_EVENTS} in one batch: calls, write units, and "
            f"{steady.BATCH_EVENTS} in the index",
            f"{counts.batch_calls}, {counts.batch_units}",
            f"exactly {steady.BATCH_EVENTS} calls",
            met=counts.batch_calls == steady.BATCH_EVENTS,
        ),
        Figure("naive authorize: write units", f"{counts.naive_authorize_units}"),
        Figure(
            "naive settle: calls, write units, and one in the index",
            f"{counts.naive_settle_calls}, {counts.naive_settle_units}",
        ),
        Figure(
            "naive: requests a second on a real hot item (computed)",
            f"{1000 // 4}",
            "1,000 write units a second, 4 a request on the organization",
        ),
    ]


def _pool_writes() -> list[Figure]:
    requests, writes = pool_writes.measure(console)
    ratio = writes / requests
    return [
        Figure("authorized requests", f"{requests:,}"),
        Figure(
            "pool writes an authorized request", f"{ratio:.4f}", "at most 0.05", met=ratio <= 0.05
        ),
    ]


def _throughput(endpoint_url: str) -> list[Figure]:
    as_it_is, conflicting = throughput.measure(endpoint_url, console)
    return [
        *_side_by_side("on DynamoDB Local, which never conflicts", as_it_is),
        *_side_by_side("with DynamoDB's transaction conflicts", conflicting, least=2.5),
        Figure("conflicts the naive way met a request", f"{conflicting.conflicts_per_request:.1f}"),
    ]


def _side_by_side(
    where: str, rates: throughput.Rates, *, least: float | None = None
) -> list[Figure]:
    ratio = statistics.median(rates.ratios)
    return [
        Figure(f"{where}: ours a second", f"{statistics.median(rates.ours):.0f}"),
        Figure(f"{where}: naive", f"{statistics.median(rates.naive):.0f}"),
        Figure(
            f"{where}: ratio",
            f"{ratio:.2f}",
            f"{f'at least {least}; ' if least else ''}"
            f"rounds {min(rates.ratios):.2f} to {max(rates.ratios):.2f}",
            met=least is None or ratio >= least,
        ),
    ]


def _handler_time() -> list[Figure]:
    millis = handler_time.measure(console)
    return [
        Figure(
            "authorize handler beyond DynamoDB, median",
            f"{millis:.2f} ms",
            "at most 2 ms",
            met=millis <= 2,
        ),
    ]


def _import_time() -> list[Figure]:
    ours, boto3s, ratio = import_time.measure(console)
    return [
        Figure("import boto3 and make its DynamoDB client", f"{boto3s * 1000:.0f} ms"),
        Figure("import the authorize handler", f"{ours * 1000:.0f} ms"),
        Figure("ratio, median of pairs", f"{ratio:.2f}", "at most 1.3", met=ratio <= 1.3),
    ]


if __name__ == "__main__":
    sys.exit(main())
