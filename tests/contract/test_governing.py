"""Owners change what may be spent: in force when the call returns, audited, announced, once."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from headroom.core.domain.actor import Actor
from headroom.core.errors import Conflict, Forbidden, InvalidRequest, NotFound
from headroom.core.store.table import Change, Contended, Refused
from headroom.limits.store.limits import find_limit
from headroom.limits.usecases.increase_requests import approve, deny, request_increase
from headroom.limits.usecases.members import (
    add_member,
    change_seat,
    choose_to_continue,
    remove_member,
)
from headroom.limits.usecases.pages import current_page, effective_page, limits_page, requests_page
from headroom.limits.usecases.request_digest import OUTSTANDING, digest_requests
from headroom.limits.usecases.settings import (
    Reason,
    change_organization,
    change_person,
    set_enabled,
)
from headroom.limits.usecases.spend_limits import remove_override
from headroom.limits.usecases.thresholds import Announced
from headroom.organizations.domain.organization import Admission, SeatTier
from headroom.organizations.store.credentials import put_key, revoke_key
from headroom.organizations.store.organizations import find_member, find_pool
from headroom.organizations.usecases.api_keys import new_key
from headroom.organizations.usecases.audit import audit_page
from headroom.overview.usecases.overview import extra_usage, own_extra_usage
from headroom.provisioning.wire.provisioning import parse_member
from headroom.spending.store.budgets import close_together, reclaim_together
from headroom.spending.usecases.authorizations import release
from headroom.spending.usecases.totals import total
from tests.contract.governing import ANN, BEN, CENT, NOW, OLGA, OWNER, PAM, House
from tests.memory_table import MemoryTable

REVIEWER = Actor("user", PAM)
KEY = Actor("api_key", "key_x")


@pytest.fixture
def house() -> House:
    return House()


def admission(house: House, mode: Admission) -> None:
    change_organization(
        house.table,
        house.org_id,
        lambda old: replace(old, admission=mode, set_up=old.set_up | {"members"}),
        NOW,
        Reason(OWNER, "extra_usage.members_changed"),
        touches=lambda budget: mode == "selected",
    )


def test_a_cut_that_died_is_finished_by_whoever_asks_for_money(house: House) -> None:
    """Until its time is over others wait, so that they are not in the way of a cut that lives."""
    house.spend(ANN)
    house.spend(BEN)
    assert house.budget(ANN).allotment > 0
    steps: list[str] = []

    def die_after_the_change(name: str) -> None:
        steps.append(name)
        if steps.count("transact") and name != "transact":
            raise SystemExit

    house.table.step = die_after_the_change
    with pytest.raises(SystemExit):
        house.limit("organization", "", 0)
    house.table.step = lambda name: None

    assert house.refusal(PAM) == "contended"
    assert house.refusal(PAM, NOW + timedelta(seconds=9)) == "contended"
    later = NOW + timedelta(seconds=11)
    assert house.refusal(PAM, later) == "organization_limit_reached"
    assert (house.budget(ANN).allotment, house.budget(BEN).allotment) == (0, 0)


def test_nobody_waits_for_a_cut_that_is_done(house: House) -> None:
    """Also when the pool still owes what is held, and a hold ends a moment later."""
    held = house.ask(ANN)
    house.limit("organization", "", 0)
    assert find_pool(house.table, house.org_id).available < 0
    release(house.table, house.org_id, held["id"])
    assert house.refusal(PAM) == "organization_limit_reached"
    house.limit("organization", "", 1)
    assert house.refusal(PAM, NOW + timedelta(hours=25)) == "organization_limit_reached"
    assert find_pool(house.table, house.org_id).enforced_until_millis == 0


def enable(house: House) -> None:
    set_enabled(house.table, house.org_id, True, NOW, Reason(OWNER, "extra_usage.enabled"))


def disable(house: House) -> None:
    set_enabled(house.table, house.org_id, False, NOW, Reason(OWNER, "extra_usage.disabled"))


def seat(house: House, user_id: str = ANN, **changes: Any) -> None:
    wanted = {"admitted": None, "seat_tier": None, "role": None, **changes}
    change_seat(house.table, house.organization, user_id, OWNER, NOW, **wanted)


def add(house: House, user_id: str = "user_new", **fields: Any) -> None:
    body = {"user_id": user_id, "name": "New", "email": f"{user_id}@house.example", **fields}
    add_member(house.table, house.organization, parse_member(body, house.org_id), OWNER, NOW)


def remove(house: House, user_id: str = ANN) -> None:
    remove_member(house.table, house.organization, user_id, OWNER, NOW)


def file_request(house: House, user_id: str = ANN, seconds: int = 0) -> str:
    now = NOW + timedelta(seconds=seconds)
    return request_increase(
        house.table,
        house.organization,
        user_id,
        "monthly",
        "more",
        now,
        entropy=user_id[-6:].encode(),
    ).request_id


def next_step(house: House) -> str | None:
    step: str | None = extra_usage(house.table, house.organization, NOW)["next_step"]
    return step


# Enabling.


def test_an_enterprise_owner_is_led_from_enabling_to_limits_to_members() -> None:
    house = House(extra_usage={"enabled": False}, spend_limit=None)
    steps = [next_step(house)]
    enable(house)
    steps.append(next_step(house))
    house.limit("organization", "", 100_000)
    steps.append(next_step(house))
    house.limit("seat_tier", "standard", 1_000)
    steps.append(next_step(house))
    admission(house, "everyone")
    steps.append(next_step(house))

    assert steps == ["enable", "spend_limit", "seat_tier_limits", "members", None]


def test_a_team_owner_is_led_to_a_payment_first() -> None:
    house = House("team", extra_usage={"enabled": False}, wallet={"balance": "0"})
    assert next_step(house) == "enable"

    enable(house)

    assert next_step(house) == "payment"


def test_a_team_with_money_in_its_wallet_is_led_to_auto_reload() -> None:
    house = House("team")

    assert next_step(house) == "auto_reload"


def test_nothing_starts_until_extra_usage_is_enabled() -> None:
    house = House(extra_usage={"enabled": False})
    assert house.refusal() == "extra_usage_disabled"

    enable(house)

    assert house.refusal() is None


# Every change: idempotent, audited once, announced under its own name only.

CHANGES: dict[str, tuple[Callable[[House], object], str | None]] = {
    "disable": (disable, "extra_usage.disabled"),
    "cap": (lambda house: house.limit("organization", "", 50), "spend_limit.changed"),
    "cap unlimited": (lambda house: house.limit("organization", "", None), "spend_limit.changed"),
    "tier": (lambda house: house.limit("seat_tier", "standard", 50), "spend_limit.changed"),
    "tier daily": (
        lambda house: house.limit("seat_tier", "standard", 9, "daily"),
        "spend_limit.changed",
    ),
    "override": (lambda house: house.limit("user", ANN, 50), "spend_limit.changed"),
    "override unlimited": (lambda house: house.limit("user", ANN, None), "spend_limit.changed"),
    "override weekly": (lambda house: house.limit("user", ANN, 0, "weekly"), "spend_limit.changed"),
    "selected": (lambda house: admission(house, "selected"), None),
    "seat": (lambda house: seat(house, seat_tier="premium"), None),
    "role": (lambda house: seat(house, role="owner"), "member.role_raised"),
    "admitted": (lambda house: seat(house, admitted=True), None),
    "added": (add, None),
    "removed": (remove, None),
}
BY_NAME = pytest.mark.parametrize(("change", "announced"), CHANGES.values(), ids=CHANGES)


@BY_NAME
def test_a_change_is_audited_with_before_and_after_and_its_author(
    house: House, change: Callable[[House], object], announced: str | None
) -> None:
    version = house.organization.version
    change(house)

    (entry,) = house.audit()
    assert entry["actor"] == {"type": "user", "id": OLGA}
    assert entry["before"] != entry["after"]
    assert set(entry["before"]) <= set(entry["after"]) or set(entry["after"]) <= set(
        entry["before"]
    )
    assert house.organization.version == version + 1
    assert house.all_told() == (announced is not None)
    if announced is not None:
        (told,) = house.told(announced)
        detail = json.loads(told["detail"]["S"])
        assert detail["organization_id"] == house.org_id
        assert (detail["before"], detail["after"]) == (entry["before"], entry["after"])


@BY_NAME
def test_a_repeated_change_changes_nothing_more(
    house: House, change: Callable[[House], object], announced: str | None
) -> None:
    change(house)
    before = deepcopy(house.table.items)

    change(house)

    assert len(house.audit()) == 1
    assert house.told(announced or "") == [
        item for item in before.values() if item.get("detail_type") == {"S": announced or ""}
    ]
    assert house.organization.version == 2


def test_a_limit_set_to_what_it_was_keeps_the_moment_it_was_set(house: House) -> None:
    first = house.limit("user", ANN, 50)
    again = house.limit("user", ANN, 50, now=NOW + timedelta(hours=1))
    other = house.limit("user", ANN, 60, now=NOW + timedelta(hours=2))

    assert again == first
    assert other.created_at == first.created_at
    assert other.updated_at > first.updated_at


def test_a_change_and_its_audit_entry_stand_or_fall_together(house: House) -> None:
    """The very transaction that writes the setting writes the entry."""
    writes: list[set[str]] = []
    transact = house.table.transact

    def watch(changes: Any) -> None:
        writes.append({f"{change.key.pk.split('#')[-1]} {change.key.sk}" for change in changes})
        transact(changes)

    house.table.transact = watch  # type: ignore[method-assign]
    house.limit("user", ANN, 50)

    (setting,) = [keys for keys in writes if f"MEMBERS MEMBER#{ANN}" in keys]
    assert "AUDIT CHANGE#000000000002" in setting
    assert f"LIMITS 2#user#{ANN}#monthly" in setting


def test_the_audit_names_a_key_that_made_the_change(house: House) -> None:
    set_enabled(house.table, house.org_id, False, NOW, Reason(KEY, "extra_usage.disabled"))

    assert house.audit()[0]["actor"] == {"type": "api_key", "id": "key_x"}


def test_a_key_that_made_a_change_is_read_with_its_name_also_after_it_was_revoked(
    house: House,
) -> None:
    _, key = new_key(house.org_id, "Nightly job", ["write:limits"])
    house.table.transact(put_key(key, NOW))
    for enabled, actor in ((False, Actor("api_key", key.key_id)), (True, KEY)):
        reason = Reason(actor, "extra_usage.enabled" if enabled else "extra_usage.disabled")
        set_enabled(house.table, house.org_id, enabled, NOW, reason)
    revoke_key(house.table, house.org_id, key.key_id, NOW)

    rows, _ = audit_page(house.table, house.org_id, limit=10, start=None)

    assert [row["actor"] for row in rows] == [
        {"type": "api_key", "id": "key_x"},
        {"type": "api_key", "id": key.key_id, "name": "Nightly job"},
    ]


# At once: what was handed out before the change starts nothing after it.

STOPS: dict[str, tuple[Callable[[House], object], str]] = {
    "disable": (disable, "extra_usage_disabled"),
    "cap": (lambda house: house.limit("organization", "", 4), "organization_limit_reached"),
    "cap zero": (lambda house: house.limit("organization", "", 0), "organization_limit_reached"),
    "tier": (lambda house: house.limit("seat_tier", "standard", 2), "seat_tier_limit_reached"),
    "tier daily": (
        lambda house: house.limit("seat_tier", "standard", 2, "daily"),
        "seat_tier_limit_reached",
    ),
    "override": (lambda house: house.limit("user", ANN, 2), "user_limit_reached"),
    "override zero": (lambda house: house.limit("user", ANN, 0), "user_limit_reached"),
    "override weekly": (
        lambda house: house.limit("user", ANN, 2, "weekly"),
        "user_limit_reached",
    ),
    "selected": (lambda house: admission(house, "selected"), "member_not_enabled"),
    "moved to a tier with less": (
        lambda house: seat(house, seat_tier="premium"),
        "seat_tier_limit_reached",
    ),
    "consent withdrawn": (
        lambda house: choose_to_continue(house.table, house.organization, ANN, False, NOW),
        "included_limit_reached",
    ),
}


@pytest.mark.parametrize(("change", "reason"), STOPS.values(), ids=STOPS)
def test_nothing_starts_that_the_change_forbids_while_holds_may_settle(
    change: Callable[[House], object], reason: str
) -> None:
    house = House(seat_tiers={"premium": {"spend_limit": "1"}})
    house.spend()
    held = house.ask()
    assert house.budget().allotment > 0

    change(house)

    assert house.budget().allotment == 0
    assert house.refusal() == reason
    house.settle(held)
    assert house.refusal() == reason
    assert house.budget().allotment == house.budget().held == 0


def test_a_removed_member_starts_nothing_and_settles_what_they_hold(house: House) -> None:
    house.spend()
    held = house.ask()
    remove(house)

    with pytest.raises(NotFound):
        house.ask()
    house.settle(held)
    with pytest.raises(NotFound):
        house.ask()


def test_a_member_who_comes_back_has_no_limits_of_before(house: House) -> None:
    house.limit("user", ANN, 0)
    remove(house)
    assert find_limit(house.table, house.place("user", ANN)) is None

    add(house, ANN, continue_with_extra_usage=True, seat_tier="premium")

    assert house.refusal() is None
    member = find_member(house.table, house.org_id, ANN)
    assert member is not None
    assert (member.active, member.seat_tier, dict(member.limits)) == (True, "premium", {})


def test_a_recall_does_not_take_other_holds_for_those_that_it_saw(house: House) -> None:
    """When the drained pool says no, it relies on when the first of them expires."""
    first = house.ask(ANN)
    seen = house.budget(ANN)
    release(house.table, house.org_id, first["id"])
    second = house.ask(ANN)
    now = house.budget(ANN)
    assert (now.allotment, now.held, now.epoch) == (seen.allotment, seen.held, seen.epoch)

    with pytest.raises(Refused):
        reclaim_together(house.table, [seen], seen.period)
    assert house.budget(ANN) == now

    close_together(house.table, house.org_id, [ANN])
    closed = house.budget(ANN)
    release(house.table, house.org_id, second["id"])
    # What ends meanwhile is in nobody's way.
    reclaim_together(house.table, [closed], closed.period)
    assert (house.budget(ANN).allotment, house.budget(ANN).granted) == (0, 0)


def test_those_who_left_leave_no_gaps_in_the_pages_of_members(house: House) -> None:
    remove_member(house.table, house.organization, ANN, OWNER, NOW)
    remove_member(house.table, house.organization, PAM, OWNER, NOW)
    rows, last = current_page(house.table, house.org_id, limit=1, start=None)
    assert [row["user_id"] for row in rows] == [BEN]
    assert last is not None
    rows, last = current_page(house.table, house.org_id, limit=1, start=last)
    assert ([row["user_id"] for row in rows], last) == ([OLGA], None)


def test_an_active_member_is_not_added_as_somebody_else(house: House) -> None:
    with pytest.raises(Conflict):
        add(house, ANN, role="owner")


def test_the_primary_owner_stays(house: House) -> None:
    with pytest.raises(Forbidden):
        remove(house, OLGA)
    with pytest.raises(Forbidden):
        seat(house, OLGA, role="member")
    with pytest.raises(Forbidden):
        seat(house, ANN, role="primary_owner")


def test_a_raise_holds_at_once_too(house: House) -> None:
    house.limit("user", ANN, 0)
    assert house.refusal() == "user_limit_reached"

    house.limit("user", ANN, None)

    assert house.refusal() is None


def test_a_tier_change_closes_only_who_is_in_the_tier(house: House) -> None:
    house.spend(ANN)
    house.spend(PAM)
    before = house.budget(PAM)

    house.limit("seat_tier", "standard", 2)

    assert house.budget(PAM) == before
    assert house.budget(ANN).allotment == 0


# Whose limit holds.


def effective(house: House, user_id: str = ANN, period: str = "monthly") -> tuple[str, str | None]:
    rows, _ = effective_page(
        house.table, house.organization, [user_id], [], NOW, limit=20, start=None
    )
    (row,) = [row for row in rows if row["period"] == period]
    return row["source"]["type"], row["amount"]


def test_an_override_beats_the_tier_and_its_removal_brings_the_tier_back(house: House) -> None:
    assert effective(house) == ("organization", None)
    house.limit("seat_tier", "standard", 500)
    assert effective(house) == ("seat_tier", "500")
    house.limit("user", ANN, 700)
    assert effective(house) == ("user", "700")
    house.limit("user", ANN, None)
    assert effective(house) == ("user", None)
    house.limit("user", ANN, 0)
    assert effective(house) == ("user", "0")

    remove_override(house.table, house.place("user", ANN), OWNER, NOW)

    assert effective(house) == ("seat_tier", "500")
    with pytest.raises(NotFound):
        remove_override(house.table, house.place("user", ANN), OWNER, NOW)


def test_days_and_weeks_are_limited_by_themselves(house: House) -> None:
    house.limit("user", ANN, 3, "daily")
    house.limit("seat_tier", "standard", 4, "weekly")
    assert effective(house, period="daily") == ("user", "3")
    assert effective(house, period="weekly") == ("seat_tier", "4")
    assert house.spend() == "1.8"
    assert house.refusal() == "user_limit_reached"

    house.spend(now=NOW + timedelta(days=1))

    assert house.refusal(now=NOW + timedelta(days=2)) == "seat_tier_limit_reached"
    assert house.refusal(now=NOW + timedelta(days=7)) is None


def test_only_members_own_limits_are_deleted(house: House) -> None:
    house.limit("seat_tier", "standard", 500)
    for place in (house.place("organization"), house.place("seat_tier", "standard")):
        with pytest.raises(InvalidRequest):
            remove_override(house.table, place, OWNER, NOW)


def test_a_team_has_no_limits_by_tier() -> None:
    with pytest.raises(InvalidRequest):
        House("team").limit("seat_tier", "standard", 5)


def test_the_organizations_limit_is_monthly(house: House) -> None:
    with pytest.raises(InvalidRequest):
        house.limit("organization", "", 5, "daily")


def test_who_is_not_a_member_gets_no_limit(house: House) -> None:
    remove(house, BEN)
    for user_id in ("user_nobody", BEN):
        with pytest.raises(NotFound):
            house.limit("user", user_id, 5)
        assert find_limit(house.table, house.place("user", user_id)) is None


# Requests for more.


def test_approving_writes_the_limit_and_closes_the_request_in_one_step(house: House) -> None:
    request_id = file_request(house)
    answer = approve(
        house.table, house.organization, request_id, 700 * CENT, None, REVIEWER, NOW, notify=True
    )

    assert (answer["status"], answer["spend_limit"]["amount"]) == ("approved", "700")
    assert answer["resolved_by"]["user_id"] == PAM
    assert effective(house) == ("user", "700")
    assert len(house.told("spend_limit.increase_requested")) == 1
    assert len(house.told("spend_limit.increase_approved")) == 1
    assert house.audit()[0]["actor"]["id"] == PAM
    assert len(house.audit()) == 1


def test_approving_twice_keeps_the_first_limit(house: House) -> None:
    request_id = file_request(house)
    for cents in (700, 900):
        approve(
            house.table,
            house.organization,
            request_id,
            cents * CENT,
            None,
            REVIEWER,
            NOW,
            notify=True,
        )

    assert effective(house) == ("user", "700")
    assert len(house.told("spend_limit.increase_approved")) == 1


def test_denying_twice_is_fine_and_approving_after_it_is_not(house: House) -> None:
    request_id = file_request(house)
    for _ in range(2):
        answer = deny(house.table, house.organization, request_id, REVIEWER, NOW, notify=False)
        assert answer["status"] == "denied"

    with pytest.raises(InvalidRequest):
        approve(house.table, house.organization, request_id, CENT, None, OWNER, NOW, notify=True)
    assert effective(house) == ("organization", None)
    assert len(house.told("spend_limit.increase_denied")) == 1


def test_denying_after_approving_is_refused(house: House) -> None:
    request_id = file_request(house)
    approve(house.table, house.organization, request_id, CENT, None, OWNER, NOW, notify=True)

    with pytest.raises(InvalidRequest):
        deny(house.table, house.organization, request_id, OWNER, NOW, notify=True)


def test_one_request_of_a_member_is_pending_and_the_next_after_its_answer(house: House) -> None:
    first = file_request(house)
    with pytest.raises(Conflict):
        file_request(house, seconds=1)
    file_request(house, BEN, seconds=1)

    deny(house.table, house.organization, first, OWNER, NOW, notify=True)

    assert file_request(house, seconds=2) != first


def test_a_limit_set_directly_leaves_the_request_pending(house: House) -> None:
    file_request(house)
    house.limit("user", ANN, 900)

    rows, _ = requests_page(
        house.table, house.organization, ["pending"], [], NOW, limit=9, start=None
    )
    assert [row["actor"]["user_id"] for row in rows] == [ANN]
    assert extra_usage(house.table, house.organization, NOW)["requests"]["pending"] == 1


def test_requests_can_be_switched_off_and_a_team_has_none(house: House) -> None:
    change_organization(
        house.table, house.org_id, lambda old: replace(old, requests_enabled=False), NOW
    )
    with pytest.raises(Conflict):
        file_request(house)
    with pytest.raises(InvalidRequest):
        file_request(House("team"))


def test_a_request_of_somebody_who_left_is_denied_but_not_approved(house: House) -> None:
    request_id = file_request(house)
    remove(house)

    with pytest.raises(NotFound):
        approve(house.table, house.organization, request_id, CENT, None, OWNER, NOW, notify=True)
    assert find_limit(house.table, house.place("user", ANN)) is None
    deny(house.table, house.organization, request_id, OWNER, NOW, notify=True)


def test_outstanding_requests_are_told_once_a_day_and_not_after_their_answer(house: House) -> None:
    ann, ben = file_request(house), file_request(house, BEN)
    for hours in (1, 2):
        digest_requests(house.table, NOW + timedelta(hours=hours))
    (told,) = house.told(OUTSTANDING)
    detail = json.loads(told["detail"]["S"])
    assert (detail["pending"], detail["request_ids"]) == (2, sorted([ann, ben]))

    for request_id in (ann, ben):
        deny(house.table, house.organization, request_id, OWNER, NOW, notify=True)
    digest_requests(house.table, NOW + timedelta(days=1))

    assert len(house.told(OUTSTANDING)) == 1


# Lists.


def test_pages_of_effective_limits_never_split_a_member(house: House) -> None:
    for user_id in (ANN, BEN):
        house.limit("user", user_id, 5, "daily")
    remove(house, PAM)
    start, pages = None, []
    while True:
        rows, start = effective_page(
            house.table, house.organization, [], [], NOW, limit=1, start=start
        )
        pages.append([(row["actor"]["user_id"], row["period"]) for row in rows])
        if start is None:
            break

    assert pages == [
        [(ANN, "monthly"), (ANN, "daily")],
        [(BEN, "monthly"), (BEN, "daily")],
        [(OLGA, "monthly")],
    ]


def test_pages_of_limits_come_in_order_and_leave_nothing_out(house: House) -> None:
    house.limit("seat_tier", "standard", 5)
    house.limit("user", ANN, 5)
    house.limit("user", BEN, 5, "weekly")
    for size in (1, 2, 3, 9):
        start, seen = None, []
        while True:
            rows, start = limits_page(house.table, house.organization, [], limit=size, start=start)
            assert len(rows) <= size
            seen += [(row["scope"]["type"], row["period"]) for row in rows]
            if start is None:
                break
        assert seen == [
            ("organization", "monthly"),
            ("seat_tier", "monthly"),
            ("user", "monthly"),
            ("user", "weekly"),
        ]


def test_pages_of_requests_are_filtered_and_the_most_recent_first(house: House) -> None:
    ids = [file_request(house, user, index) for index, user in enumerate((ANN, BEN, PAM))]
    deny(house.table, house.organization, ids[1], OWNER, NOW, notify=True)
    start, seen = None, []
    while True:
        rows, start = requests_page(
            house.table, house.organization, ["pending"], [], NOW, limit=1, start=start
        )
        seen += [row["id"] for row in rows]
        if start is None:
            break

    assert seen == [ids[2], ids[0]]


# Figures and thresholds.


def thresholds(house: House) -> list[tuple[str, str, int]]:
    details = [
        json.loads(item["detail"]["S"]) for item in house.told("spend_limit.threshold_reached")
    ]
    return sorted(
        (told["scope"]["type"], told["amount"], told["threshold_percent"]) for told in details
    )


def test_each_threshold_is_announced_once_a_crossing(house: House) -> None:
    house.limit("organization", "", 20)
    for _ in range(8):  # 14.4 of 20 cents: not yet 75 %.
        house.spend()
        house.follow()
    assert thresholds(house) == []

    for expected in ([75], [75, 90], [75, 90]):
        if expected != [75, 90] or thresholds(house) == [("organization", "20", 75)]:
            house.spend()
        house.follow()
        assert [level for _, _, level in thresholds(house)] == expected


def test_a_raise_and_a_new_month_let_thresholds_be_announced_again(house: House) -> None:
    def spend(times: int, month: int = 0) -> list[tuple[str, str, int]]:
        now = NOW + timedelta(days=30 * month)
        for _ in range(times):
            house.spend(now=now)
        house.follow(now=now)
        return thresholds(house)

    house.limit("user", ANN, 4)
    reached = [("user", "4", 75), ("user", "4", 90)]
    assert spend(2) == reached

    house.limit("user", ANN, 8)
    assert spend(0) == reached
    reached += [("user", "8", 75), ("user", "8", 90)]
    assert spend(2) == reached

    assert spend(1, month=1) == reached
    assert spend(3, month=1) == [*reached[:2], *sorted(reached[2:] * 2)]


def test_a_limit_that_is_set_back_is_crossed_anew_and_once(house: House) -> None:
    house.spend()
    house.spend()  # 3.6 cents.
    for kind, name in (("organization", ""), ("user", ANN)):
        told = "organization" if kind == "organization" else "user"
        seen = []
        for cents in (4, 40, 4, 4):
            house.limit(kind, name, cents)  # type: ignore[arg-type]
            house.follow()
            house.follow()
            seen.append([level for scope, _, level in thresholds(house) if scope == told])
        assert seen == [[75, 90], [75, 90], [75, 75, 90, 90], [75, 75, 90, 90]]


def test_a_limit_that_comes_back_by_another_way_is_crossed_anew(house: House) -> None:
    """A tier's limit, behind an override that came and went, or left and taken again."""
    house.limit("seat_tier", "standard", 4)
    house.spend()
    house.spend()

    def followed() -> list[int]:
        house.follow()
        return [level for scope, _, level in thresholds(house) if scope == "user"]

    assert followed() == [75, 90]
    house.limit("user", ANN, 40)
    assert followed() == [75, 90]
    remove_override(house.table, house.place("user", ANN), OWNER, NOW)
    assert followed() == [75, 75, 90, 90]
    moves: list[tuple[SeatTier, list[int]]] = [
        ("premium", [75, 75, 90, 90]),
        ("standard", [75] * 3 + [90] * 3),
    ]
    for tier, expected in moves:
        change_seat(
            house.table,
            house.organization,
            ANN,
            OWNER,
            NOW,
            admitted=None,
            seat_tier=tier,
            role=None,
        )
        assert followed() == expected
    # What changes something else leaves the limit the one that it was.
    house.limit("user", ANN, 100, "weekly")
    house.limit("seat_tier", "standard", 100, "daily")
    house.limit("seat_tier", "standard", 4)
    choose_to_continue(house.table, house.organization, ANN, True, NOW)
    assert followed() == [75] * 3 + [90] * 3


