"""Documents on paper: an invoice, statement or credit note as a PDF, in English or French.

The only module that knows reportlab, which is in a layer of its own: whoever imports this needs
that layer. The same document gives the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby
from typing import Any, Final
from unicodedata import normalize
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.enums import TA_LEFT, TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    CondPageBreak,
    Flowable,
    KeepTogether,
    Paragraph,
    SimpleDocTemplate,
    Spacer,
    Table,
)

from headroom.billing.domain.phrases import Phrases, phrases
from headroom.core.domain.money import format_amount, parse_exact
from headroom.core.settings import SellerSettings
from headroom.organizations.domain.organization import Organization

# Shipped with reportlab, under a licence that lets it be embedded.
REGULAR: Final = "Vera"
BOLD: Final = "VeraBd"
# For the letters that these lack: the rest of Latin, Greek, Cyrillic. It has one weight.
OTHERS: Final = "NotoSans"
_OTHERS_FILE: Final = "files/NotoSans[wdth,wght].ttf"
# From Hebrew to Khmer letters join, move or run to the left, which takes more than a font.
UNSHAPED: Final = range(0x0590, 0x1C80)

INK: Final = colors.HexColor("#1d2733")
QUIET: Final = colors.HexColor("#5b6875")
RULE: Final = colors.HexColor("#d5dbe1")
SHADE: Final = colors.HexColor("#f3f5f7")
ACCENT: Final = colors.HexColor("#1f5f8b")

MARGIN: Final = 18 * mm
# What reportlab leaves free inside of every frame, in points.
FRAME_PADDING: Final = 6
WIDTH: Final = A4[0] - 2 * MARGIN
MEMBERS_SHOWN: Final = 40
# What has to be left of a page for a heading and the first rows below it.
HEADED_ROOM: Final = 26 * mm


@dataclass(frozen=True, slots=True)
class Seller:
    """Who invoices. Address and instructions are lines."""

    name: str
    address: Sequence[str] = ()
    tax_id: str = ""
    instructions: Sequence[str] = ()

    @classmethod
    def of(cls, settings: SellerSettings) -> Seller:
        """Return the seller that is configured; "|" stands between lines."""
        return cls(
            settings.name,
            [line for line in settings.address.split("|") if line],
            settings.tax_id,
            [line for line in settings.payment_instructions.split("|") if line],
        )


@dataclass(frozen=True, slots=True)
class Customer:
    """Who is invoiced, in which language, and by which zone's clocks."""

    name: str
    org_id: str
    language: str
    time_zone: str


def customer_of(organization: Organization) -> Customer:
    """Return an organization as documents show it."""
    return Customer(
        organization.name, organization.org_id, organization.language, organization.time_zone
    )


def draw(document: Mapping[str, Any], seller: Seller, customer: Customer) -> bytes:
    """Return a document of the wire contract as a PDF."""
    _register()
    words = phrases(customer.language, customer.time_zone)
    out = io.BytesIO()
    title = f"{words[document['kind']]} {document['number'] or words['draft']}"
    template = SimpleDocTemplate(
        out,
        pagesize=A4,
        leftMargin=MARGIN - FRAME_PADDING,
        rightMargin=MARGIN - FRAME_PADDING,
        topMargin=MARGIN,
        bottomMargin=24 * mm,
        title=title,
        author=seller.name,
        lang=customer.language,
        # No time of making and no random id.
        invariant=1,
    )
    page = _Page(seller, title, words)
    template.build(
        [*_top(document, seller, customer, words), *_body(document, seller, words)],
        onFirstPage=page.draw,
        onLaterPages=page.draw,
    )
    return out.getvalue()


@dataclass(frozen=True, slots=True)
class _Page:
    """What every page carries at its foot."""

    seller: Seller
    title: str
    words: Phrases

    def draw(self, canvas: Canvas, template: SimpleDocTemplate) -> None:
        canvas.saveState()
        canvas.setStrokeColor(RULE)
        canvas.line(MARGIN, 17 * mm, A4[0] - MARGIN, 17 * mm)
        identity = " · ".join(part for part in (self.seller.name, self.seller.tax_id) if part)
        seller = _text(identity, size=7, color=QUIET)
        seller.wrap(WIDTH * 0.6, 0)
        seller.drawOn(canvas, MARGIN, 12 * mm - 2)
        canvas.setFont(REGULAR, 7)
        canvas.setFillColor(QUIET)
        canvas.drawRightString(
            A4[0] - MARGIN, 12 * mm, f"{self.title} · {self.words['page']} {template.page}"
        )
        canvas.restoreState()


