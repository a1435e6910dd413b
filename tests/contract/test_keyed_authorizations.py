"""What a repeat under an Idempotency-Key is answered with, whatever became of the first hold."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headroom.billing.usecases.period_close import begin, turn_members
from headroom.core.errors import Conflict, NotFound, SpendRefused
from headroom.core.store import keys
from headroom.core.store.receipts import Receipt, find_receipt, put_receipt
from headroom.core.store.table import Refused
from headroom.limits.usecases.settings import change_person, set_cap, set_enabled
from headroom.organizations.store.organizations import find_organization
from headroom.provisioning.usecases.provisioning import provision
from headroom.provisioning.wire.provisioning import parse_provisioning
from headroom.spending.domain.answers import ENDED_LEAST, place_of
from headroom.spending.domain.budget import Budget
from headroom.spending.store.budgets import find_budget, list_budgets
from headroom.spending.usecases.authorizations import (
    RELEASES_OVERLAP,
    Idempotency,
    authorize,
    extend,
    release,
)
from headroom.spending.usecases.expiry import sweep
from headroom.spending.usecases.grants import Hints
from headroom.spending.usecases.usage_events import record
from headroom.spending.wire.authorizations import parse_authorization_request
from headroom.spending.wire.usage_events import parse_event
from tests.memory_table import MemoryTable

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
NEXT_MONTH = datetime(2026, 12, 1, 0, 10, tzinfo=UTC)
MODEL = "claude-sonnet-4-5"
ADA, CID = "user_ada", "user_cid"
# What the answer says of limits is as of now; all else is the first answer.
LIVE = {"limits"}

DOCUMENT: dict[str, Any] = {
    "id": "keyed",
    "plan": "enterprise",
    "name": "Keyed",
    "extra_usage": {"enabled": True},
    "spend_limit": "50000",
    "seat_tiers": {
        "standard": {"allowance": [{"window": "PT5H", "amount": "3"}]},
        "premium": {"spend_limit": "40000"},
    },
    "members": [
        {
            "user_id": user_id,
            "name": user_id,
            "email": f"{user_id}@example.com",
            "seat_tier": tier,
            "continue_with_extra_usage": True,
        }
        for user_id, tier in ((ADA, "premium"), (CID, "standard"))
    ],
}


class Desk:
    """A client and its organization; every process has hints of its own."""

    def __init__(self) -> None:
        self.table = MemoryTable(self._count)
        self.calls: Counter[str] = Counter()
        self.org_id: str = provision(self.table, parse_provisioning(DOCUMENT), NOW)["id"]
        self.hints = Hints()
        self.asked = 0

    def ask(
        self,
        key: str | None = "a-key",
        *,
        user_id: str = ADA,
        now: datetime = NOW,
        hints: Hints | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        organization = find_organization(self.table, self.org_id)
        assert organization is not None
        body = {"user_id": user_id, "model": MODEL, "input_tokens": 1000, "max_tokens": 1000}
        body |= more
        self.asked += 1
        self.calls.clear()
        return authorize(
            self.table,
            self.hints if hints is None else hints,
            organization,
            parse_authorization_request(body),
            now,
            entropy=self.asked.to_bytes(6),
            idempotency=Idempotency(key, json.dumps(body, sort_keys=True)) if key else None,
        )

    def settle(self, authorization_id: str, event_id: str = "e", now: datetime = NOW) -> None:
        organization = find_organization(self.table, self.org_id)
        assert organization is not None
        event = {
            "id": event_id,
            "authorization_id": authorization_id,
            "user_id": ADA,
            "model": MODEL,
            "occurred_at": now.isoformat(),
            "usage": {"input_tokens": 1000, "output_tokens": 100},
        }
        told = record(self.table, Hints(), organization, parse_event(event, now), now)
        assert told["status"] == "recorded"

    def extend(self, authorization_id: str, **more: Any) -> dict[str, Any]:
        organization = find_organization(self.table, self.org_id)
        assert organization is not None
        longer = {"ttl": None, "max_tokens": None, **more}
        return extend(self.table, organization, authorization_id, NOW, **longer)

    def leave(self) -> None:
        change_person(
            self.table, self.org_id, ADA, lambda member: replace(member, active=False), NOW
        )

    def spend_and_end(self, count: int, *, start: int = 0) -> None:
        """Let later keyed holds of the member come and go."""
        for number in range(start, start + count):
            now = NOW + timedelta(minutes=1, seconds=number)
            release(self.table, self.org_id, self.ask(f"later-{number}", now=now)["id"])

    @property
    def budget(self) -> Budget:
        found = find_budget(self.table, self.org_id, ADA)
        assert found is not None
        return found

    @property
    def held(self) -> list[str]:
        """The keys of all open holds, those of past periods too."""
        return [
            key
            for user_id in (ADA, CID)
            for budget in list_budgets(self.table, self.org_id, user_id)
            for key in budget.holds
        ]

    def as_an_earlier_release_left_it(self) -> None:
        """Take from the budget what that release does not write."""
        item = self.table.items[keys.budget(self.org_id, ADA)]
        item.pop("answers", None)
        item.pop("receipts", None)

    def _count(self, name: str) -> None:
        self.calls[name] += 1


def first_of(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in LIVE}


@pytest.fixture
def desk() -> Desk:
    return Desk()


# What it costs.


@pytest.mark.parametrize("key", [None, "a-key"], ids=["without a key", "with a key"])
def test_in_the_steady_state_an_authorization_is_one_write_with_a_key_or_without(
    desk: Desk, key: str | None
) -> None:
    desk.ask("first of all")

    desk.ask(key)

    assert desk.calls == {"update": 1}


@pytest.mark.parametrize("key", [None, "a-key"], ids=["without a key", "with a key"])
@pytest.mark.parametrize(("ttl_seconds", "writes"), [(600, 1), (599, 2)])
def test_a_hold_that_may_expire_before_the_sweeper_comes_by_is_a_second_write(
    desk: Desk, key: str | None, ttl_seconds: int, writes: int
) -> None:
    desk.ask("first of all")

    desk.ask(key, ttl_seconds=ttl_seconds)

    assert desk.calls == {"update": writes}


def test_a_member_who_goes_on_for_long_takes_one_write_each_time(desk: Desk) -> None:
    desk.ask("first of all")
    for number in range(100):
        answer = desk.ask(f"key-{number}", now=NOW + timedelta(seconds=number))
        calls = Counter(desk.calls)
        release(desk.table, desk.org_id, answer["id"])
        # Once the allotment is used up a grant is decided, as without a key.
        assert calls == {"update": 1} or calls["snapshot"], number


def test_a_repeat_at_the_same_process_takes_no_call(desk: Desk) -> None:
    desk.ask("first of all")
    first = desk.ask()

    assert desk.ask() == first
    assert not desk.calls


# What a repeat is answered with.


@pytest.mark.parametrize("process", ["the same", "another", "one that looked long ago"])
def test_a_repeat_finds_the_open_hold(desk: Desk, process: str) -> None:
    stale = Hints()
    desk.ask("before", hints=stale)
    first = desk.ask()
    hints = {"the same": desk.hints, "another": Hints(), "one that looked long ago": stale}

    again = desk.ask(now=NOW + timedelta(seconds=30), hints=hints[process])

    assert again == first
    assert len(desk.held) == 2


def test_a_repeat_of_included_usage_finds_the_open_hold(desk: Desk) -> None:
    first = desk.ask(user_id=CID)

    assert first["source"] == "included"
    assert desk.ask(user_id=CID, hints=Hints()) == first
    assert len(desk.held) == 1


def test_a_repeat_of_one_that_was_cut_gets_what_was_allowed(desk: Desk) -> None:
    set_cap(desk.table, desk.org_id, 12_000_000, NOW)
    first = desk.ask(min_tokens=10)
    set_cap(desk.table, desk.org_id, None, NOW)

    assert first["max_tokens"] < 1000
    assert first_of(desk.ask(min_tokens=10, hints=Hints())) == first_of(first)


def test_a_repeat_gets_the_first_answer_of_a_hold_that_was_extended(desk: Desk) -> None:
    first = desk.ask()
    desk.extend(first["id"], ttl=timedelta(hours=2))
    desk.extend(first["id"], max_tokens=3000)

    assert first_of(desk.ask(hints=Hints())) == first_of(first)
    assert len(desk.held) == 1
    desk.settle(first["id"])
    assert not desk.held


def settle(desk: Desk, first: dict[str, Any]) -> datetime:
    desk.settle(first["id"])
    return NOW + timedelta(minutes=1)


def let_go(desk: Desk, first: dict[str, Any]) -> datetime:
    release(desk.table, desk.org_id, first["id"])
    return NOW + timedelta(minutes=1)


def let_expire(desk: Desk, first: dict[str, Any]) -> datetime:
    later = NOW + timedelta(minutes=11)
    sweep(desk.table, later, lambda: True)
    return later


def settle_and_be_idle(desk: Desk, first: dict[str, Any]) -> datetime:
    """The sweeper takes back what is idle, and strikes the member from the registry."""
    desk.settle(first["id"])
    for hours in (1, 2):
        sweep(desk.table, NOW + timedelta(hours=hours), lambda: True)
    assert not desk.budget.registered
    return NOW + timedelta(hours=3)


def settle_in_the_next_month(desk: Desk, first: dict[str, Any]) -> datetime:
    """The period turns while the hold is open, by the member's next request."""
    desk.ask("next", now=NEXT_MONTH)
    desk.settle(first["id"], now=NEXT_MONTH)
    return NEXT_MONTH


