"""Every day: the proof of every wallet, each by messages of its own, and of the processor's.

The schedule sends a message for each shard of wallets and one for the processor. Whatever is not
done in time goes on by another message, from where it was.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
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
from headroom.payments.usecases.reconciliation import (
    Proof,
    reconcile_lines,
    reconcile_payments,
    reconcile_pool,
    reconcile_wallet,
    wallets_of,
)
from headroom.spending.usecases.recall import batches

# What is not done by then goes on in another message.
SPARE_MILLIS = 30_000
# By then an index has what was written before.
LOOK_AGAIN_SECONDS = 120
# A pool that moves too fast to be proved is looked at again so often, until it is day again.
POOL_AGAIN_SECONDS = 900
POOL_LOOKS_MAX = 80
# What is sent before time is looked at again.
TOGETHER = 500

logger = Logger()
metrics = Metrics()
crashes = Crashes.from_env(os.environ)
table = connect(Settings.from_env(os.environ))
clock = Clock.from_env(os.environ)
payments = connect_payments(PaymentSettings.from_env(os.environ), clock.ahead)
queue = SqsQueue(QueueSettings.from_env(os.environ))


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Prove what the messages of a batch say, or send those with which it begins."""
    if "Records" not in event:
        sent = queue.send(_everything())
        metrics.add_metric("ScheduledRuns", MetricUnit.Count, 1)
        return {"messages": sent}
    failures = []
    for record in event["Records"]:
        try:
            drifts = _prove(json.loads(record["body"]), context)
        except Exception:
            # The process edge: this one comes again, the others of the batch do not.
            logger.exception("a wallet could not be proved")
            crashes.count()
            failures.append({"itemIdentifier": record["messageId"]})
        else:
            metrics.add_metric("WalletDrift", MetricUnit.Count, drifts)
    return {"batchItemFailures": failures}


def _everything() -> Iterator[dict[str, Any]]:
    yield {"payments": True}
    for shard in range(keys.DUE_SHARDS):
        yield {"shard": shard}


def _prove(message: dict[str, Any], context: LambdaContext) -> int:
    def may_go_on() -> bool:
        return context.get_remaining_time_in_millis() > SPARE_MILLIS

    if "shard" in message:
        _send_wallets(message["shard"], message.get("after"), may_go_on)
        return 0
    now, after = clock.now(), message.get("after")
    if "payments" in message:
        proof = reconcile_payments(table, payments, now, may_go_on, after=after)
    elif "suspected" in message or after is not None:
        proof = reconcile_lines(
            table,
            message["organization_id"],
            now,
            may_go_on,
            suspected=tuple(message.get("suspected", ())),
            after_user_id=after or "",
        )
    elif "looks" in message:
        proof = reconcile_pool(table, message["organization_id"], now, may_go_on)
    else:
        proof = reconcile_wallet(table, payments, message["organization_id"], now, may_go_on)
    _go_on(message, proof)
    for drift in proof.drifts:
        logger.error("drift", org_id=drift.org_id, what=drift.what, subject=drift.subject)
    return len(proof.drifts)


def _send_wallets(shard: int, after: str | None, may_go_on: Callable[[], bool]) -> None:
    for org_ids in batches(wallets_of(table, shard, after), TOGETHER):
        if not may_go_on():
            queue.send([{"shard": shard, "after": after}])
            return
        queue.send({"organization_id": org_id} for org_id in org_ids)
        # What was said is proved apart from what was paid: neither waits for the other.
        queue.send({"organization_id": org_id, "after": ""} for org_id in org_ids)
        after = org_ids[-1]


def _go_on(message: dict[str, Any], proof: Proof) -> None:
    if proof.suspects:
        again = {"organization_id": message["organization_id"], "suspected": proof.suspects}
        queue.send([again], delay_seconds=LOOK_AGAIN_SECONDS)
    if proof.goes_on_after is not None:
        queue.send([{**message, "after": proof.goes_on_after}])
    if proof.is_moving:
        looks = message.get("looks", 0) + 1
        if looks > POOL_LOOKS_MAX:
            metrics.add_metric("PoolUnproved", MetricUnit.Count, 1)
            logger.warning("pool was never still", org_id=message["organization_id"])
            return
        again = {"organization_id": message["organization_id"], "looks": looks}
        queue.send([again], delay_seconds=POOL_AGAIN_SECONDS)
