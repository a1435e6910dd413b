"""Wallets that reached their threshold, told by whoever took them there; and those that are due.

Whoever takes a wallet to its threshold marks it in the same write and invokes this function, which
is the fastest way here; the stream brings the mark as well, as a message of `publish_events`, and
so does the minute's look.

The schedule only begins: each shard of wallets is gone through by a message of its own, from where
another one ran out of time, and each wallet that is due is looked after by one more. So many are
looked after at the same time, and one that fails comes again alone.
"""

from __future__ import annotations

import json
import os
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from headroom.core.clock import Clock
from headroom.core.gateways.queue import SqsQueue
from headroom.core.settings import PaymentSettings, QueueSettings, Settings
from headroom.core.store import keys
from headroom.core.store.connect import connect
from headroom.core.wire.crashes import Crashes
from headroom.payments.gateways.stripe import connect_payments
from headroom.payments.usecases.maintenance import due_wallets, look_after, reload_marked
from headroom.spending.usecases.recall import batches
from headroom.wallets.settings import WalletSettings

# What is not sent by then goes on in another message.
SPARE_MILLIS = 15_000
# What is sent before time is looked at again.
TOGETHER = 200

logger = Logger()
metrics = Metrics()
crashes = Crashes.from_env(os.environ)
table = connect(Settings.from_env(os.environ))
clock = Clock.from_env(os.environ)
terms = WalletSettings.from_env(os.environ).terms
payments = connect_payments(PaymentSettings.from_env(os.environ), clock.ahead)
queue = SqsQueue(QueueSettings.from_env(os.environ))


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Look after the wallets of a batch, or find those that are due."""
    if "organization_id" in event:
        metrics.add_metric("WalletsReloaded", MetricUnit.Count, _react(event["organization_id"]))
        return {}
    if "Records" not in event:
        sent = queue.send({"shard": shard} for shard in range(keys.DUE_SHARDS))
        metrics.add_metric("ScheduledRuns", MetricUnit.Count, 1)
        return {"messages": sent}
    failures: list[dict[str, str]] = []
    reloads = 0
    for record in event["Records"]:
        try:
            reloads += _look(record, context)
        except Exception:
            # The process edge: this one comes again, the others of the batch do not.
            logger.exception("a wallet could not be looked after")
            crashes.count()
            failures.append({"itemIdentifier": record.get("messageId", "")})
    metrics.add_metric("WalletsReloaded", MetricUnit.Count, reloads)
    return {"batchItemFailures": failures}


def _look(record: dict[str, Any], context: LambdaContext) -> int:
    if "dynamodb" in record:
        # By the stream's mapping of the release before, which a deployment removes last.
        return _react(record["dynamodb"]["NewImage"]["org_id"]["S"])
    message = json.loads(record["body"])
    if "shard" in message:
        _send_due(message["shard"], message.get("after"), context)
        return 0
    # Off the table's stream, by publish_events: only the reload is wanted, and at once.
    act = reload_marked if message.get("crossed") else look_after
    return act(table, payments, message["organization_id"], clock.now(), terms)


def _react(org_id: str) -> int:
    return reload_marked(table, payments, org_id, clock.now(), terms)


def _send_due(shard: int, after: str | None, context: LambdaContext) -> None:
    for org_ids in batches(due_wallets(table, shard, clock.now(), after), TOGETHER):
        if context.get_remaining_time_in_millis() <= SPARE_MILLIS:
            queue.send([{"shard": shard, "after": after}])
            return
        queue.send({"organization_id": org_id} for org_id in org_ids)
        after = org_ids[-1]
