"""The proof finds what was tampered with, mends what can be mended, and cries no wolf."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from itertools import chain, count
from typing import Any

import pytest

from headroom.core.domain.money import format_amount
from headroom.core.store import keys
from headroom.core.store.table import Item, Key, Page, Range
from headroom.limits.store.figures import find_totals
from headroom.payments.usecases.reconciliation import (
    ADVICE,
    DRIFT,
    Drift,
    Proof,
    reconcile_lines,
    reconcile_payments,
    reconcile_pool,
    reconcile_wallet,
    wallets_of,
)
from tests.memory_table import MemoryTable
from tests.purse import CENT, Purse


@pytest.fixture
def purse() -> Purse:
    """Something of everything happened, some of it still under way."""
    purse = Purse()
    purse.top_up(2500)
    purse.auto_reload(threshold=3000, amount=1000)
    purse.reload()
    purse.spend(400)
    purse.hold(30, user=1)
    purse.wait(hours=2)
    return purse


def prove(purse: Purse) -> Proof:
    """All that is proved of a wallet without looking twice."""
    proof = reconcile_wallet(purse.table, purse.payments, purse.org_id, purse.now, lambda: True)
    lines = prove_lines(purse)
    proof.drifts += lines.drifts
    proof.suspects += lines.suspects
    return proof


def prove_lines(purse: Purse, **more: Any) -> Proof:
    return reconcile_lines(purse.table, purse.org_id, purse.now, lambda: True, **more)


def prove_paid(purse: Purse) -> list[Drift]:
    return reconcile_payments(purse.table, purse.payments, purse.now, lambda: True).drifts


def found(proof: Proof) -> list[tuple[str, str, int, int]]:
    return [(each.what, each.subject, each.expected, each.found) for each in proof.drifts]


def alter(purse: Purse, key: Key, **numbers: int) -> None:
    """Change an item behind everybody's back."""
    item = dict(purse.table.items[key])
    for name, value in numbers.items():
        item[name] = {"N": str(int(item[name]["N"]) + value)}
    purse.table.items[key] = item


def entry_of(purse: Purse, kind: str) -> Key:
    version = next(entry.version for entry in purse.entries() if entry.kind == kind)
    return keys.wallet_entry(purse.org_id, version)


def test_what_is_right_is_proved_without_a_word(purse: Purse) -> None:
    assert prove(purse) == Proof()
    assert prove_paid(purse) == []
    assert not purse.told(DRIFT)
    everything = [wallets_of(purse.table, shard) for shard in range(keys.DUE_SHARDS)]
    assert list(chain(*everything)) == [purse.org_id]


def test_an_entry_that_was_changed_is_drift_told_once_a_day_with_what_to_do(purse: Purse) -> None:
    alter(purse, entry_of(purse, "purchase"), amount=-1)
    total = purse.wallet.total
    for _ in range(2):
        assert found(prove(purse)) == [("entries", "balance", total - 1, total)]
    (told,) = purse.told(DRIFT)
    detail = json.loads(told["detail"]["S"])
    assert detail["what_to_do"] == ADVICE["entries"]
    assert detail["found"] == format_amount(total)
    purse.wait(days=1)
    prove(purse)
    assert len(purse.told(DRIFT)) == 2


def test_money_that_the_pool_lost_is_drift(purse: Purse) -> None:
    given = purse.wallet.given
    alter(purse, keys.pool(purse.org_id), funds=-7)
    assert found(prove(purse)) == [("pool", "funds", given, given - 7)]


class Busy(MemoryTable):
    """A table on which somebody is granted money after each look at a budget."""

    def __init__(self, purse: Purse, members: int) -> None:
        super().__init__()
        self.items = purse.table.items
        self.purse = purse
        self.users = (number % members for number in count())

    def query(self, range_: Range, *, limit: int | None = None, start: Item | None = None) -> Page:
        page = super().query(range_, limit=limit, start=start)
        if range_.prefix == "BUDGET":
            self.purse.wait(seconds=1)
            self.purse.hold(1, user=next(self.users))
        return page


@pytest.mark.parametrize("lost", [0, 7])
@pytest.mark.parametrize(("members", "spenders"), [(9, 9), (120, 5)])
def test_the_pool_of_a_busy_organization_is_proved(members: int, spenders: int, lost: int) -> None:
    purse = Purse(members=members, opening=1_000_000)
    for user in range(members):
        purse.hold(1, user)
    given = purse.wallet.given
    alter(purse, keys.pool(purse.org_id), funds=-lost)
    busy = Busy(purse, spenders)
    proof = reconcile_pool(busy, purse.org_id, purse.now, lambda: True)
    assert not proof.is_moving
    assert found(proof) == ([("pool", "funds", given, given - lost)] if lost else [])


def test_a_pool_that_never_stands_still_is_no_drift_and_no_failure() -> None:
    purse = Purse(members=120, opening=1_000_000)
    for user in range(120):
        purse.hold(1, user)
    proof = reconcile_pool(Busy(purse, 120), purse.org_id, purse.now, lambda: True)
    assert proof == Proof(is_moving=True)
    assert reconcile_pool(purse.table, purse.org_id, purse.now, lambda: False) == proof
    assert reconcile_pool(purse.table, purse.org_id, purse.now, lambda: True) == Proof()