def _top(
    document: Mapping[str, Any], seller: Seller, customer: Customer, words: Phrases
) -> list[Flowable]:
    sender = [_text(seller.name, bold=True, size=15, color=ACCENT)]
    sender += [_text(line, size=8, color=QUIET) for line in seller.address]
    head = Table(
        [[sender, _text(words[document["kind"]].upper(), bold=True, size=18, right=True)]],
        colWidths=[WIDTH * 0.55, WIDTH * 0.45],
        style=[("VALIGN", (0, 0), (-1, -1), "TOP"), *_flush()],
    )
    facts = [
        (words["number"], document["number"] or words["draft"]),
        (words["period"], words.month(document["period"])),
        (words["issued"], words.day(document["issued_at"])),
    ]
    if document["kind"] == "invoice":
        facts.append((words["due"], words.day(document["due_at"])))
    if document["credits_invoice"]:
        facts.append((words["credits"], document["credits_invoice_number"]))
    billed = [
        _text(words["billed_to"], size=7.5, color=QUIET),
        _text(customer.name, bold=True, size=11),
        _text(customer.org_id, size=8, color=QUIET),
    ]
    rows = [
        [_text(name, size=8, color=QUIET), _text(value, size=8.5, right=True)]
        for name, value in facts
    ]
    meta = Table(
        rows,
        colWidths=[WIDTH * 0.18, WIDTH * 0.27],
        style=[("LINEBELOW", (0, 0), (-1, -1), 0.4, RULE), *_tight(2.2)],
    )
    parties = Table(
        [[billed, meta]],
        colWidths=[WIDTH * 0.55, WIDTH * 0.45],
        style=[("VALIGN", (0, 0), (-1, -1), "TOP"), *_flush()],
    )
    return [head, Spacer(0, 11 * mm), parties, Spacer(0, 9 * mm)]


def _body(document: Mapping[str, Any], seller: Seller, words: Phrases) -> list[Flowable]:
    parts: list[Flowable] = []
    currency = document["currency"]
    if document["kind"] == "statement":
        parts += [_balances(document, words), Spacer(0, 7 * mm)]
    if document["lines"]:
        parts += _headed(words["usage"], _lines(document["lines"], currency, words))
    for adjustment in document["adjustments"]:
        if adjustment["lines"]:
            table = _lines(adjustment["lines"], currency, words)
        else:
            table = _credit(adjustment, currency, words)
        parts += [Spacer(0, 5 * mm), *_headed(_adjusted(adjustment, words), table)]
    if not document["lines"] and not document["adjustments"]:
        parts.append(_text(words["no_usage"], size=9, color=QUIET))
    parts += [Spacer(0, 5 * mm), KeepTogether([_totals(document, words)])]
    if document["kind"] == "invoice":
        parts += [Spacer(0, 8 * mm), KeepTogether(_payment(document, seller, words))]
    parts += _breakdown(document, words)
    return parts


def _lines(lines: Sequence[Mapping[str, Any]], currency: str, words: Phrases) -> Table:
    head = [words["description"], words["quantity"], words["unit_price"], words["amount"]]
    rows: list[list[Any]] = [
        [_text(name, size=7.5, color=QUIET, right=index > 0) for index, name in enumerate(head)]
    ]
    style: list[Any] = [
        ("LINEBELOW", (0, 0), (-1, 0), 0.8, INK),
        ("LINEBELOW", (0, 1), (-1, -1), 0.3, RULE),
        ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
        *_tight(2.6),
    ]
    model = None
    for line in lines:
        if line["model"] != model:
            model = line["model"]
            style += [
                ("SPAN", (0, len(rows)), (-1, len(rows))),
                ("BACKGROUND", (0, len(rows)), (-1, len(rows)), SHADE),
            ]
            rows.append([_text(model, bold=True, size=8.5), "", "", ""])
        version = words["price_version"].format(version=line["price_version"])
        rows.append(
            [
                [
                    _text(words.kind(line["kind"]), size=8.5),
                    _text(version, size=6.5, color=QUIET),
                ],
                _text(words.number(line["quantity"]), size=8.5, right=True),
                _text(words.price(line, currency), size=8.5, right=True),
                _text(words.money(line["amount"], currency), size=8.5, right=True),
            ]
        )
    return Table(
        rows,
        colWidths=[WIDTH * 0.40, WIDTH * 0.16, WIDTH * 0.22, WIDTH * 0.22],
        style=style,
        repeatRows=1,
    )


