"""The items of a table that its promises are about, sorted by organization."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from headroom.billing.domain.invoice import Invoice
from headroom.billing.store.invoices import BookingRecord, SeriesRecord, read_invoice
from headroom.core.store.keys import owner_of_budget
from headroom.core.store.table import Item
from headroom.organizations.domain.organization import Organization
from headroom.organizations.domain.pool import Pool
from headroom.organizations.store.closings import Closing, read_closing
from headroom.organizations.store.pool_record import PoolRecord
from headroom.organizations.store.settings_record import SettingsRecord
from headroom.spending.domain.budget import Budget
from headroom.spending.store.budget_record import read_budget
from headroom.spending.store.line_record import LineRecord
from headroom.spending.store.unpriced import UNPRICED
from headroom.wallets.domain.wallet import Wallet
from headroom.wallets.store.intents import Intent, read_intent
from headroom.wallets.store.records import WalletEntryRecord
from headroom.wallets.store.wallets import read_wallet


@dataclass(frozen=True, slots=True)
class Sums:
    """What usage came to, in nanos."""

    charged: int = 0
    included: int = 0
    unbilled: int = 0

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.charged + other.charged,
            self.included + other.included,
            self.unbilled + other.unbilled,
        )


@dataclass
class Books:
    """One organization. `used` are the sums of its usage lines, by member and period."""

    org_id: str
    organization: Organization | None = None
    pool: Pool | None = None
    budgets: list[Budget] = field(default_factory=list)
    used: defaultdict[tuple[str, str], Sums] = field(default_factory=lambda: defaultdict(Sums))
    wallet: Wallet | None = None
    entries: list[WalletEntryRecord] = field(default_factory=list)
    intents: list[Intent] = field(default_factory=list)
    closings: list[Closing] = field(default_factory=list)
    invoices: list[Invoice] = field(default_factory=list)
    # By document and by series.
    booked: Counter[str] = field(default_factory=Counter)
    numbered: Counter[str] = field(default_factory=Counter)

    def used_in(self, period: str) -> Sums:
        """Return what all usage of a period came to."""
        found = (sums for (_, each), sums in self.used.items() if each == period)
        return sum(found, Sums())


@dataclass
class Ledger:
    """All organizations of a table, and how many usage lines it has."""

    organizations: dict[str, Books] = field(default_factory=dict)
    lines: int = 0

    def of(self, org_id: str) -> Books:
        """Return the books of an organization, which begin with its first item."""
        return self.organizations.setdefault(org_id, Books(org_id))


def read(items: Iterable[Item]) -> Ledger:
    """Sort a table's items."""
    ledger = Ledger()
    for item in items:
        pk, sk = item["pk"]["S"], item["sk"]["S"]
        owner = owner_of_budget(pk, sk)
        if owner:
            ledger.of(owner[0]).budgets.append(read_budget(item, *owner))
        elif sk == "LINE":
            line = LineRecord.of(item)
            if line.source == UNPRICED:
                continue
            ledger.lines += 1
            included = line.cost - line.charged - line.unbilled
            used = ledger.of(line.org_id).used
            used[line.user_id, line.period] += Sums(line.charged, included, line.unbilled)
        elif pk.startswith("ORG#"):
            org_id, _, part = pk.removeprefix("ORG#").partition("#")
            _sort(ledger.of(org_id), part, sk, item)
    return ledger


def _sort(books: Books, part: str, sk: str, item: Item) -> None:
    kind, _, name = sk.partition("#")
    match part, kind:
        case "", "SETTINGS":
            books.organization = SettingsRecord.of(item).to_domain()
        case "", "POOL" if not name:
            books.pool = PoolRecord.of(item).to_domain()
        case "", "WALLET":
            books.wallet = read_wallet(item)
        case "", "SERIES":
            books.numbered[name] = SeriesRecord.of(item).last
        case "WALLET", "ENTRY":
            books.entries.append(WalletEntryRecord.of(item))
        case "PAYMENTS", "INTENT":
            books.intents.append(read_intent(item))
        case "CLOSINGS", "PERIOD":
            books.closings.append(read_closing(item))
        case "INVOICES", "INVOICE":
            books.invoices.append(read_invoice(item))
        case "BOOKINGS", "BOOKING":
            booking = BookingRecord.of(item)
            books.booked[booking.invoice_id] += booking.amount
