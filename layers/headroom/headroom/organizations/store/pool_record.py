"""The item of an organization's pool."""

from __future__ import annotations

from pynamodb.attributes import UnicodeAttribute

from headroom.core.store.attributes import IntegerAttribute
from headroom.core.store.records import Record
from headroom.core.store.table import Key
from headroom.organizations.domain.pool import Pool


class PoolRecord(Record):
    """What the organization has not handed out. See `Pool`."""

    period = UnicodeAttribute()
    unallotted = IntegerAttribute()
    funds = IntegerAttribute()
    version = IntegerAttribute()
    grants = IntegerAttribute(default=0)
    drained_at = IntegerAttribute(default=-1)
    expiry = IntegerAttribute(default=0)
    moves = IntegerAttribute(default=0)
    enforced_until = IntegerAttribute(default=0)
    reload_at = IntegerAttribute(null=True)
    reload_from = IntegerAttribute(default=0)

    @classmethod
    def from_domain(cls, key: Key, pool: Pool) -> PoolRecord:
        """Write a pool."""
        return cls(
            key.pk,
            key.sk,
            period=pool.period,
            unallotted=pool.unallotted,
            funds=pool.funds,
            version=pool.version,
            grants=pool.grants,
            drained_at=pool.drained_at,
            expiry=pool.expiry_millis,
            moves=pool.moves,
            enforced_until=pool.enforced_until_millis,
            reload_at=pool.reload_at,
            reload_from=pool.reload_from_millis,
        )

    def to_domain(self) -> Pool:
        """Read a pool."""
        return Pool(
            period=self.period,
            unallotted=self.unallotted,
            funds=self.funds,
            version=self.version,
            grants=self.grants,
            drained_at=self.drained_at,
            expiry_millis=self.expiry,
            moves=self.moves,
            enforced_until_millis=self.enforced_until,
            reload_at=self.reload_at,
            reload_from_millis=self.reload_from,
        )