@pytest.mark.parametrize("turned", ["by nobody", "by another", "by the holder"])
def test_a_hold_of_last_month_counts_against_the_wallet_and_not_against_this_months_cap(
    turned: str,
) -> None:
    house = House("team")
    evening = datetime(2026, 11, 30, 23, 59, tzinfo=UTC)
    morning = evening + timedelta(minutes=2)
    held = Decimal(house.ask(ANN, evening)["amount"])

    now, own = evening, held
    if turned != "by nobody":
        now = morning
        own = Decimal(house.ask(ANN if turned == "by the holder" else BEN, morning)["amount"])

    shown = extra_usage(house.table, house.organization, now)
    cap, wallet = shown["spend_limit"], shown["wallet"]
    assert (Decimal(cap["held"]), Decimal(cap["remaining"])) == (own, 100_000 - own)
    assert Decimal(wallet["held"]) == (held if turned == "by nobody" else held + own)
    assert Decimal(wallet["balance"]) == 50_000


def test_records_that_come_again_late_or_in_another_order_change_no_total(house: House) -> None:
    seen = []
    for user_id in (ANN, BEN, ANN, BEN, ANN):
        house.spend(user_id)
        seen += [house.budget(ANN)] if user_id == ANN else [house.budget(BEN)]
    exact = total(house.table, house.organization).spent
    assert exact == 5 * 18 * CENT // 10

    for order in (seen[::-1], seen, seen[2:] + seen[:2], [seen[0]]):
        for budget in order:
            house.follow(budget)

    figures = house.table.items[
        next(key for key in house.table.items if "#SPEND#" in key.pk and key.sk == "TOTAL")
    ]
    assert int(figures["spent"]["N"]) == exact


