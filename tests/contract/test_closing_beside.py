"""A close touches nothing that a request of another organization reads or writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pytest

from headroom.store.table import Change, Item, Key, Update
from tests.contract.closing import Bureau
from tests.contract.governing import ANN, NOW, PAM, House
from tests.memory_table import MemoryTable

AFTER = datetime(2026, 12, 1, 0, 6, tzinfo=UTC)


class Watched(MemoryTable):
    """Remembers each key that is read or written by itself; indexes are capacity of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.touched: set[Key] = set()

    def get(self, key: Key) -> Item | None:
        self.touched.add(key)
        return super().get(key)

    def snapshot(self, keys: Sequence[Key]) -> list[Item | None]:
        self.touched.update(keys)
        return super().snapshot(keys)

    def get_many(self, keys: Sequence[Key]) -> dict[Key, Item]:
        self.touched.update(keys)
        return super().get_many(keys)

    def update(self, update: Update) -> Item:
        self.touched.add(update.key)
        return super().update(update)

    def transact(self, changes: Sequence[Change]) -> None:
        self.touched.update(change.key for change in changes)
        super().transact(changes)

    def while_(self, work: Callable[[], object]) -> set[Key]:
        self.touched = set()
        work()
        return set(self.touched)


def test_closes_and_requests_of_others_share_no_item(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched()
    monkeypatch.setattr("tests.contract.governing.MemoryTable", lambda: watched)
    spending, closing = House(id="spending"), House(id="closing")
    for who in (ANN, PAM):
        spending.use(who, NOW)
        closing.use(who, NOW)

    def spend() -> None:
        held = spending.ask(ANN, AFTER)
        spending.settle(held, ANN, AFTER)

    requests = watched.while_(spend)
    bureau = Bureau(watched, AFTER, monkeypatch)
    bureau.hand_out()
    (document,) = [each for each in bureau.pending if each["organization_id"] == closing.org_id]
    closes = watched.while_(lambda: bureau.execute(document))

    assert bureau.invoices(closing.org_id)
    assert len(requests) > 3
    assert len(closes) > 5
    assert requests & closes == set()
