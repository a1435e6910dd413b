"""API keys by the hash of their secret."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pynamodb.attributes import ListAttribute, UnicodeAttribute

from headroom.core.store import keys
from headroom.core.store.records import Record, wire_moment
from headroom.core.store.table import READ_TOGETHER, Item, Put, Range, Refused, Table, Update


class KeyRecord(Record):
    """An API key: the hash of its secret is its place, the secret itself is nowhere."""

    org_id = UnicodeAttribute()
    key_id = UnicodeAttribute()
    name = UnicodeAttribute()
    scopes: ListAttribute[Any] = ListAttribute()
    hint = UnicodeAttribute()
    digest = UnicodeAttribute()
    created_at = UnicodeAttribute()
    revoked_at = UnicodeAttribute(null=True)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key of an organization; `hint` is the end of its secret, for people to tell it by."""

    org_id: str
    key_id: str
    name: str
    scopes: tuple[str, ...]
    hint: str
    digest: str
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class KeyPage:
    """A stretch of an organization's keys, and where the next begins (None at the end)."""

    keys: tuple[ApiKey, ...]
    next_key: Item | None


def find_key(table: Table, digest: str) -> ApiKey | None:
    """Return the key whose secret has this hash, None if there is none."""
    item = table.get(keys.api_key(digest))
    if item is None:
        return None
    return _read(item)


def put_key(key: ApiKey, now: datetime) -> tuple[Put, Put]:
    """Return the writes of a new key: one to find it by, one for its organization's list."""
    return (
        Put(
            keys.api_key(key.digest),
            _record(key, now).to_item(),
            KeyRecord.pk.does_not_exist(),
        ),
        Put(keys.organization_key(key.org_id, key.key_id), _record(key, now).to_item()),
    )


def keys_of(org_id: str) -> Range:
    """Where an organization's keys lie."""
    return Range(f"ORG#{org_id}", prefix="KEY#")


def list_keys(table: Table, org_id: str, *, limit: int, start: Item | None) -> KeyPage:
    """Return a page of an organization's keys."""
    page = table.query(keys_of(org_id), limit=limit, start=start)
    return KeyPage(tuple(_read(item) for item in page.items), page.next_key)


def find_key_names(table: Table, org_id: str, key_ids: Iterable[str]) -> dict[str, str]:
    """Return what keys are called, those of them that there are; the revoked ones too."""
    places = [keys.organization_key(org_id, key_id) for key_id in sorted(set(key_ids))]
    found = [
        _read(item)
        for first in range(0, len(places), READ_TOGETHER)
        for item in table.get_many(places[first : first + READ_TOGETHER]).values()
    ]
    return {key.key_id: key.name for key in found}


def revoke_key(table: Table, org_id: str, key_id: str, now: datetime) -> bool:
    """Revoke a key; False if the organization has none with this id. Repeating it is harmless."""
    item = table.get(keys.organization_key(org_id, key_id))
    if item is None:
        return False
    record = KeyRecord.of(item)
    revoke = KeyRecord.revoked_at.set(record.revoked_at or wire_moment(now))
    places = (keys.api_key(record.digest), keys.organization_key(org_id, key_id))
    try:
        table.transact([Update(place, [revoke], KeyRecord.pk.exists()) for place in places])
    except Refused:
        return False
    return True


def _read(item: Item) -> ApiKey:
    record = KeyRecord.of(item)
    return ApiKey(
        record.org_id,
        record.key_id,
        record.name,
        tuple(record.scopes),
        record.hint,
        record.digest,
        record.revoked_at is not None,
    )


def _record(key: ApiKey, now: datetime) -> KeyRecord:
    return KeyRecord(
        "",
        "",
        org_id=key.org_id,
        key_id=key.key_id,
        name=key.name,
        scopes=list(key.scopes),
        hint=key.hint,
        digest=key.digest,
        created_at=wire_moment(now),
    )
