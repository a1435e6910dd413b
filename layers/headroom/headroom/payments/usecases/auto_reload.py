"""Auto-reload: once a crossing, with what is under way counted as arrived."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Final

from headroom.core.domain.actor import Actor
from headroom.core.domain.instants import to_millis
from headroom.core.domain.money import NANOS_PER_CENT, format_amount, format_limit
from headroom.core.domain.periods import period_of, time_zone
from headroom.core.errors import InvalidRequest, Overloaded
from headroom.core.store.announcements import put_announcement
from headroom.core.store.table import Change, Contended, Refused, Table
from headroom.limits.usecases.settings import Reason, change_organization
from headroom.organizations.domain.audit import Facts
from headroom.organizations.domain.organization import Organization
from headroom.organizations.domain.pool import Pool
from headroom.organizations.store.organizations import find_organization, find_pool
from headroom.payments.gateways.payments import Payments
from headroom.payments.usecases.charges import pursue
from headroom.payments.usecases.wallets import open_wallet, spent_by_period, until_it_holds
from headroom.spending.usecases.recall import recall
from headroom.spending.usecases.totals import free_at_most
from headroom.wallets.domain.reload import (
    ASK_EVERY,
    NEXT_STEPS,
    PENDING_LOOK,
    PaymentTerms,
    has_crossed,
    is_low,
    reload_state,
    reloaded_in,
)
from headroom.wallets.domain.wallet import (
    NOTHING_SAID,
    AutoReload,
    PendingPayment,
    ReloadFigures,
    Wallet,
    balance_by,
)
from headroom.wallets.store.intents import Intent, create_intent, intent_id_of
from headroom.wallets.store.wallets import let_grants_ask, put_wallet, save_wallet
from headroom.wallets.usecases.cancelled_reloads import disown_reloads

CHANGED: Final = "wallet.auto_reload_changed"
# One look makes so many reloads at most, if the cool-down lets it; the next look goes on.
RELOADS_MAX: Final = 10
# How often a look brings idle money back before it leaves the rest to the next.
LOOKS_MAX: Final = 3


def reload_while_due(
    table: Table,
    payments: Payments,
    organization: Organization,
    now: datetime,
    terms: PaymentTerms,
) -> int:
    """Charge a reload if the balance has reached the threshold, and look again after its credit.

    Returns how many were credited. Running it twice, or by many at once, charges once a crossing:
    a reload begins with a write of the wallet on which the decision was made.

    Raises:
        Overloaded: others are on the wallet.
    """
    for credited in range(RELOADS_MAX):
        intent = _begin_reload(table, organization, now, terms)
        if intent is None or pursue(table, payments, intent, now).state != "succeeded":
            return credited
    return RELOADS_MAX


def watch_balance(table: Table, organization: Organization, now: datetime) -> None:
    """Ask for a look at the wallet if what was taken by now may have brought it to its threshold.

    This is the net below the grant that asks by itself.

    Whoever looks takes the mark away before they read the totals, so that what is added to these
    afterwards marks it anew: no crossing is overlooked. A low balance that nothing reloads is
    announced, once for each credit before it.

    Raises:
        Overloaded: others are on the wallet.
    """

    def attempt() -> None:
        wallet = open_wallet(table, organization, now)
        balance = balance_by(wallet, spent_by_period(table, organization, wallet, now))
        state = reload_state(wallet, _month(organization, now), now)
        funds = find_pool(table, organization.org_id).funds
        if (
            state == "ready"
            and not wallet.crossed
            and _is_worth_a_look(wallet, balance, funds, now)
        ):
            marked = replace(wallet, crossed=True, due_at_millis=to_millis(now))
            save_wallet(table, wallet, marked)
        if is_low(wallet, balance, state):
            facts = {
                "balance": format_amount(balance),
                "auto_reload": state,
                "next_step": NEXT_STEPS.get(state, "top_up"),
            }
            event_id = f"{organization.org_id}_low_{wallet.credits}_{state}"
            told = put_announcement(organization.org_id, event_id, "wallet.low", facts, now)
            _announce_once(table, told)

    until_it_holds(attempt)


def set_auto_reload(
    table: Table,
    organization: Organization,
    wanted: AutoReload | None,
    terms: PaymentTerms,
    actor: Actor,
    now: datetime,
    *,
    keeps_limit: bool = False,
    said: ReloadFigures = NOTHING_SAID,
) -> Wallet:
    """Switch auto-reload on with these figures, or off (None keeps them for the next time).

    What is `said` while it is off is kept for the next time too, and what is not stays. It moves
    no money, so it is not held to any bounds before it is switched on.

    With `keeps_limit` the monthly limit is not that of `wanted`, but the one that was set last,
    also if auto-reload has been off since: nothing lifts it but somebody who says so.

    Reloads that were begun under other figures are disowned in the same write: none of them is
    asked for any more. One that the processor was asked for cannot be taken back, and counts.

    Raises:
        InvalidRequest: an amount is out of bounds.
        Overloaded: others are on the wallet or the settings; try again.
    """

    def meant(wallet: Wallet) -> AutoReload | None:
        last = _last(wallet)
        if wanted is None:
            return None
        kept = replace(wanted, monthly_limit=last.monthly_limit) if keeps_limit and last else wanted
        _check(kept, terms)
        return kept

    before = open_wallet(table, organization, now)
    seen = before

    def also() -> Sequence[Change]:
        nonlocal seen
        seen = open_wallet(table, organization, now)
        return _writes(table, seen, meant(seen), said, now)

    def told() -> tuple[Facts, Facts]:
        wanted, was, kept = meant(seen), _last(seen), _kept(seen, meant(seen), said)
        if wanted is None and was != kept:
            return _facts(seen.auto_reload, was), _facts(None, kept)
        return _facts(seen.auto_reload, seen.auto_reload), _facts(wanted, wanted)

    if (
        before.auto_reload == meant(before)
        and _last(before) == _kept(before, meant(before), said)
        and "auto_reload" in organization.set_up
    ):
        return before
    change_organization(
        table,
        organization.org_id,
        lambda old: replace(old, set_up=old.set_up | {"auto_reload"}),
        now,
        Reason(actor, CHANGED, also, even_if_same=True, told=told),
    )
    return open_wallet(table, organization, now)


def _begin_reload(
    table: Table, organization: Organization, now: datetime, terms: PaymentTerms
) -> Intent | None:
    """Write the intent of a reload, if one is due and extra usage is on in that moment."""
    month = _month(organization, now)

    def attempt() -> Intent | None:
        wallet = open_wallet(table, organization, now)
        if wallet.crossed:
            looking = replace(
                wallet,
                crossed=False,
                looked_at_millis=to_millis(now),
                due_at_millis=to_millis(now + PENDING_LOOK),
            )
            wallet = save_wallet(table, wallet, looking)
        auto, method = wallet.auto_reload, wallet.payment_method
        if auto is None or method is None or wallet.customer_id is None:
            return None
        state = reload_state(wallet, month, now)
        if state not in ("ready", "cooling_down"):
            return None
        # Switching it writes the wallet too: settings that are read after it stand while it does.
        settings = find_organization(table, wallet.org_id)
        if settings is None or not settings.enabled:
            return None
        if state == "cooling_down":
            _let_grants_ask(table, wallet, find_pool(table, wallet.org_id), now)
            return None
        if not _is_due(table, organization, wallet, now):
            return None
        number = wallet.reloads + 1
        intent = Intent(
            org_id=wallet.org_id,
            intent_id=intent_id_of("rld", wallet.org_id, f"reload|{number}"),
            kind="reload",
            amount=auto.amount,
            currency=organization.currency,
            state="created",
            created_at_millis=to_millis(now),
            month=max(month, wallet.month),
            customer_id=wallet.customer_id,
            payment_method_id=method.payment_method_id,
        )
        pending = PendingPayment(intent.intent_id, "reload", auto.amount, to_millis(now))
        begun = replace(
            wallet,
            pending=(*wallet.pending, pending),
            month=intent.month,
            reloaded=reloaded_in(wallet, month) + auto.amount,
            reloads=number,
            cool_until_millis=to_millis(now + terms.cool_down),
            due_at_millis=to_millis(now + PENDING_LOOK),
        )
        save_wallet(table, wallet, begun, [create_intent(intent)])
        return intent

    return until_it_holds(attempt)


def _is_due(table: Table, organization: Organization, wallet: Wallet, now: datetime) -> bool:
    """Tell whether what is free has reached the threshold; if not, let grants ask when it has.

    What the pool has is free, so while that is above the threshold nothing is due. Totals that
    follow the stream are a few reads, and only ever behind: who has spent so much has nothing free
    beyond. Else it is summed up what members have idle, and if that keeps the wallet above the
    threshold it is brought back, so that the pool's own figure tells from then on.
    """
    assert wallet.auto_reload is not None, "a wallet that does not reload itself is never due"
    for _ in range(LOOKS_MAX):
        pool = find_pool(table, wallet.org_id)
        if not has_crossed(wallet, pool.funds):
            _let_grants_ask(table, wallet, pool, now)
            return False
        if has_crossed(
            wallet, balance_by(wallet, spent_by_period(table, organization, wallet, now))
        ):
            return True
        free = free_at_most(table, wallet.org_id, now)
        if free is not None and has_crossed(wallet, free):
            return True
        need = wallet.auto_reload.threshold - wallet.pending_total + 1
        recall(table, wallet.org_id, now, need=need)
    # Others go on taking what comes back: the next of them asks again.
    _let_grants_ask(table, wallet, find_pool(table, wallet.org_id), now)
    return False


def _let_grants_ask(table: Table, wallet: Wallet, pool: Pool, now: datetime) -> None:
    assert wallet.auto_reload is not None, "nobody asks for what does not come"
    at = wallet.auto_reload.threshold
    above = pool.funds > at
    from_millis = wallet.cool_until_millis if wallet.cool_until_millis > to_millis(now) else 0
    if not above:
        from_millis = max(from_millis, to_millis(now + ASK_EVERY))
    elif pool.reload_at == at and pool.reload_from_millis <= max(from_millis, to_millis(now)):
        return
    asks = let_grants_ask(wallet, at, from_millis, above=above)
    save_wallet(table, wallet, wallet, [asks])


def _is_worth_a_look(wallet: Wallet, balance: int, funds: int, now: datetime) -> bool:
    if has_crossed(wallet, balance):
        return True
    # With members there may be more: it takes a sum to know, so not all the time.
    return has_crossed(wallet, funds) and wallet.looked_at_millis <= to_millis(now - ASK_EVERY)


def _last(wallet: Wallet) -> ReloadFigures | None:
    """Return the figures that were said last, whether or not they are in force."""
    auto = wallet.auto_reload
    return wallet.auto_reload_was if auto is None else _figures(auto)


def _kept(wallet: Wallet, wanted: AutoReload | None, said: ReloadFigures) -> ReloadFigures | None:
    """Return the figures that are said last when this is done."""
    if wanted is not None:
        return _figures(wanted)
    last = _last(wallet)
    if said == NOTHING_SAID:
        return last
    told = {name: figure for name, figure in asdict(said).items() if figure is not None}
    return replace(last or NOTHING_SAID, **told)


def _figures(auto: AutoReload) -> ReloadFigures:
    return ReloadFigures(auto.threshold, auto.amount, auto.monthly_limit)


def _writes(
    table: Table, wallet: Wallet, wanted: AutoReload | None, said: ReloadFigures, now: datetime
) -> list[Change]:
    after, changes = disown_reloads(table, wallet, now)
    after = replace(
        after,
        version=wallet.version + 1,
        auto_reload=wanted,
        auto_reload_was=_kept(wallet, wanted, said),
        crossed=wanted is not None,
        due_at_millis=to_millis(now),
    )
    return [put_wallet(wallet, after), *changes]


def _check(wanted: AutoReload, terms: PaymentTerms) -> None:
    least, most = (format_amount(bound) for bound in (terms.least, terms.most))
    if not terms.least <= wanted.amount <= terms.most:
        raise InvalidRequest("amount", f"must be from {least} to {most}")
    if wanted.threshold > terms.most:
        raise InvalidRequest("threshold", f"must be at most {most}")
    if wanted.monthly_limit is not None and wanted.monthly_limit < wanted.amount:
        raise InvalidRequest("monthly_limit", "must not be less than amount, or be null")
    assert not any(nanos % NANOS_PER_CENT for nanos in (wanted.amount, wanted.threshold))


def _facts(auto: AutoReload | None, figures: AutoReload | ReloadFigures | None) -> Facts:
    enabled = {"auto_reload.enabled": auto is not None}
    if figures is None:
        return enabled
    return enabled | {
        "auto_reload.threshold": format_limit(figures.threshold),
        "auto_reload.amount": format_limit(figures.amount),
        "auto_reload.monthly_limit": format_limit(figures.monthly_limit),
    }


def _announce_once(table: Table, told: Change) -> None:
    try:
        table.transact([told])
    except Refused:
        return
    except Contended as error:
        raise Overloaded("others announce the same; try again") from error


def _month(organization: Organization, now: datetime) -> str:
    return period_of(now, time_zone(organization.time_zone))
