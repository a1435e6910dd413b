"""Calls and write units of one request in the steady state."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

from headroom.store.organizations import find_organization
from headroom.usecases.acquiring import Hints
from headroom.usecases.authorizing import authorize
from headroom.usecases.recording import record
from tools.bench import scene
from tools.bench.naive import Naive

OPEN_HOLDS = 2


@dataclass(frozen=True, slots=True)
class Counts:
    """What one request took."""

    authorize_calls: int
    authorize_units: int
    settle_calls: int
    settle_units: int
    naive_authorize_units: int
    naive_settle_calls: int
    naive_settle_units: int


def measure(endpoint_url: str) -> Counts:
    """Authorize and settle once more, with a member who has other requests open."""
    table = scene.create_table(endpoint_url, "bench-steady")
    org_id = scene.provision_organization(table, 1, cap_cents=10_000_000, name="steady")
    organization = find_organization(table, org_id)
    assert organization is not None
    user_id, hints, now = scene.user_ids(1)[0], Hints(), datetime.now(UTC)
    asked = scene.request(user_id)

    def ask() -> str:
        answer = authorize(table, hints, organization, asked, now, entropy=secrets.token_bytes(6))
        return str(answer["id"])

    opened = [ask() for _ in range(OPEN_HOLDS + 1)]
    record(table, hints, organization, scene.event("warm", user_id, now, opened.pop()), now)
    with scene.counted(table) as authorizing:
        authorization_id = ask()
    used = scene.event("measured", user_id, now, authorization_id)
    with scene.counted(table) as settling:
        result = record(table, hints, organization, used, now)
    assert result["status"] == "recorded"

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
        settling["calls"],
        settling["write units"],
        naive_authorizing["write units"],
        naive_settling["calls"],
        naive_settling["write units"],
    )
