"""What the table's stream has for others: announcements for the bus, wallets for their reload.

AWS lets two read a stream before it slows them down: `follow_spend`, which reads every change of a
budget, and this, which passes on all the rest. It decides nothing.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from aws_lambda_powertools import Logger, single_metric
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from headroom.core.gateways.bus import Event, EventBridgeBus
from headroom.core.gateways.queue import SqsQueue
from headroom.core.settings import BusSettings, QueueSettings
from headroom.core.store.announcements import read_announcement
from headroom.core.store.keys import owner_of_wallet

logger = Logger()
settings = BusSettings.from_env(os.environ)
bus = EventBridgeBus(settings.event_bus_name, settings.region)
queue = SqsQueue(QueueSettings.from_env(os.environ))


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Pass a batch on. If it fails it is delivered again: whoever is told knows a repeat."""
    # First: money waits for these, and neither the bus nor what it is told may be in the way.
    queue.send({"organization_id": org_id, "crossed": True} for org_id in _crossed(event))
    events = list(_events(event))
    bus.publish(events)
    _count(events)
    return {"batchItemFailures": []}


def _crossed(event: dict[str, Any]) -> list[str]:
    """Return whose wallets are marked as having reached their threshold, each once."""
    org_ids: dict[str, None] = {}
    for record in event["Records"]:
        image = record["dynamodb"].get("NewImage") or {}
        if image.get("crossed") == {"BOOL": True}:
            org_id = owner_of_wallet(image["pk"]["S"], image["sk"]["S"])
            if org_id is not None:
                org_ids[org_id] = None
    return list(org_ids)


def _events(event: dict[str, Any]) -> Iterator[Event]:
    for record in event["Records"]:
        image = record["dynamodb"].get("NewImage") or {}
        # What is written once is announced once; a later change of the item is not news.
        if record["eventName"] == "INSERT" and "detail_type" in image:
            detail_type, detail = read_announcement(image)
            yield Event(detail_type, detail)


def _count(events: Sequence[Event]) -> None:
    """Count what was told under each name, so that an alarm can listen for one of them."""
    for detail_type, told in Counter(event.detail_type for event in events).items():
        with single_metric("EventPublished", MetricUnit.Count, told) as metric:
            metric.add_dimension("detail_type", detail_type)
