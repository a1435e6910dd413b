"""Many clients on one organization at once: never over, never falsely refused, once, at once."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from headroom.core.errors import Conflict, SpendRefused
from headroom.core.store.table import Contended, DynamoTable, Refused
from headroom.limits.usecases.settings import set_cap, set_enabled
from headroom.spending.usecases.authorizations import release
from headroom.spending.usecases.expiry import look_at
from headroom.spending.usecases.grants import Hints
from headroom.spending.usecases.recall import recall, recall_member
from tests.emulator.arena import (
    CENT_NANOS,
    PATIENCE_SECONDS,
    TOKEN_NANOS,
    Arena,
    Totals,
    Witness,
    open_arena,
    together,
)

CLIENTS = 32
MEMBERS = 50

# A client that is told "contended" asks again; so often in a row would be an endless loop.
CONTENDED_MAX = 200


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request for money: when it began and ended, and what came of it."""

    tokens: int
    began: float
    ended: float
    authorization_id: str | None = None
    reason: str | None = None
    seen: Totals | None = None

    @property
    def nanos(self) -> int:
        return self.tokens * TOKEN_NANOS


@dataclass
class Fray:
    """What all clients together did."""

    arena: Arena
    witness: Witness
    attempts: list[Attempt] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)
    happened: threading.Condition = field(default_factory=threading.Condition)

    @property
    def held(self) -> list[Attempt]:
        return [attempt for attempt in self.attempts if attempt.authorization_id]

    @property
    def refused(self) -> list[Attempt]:
        return [attempt for attempt in self.attempts if attempt.reason]

    def authorize(self, user_id: str, tokens: int, hints: Hints) -> Attempt:
        """Ask until the answer is certain."""
        for _ in range(CONTENDED_MAX):
            began = time.monotonic()
            try:
                held = self.arena.authorize(user_id, tokens, hints=hints, table=self.witness)
            except SpendRefused as refusal:
                if refusal.facts["reason"] == "contended":
                    continue
                attempt = Attempt(
                    tokens,
                    began,
                    time.monotonic(),
                    reason=refusal.facts["reason"],
                    seen=self.witness.last,
                )
            else:
                attempt = Attempt(tokens, began, time.monotonic(), authorization_id=held["id"])
            with self.happened:
                self.attempts.append(attempt)
                self.happened.notify_all()
            return attempt
        raise AssertionError("contended every time")

    def settle_twice(self, seconds: ThreadPoolExecutor, event: dict[str, Any]) -> None:
        """Send the same event from two threads at the same time."""
        second: Future[dict[str, Any]] = seconds.submit(
            self.arena.record, event, table=self.witness
        )
        answers = [self.arena.record(event, table=self.witness), second.result(PATIENCE_SECONDS)]
        with self.happened:
            self.results += answers
            self.happened.notify_all()

    def wait_for(self, enough: Callable[[], bool]) -> None:
        with self.happened:
            assert self.happened.wait_for(enough, PATIENCE_SECONDS), "the clients are stuck"

    def no_refusal_was_false(self) -> bool:
        """At the instant that each refusal looked at, the request truly did not fit."""
        return len(self.refused) >= CLIENTS and all(
            attempt.reason == "organization_limit_reached"
            and attempt.seen is not None
            and attempt.seen.used + attempt.nanos > attempt.seen.organization.cap
            for attempt in self.refused
        )

    def never_over(self, allowed: int) -> bool:
        """In no picture was more settled and held than allowed, and every picture added up."""
        return not self.witness.faults and all(
            attempt.seen.used <= allowed for attempt in self.refused if attempt.seen
        )

    def billed_once(self) -> bool:
        """Of each event's two answers one recorded it, with what was used, and one found it."""
        statuses: dict[str, list[str]] = {}
        for result in self.results:
            statuses.setdefault(result["id"], []).append(result["status"])
        amounts = Counter((result["id"], result["amount"]) for result in self.results)
        return all(sorted(pair) == ["duplicate", "recorded"] for pair in statuses.values()) and all(
            times == 2 for times in amounts.values()
        )

    @property
    def event_ids(self) -> set[str]:
        return {result["id"] for result in self.results}


def fray(arena: Arena) -> Fray:
    return Fray(arena, Witness(arena))


