"""What follows changes of budgets: totals, thresholds, and a look at the wallet."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from headroom.core.store.table import Table
from headroom.limits.usecases.thresholds import Announced, follow
from headroom.payments.usecases.auto_reload import watch_balance
from headroom.spending.domain.budget import Budget


def follow_budgets(
    table: Table, budgets: Iterable[Budget], announced: Announced, now: datetime
) -> None:
    """Follow budgets as they come by the table's stream, repeatedly and in any order.

    Raises:
        Overloaded: others move the same figures; the same budgets may simply come again.
    """
    for organization in follow(table, budgets, announced, now):
        if organization.plan == "team":
            watch_balance(table, organization, now)
