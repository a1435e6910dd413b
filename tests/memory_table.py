"""The table as a dictionary: every operation is one atomic step, and obeys the same conditions.

It evaluates the very expressions that are sent to DynamoDB, so that a test on it is a test of
them; the contract suite holds it to DynamoDB Local.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from typing import Any

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.operand import Path, Value
from pynamodb.expressions.update import Action, AddAction, RemoveAction, SetAction

from headroom.core.store.table import (
    INDEX_KEYS,
    Change,
    Delete,
    Item,
    Key,
    Page,
    Put,
    Range,
    Refused,
    Update,
)

Step = Callable[[str], None]


class MemoryTable:
    """A `Table` in memory. `step` is called before each operation, with its name."""

    def __init__(self, step: Step = lambda name: None) -> None:
        self.items: dict[Key, Item] = {}
        self.step = step
        self._lock = threading.Lock()

    def get(self, key: Key) -> Item | None:
        self.step("get")
        with self._lock:
            return deepcopy(self.items.get(key))

    def snapshot(self, keys: Sequence[Key]) -> list[Item | None]:
        self.step("snapshot")
        with self._lock:
            return [deepcopy(self.items.get(key)) for key in keys]

    def get_many(self, keys: Sequence[Key]) -> dict[Key, Item]:
        self.step("get_many")
        with self._lock:
            return {key: deepcopy(self.items[key]) for key in keys if key in self.items}

    def update(self, update: Update) -> Item:
        self.step("update")
        with self._lock:
            self._apply([update])
            return deepcopy(self.items[update.key])

    def transact(self, changes: Sequence[Change]) -> None:
        self.step("transact")
        assert len({change.key for change in changes}) == len(changes), "one change an item"
        assert len(changes) <= 100
        with self._lock:
            self._apply(changes)

    def query(self, range_: Range, *, limit: int | None = None, start: Item | None = None) -> Page:
        self.step("query")
        hash_name, sort_name, sort_type = INDEX_KEYS[range_.index]

        def order(item: Item) -> tuple[Any, str, str]:
            sort = item[sort_name][sort_type]
            return (int(sort) if sort_type == "N" else sort, item["pk"]["S"], item["sk"]["S"])

        with self._lock:
            found = [
                item
                for item in self._searched(range_)
                if item.get(hash_name) == {"S": range_.pk}
                and sort_name in item
                and _in_range(order(item)[0], range_)
            ]
            found.sort(key=order, reverse=range_.descending)
            if start is not None:
                after = order(start)
                found = [
                    item
                    for item in found
                    if (order(item) < after if range_.descending else order(item) > after)
                ]
            page = deepcopy(found[:limit])
        if limit is None or len(found) <= limit:
            return Page(tuple(page))
        names = {"pk", "sk", hash_name, sort_name}
        return Page(tuple(page), {name: page[-1][name] for name in names})

    def count(self, range_: Range) -> int:
        return len(self.query(range_).items)

    def _searched(self, range_: Range) -> Iterable[Item]:
        """Return the items among which a query's are; the lock is held."""
        return self.items.values()

    def _apply(self, changes: Sequence[Change]) -> None:
        verdicts: list[Any] = []
        for change in changes:
            item = self.items.get(change.key)
            held = change.condition is None or _holds(change.condition, item or {})
            verdicts.append(Refused.HELD if held else deepcopy(item))
        if any(verdict is not Refused.HELD for verdict in verdicts):
            raise Refused(verdicts)
        for change in changes:
            match change:
                case Put():
                    self.items[change.key] = {**change.key.attributes(), **deepcopy(change.item)}
                case Update():
                    old = self.items.get(change.key, change.key.attributes())
                    self.items[change.key] = _updated(old, change.actions)
                case Delete():
                    self.items.pop(change.key, None)


def _in_range(sort: Any, range_: Range) -> bool:
    if range_.until is not None:
        return bool(sort <= range_.until)
    return not range_.prefix or str(sort).startswith(range_.prefix)


def _holds(condition: Condition, item: Item) -> bool:
    values = condition.values
    match condition.operator:
        case "AND":
            return _holds(values[0], item) and _holds(values[1], item)
        case "OR":
            return _holds(values[0], item) or _holds(values[1], item)
        case "NOT":
            return not _holds(values[0], item)
        case "attribute_exists":
            return _at(values[0], item) is not None
        case "attribute_not_exists":
            return _at(values[0], item) is None
        case "=" | "<>" | "<" | "<=" | ">" | ">=" as operator:
            return _compare(operator, _operand(values[0], item), _operand(values[1], item))
        case other:
            raise NotImplementedError(f"condition {other}")


def _compare(operator: str, left: Any, right: Any) -> bool:
    if operator == "<>":
        return bool(left != right)
    if left is None or right is None:
        return False
    if operator == "=":
        return bool(left == right)
    ((left_type, left_value),) = left.items()
    ((right_type, right_value),) = right.items()
    if left_type != right_type:
        return False
    if left_type == "N":
        left_value, right_value = int(left_value), int(right_value)
    return bool(
        {
            "<": left_value < right_value,
            "<=": left_value <= right_value,
            ">": left_value > right_value,
            ">=": left_value >= right_value,
        }[operator]
    )


def _operand(operand: Any, item: Item) -> Any:
    name = type(operand).__name__
    if isinstance(operand, Value):
        return _normal(operand.value)
    if isinstance(operand, Path):
        return _normal(_at(operand, item))
    if name == "_Size":
        found = _at(operand.values[0], item)
        if found is None:
            return None
        ((_, value),) = found.items()
        return {"N": str(len(value))}
    left, right = (_operand(value, item) for value in operand.values)
    if name == "_IfNotExists":
        return right if left is None else left
    if left is None or right is None:
        raise ValueError("an update computes with an attribute that does not exist")
    sign = {"_Increment": 1, "_Decrement": -1}[name]
    return {"N": str(int(left["N"]) + sign * int(right["N"]))}


def _normal(value: Any) -> Any:
    """Numbers compare by value, also deep inside of documents."""
    if isinstance(value, dict):
        return {
            key: str(int(each)) if key == "N" and isinstance(each, str) else _normal(each)
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [_normal(each) for each in value]
    return value


def _at(path: Path, item: Any) -> Any:
    """Follow a document path; None if it leads nowhere."""
    found: Any = {"M": item}
    for segment in path.path:
        name = re.sub(r"\[.*", "", segment)
        if not isinstance(found, dict) or "M" not in found or name not in found["M"]:
            return None
        found = found["M"][name]
    return found


def _updated(old: Item, actions: Sequence[Action]) -> Item:
    new = deepcopy(old)
    for action in actions:
        path = action.values[0]
        assert isinstance(path, Path)
        *parents, last = path.path
        place: Any = new
        for name in parents:
            place = place[name]["M"]
        match action:
            case RemoveAction():
                place.pop(last, None)
            case SetAction():
                place[last] = deepcopy(_operand(action.values[1], old))
            case AddAction():
                before = _operand(path, old) or {"N": "0"}
                added = _operand(action.values[1], old)
                place[last] = {"N": str(int(before["N"]) + int(added["N"]))}
            case other:
                raise NotImplementedError(f"action {other}")
    return new