def spend_all(fight: Fray, seconds: ThreadPoolExecutor, number: int, sizes: Sequence[int]) -> None:
    """Authorize and settle at the full amount, in ever smaller requests, until nothing fits."""
    arena, hints = fight.arena, Hints()
    turn = number
    for tokens in sizes:
        while True:
            user_id = arena.user_ids[turn % len(arena.user_ids)]
            turn += CLIENTS + 1
            attempt = fight.authorize(user_id, tokens, hints)
            if attempt.authorization_id is None:
                break
            event = arena.event(
                f"msg_{attempt.authorization_id}", user_id, tokens, attempt.authorization_id
            )
            fight.settle_twice(seconds, event)


def run(fight: Fray, sizes: Sequence[int], *besides: Callable[[], object]) -> None:
    """Let all clients spend until nothing fits, while the works `besides` do theirs."""
    with ThreadPoolExecutor(CLIENTS) as seconds:
        clients: list[Callable[[], object]] = [
            partial(spend_all, fight, seconds, number, sizes) for number in range(CLIENTS)
        ]
        together([*clients, *besides])


def test_many_clients_spend_the_cap_to_its_last_token_and_not_one_more(table: DynamoTable) -> None:
    arena = open_arena(table, members=MEMBERS, cap="200")
    fight = fray(arena)

    run(fight, sizes=(1200, 30, 1))

    cap = 200 * CENT_NANOS
    fits = cap // TOKEN_NANOS * TOKEN_NANOS
    assert 0 < cap - fits < TOKEN_NANOS, "the last token must be worth a test"
    totals = arena.prove(fight.event_ids)
    assert totals.used == sum(attempt.nanos for attempt in fight.held) == fits
    assert fight.no_refusal_was_false()
    assert fight.never_over(cap)
    assert fight.billed_once()
    assert len(fight.event_ids) == len(fight.held)
    assert {result["source"] for result in fight.results} == {"extra_usage"}
    assert totals.pool.unallotted == cap - fits


def test_what_settlements_leave_over_is_spent_until_all_agree_that_nothing_fits(
    table: DynamoTable,
) -> None:
    """A refusal is final only when nothing is held: what others hold may come back."""
    held_tokens, used_tokens = 1000, 400
    cap = 80 * CENT_NANOS
    arena = open_arena(table, members=MEMBERS, cap="80")
    fight = fray(arena)
    unsettled = 0

    def client(number: int) -> None:
        nonlocal unsettled
        hints, turn = Hints(), number
        while True:
            user_id = arena.user_ids[turn % MEMBERS]
            turn += CLIENTS + 1
            with fight.happened:
                # Those who ask may get something, so they count as long as they ask.
                unsettled += 1
                settled = len(fight.results)
            attempt = fight.authorize(user_id, held_tokens, hints)
            held = attempt.authorization_id
            if held is not None:
                event = arena.event(f"msg_{held}", user_id, used_tokens, held)
                fight.settle_twice(seconds, event)
            with fight.happened:
                unsettled -= 1
                fight.happened.notify_all()
            if held is None:
                fight.wait_for(partial(quiet_or_settled_since, settled))
                if len(fight.results) == settled:
                    return

    def quiet_or_settled_since(settled: int) -> bool:
        return not unsettled or len(fight.results) > settled

    with ThreadPoolExecutor(CLIENTS) as seconds:
        together([partial(client, number) for number in range(CLIENTS)])

    # Alone, one after another: the last hold still fits, and leaves less than another one needs.
    fits = (cap - held_tokens * TOKEN_NANOS) // (used_tokens * TOKEN_NANOS) + 1
    totals = arena.prove(fight.event_ids)
    assert totals.used == fits * used_tokens * TOKEN_NANOS
    assert len(fight.held) == fits
    assert fight.no_refusal_was_false()
    assert fight.never_over(cap)
    assert fight.billed_once()


