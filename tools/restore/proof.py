"""What a table promises of itself, proved from its items alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final, cast

from headroom.billing.domain.invoice import Kind, invoice_number
from tools.restore.ledger import Books, Ledger, Sums

BOUGHT: Final = ("purchase", "reload")


def findings(ledger: Ledger) -> Iterator[str]:
    """Say wherever two of a table's items disagree; nothing when all is well."""
    for org_id, books in ledger.organizations.items():
        for prove in (_prove_pool, _prove_usage, _prove_wallet, _prove_payments, _prove_documents):
            for finding in prove(books):
                yield f"{org_id}: {finding}"


def _prove_pool(books: Books) -> Iterator[str]:
    """What is granted and what is not are the cap."""
    if books.organization is None or books.pool is None:
        yield "settings or pool are missing"
        return
    granted = 0
    for budget in books.budgets:
        if budget.granted != budget.allotment + budget.held + budget.spent:
            place = f"{budget.user_id} {budget.period}"
            yield f"{place}: granted is not allotment, held and spent"
        if budget.period == books.pool.period:
            granted += budget.granted
    if books.pool.unallotted + granted != books.organization.cap:
        yield "unallotted and granted are not the cap"


def _prove_usage(books: Books) -> Iterator[str]:
    """Each member's counters are the sums of their lines."""
    counted: defaultdict[tuple[str, str], Sums] = defaultdict(Sums)
    for budget in books.budgets:
        counted[budget.user_id, budget.period] += Sums(
            budget.spent, budget.included, budget.unbilled
        )
    for place in sorted(counted.keys() | books.used.keys()):
        if counted[place] != books.used[place]:
            yield f"{' '.join(place)}: lines are {books.used[place]}, counters {counted[place]}"


def _prove_wallet(books: Books) -> Iterator[str]:
    """Entries, lots and what members and pool have come to the same."""
    wallet, pool = books.wallet, books.pool
    if wallet is None:
        if books.entries:
            yield "there are wallet entries, and no wallet"
        return
    running = 0
    for entry in sorted(books.entries, key=lambda each: each.version):
        running += entry.amount
        if entry.balance != running:
            yield f"{entry.entry_id}: the balance is {entry.balance}, the entries come to {running}"
    if running != wallet.total:
        yield f"wallet entries come to {running}, lots to {wallet.total}"
    booked = -sum(entry.amount for entry in books.entries if entry.kind == "usage")
    if booked != sum(wallet.booked.values()):
        yield f"entries book {booked} of usage, the wallet {sum(wallet.booked.values())}"
    outside = sum(each.allotment + each.held + each.spent for each in books.budgets)
    if pool is not None and pool.funds + outside != wallet.given:
        yield f"pool and members have {pool.funds + outside}, the wallet was given {wallet.given}"


def _prove_payments(books: Books) -> Iterator[str]:
    """Each payment that succeeded is credited once, and nothing else is."""
    paid = {each.payment_id: each.amount for each in books.intents if each.state == "succeeded"}
    bought = [each for each in books.entries if each.kind in BOUGHT]
    credited = {each.payment_id: each.amount for each in bought}
    if len(credited) != len(bought):
        yield "a payment is credited twice"
    if credited != paid:
        yield f"payments {sorted(map(str, paid.items() ^ credited.items()))} are not credited so"


def _prove_documents(books: Books) -> Iterator[str]:
    """Each closed period has one document, which comes to what the ledger says of it."""
    by_id = {each.invoice_id: each for each in books.invoices}
    for closing in books.closings:
        used = books.used_in(closing.period)
        if closing.state in ("closed", "invoiced"):
            told = Sums(closing.charged, closing.included, closing.unbilled)
            if told != used:
                yield f"{closing.period} was closed with {told}, its lines come to {used}"
        if closing.state == "invoiced" and closing.invoice_id not in by_id:
            yield f"{closing.period} has no document"
    closed = {each.invoice_id for each in books.closings if each.state == "invoiced"}
    numbers: defaultdict[str, list[str]] = defaultdict(list)
    for invoice in books.invoices:
        numbers[invoice.kind].append(invoice.number)
        booked = invoice.rounding
        if invoice.kind == "credit_note":
            booked += invoice.subtotal
        elif invoice.invoice_id not in closed:
            yield f"{invoice.number} is of a period that was not closed"
        elif invoice.subtotal != books.used_in(invoice.period).charged:
            yield (
                f"{invoice.number} bills {invoice.subtotal}, the lines of {invoice.period} "
                f"come to {books.used_in(invoice.period).charged}"
            )
        if books.booked[invoice.invoice_id] != booked:
            yield f"{invoice.number}: {booked} was to be booked beside the usage"
    for kind in sorted(numbers.keys() | books.numbered.keys()):
        expected = [
            invoice_number(books.org_id, cast("Kind", kind), each + 1)
            for each in range(books.numbered[kind])
        ]
        if sorted(numbers[kind]) != expected:
            yield f"the numbers of its documents ({kind}) have a gap"
