"""Letters in English."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from headroom.notifications.domain.letters.language import Wording

_MONTHS: Final = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]


class English:
    """English, as in the United States."""

    code = "en"
    greeting = "Hello {recipient},"
    link = "Open usage settings"
    footer = "You get this because of your role in {organization}. Owners choose what is sent."
    periods: Mapping[str, str] = {"monthly": "monthly", "weekly": "weekly", "daily": "daily"}
    roles: Mapping[str, str] = {"admin": "Admin", "owner": "Owner"}
    wordings: Mapping[str, Wording] = {
        "role_raised": Wording(
            "{member} has a new role in {organization}: {role}",
            (
                "{by} gave {member} a role with more rights in {organization}: {role}.",
                "If that is not right, take the role back and look through the API keys.",
                "This message goes to every owner and cannot be switched off.",
            ),
        ),
        "organization_limit_near": Wording(
            "{organization} has used {percent}% of its spend limit",
            (
                "{organization} has spent {spent} of its {limit_period} limit of {limit} on extra "
                "usage.",
                "At 100% new requests are refused until the limit is raised or the period ends.",
            ),
        ),
        "organization_limit_reached": Wording(
            "{organization} has reached its spend limit",
            (
                "{organization} has spent {spent}, all of its {limit_period} limit of {limit}.",
                "New extra usage is refused until the limit is raised or the period ends.",
            ),
        ),
        "own_limit_near": Wording(
            "You have used {percent}% of your spend limit",
            (
                "You have spent {spent} of your {limit_period} limit of {limit} on extra usage at "
                "{organization}.",
                "At 100% your extra usage stops until the limit is raised or the period ends.",
            ),
        ),
        "own_limit_reached": Wording(
            "You have reached your spend limit",
            (
                "You have spent {spent}, all of your {limit_period} limit of {limit} at "
                "{organization}.",
                "Your extra usage stops until the limit is raised or the period ends.",
            ),
        ),
        "requests_outstanding": Wording(
            "Requests for more extra usage: {pending} waiting",
            (
                "Requests for a higher spend limit that wait for an answer in {organization}: "
                "{pending}.",
                "From: {requesters}.",
                "An owner or admin can approve or deny them.",
            ),
        ),
        "request_approved": Wording(
            "Your request for a higher spend limit was approved",
            ("Your {limit_period} spend limit at {organization} is {limit} now.",),
        ),
        "request_denied": Wording(
            "Your request for a higher spend limit was denied",
            ("Your spend limit at {organization} stays as it was.",),
        ),
        "wallet_low": Wording(
            "The wallet of {organization} is running low",
            (
                "The wallet of {organization} holds {balance}.",
                "When it is empty, extra usage stops.",
                "No reload comes by itself now. Add money.",
            ),
        ),
        "wallet_empty": Wording(
            "The wallet of {organization} is empty",
            (
                "Nothing is left in the wallet of {organization}, and extra usage has stopped.",
                "No reload comes by itself now. Add money.",
            ),
        ),
        "wallet_short": Wording(
            "The wallet of {organization} is too low for a request",
            (
                "A request was refused because it did not fit what is free in the wallet of "
                "{organization}: {free} of {balance}; the rest is held for running requests.",
                "No reload comes by itself now. Add money.",
            ),
        ),
        "reload_failed": Wording(
            "The wallet of {organization} could not be reloaded",
            (
                "A reload of {charge} was declined.",
                "The reason given: {reason}.",
                "No further reload is tried until the payment method is changed.",
            ),
        ),
        "reload_needs_action": Wording(
            "A payment for {organization} waits for you",
            (
                "The bank asks the card's holder to confirm a reload of {charge}.",
                "Until then the wallet is not reloaded. Confirm the payment in the settings.",
            ),
        ),
        "credit_expiring": Wording(
            "Credit of {organization} expires soon",
            (
                "{remaining} of credit in the wallet of {organization} expires on {expires}.",
                "What is used before counts; what is left then is gone.",
            ),
        ),
        "money_disputed": Wording(
            "A payment of {organization} was disputed",
            (
                "The card's holder disputed a payment with their bank, which took back {charge}.",
                "It is the payment of {paid} on {paid_on}.",
                "That money has left the wallet of {organization}. What was spent of it already is "
                "owed, and extra usage stops until it is paid.",
                "Reloads do not charge this card until the dispute is won, or the card changes.",
            ),
        ),
        "money_refunded": Wording(
            "A payment of {organization} was refunded",
            (
                "{charge} of a payment went back to the card.",
                "It is the payment of {paid} on {paid_on}.",
                "That money has left the wallet of {organization}. What was spent of it already is "
                "owed, and extra usage stops until it is paid.",
            ),
        ),
        "invoice_ready": Wording(
            "Your invoice is ready, {organization}",
            (
                "Invoice {number} for {period} is ready.",
                "Its total: {total}.",
                "It is due on {due}.",
            ),
        ),
        "statement_ready": Wording(
            "Your statement is ready, {organization}",
            (
                "Statement {number} for {period} is ready.",
                "Extra usage of {total} was paid from the wallet; nothing is due.",
            ),
        ),
        "credit_note_ready": Wording(
            "A credit note for {organization}",
            (
                "Credit note {number} on invoice {credited} is ready.",
                "Its total: {total}.",
            ),
        ),
        "invoice_past_due": Wording(
            "An invoice of {organization} is past due",
            (
                "Invoice {number} for {period} has not been paid.",
                "Still due: {owed}.",
                "It was due on {due}.",
                "If it stays unpaid, extra usage stops.",
            ),
        ),
        "webhook_disabled": Wording(
            "A webhook endpoint of {organization} was switched off",
            (
                "Headroom stopped sending events to {url}: it did not accept any for days.",
                "Mend it and enable it again; the events that failed can be sent again.",
            ),
        ),
    }

    def money(self, cents: int, currency: str) -> str:
        units, rest = divmod(abs(cents), 100)
        sign = "-" if cents < 0 else ""
        figures = f"{units:,}.{rest:02d}"
        return f"{sign}${figures}" if currency == "USD" else f"{sign}{figures} {currency}"

    def date(self, year: int, month: int, day: int) -> str:
        return f"{_MONTHS[month - 1]} {day}, {year}"

    def month(self, year: int, month: int) -> str:
        return f"{_MONTHS[month - 1]} {year}"