def test_the_owners_figures_are_exact_with_holds_open(house: House) -> None:
    house.limit("organization", "", 100)
    house.spend(ANN, output_tokens=10)
    held = house.ask(BEN)

    shown = extra_usage(house.table, house.organization, NOW)["spend_limit"]

    assert shown["period_to_date_spend"] == "0.315"
    assert shown["held"] == held["amount"]
    assert float(shown["remaining"]) == pytest.approx(100 - 0.315 - float(held["amount"]))


def test_a_member_sees_their_own_limit_and_what_would_happen_next(house: House) -> None:
    house.limit("user", ANN, 4)
    own = own_extra_usage(house.table, house.organization, ANN, NOW)
    assert own["next_request"] == {"source": "extra_usage"}
    house.spend()

    own = own_extra_usage(house.table, house.organization, ANN, NOW)

    assert own["period_to_date_spend"] == "1.8"
    assert own["limits"][0]["remaining"] == "2.2"
    disable(house)
    own = own_extra_usage(house.table, house.organization, ANN, NOW)
    assert own["next_request"]["reason"] == "extra_usage_disabled"


def test_a_member_sees_their_role_and_the_request_that_waits(house: House) -> None:
    own = own_extra_usage(house.table, house.organization, ANN, NOW)
    assert (own["role"], own["plan"]) == ("member", "enterprise")
    assert own["requests"] == {"enabled": True, "pending": None}
    asked = file_request(house)

    own = own_extra_usage(house.table, house.organization, ANN, NOW)

    assert own["requests"]["pending"] == asked
    deny(house.table, house.organization, asked, OWNER, NOW, notify=True)
    own = own_extra_usage(house.table, house.organization, ANN, NOW)
    assert own["requests"]["pending"] is None


