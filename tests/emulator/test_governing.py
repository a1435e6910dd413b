"""Settings of large organizations change at once, and are listed with the same work a page.

Asserted is the work, in calls of the store, which is the same on every machine; the seconds are
printed (`pytest -s`), as they say something only of a machine with nothing else to do.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest

from headroom.core.domain.actor import Actor
from headroom.core.errors import SpendRefused
from headroom.core.store.table import DynamoTable, Item
from headroom.limits.store.limits import LimitPlace
from headroom.limits.usecases.pages import effective_page
from headroom.limits.usecases.spend_limits import set_limit
from headroom.organizations.domain.organization import Member, Organization
from headroom.organizations.store.organizations import find_organization, find_pool, put_member
from headroom.provisioning.usecases.provisioning import provision
from headroom.provisioning.wire.provisioning import parse_provisioning
from headroom.spending.store.budgets import find_budget
from headroom.spending.usecases.authorizations import authorize, release
from headroom.spending.usecases.grants import Hints
from headroom.spending.usecases.totals import total
from headroom.spending.wire.authorizations import parse_authorization_request
from tests.emulator.tables import table_at
from tests.template import table_definition

ROOT = Path(__file__).resolve().parents[2]
NAME = "governing"
CENT = 10_000_000
OWNER = Actor("user", "user_0")


@dataclass
class Work:
    """Calls of the store by operation, and the capacity units that they consumed."""

    calls: Counter[str] = field(default_factory=Counter)
    units: float = 0.0


@contextmanager
def counted(table: DynamoTable) -> Iterator[Work]:
    work = Work()

    def ask(params: dict[str, Any], **_: object) -> None:
        params["ReturnConsumedCapacity"] = "TOTAL"

    def count(parsed: dict[str, Any], model: Any, **_: object) -> None:
        work.calls[model.name] += 1
        consumed = parsed.get("ConsumedCapacity", [])
        for part in consumed if isinstance(consumed, list) else [consumed]:
            work.units += part["CapacityUnits"]

    events = table.connection.client.meta.events
    events.register("provide-client-params.dynamodb", ask)
    events.register("after-call.dynamodb", count)
    try:
        yield work
    finally:
        events.unregister("provide-client-params.dynamodb", ask)
        events.unregister("after-call.dynamodb", count)


@pytest.fixture(scope="module")
def table(dynamodb_local_endpoint: str) -> DynamoTable:
    dynamodb = boto3.client("dynamodb", endpoint_url=dynamodb_local_endpoint)
    dynamodb.create_table(**table_definition(NAME))
    return table_at(dynamodb_local_endpoint, NAME)


def organization_of(table: DynamoTable, name: str, members: int) -> Organization:
    """An Enterprise organization with members `user_0` and on, all of the standard tier."""
    now = datetime.now(UTC)
    document = {
        "id": name,
        "plan": "enterprise",
        "name": name,
        "extra_usage": {"enabled": True, "members": "everyone"},
        "spend_limit": "100000000",
        "members": [
            {
                "user_id": "user_0",
                "name": "0",
                "email": "0@x.example",
                "role": "owner",
                "continue_with_extra_usage": True,
            }
        ],
    }
    org_id = provision(table, parse_provisioning(document), now)["id"]
    puts = [
        put_member(
            Member(
                org_id=org_id,
                user_id=f"user_{index}",
                name=str(index),
                email=f"{index}@x.example",
                role="member",
                seat_tier="standard",
                admitted=True,
                continues=True,
            )
        )
        for index in range(1, members)
    ]
    for first in range(0, len(puts), 100):
        table.transact(puts[first : first + 100])
    found = find_organization(table, org_id)
    assert found is not None
    return found


def hand_out(table: DynamoTable, organization: Organization, members: int) -> None:
    """Let the first members make a request, so that each holds an allotment."""

    def spend(index: int) -> None:
        body = {
            "user_id": f"user_{index}",
            "model": "claude-sonnet-4-5",
            "input_tokens": 1000,
            "max_tokens": 1000,
        }
        hints, asked = Hints(), parse_authorization_request(body)
        while True:
            try:
                held = authorize(
                    table,
                    hints,
                    organization,
                    asked,
                    datetime.now(UTC),
                    entropy=secrets.token_bytes(6),
                )
            except SpendRefused as refused:
                if refused.retryable:
                    continue
                raise
            release(table, organization.org_id, held["id"])
            return

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(spend, range(members)))


def set_monthly(
    table: DynamoTable, organization: Organization, kind: Any, name: str, cents: int
) -> None:
    place = LimitPlace(organization.org_id, kind, name, "monthly")
    set_limit(table, organization, place, cents * CENT, OWNER, datetime.now(UTC))


@contextmanager
def clients_spending(
    endpoint: str, org_id: str, *, clients: int, members: int
) -> Iterator[Callable[[], list[tuple[float, bool]]]]:
    """Run clients in two processes; yields what ends them and returns what they saw."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}/layers/headroom:{ROOT}"}
    script = str(Path(__file__).with_name("governing_clients.py"))
    half = clients // 2
    processes = [
        subprocess.Popen(  # noqa: S603 - our own script
            [sys.executable, script, endpoint, NAME, org_id]
            + [str(number) for number in (first, half, members)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        for first in (0, half)
    ]

    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "spending\n"

    def end() -> list[tuple[float, bool]]:
        for process in processes:
            assert process.stdin is not None
            process.stdin.close()
        seen: list[tuple[float, bool]] = []
        for process in processes:
            assert process.stdout is not None
            seen += [(started, ok) for started, ok in json.loads(process.stdout.read())]
        return seen

    try:
        yield end
    finally:
        for process in processes:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                assert stream is not None
                stream.close()


def test_a_cut_of_the_cap_holds_when_it_answers_while_others_keep_spending(
    table: DynamoTable, dynamodb_local_endpoint: str
) -> None:
    members = 1000
    organization = organization_of(table, "cut", members)
    hand_out(table, organization, members)
    handed = sum(
        budget.allotment > 0
        for index in range(members)
        if (budget := find_budget(table, organization.org_id, f"user_{index}"))
    )
    assert handed == members
    with clients_spending(
        dynamodb_local_endpoint, organization.org_id, clients=16, members=members
    ) as end:
        with counted(table) as work:
            begun = time.monotonic()
            set_monthly(table, organization, "organization", "", 0)
            answered = time.monotonic()
        outcomes = end()

    before = [ok for started, ok in outcomes if started < begun]
    after = [ok for started, ok in outcomes if started > answered]
    print(  # noqa: T201
        f"cut: {answered - begun:.2f} s, {dict(work.calls)}; "
        f"{len(before)} authorizations before, {len(after)} after"
    )
    assert sum(before) > 16
    assert len(after) >= 16
    assert not any(after)
    # One by one it would be several thousand. It is close, look and take back for each ninety-nine,
    # and again for halves of those whom the clients are on just then.
    assert work.calls.total() <= 500
    figures = total(table, organization_now(table, organization))
    assert (figures.spent, figures.held) == (0, 0)
    assert find_pool(table, organization.org_id).available == 0


def organization_now(table: DynamoTable, organization: Organization) -> Organization:
    found = find_organization(table, organization.org_id)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def large(table: DynamoTable) -> Organization:
    """Ten thousand members, forty of whom hold an allotment."""
    organization = organization_of(table, "large", 10_000)
    hand_out(table, organization, 40)
    return organization


def test_a_tier_change_touches_only_who_holds_an_allotment(
    table: DynamoTable, large: Organization
) -> None:
    with counted(table) as work:
        begun = time.monotonic()
        set_monthly(table, large, "seat_tier", "standard", 1)
        seconds = time.monotonic() - begun

    print(f"tier: {seconds:.2f} s, {dict(work.calls)}, {work.units} units")  # noqa: T201
    assert work.calls.total() <= 20
    for index in range(40):
        budget = find_budget(table, large.org_id, f"user_{index}")
        assert budget is not None
        assert budget.allotment == 0


def test_effective_limits_take_the_same_work_on_every_page(
    table: DynamoTable, large: Organization
) -> None:
    pages: list[Work] = []
    seen: set[str] = set()
    start: Item | None = None
    begun = time.monotonic()
    while True:
        with counted(table) as work:
            rows, start = effective_page(
                table, large, [], [], datetime.now(UTC), limit=100, start=start
            )
        pages.append(work)
        seen |= {row["actor"]["user_id"] for row in rows}
        if start is None:
            break

    middle = pages[1:-1]
    print(  # noqa: T201
        f"effective: {len(pages)} pages in {time.monotonic() - begun:.1f} s; first "
        f"{dict(pages[0].calls)} {pages[0].units} units, last {dict(pages[-1].calls)} "
        f"{pages[-1].units} units, most {max(page.units for page in pages)}"
    )
    assert len(seen) == 10_000
    assert len(pages) == 100
    assert {tuple(sorted(page.calls.items())) for page in pages} == {
        (("BatchGetItem", 1), ("Query", 1))
    }
    assert max(page.units for page in middle) - min(page.units for page in middle) <= 100
