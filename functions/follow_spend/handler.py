"""The table's stream of budgets: period-to-date totals, thresholds crossed, money that moved."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from headroom.core.clock import Clock
from headroom.core.settings import Settings
from headroom.core.store.connect import connect
from headroom.core.store.keys import owner_of_budget
from headroom.limits.usecases.thresholds import Announced
from headroom.payments.usecases.budget_changes import follow_budgets
from headroom.spending.domain.budget import Budget
from headroom.spending.domain.movement import movement
from headroom.spending.store.budget_record import read_budget

logger = Logger()
metrics = Metrics()
table = connect(Settings.from_env(os.environ))
clock = Clock.from_env(os.environ)
announced = Announced()


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take a batch of stream records. If it fails it is delivered again, which is harmless."""
    changes = list(_changes(event))
    follow_budgets(table, [after for _, after in changes], announced, clock.now())
    _count(changes)
    return {"batchItemFailures": []}


def _changes(event: dict[str, Any]) -> Iterator[tuple[Budget | None, Budget]]:
    for record in event["Records"]:
        stream = record["dynamodb"]
        image = stream.get("NewImage")
        if image is None:
            continue
        owner = owner_of_budget(image["pk"]["S"], image["sk"]["S"])
        if owner is not None:
            old = stream.get("OldImage")
            yield (read_budget(old, *owner) if old else None), read_budget(image, *owner)


def _count(changes: list[tuple[Budget | None, Budget]]) -> None:
    """Count the money here, so that the path of requests need not.

    A batch that is delivered again is counted again: the ledger is for knowing, this for watching.
    """
    moved = [movement(before, after) for before, after in changes if before is not None]
    figures = {
        "HeldNanos": sum(each.held for each in moved),
        "SettledNanos": sum(each.settled for each in moved),
        "UnbilledNanos": sum(each.unbilled for each in moved),
        "GrantedNanos": sum(each.granted for each in moved),
        "RecalledNanos": sum(each.recalled for each in moved),
    }
    counts = {
        "Grants": sum(each.granted > 0 for each in moved),
        "Recalls": sum(each.recalled > 0 for each in moved),
    }
    for name, value in figures.items():
        if value:
            metrics.add_metric(name, MetricUnit.NoUnit, value)
    for name, value in counts.items():
        if value:
            metrics.add_metric(name, MetricUnit.Count, value)
