"""Changes of settings, each in force when it returns.

First the settings are written, under a new version: every grant decided on the old ones fails
from then on. Then what was handed out under the old ones is recalled. A crash between the two
leaves a change that holds for every new grant; repeating the change finishes the recall.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

from headroom.domain.organization import Member, Organization
from headroom.errors import NotFound, Overloaded
from headroom.store.budgets import close_budget, find_budget
from headroom.store.organizations import (
    change_member,
    change_settings,
    find_member,
    find_organization,
    find_pool,
)
from headroom.store.table import Contended, Refused, Table
from headroom.usecases.recalling import recall, recall_member

ATTEMPTS_MAX: Final = 16


def set_cap(table: Table, org_id: str, cap_nanos: int | None, now: datetime) -> Organization:
    """Set the cap on the whole organization; None is unlimited.

    Raises:
        NotFound: there is no such organization.
        Overloaded: the change is written, but not yet in force everywhere; repeat it.
    """
    return change_organization(table, org_id, lambda old: replace(old, cap_nanos=cap_nanos), now)


def set_enabled(table: Table, org_id: str, enabled: bool, now: datetime) -> Organization:
    """Let extra usage begin, or end: holds in flight may settle, nothing new starts.

    Raises:
        NotFound: there is no such organization.
        Overloaded: the change is written, but not yet in force everywhere; repeat it.
    """
    return change_organization(table, org_id, lambda old: replace(old, enabled=enabled), now)


def change_organization(
    table: Table,
    org_id: str,
    change: Callable[[Organization], Organization],
    now: datetime,
) -> Organization:
    """Apply a change of settings and bring back what it no longer allows.

    Raises:
        NotFound: there is no such organization.
        Overloaded: the change could not be written, or not yet be enforced; repeat it.
    """
    for _ in range(ATTEMPTS_MAX):
        old = find_organization(table, org_id)
        if old is None:
            raise NotFound("organization: there is none with this id")
        new = change(old)
        if new != old:
            try:
                new = change_settings(table, old, new)
            except (Refused, Contended):
                continue
        _enforce(table, new, now)
        return new
    raise Overloaded("the settings are being changed by others; try again")


def change_person(
    table: Table,
    org_id: str,
    user_id: str,
    change: Callable[[Member], Member],
    now: datetime,
) -> Member:
    """Apply a change of one member and close what they were handed out under the old one.

    Raises:
        NotFound: there is no such member.
        Overloaded: the change could not be written, or not yet be enforced; repeat it.
    """
    for _ in range(ATTEMPTS_MAX):
        organization = find_organization(table, org_id)
        old = find_member(table, org_id, user_id)
        if organization is None or old is None:
            raise NotFound(f"user_id: the organization has no member {user_id}")
        new = change(old)
        try:
            if new != old:
                change_member(table, organization, old, new)
            close_budget(table, org_id, user_id)
            budget = find_budget(table, org_id, user_id)
            if budget is not None:
                recall_member(table, budget, now)
        except (Refused, Contended):
            continue
        return new
    raise Overloaded("the member is being changed by others; try again")


def _enforce(table: Table, organization: Organization, now: datetime) -> None:
    """Recall until nobody holds what the settings no longer allow.

    Grants fail while the pool owes or extra usage is off, so a round meets no new ones.
    """
    may_spend = organization.enabled and not organization.past_due
    for _ in range(ATTEMPTS_MAX):
        if may_spend and find_pool(table, organization.org_id).available >= 0:
            return
        try:
            if recall(table, organization.org_id, now, need=0 if may_spend else None) != "moved":
                return
        except Contended:
            continue
    raise Overloaded("the change is written, but not in force everywhere yet; repeat it")
