"""Putting a document's files in their place, and telling of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from headroom.billing.domain.invoice import Invoice, Terms
from headroom.billing.usecases.invoices import announce, shown
from headroom.billing.usecases.period_close import organization_of
from headroom.core.gateways.files import Files
from headroom.core.store.table import Table
from headroom.organizations.domain.organization import Organization

PDF: Final = "application/pdf"

# From a document as the wire has it, and whose it is, to a PDF.
Draw = Callable[[dict[str, Any], Organization], bytes]


def paper_name(org_id: str, invoice_id: str) -> str:
    """Where a document's PDF is filed."""
    return f"invoices/{org_id}/{invoice_id}.pdf"


def publish(
    table: Table, files: Files, draw: Draw, invoice: Invoice, now: datetime, terms: Terms
) -> Invoice:
    """File a document's PDF, and then tell the bus of the document, once.

    What was announced is not drawn again: what somebody has in hand stays what is on file.

    Raises:
        Contended: others change the document all the time.
    """
    if invoice.announced:
        return invoice
    organization = organization_of(table, invoice.org_id)
    body = draw(shown(table, files, invoice), organization)
    files.put(paper_name(invoice.org_id, invoice.invoice_id), body, PDF)
    return announce(table, invoice, now, terms)
