"""What clients and operators say of invoices."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, cast

from headroom.core.domain.actor import Actor
from headroom.core.domain.money import parse_amount
from headroom.core.errors import NotFound
from headroom.core.wire.fields import as_object, choice, known_only, line, optional_text, text

INVOICE_ID: Final = re.compile(r"inv_[0-9]{6}[isc][0-9a-f]{16}")
ACTIONS: Final = ("paid", "credit")
_KNOWN: Final = frozenset(
    {"organization_id", "invoice_id", "action", "reference", "amount", "reason", "operator"}
)


@dataclass(frozen=True, slots=True)
class Settlement:
    """A transfer that arrived, or a credit that was decided; `amount` None is all of it."""

    org_id: str
    invoice_id: str
    action: Literal["paid", "credit"]
    reference: str
    amount: int | None
    reason: str | None
    actor: Actor


def known_invoice_id(text: str) -> str:
    """Return an invoice's id.

    Raises:
        NotFound: no invoice has an id of this form.
    """
    if not INVOICE_ID.fullmatch(text):
        raise NotFound("invoice_id: there is nothing with this id")
    return text


def parse_settlement(document: object) -> Settlement:
    """Read `{"organization_id", "invoice_id", "action", "reference", "operator", "amount"?, …}`.

    `reference` is the bank's, or the operator's own: whatever is sent under it counts once.

    Raises:
        InvalidRequest: a member is missing, unknown or wrong; the error names it.
    """
    fields = as_object(document, "body")
    known_only(fields, _KNOWN)
    action = choice(fields, "action", ACTIONS)
    return Settlement(
        org_id=text(fields, "organization_id", length_max=64),
        invoice_id=text(fields, "invoice_id", length_max=64, pattern=INVOICE_ID),
        action=cast("Literal['paid', 'credit']", action),
        reference=line(fields, "reference", length_max=64),
        # All of it only where no amount is spoken of: null is one that somebody failed to fill in.
        amount=parse_amount(fields["amount"], "amount") if "amount" in fields else None,
        reason=text(fields, "reason", length_max=500)
        if action == "credit"
        else optional_text(fields, "reason", length_max=500),
        actor=Actor("user", line(fields, "operator", length_max=100)),
    )