def close_the_month(desk: Desk, first: dict[str, Any]) -> datetime:
    """The period turns by its close."""
    release(desk.table, desk.org_id, first["id"])
    shards = begin(desk.table, desk.org_id, "2026-11", NEXT_MONTH)
    for shard in shards:
        assert turn_members(desk.table, desk.org_id, "2026-11", shard, NEXT_MONTH) is None
    assert desk.budget.period == "2026-12"
    return NEXT_MONTH


def let_go_and_leave(desk: Desk, first: dict[str, Any]) -> datetime:
    release(desk.table, desk.org_id, first["id"])
    desk.leave()
    return NOW + timedelta(minutes=1)


ENDS = [
    settle,
    let_go,
    let_expire,
    settle_and_be_idle,
    settle_in_the_next_month,
    close_the_month,
    let_go_and_leave,
]


@pytest.mark.parametrize("end", ENDS)
def test_a_repeat_after_the_hold_has_ended_gets_the_first_answer_and_takes_nothing(
    desk: Desk, end: Any
) -> None:
    stale = Hints()
    desk.ask("before", hints=stale)
    release(desk.table, desk.org_id, desk.ask("before")["id"])
    first = desk.ask(ttl_seconds=600)
    now = end(desk, first)
    held = sorted(desk.held)

    for hints in (Hints(), stale, desk.hints):
        assert first_of(desk.ask(ttl_seconds=600, now=now, hints=hints)) == first_of(first)
    assert sorted(desk.held) == held


