"""Calls and write units of one request in the steady state, as the client package sends it.

Each authorization carries an idempotency key, and usage comes in batches.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from headroom.organizations.store.organizations import find_organization
from headroom.spending.usecases.authorizations import Idempotency, authorize
from headroom.spending.usecases.grants import Hints
from headroom.spending.usecases.usage_events import record
from tools.bench import scene
from tools.bench.naive import Naive

OPEN_HOLDS = 2
# So many of the member's requests came before: what a budget remembers of them is complete.
EARLIER_REQUESTS = 20
BATCH_EVENTS = 10


@dataclass(frozen=True, slots=True)
class Counts:
    """What one request took."""

    authorize_calls: int
    authorize_units: int
    repeat_units: int
    settle_calls: int
    settle_units: int
    batch_calls: int
    batch_units: int
    naive_authorize_units: int
    naive_settle_calls: int
    naive_settle_units: int


def measure(endpoint_url: str) -> Counts:
    """Authorize and settle once more, with a member who has other requests open."""
    table = scene.create_table(endpoint_url, "bench-steady")
    org_id = scene.provision_organization(table, BATCH_EVENTS, cap_cents=10_000_000, name="steady")
    organization = find_organization(table, org_id)
    assert organization is not None
    user_ids, hints, now = scene.user_ids(BATCH_EVENTS), Hints(), datetime.now(UTC)
    user_id = user_ids[0]
    asked = scene.request(user_id)

    def ask(user_id: str = user_id, idempotency: Idempotency | None = None) -> str:
        answer = authorize(
            table,
            hints,
            organization,
            scene.request(user_id),
            now,
            entropy=secrets.token_bytes(6),
            idempotency=idempotency or scene.keyed(),
        )
        return str(answer["id"])

    def settle(name: str, held: Mapping[str, str]) -> None:
        """Take a batch of usage as the function does, event by event: holds by member."""
        for user_id, authorization_id in held.items():
            used = scene.event(f"{name}-{user_id}", user_id, now, authorization_id)
            result = record(table, hints, organization, used, now)
            assert result["status"] == "recorded"

    for number in range(EARLIER_REQUESTS):
        settle(f"warm-{number}", {user_id: ask(user_id) for user_id in user_ids})
    batch = {user_id: ask(user_id) for user_id in user_ids}
    with scene.counted(table) as settling_batch:
        settle("batch", batch)
    for _ in range(OPEN_HOLDS):
        ask()
    key = scene.keyed()
    with scene.counted(table) as authorizing:
        authorization_id = ask(idempotency=key)
    hints = Hints()
    with scene.counted(table) as repeating:
        assert ask(idempotency=key) == authorization_id
    with scene.counted(table) as settling:
        settle("measured", {user_id: authorization_id})

    naive = Naive(table, org_id)
    naive.create([user_id], 10**15)
    with scene.counted(table) as naive_authorizing:
        hold_id = naive.authorize(asked, now, secrets.token_bytes(6))
    assert hold_id is not None
    with scene.counted(table) as naive_settling:
        assert naive.record(hold_id, scene.event("naive", user_id, now), now)
    return Counts(
        authorizing["calls"],
        authorizing["write units"],
        repeating["write units"],
        settling["calls"],
        settling["write units"],
        settling_batch["calls"],
        settling_batch["write units"],
        naive_authorizing["write units"],
        naive_settling["calls"],
        naive_settling["write units"],
    )
