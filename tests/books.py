"""What stands in a table, read at one instant, without a step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from headroom.core.store.table import Item, Key
from headroom.organizations.domain.organization import Member, Organization
from headroom.organizations.domain.pool import Pool
from headroom.organizations.store.organizations import read_member
from headroom.organizations.store.pool_record import PoolRecord
from headroom.organizations.store.settings_record import SettingsRecord
from headroom.spending.domain.authorization import Hold
from headroom.spending.domain.budget import Budget
from headroom.spending.store.budget_record import read_budget
from headroom.wallets.domain.wallet import Wallet
from headroom.wallets.store.intents import Intent, read_intent
from headroom.wallets.store.records import WalletEntryRecord
from headroom.wallets.store.wallets import read_wallet


@dataclass(frozen=True)
class Books:
    """The items of an organization that the promises are about."""

    organization: Organization
    members: dict[str, Member]
    pool: Pool
    budgets: dict[str, Budget]
    past: list[Budget]
    lines: dict[str, Item]
    registered: set[str]
    wallet: Wallet | None = None
    entries: tuple[WalletEntryRecord, ...] = ()
    intents: tuple[Intent, ...] = ()

    @property
    def all_budgets(self) -> list[Budget]:
        """Every budget, of the current period and of those that are over."""
        return [*self.budgets.values(), *self.past]

    @property
    def balance(self) -> int:
        """What is not spent, wherever it is."""
        return self.pool.funds + sum(each.allotment + each.held for each in self.all_budgets)

    @property
    def free(self) -> int:
        """What can still be spent by somebody: what is held is not free."""
        return self.pool.funds + sum(each.allotment for each in self.all_budgets)

    def holds(self, user_id: str) -> Iterator[Hold]:
        """A member's open holds, whatever period they were taken in."""
        for budget in self.all_budgets:
            if budget.user_id == user_id:
                yield from budget.holds.values()


class Reader:
    """Reads the table of one organization again and again, and only what changed.

    The memory table never changes an item, it replaces it; so the same object says the same.
    """

    def __init__(self) -> None:
        self._read: dict[Key, tuple[Item, Any]] = {}
        self._items: list[int] = []
        self._books: Books | None = None

    def read(self, items: dict[Key, Item]) -> Books:
        """Return what stands there; the same object if nothing changed since."""
        now = [id(item) for item in items.values()]
        if self._books is None or now != self._items:
            # Items read are kept, so that no other can come to the same address.
            self._books = self._look(dict(items))
            self._items = now
        return self._books

    def _look(self, items: dict[Key, Item]) -> Books:
        organization: Organization | None = None
        pool: Pool | None = None
        members: dict[str, Member] = {}
        budgets: dict[str, Budget] = {}
        past: list[Budget] = []
        lines: dict[str, Item] = {}
        registered: set[str] = set()
        wallet: Wallet | None = None
        entries: list[WalletEntryRecord] = []
        intents: list[Intent] = []
        for key, item in items.items():
            known = self._read.get(key)
            value = known[1] if known and known[0] is item else _read_item(key, item)
            self._read[key] = item, value
            match value:
                case Organization():
                    organization = value
                case Pool() if key.sk == "POOL":
                    pool = value
                case Wallet():
                    wallet = value
                case WalletEntryRecord():
                    entries.append(value)
                case Intent():
                    intents.append(value)
                case Member():
                    members[value.user_id] = value
                case Budget() if key.sk == "BUDGET":
                    budgets[value.user_id] = value
                case Budget():
                    past.append(value)
                case str() if key.sk == "LINE":
                    lines[value] = item
                case str():
                    registered.add(value)
        assert organization is not None
        assert pool is not None
        return Books(
            organization,
            members,
            pool,
            budgets,
            past,
            lines,
            registered,
            wallet,
            tuple(sorted(entries, key=lambda entry: entry.version)),
            tuple(intents),
        )


def _read_item(key: Key, item: Item) -> Any:
    kind = key.sk.partition("#")[0]
    if key.sk == "SETTINGS":
        return SettingsRecord.of(item).to_domain()
    if key.sk == "WALLET":
        return read_wallet(item)
    if key.pk.endswith("#WALLET"):
        return WalletEntryRecord.of(item)
    if kind == "INTENT":
        return read_intent(item)
    if kind == "POOL":
        return PoolRecord.of(item).to_domain()
    if key.pk.endswith("#MEMBERS"):
        return read_member(item)
    if kind == "BUDGET":
        org_id, _, user_id = key.pk.removeprefix("ORG#").partition("#MEMBER#")
        return read_budget(item, org_id, user_id)
    if key.sk == "LINE":
        return item["event_id"]["S"]
    if key.pk.endswith("#REGISTRY"):
        return item["user_id"]["S"]
    return None


def extra_nanos(hold: Hold) -> int:
    """The money in a hold; included usage is none."""
    return hold.amount_nanos if hold.source == "extra_usage" else 0


def overdue(hold: Hold, millis: int) -> bool:
    """Tell whether nobody settled the hold in time, so that what it holds counts as free."""
    return hold.until_millis <= millis