# Crashes: cut off after any call to the store, and repeated.


class Crash(BaseException):
    """The process ended here."""


def approve_it(house: House) -> None:
    request_id = next(
        key.sk.removeprefix("REQUEST#") for key in house.table.items if "#REQUESTS" in key.pk
    )
    approve(house.table, house.organization, request_id, CENT, None, OWNER, NOW, notify=True)


def deny_it(house: House) -> None:
    request_id = next(
        key.sk.removeprefix("REQUEST#") for key in house.table.items if "#REQUESTS" in key.pk
    )
    deny(house.table, house.organization, request_id, OWNER, NOW, notify=True)


REPEATED: dict[str, Callable[[House], object]] = {
    **{name: change for name, (change, _) in CHANGES.items()},
    "approve": approve_it,
    "deny": deny_it,
    "request": lambda house: file_request(house, BEN),
    "delete override": lambda house: remove_override(
        house.table, house.place("user", PAM), OWNER, NOW
    ),
    "consent": lambda house: choose_to_continue(house.table, house.organization, ANN, False, NOW),
    "digest": lambda house: digest_requests(house.table, NOW),
    "follow": lambda house: house.follow(),
}

# How often a budget was closed, and how a pool was drained, leaves its trace and no more.
TRACES = {
    "epoch",
    "grants",
    "drained_at",
    "expiry",
    "enforced_until",
    "due_at",
    "due_shard",
    "valid_until",
}