@pytest.mark.parametrize(
    ("spent_before", "cap_after"),
    [(0.2, 0.5), (0.5, 0.5), (0.8, 0.5)],
    ids=["above what is spent", "about what is spent", "below what is spent"],
)
def test_a_cap_halved_in_the_middle_holds_from_its_response_on(
    table: DynamoTable, spent_before: float, cap_after: float
) -> None:
    old_cap = 200 * CENT_NANOS
    new_cap = int(old_cap * cap_after)
    arena = open_arena(table, members=MEMBERS, cap="200")
    fight = fray(arena)
    answered_at = 0.0
    after: Totals | None = None

    def owner() -> None:
        nonlocal answered_at, after
        fight.wait_for(
            lambda: sum(attempt.nanos for attempt in fight.held) >= old_cap * spent_before
        )
        set_cap(table, arena.org_id, new_cap, arena.clock())
        answered_at = time.monotonic()
        after = arena.look()

    run(fight, (1000, 20, 1), owner)

    assert after is not None
    started_after = [attempt for attempt in fight.held if attempt.began > answered_at]
    totals = arena.prove(fight.event_ids)
    # Nothing is given back here, so the sum only grows: whoever got money after the response, it
    # ends within the new cap, or they got it above it.
    assert totals.used <= max(new_cap, after.used)
    assert totals.used <= new_cap or not started_after
    assert totals.organization.cap == new_cap
    assert totals.pool.unallotted == new_cap - totals.used
    if after.used <= new_cap:
        assert totals.used == new_cap // TOKEN_NANOS * TOKEN_NANOS
    assert fight.no_refusal_was_false()
    assert fight.never_over(old_cap)
    assert fight.billed_once()


def test_nothing_new_starts_after_the_response_that_disables_extra_usage(
    table: DynamoTable,
) -> None:
    arena = open_arena(table, members=MEMBERS, cap="100000")
    fight = fray(arena)
    answered_at = 0.0
    after: Totals | None = None

    def owner() -> None:
        nonlocal answered_at, after
        fight.wait_for(lambda: len(fight.held) >= 100)
        set_enabled(table, arena.org_id, False, arena.clock())
        answered_at = time.monotonic()
        after = arena.look()

    run(fight, (500,), owner)

    assert after is not None
    assert [attempt for attempt in fight.held if attempt.began > answered_at] == []
    assert {attempt.reason for attempt in fight.refused} == {"extra_usage_disabled"}
    assert all(
        attempt.seen is not None and not attempt.seen.organization.enabled
        for attempt in fight.refused
    )
    totals = arena.prove(fight.event_ids)
    # Holds in flight settled, at no more than was held when the answer arrived.
    assert totals.used == after.used
    assert totals.used == sum(attempt.nanos for attempt in fight.held)
    assert sum(budget.allotment for budget in after.budgets) == 0
    assert fight.billed_once()


def test_a_wallet_is_drained_to_zero_and_never_below(table: DynamoTable) -> None:
    balance = 150 * CENT_NANOS
    arena = open_arena(
        table,
        members=MEMBERS,
        document={"plan": "team", "wallet": {"balance": "150"}},
    )
    fight = fray(arena)
    assert balance % (TOKEN_NANOS * 1000) == 0, "the wallet must come out even"

    run(fight, sizes=(1000, 20, 1))

    totals = arena.prove(fight.event_ids)
    assert totals.pool.funds == 0
    assert totals.used == balance
    assert {attempt.reason for attempt in fight.refused} == {"wallet_empty"}
    assert all(
        attempt.seen is not None
        and attempt.seen.used + attempt.nanos > balance >= attempt.seen.used
        for attempt in fight.refused
    )
    assert not fight.witness.faults
    assert fight.billed_once()


def test_recall_under_fire_loses_nothing_and_refuses_nobody_falsely(table: DynamoTable) -> None:
    cap = 151 * CENT_NANOS
    arena = open_arena(table, members=MEMBERS, cap="151")
    fight = fray(arena)
    rounds = Counter[str]()
    idle = threading.Event()

    def recaller() -> None:
        while not idle.is_set():
            with suppress(Contended):
                rounds[recall(table, arena.org_id, arena.clock())] += 1

    def one_by_one() -> None:
        while not idle.is_set():
            for budget in arena.look().budgets:
                with suppress(Contended, Refused):
                    recall_member(table, budget, arena.clock())
                    rounds["member"] += 1
                look_at(table, arena.org_id, budget.user_id, arena.clock())

    with ThreadPoolExecutor(2) as background:
        recalls = [background.submit(recaller), background.submit(one_by_one)]
        try:
            run(fight, (1000, 20, 1))
        finally:
            idle.set()
        for each in recalls:
            each.result(PATIENCE_SECONDS)

    totals = arena.prove(fight.event_ids)
    assert totals.used == cap // TOKEN_NANOS * TOKEN_NANOS
    assert fight.no_refusal_was_false()
    assert fight.never_over(cap)
    assert fight.billed_once()
    assert rounds["member"] > 1
    assert rounds["drained"] + rounds["moved"] > 1


