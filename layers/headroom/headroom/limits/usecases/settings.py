"""Changes of settings, each in force when it returns.

First the settings are written, under a new version and with their audit entry: every grant
decided on the old ones fails from then on. Then what was handed out under the old ones is
recalled. A crash between the two leaves a change that holds for every new grant; repeating the
change writes nothing more, and finishes the recall.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from headroom.core.domain.actor import SYSTEM, Actor
from headroom.core.errors import NotFound, Overloaded, Overtaken
from headroom.core.store.table import Change, Contended, Refused, Table
from headroom.organizations.domain.audit import (
    Action,
    Entry,
    Facts,
    difference,
    member_facts,
    organization_facts,
)
from headroom.organizations.domain.organization import Member, Organization
from headroom.organizations.domain.roles import raises_rights
from headroom.organizations.store.audit import put_entry
from headroom.organizations.store.organizations import (
    change_member,
    change_settings,
    find_member,
    find_organization,
    find_pool,
)
from headroom.spending.domain.budget import Budget
from headroom.spending.store.budgets import close_budget, find_budget
from headroom.spending.usecases.recall import recall, recall_member, recall_where
from headroom.wallets.usecases.cancelled_reloads import switch_writes

# Each of them waits for other transactions several times, and an answer is due in time.
ATTEMPTS_MAX: Final = 8

# So long others leave it to us to bring back what a cut leaves out. If we die, they do it then.
ENFORCING_TAKES_MAX: Final = timedelta(seconds=10)

# What a change is called in the audit, and whether the event bus hears of it under that name.
ANNOUNCED: Final = frozenset({"extra_usage.enabled", "extra_usage.disabled", "spend_limit.changed"})
# However somebody came to a role with more rights.
ROLE_RAISED: Final = "member.role_raised"


@dataclass(frozen=True, slots=True)
class Reason:
    """Who makes a change, what it is called, and what else is written with it.

    `also` returns writes for the same transaction; with `even_if_same` they are made although the
    setting is what it was. `told` adds facts that are not settings, before and after.
    """

    actor: Actor = SYSTEM
    action: Action = "settings.changed"
    also: Callable[[], Sequence[Change]] = lambda: ()
    even_if_same: bool = False
    told: Callable[[], tuple[Facts, Facts]] = lambda: ({}, {})


UNKNOWN: Final = Reason()


def set_cap(
    table: Table, org_id: str, cap_nanos: int | None, now: datetime, reason: Reason = UNKNOWN
) -> Organization:
    """Set the cap on the whole organization; None is unlimited.

    Raises:
        NotFound: there is no such organization.
        Overloaded: the change is written, but not yet in force everywhere; repeat it.
    """
    return change_organization(
        table, org_id, lambda old: replace(old, cap_nanos=cap_nanos), now, reason
    )


def set_enabled(
    table: Table, org_id: str, enabled: bool, now: datetime, reason: Reason = UNKNOWN
) -> Organization:
    """Let extra usage begin, or end: holds in flight may settle, nothing new starts or is reloaded.

    Raises:
        NotFound: there is no such organization.
        Overloaded: the change is written, but not yet in force everywhere; repeat it.
    """

    def also() -> list[Change]:
        return [*reason.also(), *switch_writes(table, org_id, enabled, now)]

    return change_organization(
        table, org_id, lambda old: replace(old, enabled=enabled), now, replace(reason, also=also)
    )


def change_organization(
    table: Table,
    org_id: str,
    change: Callable[[Organization], Organization],
    now: datetime,
    reason: Reason = UNKNOWN,
    *,
    touches: Callable[[Budget], bool] | None = None,
    seen: int | None = None,
) -> Organization:
    """Apply a change of settings and bring back what it no longer allows.

    `touches` tells whose allotments were decided on what changes; those members are recalled
    whatever the change is, so that repeating it after a crash finishes the work. `seen` is the
    version that the change was decided on, if it may hold for no other; what is so already is
    done, whoever did it.

    Raises:
        NotFound: there is no such organization.
        Overtaken: the settings have another version than `seen`.
        Overloaded: the change could not be written, or not yet be enforced; repeat it.
    """
    for _ in range(ATTEMPTS_MAX):
        old = find_organization(table, org_id)
        if old is None:
            raise NotFound("organization: there is none with this id")
        new = change(old)
        if new != old or reason.even_if_same:
            if seen not in (None, old.version):
                raise Overtaken
            entry = _entry(
                old, org_id, now, reason, organization_facts(old), organization_facts(new)
            )
            try:
                new = change_settings(
                    table, old, new, entry, enforced_until=now + ENFORCING_TAKES_MAX
                )
            except (Refused, Contended):
                continue
        _enforce(table, new, now, touches)
        return new
    raise Overloaded("the settings are being changed by others; try again")


def change_person(
    table: Table,
    org_id: str,
    user_id: str,
    change: Callable[[Member], Member],
    now: datetime,
    reason: Reason = UNKNOWN,
    *,
    seen: int | None = None,
) -> Member:
    """Apply a change of one member and close what they were handed out under the old one.

    `seen` is the version of the settings that it was decided on, as for an organization's.

    Raises:
        NotFound: there is no such member.
        Overtaken: the settings have another version than `seen`.
        Overloaded: the change could not be written, or not yet be enforced; repeat it.
    """
    for _ in range(ATTEMPTS_MAX):
        organization = find_organization(table, org_id)
        old = find_member(table, org_id, user_id)
        if organization is None or old is None:
            raise NotFound(f"user_id: the organization has no member {user_id}")
        new = change(old)
        entry = _entry(organization, user_id, now, reason, member_facts(old), member_facts(new))
        try:
            if new != old or reason.even_if_same:
                if seen not in (None, organization.version):
                    raise Overtaken
                change_member(table, organization, old, new, entry)
            close_budget(table, org_id, user_id)
            budget = find_budget(table, org_id, user_id)
            if budget is not None:
                recall_member(table, budget, now)
        except (Refused, Contended):
            continue
        return new
    raise Overloaded("the member is being changed by others; try again")


def _entry(
    organization: Organization,
    subject: str,
    now: datetime,
    reason: Reason,
    before: Facts,
    after: Facts,
) -> list[Change]:
    """Return the audit entry of a change, and what else its reason writes."""
    version = organization.version + 1
    writes = reason.also()
    told_before, told_after = reason.told()
    was, now_is = difference({**before, **told_before}, {**after, **told_after})
    entry = Entry(
        organization.org_id, version, now, reason.actor, reason.action, subject, was, now_is
    )
    detail_type: str | None = reason.action if reason.action in ANNOUNCED else None
    if raises_rights(was.get("role"), now_is.get("role")):
        detail_type = ROLE_RAISED
    return [put_entry(entry, detail_type), *writes]


def _enforce(
    table: Table,
    organization: Organization,
    now: datetime,
    touches: Callable[[Budget], bool] | None,
) -> None:
    """Recall until nobody holds what the settings no longer allow.

    Grants fail while the pool owes or extra usage is off, so a round meets no new ones.
    """
    may_spend = organization.enabled and not organization.past_due
    for _ in range(ATTEMPTS_MAX):
        try:
            if touches is not None:
                recall_where(table, organization.org_id, touches, now)
                touches = None
            if may_spend and find_pool(table, organization.org_id).available >= 0:
                return
            if recall(table, organization.org_id, now, need=0 if may_spend else None) != "moved":
                return
        except Contended:
            continue
    raise Overloaded("the change is written, but not in force everywhere yet; repeat it")
