"""Spend limits as rows, written together with the settings that they show."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from pynamodb.attributes import UnicodeAttribute

from headroom.core.errors import NotFound
from headroom.core.store import keys
from headroom.core.store.attributes import IntegerAttribute
from headroom.core.store.records import Record, wire_moment
from headroom.core.store.table import Delete, Item, Key, Page, Put, Range, Table
from headroom.organizations.domain.organization import LIMIT_PERIODS, LimitPeriod

ScopeType = Literal["organization", "seat_tier", "user"]

SCOPE_TYPES: Final[tuple[ScopeType, ...]] = ("organization", "seat_tier", "user")
_PREFIX: Final = "spl_"
_TAG_LENGTH: Final = 4


class LimitRecord(Record):
    """A spend limit as the Spend Limits API lists it; the settings themselves are the truth."""

    org_id = UnicodeAttribute()
    scope_type = UnicodeAttribute()
    scope_id = UnicodeAttribute()
    period = UnicodeAttribute()
    amount_nanos = IntegerAttribute(null=True)
    created_at = UnicodeAttribute()
    updated_at = UnicodeAttribute()


@dataclass(frozen=True, slots=True)
class LimitPlace:
    """What a spend limit applies to, and how often it resets; its id says just that.

    `scope_id` is the seat tier or the user; empty for the organization.
    """

    org_id: str
    scope_type: ScopeType
    scope_id: str
    period: LimitPeriod

    @property
    def spend_limit_id(self) -> str:
        """The id by which clients name this limit, whether it is set or not."""
        facts = f"{self.scope_type}|{self.scope_id}|{self.period}".encode()
        packed = base64.urlsafe_b64encode(_tag(self.org_id, facts) + facts)
        return _PREFIX + packed.decode().rstrip("=")

    @classmethod
    def parse(cls, spend_limit_id: str, *, org_id: str) -> LimitPlace:
        """Read an id of this organization.

        Raises:
            NotFound: it is no such id, or another organization's.
        """
        absent = NotFound("spend_limit_id: there is no spend limit with this id")
        if not spend_limit_id.startswith(_PREFIX) or not spend_limit_id.isascii():
            raise absent
        packed = spend_limit_id.removeprefix(_PREFIX)
        try:
            raw = base64.b64decode(packed + "=" * (-len(packed) % 4), altchars=b"-_", validate=True)
            scope_type, scope_id, period = raw[_TAG_LENGTH:].decode().split("|")
        except (binascii.Error, ValueError) as error:
            raise absent from error
        for known_type in SCOPE_TYPES:
            for known_period in LIMIT_PERIODS:
                place = cls(org_id, known_type, scope_id, known_period)
                named = (known_type, known_period) == (scope_type, period)
                if named and place.spend_limit_id == spend_limit_id:
                    return place
        raise absent


@dataclass(frozen=True, slots=True)
class LimitRow:
    """A spend limit that is set; `amount_nanos` None says explicitly that there is none."""

    place: LimitPlace
    amount_nanos: int | None
    created_at: str
    updated_at: str


def find_limit(table: Table, place: LimitPlace) -> LimitRow | None:
    """Return a spend limit, None if it is not set."""
    item = table.get(_key(place))
    return None if item is None else read_limit(item)


def put_limit(
    place: LimitPlace, amount_nanos: int | None, before: LimitRow | None, now: datetime
) -> Put:
    """Return the write of a spend limit; `before` is the row that it replaces."""
    key = _key(place)
    record = LimitRecord(
        key.pk,
        key.sk,
        org_id=place.org_id,
        scope_type=place.scope_type,
        scope_id=place.scope_id,
        period=place.period,
        amount_nanos=amount_nanos,
        created_at=before.created_at if before else wire_moment(now),
        updated_at=wire_moment(now),
    )
    return Put(key, record.to_item())


def delete_limit(place: LimitPlace) -> Delete:
    """Return the removal of a spend limit."""
    return Delete(_key(place))


def limits_of(org_id: str, prefix: str = "") -> Range:
    """Where an organization's limits lie, those of one rank or all."""
    return Range(f"ORG#{org_id}#LIMITS", prefix=prefix)


def list_limits(
    table: Table,
    org_id: str,
    scope_type: ScopeType | None,
    *,
    limit: int,
    start: Item | None = None,
) -> Page:
    """Return a page of spend limits, of one scope type or of all."""
    prefix = "" if scope_type is None else f"{SCOPE_TYPES.index(scope_type)}#"
    return table.query(limits_of(org_id, prefix), limit=limit, start=start)


def read_limit(item: Item) -> LimitRow:
    """Read a row."""
    record = LimitRecord.of(item)
    scope_type = next(known for known in SCOPE_TYPES if known == record.scope_type)
    period = next(known for known in LIMIT_PERIODS if known == record.period)
    place = LimitPlace(record.org_id, scope_type, record.scope_id, period)
    return LimitRow(place, record.amount_nanos, record.created_at, record.updated_at)


def _key(place: LimitPlace) -> Key:
    return keys.limit(place.org_id, place.scope_type, place.scope_id, place.period)


def _tag(org_id: str, facts: bytes) -> bytes:
    return hashlib.sha256(org_id.encode() + b"|" + facts).digest()[:_TAG_LENGTH]