def test_a_line_that_is_missing_is_drift_only_when_it_still_is_later(purse: Purse) -> None:
    line = next(key for key in purse.table.items if key.sk == "LINE")
    kept = purse.table.items.pop(line)
    first = prove(purse)
    assert not first.drifts
    (suspect,) = first.suspects
    spent = next(each.spent for each in purse.budgets() if each.spent)

    again = prove_lines(purse, suspected=(suspect,))
    assert found(again) == [("lines", f"{purse.user_ids[0]}_2026-11", 0, spent)]

    # An index that was only behind is no drift.
    purse.table.items[line] = kept
    assert prove_lines(purse, suspected=(suspect,)) == Proof()


def test_members_are_proved_in_as_many_goes_as_it_takes(purse: Purse) -> None:
    line = next(key for key in purse.table.items if key.sk == "LINE")
    del purse.table.items[line]
    answers = iter([True, False])
    first = reconcile_lines(purse.table, purse.org_id, purse.now, lambda: next(answers))
    assert first.goes_on_after == purse.user_ids[0]
    assert len(first.suspects) == 1
    rest = prove_lines(purse, after_user_id=first.goes_on_after)
    assert rest == Proof()


def test_a_record_that_the_stream_lost_is_made_up_for(purse: Purse) -> None:
    assert find_totals(purse.table, purse.org_id, ["2026-11"]).get("2026-11", 0) == 0
    prove(purse)
    spent = sum(budget.spent for budget in purse.budgets())
    assert find_totals(purse.table, purse.org_id, ["2026-11"]).get("2026-11", 0) == spent > 0


def test_what_was_paid_and_not_credited_yet_is_credited(purse: Purse) -> None:
    purse.payments.lose("charge", "after")
    purse.top_up(700, "lost")
    before = purse.balance
    purse.wait(hours=2)
    assert prove_paid(purse) == []
    assert purse.balance == before + 700 * CENT
    purse.prove()


def test_a_payment_that_nobody_meant_is_drift(purse: Purse) -> None:
    payment = purse.payments.payments["pi_1"]
    strange = replace(payment, payment_id="pi_strange", key=f"{purse.org_id}.top_unknown")
    others = replace(payment, payment_id="pi_invoice", key=f"{purse.org_id}.inv_unknown")
    purse.payments.payments |= {"pi_strange": strange, "pi_invoice": others}
    (drift,) = prove_paid(purse)
    assert (drift.what, drift.subject, drift.found) == (
        "payment_uncredited",
        "pi_strange",
        2500 * CENT,
    )


def test_what_was_paid_is_proved_in_as_many_goes_as_it_takes(purse: Purse) -> None:
    payment = purse.payments.payments["pi_1"]
    for number, ago in enumerate((timedelta(hours=2), timedelta(days=2))):
        strange = f"pi_strange_{number}"
        purse.payments.payments[strange] = replace(
            payment,
            payment_id=strange,
            key=f"{purse.org_id}.top_unknown",
            created_at=purse.now - ago,
        )
    subjects: list[str] = []
    after: str | None = None
    goes = 0
    while goes == 0 or after is not None:
        answers = chain([True] * 50, [False])
        proof = reconcile_payments(
            purse.table, purse.payments, purse.now, answers.__next__, after=after
        )
        subjects += [drift.subject for drift in proof.drifts]
        after, goes = proof.goes_on_after, goes + 1
    assert goes == 3
    assert subjects == ["pi_strange_1", "pi_strange_0"]


def test_a_credit_that_nobody_paid_is_drift(purse: Purse) -> None:
    del purse.payments.payments["pi_1"]
    assert ("payment_missing", "pi_1", 2500 * CENT, 0) in found(prove(purse))


def test_a_dispute_that_we_never_heard_of_is_found(purse: Purse) -> None:
    before = purse.balance
    purse.payments.dispute("pi_1")
    assert prove(purse) == Proof()
    assert purse.balance == before - 2500 * CENT
    purse.prove()


@pytest.mark.parametrize("days", [30, 110])
def test_money_that_went_back_of_an_old_payment_is_found_within_a_week(
    purse: Purse, days: int
) -> None:
    purse.wait(days=days)
    before = purse.balance
    purse.payments.give_back("pi_1", 500)
    asked = len(purse.payments.calls)
    for _ in range(7):
        assert prove(purse) == Proof()
        purse.wait(days=1)
    assert purse.balance == before - 500 * CENT
    # It was looked at on one day only, and once more before what was found was written.
    assert purse.payments.calls[asked:].count("find_payment") == 2
    purse.prove()


def test_a_dispute_that_ends_after_many_months_is_found(purse: Purse) -> None:
    before = purse.balance
    purse.payments.dispute("pi_1", 500)
    assert prove(purse) == Proof()
    assert purse.balance == before - 500 * CENT
    purse.wait(days=200)
    purse.payments.close_dispute("pi_1", won=True)
    for _ in range(7):
        prove(purse)
        purse.wait(days=1)
    assert purse.balance == before
    purse.prove()


def test_an_invoiced_organization_has_nothing_to_prove(purse: Purse) -> None:
    asked = (purse.table, purse.payments, "org_nobody", purse.now, lambda: True)
    assert reconcile_wallet(*asked) == Proof()
    assert reconcile_lines(purse.table, "org_nobody", purse.now, lambda: True) == Proof()
    assert reconcile_pool(purse.table, "org_nobody", purse.now, lambda: True) == Proof()
