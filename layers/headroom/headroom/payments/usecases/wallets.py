"""A wallet at hand: found, taken over from before there was one, and what its balance is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final, TypeVar

from headroom.core.domain.instants import to_millis
from headroom.core.domain.periods import next_period, period_of, previous_period, time_zone
from headroom.core.errors import InvalidRequest, Overloaded
from headroom.core.store import keys
from headroom.core.store.table import Change, Contended, Refused, Table
from headroom.limits.store.figures import find_totals
from headroom.organizations.domain.organization import Organization
from headroom.organizations.store.organizations import find_pool, list_members
from headroom.organizations.store.pool_record import PoolRecord
from headroom.spending.store.budgets import list_budgets
from headroom.wallets.domain.wallet import Step, Wallet, credit
from headroom.wallets.store.wallets import find_wallet, put_entry, put_wallet, read_wallet

ATTEMPTS_MAX: Final = 12
# A wallet with nothing else to come is looked at once a day.
LOOK_EVERY_MILLIS: Final = 86_400_000
OPENING: Final = "Opening balance"

Answer = TypeVar("Answer")


class Overtaken(Exception):
    """The wallet changed between two looks; look again."""


def until_it_holds(attempt: Callable[[], Answer]) -> Answer:
    """Repeat an attempt that others overtook; every attempt reads anew what it stands on.

    Raises:
        Overloaded: they did so every time; nothing was written.
    """
    for _ in range(ATTEMPTS_MAX):
        try:
            return attempt()
        except (Refused, Contended, Overtaken):
            continue
    raise Overloaded("others are on this wallet; try again")


def funds_beside(table: Table, wallet: Wallet) -> int:
    """Return what the pool has, as of an instant at which the wallet is this one.

    Raises:
        Overtaken: the wallet is not this one any more.
    """
    places = [keys.wallet(wallet.org_id), keys.pool(wallet.org_id)]
    wallet_item, pool_item = table.snapshot(places)
    assert pool_item is not None, "an organization is written together with its pool"
    if wallet_item is None or read_wallet(wallet_item).version != wallet.version:
        raise Overtaken
    return PoolRecord.of(pool_item).to_domain().funds


def require_team(organization: Organization) -> None:
    """Check that an organization has a wallet at all.

    Raises:
        InvalidRequest: it is invoiced.
    """
    if organization.plan != "team":
        raise InvalidRequest("wallet", "only Team organizations have one")


def opening_writes(org_id: str, opening_nanos: int, now: datetime) -> list[Change]:
    """Return the writes of a new wallet with an opening credit, whose money the pool has."""
    wallet = Wallet(org_id, due_at_millis=to_millis(now) + LOOK_EVERY_MILLIS)
    if not opening_nanos:
        return [put_wallet(None, wallet)]
    step = _opening(wallet, opening_nanos, now)
    return [put_wallet(None, step.wallet), put_entry(step.entry)]


def open_wallet(table: Table, organization: Organization, now: datetime) -> Wallet:
    """Return the wallet of a Team organization.

    One that was provisioned before wallets had a ledger gets it here: what its pool and all its
    budgets together were ever given is its opening balance, which spending does not change.

    Raises:
        Overloaded: the organization was too busy to take stock; try again.
    """
    found = find_wallet(table, organization.org_id)
    if found is not None:
        return found
    for _ in range(ATTEMPTS_MAX):
        pool = find_pool(table, organization.org_id)
        granted: Counter[str] = Counter()
        for member in list_members(table, organization.org_id):
            for budget in list_budgets(table, organization.org_id, member.user_id):
                granted[budget.period] += budget.granted
        if find_pool(table, organization.org_id) != pool:
            continue
        wallet = Wallet(
            organization.org_id,
            booked=dict.fromkeys(sorted(granted), 0),
            due_at_millis=to_millis(now),
        )
        step = _opening(wallet, pool.funds + granted.total(), now)
        try:
            table.transact([put_wallet(None, step.wallet), put_entry(step.entry)])
        except (Refused, Contended):
            # Somebody else took it over at the same time.
            found = find_wallet(table, organization.org_id)
            if found is not None:
                return found
            continue
        return step.wallet
    raise Overloaded("the wallet is being taken over; try again")


def spent_by_period(
    table: Table, organization: Organization, wallet: Wallet, now: datetime
) -> dict[str, int]:
    """Return what was spent in each period that matters, as far as the stream was followed.

    A hold may be settled a day after its period, and other clocks may be in the next one.
    """
    running = period_of(now, time_zone(organization.time_zone))
    last = previous_period(running)
    periods = {previous_period(last), last, running, next_period(running), *wallet.booked}
    return find_totals(table, organization.org_id, sorted(periods)[-100:])


def _opening(wallet: Wallet, amount: int, now: datetime) -> Step:
    step = credit(wallet, "promotional", "promotional", amount, now, description=OPENING)
    return replace(step, moved=0)
