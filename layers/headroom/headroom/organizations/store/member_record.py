"""The item of a member: their profile and own settings."""

from __future__ import annotations

from typing import Any, cast

from pynamodb.attributes import BooleanAttribute, JSONAttribute, UnicodeAttribute

from headroom.core.store.keys import staff_of
from headroom.core.store.records import Record
from headroom.core.store.table import Key
from headroom.organizations.domain.organization import Member, Role, SeatTier
from headroom.organizations.store.settings_record import generations_from_json, limits_from_json


class MemberRecord(Record):
    """A member's profile and own settings."""

    org_id = UnicodeAttribute()
    user_id = UnicodeAttribute()
    name = UnicodeAttribute()
    email = UnicodeAttribute()
    role = UnicodeAttribute()
    seat_tier = UnicodeAttribute()
    admitted = BooleanAttribute()
    continues = BooleanAttribute()
    limits = JSONAttribute()
    active = BooleanAttribute(default=True)
    generations = JSONAttribute(null=True)
    member_period = UnicodeAttribute(null=True)
    occurred_at = UnicodeAttribute(null=True)

    @classmethod
    def from_domain(cls, key: Key, member: Member) -> MemberRecord:
        """Write a member; those with a role above it are listed in index `by_member` too."""
        is_staff = member.active and member.role != "member"
        return cls(
            key.pk,
            key.sk,
            org_id=member.org_id,
            user_id=member.user_id,
            name=member.name,
            email=member.email,
            role=member.role,
            seat_tier=member.seat_tier,
            admitted=member.admitted,
            continues=member.continues,
            limits=dict(member.limits),
            active=member.active,
            generations=dict(member.generations) or None,
            member_period=staff_of(member.org_id) if is_staff else None,
            occurred_at=member.user_id if is_staff else None,
        )

    def to_domain(self) -> Member:
        """Read a member."""
        return Member(
            org_id=self.org_id,
            user_id=self.user_id,
            name=self.name,
            email=self.email,
            role=cast("Role", self.role),
            seat_tier=cast("SeatTier", self.seat_tier),
            admitted=self.admitted,
            continues=self.continues,
            limits=limits_from_json(cast("dict[str, Any]", self.limits)),
            active=self.active,
            generations=generations_from_json(cast("dict[str, Any]", self.generations or {})),
        )