def test_releases_and_expiries_race_settlements_and_each_hold_closes_once(
    table: DynamoTable,
) -> None:
    """A hold is settled or given back, never both: the loser's event is charged anew, in full."""
    arena = open_arena(table, members=8, cap="100000")
    holds = [
        (user_id, arena.authorize(user_id, 100, ttl_seconds=60)["id"])
        for user_id in arena.user_ids
        for _ in range(3)
    ]
    late = arena.clock() + timedelta(seconds=61)
    events = [
        arena.event(f"msg_{number}", user_id, 70, held)
        for number, (user_id, held) in enumerate(holds)
    ]

    works: list[Callable[[], object]] = []
    for event in events:
        works.append(partial(arena.record, event))
        works.append(partial(release, table, arena.org_id, event["authorization_id"]))
    works += [partial(look_at, table, arena.org_id, user_id, late) for user_id in arena.user_ids]
    answers = together(works)

    results = [answer for answer in answers if isinstance(answer, dict) and "status" in answer]
    assert [result["status"] for result in results] == ["recorded"] * len(events)
    totals = arena.prove(event["id"] for event in events)
    assert totals.used == len(events) * 70 * TOKEN_NANOS


@pytest.mark.parametrize("included", [False, True], ids=["extra usage", "included usage"])
@pytest.mark.parametrize("known", [False, True], ids=["first request", "later request"])
def test_clients_with_the_same_idempotency_key_share_one_hold(
    table: DynamoTable, included: bool, known: bool
) -> None:
    allowance = [{"window": "PT5H", "amount": "100000"}] if included else []
    arena = open_arena(
        table,
        members=1,
        cap="100000",
        document={"seat_tiers": {"standard": {"allowance": allowance}}},
    )
    (user_id,) = arena.user_ids
    if known:
        held = arena.authorize(user_id, 10)
        release(table, arena.org_id, held["id"])

    answers = together(
        [partial(arena.authorize, user_id, 100, idempotency_key="key-1") for _ in range(16)]
    )

    assert len({answer["id"] for answer in answers}) == 1
    assert all(answer == answers[0] for answer in answers)
    (budget,) = arena.look().budgets
    (hold,) = budget.holds.values()
    assert hold.source == ("included" if included else "extra_usage")
    assert hold.amount_nanos == 100 * TOKEN_NANOS
    with pytest.raises(Conflict):
        arena.authorize(user_id, 101, idempotency_key="key-1")


@pytest.mark.parametrize("included", [False, True], ids=["extra usage", "included usage"])
@pytest.mark.parametrize("held", [False, True], ids=["on arrival", "with a hold each"])
def test_of_events_with_one_id_and_different_content_exactly_one_is_recorded(
    table: DynamoTable, included: bool, held: bool
) -> None:
    allowance = [{"window": "PT5H", "amount": "100000"}] if included else []
    arena = open_arena(
        table,
        members=4,
        cap="100000",
        document={"seat_tiers": {"standard": {"allowance": allowance}}},
    )
    events = []
    for number in range(16):
        user_id = arena.user_ids[number % 4]
        authorization = arena.authorize(user_id, 100)["id"] if held else None
        events.append(arena.event("msg_raced", user_id, 50 + number, authorization))

    results = together([partial(arena.record, event) for event in events])

    statuses = Counter(result["status"] for result in results)
    assert statuses == {"recorded": 1, "rejected": 15}
    assert {result["error"]["type"] for result in results if "error" in result} == {
        "conflict_error"
    }
    if held:
        for event in events:
            release(table, arena.org_id, event["authorization_id"])
    (winner,) = (number for number, result in enumerate(results) if result["status"] == "recorded")
    totals = arena.prove(["msg_raced"])
    cost = (50 + winner) * TOKEN_NANOS
    assert sum(budget.spent + budget.included for budget in totals.budgets) == cost


@pytest.mark.parametrize("included", [False, True], ids=["extra usage", "included usage"])
def test_an_event_sent_sixteen_times_at_once_without_a_hold_is_billed_once(
    table: DynamoTable, included: bool
) -> None:
    allowance = [{"window": "PT5H", "amount": "100000"}] if included else []
    arena = open_arena(
        table,
        members=1,
        cap="100000",
        document={"seat_tiers": {"standard": {"allowance": allowance}}},
    )
    event = arena.event("msg_again", arena.user_ids[0], 50)

    results = together([partial(arena.record, event) for _ in range(16)])

    assert Counter(result["status"] for result in results) == {"recorded": 1, "duplicate": 15}
    arena.prove(["msg_again"])
