"""Which mail an organization wants, and where its webhooks go."""

from __future__ import annotations

import os
import re
from datetime import datetime
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from headroom.core.clock import Clock
from headroom.core.errors import NotFound
from headroom.core.gateways.queue import SqsQueue
from headroom.core.settings import IdentitySettings, QueueSettings, Settings, WebhookSettings
from headroom.core.store.connect import connect
from headroom.core.wire.crashes import Crashes
from headroom.core.wire.fields import as_object, known_only
from headroom.core.wire.pages import list_answer, parse_page
from headroom.limits.wire.limits import parse_filter
from headroom.notifications.domain.webhooks import DELIVERY_STATUSES
from headroom.notifications.gateways.webhook_key import read_key_of
from headroom.notifications.store.deliveries import deliveries_of
from headroom.notifications.store.endpoints import list_endpoints
from headroom.notifications.usecases.mail_preferences import change_preferences, preferences_to_wire
from headroom.notifications.usecases.webhook_endpoints import (
    alter_endpoint,
    create_endpoint,
    deliveries_page,
    delivery_to_wire,
    endpoint_to_wire,
    redeliver,
    remove_endpoint,
    require_endpoint,
    rotate_secret,
    try_endpoint,
)
from headroom.notifications.wire.notifications import (
    DELIVERY_ID,
    ENDPOINT_ID,
    parse_endpoint,
    parse_endpoint_change,
    parse_preferences,
)
from headroom.organizations.domain.organization import Organization
from headroom.organizations.gateways.identity import connect_identity
from headroom.organizations.store.organizations import find_organization
from headroom.organizations.usecases.authentication import Caller
from headroom.organizations.wire.routes import Api

PAGING = frozenset({"limit", "page"})

logger = Logger()
settings = WebhookSettings.from_env(os.environ)
table = connect(Settings.from_env(os.environ))
clock = Clock.from_env(os.environ)
queue = SqsQueue(QueueSettings.from_env(os.environ))
read_key = read_key_of(settings.key_arn)
identity = connect_identity(IdentitySettings.from_env(os.environ))
api = Api(logger, table, clock, identity, Crashes.from_env(os.environ))


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request of API Gateway."""
    return api.resolve(event)


@api.route("GET", "/v1/organizations/notifications")
def get_notifications(caller: Caller, now: datetime) -> dict[str, Any]:
    return preferences_to_wire(_settings(caller))


@api.route("PUT", "/v1/organizations/notifications")
def put_notifications(caller: Caller, now: datetime) -> dict[str, Any]:
    wanted = parse_preferences(api.request.json())
    change_preferences(table, caller.org_id, wanted, caller.actor, now)
    return preferences_to_wire(_settings(caller))


@api.route("GET", "/v1/organizations/webhook_endpoints")
def get_webhook_endpoints(caller: Caller, now: datetime) -> dict[str, Any]:
    rows = [endpoint_to_wire(endpoint, now) for endpoint in list_endpoints(table, caller.org_id)]
    return list_answer(rows, None)


@api.route("POST", "/v1/organizations/webhook_endpoints", once=True)
def post_webhook_endpoint(caller: Caller, now: datetime) -> dict[str, Any]:
    return create_endpoint(
        table,
        read_key,
        caller.org_id,
        parse_endpoint(api.request.json(), loopback=settings.loopback),
        caller.actor,
        now,
        api.keyed,
    )


@api.route("GET", "/v1/organizations/webhook_endpoints/<endpoint_id>")
def get_webhook_endpoint(caller: Caller, now: datetime, endpoint_id: str) -> dict[str, Any]:
    endpoint_id = _known_form(endpoint_id, ENDPOINT_ID, "endpoint_id")
    return endpoint_to_wire(require_endpoint(table, caller.org_id, endpoint_id), now)


@api.route("PUT", "/v1/organizations/webhook_endpoints/<endpoint_id>")
def put_webhook_endpoint(caller: Caller, now: datetime, endpoint_id: str) -> dict[str, Any]:
    wanted = parse_endpoint_change(api.request.json(), loopback=settings.loopback)
    changed = alter_endpoint(
        table,
        caller.org_id,
        _known_form(endpoint_id, ENDPOINT_ID, "endpoint_id"),
        caller.actor,
        now,
        changes=wanted.changes,
        status=wanted.status,
    )
    return endpoint_to_wire(changed, now)


@api.route("DELETE", "/v1/organizations/webhook_endpoints/<endpoint_id>")
def delete_webhook_endpoint(caller: Caller, now: datetime, endpoint_id: str) -> dict[str, Any]:
    endpoint_id = _known_form(endpoint_id, ENDPOINT_ID, "endpoint_id")
    remove_endpoint(table, caller.org_id, endpoint_id, caller.actor, now)
    return {"type": "webhook_endpoint_deleted", "id": endpoint_id}


@api.route("POST", "/v1/organizations/webhook_endpoints/<endpoint_id>/rotate", once=True)
def rotate_webhook_secret(caller: Caller, now: datetime, endpoint_id: str) -> dict[str, Any]:
    _no_body()
    return rotate_secret(
        table,
        read_key,
        caller.org_id,
        _known_form(endpoint_id, ENDPOINT_ID, "endpoint_id"),
        caller.actor,
        now,
        api.keyed,
    )


@api.route("POST", "/v1/organizations/webhook_endpoints/<endpoint_id>/test", once=True)
def test_webhook_endpoint(caller: Caller, now: datetime, endpoint_id: str) -> dict[str, Any]:
    _no_body()
    delivery = try_endpoint(
        table,
        queue,
        caller.org_id,
        _known_form(endpoint_id, ENDPOINT_ID, "endpoint_id"),
        now,
        api.keyed,
    )
    return delivery_to_wire(delivery)


@api.route("GET", "/v1/organizations/webhook_deliveries")
def get_webhook_deliveries(caller: Caller, now: datetime) -> dict[str, Any]:
    single = api.request.query(PAGING | {"endpoint_ids", "status"})
    endpoint_ids = sorted(set(api.request.query_list("endpoint_ids")))
    statuses = parse_filter(api.request.query_list("status"), "status", DELIVERY_STATUSES)
    page = parse_page(
        single,
        org_id=caller.org_id,
        route="webhook_deliveries",
        filters=[endpoint_ids, statuses],
        fits=deliveries_of(caller.org_id).goes_on_behind,
    )
    rows, last = deliveries_page(
        table, caller.org_id, endpoint_ids, statuses, limit=page.limit, start=page.start
    )
    return list_answer(rows, page.cursor(last))


@api.route("POST", "/v1/organizations/webhook_deliveries/<delivery_id>/redeliver", once=True)
def redeliver_webhook(caller: Caller, now: datetime, delivery_id: str) -> dict[str, Any]:
    _no_body()
    delivery_id = _known_form(delivery_id, DELIVERY_ID, "delivery_id")
    return delivery_to_wire(redeliver(table, queue, caller.org_id, delivery_id, now))


def _no_body() -> None:
    if api.request.has_body:
        known_only(as_object(api.request.json(), "body"), frozenset())


def _known_form(value: str, pattern: re.Pattern[str], field: str) -> str:
    if not pattern.fullmatch(value):
        raise NotFound(f"{field}: there is nothing with this id")
    return value


def _settings(caller: Caller) -> Organization:
    """The settings as they are now: those that came with a key may be seconds old."""
    organization = find_organization(table, caller.org_id)
    if organization is None:
        raise NotFound("organization: there is none with this id")
    return organization
