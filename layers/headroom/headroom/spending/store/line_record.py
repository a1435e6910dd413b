"""The item of a usage line, whether it has a price or waits for one."""

from __future__ import annotations

from pynamodb.attributes import JSONAttribute, UnicodeAttribute

from headroom.core.store.attributes import IntegerAttribute
from headroom.core.store.records import Record


class LineRecord(Record):
    """A usage line of the ledger. Amounts are nanos; `usage` and `components` are kept whole.

    One of usage without a price has the source "unpriced", no amounts, no period and no tier, and
    what only it has: its event as it was sent, why it has no price, when to try again.
    """

    org_id = UnicodeAttribute()
    user_id = UnicodeAttribute()
    event_id = UnicodeAttribute()
    authorization_id = UnicodeAttribute(null=True)
    digest = UnicodeAttribute()
    model = UnicodeAttribute()
    product = UnicodeAttribute(null=True)
    seat_tier = UnicodeAttribute()
    source = UnicodeAttribute()
    because = UnicodeAttribute(null=True)
    cost = IntegerAttribute()
    charged = IntegerAttribute()
    unbilled = IntegerAttribute()
    period = UnicodeAttribute()
    occurred_at = UnicodeAttribute()
    recorded_at = UnicodeAttribute()
    price_version = UnicodeAttribute()
    components = JSONAttribute()
    model_named = UnicodeAttribute(null=True)
    notes = JSONAttribute(null=True)
    usage = JSONAttribute()
    member_period = UnicodeAttribute()
    unpriced_digest = UnicodeAttribute(null=True)
    unpriced = JSONAttribute(null=True)
    as_sent = JSONAttribute(null=True)
    attempts = IntegerAttribute(null=True)
    due_shard = UnicodeAttribute(null=True)
    due_at = IntegerAttribute(null=True)
