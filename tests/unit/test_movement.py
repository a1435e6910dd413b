"""What moved between two states of a budget."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headroom.spending.domain.budget import Budget
from headroom.spending.domain.movement import Movement, movement

BEFORE = Budget(
    "org_1", "user_1", "2026-11", "standard", allotment=70, held=20, spent=10, granted=100
)


@pytest.mark.parametrize(
    ("after", "moved"),
    [
        (replace(BEFORE, allotment=40, held=50), Movement(held=30)),
        (replace(BEFORE, allotment=75, held=0, spent=25), Movement(settled=15)),
        (replace(BEFORE, allotment=90, held=0), Movement()),
        (replace(BEFORE, allotment=0, granted=30), Movement(recalled=70)),
        (replace(BEFORE, allotment=60, held=80, granted=150), Movement(held=60, granted=50)),
        (replace(BEFORE, unbilled=7), Movement(unbilled=7)),
        (replace(BEFORE, period="2026-12", allotment=0, held=0, spent=0, granted=0), Movement()),
    ],
)
def test_a_change_of_a_budget_is_told_by_what_moved(after: Budget, moved: Movement) -> None:
    assert movement(BEFORE, after) == moved
