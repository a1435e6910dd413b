"""Where everything lies in the table. The README of the layer shows these as one table."""

from __future__ import annotations

import zlib
from typing import Final

from headroom.core.store.table import Key

DUE_SHARDS: Final = 16


def settings(org_id: str) -> Key:
    """The organization's settings."""
    return Key(f"ORG#{org_id}", "SETTINGS")


def provisioning(org_id: str) -> Key:
    """Which document an organization is made from, from the first attempt on."""
    return Key(f"ORG#{org_id}", "PROVISIONING")


def pool(org_id: str) -> Key:
    """What is not handed out in the current period."""
    return Key(f"ORG#{org_id}", "POOL")


def past_pool(org_id: str, period: str) -> Key:
    """The pool as a period that is over left it."""
    return Key(f"ORG#{org_id}", f"POOL#{period}")


def wallet(org_id: str) -> Key:
    """A Team organization's wallet."""
    return Key(f"ORG#{org_id}", "WALLET")


def wallet_entry(org_id: str, version: int) -> Key:
    """The change that brought a wallet to this version; sorts as the changes happened."""
    return Key(f"ORG#{org_id}#WALLET", f"ENTRY#{version:012d}")


def payment_intent(org_id: str, intent_id: str) -> Key:
    """A payment that was meant, and what became of it."""
    return Key(f"ORG#{org_id}#PAYMENTS", f"INTENT#{intent_id}")


def operation(org_id: str, operation_id: str) -> Key:
    """What an operator, or the processor, did to a wallet, once: a credit, a refund, a dispute."""
    return Key(f"ORG#{org_id}#PAYMENTS", f"OPERATION#{operation_id}")


def customer(customer_id: str) -> Key:
    """Whose customer at the payment processor this is."""
    return Key(f"CUSTOMER#{customer_id}", "CUSTOMER")


def payer(org_id: str) -> Key:
    """The customer at the payment processor that an organization's invoices are charged to."""
    return Key(f"ORG#{org_id}", "PAYER")


def member(org_id: str, user_id: str) -> Key:
    """A member's profile, listed by organization."""
    return Key(f"ORG#{org_id}#MEMBERS", f"MEMBER#{user_id}")


def staff_of(org_id: str) -> str:
    """The partition of index `by_member` with those who are more than members."""
    return f"ORG#{org_id}#STAFF"


def budget(org_id: str, user_id: str) -> Key:
    """A member's current budget, alone in its partition with their past ones."""
    return Key(f"ORG#{org_id}#MEMBER#{user_id}", "BUDGET")


def past_budget(org_id: str, user_id: str, period: str) -> Key:
    """A member's budget of a period that is over, with the holds still open from it."""
    return Key(f"ORG#{org_id}#MEMBER#{user_id}", f"BUDGET#{period}")


def owner_of_budget(pk: str, sk: str) -> tuple[str, str] | None:
    """Return organization and user of a budget, current or past; None if the item is no budget."""
    kind, _, rest = pk.partition("#")
    org_id, _, user = rest.partition("#MEMBER#")
    if kind != "ORG" or not user or sk.partition("#")[0] != "BUDGET":
        return None
    return org_id, user


def owner_of_wallet(pk: str, sk: str) -> str | None:
    """Return the organization whose wallet lies there, None if it is something else."""
    kind, _, org_id = pk.partition("#")
    return org_id if kind == "ORG" and "#" not in org_id and sk == "WALLET" else None


def registration(org_id: str, user_id: str) -> Key:
    """A member who may hold an allotment or an open hold."""
    return Key(f"ORG#{org_id}#REGISTRY", f"MEMBER#{user_id}")


def line(org_id: str, event_id: str) -> Key:
    """A usage line of the ledger; the key is what makes an event unique in an organization."""
    return Key(f"ORG#{org_id}#EVENT#{event_id}", "LINE")


def lines_of(org_id: str, user_id: str, period: str) -> str:
    """The partition of index `by_member` with a member's lines of one period."""
    return f"ORG#{org_id}#MEMBER#{user_id}#{period}"


def unpriced_of(org_id: str) -> str:
    """The partition of index `by_member` with the usage that has no price yet."""
    return f"ORG#{org_id}#UNPRICED"


def receipt(org_id: str, idempotency_key: str) -> Key:
    """The first answer to a request that came with an Idempotency-Key."""
    return Key(f"ORG#{org_id}#IDEMPOTENCY#{idempotency_key}", "RECEIPT")


def payment_event(event_id: str) -> Key:
    """Something that the payment processor told us; the key is what makes it once."""
    return Key(f"PAYMENT_EVENT#{event_id}", "EVENT")


def audit(org_id: str, version: int) -> Key:
    """The change that brought the settings to this version; sorts as the changes happened."""
    return Key(f"ORG#{org_id}#AUDIT", f"CHANGE#{version:012d}")


def audit_note(org_id: str, version: int, name: str) -> Key:
    """Something that was done while the settings were of this version, and did not change them."""
    return Key(f"ORG#{org_id}#AUDIT", f"CHANGE#{version:012d}#{name}")


def limit(org_id: str, scope_type: str, scope_id: str, period: str) -> Key:
    """A spend limit as it is listed: the organization's first, then tiers', then members'."""
    rank = {"organization": 0, "seat_tier": 1, "user": 2}[scope_type]
    return Key(f"ORG#{org_id}#LIMITS", f"{rank}#{scope_type}#{scope_id}#{period}")


