"""Usage events, by the API and by the queue: the same schema, the same use case."""

from __future__ import annotations

import os
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

from headroom.core.clock import Clock
from headroom.core.errors import HeadroomError, InvalidRequest, NotFound
from headroom.core.settings import IdentitySettings, ReloadSettings, Settings
from headroom.core.store.connect import connect
from headroom.core.wire.crashes import Crashes
from headroom.core.wire.fields import as_object, parse_json, text
from headroom.organizations.domain.organization import Organization
from headroom.organizations.gateways.identity import connect_identity
from headroom.organizations.store.organizations import find_organization
from headroom.organizations.usecases.authentication import Caller
from headroom.organizations.wire.routes import Api
from headroom.spending.store.unpriced import UNPRICED
from headroom.spending.usecases.grants import Hints
from headroom.spending.usecases.usage_events import record, rejected
from headroom.spending.wire.usage_events import event_id_of, parse_batch, parse_event
from headroom.wallets.gateways.reloads import LambdaReloads

ORGANIZATION_ID_LENGTH_MAX = 64

logger = Logger()
metrics = Metrics()
table = connect(Settings.from_env(os.environ))
clock = Clock.from_env(os.environ)
hints = Hints()
reloads = LambdaReloads(ReloadSettings.from_env(os.environ), logger.warning)
crashes = Crashes.from_env(os.environ)
identity = connect_identity(IdentitySettings.from_env(os.environ))
api = Api(logger, table, clock, identity, crashes)
# One message that fails must not hold up the others, and its failure is no failure of ours.
processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)


class NotRecorded(Exception):
    """A message whose events cannot all be recorded: it is delivered again, and parked at last."""


@api.route("POST", "/v1/usage/events", once=True)
def post_usage_events(caller: Caller, now: datetime) -> dict[str, Any]:
    events = parse_batch(api.request.json())
    results = [_record(caller.organization, event, now) for event in events]
    return {"type": "usage_events", "results": results}


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request of API Gateway, or take a batch of messages from the queue."""
    if "Records" in event:
        return dict(
            process_partial_response(
                event=event, record_handler=take_message, processor=processor, context=context
            )
        )
    return api.resolve(event)


def take_message(record: SQSRecord) -> None:
    """Record the events of one message: `{"organization_id": "org_…", "events": […]}`.

    Powertools passes the message under this very name.

    Raises:
        HeadroomError: the message cannot be read, or the store cannot answer.
        NotRecorded: some events were rejected; the message goes to the dead letters in the end.
    """
    try:
        results = _record_all(record.body)
    except HeadroomError as error:
        # The processor reports the message and drops the reason.
        logger.error("message not taken", message_id=record.message_id, error=str(error))
        raise
    except Exception:
        logger.exception("unexpected failure", message_id=record.message_id)
        crashes.count()
        raise
    if errors := [result["error"] for result in results if result["status"] == "rejected"]:
        logger.error("usage events rejected", message_id=record.message_id, errors=errors)
        raise NotRecorded(f"{len(errors)} of {len(results)} events were rejected")


def _record_all(body: str) -> list[dict[str, Any]]:
    now = clock.now()
    fields = dict(as_object(parse_json(body), "body"))
    org_id = text(fields, "organization_id", length_max=ORGANIZATION_ID_LENGTH_MAX)
    del fields["organization_id"]
    organization = find_organization(table, org_id)
    if organization is None:
        raise NotFound("organization_id: there is no such organization")
    return [_record(organization, event, now) for event in parse_batch(fields)]


def _record(organization: Organization, raw: object, now: datetime) -> dict[str, Any]:
    try:
        event = parse_event(raw, now)
    except InvalidRequest as error:
        result = rejected(event_id_of(raw), error)
    else:
        result = record(table, hints, organization, event, now, ask_reload=reloads.ask)
    metrics.add_metric(f"UsageEvent{result['status'].title()}", MetricUnit.Count, 1)
    if (result["status"], result.get("source")) == ("recorded", UNPRICED):
        metrics.add_metric("UsageUnpriced", MetricUnit.Count, 1)
    return result
