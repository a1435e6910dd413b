"""Every day: announce the increase requests that wait for an answer."""

from __future__ import annotations

import os
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from headroom.core.clock import Clock
from headroom.core.settings import Settings
from headroom.core.store.connect import connect
from headroom.limits.usecases.request_digest import digest_requests

logger = Logger()
metrics = Metrics()
table = connect(Settings.from_env(os.environ))
clock = Clock.from_env(os.environ)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Announce one event for each organization with outstanding requests."""
    organizations = digest_requests(table, clock.now())
    metrics.add_metric("ScheduledRuns", MetricUnit.Count, 1)
    return {"organizations": organizations}
