"""Everything that owners, admins and admin keys set and see: /v1/organizations."""

from __future__ import annotations

import os
import re
import time
from dataclasses import replace
from datetime import datetime
from typing import Any, cast

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from headroom.core.clock import Clock
from headroom.core.errors import InvalidRequest, NotFound, RateLimited
from headroom.core.settings import IdentitySettings, Settings
from headroom.core.store.connect import connect
from headroom.core.store.rates import count_call
from headroom.core.store.table import Range
from headroom.core.wire.crashes import Crashes
from headroom.core.wire.fields import (
    Fields,
    as_object,
    choice,
    flag,
    known_only,
    line,
    optional_flag,
)
from headroom.core.wire.http import Tagged
from headroom.core.wire.pages import PageRequest, list_answer, parse_page
from headroom.limits.store.increases import STATUSES, find_request, requests_of
from headroom.limits.store.limits import SCOPE_TYPES, LimitPlace, ScopeType, find_limit, limits_of
from headroom.limits.usecases.increase_requests import approve, deny, show
from headroom.limits.usecases.members import (
    add_member,
    change_seat,
    member_to_wire,
    remove_member,
)
from headroom.limits.usecases.pages import (
    current_page,
    effective_page,
    limits_page,
    requests_page,
    search_page,
)
from headroom.limits.usecases.pricing_terms import change_pricing
from headroom.limits.usecases.settings import Reason, change_organization, set_enabled
from headroom.limits.usecases.spend_limits import limit_to_wire, remove_override, set_limit
from headroom.limits.wire.limits import (
    REQUEST_ID,
    parse_filter,
    parse_period,
    parse_search,
    parse_set_limit,
    parse_user_ids,
    required_amount,
    required_limit,
)
from headroom.organizations.domain.organization import (
    LIMIT_PERIODS,
    ROLES,
    SEAT_TIERS,
    Admission,
    LimitPeriod,
    Organization,
    Role,
    SeatTier,
)
from headroom.organizations.domain.scopes import SCOPES
from headroom.organizations.gateways.identity import connect_identity
from headroom.organizations.store.audit import entries_of
from headroom.organizations.store.credentials import keys_of
from headroom.organizations.store.organizations import find_organization, members_of
from headroom.organizations.usecases.api_keys import create_key, key_to_wire, keys_page, revoke
from headroom.organizations.usecases.audit import audit_page
from headroom.organizations.usecases.authentication import Caller
from headroom.organizations.wire.rights import check_fields, check_scopes
from headroom.organizations.wire.routes import Api
from headroom.overview.usecases.overview import extra_usage
from headroom.pricing.price_book import PRICE_BOOK
from headroom.pricing.wire.pricing import parse_pricing, pricing_to_wire
from headroom.provisioning.wire.provisioning import parse_member
from headroom.spending.domain.authorization import USER_ID

CALLS_A_MINUTE = 60
KEY_NAME_LENGTH_MAX = 100
KEY_ID = re.compile(r"key_[0-9a-f]{20}")
PAGING = frozenset({"limit", "page"})
MEMBERS = "/v1/organizations/members"

pause = time.sleep

