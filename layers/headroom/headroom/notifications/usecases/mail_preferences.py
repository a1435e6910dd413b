"""Which mail an organization wants: by topic, all of them at first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from headroom.core.domain.actor import Actor
from headroom.core.store.table import Table
from headroom.organizations.domain.audit import difference, organization_facts
from headroom.organizations.domain.mail_topics import TOPICS
from headroom.organizations.domain.organization import Organization
from headroom.organizations.usecases.minor_settings import Note, note_change

CHANGED: Final = "notifications.changed"


def change_preferences(
    table: Table, org_id: str, wanted: Mapping[str, bool], actor: Actor, now: datetime
) -> None:
    """Switch the mail of some topics on or off; the others stay as they are.

    Raises:
        Overloaded: others change the same organization; repeat it.
    """
    off = {topic for topic, is_wanted in wanted.items() if not is_wanted}

    def decide(old: Organization) -> Note | None:
        new = replace(old, muted=(old.muted - wanted.keys()) | off)
        if new == old:
            return None
        before, after = difference(organization_facts(old), organization_facts(new))
        return Note(CHANGED, org_id, before, after, new)

    note_change(table, org_id, decide, actor, now)


def preferences_to_wire(organization: Organization) -> dict[str, Any]:
    """Return an organization's preferences as the wire has them."""
    return {
        "type": "notifications",
        "language": organization.language,
        "mail": {topic: topic not in organization.muted for topic in TOPICS},
    }
