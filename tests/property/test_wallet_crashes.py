"""Each step of a payment cut off, timed out, repeated, told of in any order: one charge and credit.

Both lines are broken in turn: to the table and to the processor, before and after each single call.
What is done again afterwards, by whoever comes next, ends as if nothing had happened.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from headroom.core.errors import Overloaded
from headroom.payments.gateways.payments import PaymentUnknown
from headroom.payments.usecases.adjustments import Adjustment, adjust
from tests.fake_payments import ASKING_CARD, GOOD_CARD, SLOW_CARD
from tests.purse import CENT, NOW, Purse

TABLE_CALLS = frozenset({"get", "snapshot", "get_many", "update", "transact", "query"})
PAYMENT_CALLS = frozenset(
    {
        "create_customer",
        "save_payment_method",
        "find_payment_method",
        "charge",
        "find_payment",
        "find_charged",
        "cancel",
        "refund",
    }
)


class Crash(BaseException):
    """The function died. Not an Exception, so that nothing on the way may catch it."""


class Lines:
    """Counts the calls to table and processor; the one of the given number goes wrong.

    "died": the function dies before or after it. "lost": the processor's reply does not arrive,
    whether it acted or not; such calls to the table are repeated by its own client.
    """

    def __init__(self, number: int, *, after: bool, how: str) -> None:
        self.number, self.after, self.how = number, after, how
        self.calls = 0
        self.happened = False

    def wrap(self, target: Any, names: frozenset[str]) -> Any:
        lines = self

        class Wrapped:
            def __getattr__(self, name: str) -> Any:
                found = getattr(target, name)
                if name not in names:
                    return found

                def made(*arguments: Any, **options: Any) -> Any:
                    lines.calls += 1
                    is_it = lines.calls == lines.number
                    if is_it and not lines.after:
                        lines.fail()
                    answer = found(*arguments, **options)
                    if is_it and lines.after:
                        lines.fail()
                    return answer

                return made

        return Wrapped()

    def fail(self) -> None:
        self.happened = True
        if self.how == "lost":
            raise PaymentUnknown("the reply was lost")
        raise Crash


def begin(purse: Purse) -> None:
    """A card is saved, and a little was bought with it."""
    purse.top_up(500, key="first")


def begin_empty(purse: Purse) -> None:
    """Nobody has paid anything yet."""


def begin_crossed(purse: Purse) -> None:
    begin(purse)
    purse.auto_reload(threshold=1000, amount=2000, limit=5000)
    purse.reload()
    purse.spend(600)
    purse.follow()
    assert purse.wallet.crossed


def begin_crossing(purse: Purse) -> None:
    """The stream has not told of the spending yet."""
    begin(purse)
    purse.auto_reload(threshold=1000, amount=2000, limit=5000)
    purse.reload()
    purse.spend(600)


def begin_asked(purse: Purse) -> None:
    purse.top_up(700, card=ASKING_CARD)
    purse.payments.settle("pi_1")


def begin_slow(purse: Purse) -> None:
    purse.top_up(700, card=SLOW_CARD)
    purse.payments.settle("pi_1")


def begin_abandoned(purse: Purse) -> None:
    """A reload asks for the card's holder, who does not act."""
    begin(purse)
    purse.payments.save_payment_method(f"cus_{purse.org_id}", ASKING_CARD)
    purse.deliver()
    purse.auto_reload(threshold=2000, amount=2000)
    purse.reload()
    purse.wait(hours=24)


def begin_replaced(purse: Purse) -> None:
    """A reload asks for the holder of a card that was replaced."""
    begin_abandoned(purse)
    purse.wait(hours=-23)
    purse.payments.save_payment_method(f"cus_{purse.org_id}", GOOD_CARD)


def begin_disputed(purse: Purse) -> None:
    begin(purse)
    purse.spend(1300)
    purse.hold(100)
    purse.payments.dispute("pi_1")


def begin_won(purse: Purse) -> None:
    begin_disputed(purse)
    purse.deliver()
    purse.payments.close_dispute("pi_1", won=True)


def begin_given_back(purse: Purse) -> None:
    begin(purse)
    purse.payments.give_back("pi_1", 200)


def begin_expiring(purse: Purse) -> None:
    credit(purse)
    purse.hold(300)
    purse.release(purse.hold(20, user=1))
    purse.spend(50, user=1)
    purse.follow()
    purse.wait(minutes=6)


def credit(purse: Purse) -> Any:
    asked = Adjustment(
        "credit",
        purse.org_id,
        "promotional",
        400 * CENT,
        "ops",
        "credit",
        expires_at=NOW + timedelta(minutes=5),
    )
    return adjust(purse.table, purse.payments, asked, NOW)


def refund(purse: Purse) -> Any:
    asked = Adjustment(
        "refund", purse.org_id, "refund", 300 * CENT, "ops", "refund", payment_id="pi_1"
    )
    return adjust(purse.table, purse.payments, asked, purse.now)


def correct(purse: Purse) -> Any:
    asked = Adjustment("correction", purse.org_id, "adjustment", -300 * CENT, "ops", "correction")
    return adjust(purse.table, purse.payments, asked, purse.now)