logger = Logger()
table = connect(Settings.from_env(os.environ))
clock = Clock.from_env(os.environ)
identity = connect_identity(IdentitySettings.from_env(os.environ))
api = Api(logger, table, clock, identity, Crashes.from_env(os.environ))


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request of API Gateway."""
    return api.resolve(event)


# The owner's settings.


@api.route("GET", "/v1/organizations/extra_usage")
def get_extra_usage(caller: Caller, now: datetime) -> Tagged:
    organization = _settings(caller)
    return Tagged(extra_usage(table, organization, now), organization.version)


@api.route("POST", "/v1/organizations/extra_usage/enable", once=True)
def enable(caller: Caller, now: datetime) -> dict[str, Any]:
    reason = Reason(caller.actor, "extra_usage.enabled")
    return extra_usage(table, set_enabled(table, caller.org_id, True, now, reason), now)


@api.route("POST", "/v1/organizations/extra_usage/disable", once=True)
def disable(caller: Caller, now: datetime) -> dict[str, Any]:
    reason = Reason(caller.actor, "extra_usage.disabled")
    return extra_usage(table, set_enabled(table, caller.org_id, False, now, reason), now)


@api.route("PUT", "/v1/organizations/extra_usage/members")
def put_admission(caller: Caller, now: datetime) -> dict[str, Any]:
    mode = cast("Admission", choice(_body("mode"), "mode", ("everyone", "selected")))
    changed = change_organization(
        table,
        caller.org_id,
        lambda old: replace(old, admission=mode, set_up=old.set_up | {"members"}),
        now,
        Reason(caller.actor, "extra_usage.members_changed"),
        # Whoever is not admitted any more may hold an allotment; all of them decide anew.
        touches=lambda budget: mode == "selected",
        seen=api.request.version_seen(),
    )
    return extra_usage(table, changed, now)


@api.route("PUT", "/v1/organizations/extra_usage/requests")
def put_requests(caller: Caller, now: datetime) -> dict[str, Any]:
    enabled = flag(_body("enabled"), "enabled")
    reason = Reason(caller.actor, "extra_usage.requests_changed")
    changed = change_organization(
        table,
        caller.org_id,
        lambda old: replace(old, requests_enabled=enabled),
        now,
        reason,
        seen=api.request.version_seen(),
    )
    return extra_usage(table, changed, now)


@api.route("PUT", "/v1/organizations/spend_limit")
def put_spend_limit(caller: Caller, now: datetime) -> dict[str, Any]:
    place = LimitPlace(caller.org_id, "organization", "", "monthly")
    return _set(caller, place, required_limit(_body("amount")), now)


@api.route("PUT", "/v1/organizations/seat_tiers/<seat_tier>/spend_limit")
def put_seat_tier_limit(caller: Caller, now: datetime, seat_tier: str) -> dict[str, Any]:
    if seat_tier not in SEAT_TIERS:
        raise NotFound("seat_tier: there is no such seat tier")
    body = _body("amount", "period")
    place = LimitPlace(caller.org_id, "seat_tier", seat_tier, parse_period(body))
    return _set(caller, place, required_limit(body), now)


@api.route("GET", "/v1/organizations/pricing")
def get_pricing(caller: Caller, now: datetime) -> Tagged:
    organization = _settings(caller)
    return Tagged(pricing_to_wire(organization.pricing), organization.version)


@api.route("PUT", "/v1/organizations/pricing")
def put_pricing(caller: Caller, now: datetime) -> dict[str, Any]:
    change = parse_pricing(api.request.json(), PRICE_BOOK)
    changed = change_pricing(
        table,
        caller.org_id,
        change.applied_to,
        now,
        Reason(caller.actor, "pricing.changed"),
        pause=pause,
        seen=api.request.version_seen(),
    )
    return pricing_to_wire(changed.pricing)


# Members and keys.


@api.route("GET", "/v1/organizations/members")
def get_members(caller: Caller, now: datetime) -> dict[str, Any]:
    wanted = parse_search(api.request.query(PAGING | {"user_ids", "search"}))
    user_ids = parse_user_ids(api.request.query_list("user_ids"), "user_ids")
    if wanted and user_ids:
        raise InvalidRequest("search", "cannot be combined with user_ids")
    filters = [user_ids, wanted] if user_ids or wanted else None
    page = _page(caller, members_of(caller.org_id), "members", filters, "user_ids", "search")
    if wanted:
        rows, last = search_page(table, caller.org_id, wanted, limit=page.limit, start=page.start)
    else:
        rows, last = current_page(
            table, caller.org_id, user_ids, limit=page.limit, start=page.start
        )
    return list_answer(rows, page.cursor(last))


@api.route("POST", "/v1/organizations/members", once=True)
def post_member(caller: Caller, now: datetime) -> dict[str, Any]:
    member = parse_member(api.request.json(), caller.org_id)
    if member.admitted:
        check_fields(caller, "POST", MEMBERS, ["extra_usage"])
    return member_to_wire(add_member(table, caller.organization, member, caller.actor, now))


@api.route("PUT", "/v1/organizations/members/<user_id>")
def put_member(caller: Caller, now: datetime, user_id: str) -> dict[str, Any]:
    body = _body("extra_usage", "seat_tier", "role")
    if not body:
        raise InvalidRequest("body", "must have extra_usage, seat_tier or role")
    check_fields(caller, "PUT", f"{MEMBERS}/<user_id>", body)
    member = change_seat(
        table,
        caller.organization,
        _known_form(user_id, USER_ID, "user_id"),
        caller.actor,
        now,
        admitted=flag(body, "extra_usage") if "extra_usage" in body else None,
        seat_tier=cast("SeatTier", choice(body, "seat_tier", SEAT_TIERS))
        if "seat_tier" in body
        else None,
        role=cast("Role", choice(body, "role", ROLES)) if "role" in body else None,
    )
    return member_to_wire(member)


@api.route("DELETE", "/v1/organizations/members/<user_id>")
def delete_member(caller: Caller, now: datetime, user_id: str) -> dict[str, Any]:
    user_id = _known_form(user_id, USER_ID, "user_id")
    remove_member(table, caller.organization, user_id, caller.actor, now)
    return {"type": "member_deleted", "user_id": user_id}


@api.route("GET", "/v1/organizations/api_keys")
def get_keys(caller: Caller, now: datetime) -> dict[str, Any]:
    page = _page(caller, keys_of(caller.org_id), "api_keys", None)
    found = keys_page(table, caller.org_id, limit=page.limit, start=page.start)
    return list_answer([key_to_wire(key) for key in found.keys], page.cursor(found.next_key))


@api.route("POST", "/v1/organizations/api_keys", once=True)
def post_key(caller: Caller, now: datetime) -> dict[str, Any]:
    body = _body("name", "scopes")
    scopes = body.get("scopes")
    if not isinstance(scopes, list) or not scopes or any(scope not in SCOPES for scope in scopes):
        raise InvalidRequest("scopes", f"must be a list of some of {', '.join(SCOPES)}")
    check_scopes(caller, scopes)
    name = line(body, "name", length_max=KEY_NAME_LENGTH_MAX)
    return create_key(table, caller.org_id, name, sorted(set(scopes)), now, api.keyed)


@api.route("DELETE", "/v1/organizations/api_keys/<key_id>")
def delete_key(caller: Caller, now: datetime, key_id: str) -> dict[str, Any]:
    return revoke(table, caller.org_id, _known_form(key_id, KEY_ID, "key_id"), now)


@api.route("GET", "/v1/organizations/audit")
def get_audit(caller: Caller, now: datetime) -> dict[str, Any]:
    page = _page(caller, entries_of(caller.org_id), "audit", None)
    rows, last = audit_page(table, caller.org_id, limit=page.limit, start=page.start)
    return list_answer(rows, page.cursor(last))


# The Spend Limits API.


@api.route("GET", "/v1/organizations/spend_limits")
def get_limits(caller: Caller, now: datetime) -> dict[str, Any]:
    _count(caller, now)
    types = parse_filter(api.request.query_list("scope_type"), "scope_type", SCOPE_TYPES)
    page = _page(caller, limits_of(caller.org_id), "spend_limits", types, "scope_type")
    rows, last = limits_page(
        table,
        _settings(caller),
        cast("list[ScopeType]", types),
        limit=page.limit,
        start=page.start,
    )
    return list_answer(rows, page.cursor(last))


@api.route("POST", "/v1/organizations/spend_limits", once=True)
def post_limit(caller: Caller, now: datetime) -> dict[str, Any]:
    _count(caller, now)
    place, amount = parse_set_limit(api.request.json(), caller.org_id)
    return _set(caller, place, amount, now)


@api.route("GET", "/v1/organizations/spend_limits/effective")
def get_effective(caller: Caller, now: datetime) -> Tagged:
    _count(caller, now)
    user_ids = parse_user_ids(api.request.query_list("user_ids"), "user_ids")
    periods = parse_filter(api.request.query_list("period"), "period", LIMIT_PERIODS)
    page = _page(
        caller, members_of(caller.org_id), "effective", [user_ids, periods], "user_ids", "period"
    )
    # Read before what it is the version of: at worst it says that something has changed.
    organization = _settings(caller)
    rows, last = effective_page(
        table,
        organization,
        user_ids,
        cast("list[LimitPeriod]", periods),
        now,
        limit=page.limit,
        start=page.start,
    )
    return Tagged(list_answer(rows, page.cursor(last)), organization.version)


@api.route("GET", "/v1/organizations/spend_limits/<spend_limit_id>")
def get_limit(caller: Caller, now: datetime, spend_limit_id: str) -> dict[str, Any]:
    _count(caller, now)
    row = find_limit(table, LimitPlace.parse(spend_limit_id, org_id=caller.org_id))
    if row is None:
        raise NotFound("spend_limit_id: there is no spend limit with this id")
    return limit_to_wire(_settings(caller), row)


@api.route("DELETE", "/v1/organizations/spend_limits/<spend_limit_id>")
def delete_limit(caller: Caller, now: datetime, spend_limit_id: str) -> dict[str, Any]:
    _count(caller, now)
    place = LimitPlace.parse(spend_limit_id, org_id=caller.org_id)
    remove_override(table, place, caller.actor, now, seen=api.request.version_seen())
    return {"type": "spend_limit_deleted", "id": spend_limit_id}


@api.route("GET", "/v1/organizations/spend_limit_increase_requests")
def get_requests(caller: Caller, now: datetime) -> dict[str, Any]:
    _count(caller, now)
    statuses = parse_filter(api.request.query_list("status"), "status", STATUSES)
    actor_ids = parse_user_ids(api.request.query_list("actor_ids"), "actor_ids")
    page = _page(
        caller, requests_of(caller.org_id), "requests", [statuses, actor_ids], "status", "actor_ids"
    )
    rows, last = requests_page(
        table,
        _settings(caller),
        statuses,
        actor_ids,
        now,
        limit=page.limit,
        start=page.start,
    )
    return list_answer(rows, page.cursor(last))


@api.route("GET", "/v1/organizations/spend_limit_increase_requests/<request_id>")
def get_request(caller: Caller, now: datetime, request_id: str) -> dict[str, Any]:
    _count(caller, now)
    request_id = _known_form(request_id, REQUEST_ID, "request_id")
    request = find_request(table, caller.org_id, request_id)
    if request is None:
        raise NotFound("request_id: there is no increase request with this id")
    return show(table, _settings(caller), request, now)


@api.route(
    "POST", "/v1/organizations/spend_limit_increase_requests/<request_id>/approve", once=True
)
def approve_request(caller: Caller, now: datetime, request_id: str) -> dict[str, Any]:
    _count(caller, now)
    body = _body("amount", "period", "suppress_notification")
    return approve(
        table,
        _settings(caller),
        _known_form(request_id, REQUEST_ID, "request_id"),
        required_amount(body),
        parse_period(body) if body.get("period") is not None else None,
        caller.actor,
        now,
        notify=not optional_flag(body, "suppress_notification"),
    )


@api.route("POST", "/v1/organizations/spend_limit_increase_requests/<request_id>/deny", once=True)
def deny_request(caller: Caller, now: datetime, request_id: str) -> dict[str, Any]:
    _count(caller, now)
    body = _body("suppress_notification") if api.request.has_body else {}
    return deny(
        table,
        _settings(caller),
        _known_form(request_id, REQUEST_ID, "request_id"),
        caller.actor,
        now,
        notify=not optional_flag(body, "suppress_notification"),
    )


def _set(caller: Caller, place: LimitPlace, amount: int | None, now: datetime) -> dict[str, Any]:
    organization, seen = _settings(caller), api.request.version_seen()
    row = set_limit(table, organization, place, amount, caller.actor, now, seen=seen)
    return limit_to_wire(organization, row)


def _settings(caller: Caller) -> Organization:
    """The settings as they are now: those that came with a key may be seconds old."""
    organization = find_organization(table, caller.org_id)
    if organization is None:
        raise NotFound("organization: there is none with this id")
    return organization


def _count(caller: Caller, now: datetime) -> None:
    if not count_call(table, caller.org_id, CALLS_A_MINUTE, now):
        raise RateLimited(
            f"more than {CALLS_A_MINUTE} requests in a minute; wait for the next",
            retry_after_seconds=60 - now.second,
        )


def _body(*known: str) -> Fields:
    body = as_object(api.request.json(), "body")
    known_only(body, frozenset(known))
    return body


def _page(caller: Caller, within: Range, route: str, filters: object, *names: str) -> PageRequest:
    single = api.request.query(PAGING | frozenset(names))
    return parse_page(
        single,
        org_id=caller.org_id,
        route=route,
        filters=filters,
        fits=within.goes_on_behind,
    )


def _known_form(value: str, pattern: re.Pattern[str], field: str) -> str:
    if not pattern.fullmatch(value):
        raise NotFound(f"{field}: there is nothing with this id")
    return value
