"""The close of a month by its use cases, one after the other, where no state machine runs them."""

from __future__ import annotations

from datetime import datetime

from headroom.billing.domain.invoice import Invoice, Terms
from headroom.billing.usecases.invoices import write_invoice
from headroom.billing.usecases.period_close import begin, seal, total_members, turn_members
from headroom.core.gateways.files import Files
from headroom.core.store.table import Table


def close_period(table: Table, files: Files, org_id: str, period: str, now: datetime) -> Invoice:
    """Close a period in which nothing is held any more, and return its document."""
    shards = begin(table, org_id, period, now)
    for shard in shards:
        assert turn_members(table, org_id, period, shard, now) is None, "something is held"
        total_members(table, files, org_id, period, shard)
    seal(table, files, org_id, period, len(shards), now)
    return write_invoice(table, org_id, period, now, terms=Terms())
