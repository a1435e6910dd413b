"""Wallets and their ledger: each change is the item, its entry and the pool's money, or nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from headroom.core.domain.instants import from_millis, to_wire
from headroom.core.domain.money import format_amount
from headroom.core.store import keys
from headroom.core.store.records import wire_moment
from headroom.core.store.table import Change, Item, Key, Page, Put, Range, Table, Update, each
from headroom.organizations.domain.organization import Organization
from headroom.organizations.store.pool_record import PoolRecord
from headroom.organizations.store.settings_record import SettingsRecord
from headroom.wallets.domain.payments import PaymentMethod
from headroom.wallets.domain.wallet import (
    AutoReload,
    Breaker,
    Entry,
    Lot,
    LotKind,
    PendingPayment,
    ReloadFigures,
    Step,
    Wallet,
)
from headroom.wallets.store.records import CustomerRecord, WalletEntryRecord, WalletRecord


def find_wallet(table: Table, org_id: str) -> Wallet | None:
    """Return an organization's wallet, None if it has none (yet)."""
    item = table.get(keys.wallet(org_id))
    return None if item is None else read_wallet(item)


def put_wallet(old: Wallet | None, new: Wallet) -> Put:
    """Return the write of a wallet, refused if it is not `old` any more."""
    key = keys.wallet(new.org_id)
    condition: Condition = (
        WalletRecord.pk.does_not_exist() if old is None else WalletRecord.version == old.version
    )
    return Put(key, _record(key, new).to_item(), condition)


def save_wallet(table: Table, old: Wallet, new: Wallet, also: Sequence[Change] = ()) -> Wallet:
    """Write a wallet whose money did not change, under its next version.

    Raises:
        Refused: first the wallet (it is not `old` any more), then what else is written.
        Contended: others are on it.
    """
    new = replace(new, version=old.version + 1)
    table.transact([put_wallet(old, new), *also])
    return new


def take_step(
    table: Table,
    old: Wallet,
    step: Step,
    also: Sequence[Change] = (),
    *,
    audited: Organization | None = None,
    funds_seen: int = 0,
) -> Wallet:
    """Write a change of the wallet's money: the wallet, its entry, and the pool's, together.

    With `audited` the settings' version counts on from there, for the audit entry in `also`.
    With `funds_seen` it is refused if the pool has less than that by now.

    Raises:
        Refused: the wallet (first), the pool or something else is not what it was.
        Contended: others are on them.
    """
    table.transact([*step_changes(old, step, audited=audited, funds_seen=funds_seen), *also])
    return step.wallet


def step_changes(
    old: Wallet, step: Step, *, audited: Organization | None = None, funds_seen: int = 0
) -> list[Change]:
    """Return the writes of a change of the wallet's money; the wallet itself is the first.

    What is taken must be in the pool: what is handed out belongs to whoever holds it.
    """
    changes: list[Change] = [put_wallet(old, step.wallet), put_entry(step.entry)]
    actions: list[Action] = []
    condition: Condition = PoolRecord.pk.exists()
    if step.moved:
        actions += [
            PoolRecord.funds.set(PoolRecord.funds + step.moved),
            PoolRecord.moves.add(1),
        ]
    if step.moved > 0 and step.wallet.auto_reload is not None:
        actions += _asking(step.wallet.auto_reload.threshold, step.wallet.cool_until_millis)
    if step.moved < 0:
        condition &= PoolRecord.funds >= max(-step.moved, funds_seen)
    if audited is not None:
        version = audited.version + 1
        actions.append(PoolRecord.version.set(version))
        condition &= PoolRecord.version == audited.version
        changes.append(
            Update(
                keys.settings(audited.org_id),
                [SettingsRecord.version.set(version)],
                SettingsRecord.version == audited.version,
            )
        )
    if actions:
        changes.append(Update(keys.pool(old.org_id), actions, condition))
    return changes


def let_grants_ask(wallet: Wallet, at: int, from_millis: int, *, above: bool) -> Update:
    """Let the grant that takes the pool's funds to `at`, from a moment on, ask for a reload.

    If they are said to be `above` it, it is refused should they be there by now.
    """
    condition = PoolRecord.funds > at if above else PoolRecord.pk.exists()
    return Update(keys.pool(wallet.org_id), _asking(at, from_millis), condition)


