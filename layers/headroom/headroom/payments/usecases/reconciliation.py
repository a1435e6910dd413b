"""The proof that wallets, their ledger, the pool, the counters and the processor say the same.

What can be brought in line is, by the same steps that should have done it; what remains is drift,
and is announced with what to do about it. An index lags, so what only it says is looked at twice.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from headroom.core.domain.instants import from_millis
from headroom.core.domain.money import NANOS_PER_CENT, format_amount
from headroom.core.domain.periods import day_of, period_of, previous_period, time_zone
from headroom.core.errors import Overloaded
from headroom.core.store import keys
from headroom.core.store.announcements import put_announcement
from headroom.core.store.table import Contended, Item, Key, Refused, Table
from headroom.limits.usecases.thresholds import Announced
from headroom.organizations.domain.organization import Organization
from headroom.organizations.store.organizations import (
    find_organization,
    list_members,
    members_between,
)
from headroom.organizations.store.pool_record import PoolRecord
from headroom.payments.gateways.payments import Payments
from headroom.payments.usecases.budget_changes import follow_budgets
from headroom.payments.usecases.charges import settle
from headroom.payments.usecases.refunds_and_disputes import match_payment
from headroom.payments.usecases.wallets import open_wallet
from headroom.spending.domain.budget import Budget
from headroom.spending.store.budget_record import read_budget
from headroom.spending.store.budgets import list_budgets, walk_budgets
from headroom.spending.store.ledger import list_lines
from headroom.spending.usecases.recall import TOGETHER_MAX, batches
from headroom.wallets.domain.payments import Payment
from headroom.wallets.store.intents import Intent, find_intent, list_intents, parse_key
from headroom.wallets.store.wallets import find_wallet, list_due, list_wallet_entries, read_wallet

DRIFT: Final = "reconciliation.drift_found"
ATTEMPTS_MAX: Final = 5
# Payments are looked at every day until they are this old.
PAYMENTS_BACK: Final = timedelta(days=3)
# Then once in so many days, as long as their holders and banks may still take something back
# (docs.stripe.com/disputes/how-disputes-work: within 120 days); a dispute takes its time.
RETURNS_BACK: Final = timedelta(days=120)
DISPUTES_BACK: Final = timedelta(days=365)
TURN_DAYS: Final = 7
# What is on its way between processor and us needs this long at most.
SETTLING: Final = timedelta(hours=1)
# What is listed at the processor before time is looked at again.
STRETCH: Final = timedelta(minutes=30)
# Budgets read at one instant together with the wallet and the pool.
MOVING_MAX: Final = 98
NEVER_MILLIS: Final = 10**15

ADVICE: Final = {
    "entries": "Stop the organization's reloads, compare its WALLET item with its entries, and "
    "correct it with adjust_wallet.",
    "pool": "Compare the POOL item with the budgets of all members; do not correct the wallet "
    "before it is clear which of them is wrong.",
    "lines": "Compare the member's lines of the period with their budget; a line that is missing "
    "can be sent again by its client under the same id.",
    "statement": "Compare the wallet's entries of the period with the statements before it and "
    "with its closing item; start its close again when they agree, and the statement is written.",
    "payment_missing": "The ledger has a payment that the processor does not know as paid: look it "
    "up there, and take it back with adjust_wallet.",
    "payment_uncredited": "The processor was paid what no wallet was credited: look it up there, "
    "and credit it with adjust_wallet or refund it.",
}


@dataclass(frozen=True, slots=True)
class Drift:
    """Two figures of an organization that should be the same, in nanos."""

    org_id: str
    what: str
    subject: str
    expected: int
    found: int


@dataclass(slots=True)
class Proof:
    """What a reconciliation found: drift, and what has to be looked at once more to be sure.

    `goes_on_after` is where to go on if time ran out, `is_moving` whether money moved too fast
    for the pool to be proved now.
    """

    drifts: list[Drift] = field(default_factory=list)
    suspects: list[str] = field(default_factory=list)
    goes_on_after: str | None = None
    is_moving: bool = False


def wallets_of(table: Table, shard: int, after: str | None = None) -> Iterator[str]:
    """Walk through the organizations of a shard that have a wallet, by id, or what comes after."""
    for org_id in sorted(set(list_due(table, shard, NEVER_MILLIS))):
        if after is None or org_id > after:
            yield org_id


def reconcile_wallet(
    table: Table, payments: Payments, org_id: str, now: datetime, may_go_on: Callable[[], bool]
) -> Proof:
    """Prove one organization's payments, its wallet's entries, and its pool.

    Raises:
        PaymentUnknown: the processor cannot be asked now.
        Overloaded: others are on the wallet; try again.
    """
    proof = Proof()
    organization = _team(table, org_id)
    if organization is not None:
        open_wallet(table, organization, now)
        proof.drifts += _prove_payments(table, payments, organization, now)
        proof.drifts += _prove_entries(table, org_id)
        _prove_pool(table, organization, now, may_go_on, proof)
        _announce_all(table, proof, now)
    return proof


def reconcile_pool(
    table: Table, org_id: str, now: datetime, may_go_on: Callable[[], bool]
) -> Proof:
    """Prove the pool that moved too fast for it before.

    Raises:
        Overloaded: others are on the wallet; try again.
    """
    proof = Proof()
    organization = _team(table, org_id)
    if organization is not None:
        _prove_pool(table, organization, now, may_go_on, proof)
        _announce_all(table, proof, now)
    return proof


def reconcile_lines(
    table: Table,
    org_id: str,
    now: datetime,
    may_go_on: Callable[[], bool],
    *,
    suspected: tuple[str, ...] = (),
    after_user_id: str = "",
) -> Proof:
    """Prove one organization's ledger of usage, member by member from the one said.

    `suspected` are differences that an earlier look saw; if they are still the same they are drift.
    If time runs out the proof says with which member to go on.
    """
    proof = Proof()
    organization = _team(table, org_id)
    if organization is not None:
        _prove_lines(table, organization, now, may_go_on, proof, suspected, after_user_id)
        _announce_all(table, proof, now)
    return proof


def reconcile_payments(
    table: Table,
    payments: Payments,
    now: datetime,
    may_go_on: Callable[[], bool],
    *,
    after: str | None = None,
) -> Proof:
    """Prove that whatever the processor was paid is in a wallet; credit what is not yet.

    It goes through the last days a stretch at a time; if time runs out the proof says after which
    moment to go on.

    Raises:
        PaymentUnknown: the processor cannot be asked now.
    """
    proof = Proof()
    begin = now - PAYMENTS_BACK if after is None else datetime.fromisoformat(after)
    until = now - SETTLING
    while begin < until:
        if not may_go_on():
            proof.goes_on_after = begin.isoformat()
            break
        end = min(begin + STRETCH, until)
        for payment in payments.list_payments(since=begin, until=end):
            drift = _prove_credited(table, payment, now)
            if drift is not None:
                proof.drifts.append(drift)
        begin = end
    _announce_all(table, proof, now)
    return proof


def announce(table: Table, drift: Drift, now: datetime) -> None:
    """Tell of a drift, once a day.

    Raises:
        Overloaded: others announce the same; try again.
    """
    facts = {
        "what": drift.what,
        "subject": drift.subject,
        "expected": format_amount(drift.expected),
        "found": format_amount(drift.found),
        "what_to_do": ADVICE[drift.what],
    }
    event_id = f"{drift.org_id}_drift_{drift.what}_{drift.subject}_{day_of(now)}"
    try:
        table.transact([put_announcement(drift.org_id, event_id, DRIFT, facts, now)])
    except Refused:
        return
    except Contended as error:
        raise Overloaded("others announce the same; try again") from error


def _announce_all(table: Table, proof: Proof, now: datetime) -> None:
    for drift in proof.drifts:
        announce(table, drift, now)


def _team(table: Table, org_id: str) -> Organization | None:
    organization = find_organization(table, org_id)
    return organization if organization is not None and organization.plan == "team" else None


def _prove_credited(table: Table, payment: Payment, now: datetime) -> Drift | None:
    place = parse_key(payment.key or "")
    if place is None or payment.state != "succeeded":
        return None
    org_id, intent_id = place
    intent = find_intent(table, org_id, intent_id)
    if intent is not None and intent.state != "succeeded":
        intent = settle(table, org_id, intent_id, payment, now)
    paid = payment.amount_cents * NANOS_PER_CENT
    if intent is None and intent_id.partition("_")[0] not in ("top", "rld"):
        return None  # Paid for something else than a wallet.
    if intent is None or intent.payment_id != payment.payment_id:
        return Drift(org_id, "payment_uncredited", payment.payment_id, 0, paid)
    if intent.amount != paid:
        return Drift(org_id, "payment_uncredited", payment.payment_id, intent.amount, paid)
    return None


def _prove_payments(
    table: Table, payments: Payments, organization: Organization, now: datetime
) -> list[Drift]:
    drifts = []
    for intent in list_intents(table, organization.org_id):
        if intent.state != "succeeded" or intent.payment_id is None or not _has_turn(intent, now):
            continue
        payment = payments.find_payment(intent.payment_id)
        paid = _paid(payment)
        if payment is None or paid != intent.amount:
            drifts.append(_drift(intent, "payment_missing", intent.payment_id, paid))
        else:
            match_payment(table, payments, organization, intent.intent_id, now, seen=payment)
    return drifts


def _has_turn(intent: Intent, now: datetime) -> bool:
    """Whether a payment is looked at today: by its age, and later on a day of its own."""
    age = now - from_millis(intent.created_at_millis)
    if age <= PAYMENTS_BACK:
        return True
    turn = zlib.crc32(intent.intent_id.encode()) + now.toordinal()
    reach = DISPUTES_BACK if intent.disputed else RETURNS_BACK
    return age <= reach and turn % TURN_DAYS == 0


def _prove_entries(table: Table, org_id: str) -> list[Drift]:
    for _ in range(ATTEMPTS_MAX):
        wallet = find_wallet(table, org_id)
        assert wallet is not None, "it was opened before"
        entries = list(list_wallet_entries(table, org_id))
        again = find_wallet(table, org_id)
        if again is None or again.version != wallet.version:
            continue
        total = sum(entry.amount for entry in entries)
        booked = -sum(entry.amount for entry in entries if entry.kind == "usage")
        drifts = []
        if total != wallet.total:
            drifts.append(Drift(org_id, "entries", "balance", total, wallet.total))
        if booked != sum(wallet.booked.values()):
            figure = sum(wallet.booked.values())
            drifts.append(Drift(org_id, "entries", "booked", booked, figure))
        return drifts
    raise Overloaded("the wallet is too busy to be proved; try again")


def _prove_pool(
    table: Table,
    organization: Organization,
    now: datetime,
    may_go_on: Callable[[], bool],
    proof: Proof,
) -> None:
    """Prove that what the wallet was given is in the pool or with members, held or spent.

    Money moves while the members are walked through. So the budgets that move, all of them in a
    small organization, are read at one instant together with the pool; the others count if they
    were the same before that instant and after it.
    """
    org_id = organization.org_id
    before = _walk(table, organization, now, may_go_on)
    moving = list(before) if before and len(before) <= MOVING_MAX else []
    for _ in range(ATTEMPTS_MAX):
        if before is None or len(moving) > MOVING_MAX:
            break
        try:
            found = table.snapshot([keys.wallet(org_id), keys.pool(org_id), *moving])
        except Contended:
            continue
        after = _walk(table, organization, now, may_go_on)
        if after is None:
            break
        moved = [key for key in before.keys() | after.keys() if before.get(key) != after.get(key)]
        others = set(moved) - set(moving)
        if others:
            moving += others
            before = after
            continue
        wallet_item, pool_item, *items = found
        assert wallet_item is not None, "it was opened before"
        assert pool_item is not None, "an organization is written together with its pool"
        granted = sum(sum_ for key, (sum_, _) in before.items() if key not in set(moving))
        granted += sum(_granted(org_id, key, item) for key, item in zip(moving, items, strict=True))
        funds, given = PoolRecord.of(pool_item).to_domain().funds, read_wallet(wallet_item).given
        if funds + granted != given:
            proof.drifts.append(Drift(org_id, "pool", "funds", given, funds + granted))
        return
    proof.is_moving = True


def _walk(
    table: Table, organization: Organization, now: datetime, may_go_on: Callable[[], bool]
) -> dict[Key, tuple[int, int]] | None:
    """Return what each budget was granted, and what tells whether it moved; None without time."""
    found: dict[Key, tuple[int, int]] = {}
    for members in batches(list_members(table, organization.org_id), TOGETHER_MAX):
        if not may_go_on():
            return None
        budgets: list[Budget] = []
        for member in members:
            for key, budget in walk_budgets(table, organization.org_id, member.user_id):
                budgets.append(budget)
                found[key] = budget.granted, hash(_state(budget))
        # A record that the stream lost for good is made up for here.
        follow_budgets(table, budgets, Announced(), now)
    return found


def _state(budget: Budget) -> tuple[object, ...]:
    return (
        budget.period,
        budget.epoch,
        budget.granted_at_millis,
        budget.granted,
        budget.spent,
        budget.held,
        budget.allotment,
    )


def _granted(org_id: str, key: Key, item: Item | None) -> int:
    return 0 if item is None else read_budget(item, org_id, key.pk.rpartition("#")[2]).granted


def _prove_lines(
    table: Table,
    organization: Organization,
    now: datetime,
    may_go_on: Callable[[], bool],
    proof: Proof,
    suspected: tuple[str, ...],
    after: str,
) -> None:
    running = period_of(now, time_zone(organization.time_zone))
    periods = {running, previous_period(running)}
    if suspected:
        _look_again(table, organization.org_id, suspected, proof)
        return
    for member in members_between(table, organization.org_id, after, ""):
        if not may_go_on():
            proof.goes_on_after = after
            return
        for budget in list_budgets(table, organization.org_id, member.user_id):
            if budget.period in periods:
                difference = _difference(table, budget)
                if difference is not None:
                    proof.suspects.append(difference)
        after = member.user_id


def _look_again(table: Table, org_id: str, suspected: tuple[str, ...], proof: Proof) -> None:
    for suspect in suspected:
        user_id, period, *_ = suspect.split("|")
        for budget in list_budgets(table, org_id, user_id):
            if budget.period == period and _difference(table, budget) == suspect:
                _, _, expected, found = suspect.split("|")
                subject = f"{user_id}_{period}"
                proof.drifts.append(Drift(org_id, "lines", subject, int(expected), int(found)))


def _difference(table: Table, budget: Budget) -> str | None:
    """Return what lines and counters of a budget differ by, None if they agree or it moves."""
    sums: Counter[str] = Counter()
    for line in list_lines(table, budget.org_id, budget.user_id, budget.period):
        sums["spent"] += line.charged
        sums["unbilled"] += line.unbilled
        sums["included"] += line.cost if line.source == "included" else 0
    counted = budget.spent + budget.unbilled + budget.included
    if (sums["spent"], sums["unbilled"], sums["included"]) == (
        budget.spent,
        budget.unbilled,
        budget.included,
    ):
        return None
    return f"{budget.user_id}|{budget.period}|{sums.total()}|{counted}"


def _paid(payment: Payment | None) -> int:
    if payment is None or payment.state != "succeeded":
        return 0
    return payment.amount_cents * NANOS_PER_CENT


def _drift(intent: Intent, what: str, subject: str, found: int) -> Drift:
    return Drift(intent.org_id, what, subject, intent.amount, found)
