"""Every hour: see to invoices that are due, past due, or whose payment nobody told us of."""

from __future__ import annotations

import os
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from headroom.billing.settings import TermsSettings
from headroom.billing.usecases.collection import Collector, chase
from headroom.core.clock import Clock
from headroom.core.settings import PaymentSettings, Settings
from headroom.core.store.connect import connect
from headroom.payments.gateways.stripe import connect_payments

# What is not seen to by then is found by the next run.
SPARE_MILLIS = 30_000

logger = Logger()
metrics = Metrics()
table = connect(Settings.from_env(os.environ))
clock = Clock.from_env(os.environ)
payments = connect_payments(PaymentSettings.from_env(os.environ), clock.ahead)
collector = Collector(payments, TermsSettings.from_env(os.environ).terms)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """See to what is due. Repeating it, or running two at once, is harmless."""

    def may_go_on() -> bool:
        return context.get_remaining_time_in_millis() > SPARE_MILLIS

    looked = chase(table, collector, clock.now(), may_go_on)
    metrics.add_metric("ScheduledRuns", MetricUnit.Count, 1)
    metrics.add_metric("InvoicesChased", MetricUnit.Count, looked)
    return {"looked_at": looked}