def _credit(adjustment: Mapping[str, Any], currency: str, words: Phrases) -> Table:
    amount = _text(words.money(adjustment["amount"], currency), size=8.5, right=True)
    return Table(
        [[_text(adjustment["description"] or "", size=8.5), amount]],
        colWidths=[WIDTH * 0.78, WIDTH * 0.22],
        style=[("VALIGN", (0, 0), (-1, -1), "TOP"), *_tight(2.6)],
    )


def _totals(document: Mapping[str, Any], words: Phrases) -> Table:
    currency = document["currency"]
    if document["kind"] == "statement":
        # Nothing is to be paid: the balances say what became of it.
        return _sums([(words["usage_total"], document["total"], True)], currency, words)
    rows = [(words["subtotal"], document["subtotal"], False)]
    if document["rounding"] != "0":
        rows.append((words["rounding"], document["rounding"], False))
        if document["taxes"]:
            net = parse_exact(document["subtotal"]) + parse_exact(document["rounding"])
            rows.append((words["net"], format_amount(net), False))
    for tax in document["taxes"]:
        rows.append((f"{tax['name']} {words.percent(tax['rate'])}", tax["amount"], False))
    rows.append((words["total"], document["total"], True))
    if document["kind"] == "invoice":
        for name in ("credited", "paid"):
            if document[name] != "0":
                rows.append((words[name], _negated(document[name]), False))
        if document["surplus"] != "0":
            rows.append((words["surplus"], document["surplus"], False))
        rows.append((words["amount_due"], document["amount_due"], True))
    return _sums(rows, currency, words)


def _balances(document: Mapping[str, Any], words: Phrases) -> Table:
    names = ("opening_balance", "purchases", "usage", "closing_balance")
    rows = [
        (
            words["usage_total"] if name == "usage" else words[name],
            _negated(document[name]) if name == "usage" else document[name],
            name == "closing_balance",
        )
        for name in names
    ]
    return _sums(rows, document["currency"], words, wide=True)


def _sums(
    rows: Sequence[tuple[str, str, bool]], currency: str, words: Phrases, *, wide: bool = False
) -> Table:
    style: list[Any] = _tight(2.6)
    drawn = []
    for index, (name, amount, strong) in enumerate(rows):
        if strong:
            style.append(("LINEABOVE", (1, index), (-1, index), 0.8, INK))
        drawn.append(
            [
                "",
                _text(name, bold=strong, size=9),
                _text(words.money(amount, currency), bold=strong, size=9, right=True),
            ]
        )
    indent = 0.0 if wide else 0.46
    left = 1 - indent - 0.26
    return Table(drawn, colWidths=[WIDTH * indent, WIDTH * left, WIDTH * 0.26], style=style)


def _payment(document: Mapping[str, Any], seller: Seller, words: Phrases) -> list[Flowable]:
    if document["amount_due"] == "0":
        nothing = "paid_in_full" if document["status"] == "paid" else "nothing_due"
        return [_heading(words["payment"]), _text(words[nothing], size=8.5)]
    parts: list[Flowable] = [_heading(words["payment"])]
    parts.append(_text(words["terms"].format(day=words.day(document["due_at"])), size=8.5))
    parts += [_text(line, size=8.5) for line in seller.instructions]
    parts.append(_text(words["quote"].format(number=document["number"]), size=8.5))
    return parts