Begin = Callable[[Purse], None]
CASES: dict[str, tuple[Begin, Callable[[Purse], Any]]] = {
    "top up with a new card": (begin_empty, lambda purse: purse.top_up(700)),
    "top up with a saved card": (begin, lambda purse: purse.top_up(700, card=None)),
    "top up with a card that asks": (begin, lambda purse: purse.top_up(700, card=ASKING_CARD)),
    "hear that the holder acted": (begin_asked, lambda purse: purse.deliver()),
    "look whether the holder acted": (begin_asked, lambda purse: purse.look()),
    "hear of a slow payment": (begin_slow, lambda purse: purse.deliver()),
    "look for a slow payment": (begin_slow, lambda purse: purse.look()),
    "reload off the stream": (begin_crossed, lambda purse: purse.reload()),
    "reload by the schedule": (begin_crossed, lambda purse: purse.look()),
    "follow the spending to the threshold": (begin_crossing, lambda purse: purse.follow()),
    "give up on a holder": (begin_abandoned, lambda purse: purse.look()),
    "hear of a new card": (begin_replaced, lambda purse: purse.deliver()),
    "hear of a dispute": (begin_disputed, lambda purse: purse.deliver()),
    "hear that a dispute was won": (begin_won, lambda purse: purse.deliver()),
    "hear of somebody's refund": (begin_given_back, lambda purse: purse.deliver()),
    "refund": (begin, refund),
    "correct": (begin, correct),
    "give a credit": (begin, credit),
    "expire": (begin_expiring, lambda purse: purse.look()),
    "change the card": (begin_crossed, lambda purse: purse.top_up(500, "new", GOOD_CARD)),
}


def settled(purse: Purse) -> dict[str, Any]:
    """Let everything come to rest, hear all the processor has to say twice, and sum it up."""
    for _ in range(2):
        purse.wait(seconds=61)
        purse.follow()
        purse.look()
        purse.deliver(*reversed(range(len(purse.payments.deliveries))))
    purse.prove()
    paid = [each for each in purse.payments.payments.values() if each.state == "succeeded"]
    bought = [entry for entry in purse.entries() if entry.kind in ("purchase", "reload")]
    assert {each.payment_id for each in paid} == {entry.payment_id for entry in bought}
    assert len(bought) == len(paid)
    moved: dict[str, int] = {}
    for entry in purse.entries():
        moved[entry.kind] = moved.get(entry.kind, 0) + entry.amount
    return {
        "balance": purse.balance,
        "moved": moved,
        "paid": sorted(each.amount_cents for each in paid),
        "asked": len(purse.payments.payments),
        "refunded": sum(each.refunded_cents for each in paid),
        "pending": [each.needs_action for each in purse.wallet.pending],
        "owed": dict(purse.wallet.owed),
        "past_due": purse.organization.past_due,
        "refunds": purse.wallet.refunds,
        "told": sorted(
            item["detail_type"]["S"] for item in purse.table.items.values() if "detail_type" in item
        ),
    }


def cut_off(purse: Purse, work: Callable[[Purse], Any], lines: Lines) -> None:
    table, payments = purse.table, purse.payments
    if lines.how == "died":
        purse.table = lines.wrap(table, TABLE_CALLS)
    purse.payments = lines.wrap(payments, PAYMENT_CALLS)
    try:
        work(purse)
    except (Crash, PaymentUnknown, Overloaded):
        pass
    finally:
        purse.table, purse.payments = table, payments


@pytest.mark.parametrize(
    ("how", "after"),
    [("died", False), ("died", True), ("lost", False), ("lost", True)],
    ids=["dies before", "dies after", "no answer, not done", "no answer, but done"],
)
@pytest.mark.parametrize("name", CASES)
def test_one_charge_and_one_credit_whatever_is_cut_off(name: str, how: str, after: bool) -> None:
    begins, work = CASES[name]
    undisturbed = Purse()
    begins(undisturbed)
    work(undisturbed)
    expected = settled(undisturbed)

    number, happened = 0, True
    while happened:
        number += 1
        purse = Purse()
        begins(purse)
        lines = Lines(number, after=after, how=how)
        cut_off(purse, work, lines)
        purse.prove()
        happened = lines.happened
        if happened:
            work(purse)
            assert settled(purse) == expected, f"cut off at call {number}"
    assert number > 2 or how == "lost"


@pytest.mark.parametrize("name", CASES)
def test_what_nobody_asks_for_again_is_never_charged_twice(name: str) -> None:
    """The client went away: what was charged is credited, what was not is given up."""
    begins, work = CASES[name]
    number, happened = 0, True
    while happened:
        number += 1
        purse = Purse()
        begins(purse)
        lines = Lines(number, after=True, how="died")
        cut_off(purse, work, lines)
        happened = lines.happened
        for _ in range(3):
            purse.wait(minutes=10)
            purse.look()
        settled(purse)
        amounts = [each.amount for each in purse.intents() if each.state != "succeeded"]
        assert not purse.wallet.pending or any(each.needs_action for each in purse.wallet.pending)
        assert len(amounts) <= 1
