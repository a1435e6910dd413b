"""Every day: the proof of every wallet, each by a message of its own, and of the processor's."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from headroom.clock import Clock
from headroom.gateways.queue import SqsQueue
from headroom.gateways.stripe import connect_payments
from headroom.settings import PaymentSettings, QueueSettings, Settings
from headroom.store.connect import connect
from headroom.usecases.reconciling import all_wallets, reconcile, reconcile_payments

# What is not done by then goes on in another message.
SPARE_MILLIS = 30_000
# By then an index has what was written before.
LOOK_AGAIN_SECONDS = 120

logger = Logger()
metrics = Metrics()
table = connect(Settings.from_env(os.environ))
clock = Clock.from_env(os.environ)
payments = connect_payments(PaymentSettings.from_env(os.environ), clock.ahead)
queue = SqsQueue(QueueSettings.from_env(os.environ))


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Prove what the messages of a batch say, or send a message for every wallet there is."""
    if "Records" not in event:
        return {"wallets": queue.send(_everything()) - 1}
    failures = []
    for record in event["Records"]:
        try:
            drifts = _prove(json.loads(record["body"]), context)
        except Exception:
            # The process edge: this one comes again, the others of the batch do not.
            logger.exception("a wallet could not be proved")
            failures.append({"itemIdentifier": record["messageId"]})
        else:
            metrics.add_metric("WalletDrift", MetricUnit.Count, drifts)
    return {"batchItemFailures": failures}


def _everything() -> Iterator[dict[str, Any]]:
    yield {"payments": True}
    for org_id in all_wallets(table):
        yield {"organization_id": org_id}


def _prove(message: dict[str, Any], context: LambdaContext) -> int:
    def may_go_on() -> bool:
        return context.get_remaining_time_in_millis() > SPARE_MILLIS

    now = clock.now()
    if "payments" in message:
        drifts = reconcile_payments(table, payments, now, may_go_on)
    else:
        org_id = message["organization_id"]
        proof = reconcile(
            table,
            payments,
            org_id,
            now,
            may_go_on,
            suspected=tuple(message.get("suspected", ())),
            after_user_id=message.get("after"),
        )
        drifts = proof.drifts
        if proof.suspects:
            again = {"organization_id": org_id, "suspected": proof.suspects}
            queue.send([again], delay_seconds=LOOK_AGAIN_SECONDS)
        if proof.goes_on_after is not None:
            queue.send([{"organization_id": org_id, "after": proof.goes_on_after}])
    for drift in drifts:
        logger.error("drift", org_id=drift.org_id, what=drift.what, subject=drift.subject)
    return len(drifts)
