"""What an operator sees of an organization and does to it, by the same use cases as its owners."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal

from headroom.console.usecases.retries import rerun_close, retry_reload
from headroom.core.domain.actor import Actor
from headroom.core.domain.periods import period_of, time_zone
from headroom.core.errors import Conflict, InvalidRequest, NotFound
from headroom.core.store.table import Table
from headroom.limits.store.limits import LimitPlace
from headroom.limits.usecases.settings import Reason, change_organization, set_enabled
from headroom.limits.usecases.spend_limits import set_limit
from headroom.organizations.domain.organization import SEAT_TIERS, Organization
from headroom.organizations.domain.tax import Tax
from headroom.organizations.store.audit import entry_to_wire, list_entries
from headroom.organizations.store.closings import Closing, last_closings
from headroom.organizations.store.organizations import (
    find_member,
    find_members,
    find_organization,
    read_member,
)
from headroom.provisioning.usecases.provisioning import organization_id
from headroom.spending.domain.budget import Budget
from headroom.spending.store.budgets import find_budgets
from headroom.spending.store.refusals import RefusalNote, last_refusals
from headroom.spending.store.registrations import registered_page
from headroom.spending.store.unpriced import count_unpriced
from headroom.spending.usecases.totals import Totals, total
from headroom.wallets.domain.reload import ReloadState, reload_state
from headroom.wallets.domain.wallet import Wallet
from headroom.wallets.store.wallets import find_wallet

# How much of each list fits on a widget.
SHOWN_MAX: Final = 10
HOLDERS_LOOKED_AT: Final = 100

CLOSINGS_SHOWN: Final = 3

Act = Literal["pause", "resume", "set_limit", "set_tax", "retry_reload", "rerun_close"]
ACTS: Final[tuple[Act, ...]] = (
    "pause",
    "resume",
    "set_limit",
    "set_tax",
    "retry_reload",
    "rerun_close",
)
# Acts that overwrite what somebody else may have set meanwhile.
OVERWRITING: Final = frozenset({"pause", "resume", "set_limit", "set_tax"})


@dataclass(frozen=True, slots=True)
class Inspection:
    """An organization as it stands. `holders` are some of those who hold money, most first.

    `names` are those of the members in its lists, by their ids. `unpriced` is how much usage waits
    for a price, 100 if there is more.
    """

    organization: Organization
    totals: Totals
    holders: list[Budget]
    refusals: list[RefusalNote]
    changes: list[dict[str, Any]]
    closings: list[Closing]
    wallet: Wallet | None
    reload: ReloadState | None
    names: dict[str, str]
    unpriced: int = 0


@dataclass(frozen=True, slots=True)
class Order:
    """What an operator wants done, and the version of the settings that they were looking at.

    Only `set_limit` has a place and an amount (None is unlimited), only `set_tax` a tax (None is
    none), only `rerun_close` a period.
    """

    act: Act
    org_id: str
    version: int
    place: LimitPlace | None = None
    amount_nanos: int | None = None
    period: str = ""
    tax: Tax | None = None


def look_up(table: Table, words: str) -> Organization:
    """Return the organization with this id, or with this id of its provisioning document.

    Raises:
        NotFound: there is none.
    """
    for org_id in (words, organization_id(words)):
        organization = find_organization(table, org_id)
        if organization is not None:
            return organization
    raise NotFound("organization: there is none with this id")


def inspect(table: Table, organization: Organization, now: datetime) -> Inspection:
    """Return what an operator looks at; the figures are exact, the lists are their first rows."""
    org_id = organization.org_id
    user_ids = registered_page(table, org_id, limit=HOLDERS_LOOKED_AT)
    budgets = find_budgets(table, org_id, user_ids).values() if user_ids else ()
    holders = sorted(
        (budget for budget in budgets if budget.holds),
        key=lambda budget: (-budget.held, budget.user_id),
    )
    changes = [entry_to_wire(item) for item in list_entries(table, org_id, limit=SHOWN_MAX).items]
    refusals = last_refusals(table, org_id, limit=SHOWN_MAX)
    wallet = find_wallet(table, org_id) if organization.plan == "team" else None
    month = period_of(now, time_zone(organization.time_zone))
    return Inspection(
        organization=organization,
        totals=total(table, organization),
        holders=holders[:SHOWN_MAX],
        refusals=refusals,
        changes=changes,
        closings=last_closings(table, org_id, limit=CLOSINGS_SHOWN),
        wallet=wallet,
        reload=reload_state(wallet, month, now) if wallet else None,
        unpriced=count_unpriced(table, org_id),
        names=_names(
            table,
            org_id,
            [
                *(budget.user_id for budget in holders[:SHOWN_MAX]),
                *(note.user_id for note in refusals),
                *(change["actor"]["id"] for change in changes),
                *(change["subject"] for change in changes),
            ],
        ),
    )


def _names(table: Table, org_id: str, ids: Sequence[str]) -> dict[str, str]:
    """Return the names of those that are members; what else ids are of has none."""
    wanted = list(dict.fromkeys(ids))
    found = find_members(table, org_id, wanted).values() if wanted else ()
    return {member.user_id: member.name for member in map(read_member, found)}


def limit_at(table: Table, organization: Organization, place: LimitPlace) -> int | None:
    """Return the limit that is set at a place now, None if there is none.

    Raises:
        NotFound: the organization has no such member.
    """
    match place.scope_type:
        case "organization":
            return organization.cap_nanos
        case "seat_tier":
            for tier in SEAT_TIERS:
                if tier == place.scope_id:
                    return organization.tiers[tier].limits.get(place.period)
            raise NotFound("seat_tier: there is no such seat tier")
        case "user":
            member = find_member(table, organization.org_id, place.scope_id)
            if member is None or not member.active:
                raise NotFound(f"user_id: the organization has no member {place.scope_id}")
            return member.limits.get(place.period)


def carry_out(table: Table, order: Order, actor: Actor, now: datetime) -> Organization:
    """Do what an operator ordered, in force when this returns, and return the settings after it.

    Ordering it twice does it once.

    Raises:
        Conflict: the settings changed since the operator looked at them.
        NotFound: there is no such organization or member.
        InvalidRequest: the plan has no such limit.
        Overloaded: the change is not in force everywhere yet; order it again.
    """
    organization = look_up(table, order.org_id)
    moved_on = order.act in OVERWRITING and organization.version != order.version
    if moved_on and not _is_so(table, organization, order):
        raise Conflict("organization: its settings changed since you looked; look again")
    _DOES[order.act](table, organization, order, actor, now)
    return look_up(table, order.org_id)


def _is_so(table: Table, organization: Organization, order: Order) -> bool:
    match order.act:
        case "pause":
            return not organization.enabled
        case "resume":
            return organization.enabled
        case "set_limit":
            place = _place(order)
            return limit_at(table, organization, place) == order.amount_nanos
        case "set_tax":
            return organization.tax == order.tax
        case "retry_reload" | "rerun_close":
            return False


def _pause(
    table: Table, organization: Organization, order: Order, actor: Actor, now: datetime
) -> None:
    set_enabled(table, organization.org_id, False, now, Reason(actor, "extra_usage.disabled"))


def _resume(
    table: Table, organization: Organization, order: Order, actor: Actor, now: datetime
) -> None:
    set_enabled(table, organization.org_id, True, now, Reason(actor, "extra_usage.enabled"))


def _set_limit(
    table: Table, organization: Organization, order: Order, actor: Actor, now: datetime
) -> None:
    set_limit(table, organization, _place(order), order.amount_nanos, actor, now)


def _set_tax(
    table: Table, organization: Organization, order: Order, actor: Actor, now: datetime
) -> None:
    if organization.plan == "team":
        raise InvalidRequest("tax", "only Enterprise organizations are invoiced")

    def change(old: Organization) -> Organization:
        return replace(old, tax=order.tax)

    change_organization(table, organization.org_id, change, now, Reason(actor, "tax.changed"))


def _retry_reload(
    table: Table, organization: Organization, order: Order, actor: Actor, now: datetime
) -> None:
    retry_reload(table, organization.org_id, actor, now)


def _rerun_close(
    table: Table, organization: Organization, order: Order, actor: Actor, now: datetime
) -> None:
    rerun_close(table, organization.org_id, order.period, actor, now)


def _place(order: Order) -> LimitPlace:
    if order.place is None:
        raise InvalidRequest("scope", "must say whose limit is meant")
    return order.place


_DOES: Final[dict[Act, Callable[[Table, Organization, Order, Actor, datetime], None]]] = {
    "pause": _pause,
    "resume": _resume,
    "set_limit": _set_limit,
    "set_tax": _set_tax,
    "retry_reload": _retry_reload,
    "rerun_close": _rerun_close,
}
