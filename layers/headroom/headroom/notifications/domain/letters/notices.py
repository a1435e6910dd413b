"""Which events people hear of by mail, and which people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Literal

from headroom.core.domain.money import NANOS_PER_CENT
from headroom.limits.domain.thresholds import crossed
from headroom.organizations.domain.mail_topics import Topic

# Owners: the primary one among them. Reviewers: admins as well. Member: the one it is about.
Audience = Literal["owners", "reviewers", "member"]


@dataclass(frozen=True, slots=True)
class Notice:
    """An event as people are told of it; `name` says which words.

    `facts` are the event's own, as the bus carries them. `user_id` is whom it is about, if that
    is one member, and `by` who did it, if the letter says so. Without a topic nobody can switch it
    off.
    """

    name: str
    topic: Topic | None
    audience: Audience
    facts: Mapping[str, Any]
    user_id: str | None = None
    by: str | None = None


def notice_of(detail_type: str, detail: Mapping[str, Any]) -> Notice | None:
    """Return what people are told of an event, None if it is not for mail."""
    read = _READERS.get(detail_type)
    return None if read is None else read(detail)


def _threshold(detail: Mapping[str, Any]) -> Notice | None:
    level = detail["threshold_percent"]
    if _surpassed(detail, level):
        return None
    word = "reached" if level >= 100 else "near"
    scope = detail["scope"]
    if scope["type"] == "user":
        return Notice(f"own_limit_{word}", "own_limits", "member", detail, scope["user_id"])
    return Notice(f"organization_limit_{word}", "spend_limits", "owners", detail)


def _surpassed(detail: Mapping[str, Any], level: int) -> bool:
    """Tell whether a higher threshold was crossed at the same moment; its own event tells that."""
    try:
        spent, amount = (
            int(Decimal(detail[name]) * NANOS_PER_CENT)
            for name in ("period_to_date_spend", "amount")
        )
    except (KeyError, InvalidOperation):
        return False
    return any(higher > level for higher in crossed(spent, amount))


def _low(detail: Mapping[str, Any]) -> Notice:
    """A wallet that goes from plenty to nothing at once is announced as low, once."""
    is_empty = detail.get("balance") == "0"
    return Notice("wallet_empty" if is_empty else "wallet_low", "wallet", "owners", detail)


def _empty(detail: Mapping[str, Any]) -> Notice:
    """Somebody was refused for the wallet: something may be left, but held, or less than asked."""
    is_short = "free" in detail and detail.get("balance") != "0"
    return Notice("wallet_short" if is_short else "wallet_empty", "wallet", "owners", detail)


def _decision(name: str) -> Callable[[Mapping[str, Any]], Notice | None]:
    def read(detail: Mapping[str, Any]) -> Notice | None:
        # Whoever decided may have asked that nobody be notified.
        if not detail.get("notify", True):
            return None
        return Notice(name, "decisions", "member", detail, detail["user_id"])

    return read


def _money_returned(detail: Mapping[str, Any]) -> Notice:
    name = "money_disputed" if detail.get("reason") == "dispute" else "money_refunded"
    return Notice(name, "payments", "owners", detail)


def _role_raised(detail: Mapping[str, Any]) -> Notice:
    """Whoever has taken an owner's account must not be able to keep the owners from hearing it."""
    facts = {**detail, "role": detail["after"]["role"]}
    return Notice("role_raised", None, "owners", facts, detail["subject"], by=detail["actor"]["id"])


def _finalized(detail: Mapping[str, Any]) -> Notice:
    kind = detail.get("kind", "invoice")
    return Notice(f"{kind}_ready", "invoices", "owners", detail)


def _told(
    name: str, topic: Topic, audience: Audience = "owners"
) -> Callable[[Mapping[str, Any]], Notice | None]:
    return lambda detail: Notice(name, topic, audience, detail)


_READERS: Final[Mapping[str, Callable[[Mapping[str, Any]], Notice | None]]] = {
    "member.role_raised": _role_raised,
    "spend_limit.threshold_reached": _threshold,
    "spend_limit.increase_requests_outstanding": _told(
        "requests_outstanding", "increase_requests", "reviewers"
    ),
    "spend_limit.increase_approved": _decision("request_approved"),
    "spend_limit.increase_denied": _decision("request_denied"),
    "wallet.low": _low,
    "wallet.empty": _empty,
    "wallet.reload_failed": _told("reload_failed", "reloads"),
    "wallet.reload_needs_action": _told("reload_needs_action", "reloads"),
    "wallet.credit_expiring": _told("credit_expiring", "credits"),
    "wallet.money_returned": _money_returned,
    "invoice.finalized": _finalized,
    "invoice.past_due": _told("invoice_past_due", "payments"),
    "webhook_endpoint.disabled": _told("webhook_disabled", "webhooks"),
}
