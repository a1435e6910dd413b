"""Authorize and settle, by sixteen clients at once: the product and the naive way in turns."""

from __future__ import annotations

import multiprocessing
import random
import secrets
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.queues import Queue
from typing import Any, TypeVar

from rich.console import Console

from headroom.core.errors import Overloaded, SpendRefused
from headroom.core.store.table import Contended, DynamoTable
from headroom.organizations.domain.organization import Organization
from headroom.organizations.store.organizations import find_organization
from headroom.spending.store.budgets import find_budgets
from headroom.spending.usecases.authorizations import authorize
from headroom.spending.usecases.grants import Hints
from headroom.spending.usecases.recall import TOGETHER_MAX, batches
from headroom.spending.usecases.usage_events import record
from tools.bench import scene
from tools.bench.conflicts import Conflicts
from tools.bench.naive import Naive
from tools.progress import follow

CLIENTS = 16
MEMBERS = 200
EARLIER_REQUESTS = 3
ROUNDS = 5
ROUND_SECONDS = 2.5
WARM_UP_SECONDS = 24.0
CAP_CENTS = 100_000_000
TABLE = "bench-throughput"

# Whether to spend naively, and for how many seconds; None is the end.
Order = tuple[bool, float] | None
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Rates:
    """Requests a second, authorized and settled, round by round; and conflicts a request."""

    ours: list[float]
    naive: list[float]
    conflicts_per_request: float

    @property
    def ratios(self) -> list[float]:
        return [ours / naive for ours, naive in zip(self.ours, self.naive, strict=True)]


def measure(endpoint_url: str, console: Console) -> tuple[Rates, Rates]:
    """Return the rates on DynamoDB Local as it is, and with the conflicts that DynamoDB raises."""
    table = scene.create_table(endpoint_url, TABLE)
    org_id = scene.provision_organization(table, MEMBERS, cap_cents=CAP_CENTS, name="throughput")
    Naive(table, org_id).create(scene.user_ids(MEMBERS), CAP_CENTS * 10_000_000)
    hints = Hints()
    # The steady state: every member has spent before, and their slices have grown to some length.
    earlier = [user_id for user_id in scene.user_ids(MEMBERS) for _ in range(EARLIER_REQUESTS)]
    for user_id in follow(earlier, "earlier requests", total=len(earlier), console=console):
        _spend(table, org_id, hints, user_id)
    context = multiprocessing.get_context("spawn")
    conflicts = Conflicts(context)
    orders: list[Queue[Order]] = [context.Queue() for _ in range(CLIENTS)]
    answers: Queue[int] = context.Queue()
    clients = [
        context.Process(
            target=_client,
            args=(endpoint_url, org_id, seed, conflicts, orders[seed], answers),
            daemon=True,
        )
        for seed in range(CLIENTS)
    ]
    for client in clients:
        client.start()

    def run(naive: bool, conflicting: bool, seconds: float) -> tuple[float, float]:
        conflicts.enable(conflicting)
        before, started = conflicts.refused, time.monotonic()
        for order in orders:
            order.put((naive, seconds))
        done = sum(answers.get(timeout=60) for _ in clients)
        return done / (time.monotonic() - started), (conflicts.refused - before) / done

    for _ in clients:
        answers.get(timeout=60)  # Each says so when it is ready.
    # Java compiles what is hot, the clients connect, and the first allotments are handed out.
    warm_up = [(naive, WARM_UP_SECONDS / 4) for naive in (False, True, False, True)]
    steps = [(naive, False, seconds) for naive, seconds in warm_up]
    for number in range(ROUNDS):
        for conflicting in (False, True):
            for naive in (False, True) if number % 2 == 0 else (True, False):
                steps.append((naive, conflicting, ROUND_SECONDS))
    found: dict[tuple[bool, bool], list[tuple[float, float]]] = {}
    for number, (naive, conflicting, seconds) in enumerate(
        follow(steps, "16 clients, in turns", total=len(steps), console=console)
    ):
        rate = run(naive, conflicting, seconds)
        if number >= len(warm_up):
            found.setdefault((naive, conflicting), []).append(rate)
    for order in orders:
        order.put(None)
    for client in clients:
        client.join(timeout=30)

    def rates(conflicting: bool) -> Rates:
        ours, theirs = found[False, conflicting], found[True, conflicting]
        return Rates(
            [rate for rate, _ in ours],
            [rate for rate, _ in theirs],
            statistics.median(met for _, met in theirs),
        )

    return rates(False), rates(True)


def _client(
    endpoint_url: str,
    org_id: str,
    seed: int,
    conflicts: Conflicts,
    orders: Queue[Order],
    answers: Queue[int],
) -> None:
    table = scene.connect(endpoint_url, TABLE)
    conflicts.install(table)
    chance = random.Random(seed)
    hints, users = Hints(), scene.user_ids(MEMBERS)
    # As a process that has served these members before remembers them.
    for batch in batches(users, TOGETHER_MAX):
        for budget in find_budgets(table, org_id, batch).values():
            hints.keep(budget)
    answers.put(0)
    while (order := orders.get()) is not None:
        naive, seconds = order
        spend = _spend_naively if naive else _spend
        end, done = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            spend(table, org_id, hints, chance.choice(users))
            done += 1
        answers.put(done)


def insist(work: Callable[[], Answer], again: Callable[[], None] = lambda: None) -> Answer:
    """Repeat what others were in the way of, as a client repeats what was contended."""
    while True:
        try:
            return work()
        except (Contended, Overloaded, SpendRefused) as refusal:
            if isinstance(refusal, SpendRefused) and not refusal.retryable:
                raise
            again()


def _spend(table: DynamoTable, org_id: str, hints: Hints, user_id: str) -> None:
    organization = _ORGANIZATIONS.get(org_id) or find_organization(table, org_id)
    assert organization is not None
    _ORGANIZATIONS[org_id] = organization
    now = datetime.now(UTC)
    asked, key = scene.request(user_id), scene.keyed()

    def ask() -> dict[str, Any]:
        entropy = secrets.token_bytes(6)
        return authorize(table, hints, organization, asked, now, entropy=entropy, idempotency=key)

    answer = insist(ask)
    used = scene.event(secrets.token_hex(12), user_id, now, answer["id"])
    result = insist(lambda: record(table, hints, organization, used, now))
    assert result["status"] == "recorded"


def _spend_naively(table: DynamoTable, org_id: str, hints: Hints, user_id: str) -> None:
    naive, now = Naive(table, org_id), datetime.now(UTC)
    asked = scene.request(user_id)
    hold_id = insist(lambda: naive.authorize(asked, now, secrets.token_bytes(8)))
    assert hold_id is not None
    used = scene.event(secrets.token_hex(12), user_id, now)
    assert insist(lambda: naive.record(hold_id, used, now))


# What a function remembers of the caller's organization.
_ORGANIZATIONS: dict[str, Organization] = {}
