"""Somebody was refused because the wallet is empty: ask for its reload, and tell its owner."""

from __future__ import annotations

from datetime import datetime

from headroom.core.store.table import Table
from headroom.organizations.domain.organization import Organization
from headroom.spending.usecases.totals import total
from headroom.wallets.gateways.reloads import AskReload
from headroom.wallets.usecases.empty_wallet import Outlook, ask_for_reload, tell_owner


def seek_help(
    table: Table, organization: Organization, now: datetime, ask_reload: AskReload
) -> Outlook | None:
    """Return what would help, None if there is no wallet yet.

    If no reload comes by itself, the owner is told that the wallet is empty.
    """
    outlook = ask_for_reload(table, organization, now, ask_reload)
    if outlook is not None and outlook.to_tell is not None:
        tell_owner(table, outlook.to_tell, total(table, organization).balance, now)
    return outlook
