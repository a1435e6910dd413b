"""Having something tried again that a machine gave up or put off: audited, and once at a time."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from headroom.core.domain.actor import Actor
from headroom.core.domain.instants import to_millis, to_wire
from headroom.core.domain.periods import period_of, time_zone
from headroom.core.errors import InvalidRequest, NotFound
from headroom.core.store.table import Table
from headroom.organizations.domain.organization import Organization
from headroom.organizations.store.closings import find_closing, put_moved
from headroom.organizations.usecases.minor_settings import Note, note_change
from headroom.payments.usecases.wallets import require_team
from headroom.wallets.domain.reload import reload_state
from headroom.wallets.store.wallets import find_wallet, put_wallet


def retry_reload(table: Table, org_id: str, actor: Actor, now: datetime) -> None:
    """Let a wallet reload itself again after a decline or within its rest, if it is low.

    The payment method that was declined is charged once more, and if it declines again the wallet
    stops again. The monthly ceiling holds as ever. A reload under way is left alone.

    Raises:
        InvalidRequest: the organization has no wallet that reloads itself.
        Overloaded: others are on the organization; try again.
    """

    def decide(organization: Organization) -> Note | None:
        require_team(organization)
        wallet = find_wallet(table, org_id)
        if wallet is None or wallet.auto_reload is None:
            raise InvalidRequest("wallet", "does not reload itself")
        if any(payment.kind == "reload" for payment in wallet.pending):
            return None
        was = reload_state(wallet, period_of(now, time_zone(organization.time_zone)), now)
        due = replace(
            wallet,
            version=wallet.version + 1,
            breaker=None,
            cool_until_millis=0,
            crossed=True,
            due_at_millis=to_millis(now),
        )
        if replace(due, version=wallet.version, due_at_millis=wallet.due_at_millis) == wallet:
            return None
        return Note(
            "wallet.reload_retried",
            "wallet",
            {"auto_reload": was},
            {"auto_reload": "due"},
            organization,
            [put_wallet(wallet, due)],
        )

    note_change(table, org_id, decide, actor, now)


def rerun_close(table: Table, org_id: str, period: str, actor: Actor, now: datetime) -> None:
    """Have a period that is over and not invoiced closed now, rather than when it is due.

    The close is handed out by the next run of the schedule. Whatever an earlier run did is found
    done, and there is one invoice.

    Raises:
        NotFound: the organization has no such period.
        InvalidRequest: it is not over, or is invoiced.
        Overloaded: others are on the organization; try again.
    """

    def decide(organization: Organization) -> Note | None:
        closing = find_closing(table, org_id, period)
        if closing is None:
            raise NotFound(f"period: the organization has no period {period}")
        if now < closing.ends_at:
            raise InvalidRequest("period", "is not over")
        if closing.due_at is None:
            raise InvalidRequest("period", "is closed and invoiced already")
        if closing.due_at <= now:
            return None
        return Note(
            "billing_period.close_retried",
            period,
            {"due_at": to_wire(closing.due_at)},
            {"due_at": to_wire(now), "period": period},
            organization,
            [put_moved(closing, replace(closing, due_at=now))],
        )

    note_change(table, org_id, decide, actor, now)
