"""The audit as an organization reads it: its entries, and what the keys in them are called."""

from __future__ import annotations

from typing import Any

from headroom.core.store.table import Item, Table
from headroom.core.usecases.pages import Listed
from headroom.organizations.store.audit import entry_to_wire, list_entries
from headroom.organizations.store.credentials import find_key_names


def audit_page(table: Table, org_id: str, *, limit: int, start: Item | None) -> Listed:
    """Return a page of the audit, the latest first. A key that made a change bears its name."""
    found = list_entries(table, org_id, limit=limit, start=start)
    rows = [entry_to_wire(item) for item in found.items]
    names = find_key_names(
        table, org_id, [row["actor"]["id"] for row in rows if row["actor"]["type"] == "api_key"]
    )
    return [_named(row, names) for row in rows], found.next_key


def _named(row: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    actor = row["actor"]
    if actor["type"] != "api_key" or actor["id"] not in names:
        return row
    return {**row, "actor": {**actor, "name": names[actor["id"]]}}