def _asking(at: int, from_millis: int) -> list[Action]:
    return [PoolRecord.reload_at.set(at), PoolRecord.reload_from.set(from_millis)]


def put_entry(entry: Entry) -> Put:
    """Return the write of an entry."""
    key = keys.wallet_entry(entry.org_id, entry.version)
    record = WalletEntryRecord(
        key.pk,
        key.sk,
        org_id=entry.org_id,
        entry_id=entry.entry_id,
        version=entry.version,
        kind=entry.kind,
        amount=entry.amount,
        balance=entry.balance,
        created_at=wire_moment(entry.at),
        lot_expires_at=entry.expires_at_millis,
        payment_id=entry.payment_id,
        period=entry.period,
        description=entry.description,
    )
    return Put(key, record.to_item(), WalletEntryRecord.pk.does_not_exist())


def find_entry(table: Table, org_id: str, version: int) -> Item | None:
    """Return the entry that brought a wallet to a version."""
    return table.get(keys.wallet_entry(org_id, version))


def entries_of(org_id: str) -> Range:
    """Where a wallet's entries lie, the newest first."""
    return Range(f"ORG#{org_id}#WALLET", descending=True)


def entries_page(table: Table, org_id: str, *, limit: int, start: Item | None) -> Page:
    """Return a page of a wallet's entries, the newest first."""
    return table.query(entries_of(org_id), limit=limit, start=start)


def list_wallet_entries(
    table: Table, org_id: str, *, first: int = 0
) -> Iterator[WalletEntryRecord]:
    """Walk through a wallet's entries as they happened, from that of version `first` on."""
    start = keys.wallet_entry(org_id, first - 1).attributes() if first > 0 else None
    for item in each(table, Range(f"ORG#{org_id}#WALLET", prefix="ENTRY#"), start):
        yield WalletEntryRecord.of(item)


def entry_to_wire(item: Item) -> dict[str, Any]:
    """Return an entry as the wire has it."""
    record = WalletEntryRecord.of(item)
    expires_at = cast("int | None", record.lot_expires_at)
    return {
        "type": "wallet_entry",
        "id": record.entry_id,
        "kind": record.kind,
        "amount": format_amount(record.amount),
        "balance": format_amount(record.balance),
        "created_at": record.created_at,
        "expires_at": None if expires_at is None else to_wire(from_millis(expires_at)),
        "payment_id": record.payment_id,
        "period": record.period,
        "description": record.description,
    }


def put_customer(org_id: str, customer_id: str) -> Put:
    """Return the write that says whose customer this is."""
    key = keys.customer(customer_id)
    record = CustomerRecord(key.pk, key.sk, org_id=org_id)
    condition = CustomerRecord.pk.does_not_exist() | (CustomerRecord.org_id == org_id)
    return Put(key, record.to_item(), condition)


def find_customer(table: Table, customer_id: str) -> str | None:
    """Return the id of the organization whose customer this is, None if we know none."""
    item = table.get(keys.customer(customer_id))
    return None if item is None else CustomerRecord.of(item).org_id


def list_due(table: Table, shard: int, until_millis: int) -> Iterator[str]:
    """Walk through the organizations of a shard whose wallets should be looked at by then."""
    due = Range(keys.wallets_due(shard), index="by_due", until=until_millis)
    for item in each(table, due):
        yield item["org_id"]["S"]


