"""The one table, seen as a handful of atomic operations.

`Table` is what the rest of the store stands on. `DynamoTable` is the real one: it speaks through
PynamoDB's connection, but on its low-level client, because PynamoDB's single-item update drops the
item that a refused write returns, and its transactions reorder what they are given.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.connection import Connection
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.expressions.update import Update as UpdateExpression

from headroom.core.errors import Overloaded

# How many items `get_many` reads in one call.
READ_TOGETHER: Final = 100
# A conflict means that another transaction is on the same item at this moment, nothing more.
ATTEMPTS_MAX: Final = 6
BACKOFF_SECONDS: Final = 0.02

# What a key's attribute may have, in bytes of UTF-8: the least that DynamoDB allows any of them.
KEY_BYTES_MAX: Final = 1024

# How DynamoDB says that a transaction is on the same item, or that a part of one was throttled.
CONFLICTS: Final = frozenset(
    {
        "TransactionConflict",
        "TransactionConflictException",
        "TransactionInProgressException",
        "ThrottlingError",
        "ProvisionedThroughputExceeded",
    }
)

_WHOLE: Final = re.compile(r"-?[0-9]{1,38}")

# Items as DynamoDB's JSON: {"pk": {"S": "ORG#org_1"}, "allotment": {"N": "12"}}.
Item = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Key:
    """Where an item lies."""

    pk: str
    sk: str

    def attributes(self) -> Item:
        """Return the key as the table's two attributes."""
        return {"pk": {"S": self.pk}, "sk": {"S": self.sk}}


@dataclass(frozen=True, slots=True)
class Update:
    """Change an item if `condition` holds. Every update is conditioned on what it changes."""

    key: Key
    actions: Sequence[Action]
    condition: Condition


@dataclass(frozen=True, slots=True)
class Put:
    """Write a whole item if `condition` holds."""

    key: Key
    item: Item
    condition: Condition | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove an item if `condition` holds."""

    key: Key
    condition: Condition | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """Let a transaction pass only if `condition` holds of an item that it does not change."""

    key: Key
    condition: Condition


Change = Update | Put | Delete | Check


class Refused(Exception):
    """A condition did not hold; nothing was written.

    `items` has an entry for each change, in order: the item as it was where that change was
    refused (None if there was no item), and `Refused.HELD` where its condition held.
    """

    HELD: Final = object()

    def __init__(self, items: Sequence[Any]) -> None:
        super().__init__("a condition did not hold")
        self.items = tuple(items)

    def refused(self, index: int) -> bool:
        """Tell whether the change at `index` was one of those refused."""
        return self.items[index] is not Refused.HELD

    def found(self, index: int) -> Item | None:
        """Return the item that refused the change at `index`, None if there was none."""
        item: Item | None = self.items[index]
        return item


class Contended(Exception):
    """Other transactions held the same items every time we tried; nothing was written."""


@dataclass(frozen=True, slots=True)
class Page:
    """A stretch of a query, and where the next begins (None at the end)."""

    items: tuple[Item, ...]
    next_key: Item | None = None


@dataclass(frozen=True, slots=True)
class Range:
    """The items of one partition whose sort key starts with a prefix or lies up to a bound."""

    pk: str
    prefix: str = ""
    index: str | None = None
    until: str | int | None = None
    descending: bool = False

    def goes_on_behind(self, start: object) -> bool:
        """Tell whether something is the key of an item in this range, as a query goes on behind.

        DynamoDB takes no other one: with a name or a type that is not the key's, or outside of
        the range, the query fails.
        """
        hash_name, sort_name, sort_type = INDEX_KEYS[self.index]
        types = {"pk": "S", "sk": "S", hash_name: "S", sort_name: sort_type}
        if not isinstance(start, dict) or start.keys() != types.keys():
            return False
        if not all(_is_key_value(start[name], type_) for name, type_ in types.items()):
            return False
        sort: str = start[sort_name][sort_type]
        return bool(start[hash_name] == {"S": self.pk}) and sort.startswith(self.prefix)


class Table(Protocol):
    """Atomic operations on one table; each is one call."""

    def get(self, key: Key) -> Item | None:
        """Return an item, read consistently."""

    def snapshot(self, keys: Sequence[Key]) -> list[Item | None]:
        """Return up to 100 items as they stood at one instant."""

    def get_many(self, keys: Sequence[Key]) -> dict[Key, Item]:
        """Return those of up to 100 items that exist, each read consistently by itself."""

    def update(self, update: Update) -> Item:
        """Apply one update and return the item after it.

        Raises:
            Refused: the condition did not hold.
        """

    def transact(self, changes: Sequence[Change]) -> None:
        """Apply all changes or none, without ever repeating one.

        Raises:
            Refused: some conditions did not hold.
            Contended: other transactions were in the way every time.
        """

    def query(self, range_: Range, *, limit: int | None = None, start: Item | None = None) -> Page:
        """Return a stretch of a range; the table's own partitions are read consistently."""

    def count(self, range_: Range) -> int:
        """Return how many items a range has, without fetching them."""