@pytest.mark.parametrize("end", [None, *ENDS])
def test_another_body_under_the_key_is_a_conflict(desk: Desk, end: Any) -> None:
    first = desk.ask()
    now = end(desk, first) if end else NOW
    held = sorted(desk.held)

    for hints in (Hints(), desk.hints):
        with pytest.raises(Conflict, match="Idempotency-Key"):
            desk.ask(now=now, hints=hints, max_tokens=1001)
    assert sorted(desk.held) == held


def test_a_repeat_finds_a_hold_that_is_open_in_a_month_that_is_over(desk: Desk) -> None:
    before = NEXT_MONTH - timedelta(minutes=15)
    first = desk.ask(now=before, ttl_seconds=86_400)
    desk.ask("next", now=NEXT_MONTH)

    assert first_of(desk.ask(now=NEXT_MONTH, ttl_seconds=86_400, hints=Hints())) == first_of(first)
    assert len(desk.held) == 2


@pytest.mark.parametrize("change", ["left", "disabled", "no consent", "no money"])
def test_a_repeat_is_not_refused_for_what_changed_since(desk: Desk, change: str) -> None:
    first = desk.ask()
    match change:
        case "left":
            desk.leave()
        case "disabled":
            set_enabled(desk.table, desk.org_id, False, NOW)
        case "no consent":
            change_person(
                desk.table, desk.org_id, ADA, lambda old: replace(old, continues=False), NOW
            )
        case "no money":
            set_cap(desk.table, desk.org_id, 0, NOW)

    for hints in (Hints(), desk.hints):
        assert first_of(desk.ask(hints=hints)) == first_of(first)
    with pytest.raises(NotFound if change == "left" else SpendRefused):
        desk.ask("another")


