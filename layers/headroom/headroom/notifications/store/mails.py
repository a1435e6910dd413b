"""Claims to tell somebody something by mail: whoever writes the claim sends, and nobody else."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from pynamodb.attributes import UnicodeAttribute

from headroom.core.errors import Overloaded
from headroom.core.store import keys
from headroom.core.store.attributes import IntegerAttribute
from headroom.core.store.records import Record, wire_moment
from headroom.core.store.table import Contended, Delete, Put, Refused, Table

# Longer than any queue keeps an event that it could deliver again.
CLAIM_LASTS: Final = timedelta(days=30)


class MailRecord(Record):
    """That a person was, or is about to be, told of an event by mail."""

    claimed_at = UnicodeAttribute()
    expires_at = IntegerAttribute()


def claim_mail(table: Table, org_id: str, event_id: str, user_id: str, now: datetime) -> bool:
    """Claim the mail of an event to a person; False if it was claimed before."""
    key = keys.mail(org_id, event_id, user_id)
    record = MailRecord(
        key.pk,
        key.sk,
        claimed_at=wire_moment(now),
        expires_at=int((now + CLAIM_LASTS).timestamp()),
    )
    try:
        table.transact([Put(key, record.to_item(), MailRecord.pk.does_not_exist())])
    except Refused:
        return False
    except Contended as error:
        raise Overloaded("others claim the same mail; try again") from error
    return True


def give_back_mail(table: Table, org_id: str, event_id: str, user_id: str) -> None:
    """Give a claim back because the mail was certainly not sent."""
    table.transact([Delete(keys.mail(org_id, event_id, user_id))])