def _is_key_value(value: object, type_: str) -> bool:
    if not isinstance(value, dict) or value.keys() != {type_}:
        return False
    text = value[type_]
    if not isinstance(text, str) or (type_ == "N" and not _WHOLE.fullmatch(text)):
        return False
    try:
        return 0 < len(text.encode()) <= KEY_BYTES_MAX
    except UnicodeEncodeError:
        return False


def each(table: Table, range_: Range, start: Item | None = None) -> Iterator[Item]:
    """Walk a range, a page at a time: all of it, or what comes after the key `start`."""
    while True:
        page = table.query(range_, start=start)
        yield from page.items
        if page.next_key is None:
            return
        start = page.next_key


# The sort attributes of the table and its indexes, and how they are written.
INDEX_KEYS: Final[Mapping[str | None, tuple[str, str, str]]] = {
    None: ("pk", "sk", "S"),
    "by_member": ("member_period", "occurred_at", "S"),
    "by_due": ("due_shard", "due_at", "N"),
}


@dataclass(slots=True)
class DynamoTable:
    """The table in DynamoDB. `pause` waits the given seconds between attempts."""

    connection: Connection
    name: str
    pause: Callable[[float], None] = time.sleep
    # The system's: environments restored from one snapshot would share any other one's state.
    _random: random.Random = field(default_factory=random.SystemRandom)

    def get(self, key: Key) -> Item | None:
        answer = self._call(
            "get_item",
            {"TableName": self.name, "Key": key.attributes(), "ConsistentRead": True},
        )
        item: Item | None = answer.get("Item")
        return item

    def snapshot(self, keys: Sequence[Key]) -> list[Item | None]:
        gets = [{"Get": {"TableName": self.name, "Key": key.attributes()}} for key in keys]
        answer = self._retry_conflicts("transact_get_items", {"TransactItems": gets})
        return [found.get("Item") for found in answer["Responses"]]

    def get_many(self, keys: Sequence[Key]) -> dict[Key, Item]:
        found: dict[Key, Item] = {}
        wanted: dict[str, Any] = {
            self.name: {"Keys": [key.attributes() for key in keys], "ConsistentRead": True}
        }
        for attempt in range(ATTEMPTS_MAX):
            answer = self._call("batch_get_item", {"RequestItems": wanted})
            for item in answer["Responses"].get(self.name, []):
                found[Key(item["pk"]["S"], item["sk"]["S"])] = item
            wanted = answer.get("UnprocessedKeys") or {}
            if not wanted:
                return found
            self._back_off(attempt)
        raise Overloaded("the store is busy; try again")

    def update(self, update: Update) -> Item:
        arguments = {**self._arguments(update), "ReturnValues": "ALL_NEW"}
        item: Item = self._retry_conflicts("update_item", arguments)["Attributes"]
        return item

    def transact(self, changes: Sequence[Change]) -> None:
        items = [{type(change).__name__: self._arguments(change)} for change in changes]
        for item in items:
            if "Check" in item:
                item["ConditionCheck"] = item.pop("Check")
        self._retry_conflicts("transact_write_items", {"TransactItems": items})

    def query(self, range_: Range, *, limit: int | None = None, start: Item | None = None) -> Page:
        arguments = self._searched(range_)
        if limit is not None:
            arguments["Limit"] = limit
        if start is not None:
            arguments["ExclusiveStartKey"] = start
        answer = self._call("query", arguments)
        return Page(tuple(answer["Items"]), answer.get("LastEvaluatedKey"))

    def count(self, range_: Range) -> int:
        arguments = {**self._searched(range_), "Select": "COUNT"}
        counted: int = 0
        while True:
            answer = self._call("query", arguments)
            counted += int(answer["Count"])
            if "LastEvaluatedKey" not in answer:
                return counted
            arguments["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _searched(self, range_: Range) -> dict[str, Any]:
        hash_name, sort_name, sort_type = INDEX_KEYS[range_.index]
        arguments: dict[str, Any] = {
            "TableName": self.name,
            "KeyConditionExpression": "#h = :h",
            "ExpressionAttributeNames": {"#h": hash_name},
            "ExpressionAttributeValues": {":h": {"S": range_.pk}},
            "ScanIndexForward": not range_.descending,
        }
        if range_.index is None:
            arguments["ConsistentRead"] = True
        else:
            arguments["IndexName"] = range_.index
        if range_.prefix or range_.until is not None:
            bound = range_.prefix if range_.until is None else str(range_.until)
            test = "begins_with(#s, :s)" if range_.until is None else "#s <= :s"
            arguments["KeyConditionExpression"] += f" AND {test}"
            arguments["ExpressionAttributeNames"]["#s"] = sort_name
            arguments["ExpressionAttributeValues"][":s"] = {sort_type: bound}
        return arguments

    def _arguments(self, change: Change) -> dict[str, Any]:
        names: dict[str, str] = {}
        values: dict[str, Any] = {}
        arguments: dict[str, Any] = {"TableName": self.name}
        if isinstance(change, Put):
            arguments["Item"] = {**change.key.attributes(), **change.item}
        else:
            arguments["Key"] = change.key.attributes()
        if isinstance(change, Update):
            arguments["UpdateExpression"] = UpdateExpression(*change.actions).serialize(
                names, values
            )
        if change.condition is not None:
            arguments["ConditionExpression"] = " AND ".join(
                part.serialize(names, values) for part in _parts(change.condition)
            )
            arguments["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        if names:
            arguments["ExpressionAttributeNames"] = {short: name for name, short in names.items()}
        if values:
            arguments["ExpressionAttributeValues"] = values
        return arguments

    def _retry_conflicts(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Repeat a call that met a transaction; a refused condition is an answer, not a fault.

        Each attempt is a new request: whatever an earlier one may have committed unseen is
        recognized by the conditions, which test for the very thing that the change writes.
        """
        for attempt in range(ATTEMPTS_MAX):
            try:
                return self._call(operation, arguments)
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code == "ConditionalCheckFailedException":
                    raise Refused([error.response.get("Item")]) from None
                reasons = error.response.get("CancellationReasons", [])
                codes = {reason.get("Code") for reason in reasons}
                if "ConditionalCheckFailed" in codes:
                    raise Refused([_refusal(reason) for reason in reasons]) from None
                if not (codes | {code}) & CONFLICTS:
                    raise
                self._back_off(attempt)
        raise Contended

    def _call(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = getattr(self.connection.client, operation)(**arguments)
        except BotoCoreError as error:
            raise Overloaded("the store cannot be reached; try again") from error
        except ClientError as error:
            if _is_busy(error):
                raise Overloaded("the store is busy; try again") from error
            raise
        return answer

    def _back_off(self, attempt: int) -> None:
        # Full jitter: those who met once should not meet again.
        self.pause(self._random.uniform(0, BACKOFF_SECONDS * 2**attempt))


def _parts(condition: Condition) -> Iterator[Condition]:
    """Walk the parts of an AND, which PynamoDB would print as one pair of brackets in another.

    Those brackets mean nothing, and every write would have them parsed.
    """
    if condition.operator != "AND":
        yield condition
        return
    for part in condition.values:
        yield from _parts(part)


def _refusal(reason: Mapping[str, Any]) -> object:
    if reason.get("Code") == "ConditionalCheckFailed":
        return reason.get("Item")
    return Refused.HELD


def _is_busy(error: ClientError) -> bool:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status >= 500 or error.response["Error"]["Code"] in {
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ThrottlingException",
        "InternalServerError",
    }