def test_a_refusal_is_not_remembered(desk: Desk) -> None:
    set_cap(desk.table, desk.org_id, 0, NOW)
    for _ in range(2):
        with pytest.raises(SpendRefused):
            desk.ask()
    set_cap(desk.table, desk.org_id, None, NOW)

    assert desk.ask()["source"] == "extra_usage"
    assert len(desk.held) == 1


def test_a_key_means_another_request_with_another_member(desk: Desk) -> None:
    first, second = desk.ask(), desk.ask(user_id=CID)

    assert first["id"] != second["id"]
    assert desk.ask() == first
    assert desk.ask(user_id=CID) == second


# For how long.


def test_an_open_hold_is_found_whatever_came_after(desk: Desk) -> None:
    first = desk.ask(ttl_seconds=86_400)
    desk.spend_and_end(60)

    assert first_of(desk.ask(ttl_seconds=86_400, hints=Hints())) == first_of(first)
    assert len(desk.held) == 1


def test_a_hold_that_ended_is_remembered_until_others_have_come_and_gone(desk: Desk) -> None:
    first = desk.ask()
    release(desk.table, desk.org_id, first["id"])
    desk.spend_and_end(ENDED_LEAST)
    assert first_of(desk.ask(hints=Hints())) == first_of(first)

    desk.spend_and_end(60, start=ENDED_LEAST)
    again = desk.ask(now=NOW + timedelta(minutes=5))

    # Forgotten, it is a new request: its answer says so, and it is remembered in its turn.
    assert again["id"] != first["id"]
    assert len(desk.held) == 1
    assert desk.ask(now=NOW + timedelta(minutes=6), hints=Hints()) == again


def test_a_process_that_looked_long_ago_does_not_forget_a_later_hold_in_the_same_place(
    desk: Desk,
) -> None:
    """By its look the place is one that ended, and among those to be forgotten for the next."""
    stale, place, number = Hints(), place_of(desk.org_id, "a-key"), 0
    answer = desk.ask()
    while place in (desk.budget.answers or {}):
        stale.keep(desk.budget)
        release(desk.table, desk.org_id, answer["id"])
        number += 1
        answer = desk.ask(f"later-{number}", now=NOW + timedelta(seconds=number))
    later = NOW + timedelta(hours=1)
    again = desk.ask(now=later)

    desk.ask("by an old look", now=later, hints=stale)

    repeat = desk.ask(now=later + timedelta(minutes=1), hints=Hints())
    assert first_of(repeat) == first_of(again)
    assert len(desk.held) == 3


