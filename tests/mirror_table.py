"""Two tables that are told the same and have to answer the same: memory, and a DynamoDB."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from headroom.core.store.table import Change, DynamoTable, Item, Key, Page, Range, Refused, Update
from tests.memory_table import MemoryTable


class MirrorTable(MemoryTable):
    """The memory table, with every operation made on a DynamoDB too, and compared."""

    def __init__(self, dynamo: DynamoTable) -> None:
        super().__init__()
        self.dynamo = dynamo
        self.compared = 0

    def get(self, key: Key) -> Item | None:
        mine = super().get(key)
        self._same(mine, self.dynamo.get(key))
        return mine

    def snapshot(self, keys: Sequence[Key]) -> list[Item | None]:
        mine = super().snapshot(keys)
        self._same(mine, self.dynamo.snapshot(keys))
        return mine

    def get_many(self, keys: Sequence[Key]) -> dict[Key, Item]:
        mine = super().get_many(keys)
        self._same(mine, self.dynamo.get_many(keys))
        return mine

    def update(self, update: Update) -> Item:
        mine, refused = _outcome(lambda: super(MirrorTable, self).update(update))
        theirs, refused_too = _outcome(lambda: self.dynamo.update(update))
        self._same((mine, refused), (theirs, refused_too))
        if refused is not None:
            raise Refused(refused)
        item: Item = mine
        return item

    def transact(self, changes: Sequence[Change]) -> None:
        _, refused = _outcome(lambda: super(MirrorTable, self).transact(changes))
        _, refused_too = _outcome(lambda: self.dynamo.transact(changes))
        self._same(refused, refused_too)
        if refused is not None:
            raise Refused(refused)

    def query(self, range_: Range, *, limit: int | None = None, start: Item | None = None) -> Page:
        mine = super().query(range_, limit=limit, start=start)
        theirs = self.dynamo.query(range_, limit=limit, start=start)
        self._same(mine.items, theirs.items)
        return mine

    def count(self, range_: Range) -> int:
        counted = len(super().query(range_).items)
        self._same(counted, self.dynamo.count(range_))
        return counted

    def compare_all(self) -> None:
        """Compare every item of the one table with the other's."""
        for first in range(0, len(self.items), 100):
            keys = list(self.items)[first : first + 100]
            self._same({key: self.items[key] for key in keys}, self.dynamo.get_many(keys))

    def _same(self, mine: Any, theirs: Any) -> None:
        assert plain(mine) == plain(theirs)
        self.compared += 1


def plain(value: Any) -> Any:
    """Return an answer with its numbers as numbers, so that "1" and "01" are the same."""
    if isinstance(value, dict):
        return {
            key: int(each) if key == "N" and isinstance(each, str) else plain(each)
            for key, each in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return value


def _outcome(call: Callable[[], Any]) -> tuple[Any, tuple[Any, ...] | None]:
    try:
        return call(), None
    except Refused as refused:
        return None, refused.items
