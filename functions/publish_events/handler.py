"""The table's stream of announcements and audited changes: passed on to the event bus."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from aws_lambda_powertools import Logger, single_metric
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from headroom.gateways.bus import Event, EventBridgeBus
from headroom.settings import BusSettings
from headroom.store.announcements import read_announcement

logger = Logger()
settings = BusSettings.from_env(os.environ)
bus = EventBridgeBus(settings.event_bus_name, settings.region)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Publish a batch. If it fails it is delivered again: listeners know an event by its id."""
    events = list(_events(event))
    bus.publish(events)
    _count(events)
    return {"batchItemFailures": []}


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
