"""Usage events as they come over the wire, by the API or by the queue."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from headroom.core.errors import InvalidRequest
from headroom.core.wire.fields import (
    as_object,
    digest_of,
    known_only,
    moment,
    nests_within,
    optional_text,
    text,
)
from headroom.pricing.domain.prices import Unpriceable
from headroom.pricing.domain.usage import Usage, parse_usage
from headroom.spending.domain.authorization import USER_ID
from headroom.spending.usecases.usage_events import UsageEvent
from headroom.spending.wire.authorizations import MODEL_LENGTH_MAX, USER_ID_LENGTH_MAX

EVENTS_MAX: Final = 100
EVENT_ID: Final = re.compile(r"[!-~]+")
EVENT_ID_LENGTH_MAX: Final = 128
AUTHORIZATION_ID_LENGTH_MAX: Final = 128
PRODUCT_LENGTH_MAX: Final = 64
STOP_REASON_LENGTH_MAX: Final = 64
# What a client does not know about its usage is kept too, within reason: as many iterations as are
# priced need three quarters of it.
USAGE_LENGTH_MAX: Final = 96 * 1024
# What is longer is kept without a price, for as long as it fits: beside its digest and its names it
# lies twice in one item of at most 400 KB, and once in a message of at most 256 KB.
USAGE_KEPT_LENGTH_MAX: Final = 180 * 1024
USAGE_LEVELS_MAX: Final = 16

# A client's clock may run a little ahead of ours, and its outbox may have waited for a while.
AHEAD_MAX: Final = timedelta(minutes=5)
LATE_MAX: Final = timedelta(days=62)

_EVENT: Final = frozenset(
    {
        "id",
        "authorization_id",
        "user_id",
        "model",
        "product",
        "occurred_at",
        "usage",
        "stop_reason",
    }
)


def parse_batch(body: object) -> Sequence[object]:
    """Return the events of a batch, each still to be read by itself.

    Raises:
        InvalidRequest: there is no list of 1 to 100 events.
    """
    fields = as_object(body, "body")
    known_only(fields, frozenset({"events"}))
    events = fields.get("events")
    if not isinstance(events, list) or not 1 <= len(events) <= EVENTS_MAX:
        raise InvalidRequest("events", f"must be a list of 1 to {EVENTS_MAX} events")
    return events


def parse_event(raw: object, now: datetime) -> UsageEvent:
    """Read one usage event. One whose usage has no price says so as its `unpriced`.

    Raises:
        InvalidRequest: a member is missing or wrong; the error names it.
    """
    fields = as_object(raw, "event")
    event_id = text(fields, "id", length_max=EVENT_ID_LENGTH_MAX, pattern=EVENT_ID)
    known_only(fields, _EVENT)
    occurred_at = moment(fields, "occurred_at")
    if occurred_at > now + AHEAD_MAX:
        raise InvalidRequest("occurred_at", "lies in the future")
    if occurred_at < now - LATE_MAX:
        raise InvalidRequest("occurred_at", f"lies more than {LATE_MAX.days} days back")
    unpriced = None
    try:
        usage = parse_usage(fields.get("usage"))
    except Unpriceable as error:
        usage, unpriced = Usage(), error
    raw_usage = dict(as_object(fields.get("usage"), "usage"))
    if not nests_within(raw_usage, USAGE_LEVELS_MAX):
        raise InvalidRequest("usage", f"must nest at most {USAGE_LEVELS_MAX} levels")
    length = len(json.dumps(raw_usage))
    if length > USAGE_KEPT_LENGTH_MAX:
        raise InvalidRequest("usage", f"must be at most {USAGE_KEPT_LENGTH_MAX} characters of JSON")
    if length > USAGE_LENGTH_MAX and unpriced is None:
        problem = f"must be at most {USAGE_LENGTH_MAX} characters of JSON to have a price"
        usage, unpriced = Usage(), Unpriceable("usage", problem)
    return UsageEvent(
        event_id=event_id,
        user_id=text(fields, "user_id", length_max=USER_ID_LENGTH_MAX, pattern=USER_ID),
        authorization_id=optional_text(
            fields, "authorization_id", length_max=AUTHORIZATION_ID_LENGTH_MAX
        ),
        model=text(fields, "model", length_max=MODEL_LENGTH_MAX),
        product=optional_text(fields, "product", length_max=PRODUCT_LENGTH_MAX),
        occurred_at=occurred_at,
        usage=usage,
        raw_usage=raw_usage,
        digest=digest_of(fields),
        stop_reason=optional_text(fields, "stop_reason", length_max=STOP_REASON_LENGTH_MAX),
        as_sent=fields,
        unpriced=unpriced,
    )


def event_id_of(raw: object) -> str | None:
    """Return the id by which a client may tell a result, if the event has a fit one."""
    value = raw.get("id") if isinstance(raw, dict) else None
    return value[:EVENT_ID_LENGTH_MAX] if isinstance(value, str) else None
