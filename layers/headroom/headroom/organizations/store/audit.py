"""The audit: one entry for each version of an organization's settings, in the same transaction."""

from __future__ import annotations

from typing import Any, cast

from pynamodb.attributes import JSONAttribute, UnicodeAttribute

from headroom.core.store import keys
from headroom.core.store.announcements import detail
from headroom.core.store.records import Record, wire_moment
from headroom.core.store.table import Item, Key, Page, Put, Range, Table
from headroom.organizations.domain.audit import Entry


class AuditRecord(Record):
    """A change of settings. With a `detail_type` the stream announces it on the event bus."""

    org_id = UnicodeAttribute()
    at = UnicodeAttribute()
    actor = JSONAttribute()
    action = UnicodeAttribute()
    subject = UnicodeAttribute()
    before = JSONAttribute()
    after = JSONAttribute()
    detail_type = UnicodeAttribute(null=True)
    detail = JSONAttribute(null=True)


def put_entry(entry: Entry, detail_type: str | None) -> Put:
    """Return the write of an audit entry, announced on the event bus if it has a detail type."""
    key = keys.audit(entry.org_id, entry.version)
    record = _record(key, entry)
    if detail_type is not None:
        record.detail_type = detail_type
        facts = {
            "actor": entry.actor.wire(),
            "subject": entry.subject,
            "before": dict(entry.before),
            "after": dict(entry.after),
        }
        record.detail = detail(entry.org_id, f"{entry.org_id}_{entry.version}", facts, entry.at)
    return Put(key, record.to_item(), AuditRecord.pk.does_not_exist())


def put_note(entry: Entry, name: str) -> Put:
    """Return the write of an entry that changes no settings: it lies behind its version's change.

    `name` is derived from what happened, so that it is noted once.
    """
    key = keys.audit_note(entry.org_id, entry.version, name)
    return Put(key, _record(key, entry).to_item(), AuditRecord.pk.does_not_exist())


def entries_of(org_id: str) -> Range:
    """Where an organization's audit entries lie, the latest first."""
    return Range(f"ORG#{org_id}#AUDIT", descending=True)


def list_entries(table: Table, org_id: str, *, limit: int, start: Item | None = None) -> Page:
    """Return a page of audit entries, the latest first."""
    return table.query(entries_of(org_id), limit=limit, start=start)


def entry_to_wire(item: Item) -> dict[str, Any]:
    """Return an audit entry as the wire has it."""
    record = AuditRecord.of(item)
    return {
        "type": "audit_entry",
        "id": f"aud_{record.sk.removeprefix('CHANGE#').replace('#', '_')}",
        "at": record.at,
        "actor": cast("dict[str, Any]", record.actor),
        "action": record.action,
        "subject": record.subject,
        "before": cast("dict[str, Any]", record.before),
        "after": cast("dict[str, Any]", record.after),
    }


def _record(key: Key, entry: Entry) -> AuditRecord:
    return AuditRecord(
        key.pk,
        key.sk,
        org_id=entry.org_id,
        at=wire_moment(entry.at),
        actor=entry.actor.wire(),
        action=entry.action,
        subject=entry.subject,
        before=dict(entry.before),
        after=dict(entry.after),
    )
