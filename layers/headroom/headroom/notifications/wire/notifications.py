"""Preferences for mail, and webhook endpoints, as clients send them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, cast

from headroom.core.errors import InvalidRequest
from headroom.core.wire.fields import (
    Fields,
    as_object,
    choice,
    flag,
    known_only,
    one_line,
    optional_text,
    text,
)
from headroom.notifications.domain.targets import URL_LENGTH_MAX, parse_target
from headroom.notifications.domain.webhooks import EVENT_TYPES, EndpointStatus
from headroom.notifications.usecases.webhook_endpoints import Wanted
from headroom.organizations.domain.mail_topics import TOPICS

ENDPOINT_ID: Final = re.compile(r"whe_[0-9a-f]{20}")
DELIVERY_ID: Final = re.compile(r"whd_[0-9a-v]{24}")
DESCRIPTION_LENGTH_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class EndpointChange:
    """What an owner changes about an endpoint: what is not named stays as it is."""

    changes: dict[str, Any]
    status: EndpointStatus | None


def parse_preferences(body: object) -> dict[str, bool]:
    """Read which topics are to be mailed; those that are not named stay as they are.

    Raises:
        InvalidRequest: there is none, or one that is unknown, or neither true nor false.
    """
    fields = as_object(body, "body")
    known_only(fields, frozenset({"mail"}))
    mail = as_object(fields.get("mail"), "mail")
    known_only(mail, frozenset(TOPICS), "mail.")
    if not mail:
        raise InvalidRequest("mail", f"must have some of {', '.join(TOPICS)}")
    return {topic: flag(mail, topic, "mail.") for topic in mail}


def parse_endpoint(body: object, *, loopback: bool) -> Wanted:
    """Read a webhook endpoint that is to be made.

    Raises:
        InvalidRequest: a member is missing, unknown or wrong; the error names it.
    """
    fields = as_object(body, "body")
    known_only(fields, frozenset({"url", "description", "event_types"}))
    return Wanted(
        url=_url(fields, loopback),
        description=_description(fields),
        event_types=_event_types(fields),
    )


def parse_endpoint_change(body: object, *, loopback: bool) -> EndpointChange:
    """Read what is to change about an endpoint; null takes a description or the filter away.

    Raises:
        InvalidRequest: a member is unknown or wrong, or there is none.
    """
    fields = as_object(body, "body")
    known_only(fields, frozenset({"url", "description", "event_types", "status"}))
    if not fields:
        raise InvalidRequest("body", "must have url, description, event_types or status")
    changes: dict[str, Any] = {}
    if "url" in fields:
        changes["url"] = _url(fields, loopback)
    if "description" in fields:
        changes["description"] = _description(fields)
    if "event_types" in fields:
        changes["event_types"] = _event_types(fields)
    status = None
    if "status" in fields:
        status = choice(fields, "status", ("enabled", "disabled"))
    return EndpointChange(changes, cast("EndpointStatus | None", status))


def _url(fields: Fields, loopback: bool) -> str:
    url = text(fields, "url", length_max=URL_LENGTH_MAX)
    parse_target(url, loopback=loopback)
    return url


def _description(fields: Fields) -> str | None:
    told = optional_text(fields, "description", length_max=DESCRIPTION_LENGTH_MAX)
    return None if told is None else one_line(told, "description")


def _event_types(fields: Fields) -> tuple[str, ...] | None:
    """Return the filter, None for all events."""
    wanted = fields.get("event_types")
    if wanted is None:
        return None
    if not isinstance(wanted, list) or not wanted:
        raise InvalidRequest("event_types", "must be a list of event types, or null for all")
    for event_type in wanted:
        if event_type not in EVENT_TYPES or type(event_type) is not str:
            raise InvalidRequest("event_types", f"may have some of {', '.join(EVENT_TYPES)}")
    return tuple(sorted(set(wanted)))
