"""Wallets that reached their threshold, by the table's stream; and every minute those that are due.

The schedule only finds the wallets: each is looked after by a message of its own, so that many are
looked after at the same time and one that fails comes again alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from headroom.clock import Clock
from headroom.gateways.queue import SqsQueue
from headroom.gateways.stripe import connect_payments
from headroom.settings import PaymentSettings, QueueSettings, Settings, WalletSettings
from headroom.store.connect import connect
from headroom.usecases.looking_after import due_wallets, look_after, reload_marked

logger = Logger()
metrics = Metrics()
table = connect(Settings.from_env(os.environ))
clock = Clock.from_env(os.environ)
terms = WalletSettings.from_env(os.environ).terms
payments = connect_payments(PaymentSettings.from_env(os.environ), clock.ahead)
queue = SqsQueue(QueueSettings.from_env(os.environ))


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Look after the wallets of a batch, or find those that are due."""
    if "Records" not in event:
        return {
            "due": queue.send({"organization_id": each} for each in due_wallets(table, clock.now()))
        }
    failures: list[dict[str, str]] = []
    reloads = 0
    for record in event["Records"]:
        try:
            reloads += _look(record)
        except Exception:
            # The process edge: this one comes again, the others of the batch do not.
            logger.exception("a wallet could not be looked after")
            failures.append({"itemIdentifier": _identifier(record)})
            if "dynamodb" in record:
                # A stream is read on from its first failure, so what follows comes again anyway.
                break
    metrics.add_metric("WalletsReloaded", MetricUnit.Count, reloads)
    return {"batchItemFailures": failures}


def _look(record: dict[str, Any]) -> int:
    if "dynamodb" in record:
        image = record["dynamodb"].get("NewImage") or {}
        work: Callable[..., int] = reload_marked
        org_id = image["org_id"]["S"]
    else:
        work, org_id = look_after, json.loads(record["body"])["organization_id"]
    return work(table, payments, org_id, clock.now(), terms)


def _identifier(record: dict[str, Any]) -> str:
    if "dynamodb" in record:
        number: str = record["dynamodb"]["SequenceNumber"]
        return number
    message: str = record["messageId"]
    return message
