"""Invoked directly by an operator: a transfer arrived for an invoice, or it is to be credited."""

from __future__ import annotations

import os
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from headroom.billing.gateways.paper import Seller, customer_of, draw
from headroom.billing.settings import TermsSettings
from headroom.billing.usecases.collection import Collector, settle_invoice
from headroom.billing.usecases.credit_notes import credit_invoice
from headroom.billing.usecases.document_files import publish
from headroom.billing.usecases.invoices import find_shown, header
from headroom.billing.wire.invoices import parse_settlement
from headroom.core.clock import Clock
from headroom.core.errors import HeadroomError
from headroom.core.gateways.files import S3Files
from headroom.core.settings import DocumentSettings, SellerSettings, Settings
from headroom.core.store.connect import connect
from headroom.organizations.domain.organization import Organization

logger = Logger()
table = connect(Settings.from_env(os.environ))
clock = Clock.from_env(os.environ)
terms = TermsSettings.from_env(os.environ).terms
documents = DocumentSettings.from_env(os.environ)
files = S3Files(documents.bucket, documents.region)
seller = Seller.of(SellerSettings.from_env(os.environ))
collector = Collector(None, terms)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Carry out what an operator saw or decided; the same reference again changes nothing."""
    now = clock.now()
    try:
        asked = parse_settlement(event)
        invoice = find_shown(table, asked.org_id, asked.invoice_id)
        if asked.action == "paid":
            invoice = settle_invoice(
                table,
                collector,
                invoice,
                reference=asked.reference,
                amount=asked.amount,
                actor=asked.actor,
                now=now,
            )
            return header(table, invoice)
        note = credit_invoice(
            table,
            terms,
            invoice,
            amount=asked.amount,
            reference=asked.reference,
            reason=asked.reason or "",
            actor=asked.actor,
            now=now,
        )
        return header(table, publish(table, files, draw_for, note, now, terms))
    except HeadroomError as error:
        return error.body(context.aws_request_id)


def draw_for(document: dict[str, Any], organization: Organization) -> bytes:
    return draw(document, seller, customer_of(organization))
