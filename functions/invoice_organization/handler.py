"""The close of one organization's period: started by a message, done by a state machine's steps."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    process_partial_response,
)
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from headroom.billing.gateways.paper import Seller, customer_of, draw
from headroom.billing.settings import TermsSettings
from headroom.billing.usecases.collection import Collector, collect
from headroom.billing.usecases.document_files import publish
from headroom.billing.usecases.invoices import find_shown, write_invoice
from headroom.billing.usecases.period_close import (
    Shard,
    begin,
    seal,
    shards_to_wire,
    total_members,
    turn_members,
)
from headroom.core.clock import Clock
from headroom.core.gateways.executions import StateMachine
from headroom.core.gateways.files import S3Files
from headroom.core.settings import (
    DocumentSettings,
    MachineSettings,
    PaymentSettings,
    SellerSettings,
    Settings,
)
from headroom.core.store.connect import connect
from headroom.core.wire.crashes import Crashes
from headroom.core.wire.fields import as_object, parse_json, text, whole
from headroom.organizations.domain.organization import Organization
from headroom.payments.gateways.stripe import connect_payments

ID_LENGTH_MAX = 64
ATTEMPTS_MAX = 1_000_000

logger = Logger()
metrics = Metrics()
crashes = Crashes.from_env(os.environ)
table = connect(Settings.from_env(os.environ))
clock = Clock.from_env(os.environ)
documents = DocumentSettings.from_env(os.environ)
files = S3Files(documents.bucket, documents.region)
machine = MachineSettings.from_env(os.environ)
executions = StateMachine(machine.arn, machine.region)
terms = TermsSettings.from_env(os.environ).terms
seller = Seller.of(SellerSettings.from_env(os.environ))
payments = connect_payments(PaymentSettings.from_env(os.environ), clock.ahead)
collector = Collector(payments, terms)
processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)

Step = Callable[[Mapping[str, Any], datetime], dict[str, Any]]


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Start an execution for each message, or do one step of one."""
    if "Records" in event:
        return dict(
            process_partial_response(
                event=event, record_handler=take_message, processor=processor, context=context
            )
        )
    logger.append_keys(org_id=event["organization_id"], period=event["period"])
    return STEPS[event["step"]](event, clock.now())


def take_message(record: SQSRecord) -> None:
    """Start the close of a period: `{"organization_id", "period", "attempt"}`.

    Powertools passes the message under this very name.
    """
    try:
        _start(record)
    except Exception:
        # The processor reports the message and drops the reason.
        logger.exception("close not started", message_id=record.message_id)
        crashes.count()
        raise


def _start(record: SQSRecord) -> None:
    message = as_object(parse_json(record.body), "body")
    org_id = text(message, "organization_id", length_max=ID_LENGTH_MAX)
    period = text(message, "period", length_max=ID_LENGTH_MAX)
    attempt = whole(message, "attempt", least=1, most=ATTEMPTS_MAX)
    # Delivered twice, the message has one execution.
    executions.start(f"{org_id}-{period}-{attempt}", {"organization_id": org_id, "period": period})


def do_begin(event: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    shards = begin(table, event["organization_id"], event["period"], now)
    return {"shards": shards_to_wire(shards), "count": len(shards)}


def do_turn(event: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    wait = turn_members(table, event["organization_id"], event["period"], _shard(event), now)
    return {"open": wait is not None, "wait_seconds": int(wait.total_seconds()) if wait else 0}


def do_total(event: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    return total_members(table, files, event["organization_id"], event["period"], _shard(event))


def do_seal(event: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    closing = seal(table, files, event["organization_id"], event["period"], event["shards"], now)
    metrics.add_metric("PeriodsClosed", MetricUnit.Count, 1)
    return {"requests": closing.requests}


def do_invoice(event: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    invoice = write_invoice(table, event["organization_id"], event["period"], now, terms=terms)
    metrics.add_metric("InvoicesIssued", MetricUnit.Count, 1)
    return {"invoice_id": invoice.invoice_id}


def do_collect(event: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    invoice = find_shown(table, event["organization_id"], event["invoice_id"])
    return {"status": collect(table, collector, invoice, now).status}


def do_publish(event: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    invoice = find_shown(table, event["organization_id"], event["invoice_id"])
    return {"status": publish(table, files, draw_for, invoice, now, terms).status}


def draw_for(document: dict[str, Any], organization: Organization) -> bytes:
    return draw(document, seller, customer_of(organization))


STEPS: Mapping[str, Step] = {
    "begin": do_begin,
    "turn": do_turn,
    "total": do_total,
    "seal": do_seal,
    "invoice": do_invoice,
    "collect": do_collect,
    "publish": do_publish,
}


def _shard(event: Mapping[str, Any]) -> Shard:
    return Shard(**event["shard"])
