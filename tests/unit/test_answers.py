"""What a budget remembers of keyed authorizations, and what it forgets first."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from headroom.core.store import keys
from headroom.organizations.domain.organization import EffectiveLimit
from headroom.pricing.domain.requests import HoldRequest
from headroom.spending.domain.allotment import HOLDS_MAX
from headroom.spending.domain.answers import (
    ENDED_LEAST,
    FirstAnswer,
    entropy_of,
    note,
    place_of,
    request_of,
)
from headroom.spending.domain.authorization import AuthorizationId, Hold, hold_key
from headroom.spending.domain.budget import Budget, OpenWindow
from headroom.spending.store.budget_record import BudgetRecord
from tests.item_size import size_of

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ORG, USER = "org_2d711642b726b0440162", "user_01JDBENCHMARK0000000000"
REQUEST = HoldRequest("claude-sonnet-4-5", 20_480, 10_240, 0, "standard")
UNTIL = NOW + timedelta(days=7)
BUDGET = Budget(
    org_id=ORG,
    user_id=USER,
    period="2026-11",
    seat_tier="premium",
    epoch=1234,
    valid_until_millis=1795824000000,
    allotment=331_776_123_123,
    held=331_776_123_123,
    spent=331_776_123_123,
    granted=995_328_369_369,
    included=331_776_123_123,
    unbilled=331_776_123_123,
    day="2026-11-23",
    day_granted=331_776_123_123,
    week="2026-11-23",
    week_granted=331_776_123_123,
    included_left=-12_345_678,
    slice_nanos=331_776_123_123,
    granted_at_millis=1795819028684,
    registered=True,
    limits=(EffectiveLimit("monthly", 100_000_000_000, "seat_tier"),),
    answers={},
)
WINDOWS = tuple(
    OpenWindow(name, minutes, 1_234_567_891, 1_234_567_891, 1795819028684)
    for name, minutes in (("PT5H", 300), ("P7D", 10_080))
)


def answer_of(place: str, taken_at: datetime = NOW, **more: object) -> FirstAnswer:
    authorization = AuthorizationId(
        org_id=ORG,
        user_id=USER,
        key=hold_key(taken_at, entropy_of(place)),
        source="extra_usage",
        home="pool",
        seat_tier="premium",
        period="2026-11",
        exhausted_minutes=10_080,
        amount_nanos=276_480_123,
    )
    return FirstAnswer(replace(authorization, **more), request_of("a body"), None)  # type: ignore[arg-type]


def take(budget: Budget, number: int, *, ends: bool, period: str = "2026-11") -> Budget:
    """Return the budget with one more keyed hold, or with what is remembered of one that ended."""
    place, taken_at = place_of(ORG, f"key-{number}"), NOW + timedelta(seconds=number)
    answer = answer_of(place, taken_at, period=period)
    noting = note(budget, place, answer, taken_at, receipts_until=UNTIL)
    assert budget.answers is not None
    assert len(budget.answers) < noting.count_max
    answers = {**budget.answers, place: noting.answer}
    for forgotten in noting.forgets:
        assert answers.pop(forgotten) == noting.forgets[forgotten]
    holds = dict(budget.holds)
    if not ends:
        key = answer.authorization.key
        holds[key] = Hold(key, 276_480_123, 1234, 1795819028684, "extra_usage", REQUEST, "1 10080")
    return replace(budget, answers=answers, holds=holds)


@pytest.mark.parametrize("amount", [0, 1, 255, 256, 276_480_123, 2**63])
@pytest.mark.parametrize("cut_to", [None, 1, 1_000_000_000])
@pytest.mark.parametrize("source", ["included", "extra_usage"])
def test_an_answer_is_read_as_it_was_packed(amount: int, cut_to: int | None, source: str) -> None:
    place = place_of(ORG, "a-key")
    answer = replace(answer_of(place, amount_nanos=amount, source=source), cut_to=cut_to)

    packed = answer.pack()

    assert FirstAnswer.unpack(packed, org_id=ORG, user_id=USER, place=place) == answer


def test_another_request_another_key_and_another_organization_are_told_apart() -> None:
    assert request_of("a body") != request_of("another")
    assert place_of(ORG, "a-key") not in {place_of(ORG, "b-key"), place_of("org_other", "a-key")}


def test_the_newest_that_ended_are_remembered() -> None:
    budget = BUDGET
    for number in range(100):
        budget = take(budget, number, ends=True)
        assert budget.answers is not None
        newest = {place_of(ORG, f"key-{each}") for each in range(number - ENDED_LEAST, number + 1)}
        assert {each for each in newest if number >= ENDED_LEAST} <= set(budget.answers)


def test_whatever_is_open_is_remembered_whatever_comes_after() -> None:
    budget = BUDGET
    for number in range(5):
        budget = take(budget, number, ends=False)
    for number in range(5, 100):
        budget = take(budget, number, ends=True)
    assert budget.answers is not None

    assert {place_of(ORG, f"key-{number}") for number in range(5)} <= set(budget.answers)


def test_as_many_are_remembered_as_may_be_open() -> None:
    budget = BUDGET
    for number in range(HOLDS_MAX):
        budget = take(budget, number, ends=False)
    assert budget.answers is not None

    assert len(budget.answers) == HOLDS_MAX


def test_a_hold_of_a_past_period_may_be_open_for_a_day() -> None:
    budget = take(BUDGET, 0, ends=True)
    turned = replace(budget, period="2026-12", past_periods=("2026-11",))
    for number in range(1, 100):
        turned = take(turned, number, ends=True, period="2026-12")
    assert turned.answers is not None
    assert place_of(ORG, "key-0") in turned.answers

    later = turned
    for number in range(90_000, 90_100):
        later = take(later, number, ends=True, period="2026-12")
    assert later.answers is not None
    assert place_of(ORG, "key-0") not in later.answers


@pytest.mark.parametrize(
    ("windows", "open_count"), [((), 1), ((), 2), ((), 3), (WINDOWS, 1), (WINDOWS, 2)]
)
def test_a_budget_with_few_open_holds_stays_within_one_write_unit(
    windows: tuple[OpenWindow, ...], open_count: int
) -> None:
    budget = replace(BUDGET, windows=windows)
    for number in range(open_count - 1):
        budget = take(budget, number, ends=False)
    sizes, counts = [], []
    for number in range(open_count, 60):
        held = take(budget, number, ends=False)
        key = keys.budget(ORG, USER)
        item = BudgetRecord.from_domain(key, held).to_item()
        sizes.append(size_of({**key.attributes(), **item}))
        assert held.answers is not None
        counts.append(len(held.answers) - open_count)
        budget = replace(held, holds=dict(list(held.holds.items())[:-1]))

    assert max(sizes) <= 1024
    assert min(counts[20:]) >= ENDED_LEAST
    if not windows and open_count == 1:
        # What room there is, is used.
        assert max(counts) >= 10


def test_a_budget_of_an_earlier_release_begins_to_remember() -> None:
    place = place_of(ORG, "a-key")

    noting = note(replace(BUDGET, answers=None), place, answer_of(place), NOW, receipts_until=UNTIL)

    assert noting.receipts_until_millis == 1796040000000
    assert not noting.forgets