def increase_request(org_id: str, request_id: str) -> Key:
    """A member's request for more; its id sorts as the requests were made."""
    return Key(f"ORG#{org_id}#REQUESTS", f"REQUEST#{request_id}")


def pending_request(org_id: str, user_id: str) -> Key:
    """The one request of a member that waits for an answer."""
    return Key(f"ORG#{org_id}#PENDING", f"MEMBER#{user_id}")


def announcement(org_id: str, event_id: str) -> Key:
    """Something that the event bus is to hear of, once; the stream passes it on."""
    return Key(f"ORG#{org_id}#ANNOUNCEMENTS", f"EVENT#{event_id}")


def mail(org_id: str, event_id: str, user_id: str) -> Key:
    """That a person is told of an event by mail: written before, so that it happens once."""
    return Key(f"ORG#{org_id}#MAIL#{event_id}", f"MEMBER#{user_id}")


def webhook_endpoint(org_id: str, endpoint_id: str) -> Key:
    """Where an organization wants its events to be sent."""
    return Key(f"ORG#{org_id}#WEBHOOKS", f"ENDPOINT#{endpoint_id}")


def webhook_delivery(org_id: str, delivery_id: str) -> Key:
    """One event on its way to one endpoint; its id sorts as the events happened."""
    return Key(f"ORG#{org_id}#DELIVERIES", f"DELIVERY#{delivery_id}")


def spend_total(org_id: str, period: str) -> Key:
    """What an organization has spent in a period, as far as the stream was followed."""
    return Key(f"ORG#{org_id}#SPEND#{period}", "TOTAL")


def spend_of(org_id: str, period: str, user_id: str) -> Key:
    """How much of a member's spending the total contains."""
    return Key(f"ORG#{org_id}#SPEND#{period}", f"MEMBER#{user_id}")


def refusal(org_id: str, at_millis: int, user_id: str) -> Key:
    """A refusal that an operator may look at; sorts as they happened."""
    return Key(f"ORG#{org_id}#REFUSALS", f"AT#{at_millis:015d}#{user_id}")


def closing(org_id: str, period: str) -> Key:
    """How far the close of a billing period has come."""
    return Key(f"ORG#{org_id}#CLOSINGS", f"PERIOD#{period}")


def invoice(org_id: str, invoice_id: str) -> Key:
    """An invoice, statement or credit note; ids sort as periods do."""
    return Key(f"ORG#{org_id}#INVOICES", f"INVOICE#{invoice_id}")


def invoice_series(org_id: str, kind: str) -> Key:
    """The last number of an organization's series of documents of one kind."""
    return Key(f"ORG#{org_id}", f"SERIES#{kind}")


def booking(org_id: str, booking_id: str) -> Key:
    """A ledger entry that is no usage: a rounding, or a credit."""
    return Key(f"ORG#{org_id}#BOOKINGS", f"BOOKING#{booking_id}")


def rate(org_id: str, minute: str) -> Key:
    """How often an organization called the Spend Limits API in one minute."""
    return Key(f"ORG#{org_id}#RATE", f"MINUTE#{minute}")


def api_key(digest: str) -> Key:
    """An API key by the hash of its secret."""
    return Key(f"KEY#{digest}", "KEY")


def organization_key(org_id: str, key_id: str) -> Key:
    """An API key as its organization lists it."""
    return Key(f"ORG#{org_id}", f"KEY#{key_id}")


def shard_of(org_id: str, user_id: str) -> int:
    """Return which shard of the sweeper's index a member belongs to."""
    return zlib.crc32(f"{org_id}#{user_id}".encode()) % DUE_SHARDS


def closing_shard(shard: int) -> str:
    """A partition of index `by_due` with the periods that are to be closed."""
    return f"CLOSING#{shard}"


def invoice_shard(shard: int) -> str:
    """A partition of index `by_due` with the invoices that somebody has yet to pay."""
    return f"INVOICE#{shard}"


def digest_shard(shard: int) -> str:
    """A partition of index `by_due` with the requests that wait for an answer."""
    return f"DIGEST#{shard}"


def wallet_shard(org_id: str) -> str:
    """The partition of index `by_due` that an organization's wallet is found in."""
    return wallets_due(zlib.crc32(org_id.encode()) % DUE_SHARDS)


def wallets_due(shard: int) -> str:
    """A partition of index `by_due` with wallets and when to look at each next."""
    return f"WALLETS#{shard}"


def payment_event_shard(event_id: str) -> str:
    """The partition of index `by_due` with an event of the processor until it was acted on."""
    return unfinished_shard(zlib.crc32(event_id.encode()) % DUE_SHARDS)


def unfinished_shard(shard: int) -> str:
    """A partition of index `by_due` with events of the processor that wait to be acted on."""
    return f"PAYMENT_EVENTS#{shard}"


def unpriced_shard(org_id: str, event_id: str) -> str:
    """The partition of index `by_due` that an event without a price is found in."""
    return unpriced_due(zlib.crc32(f"{org_id}#{event_id}".encode()) % DUE_SHARDS)


def unpriced_due(shard: int) -> str:
    """A partition of index `by_due` with events without a price and when to try each again."""
    return f"UNPRICED#{shard}"


def due_shard(shard: int) -> str:
    """A partition of index `by_due`, in which the sweeper finds whom to look at next."""
    return f"DUE#{shard}"
