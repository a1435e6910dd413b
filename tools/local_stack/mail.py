"""The mail that the local stack has sent: nothing leaves this machine, ministack keeps it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.request import urlopen

TIMEOUT_SECONDS = 10


@dataclass(frozen=True, slots=True)
class SentMail:
    """One mail as SES would have sent it."""

    to: tuple[str, ...]
    subject: str
    text: str
    html: str


def sent_mail(aws_endpoint_url: str) -> list[SentMail]:
    """Return all mail sent through the stack at this address, the oldest first."""
    with urlopen(  # noqa: S310  (our own http address)
        f"{aws_endpoint_url}/_ministack/ses/messages", timeout=TIMEOUT_SECONDS
    ) as answer:
        told = json.load(answer)
    return [_read(message) for message in _messages(told)]


def show(mail: SentMail) -> str:
    """Return a mail as a person reads it."""
    return f"To: {', '.join(mail.to)}\nSubject: {mail.subject}\n\n{mail.text}"


def _messages(told: dict[str, Any]) -> list[dict[str, Any]]:
    return sorted(
        (message for account in told["messages"].values() for message in account),
        key=lambda message: message["Timestamp"],
    )


def _read(message: dict[str, Any]) -> SentMail:
    return SentMail(
        tuple(message["To"]), message["Subject"], message["BodyText"], message["BodyHtml"] or ""
    )
