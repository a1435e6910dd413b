"""Who takes a wallet to its threshold asks for the reload: in the same write, and at once."""

from __future__ import annotations

import heapq
import json
import random
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from headroom.core.domain.instants import to_wire
from headroom.core.errors import SpendRefused
from headroom.core.store.keys import DUE_SHARDS
from headroom.limits.usecases.thresholds import Announced
from headroom.notifications.domain.letters.notices import notice_of
from headroom.organizations.store.organizations import find_pool
from headroom.payments.usecases.budget_changes import follow_budgets
from headroom.payments.usecases.maintenance import due_wallets
from headroom.spending.domain.budget import Budget
from headroom.wallets.domain.reload import PENDING_LOOK, RELOAD_TAKES, PaymentTerms
from tests.fake_payments import SLOW_CARD
from tests.purse import CENT, TERMS, Purse


@pytest.fixture
def purse() -> Purse:
    """1,500 in the wallet, which reloads 2,000 at 500."""
    return ready(Purse())


def ready(purse: Purse, threshold: int = 500, amount: int = 2000) -> Purse:
    purse.top_up(500)
    purse.auto_reload(threshold=threshold, amount=amount)
    assert purse.reload() == 0
    purse.wait(minutes=2)
    return purse


def told(purse: Purse, detail_type: str) -> list[dict[str, Any]]:
    return [json.loads(item["detail"]["S"]) for item in purse.told(detail_type)]


class Gone(BaseException):
    """The process is gone."""


def test_the_grant_that_crosses_asks_once_in_its_own_write(purse: Purse) -> None:
    purse.hold(900)
    assert (purse.asked, purse.wallet.crossed) == ([], False)

    purse.hold(100)
    assert (purse.asked, purse.wallet.crossed) == ([purse.org_id], True)
    assert purse.wallet.due_at_millis <= int(purse.now.timestamp() * 1000)
    purse.hold(100)
    purse.hold(100, user=1)

    assert purse.asked == [purse.org_id]
    assert purse.reload() == 1
    assert purse.reload() == 0
    purse.prove_all_paid()


def test_above_the_threshold_again_the_next_crossing_asks_again(purse: Purse) -> None:
    purse.spend(1001)
    assert purse.reload() == 1
    purse.wait(minutes=2)
    purse.spend(1500)
    assert len(purse.asked) == 1
    purse.spend(500)
    assert len(purse.asked) == 2
    assert purse.reload() == 1
    purse.prove_all_paid()


def test_a_crossing_whose_process_died_is_found_by_the_minutes_look(purse: Purse) -> None:
    def die(org_id: str) -> None:
        raise Gone

    purse.ask_reload = die
    with pytest.raises(Gone):
        purse.hold(1100)

    due = [
        org_id
        for shard in range(DUE_SHARDS)
        for org_id in due_wallets(purse.table, shard, purse.now)
    ]
    assert due == [purse.org_id]
    assert purse.look() == 1
    purse.prove_all_paid()


def test_usage_that_nothing_was_held_for_asks_as_well(purse: Purse) -> None:
    held = purse.hold(100)
    purse.settle(held, 1100)
    assert purse.asked == [purse.org_id]
    assert purse.reload() == 1


def test_two_grants_that_cross_together_ask_once(purse: Purse) -> None:
    """Each alone would leave the funds above the threshold."""
    crossed = 0
    for number in count(1):
        purse = ready(Purse())
        steps = 0

        def step(name: str, purse: Purse = purse, number: int = number) -> None:
            nonlocal steps
            steps += 1
            if steps == number:
                purse.table.step = lambda name: None
                purse.hold(600, user=1)

        purse.table.step = step
        purse.hold(600)
        purse.table.step = lambda name: None
        if steps < number:
            break
        assert purse.asked == [purse.org_id], f"beside step {number}"
        assert purse.wallet.crossed
        crossed += 1
    assert crossed > 3


