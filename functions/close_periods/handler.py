"""Four times an hour: hand out the billing periods that are over, each as a message.

Invoked by an operator with `{"organization_id"}` it opens the periods of one from before periods
were closed that was never used since.

The messages are spread over the quarter, as many a second as the budget of closes carries: at the
first of a month everybody's period is over at once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from headroom.billing.usecases.period_close import begins_after, hand_out, organization_of
from headroom.core.clock import Clock
from headroom.core.errors import HeadroomError
from headroom.core.gateways.queue import DELAY_SECONDS_MAX, SqsQueue
from headroom.core.settings import ClosingSettings, QueueSettings, Settings
from headroom.core.store.connect import connect
from headroom.core.store.keys import DUE_SHARDS
from headroom.core.wire.fields import known_only, text
from headroom.organizations.usecases.first_period import open_forgotten_closings

# What is not handed out by then, or could not begin before the next run, is found by that one.
SPARE_MILLIS = 10_000

logger = Logger()
metrics = Metrics()
table = connect(Settings.from_env(os.environ))
clock = Clock.from_env(os.environ)
queue = SqsQueue(QueueSettings.from_env(os.environ))
concurrency = ClosingSettings.from_env(os.environ).concurrency


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Hand out what is due. What is lost on the way is due again half an hour later."""
    if "organization_id" in event:
        try:
            return open_periods(event)
        except HeadroomError as error:
            return error.body(context.aws_request_id)

    now = clock.now()

    def messages(shard: int) -> Iterator[tuple[dict[str, Any], int]]:
        delays = (begins_after(shard, number, concurrency) for number in count())
        delay = next(delays)

        def may_go_on() -> bool:
            in_time = context.get_remaining_time_in_millis() > SPARE_MILLIS
            return in_time and delay < DELAY_SECONDS_MAX

        for closing in hand_out(table, shard, now, may_go_on):
            yield (
                {
                    "organization_id": closing.org_id,
                    "period": closing.period,
                    "attempt": closing.attempts,
                },
                delay,
            )
            delay = next(delays)

    # All it does is wait for the table and the queue, for each organization anew.
    with ThreadPoolExecutor(DUE_SHARDS) as pool:
        handed_out = sum(
            pool.map(queue.send_spread, [messages(shard) for shard in range(DUE_SHARDS)])
        )
    metrics.add_metric("ScheduledRuns", MetricUnit.Count, 1)
    metrics.add_metric("PeriodsHandedOut", MetricUnit.Count, handed_out)
    return {"handed_out": handed_out}


def open_periods(event: dict[str, Any]) -> dict[str, Any]:
    """Open the periods of an organization that has none yet; the next run hands them out."""
    known_only(event, frozenset({"organization_id"}))
    organization = organization_of(table, text(event, "organization_id", length_max=64))
    opened = open_forgotten_closings(table, organization.org_id)
    return {"organization_id": organization.org_id, "opened": opened}
