"""Authorize and settle, by sixteen clients at once: the product and the naive way in turns."""

from __future__ import annotations

import multiprocessing
import random
import secrets
import time
from datetime import UTC, datetime
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier

from rich.console import Console
from rich.progress import track

from headroom.domain.organization import Organization
from headroom.store.organizations import find_organization
from headroom.store.table import DynamoTable
from headroom.usecases.acquiring import Hints
from headroom.usecases.authorizing import authorize
from headroom.usecases.recording import record
from tools.bench import scene
from tools.bench.naive import Naive

CLIENTS = 16
MEMBERS = 200
ROUNDS = 5
ROUND_SECONDS = 5.0
CAP_CENTS = 100_000_000
TABLE = "bench-throughput"


def measure(endpoint_url: str, console: Console) -> tuple[list[float], list[float]]:
    """Return requests a second, round by round, of the product and of the naive way."""
    table = scene.create_table(endpoint_url, TABLE)
    org_id = scene.provision_organization(table, MEMBERS, cap_cents=CAP_CENTS, name="throughput")
    Naive(table, org_id).create(scene.user_ids(MEMBERS), CAP_CENTS * 10_000_000)
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(CLIENTS + 1), context.Queue()
    clients = [
        context.Process(target=_client, args=(endpoint_url, org_id, seed, barrier, answers))
        for seed in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    rates: tuple[list[float], list[float]] = ([], [])
    # The first round of each warms clients and server up, and hands out the first allotments.
    rounds = track(
        range(2 * (ROUNDS + 1)), "  16 clients, in turns", console=console, transient=True
    )
    for number in rounds:
        barrier.wait()
        done = sum(answers.get() for _ in clients)
        if number >= 2:
            rates[number % 2].append(done / ROUND_SECONDS)
    for client in clients:
        client.join()
    return rates


def _client(
    endpoint_url: str, org_id: str, seed: int, barrier: Barrier, answers: Queue[int]
) -> None:
    table = scene.connect(endpoint_url, TABLE)
    chance = random.Random(seed)
    hints, users = Hints(), scene.user_ids(MEMBERS)
    for number in range(2 * (ROUNDS + 1)):
        spend = _spend_naively if number % 2 else _spend
        barrier.wait()
        end, done = time.monotonic() + ROUND_SECONDS, 0
        while time.monotonic() < end:
            spend(table, org_id, hints, chance.choice(users))
            done += 1
        answers.put(done)


def _spend(table: DynamoTable, org_id: str, hints: Hints, user_id: str) -> None:
    organization = _ORGANIZATIONS.get(org_id) or find_organization(table, org_id)
    assert organization is not None
    _ORGANIZATIONS[org_id] = organization
    now = datetime.now(UTC)
    answer = authorize(
        table,
        hints,
        organization,
        scene.request(user_id),
        now,
        entropy=secrets.token_bytes(6),
    )
    used = scene.event(secrets.token_hex(12), user_id, now, answer["id"])
    result = record(table, hints, organization, used, now)
    assert result["status"] == "recorded"


def _spend_naively(table: DynamoTable, org_id: str, hints: Hints, user_id: str) -> None:
    naive, now = Naive(table, org_id), datetime.now(UTC)
    hold_id = naive.authorize(scene.request(user_id), now, secrets.token_bytes(8))
    assert hold_id is not None
    assert naive.record(hold_id, scene.event(secrets.token_hex(12), user_id, now), now)


# What a function remembers of the caller's organization.
_ORGANIZATIONS: dict[str, Organization] = {}
