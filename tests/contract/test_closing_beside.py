"""A close touches nothing that others read or write: neither requests nor other closes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial

import pytest

from headroom.core.store.table import Change, Item, Key, Page, Range, Update
from tests.contract.closing import Bureau
from tests.contract.governing import ANN, NOW, PAM, House
from tests.memory_table import MemoryTable

AFTER = datetime(2026, 12, 1, 0, 6, tzinfo=UTC)


class Watched(MemoryTable):
    """Remembers each key that is read or written by itself; indexes are capacity of their own.

    And which partitions are queried, of the table ("") and of its indexes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.touched: set[Key] = set()
        self.queried: list[tuple[str, str]] = []

    def get(self, key: Key) -> Item | None:
        self.touched.add(key)
        return super().get(key)

    def snapshot(self, keys: Sequence[Key]) -> list[Item | None]:
        self.touched.update(keys)
        return super().snapshot(keys)

    def get_many(self, keys: Sequence[Key]) -> dict[Key, Item]:
        self.touched.update(keys)
        return super().get_many(keys)

    def query(self, range_: Range, *, limit: int | None = None, start: Item | None = None) -> Page:
        self.queried.append((range_.index or "", range_.pk))
        return super().query(range_, limit=limit, start=start)

    def update(self, update: Update) -> Item:
        self.touched.add(update.key)
        return super().update(update)

    def transact(self, changes: Sequence[Change]) -> None:
        self.touched.update(change.key for change in changes)
        super().transact(changes)

    def while_(self, work: Callable[[], object]) -> set[Key]:
        self.touched, self.queried = set(), []
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


def test_the_reads_of_closes_meet_in_no_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many closes at once are many partitions, and one reads its ledger member by member."""
    watched = Watched()
    monkeypatch.setattr("tests.contract.governing.MemoryTable", lambda: watched)
    first, second = House(id="first"), House(id="second")
    for who in (ANN, PAM):
        first.use(who, NOW)
        second.use(who, NOW)
    bureau = Bureau(watched, AFTER, monkeypatch)
    bureau.hand_out()

    partitions: list[set[tuple[str, str]]] = []
    for house in (first, second):
        (document,) = [each for each in bureau.pending if each["organization_id"] == house.org_id]
        touched = watched.while_(partial(bureau.execute, document))
        partitions.append({*watched.queried, *(("", key.pk) for key in touched)})
        of_ledger = [pk for index, pk in watched.queried if index == "by_member"]

        assert len(of_ledger) == len(set(of_ledger)) >= 2

    assert partitions[0] & partitions[1] == set()
