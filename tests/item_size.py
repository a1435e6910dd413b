"""How large DynamoDB takes an item to be, by the rules in its guide."""

from __future__ import annotations

from typing import Any

from headroom.core.store.table import Item

# Each list and map, and each entry of one.
COLLECTION_BYTES, ENTRY_BYTES = 3, 1


def size_of(item: Item) -> int:
    """Return an item's size in bytes: names and values."""
    return sum(len(name.encode()) + _value(value) for name, value in item.items())


def _value(value: dict[str, Any]) -> int:
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(str(content).encode())
        case "N":
            # Two digits in a byte, and one more; zeros at either end are free.
            digits = str(content).lstrip("-").strip("0")
            return (len(digits) + 1) // 2 + 1 + str(content).startswith("-")
        case "L":
            return COLLECTION_BYTES + sum(ENTRY_BYTES + _value(each) for each in content)
        case "M":
            return COLLECTION_BYTES + sum(
                ENTRY_BYTES + len(name.encode()) + _value(each) for name, each in content.items()
            )
    return 1
