"""The items of a wallet: itself, its ledger, and whose customer it is."""

from __future__ import annotations

from pynamodb.attributes import BooleanAttribute, JSONAttribute, UnicodeAttribute

from headroom.core.store.attributes import IntegerAttribute
from headroom.core.store.records import Record


class WalletRecord(Record):
    """A wallet. What is read whole is JSON; the rest is for conditions, filters and the index."""

    org_id = UnicodeAttribute()
    version = IntegerAttribute()
    lots = JSONAttribute()
    booked = JSONAttribute()
    owed = JSONAttribute()
    auto_reload = JSONAttribute(null=True)
    auto_reload_was = JSONAttribute(null=True)
    auto_reload_said = JSONAttribute(null=True)
    pending = JSONAttribute()
    refunds = JSONAttribute()
    month = UnicodeAttribute()
    reloaded = IntegerAttribute()
    reloads = IntegerAttribute()
    credits = IntegerAttribute()
    last_credit = IntegerAttribute()
    emptied = IntegerAttribute(default=-1)
    breaker = JSONAttribute(null=True)
    cool_until = IntegerAttribute()
    customer_id = UnicodeAttribute(null=True)
    payment_method = JSONAttribute(null=True)
    crossed = BooleanAttribute()
    looked_at = IntegerAttribute()
    due_shard = UnicodeAttribute()
    due_at = IntegerAttribute()


class WalletEntryRecord(Record):
    """A change of a wallet, immutable."""

    org_id = UnicodeAttribute()
    entry_id = UnicodeAttribute()
    version = IntegerAttribute()
    kind = UnicodeAttribute()
    amount = IntegerAttribute()
    balance = IntegerAttribute()
    created_at = UnicodeAttribute()
    lot_expires_at = IntegerAttribute(null=True)
    payment_id = UnicodeAttribute(null=True)
    period = UnicodeAttribute(null=True)
    description = UnicodeAttribute(null=True)


class CustomerRecord(Record):
    """Whose customer at the payment processor this is."""

    org_id = UnicodeAttribute()