def state_of(house: House) -> dict[Any, Any]:
    return {
        key: {name: value for name, value in item.items() if name not in TRACES}
        for key, item in house.table.items.items()
    }


@pytest.mark.parametrize("change", REPEATED.values(), ids=REPEATED)
def test_a_change_cut_off_anywhere_and_repeated_ends_as_if_it_had_not_been(
    change: Callable[[House], object],
) -> None:
    house = House()
    house.limit("user", PAM, 100_000)
    house.limit("seat_tier", "premium", 100)
    for user_id in (ANN, BEN, PAM):
        house.spend(user_id)
        house.ask(user_id)
    file_request(house)
    begun = deepcopy(house.table.items)
    calls = 0

    def count(name: str) -> None:
        nonlocal calls
        calls += 1

    house.table.step = count
    change(house)
    house.table.step = lambda name: None
    expected = state_of(house)

    for survived in range(calls):
        house.table.items = deepcopy(begun)
        house.announced = Announced()
        left = survived

        def crash(name: str) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise Crash

        house.table.step = crash
        with pytest.raises(Crash):
            change(house)
        house.table.step = lambda name: None
        # What was done before the crash may say so.
        with suppress(NotFound, Conflict):
            change(house)
        assert state_of(house) == expected, f"after {survived} calls"