def test_processes_with_old_looks_do_not_let_a_budget_grow(desk: Desk) -> None:
    processes = [Hints() for _ in range(30)]
    sizes = []
    for number in range(300):
        now = NOW + timedelta(seconds=number)
        answer = desk.ask(f"key-{number}", now=now, hints=processes[number % 30])
        sizes.append(len(desk.budget.answers or {}))
        release(desk.table, desk.org_id, answer["id"])

    assert max(sizes) <= 20


def test_an_epoch_that_begins_keeps_what_was_answered_meanwhile(desk: Desk) -> None:
    """A hold that came and went leaves every counter as it was, and its answer alone behind."""
    release(desk.table, desk.org_id, desk.ask("before", user_id=CID)["id"])
    later = NOW + timedelta(hours=6)
    first: dict[str, Any] = {}

    def come_and_go(name: str) -> None:
        if name == "transact" and not first:
            first["id"] = ""
            first.update(desk.ask(user_id=CID, hints=Hints()))
            release(desk.table, desk.org_id, first["id"])

    desk.table.step = come_and_go
    # Another window of included usage begins, and with it an epoch.
    desk.ask("another", user_id=CID, now=later, hints=Hints())

    assert first_of(desk.ask(user_id=CID, now=later, hints=Hints())) == first_of(first)


# Across an upgrade.


def test_a_receipt_of_the_release_before_is_honoured_for_a_week(desk: Desk) -> None:
    desk.ask("before")
    desk.as_an_earlier_release_left_it()
    request = json.dumps(
        {"user_id": ADA, "model": MODEL, "input_tokens": 1000, "max_tokens": 1000},
        sort_keys=True,
    )
    answer = {"type": "authorization", "id": "auth_of_then"}
    for day in range(7):
        receipt = Receipt(request, answer)
        desk.table.transact([put_receipt(desk.org_id, f"key-{day}", receipt, NOW)])

    for day in range(7):
        now = NOW + timedelta(days=day)
        desk.ask(f"own-{day}", now=now)
        assert desk.ask(f"key-{day}", now=now) == answer
        with pytest.raises(Conflict, match="Idempotency-Key"):
            desk.ask(f"key-{day}", now=now, max_tokens=1001)


def test_after_a_week_no_receipt_is_looked_for(desk: Desk) -> None:
    desk.ask("before")
    desk.as_an_earlier_release_left_it()
    desk.ask("during")
    later = NOW + timedelta(days=7)
    desk.ask("after", now=later)

    desk.ask(now=later)

    assert desk.calls == {"update": 1}


def test_the_release_before_finds_what_this_one_answers_in_its_first_hour(desk: Desk) -> None:
    desk.ask("before")
    desk.as_an_earlier_release_left_it()

    first = desk.ask()
    second = desk.ask("second", now=NOW + RELEASES_OVERLAP - timedelta(seconds=1))
    desk.ask("third", now=NOW + RELEASES_OVERLAP)

    for key, answer in (("a-key", first), ("second", second)):
        receipt = find_receipt(desk.table, desk.org_id, key)
        assert receipt is not None
        assert receipt.answer == answer
    assert find_receipt(desk.table, desk.org_id, "third") is None


def test_a_budget_that_the_release_before_wrote_anew_takes_no_second_hold(desk: Desk) -> None:
    """Both run beside each other, and that release's writing forgets what this one remembered."""
    desk.ask("before")
    desk.as_an_earlier_release_left_it()
    first = desk.ask()
    desk.as_an_earlier_release_left_it()

    for hints in (desk.hints, Hints()):
        assert desk.ask(hints=hints) == first
    assert len(desk.held) == 2


def test_attempts_at_both_releases_at_once_hold_once(desk: Desk) -> None:
    """The release before had looked for a receipt, found none, and writes its own last."""
    desk.ask("before")
    desk.as_an_earlier_release_left_it()
    first = desk.ask()
    theirs = put_receipt(desk.org_id, "a-key", Receipt("as they asked", {}), NOW)

    with pytest.raises(Refused):
        desk.table.transact([theirs])
    assert desk.ask(hints=Hints()) == first
