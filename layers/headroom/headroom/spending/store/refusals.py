"""What members were refused lately, a sample of it, for operators to look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, cast

from pynamodb.attributes import JSONAttribute, UnicodeAttribute

from headroom.core.domain.instants import to_millis
from headroom.core.store import keys
from headroom.core.store.attributes import IntegerAttribute
from headroom.core.store.records import Record, wire_moment
from headroom.core.store.table import Range, Refused, Table, Update

REFUSAL_LASTS: Final = timedelta(days=7)


class RefusalRecord(Record):
    """One of the refusals that an organization's members met lately."""

    user_id = UnicodeAttribute()
    reason = UnicodeAttribute()
    scope = JSONAttribute()
    at = UnicodeAttribute()
    expires_at = IntegerAttribute()


@dataclass(frozen=True, slots=True)
class RefusalNote:
    """Who was refused what level of money, and when."""

    user_id: str
    reason: str
    scope: Mapping[str, Any]
    at: datetime


def write_refusal(table: Table, org_id: str, note: RefusalNote) -> None:
    """Keep a refusal for a week; writing it again changes nothing."""
    update = Update(
        keys.refusal(org_id, to_millis(note.at), note.user_id),
        [
            RefusalRecord.user_id.set(note.user_id),
            RefusalRecord.reason.set(note.reason),
            RefusalRecord.scope.set(dict(note.scope)),
            RefusalRecord.at.set(wire_moment(note.at)),
            RefusalRecord.expires_at.set(int((note.at + REFUSAL_LASTS).timestamp())),
        ],
        RefusalRecord.pk.does_not_exist(),
    )
    try:
        table.update(update)
    except Refused:
        return


def last_refusals(table: Table, org_id: str, *, limit: int) -> list[RefusalNote]:
    """Return the last refusals that were kept, the latest first."""
    page = table.query(Range(f"ORG#{org_id}#REFUSALS", descending=True), limit=limit)
    records = [RefusalRecord.of(item) for item in page.items]
    return [
        RefusalNote(
            record.user_id,
            record.reason,
            cast("dict[str, Any]", record.scope),
            datetime.fromisoformat(record.at),
        )
        for record in records
    ]
