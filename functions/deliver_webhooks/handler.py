"""The webhook queue: events become deliveries to endpoints, deliveries are attempted when due."""

from __future__ import annotations

import math
import os
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from headroom.core.clock import Clock
from headroom.core.gateways.queue import SqsQueue
from headroom.core.settings import QueueSettings, Settings, WebhookSettings
from headroom.core.store.connect import connect
from headroom.core.wire.crashes import Crashes
from headroom.core.wire.fields import parse_json
from headroom.notifications.gateways.webhook_key import read_key_of
from headroom.notifications.gateways.webhooks import WebSender
from headroom.notifications.usecases.webhook_delivery import attempt, fan_out

logger = Logger()
metrics = Metrics()
crashes = Crashes.from_env(os.environ)
settings = WebhookSettings.from_env(os.environ)
table = connect(Settings.from_env(os.environ))
clock = Clock.from_env(os.environ)
queue = SqsQueue(QueueSettings.from_env(os.environ))
sender = WebSender(loopback=settings.loopback)
read_key = read_key_of(settings.key_arn)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take messages of the queue. One that is to come again later is hidden until then."""
    return {"batchItemFailures": [failed for record in event["Records"] for failed in take(record)]}


def take(record: dict[str, Any]) -> list[dict[str, str]]:
    """Take one message; return it as a failure if it has to come again."""
    again = [{"itemIdentifier": record["messageId"]}]
    try:
        message: Any = parse_json(record["body"])
        if "detail-type" in message:
            begun = fan_out(table, queue, message["detail-type"], message["detail"], clock.now())
            metrics.add_metric("WebhookDeliveriesBegun", MetricUnit.Count, begun)
            return []
        wait = attempt(table, sender, read_key, message, clock.now())
        if wait is None:
            return []
        # It is not deleted, and comes again when it is due; SQS counts whole seconds.
        queue.hide(record["receiptHandle"], math.ceil(wait.total_seconds()))
    except Exception:
        # The process edge: the message comes again when its time is up, and is parked at last.
        logger.exception("message not taken", message_id=record["messageId"])
        crashes.count()
    return again