def _breakdown(document: Mapping[str, Any], words: Phrases) -> list[Flowable]:
    currency = document["currency"]
    parts: list[Flowable] = []
    tiers = [
        (words.tier(row["seat_tier"]), words.money(row["amount"], currency))
        for row in document["by_seat_tier"]
    ]
    members = [
        (_named(row), words.money(row["amount"], currency))
        for row in document["by_member"][:MEMBERS_SHOWN]
    ]
    left = document["members"] - len(members)
    if left > 0 and members:
        others = [row["amount"] for row in document["by_member"][MEMBERS_SHOWN:]]
        rest = sum(map(parse_exact, [*others, document["other_members_amount"]]))
        told = words["more_members"].format(count=words.number(left))
        members.append((told, words.money(format_amount(rest), currency)))
    for what, rows in (("seat_tier", tiers), ("member", members)):
        if not rows:
            continue
        head = [
            _text(words[what], size=7.5, color=QUIET),
            _text(words["amount"], size=7.5, color=QUIET, right=True),
        ]
        body = [
            [_text(name, size=8.5), _text(amount, size=8.5, right=True)] for name, amount in rows
        ]
        table = Table(
            [head, *body],
            colWidths=[WIDTH * 0.7, WIDTH * 0.3],
            style=[
                ("LINEBELOW", (0, 0), (-1, 0), 0.8, INK),
                ("LINEBELOW", (0, 1), (-1, -1), 0.3, RULE),
                *_tight(2.2),
            ],
            repeatRows=1,
        )
        parts += [Spacer(0, 7 * mm), *_headed(words[f"by_{what}"], table)]
    return parts


def _named(row: Mapping[str, Any]) -> str:
    """Name a member; by their id as well if there are no letters for the name."""
    name: str = row["name"]
    is_known = all(_font_of(letter) for letter in normalize("NFC", name))
    return name if is_known else f"{name} ({row['user_id']})"


def _adjusted(adjustment: Mapping[str, Any], words: Phrases) -> str:
    kind, number = adjustment["kind"], adjustment["invoice_number"]
    told = words[kind if number else f"{kind}_alone"]
    return told.format(period=words.month(adjustment["period"]), number=number)


def _negated(amount: str) -> str:
    return format_amount(-parse_exact(amount))


def _headed(text: str, table: Table) -> list[Flowable]:
    """Put a heading above a table, and on one page with some of its rows."""
    return [CondPageBreak(HEADED_ROOM), _heading(text), table]


def _heading(text: str) -> Paragraph:
    return _text(text, bold=True, size=10, color=ACCENT, after=3)


def _text(
    text: str,
    *,
    bold: bool = False,
    size: float = 9,
    color: colors.Color = INK,
    right: bool = False,
    after: float = 0,
) -> Paragraph:
    style = ParagraphStyle(
        "text",
        fontName=BOLD if bold else REGULAR,
        fontSize=size,
        leading=size * 1.3,
        textColor=color,
        spaceAfter=after,
        alignment=TA_RIGHT if right else TA_LEFT,
    )
    return Paragraph(_marked(text), style)


def _flush() -> list[Any]:
    return [("LEFTPADDING", (0, 0), (-1, -1), 0), ("RIGHTPADDING", (0, 0), (-1, -1), 0)]


def _tight(vertical: float) -> list[Any]:
    return [
        ("TOPPADDING", (0, 0), (-1, -1), vertical),
        ("BOTTOMPADDING", (0, 0), (-1, -1), vertical),
        ("LEFTPADDING", (0, 0), (-1, -1), 2),
        ("RIGHTPADDING", (0, 0), (-1, -1), 2),
    ]


def _register() -> None:
    others = files("fontpkg_noto_sans") / _OTHERS_FILE
    paths = {REGULAR: f"{REGULAR}.ttf", BOLD: f"{BOLD}.ttf", OTHERS: str(others)}
    for name, path in paths.items():
        if name not in pdfmetrics.getRegisteredFontNames():
            pdfmetrics.registerFont(TTFont(name, path))


def _marked(text: str) -> str:
    """Mark the letters that need another font; one that no font has is a question mark."""
    parts = []
    for font, letters in groupby(normalize("NFC", text), _font_of):
        run = "".join(letters)
        if font == OTHERS:
            parts.append(f'<font name="{OTHERS}">{escape(run)}</font>')
        else:
            parts.append(escape(run) if font else "?" * len(run))
    return "".join(parts)


def _font_of(letter: str) -> str:
    """Return the first font that has a letter, "" if none can show it."""
    code = ord(letter)
    for name in (REGULAR, OTHERS):
        font: Any = pdfmetrics.getFont(name)
        if code in font.face.charToGlyph and code not in UNSHAPED:
            return name
    return ""
