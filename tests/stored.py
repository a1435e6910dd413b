"""Items as a release stores them, so that the next ones can be held to working on.

`python -m tests.stored` prints what the present code stores; before a release that changes what
items look like, its output becomes the next file in tests/data.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from headroom.store.table import Item, Key
from headroom.usecases.increasing import request_increase
from tests.contract.governing import ANN, BEN, NOW, PAM, House
from tests.memory_table import MemoryTable

# The last minutes of a month, and the first of the next.
OLD = datetime(2026, 11, 30, 23, 57, tzinfo=UTC)
NEW = datetime(2026, 12, 1, 0, 2, tzinfo=UTC)
DATA = Path(__file__).parent / "data"
# Ann's seat includes nothing; Pam's includes a little.
TIERS = {
    "standard": {"spend_limit": "20000", "allowance": []},
    "premium": {"spend_limit": None, "allowance": [{"window": "PT5H", "amount": "500"}]},
}


def store() -> tuple[House, list[dict[str, Any]]]:
    """Run an organization until a bit of everything is open; return it and the open holds.

    A month ends in between: one of Ben's holds is still open from before.
    """
    house = House(seat_tiers=TIERS)
    house.limit("organization", "", 90_000)
    house.limit("user", BEN, 5_000)
    house.limit("user", BEN, 1_000, "daily")
    house.spend(ANN)
    house.follow()
    request_increase(
        house.table, house.organization, BEN, "monthly", "more", NOW, entropy=b"stored"
    )
    asked = [(BEN, OLD), (ANN, NEW), (ANN, NEW), (BEN, NEW), (PAM, NEW)]
    holds = [house.ask(user_id, now) for user_id, now in asked]
    house.spend(ANN, NEW)
    return house, holds


def load(release: int) -> tuple[MemoryTable, dict[str, Any]]:
    """Return a table with what a release stored, and what it told its clients."""
    stored = json.loads((DATA / f"stored-{release}.json").read_text())
    table = MemoryTable()
    for item in stored["items"]:
        key = Key(item.pop("pk")["S"], item.pop("sk")["S"])
        table.items[key] = {**key.attributes(), **item}
    return table, stored


def main() -> None:
    house, holds = store()
    items: list[Item] = [
        {**key.attributes(), **item} for key, item in sorted(house.table.items.items(), key=_order)
    ]
    told = {name: house.answer[name] for name in ("id", "service_key", "admin_key")}
    print(json.dumps({**told, "holds": holds, "items": items}, indent=1))  # noqa: T201


def _order(entry: tuple[Key, Item]) -> tuple[str, str]:
    return entry[0].pk, entry[0].sk


if __name__ == "__main__":
    main()
