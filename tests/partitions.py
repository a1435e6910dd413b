"""A table in memory for many organizations: a query looks at its partition, not at everything."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from headroom.core.store.table import INDEX_KEYS, Item, Key, Range
from tests.memory_table import MemoryTable


class Partitions(MemoryTable):
    """The table in memory, with its partitions at hand: a query looks at no other."""

    def __init__(self) -> None:
        super().__init__()
        self._members: dict[tuple[str, str], set[Key]] = defaultdict(set)

    def _apply(self, changes: Any) -> None:
        super()._apply(changes)
        for change in changes:
            item = self.items.get(change.key, {})
            for name in ("pk", "member_period", "due_shard"):
                if name in item:
                    self._members[name, item[name]["S"]].add(change.key)

    def _searched(self, range_: Range) -> Iterable[Item]:
        hash_name = INDEX_KEYS[range_.index][0]
        keys = self._members.get((hash_name, range_.pk), set())
        return [self.items[key] for key in keys if key in self.items]
