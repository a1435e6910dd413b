"""Changes on which no allotment depends: a version of their own, audited, nothing recalled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from headroom.core.domain.actor import Actor
from headroom.core.errors import NotFound, Overloaded
from headroom.core.store.table import Change, Contended, Refused, Table
from headroom.organizations.domain.audit import Action, Entry, Facts
from headroom.organizations.domain.organization import Organization
from headroom.organizations.store.audit import put_entry
from headroom.organizations.store.organizations import change_settings, find_organization

ATTEMPTS_MAX: Final = 8


@dataclass(frozen=True, slots=True)
class Note:
    """A change as the audit shows it, and what it writes; `settings` are those after it."""

    action: Action
    subject: str
    before: Facts
    after: Facts
    settings: Organization
    also: Sequence[Change] = ()


def note_change(
    table: Table,
    org_id: str,
    decide: Callable[[Organization], Note | None],
    actor: Actor,
    now: datetime,
) -> None:
    """Write a change and its audit entry in one transaction.

    `decide` is given the settings as they are, once for each attempt, and returns None when there
    is nothing to change. Changes of one organization are serial: what `decide` has read of what
    other such changes write still holds when its own is written.

    Raises:
        NotFound: there is no such organization.
        Overloaded: others change the same organization all the time; repeat it.
    """
    for _ in range(ATTEMPTS_MAX):
        organization = find_organization(table, org_id)
        if organization is None:
            raise NotFound("organization: there is none with this id")
        note = decide(organization)
        if note is None:
            return
        version = organization.version + 1
        entry = Entry(
            org_id, version, now, actor, note.action, note.subject, note.before, note.after
        )
        try:
            change_settings(
                table, organization, note.settings, [put_entry(entry, None), *note.also]
            )
        except (Refused, Contended):
            continue
        return
    raise Overloaded("the settings are being changed by others; try again")
