"""Whether the closes of a month get in the way of authorizations, and if so, what in them does.

python -m tools.bench.beside [--closes 31] [--budget 2] [--rounds 3] [--seconds 8]

Clients spend at a fixed pace in the first minutes of a month, alone and beside closes, in turns in
one run: closes of organizations in another table, which share the machine and DynamoDB Local with
them and nothing else; closes of other organizations in theirs; closes of the very organizations
they spend in; and closes within the budget of closes. What beside closes in another table is as
slow is slow for want of machine. What the application itself adds shows in the calls of a request:
whoever meets others' writes repeats their own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import secrets
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Final, TypeVar

from rich.console import Console
from rich.table import Table as Rows

from headroom.billing.domain.invoice import Terms
from headroom.billing.usecases.invoices import write_invoice
from headroom.billing.usecases.period_close import begin, seal, total_members, turn_members
from headroom.core.store.table import Contended, DynamoTable
from headroom.organizations.store.organizations import find_organization
from headroom.provisioning.usecases.provisioning import provision
from headroom.provisioning.wire.provisioning import parse_provisioning
from headroom.spending.usecases.authorizations import authorize
from headroom.spending.usecases.grants import Hints
from headroom.spending.usecases.usage_events import record
from tools.bench import scene
from tools.bench.closing import AFTER, NOW, PERIOD, FolderFiles, document, load
from tools.bench.throughput import insist
from tools.dynamodb_local import dynamodb_local
from tools.progress import follow

TABLE, ELSEWHERE = "bench-beside", "bench-beside-elsewhere"
CLIENTS: Final = 4
REQUESTS_A_SECOND: Final = 20
MEMBERS: Final = 20
LINES: Final = 200
CLOSING_PROCESSES: Final = 8
# What a member's first request of a month may take more of the table's calls beside closes in its
# table than beside closes in another.
CALLS_RATIO_MAX: Final = 1.15

Answer = TypeVar("Answer")
# Whose members spend, until the event is set; None is the end.
Order = Sequence[str] | None


@dataclass(frozen=True, slots=True)
class Spent:
    """What one client saw: milliseconds of each authorization, and how often it was repeated.

    `calls` of the table are those of each member's `first` request in the month, which is the
    dearest: later ones are fewer the slower the machine is.
    """

    millis: list[float]
    first: int
    calls: int
    again: int


@dataclass(slots=True)
class Seen:
    """What all clients saw in the rounds of one kind."""

    millis: list[float] = field(default_factory=list)
    seconds: float = 0.0
    first: int = 0
    calls: int = 0
    again: int = 0
    closes: int = 0

    @property
    def rate(self) -> float:
        return len(self.millis) / self.seconds

    @property
    def calls_per_request(self) -> float:
        return self.calls / self.first

    def percentile(self, percent: int) -> float:
        return statistics.quantiles(self.millis, n=100, method="inclusive")[percent - 1]


@dataclass(frozen=True, slots=True)
class Kind:
    """What happens beside the spending: where closes are, and how many of them at once."""

    name: str
    table: str | None
    own: bool
    at_once: int


class Bench:
    """Clients that wait for orders, and organizations for them and for the closes."""

    def __init__(self, endpoint_url: str, closes: int, seconds: float) -> None:
        self.endpoint_url = endpoint_url
        self.closes, self.seconds = closes, seconds
        self.tables = {name: scene.create_table(endpoint_url, name) for name in (TABLE, ELSEWHERE)}
        self.context = multiprocessing.get_context("spawn")
        self.stop: Event = self.context.Event()
        self.orders: list[Queue[Order]] = [self.context.Queue() for _ in range(CLIENTS)]
        self.answers: Queue[Spent] = self.context.Queue()
        self.clients = [
            self.context.Process(
                target=_client,
                args=(endpoint_url, seed, self.stop, self.orders[seed], self.answers),
                daemon=True,
            )
            for seed in range(CLIENTS)
        ]
        for client in self.clients:
            client.start()
        for _ in self.clients:
            self.answers.get(timeout=120)  # Each says so when it is ready.
        self._numbers = iter(range(1_000_000))

    def measure(self, kind: Kind, seen: Seen, folder: Path) -> None:
        """Let the clients spend beside closes of a kind, and add what they saw."""
        spending = self._organizations(TABLE, LINES if kind.own else 0)
        closing: list[str] = []
        if kind.own:
            closing = spending
        elif kind.table is not None:
            closing = self._organizations(kind.table, LINES)
        processes = max(1, min(kind.at_once, CLOSING_PROCESSES))
        with ProcessPoolExecutor(processes, self.context) as pool:
            if kind.table is not None:
                # The processes are there, and connected, before anything is measured.
                places = [(self.endpoint_url, kind.table)] * processes
                list(pool.map(_warm_up, places))
            self.stop.clear()
            started = time.monotonic()
            for order in self.orders:
                order.put(spending)
            if kind.table is None:
                time.sleep(self.seconds)
            else:
                work = [
                    (self.endpoint_url, kind.table, part, str(folder))
                    for part in _parts(closing, processes)
                ]
                each = -(-kind.at_once // processes)
                seen.closes += sum(pool.map(_close_all, work, [each] * len(work)))
            self.stop.set()
            for _ in self.clients:
                spent = self.answers.get(timeout=120)
                seen.millis += spent.millis
                seen.first += spent.first
                seen.calls += spent.calls
                seen.again += spent.again
            seen.seconds += time.monotonic() - started

    def end(self) -> None:
        """Let the clients go home, whatever they are at."""
        self.stop.set()
        for order in self.orders:
            order.put(None)
        for client in self.clients:
            client.join(timeout=30)

    def _organizations(self, name: str, lines: int) -> list[str]:
        quiet = Console(quiet=True)
        made = []
        for _ in range(self.closes):
            shown = document(f"beside-{next(self._numbers)}")
            org_id = provision(self.tables[name], parse_provisioning(shown), NOW)["id"]
            load(quiet, self.endpoint_url, name, org_id, MEMBERS, lines)
            made.append(org_id)
        return made


def main() -> int:
    arguments = _parse()
    console = Console()
    kinds = [
        Kind("alone", None, own=False, at_once=0),
        Kind("closes in another table", ELSEWHERE, own=False, at_once=arguments.closes),
        Kind("closes of others", TABLE, own=False, at_once=arguments.closes),
        Kind("closes of their own", TABLE, own=True, at_once=arguments.closes),
        Kind("closes within the budget", TABLE, own=False, at_once=arguments.budget),
    ]
    found = {kind: Seen() for kind in kinds}
    folder = Path(tempfile.mkdtemp(prefix="headroom-bench-beside-"))
    try:
        with dynamodb_local() as endpoint_url, ExitStack() as stack:
            bench = Bench(endpoint_url, arguments.closes, arguments.seconds)
            stack.callback(bench.end)
            bench.measure(kinds[0], Seen(), folder)  # Java compiles what is hot.
            # Each round begins elsewhere, so that a busy moment of the machine hits no kind alone.
            turns = [
                kinds[(number + turn) % len(kinds)]
                for turn in range(arguments.rounds)
                for number in range(len(kinds))
            ]
            for kind in follow(turns, "kinds, in turns", total=len(turns), console=console):
                bench.measure(kind, found[kind], folder)
    finally:
        shutil.rmtree(folder)
    return _report(console, arguments, kinds, found)


def _report(
    console: Console, arguments: argparse.Namespace, kinds: list[Kind], found: dict[Kind, Seen]
) -> int:
    rows = Rows(
        "authorizations",
        "at once",
        "closes/s",
        "requests/s",
        "p50",
        "p99",
        "first calls",
        "repeated",
    )
    alone = found[kinds[0]]
    for kind in kinds:
        seen = found[kind]
        ratios = [seen.percentile(each) / alone.percentile(each) for each in (50, 99)]
        calls = seen.calls_per_request
        p50, p99 = (
            f"{seen.percentile(each):.0f} ms" + (f" (x{ratio:.1f})" if seen is not alone else "")
            for each, ratio in zip((50, 99), ratios, strict=True)
        )
        rows.add_row(
            kind.name,
            str(kind.at_once or "-"),
            f"{seen.closes / seen.seconds:.1f}" if kind.table else "-",
            f"{seen.rate:.1f} (x{seen.rate / alone.rate:.2f})",
            p50,
            p99,
            f"{calls:.2f} (x{calls / alone.calls_per_request:.2f})",
            str(seen.again),
        )
    console.print(rows)
    console.print(
        f"{CLIENTS} clients ask for {REQUESTS_A_SECOND * CLIENTS} requests a second together, each "
        f"authorized and settled; times are of the authorizations. {arguments.closes} closes a "
        f"round, of {MEMBERS} members and {LINES} lines; {arguments.rounds} rounds."
    )
    # A busy machine makes clients meet each other more often, whoever keeps it busy.
    apart = found[kinds[1]].calls_per_request
    worst = max(found[kind].calls_per_request / apart for kind in kinds if kind.table == TABLE)
    kept = worst <= CALLS_RATIO_MAX
    console.print(
        "Beside closes a member's first request of the month takes at most "
        f"{worst:.2f} times the calls of the table that it takes beside closes in another table, "
        f"which share the machine with it and no item (bound: {CALLS_RATIO_MAX}): "
        f"the application {'adds nothing' if kept else 'IS IN THE WAY'}."
    )
    return 0 if kept else 1


def _client(
    endpoint_url: str, seed: int, stop: Event, orders: Queue[Order], answers: Queue[Spent]
) -> None:
    table = scene.connect(endpoint_url, TABLE)
    chance, hints, users = random.Random(seed), Hints(), scene.user_ids(MEMBERS)
    calls = again = 0

    def count(**_: object) -> None:
        nonlocal calls
        calls += 1

    def count_again() -> None:
        nonlocal again
        again += 1

    table.connection.client.meta.events.register("after-call.dynamodb.*", count)
    answers.put(Spent([], 0, 0, 0))
    while (org_ids := orders.get()) is not None:
        organizations = [find_organization(table, org_id) for org_id in org_ids]
        turns = [(each, user_id) for each in organizations for user_id in users][seed::CLIENTS]
        chance.shuffle(turns)
        calls = again = first = first_calls = 0
        millis: list[float] = []
        started = due = time.monotonic()
        while not stop.is_set():
            time.sleep(max(due - time.monotonic(), 0))
            organization, user_id = turns[len(millis) % len(turns)]
            assert organization is not None
            now = AFTER + timedelta(seconds=time.monotonic() - started)
            asked, entropy = scene.request(user_id), secrets.token_bytes(6)
            asked_at = time.monotonic()
            answer = insist(
                lambda: authorize(table, hints, organization, asked, now, entropy=entropy),  # noqa: B023 - called at once
                count_again,
            )
            millis.append((time.monotonic() - asked_at) * 1000)
            used = scene.event(secrets.token_hex(12), user_id, now, answer["id"])
            insist(lambda: record(table, hints, organization, used, now), count_again)  # noqa: B023 - called at once
            # Whoever is late does not catch up: what the machine cannot take shows in the rate.
            due = max(due + 1 / REQUESTS_A_SECOND, time.monotonic())
            if len(millis) <= len(turns):
                first, first_calls = first + 1, calls
        answers.put(Spent(millis, first, first_calls, again))


_TABLES: dict[str, DynamoTable] = {}


def _warm_up(place: tuple[str, str]) -> None:
    _connect(*place)
    time.sleep(0.2)  # So that every process of the pool has to do it.


def _connect(endpoint_url: str, name: str) -> DynamoTable:
    if name not in _TABLES:
        _TABLES[name] = scene.connect(endpoint_url, name)
    return _TABLES[name]


def _close_all(work: tuple[str, str, Sequence[str], str], at_once: int) -> int:
    """Close organizations, some at the same time; return how many."""
    endpoint_url, name, org_ids, folder = work
    table = _connect(endpoint_url, name)
    with ThreadPoolExecutor(at_once) as pool:
        return sum(pool.map(lambda org_id: _close(table, org_id, Path(folder)), org_ids))


def _close(table: DynamoTable, org_id: str, folder: Path) -> int:
    files = FolderFiles(folder)
    shards = _patiently(lambda: begin(table, org_id, PERIOD, AFTER))
    for shard in shards:
        wait = _patiently(lambda: turn_members(table, org_id, PERIOD, shard, AFTER))  # noqa: B023 - called at once
        assert wait is None, "nobody held anything when the month was over"
        total_members(table, files, org_id, PERIOD, shard)
    _patiently(lambda: seal(table, files, org_id, PERIOD, len(shards), AFTER))
    write_invoice(table, org_id, PERIOD, AFTER, terms=Terms())
    return 1


def _patiently(step: Callable[[], Answer]) -> Answer:
    """Repeat a step as the state machine does."""
    while True:
        try:
            return step()
        except Contended:
            continue


def _parts(org_ids: Sequence[str], count: int) -> Iterator[Sequence[str]]:
    for number in range(count):
        yield org_ids[number::count]


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--closes", type=int, default=31, help="how many organizations close")
    parser.add_argument("--budget", type=int, default=2, help="how many at once within the budget")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0, help="how long a round alone lasts")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
