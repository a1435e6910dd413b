"""The table's stream of budgets: period-to-date totals, and thresholds that were crossed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from headroom.clock import Clock
from headroom.domain.budget import Budget
from headroom.settings import Settings
from headroom.store.connect import connect
from headroom.store.keys import owner_of_budget
from headroom.store.models import read_budget
from headroom.usecases.following import Announced, follow

logger = Logger()
table = connect(Settings.from_env(os.environ))
clock = Clock.from_env(os.environ)
announced = Announced()


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take a batch of stream records. If it fails it is delivered again, which is harmless."""
    follow(table, _budgets(event), announced, clock.now())
    return {"batchItemFailures": []}


def _budgets(event: dict[str, Any]) -> Iterator[Budget]:
    for record in event["Records"]:
        image = record["dynamodb"].get("NewImage")
        if image is None:
            continue
        owner = owner_of_budget(image["pk"]["S"], image["sk"]["S"])
        if owner is not None:
            yield read_budget(image, *owner)
