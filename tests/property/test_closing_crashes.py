"""A thousand organizations close in one run, while a third of the invocations die somewhere."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headroom.organizations.store.organizations import find_organization
from headroom.provisioning.usecases.provisioning import provision
from headroom.provisioning.wire.provisioning import parse_provisioning
from headroom.spending.usecases.grants import Hints
from headroom.spending.usecases.usage_events import record
from headroom.spending.wire.usage_events import parse_event
from tests.contract.closing import Bureau
from tests.memory_table import MemoryTable
from tests.partitions import Partitions
from tests.state_machine import ExecutionFailed

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
AFTER = datetime(2026, 12, 1, 0, 6, tzinfo=UTC)
ORGANIZATIONS = 1000
MODELS = ("claude-sonnet-4-5", "claude-haiku-4-5", "claude-opus-4-5")


class Died(Exception):
    pass


class Killer:
    """Lets a share of invocations die before one of their calls; which one is chance."""

    def __init__(self, bureau: Bureau, chance: random.Random) -> None:
        self.chance = chance
        self.deaths = self.invocations = 0
        self._run = bureau.step
        self._left: int | None = None
        bureau.table.step = bureau.files.step = self._call
        bureau.step = self.invoke  # type: ignore[method-assign]

    def invoke(self, event: dict[str, Any]) -> Any:
        self.invocations += 1
        self._left = self.chance.randrange(12) if self.chance.random() < 1 / 3 else None
        try:
            answer = self._run(event)
        finally:
            doomed, self._left = self._left is not None, None
        if doomed:
            # It died after its last call, and nobody heard its answer.
            self.deaths += 1
            raise Died
        return answer

    def _call(self, name: str) -> None:
        if self._left is None:
            return
        self._left -= 1
        if self._left < 0:
            self._left = None
            self.deaths += 1
            raise Died


@pytest.fixture(scope="module")
def table() -> Partitions:
    return Partitions()


def build(table: MemoryTable, chance: random.Random) -> dict[str, int]:
    """Provision organizations and let them work; return what each was charged."""
    charged: dict[str, int] = {}
    for number in range(ORGANIZATIONS):
        users = [f"user_{number}_{name}" for name in range(chance.randrange(1, 4))]
        document = {
            "id": f"org-{number}",
            "plan": "enterprise",
            "name": f"Organization {number}",
            "extra_usage": {"enabled": True},
            "spend_limit": str(chance.choice([10, 100_000])),
            "members": [
                {
                    "user_id": user_id,
                    "name": user_id,
                    "email": f"{user_id}@example.com",
                    "seat_tier": chance.choice(["standard", "premium"]),
                    "continue_with_extra_usage": True,
                }
                for user_id in users
            ],
        }
        org_id = provision(table, parse_provisioning(document), NOW)["id"]
        organization = find_organization(table, org_id)
        assert organization is not None
        for event in range(chance.randrange(5)):
            raw = {
                "id": f"{org_id}-{event}",
                "user_id": chance.choice(users),
                "model": chance.choice(MODELS),
                "occurred_at": NOW.isoformat(),
                "usage": {
                    "input_tokens": chance.randrange(20_000),
                    "output_tokens": chance.randrange(3_000),
                },
            }
            record(table, Hints(), organization, parse_event(raw, NOW), NOW)
        charged[org_id] = 0
    for item in table.items.values():
        if item["sk"]["S"] == "LINE":
            charged[item["org_id"]["S"]] += int(item["charged"]["N"])
    return charged


def test_a_thousand_organizations_close_though_a_third_of_the_invocations_die(
    table: Partitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(5)
    charged = build(table, chance)
    bureau = Bureau(table, AFTER, monkeypatch)
    killer = Killer(bureau, chance)

    # What failed for good in one run is due again, and handed out anew, until nothing is.
    rounds = 0
    while bureau.hand_out():
        rounds += 1
        pending, bureau.pending = bureau.pending, []
        # Some executions are started twice.
        for document in [*pending, *chance.sample(pending, len(pending) // 20)]:
            try:
                bureau.execute(document)
            except ExecutionFailed:
                continue
        bureau.clock.set(bureau.clock.now() + timedelta(hours=27))
    assert rounds < 10

    assert killer.deaths > killer.invocations * 0.3
    assert len(charged) == ORGANIZATIONS
    for org_id, nanos in charged.items():
        (invoice,) = bureau.invoices(org_id)
        assert (invoice.period, invoice.subtotal) == ("2026-11", nanos)
        assert invoice.number.endswith("-0001")
        assert invoice.announced
        shown = bureau.shown(invoice)
        assert len(shown["by_member"]) <= 3
    told = [item for item in table.items.values() if "detail_type" in item]
    for name in ("billing_period.closed", "invoice.finalized"):
        assert sum(item["detail_type"]["S"] == name for item in told) == ORGANIZATIONS
