"""How often a long replay meets the pool. Counted in memory: only the counts matter."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from rich.console import Console

from headroom.organizations.store.organizations import find_organization, find_pool
from headroom.spending.usecases.authorizations import authorize
from headroom.spending.usecases.grants import Hints
from headroom.spending.usecases.usage_events import record
from tests.memory_table import MemoryTable
from tools.bench import scene
from tools.progress import follow

REQUESTS = 10_000
MEMBERS = 50
# 1,000 dollars for fifty people in a month; the replay spends about an eighth of it.
CAP_CENTS = 100_000
SEED = 20261123


def measure(console: Console) -> tuple[int, int]:
    """Return the authorized requests of a day's replay, and the writes on the pool."""
    chance = random.Random(SEED)
    table = MemoryTable()
    org_id = scene.provision_organization(table, MEMBERS, cap_cents=CAP_CENTS, name="replay")
    organization = find_organization(table, org_id)
    assert organization is not None
    hints, now = Hints(), datetime(2026, 11, 23, 8, tzinfo=UTC)
    users = scene.user_ids(MEMBERS)
    for number in follow(range(REQUESTS), "replaying", total=REQUESTS, console=console):
        now += timedelta(seconds=chance.expovariate(0.3))
        user_id = chance.choice(users)
        asked = scene.request(
            user_id, int(chance.lognormvariate(7, 1)), chance.choice([256, 1024, 4096])
        )
        answer = authorize(
            table,
            hints,
            organization,
            asked,
            now,
            entropy=chance.randbytes(6),
            idempotency=scene.keyed(),
        )
        used = scene.event(f"event-{number}", user_id, now, answer["id"])
        result = record(table, hints, organization, used, now)
        assert result["status"] == "recorded"
    return REQUESTS, find_pool(table, org_id).grants
