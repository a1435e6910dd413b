"""Top-ups: bought by a person, once for each Idempotency-Key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from headroom.core.domain.actor import Actor
from headroom.core.domain.instants import to_millis
from headroom.core.domain.money import format_amount
from headroom.core.domain.periods import period_of, time_zone
from headroom.core.errors import Conflict, InvalidRequest, Overloaded, PaymentDeclined
from headroom.core.store.table import Change, Table
from headroom.limits.usecases.settings import Reason, change_organization
from headroom.organizations.domain.audit import Facts
from headroom.organizations.domain.organization import Organization
from headroom.payments.gateways.payments import PaymentMethodRefused, Payments, PaymentUnknown
from headroom.payments.usecases.charges import pursue
from headroom.payments.usecases.refunds_and_disputes import hold_to_account
from headroom.payments.usecases.wallets import open_wallet, until_it_holds
from headroom.wallets.domain.payments import PaymentMethod
from headroom.wallets.domain.reload import PENDING_LOOK, PaymentTerms
from headroom.wallets.domain.wallet import PendingPayment, Wallet
from headroom.wallets.store.intents import Intent, create_intent, find_intent, intent_id_of
from headroom.wallets.store.wallets import (
    entry_to_wire,
    find_entry,
    put_customer,
    put_wallet,
    save_wallet,
)
from headroom.wallets.usecases.cancelled_reloads import disown_reloads

METHOD_CHANGED: Final = "wallet.payment_method_changed"
# Lots share the wallet's item; a wallet with so many unspent purchases needs no further one.
LOTS_MAX: Final = 500
PENDING_MAX: Final = 20

_STATUS: Final = {
    "created": "pending",
    "charging": "pending",
    "needs_action": "requires_action",
    "succeeded": "succeeded",
}


@dataclass(frozen=True, slots=True)
class TopUp:
    """What a person asks for. `request` is the hash of it, `key` the Idempotency-Key."""

    amount: int
    payment_method_id: str | None
    key: str
    request: str


def top_up(
    table: Table,
    payments: Payments,
    organization: Organization,
    asked: TopUp,
    terms: PaymentTerms,
    actor: Actor,
    now: datetime,
) -> dict[str, Any]:
    """Buy money for the wallet, and return the top-up as the wire has it.

    The same key finds the same payment, goes on with it if it was cut off, and answers with what
    became of it.

    Raises:
        InvalidRequest: the amount is out of bounds, or there is no payment method.
        PaymentDeclined: nothing was charged.
        Conflict: the key was used for another request, or too long ago for one that was cut off.
        Overloaded: try again, with the same key.
    """
    intent_id = intent_id_of("top", organization.org_id, f"top_up|{asked.key}")
    intent = find_intent(table, organization.org_id, intent_id)
    if intent is None:
        least, most = (format_amount(bound) for bound in (terms.least, terms.most))
        if not terms.least <= asked.amount <= terms.most:
            raise InvalidRequest("amount", f"must be from {least} to {most}")
        saved = None
        if asked.payment_method_id is not None:
            try:
                saved = _save_method(
                    table, payments, organization, asked.payment_method_id, actor, now
                )
            except PaymentDeclined as declined:
                # Filed like any other outcome, so that the key means this request from now on.
                intent = _file_refused(table, organization, intent_id, asked, declined, now)
        intent = intent or _begin(table, organization, intent_id, asked, saved, now)
    if intent.request != asked.request:
        raise Conflict("Idempotency-Key: it was used before for another request")
    intent = pursue(table, payments, intent, now)
    if intent.state == "succeeded":
        # What is owed is paid first.
        hold_to_account(table, organization, now)
    return _answer(table, payments, intent)


def save_payment_method(
    table: Table,
    payments: Payments,
    organization: Organization,
    payment_method_id: str,
    actor: Actor,
    now: datetime,
) -> PaymentMethod:
    """Save a payment method as the one that is charged; a breaker for another one is reset.

    Raises:
        PaymentMethodRefused: the processor does not take it.
        PaymentUnknown: the processor did not answer; repeat it.
        Overloaded: others are on the wallet; repeat it.
    """
    wallet = open_wallet(table, organization, now)
    customer_id = wallet.customer_id
    if customer_id is None:
        customer_id = payments.create_customer(org_id=organization.org_id, name=organization.name)
        until_it_holds(lambda: _keep_customer(table, organization, customer_id, now))
    method = payments.save_payment_method(customer_id, payment_method_id)
    keep_payment_method(table, organization, method, actor, now)
    return method


def keep_payment_method(
    table: Table,
    organization: Organization,
    method: PaymentMethod | None,
    actor: Actor,
    now: datetime,
) -> None:
    """Remember which payment method the processor charges; a reload that waited for it may go on.

    Reloads that were begun with another one are disowned.

    Raises:
        Overloaded: others are on the wallet; repeat it.
    """
    seen = open_wallet(table, organization, now)
    if seen.payment_method == method:
        return

    def also() -> Sequence[Change]:
        nonlocal seen
        seen = open_wallet(table, organization, now)
        is_same = (
            method is not None
            and seen.breaker is not None
            and seen.breaker.payment_method_id == method.payment_method_id
        )
        disowned, changes = disown_reloads(table, seen, now)
        after = replace(
            disowned,
            version=seen.version + 1,
            payment_method=method,
            breaker=seen.breaker if is_same else None,
            crossed=seen.auto_reload is not None and method is not None,
            due_at_millis=to_millis(now),
        )
        return [put_wallet(seen, after), *changes]

    def told() -> tuple[Facts, Facts]:
        return _facts(seen.payment_method), _facts(method)

    change_organization(
        table,
        organization.org_id,
        lambda old: replace(old, set_up=old.set_up | {"payment"}),
        now,
        Reason(actor, METHOD_CHANGED, also, even_if_same=True, told=told),
    )


def _save_method(
    table: Table,
    payments: Payments,
    organization: Organization,
    payment_method_id: str,
    actor: Actor,
    now: datetime,
) -> PaymentMethod:
    try:
        return save_payment_method(table, payments, organization, payment_method_id, actor, now)
    except PaymentMethodRefused as refused:
        raise PaymentDeclined(refused.code) from refused
    except PaymentUnknown as error:
        raise Overloaded("the payment processor did not answer; try again") from error


def _keep_customer(
    table: Table, organization: Organization, customer_id: str, now: datetime
) -> Wallet:
    wallet = open_wallet(table, organization, now)
    if wallet.customer_id == customer_id:
        return wallet
    also = [put_customer(organization.org_id, customer_id)]
    return save_wallet(table, wallet, replace(wallet, customer_id=customer_id), also)


def _begin(
    table: Table,
    organization: Organization,
    intent_id: str,
    asked: TopUp,
    saved: PaymentMethod | None,
    now: datetime,
) -> Intent:
    """Write the intent, with the method that was saved for it whichever was saved since."""

    def attempt() -> Intent:
        # A second request with the same key may have been faster.
        if found := find_intent(table, organization.org_id, intent_id):
            return found
        wallet = open_wallet(table, organization, now)
        method = saved or wallet.payment_method
        if method is None or wallet.customer_id is None:
            raise InvalidRequest("payment_method", "must be given: none is saved yet")
        if len(wallet.lots) >= LOTS_MAX or len(wallet.pending) >= PENDING_MAX:
            raise Conflict("wallet: it has too many unspent purchases, or payments under way")
        intent = _intent(
            organization, intent_id, asked, wallet.customer_id, method.payment_method_id, now
        )
        pending = PendingPayment(intent_id, "purchase", asked.amount, to_millis(now))
        begun = replace(
            wallet,
            pending=(*wallet.pending, pending),
            due_at_millis=to_millis(now + PENDING_LOOK),
        )
        save_wallet(table, wallet, begun, [create_intent(intent)])
        return intent

    return until_it_holds(attempt)


def _file_refused(
    table: Table,
    organization: Organization,
    intent_id: str,
    asked: TopUp,
    declined: PaymentDeclined,
    now: datetime,
) -> Intent:
    """Write that a top-up was refused before there was anything to charge."""

    def attempt() -> Intent:
        if found := find_intent(table, organization.org_id, intent_id):
            return found
        wallet = open_wallet(table, organization, now)
        intent = replace(
            _intent(
                organization,
                intent_id,
                asked,
                wallet.customer_id or "",
                asked.payment_method_id or "",
                now,
            ),
            state="declined",
            decline_code=declined.decline_code,
        )
        table.transact([create_intent(intent)])
        return intent

    return until_it_holds(attempt)


def _intent(
    organization: Organization,
    intent_id: str,
    asked: TopUp,
    customer_id: str,
    payment_method_id: str,
    now: datetime,
) -> Intent:
    return Intent(
        org_id=organization.org_id,
        intent_id=intent_id,
        kind="purchase",
        amount=asked.amount,
        currency=organization.currency,
        state="created",
        created_at_millis=to_millis(now),
        month=period_of(now, time_zone(organization.time_zone)),
        customer_id=customer_id,
        payment_method_id=payment_method_id,
        request=asked.request,
    )


def _answer(table: Table, payments: Payments, intent: Intent) -> dict[str, Any]:
    if intent.state == "declined":
        raise PaymentDeclined(intent.decline_code or "declined")
    if intent.state == "voided":
        raise Conflict(
            "Idempotency-Key: this top-up was given up before it was paid; use a new key"
        )
    answer: dict[str, Any] = {
        "type": "wallet_top_up",
        "id": intent.intent_id,
        "amount": format_amount(intent.amount),
        "status": _STATUS[intent.state],
        "entry": None,
    }
    if intent.entry_version is not None:
        item = find_entry(table, intent.org_id, intent.entry_version)
        assert item is not None, "the entry was written with the intent"
        answer["entry"] = entry_to_wire(item)
    if intent.state == "needs_action" and intent.payment_id is not None:
        try:
            payment = payments.find_payment(intent.payment_id)
        except PaymentUnknown:
            payment = None
        # Told to whoever pays, and kept nowhere.
        answer["client_secret"] = payment.client_secret if payment else None
    return answer


def _facts(method: PaymentMethod | None) -> Facts:
    if method is None:
        return {"payment_method": None}
    return {"payment_method": f"{method.brand} {method.last4}"}