def test_a_member_changed_while_the_settings_change_is_changed_in_the_end(house: House) -> None:
    """Two owners at once: one of them finds another version and simply goes again."""
    steps = iter(range(1000))

    def meddle(name: str) -> None:
        if next(steps) == 2:
            house.table.step = lambda name: None
            house.limit("organization", "", 77)

    house.table.step = meddle
    change_person(house.table, house.org_id, ANN, lambda old: replace(old, admitted=True), NOW)

    member = find_member(house.table, house.org_id, ANN)
    assert member is not None
    assert member.admitted
    assert house.organization.cap_nanos == 77 * CENT
    assert len(house.audit()) == 2


class Crowded(MemoryTable):
    """A table on which any transaction of more than a few items meets somebody else's."""

    together_max = 100
    transactions = 0

    def transact(self, changes: Sequence[Change]) -> None:
        self.transactions += 1
        if len(changes) > self.together_max:
            raise Contended
        super().transact(changes)


def test_a_cut_among_busy_members_takes_them_in_halves_and_not_one_by_one() -> None:
    people = [f"user_{number:02}" for number in range(64)]
    members = [
        {"user_id": user_id, "name": user_id, "email": f"{user_id}@house.example"}
        | {"continue_with_extra_usage": True}
        for user_id in people
    ]
    house = House(members=members)
    table = Crowded()
    table.items, house.table = house.table.items, table
    for user_id in people:
        house.spend(user_id)
    before = [house.budget(user_id) for user_id in people]
    assert all(budget.allotment for budget in before)

    table.together_max, table.transactions = 17, 0
    house.limit("organization", "", 0)

    assert [house.budget(user_id).allotment for user_id in people] == [0] * 64
    figures = total(table, house.organization)
    assert figures.spent == sum(budget.spent for budget in before)
    assert house.refusal(people[0]) == "organization_limit_reached"
    # One by one it is two transactions a member; here two for each sixteen, and what was in vain.
    assert table.transactions < 32