def read_wallet(item: Item) -> Wallet:
    """Read a wallet."""
    record = WalletRecord.of(item)
    method = cast("dict[str, str] | None", record.payment_method)
    breaker = cast("dict[str, str] | None", record.breaker)
    return Wallet(
        org_id=record.org_id,
        version=record.version,
        lots=tuple(_lot(raw) for raw in cast("list[dict[str, Any]]", record.lots)),
        booked=cast("dict[str, int]", record.booked),
        owed=cast("dict[str, int]", record.owed),
        auto_reload=_auto(record.auto_reload),
        auto_reload_was=_figures(record.auto_reload_was or record.auto_reload_said),
        pending=tuple(_pending(raw) for raw in cast("list[dict[str, Any]]", record.pending)),
        refunds=tuple(cast("list[str]", record.refunds)),
        month=record.month,
        reloaded=record.reloaded,
        reloads=record.reloads,
        credits=record.credits,
        last_credit=record.last_credit,
        emptied=record.emptied,
        breaker=Breaker(breaker["payment_method_id"], breaker["code"]) if breaker else None,
        cool_until_millis=record.cool_until,
        customer_id=record.customer_id,
        payment_method=(
            PaymentMethod(method["id"], method["brand"], method["last4"]) if method else None
        ),
        crossed=record.crossed,
        looked_at_millis=record.looked_at,
        due_at_millis=record.due_at,
    )


def _record(key: Key, wallet: Wallet) -> WalletRecord:
    method, breaker, was = wallet.payment_method, wallet.breaker, wallet.auto_reload_was
    is_whole = was is not None and None not in (was.threshold, was.amount)
    return WalletRecord(
        key.pk,
        key.sk,
        org_id=wallet.org_id,
        version=wallet.version,
        lots=[_lot_to_json(lot) for lot in wallet.lots],
        booked=dict(wallet.booked),
        owed=dict(wallet.owed),
        auto_reload=_auto_to_json(wallet.auto_reload),
        # The release before reads figures only where there is an amount and a threshold.
        auto_reload_was=_auto_to_json(was) if is_whole else None,
        auto_reload_said=None if is_whole else _auto_to_json(was),
        pending=[
            {
                "id": payment.intent_id,
                "kind": payment.kind,
                "amount": payment.amount,
                "at": payment.created_at_millis,
                "needs_action": payment.needs_action,
                "unwanted": payment.unwanted,
            }
            for payment in wallet.pending
        ],
        refunds=list(wallet.refunds),
        month=wallet.month,
        reloaded=wallet.reloaded,
        reloads=wallet.reloads,
        credits=wallet.credits,
        last_credit=wallet.last_credit,
        emptied=wallet.emptied,
        breaker=(
            {"payment_method_id": breaker.payment_method_id, "code": breaker.decline_code}
            if breaker
            else None
        ),
        cool_until=wallet.cool_until_millis,
        customer_id=wallet.customer_id,
        payment_method=(
            {"id": method.payment_method_id, "brand": method.brand, "last4": method.last4}
            if method
            else None
        ),
        crossed=wallet.crossed,
        looked_at=wallet.looked_at_millis,
        due_shard=keys.wallet_shard(wallet.org_id),
        due_at=wallet.due_at_millis,
    )


def _lot_to_json(lot: Lot) -> dict[str, Any]:
    return {
        "id": lot.lot_id,
        "kind": lot.kind,
        "amount": lot.amount,
        "remaining": lot.remaining,
        "at": lot.created_at_millis,
        "expires": lot.expires_at_millis,
        "payment": lot.payment_id,
        "noticed": lot.noticed,
    }


def _lot(raw: Mapping[str, Any]) -> Lot:
    return Lot(
        raw["id"],
        cast("LotKind", raw["kind"]),
        raw["amount"],
        raw["remaining"],
        raw["at"],
        raw["expires"],
        raw["payment"],
        raw["noticed"],
    )


def _pending(raw: Mapping[str, Any]) -> PendingPayment:
    return PendingPayment(
        raw["id"],
        raw["kind"],
        raw["amount"],
        raw["at"],
        raw["needs_action"],
        raw.get("unwanted", False),
    )


def _auto_to_json(auto: AutoReload | ReloadFigures | None) -> dict[str, Any] | None:
    if auto is None:
        return None
    return {"threshold": auto.threshold, "amount": auto.amount, "limit": auto.monthly_limit}


def _auto(raw: object) -> AutoReload | None:
    if raw is None:
        return None
    fields = cast("dict[str, Any]", raw)
    return AutoReload(fields["threshold"], fields["amount"], fields["limit"])


def _figures(raw: object) -> ReloadFigures | None:
    if raw is None:
        return None
    fields = cast("dict[str, Any]", raw)
    return ReloadFigures(fields["threshold"], fields["amount"], fields["limit"])
