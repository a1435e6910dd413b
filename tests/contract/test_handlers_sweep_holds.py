from __future__ import annotations

from datetime import UTC, datetime, timedelta

from headroom.organizations.store.organizations import find_organization, find_pool
from headroom.spending.store.registrations import list_registered
from headroom.spending.usecases.authorizations import authorize
from headroom.spending.usecases.grants import Hints
from headroom.spending.wire.authorizations import parse_authorization_request
from tests.in_process import Application, Organization, sample_body


def hold_taken(
    app: Application, organization: Organization, before: timedelta, *, name: str, ttl_seconds: int
) -> str:
    """Take a hold in the past, which the handler cannot do.

    The sweeper looks at a member ten minutes after their first request, or later.
    """
    settings = find_organization(app.table, organization.id)
    assert settings is not None
    body = sample_body("authorize_spend/create_authorization")
    asked = parse_authorization_request(
        body | {"user_id": f"user_{name}", "ttl_seconds": ttl_seconds}
    )
    taken_at = datetime.now(UTC) - before
    held = authorize(app.table, Hints(), settings, asked, taken_at, entropy=bytes(6))
    return str(held["id"])


def test_the_schedules_event_frees_what_nobody_settled(
    app: Application, acme: Organization
) -> None:
    earlier = timedelta(minutes=11)
    hold_taken(app, acme, earlier, name="ada", ttl_seconds=30)
    hold_taken(app, acme, earlier, name="ben", ttl_seconds=30)
    hold_taken(app, acme, earlier, name="dora", ttl_seconds=3600)

    answer = app.sweep()

    assert answer == {"looked_at": 3, "priced": 0}
    assert [app.holds(acme, name) for name in ("ada", "ben", "dora")] == [0, 0, 1]
    assert app.budget(acme).held == 0
    assert app.budget(acme, "dora").held == 214_880_000


def test_sweeping_again_finds_nothing_to_do(app: Application, acme: Organization) -> None:
    hold_taken(app, acme, timedelta(minutes=11), name="ada", ttl_seconds=30)
    app.sweep()
    before = app.budget(acme)

    app.sweep()

    assert app.budget(acme) == before


def test_what_a_member_leaves_idle_goes_back_to_the_pool(
    app: Application, acme: Organization
) -> None:
    pool_before = find_pool(app.table, acme.id)
    hold_taken(app, acme, timedelta(minutes=20), name="ada", ttl_seconds=30)
    assert find_pool(app.table, acme.id).unallotted < pool_before.unallotted

    app.sweep()
    app.sweep()

    pool = find_pool(app.table, acme.id)
    assert (pool.unallotted, pool.funds) == (pool_before.unallotted, pool_before.funds)
    assert list(list_registered(app.table, acme.id)) == []


def test_a_sweep_that_runs_out_of_time_leaves_the_rest_to_the_next(
    app: Application, acme: Organization
) -> None:
    hold_taken(app, acme, timedelta(minutes=11), name="ada", ttl_seconds=30)

    assert app.sweep(remaining_millis=4_000)["looked_at"] == 0
    assert app.holds(acme) == 1

    assert app.sweep()["looked_at"] == 1
    assert app.holds(acme) == 0
