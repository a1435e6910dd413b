"""Following the budgets by many at once: the stream's batches of one shard come ten at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headroom.limits.store.figures import find_totals
from headroom.limits.usecases.thresholds import Announced
from headroom.payments.usecases.budget_changes import follow_budgets
from headroom.spending.domain.budget import Budget
from tests.contract.governing import NOW, House
from tests.template import template

PERIOD = "2026-11"
CHANGES = template()["Resources"]["FollowSpend"]["Properties"]["Events"]["Changes"]["Properties"]


def test_totals_are_exact_though_every_other_batch_of_the_shard_is_faster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house = House()
    budgets = [
        replace(Budget(house.org_id, f"user_{number}", PERIOD, "standard"), spent=number + 1)
        for number in range(CHANGES["ParallelizationFactor"])
    ]
    others = iter(budgets[1:])

    def be_overtaken(name: str) -> None:
        if name == "transact" and (other := next(others, None)):
            before, house.table.step = house.table.step, lambda name: None
            follow_budgets(house.table, [other], Announced(), NOW)
            house.table.step = before

    monkeypatch.setattr(house.table, "step", be_overtaken)

    follow_budgets(house.table, budgets[:1], Announced(), NOW)

    assert next(others, None) is None
    assert find_totals(house.table, house.org_id, [PERIOD]).get(PERIOD, 0) == sum(
        each.spent for each in budgets
    )
