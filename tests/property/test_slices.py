"""A busy member comes to the pool ever less often; an idle one gives back what they were handed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from headroom.organizations.store.organizations import find_pool
from headroom.spending.usecases.authorizations import release
from headroom.spending.usecases.expiry import LOOK_EVERY_MILLIS, sweep
from tests.office import THOUSAND_TOKENS, Office

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def grants(office: Office) -> int:
    return find_pool(office.table, office.org_id).grants


def test_of_five_hundred_requests_no_more_than_one_in_fifty_comes_to_the_pool() -> None:
    office = Office(NOW)
    for number in range(500):
        now = NOW + number * SECOND / 10
        office.spend(office.hold(now), now)
    assert 0 < grants(office) <= 10


def test_slices_shrink_to_the_request_as_the_pool_drains() -> None:
    """The cap fits 100 requests exactly, and all of them are granted: nothing sits idle."""
    office = Office(NOW, spend_limit="150")
    for number in range(100):
        now = NOW + number * SECOND / 10
        office.spend(office.hold(now), now)
    assert office.budget.granted == 100 * THOUSAND_TOKENS
    assert office.budget.allotment == 0


def test_a_sweep_leaves_a_busy_member_their_allotment_and_takes_an_idle_ones() -> None:
    office = Office(NOW)
    release(office.table, office.org_id, office.hold(NOW))
    handed_out = office.budget.allotment
    assert handed_out == 16 * THOUSAND_TOKENS
    idle_at = NOW + timedelta(milliseconds=LOOK_EVERY_MILLIS)

    sweep(office.table, idle_at - timedelta(milliseconds=1), lambda: True)
    assert office.budget.allotment == handed_out

    sweep(office.table, idle_at, lambda: True)
    assert office.budget.allotment == 0
    assert find_pool(office.table, office.org_id).unallotted == office.organization.cap


def test_a_short_hold_is_swept_when_it_ends_whenever_its_member_was_registered() -> None:
    office = Office(NOW)
    release(office.table, office.org_id, office.hold(NOW))
    office.hold(NOW + SECOND, ttl=timedelta(hours=1))
    office.hold(NOW + 2 * SECOND, ttl=timedelta(minutes=2))
    office.hold(NOW + 3 * SECOND, ttl=timedelta(minutes=1))
    open_holds = []
    for passed in (60, 63, 121, 122, 3600, 3601):
        sweep(office.table, NOW + passed * SECOND, lambda: True)
        open_holds.append(len(office.budget.holds))
    assert open_holds == [3, 2, 2, 1, 1, 0]
