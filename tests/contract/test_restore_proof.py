"""The proof of a restored table: nothing is wrong with what is whole, and no loss goes unseen."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from headroom.core.store.table import Item
from tests.closes import close_period
from tests.contract.governing import ANN, PAM, House
from tests.memory_files import MemoryFiles
from tests.purse import NOW, Purse
from tests.stored import SCENES
from tools.restore.ledger import read
from tools.restore.proof import findings

AFTER = datetime(2026, 12, 1, 0, 6, tzinfo=UTC)


def company() -> list[Item]:
    """An invoiced month."""
    house = House()
    for user_id in (ANN, PAM):
        house.use(user_id, NOW, web=1)
    close_period(house.table, MemoryFiles(), house.org_id, "2026-11", AFTER)
    return list(house.table.items.values())


def team() -> list[Item]:
    """A wallet that was bought for, spent from, booked and told of in a statement."""
    purse = Purse()
    purse.top_up(500)
    purse.spend(700)
    purse.follow()
    purse.look()
    close_period(purse.table, MemoryFiles(), purse.org_id, "2026-11", AFTER)
    return list(purse.table.items.values())


def kind(item: Item) -> str:
    return str(item["sk"]["S"]).partition("#")[0]


def found(items: list[Item]) -> list[str]:
    return list(findings(read(items)))


@pytest.mark.parametrize("scene", SCENES)
def test_what_works_proves_itself_whatever_is_open(scene: str) -> None:
    ledger = read(SCENES[scene]().table.items.values())

    assert ledger.lines > 0
    assert list(findings(ledger)) == []


@pytest.mark.parametrize(
    ("items", "kinds"),
    [
        (company(), "SETTINGS POOL BUDGET LINE PERIOD INVOICE BOOKING SERIES"),
        (team(), "SETTINGS POOL BUDGET LINE WALLET ENTRY INTENT PERIOD INVOICE SERIES"),
    ],
    ids=["company", "team"],
)
def test_the_loss_of_any_item_is_found(items: list[Item], kinds: str) -> None:
    assert found(items) == []
    for lost in kinds.split():
        places = [at for at, item in enumerate(items) if kind(item) == lost and _counts(item)]
        assert places, lost
        for at in places:
            assert found([*items[:at], *items[at + 1 :]]), items[at]


@pytest.mark.parametrize(
    ("items", "changed", "attribute"),
    [
        (company(), "LINE", "charged"),
        (company(), "LINE", "cost"),
        (company(), "PERIOD", "charged"),
        (company(), "INVOICE", "subtotal"),
        (company(), "INVOICE", "rounding"),
        (company(), "BOOKING", "amount"),
        (team(), "ENTRY", "amount"),
        (team(), "ENTRY", "balance"),
        (team(), "POOL", "funds"),
        (team(), "INTENT", "amount"),
        (team(), "INVOICE", "subtotal"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_nano_more_is_found(items: list[Item], changed: str, attribute: str) -> None:
    at, item = next(
        (at, item) for at, item in enumerate(items) if kind(item) == changed and _counts(item)
    )
    more: dict[str, Any] = {**item, attribute: {"N": str(int(item[attribute]["N"]) + 1)}}

    assert found([*items[:at], more, *items[at + 1 :]])


def _counts(item: Item) -> bool:
    """Whether the item has anything to lose: a new period has nothing in it yet."""
    if kind(item) == "PERIOD":
        return bool(item["state"]["S"] == "invoiced")
    if kind(item) == "BUDGET":
        return bool(item["spent"]["N"] != "0")
    return kind(item) != "POOL" or bool(item["sk"]["S"] == "POOL")
