"""A member's own view and choices: /v1/me."""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from headroom.core.clock import Clock
from headroom.core.domain.periods import parse_period as parse_month
from headroom.core.settings import IdentitySettings, Settings
from headroom.core.store.connect import connect
from headroom.core.wire.crashes import Crashes
from headroom.core.wire.fields import as_object, flag, known_only, optional_text
from headroom.core.wire.pages import list_answer, parse_page
from headroom.limits.usecases.increase_requests import (
    ENTROPY_BYTES,
    NOTE_LENGTH_MAX,
    request_increase,
    show,
)
from headroom.limits.usecases.members import choose_to_continue
from headroom.limits.wire.limits import parse_period
from headroom.organizations.gateways.identity import connect_identity
from headroom.organizations.usecases.authentication import Caller
from headroom.organizations.wire.routes import Api
from headroom.overview.usecases.overview import own_extra_usage
from headroom.spending.store.ledger import latest_lines_of, line_to_wire, lines_page

logger = Logger()
table = connect(Settings.from_env(os.environ))
clock = Clock.from_env(os.environ)
identity = connect_identity(IdentitySettings.from_env(os.environ))
api = Api(logger, table, clock, identity, Crashes.from_env(os.environ))


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request of API Gateway."""
    return api.resolve(event)


@api.route("GET", "/v1/me/extra_usage")
def get_own(caller: Caller, now: datetime) -> dict[str, Any]:
    return own_extra_usage(table, caller.organization, caller.subject, now)


@api.route("PUT", "/v1/me/extra_usage")
def put_own(caller: Caller, now: datetime) -> dict[str, Any]:
    body = as_object(api.request.json(), "body")
    known_only(body, frozenset({"continue_with_extra_usage"}))
    continues = flag(body, "continue_with_extra_usage")
    choose_to_continue(table, caller.organization, caller.subject, continues, now)
    return own_extra_usage(table, caller.organization, caller.subject, now)


@api.route("GET", "/v1/me/usage")
def get_own_usage(caller: Caller, now: datetime) -> dict[str, Any]:
    single = api.request.query(frozenset({"limit", "page", "period"}))
    own = own_extra_usage(table, caller.organization, caller.subject, now)
    period = parse_month(single.get("period") or own["period"], "period")
    page = parse_page(
        single,
        org_id=caller.org_id,
        route="usage",
        filters=[caller.subject, period],
        fits=latest_lines_of(caller.org_id, caller.subject, period).goes_on_behind,
    )
    found = lines_page(
        table, caller.org_id, caller.subject, period, limit=page.limit, start=page.start
    )
    return list_answer([line_to_wire(item) for item in found.items], page.cursor(found.next_key))


@api.route("POST", "/v1/me/spend_limit_increase_requests", once=True)
def post_request(caller: Caller, now: datetime) -> dict[str, Any]:
    body = as_object(api.request.json(), "body") if api.request.has_body else {}
    known_only(body, frozenset({"period", "note"}))
    keyed = api.keyed
    request = request_increase(
        table,
        caller.organization,
        caller.subject,
        parse_period(body),
        optional_text(body, "note", length_max=NOTE_LENGTH_MAX),
        keyed.begun_at if keyed else now,
        entropy=keyed.entropy(ENTROPY_BYTES) if keyed else os.urandom(ENTROPY_BYTES),
    )
    return show(table, caller.organization, request, now)
