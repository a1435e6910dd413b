"""What is seen of usage and money: prices, reports, invoices, statements."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from headroom.billing.settings import TermsSettings
from headroom.billing.store.invoices import invoices_of, invoices_page, read_invoice
from headroom.billing.usecases.document_files import PDF, paper_name
from headroom.billing.usecases.invoices import (
    content,
    draft_invoice,
    find_shown,
    header,
    headers,
    shown,
)
from headroom.billing.usecases.ledger_sums import Shelf
from headroom.billing.usecases.period_close import organization_of
from headroom.billing.usecases.period_sums import credit_note_detail, detail_name
from headroom.billing.usecases.usage_report import report, report_csv
from headroom.billing.wire.invoices import known_invoice_id
from headroom.billing.wire.reports import parse_report, report_answer, wants_csv
from headroom.core.clock import Clock
from headroom.core.domain.csv_files import CONTENT_TYPE as CSV
from headroom.core.errors import NotFound
from headroom.core.gateways.files import S3Files
from headroom.core.settings import DocumentSettings, IdentitySettings, Settings
from headroom.core.store.connect import connect
from headroom.core.wire.crashes import Crashes
from headroom.core.wire.fields import digest_of
from headroom.core.wire.http import Content, Elsewhere
from headroom.core.wire.pages import list_answer, parse_page
from headroom.organizations.domain.organization import Organization
from headroom.organizations.gateways.identity import connect_identity
from headroom.organizations.usecases.authentication import Caller
from headroom.organizations.wire.routes import Api
from headroom.pricing.price_book import PRICE_BOOK
from headroom.pricing.usecases.price_list import price_list
from headroom.spending.store.unpriced import unpriced_of, unpriced_to_wire

# An answer is due before API Gateway gives up; what is not read by then is filed for the next one.
SPARE_MILLIS = 8_000
# A function's answer is at most 6 MB, and base64 makes a third more of it.
CONTENT_BYTES_MAX = 4_000_000
# A row has at most a few hundred characters.
CSV_ROWS_MAX = 10_000
REPORT = "usage_report.csv"
DRAFT = "draft"

logger = Logger()
table = connect(Settings.from_env(os.environ))
clock = Clock.from_env(os.environ)
documents = DocumentSettings.from_env(os.environ)
files = S3Files(documents.bucket, documents.region)
terms = TermsSettings.from_env(os.environ).terms
identity = connect_identity(IdentitySettings.from_env(os.environ))
api = Api(logger, table, clock, identity, Crashes.from_env(os.environ))


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request of API Gateway."""
    api.remaining_millis = context.get_remaining_time_in_millis
    return api.resolve(event)


@api.route("GET", "/v1/prices")
def get_prices(caller: Caller, now: datetime) -> dict[str, Any]:
    api.request.query(frozenset())
    organization = _settings(caller)
    return price_list(PRICE_BOOK, organization.contract, organization.currency, now)


@api.route("GET", "/v1/organizations/usage_report")
def get_usage_report(caller: Caller, now: datetime) -> dict[str, Any] | Content | Elsewhere:
    asked = parse_report(api.request, caller.organization, now)
    about = [f"{asked.span}", *asked.groups]
    shelf = _shelf(caller, "report", about)
    made = report(table, shelf, caller.organization, asked.span, asked.groups, now, _may_go_on)
    if not asked.as_csv:
        return report_answer(made, asked.page, by_amount=asked.by_amount)
    if len(made.rows) > CSV_ROWS_MAX:
        # Larger than an answer may be: it is fetched from where it was streamed to.
        name = f"reports/{caller.org_id}/{api.request.id}.csv"
        files.put_stream(name, report_csv(made), CSV)
        return Elsewhere(files.link(name, REPORT))
    return Content(CSV, b"".join(report_csv(made)), REPORT)


@api.route("GET", "/v1/organizations/unpriced_usage")
def get_unpriced_usage(caller: Caller, now: datetime) -> dict[str, Any]:
    single = api.request.query(frozenset({"limit", "page"}))
    listed = unpriced_of(caller.org_id)
    page = parse_page(
        single,
        org_id=caller.org_id,
        route="unpriced_usage",
        filters=None,
        fits=listed.goes_on_behind,
    )
    found = table.query(listed, limit=page.limit, start=page.start)
    return list_answer(
        [unpriced_to_wire(item) for item in found.items], page.cursor(found.next_key)
    )


@api.route("GET", "/v1/organizations/invoices")
def get_invoices(caller: Caller, now: datetime) -> dict[str, Any]:
    single = api.request.query(frozenset({"limit", "page"}))
    page = parse_page(
        single,
        org_id=caller.org_id,
        route="invoices",
        filters=None,
        fits=invoices_of(caller.org_id).goes_on_behind,
    )
    found = invoices_page(table, caller.org_id, limit=page.limit, start=page.start)
    rows = headers(table, caller.org_id, [read_invoice(item) for item in found.items])
    return list_answer(rows, page.cursor(found.next_key))


@api.route("GET", "/v1/organizations/invoices/<invoice_id>")
def get_invoice(
    caller: Caller, now: datetime, invoice_id: str
) -> dict[str, Any] | Content | Elsewhere:
    if invoice_id == DRAFT:
        draft, share = draft_invoice(
            table,
            lambda period: _shelf(caller, DRAFT, [period]),
            _settings(caller),
            now,
            _may_go_on,
            terms=terms,
        )
        return {**header(table, draft), **content(table, draft, share)}
    invoice = find_shown(table, caller.org_id, known_invoice_id(invoice_id))
    if not wants_csv(api.request):
        return shown(table, files, invoice)
    if invoice.kind == "credit_note":
        body = credit_note_detail(invoice.period, invoice.subtotal, invoice.additions)
        return Content(CSV, body, f"{invoice.number}.csv")
    name = detail_name(invoice.org_id, invoice.invoice_id)
    return _file(name, CSV, f"{invoice.number}.csv")


@api.route("GET", "/v1/organizations/invoices/<invoice_id>/pdf")
def get_invoice_pdf(caller: Caller, now: datetime, invoice_id: str) -> Content | Elsewhere:
    invoice = find_shown(table, caller.org_id, known_invoice_id(invoice_id))
    name = paper_name(invoice.org_id, invoice.invoice_id)
    return _file(name, PDF, f"{invoice.number}.pdf")


def _file(name: str, content_type: str, filename: str) -> Content | Elsewhere:
    """Answer with a file, or with where it is if it is larger than an answer may be."""
    size = files.size(name)
    if size is not None and size > CONTENT_BYTES_MAX:
        return Elsewhere(files.link(name, filename))
    body = files.get(name)
    if body is None:
        raise NotFound("invoice_id: this document has no such file (yet)")
    return Content(content_type, body, filename)


def _shelf(caller: Caller, kind: str, about: Sequence[str]) -> Shelf:
    """Return where sums that take long are kept, those of equal requests in one place."""
    return Shelf(files, f"reports/{caller.org_id}/{kind}_{digest_of([*about])}.json")


def _settings(caller: Caller) -> Organization:
    return organization_of(table, caller.org_id)


def _may_go_on() -> bool:
    return api.remaining_millis() > SPARE_MILLIS
