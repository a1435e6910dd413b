"""Members ask for more; owners and admins approve or deny."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from headroom.core.domain.actor import Actor
from headroom.core.domain.instants import to_millis
from headroom.core.domain.money import format_limit
from headroom.core.errors import Conflict, Forbidden, InvalidRequest, NotFound, Overloaded
from headroom.core.store.announcements import put_announcement
from headroom.core.store.records import wire_moment
from headroom.core.store.table import Change, Contended, Refused, Table
from headroom.limits.store.increases import (
    IncreaseRequest,
    Status,
    create_request,
    find_request,
    resolve,
)
from headroom.limits.store.limits import LimitPlace, find_limit, put_limit
from headroom.limits.usecases.settings import Reason, change_person
from headroom.limits.usecases.spend_limits import (
    CHANGED,
    actor_to_wire,
    effective_rows,
    limit_to_wire,
    with_own_limit,
)
from headroom.organizations.domain.organization import LimitPeriod, Member, Organization
from headroom.organizations.store.credentials import find_key_names
from headroom.organizations.store.organizations import find_member
from headroom.spending.store.budgets import find_budget

ENTROPY_BYTES: Final = 6
NOTE_LENGTH_MAX: Final = 500
ATTEMPTS_MAX: Final = 4


def request_increase(
    table: Table,
    organization: Organization,
    user_id: str,
    period: LimitPeriod,
    note: str | None,
    now: datetime,
    *,
    entropy: bytes,
) -> IncreaseRequest:
    """File a member's request for a higher limit, and tell the event bus.

    Raises:
        InvalidRequest: the plan has no such requests.
        Conflict: one is pending already, or the owners take none.
    """
    if organization.plan != "enterprise":
        raise InvalidRequest("plan", "increase requests exist on Enterprise only")
    if not organization.requests_enabled:
        raise Conflict("requests: the owners have switched increase requests off")
    # The id begins with the time, so that requests sort as they were made.
    stamp = to_millis(now).to_bytes(6) + entropy
    request = IncreaseRequest(
        org_id=organization.org_id,
        request_id=f"slir_{base64.b32hexencode(stamp).decode().lower().rstrip('=')}",
        user_id=user_id,
        period=period,
        status="pending",
        created_at=wire_moment(now),
        note=note,
    )
    told = _announce(request, "increase_requested", {"period": period}, now)
    try:
        create_request(table, request, told, now)
    except Refused as refused:
        # By an attempt whose answer was lost, if it is this very one.
        made = find_request(table, organization.org_id, request.request_id)
        if made is not None and made.user_id == user_id:
            return made
        raise Conflict("request: one is pending already; wait for its answer") from refused
    except Contended as error:
        raise Overloaded("others are on this request; try again") from error
    return request


def approve(
    table: Table,
    organization: Organization,
    request_id: str,
    amount_nanos: int,
    period: LimitPeriod | None,
    actor: Actor,
    now: datetime,
    *,
    notify: bool,
) -> dict[str, Any]:
    """Write the requester's own limit and close the request, in one transaction.

    Approving again is fine: the limit of the first answer stays, and holds when this returns.

    Raises:
        NotFound: there is no such request, or the requester has left.
        InvalidRequest: the request was denied.
        Forbidden: it is the actor's own, who may not set limits otherwise.
    """
    request = _open(table, organization, request_id, "approved")
    if actor == Actor("user", request.user_id):
        asker = find_member(table, organization.org_id, request.user_id)
        if asker is None or asker.role not in ("owner", "primary_owner"):
            raise Forbidden("request_id: somebody else has to approve your own request")
    place = LimitPlace(organization.org_id, "user", request.user_id, period or request.period)

    def also() -> Sequence[Change]:
        pending = _open(table, organization, request_id, "approved")
        if pending.status != "pending":
            raise _AlreadyAnswered
        facts = {"period": place.period, "amount": format_limit(amount_nanos)}
        return [
            put_limit(place, amount_nanos, find_limit(table, place), now),
            *resolve(pending, "approved", actor, now),
            _announce(pending, "increase_approved", {**facts, "notify": notify}, now),
        ]

    def change(old: Member) -> Member:
        return with_own_limit(old, place.period, amount_nanos)

    try:
        if request.status != "pending":
            raise _AlreadyAnswered
        reason = Reason(actor, CHANGED, also, even_if_same=True)
        change_person(table, organization.org_id, request.user_id, change, now, reason)
    except _AlreadyAnswered:
        # By a run that was perhaps cut off before it took back what was handed out before.
        change_person(table, organization.org_id, request.user_id, lambda old: old, now)
    answer = show(table, organization, _open(table, organization, request_id, "approved"), now)
    row = find_limit(table, place)
    answer["spend_limit"] = limit_to_wire(organization, row) if row else None
    return answer


def deny(
    table: Table,
    organization: Organization,
    request_id: str,
    actor: Actor,
    now: datetime,
    *,
    notify: bool,
) -> dict[str, Any]:
    """Close a request without changing a limit; denying again is fine.

    Raises:
        NotFound: there is no such request.
        InvalidRequest: the request was approved.
    """
    for _ in range(ATTEMPTS_MAX):
        request = _open(table, organization, request_id, "denied")
        if request.status == "denied":
            return show(table, organization, request, now)
        told = _announce(request, "increase_denied", {"notify": notify}, now)
        try:
            table.transact([*resolve(request, "denied", actor, now), told])
        except (Refused, Contended):
            continue
    raise Overloaded("others are on this request; try again")


def show(
    table: Table, organization: Organization, request: IncreaseRequest, now: datetime
) -> dict[str, Any]:
    """Return a request as the wire has it, with what its member has spent."""
    member = find_member(table, organization.org_id, request.user_id)
    assert member is not None, "members are never erased"
    budget = find_budget(table, organization.org_id, request.user_id)
    resolved_by = None
    if request.resolved_by is not None:
        resolved_by = _actor_to_wire(table, organization, request.resolved_by)
    return {
        "type": "spend_limit_increase_request",
        "id": request.request_id,
        "actor": actor_to_wire(member),
        "period": request.period,
        "status": request.status,
        "created_at": request.created_at,
        "resolved_at": request.resolved_at,
        "resolved_by": resolved_by,
        "note": request.note,
        "spend_summary": effective_rows(organization, member, budget, [request.period], now)[0],
    }


class _AlreadyAnswered(Exception):
    """Somebody else closed the request at the same time, in the same way."""


def _open(
    table: Table, organization: Organization, request_id: str, wanted: Status
) -> IncreaseRequest:
    request = find_request(table, organization.org_id, request_id)
    if request is None:
        raise NotFound("request_id: there is no increase request with this id")
    if request.status not in ("pending", wanted):
        raise InvalidRequest("request_id", f"this request was {request.status} before")
    return request


def _announce(request: IncreaseRequest, what: str, facts: dict[str, Any], now: datetime) -> Change:
    told = {"request_id": request.request_id, "user_id": request.user_id, **facts}
    event_id = f"{request.request_id}_{what}"
    return put_announcement(request.org_id, event_id, f"spend_limit.{what}", told, now)


def _actor_to_wire(table: Table, organization: Organization, actor: Actor) -> dict[str, Any]:
    if actor.type == "user":
        member = find_member(table, organization.org_id, actor.id)
        if member is not None:
            return actor_to_wire(member)
    name = find_key_names(table, organization.org_id, [actor.id]).get(actor.id)
    return {
        "type": "scoped_api_key_actor",
        "scoped_api_key_id": actor.id,
        **({} if name is None else {"name": name}),
    }
