"""Every minute: free the money of holds that nobody settled, and take back what lies idle.

Then the usage that waits for a price is recorded, if it has one by now.
"""

from __future__ import annotations

import os
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from headroom.core.clock import Clock
from headroom.core.settings import Settings
from headroom.core.store.connect import connect
from headroom.spending.usecases.expiry import sweep
from headroom.spending.usecases.unpriced_usage import price_waiting
from headroom.spending.wire.usage_events import parse_event

# What is not done by then is done by the next run.
SPARE_MILLIS = 5_000

logger = Logger()
metrics = Metrics()
table = connect(Settings.from_env(os.environ))
clock = Clock.from_env(os.environ)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Look at every member, and at all usage without a price, that is due."""

    def may_go_on() -> bool:
        return context.get_remaining_time_in_millis() > SPARE_MILLIS

    looked = sweep(table, clock.now(), may_go_on)
    metrics.add_metric("ScheduledRuns", MetricUnit.Count, 1)
    metrics.add_metric("MembersSwept", MetricUnit.Count, looked)
    # After it: money that waits to be free comes first.
    priced = price_waiting(table, clock.now(), may_go_on, parse_event)
    metrics.add_metric("UsagePriced", MetricUnit.Count, priced)
    return {"looked_at": looked, "priced": priced}
