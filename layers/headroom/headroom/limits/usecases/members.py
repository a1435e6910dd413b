"""Members: into the organization and out of it, their seat, their role, their own choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from headroom.core.domain.actor import Actor
from headroom.core.errors import Conflict, Forbidden, InvalidRequest, NotFound, Overloaded
from headroom.core.store.table import Change, Contended, Refused, Table
from headroom.limits.store.limits import LimitPlace, delete_limit
from headroom.limits.usecases.settings import Reason, change_person
from headroom.organizations.domain.organization import (
    LIMIT_PERIODS,
    Member,
    Organization,
    Role,
    SeatTier,
)
from headroom.organizations.domain.roles import Giver, check_role_change
from headroom.organizations.store.organizations import find_member, put_member

CHANGED: Final = "member.changed"


def add_member(
    table: Table, organization: Organization, member: Member, actor: Actor, now: datetime
) -> Member:
    """Let someone in, or back in; adding a member as they are changes nothing.

    Raises:
        Conflict: there is an active member with this id and other settings.
        Forbidden: the role is not the actor's to give.
    """
    if member.role == "primary_owner":
        raise InvalidRequest("role", "an organization has one primary owner")
    if member.limits:
        raise InvalidRequest("spend_limit", "is set by POST /v1/organizations/spend_limits")
    existing = find_member(table, organization.org_id, member.user_id)
    if existing is None or not existing.active:
        check_role_change(_giver(table, organization, actor), None, member.role)
    if existing is None:
        try:
            table.transact([put_member(replace(member, active=False))])
        except Refused:
            pass
        except Contended as error:
            raise Overloaded("others are on this member; try again") from error
    elif existing.active:
        if replace(existing, limits={}) != replace(member, limits={}):
            raise Conflict("user_id: there is a member with this id and other settings")
        # Perhaps by a run that was cut off before it closed what they held when they left.
        return change_person(table, organization.org_id, member.user_id, lambda old: old, now)

    def join(old: Member) -> Member:
        if old.active:
            # By somebody else meanwhile.
            if replace(old, limits={}) != member:
                raise Conflict("user_id: there is a member with this id and other settings")
            return old
        check_role_change(_giver(table, organization, actor), None, member.role)
        return member

    # Only this write makes them a member, with its audit entry.
    return change_person(
        table,
        organization.org_id,
        member.user_id,
        join,
        now,
        Reason(actor, "member.added"),
    )


def remove_member(
    table: Table, organization: Organization, user_id: str, actor: Actor, now: datetime
) -> Member:
    """Let someone go: nothing new starts, holds in flight may settle; repeating it is fine.

    Raises:
        NotFound: there never was such a member.
        Forbidden: they are the primary owner, or their role is not the actor's to take.
    """

    def leave(old: Member) -> Member:
        if old.role == "primary_owner":
            raise Forbidden("user_id: the primary owner cannot be removed")
        if old.active:
            giver = _giver(table, organization, actor)
            check_role_change(giver, old.role, None, field="user_id")
        return replace(old, active=False, limits={})

    def also() -> Sequence[Change]:
        # All there may be: one could have been set since the member was read.
        return [
            delete_limit(LimitPlace(organization.org_id, "user", user_id, period))
            for period in LIMIT_PERIODS
        ]

    return change_person(
        table,
        organization.org_id,
        user_id,
        leave,
        now,
        Reason(actor, "member.removed", also),
    )


def change_seat(
    table: Table,
    organization: Organization,
    user_id: str,
    actor: Actor,
    now: datetime,
    *,
    admitted: bool | None,
    seat_tier: SeatTier | None,
    role: Role | None,
) -> Member:
    """Change what owners decide about a member; None leaves a thing as it is.

    Raises:
        NotFound: the organization has no such member.
        Forbidden: the primary owner's role cannot be changed, nor given away here; or one of the
            roles is not the actor's to take or to give.
    """
    require_active(table, organization, user_id)

    def change(old: Member) -> Member:
        if role is not None and role != old.role and "primary_owner" in (role, old.role):
            raise Forbidden("role: the primary owner's role cannot be changed")
        if role is not None and role != old.role:
            check_role_change(_giver(table, organization, actor), old.role, role)
        return replace(
            old,
            admitted=old.admitted if admitted is None else admitted,
            seat_tier=seat_tier or old.seat_tier,
            role=role or old.role,
        )

    return change_person(table, organization.org_id, user_id, change, now, Reason(actor, CHANGED))


def choose_to_continue(
    table: Table, organization: Organization, user_id: str, continues: bool, now: datetime
) -> Member:
    """Record a member's own choice to go on with extra usage.

    Raises:
        NotFound: the organization has no such member.
    """
    return change_person(
        table,
        organization.org_id,
        user_id,
        lambda old: replace(old, continues=continues),
        now,
        Reason(Actor("user", user_id), CHANGED),
    )


def require_active(table: Table, organization: Organization, user_id: str) -> Member:
    """Return a current member.

    Raises:
        NotFound: the organization has no such member.
    """
    member = find_member(table, organization.org_id, user_id)
    if member is None or not member.active:
        raise NotFound(f"user_id: the organization has no member {user_id}")
    return member


def _giver(table: Table, organization: Organization, actor: Actor) -> Giver:
    """Return as what an actor gives and takes roles, read anew for each attempt.

    A change of any member makes a new version of the settings. So a change that is decided on this
    and written under the version read before it is written while its actor has this role.

    Raises:
        Forbidden: the actor has left.
    """
    if actor.type != "user":
        return None
    member = find_member(table, organization.org_id, actor.id)
    if member is None or not member.active:
        raise Forbidden("Authorization: you are not a member of the organization any more")
    return member.role


def member_to_wire(member: Member) -> dict[str, Any]:
    """Return a member as the wire has it."""
    return {
        "type": "member",
        "user_id": member.user_id,
        "name": member.name,
        "email": member.email,
        "role": member.role,
        "seat_tier": member.seat_tier,
        "extra_usage": member.admitted,
        "continue_with_extra_usage": member.continues,
    }