def test_idle_money_is_brought_back_before_a_reload_is_due(purse: Purse) -> None:
    """It is free to spend, whoever it was handed out to."""
    purse = ready(Purse(opening=100_000, members=8), threshold=50_000)
    for user in range(8):
        purse.release(purse.hold(1, user))
    idle = purse.free - find_pool(purse.table, purse.org_id).funds
    assert idle > 0
    pool = find_pool(purse.table, purse.org_id)
    purse.hold((pool.funds - 50_000 * CENT) // CENT + 60, user=0)
    assert purse.asked
    assert find_pool(purse.table, purse.org_id).funds <= 50_000 * CENT < purse.free

    assert purse.reload() == 0

    assert find_pool(purse.table, purse.org_id).funds > 50_000 * CENT
    assert not purse.wallet.crossed
    purse.asked.clear()
    purse.hold((purse.free - 50_000 * CENT) // CENT + 1)
    assert purse.asked == [purse.org_id]
    assert purse.reload() == 1
    purse.prove_all_paid()


# What is said to whoever is refused.


def test_money_that_is_held_is_not_free_and_the_reload_that_is_promised_comes() -> None:
    purse = ready(Purse(), threshold=1000)
    purse.hold(1400)
    refused = purse.refused(200)

    assert refused.facts["next_steps"] == ["wait_for_reload", "top_up"]
    assert refused.facts["reload"] == {
        "status": "due",
        "expected_at": to_wire(purse.now + RELOAD_TAKES),
    }
    assert refused.retry_after_seconds == 5
    assert purse.reload() == 1
    assert purse.refusal(200) is None
    purse.prove_all_paid()


def test_what_no_reload_will_carry_is_told_to_the_owner(purse: Purse) -> None:
    """More is free than the threshold, and less than was asked for."""
    purse.hold(900)
    for _ in range(2):
        refused = purse.refused(700)
        assert refused.facts["reason"] == "wallet_empty"
        assert refused.facts["next_steps"] == ["top_up"]
        assert refused.facts["reload"] is None
        assert refused.retry_after_seconds == 3600
    assert purse.reload() == 0

    (empty,) = told(purse, "wallet.empty")
    assert empty["auto_reload"] == "ready"
    assert (empty["balance"], empty["next_step"]) == ("1500", "top_up")
    notice = notice_of("wallet.empty", empty)
    assert notice is not None
    assert notice.name == "wallet_short"
    assert len(purse.payments.payments) == 1


def test_a_reload_under_way_is_said_with_when_to_come_again(purse: Purse) -> None:
    purse.payments.save_payment_method(f"cus_{purse.org_id}", SLOW_CARD)
    purse.deliver()
    purse.reload()
    purse.hold(1400)
    assert purse.reload() == 0

    refused = purse.refused(200)
    assert refused.facts["reload"]["status"] == "under_way"
    assert refused.facts["next_steps"] == ["wait_for_reload", "top_up"]
    assert refused.retry_after_seconds == 5
    purse.wait(seconds=PENDING_LOOK.total_seconds())
    assert purse.refused(200).retry_after_seconds == 60
    assert not purse.told("wallet.empty")


def test_a_wallet_that_cools_down_says_when_its_reload_comes(purse: Purse) -> None:
    purse.spend(1100)
    assert purse.reload() == 1
    purse.wait(seconds=20)
    purse.hold(2300)
    assert purse.reload() == 0

    refused = purse.refused(200)
    assert refused.facts["reload"]["status"] == "cooling_down"
    assert refused.retry_after_seconds == 60 - 20 + 5
    assert not purse.told("wallet.empty")
    # Above the threshold nothing comes after it either.
    assert purse.refused(200).facts["next_steps"][0] == "wait_for_reload"
    purse.wait(seconds=40)
    asked = len(purse.asked)
    purse.hold(10)
    assert len(purse.asked) == asked + 1
    assert purse.reload() == 1


def test_a_payment_by_hand_under_way_is_waited_for_and_nobody_is_called(purse: Purse) -> None:
    purse.top_up(600, key="slow", card=SLOW_CARD)
    purse.hold(1400)
    refused = purse.refused(200)
    assert refused.facts["next_steps"] == ["wait_for_payment", "top_up"]
    assert refused.facts["reload"] is None
    assert not purse.told("wallet.empty")


# With a stream that is late.

STREAM_LATE = timedelta(minutes=1)
PROCESSOR = timedelta(milliseconds=900)
REACHED_AFTER = timedelta(milliseconds=150)


@pytest.mark.parametrize("seed", range(3))
def test_with_a_late_stream_there_is_one_reload_a_crossing_and_nobody_is_refused(seed: int) -> None:
    """Eight members spend what passes through the threshold while a reload takes its time."""
    chance = random.Random(seed)
    terms = PaymentTerms(TERMS.least, TERMS.most, timedelta(0))
    purse = ready(Purse(opening=2500, members=8, terms=terms), threshold=1000, amount=2000)
    begun = purse.now
    happenings: list[tuple[Any, int, Callable[[], None]]] = []
    numbers = count()
    refused: list[dict[str, Any]] = []
    free_at_reload: list[int] = []

    def at(after: timedelta, what: Callable[[], None]) -> None:
        heapq.heappush(happenings, (purse.now + after, next(numbers), what))

    def react() -> None:
        before = purse.free
        if purse.reload():
            free_at_reload.append(before)

    def bring(budgets: list[Budget]) -> None:
        follow_budgets(purse.table, budgets, Announced(), purse.now)
        if purse.wallet.crossed:
            at(REACHED_AFTER, react)

    def spend(user: int) -> None:
        asked = len(purse.asked)
        cents = chance.randrange(1, 41)
        try:
            held = purse.hold(cents, user)
        except SpendRefused as error:
            refused.append(error.facts)
        else:
            at(timedelta(milliseconds=chance.randrange(50, 400)), lambda: finish(held, cents, user))
        if len(purse.asked) > asked:
            at(REACHED_AFTER + PROCESSOR, react)
        if purse.now - begun < timedelta(seconds=75):
            at(timedelta(milliseconds=chance.randrange(200, 600)), lambda: spend(user))

    def finish(held: str, cents: int, user: int) -> None:
        purse.settle(held, chance.randrange(1, cents + 1), user)
        budgets = purse.budgets()
        if purse.events % 20 == 0:
            at(STREAM_LATE, lambda: bring(budgets))

    for user in range(8):
        at(timedelta(0), lambda user=user: spend(user))  # type: ignore[misc]
    while happenings:
        moment, _, what = heapq.heappop(happenings)
        purse.wait(seconds=(moment - purse.now).total_seconds())
        what()

    assert refused == []
    assert len(free_at_reload) > 3
    assert all(free <= 1000 * CENT for free in free_at_reload), "a reload too early"
    assert len(free_at_reload) == purse.kinds().count("reload")
    # It stayed within what the threshold carries, so no crossing was missed either.
    assert min(free_at_reload) > 0
    purse.follow()
    purse.prove_all_paid()
