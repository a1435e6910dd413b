"""Items as a release stores them, so that the next ones can be held to working on.

`python -m tests.stored` prints what the present code stores; before a release that changes what
items look like, its output becomes the next file in tests/data.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from headroom.billing.usecases import period_close as closing
from headroom.core.store.table import Item, Key
from headroom.limits.usecases.increase_requests import request_increase
from headroom.payments.usecases.adjustments import Adjustment, adjust
from tests.closes import close_period
from tests.contract.governing import ANN, BEN, NOW, OLGA, PAM, House
from tests.fake_payments import GOOD_CARD
from tests.memory_files import MemoryFiles
from tests.memory_table import MemoryTable
from tests.purse import CENT, Purse

# The last minutes of a month, and the first of the next.
OLD = datetime(2026, 11, 30, 23, 57, tzinfo=UTC)
NEW = datetime(2026, 12, 1, 0, 2, tzinfo=UTC)
DATA = Path(__file__).parent / "data"
# Ann's seat includes nothing; Pam's includes a little.
TIERS = {
    "standard": {"spend_limit": "20000", "allowance": []},
    "premium": {"spend_limit": None, "allowance": [{"window": "PT5H", "amount": "500"}]},
}


@dataclass(frozen=True)
class Scene:
    """A table and its documents, and what its clients were told. Each has one organization."""

    table: MemoryTable
    told: dict[str, Any]
    files: MemoryFiles = field(default_factory=MemoryFiles)


def store_house() -> Scene:
    """Run an organization until a bit of everything is open, several holds among it.

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
    told = {name: house.answer[name] for name in ("id", "service_key", "admin_key")}
    return Scene(house.table, {**told, "holds": holds})


def store_team() -> Scene:
    """Run a wallet until a reload is under way of which nobody knows what came.

    It was bought for once, has credit that expires, booked and unbooked spending and a hold.
    """
    opening = 300
    purse = Purse(opening=opening)
    purse.top_up(500, card=GOOD_CARD)
    purse.auto_reload(threshold=1200, amount=2000, limit=10_000)
    expires_at = purse.now + timedelta(days=30)
    gift = Adjustment(
        "gift", purse.org_id, "promotional", 1400 * CENT, "ops", "gift", expires_at=expires_at
    )
    adjust(purse.table, purse.payments, gift, purse.now)
    (bought,) = purse.payments.payments.values()
    back = Adjustment(
        "back",
        purse.org_id,
        "refund",
        100 * CENT,
        "ops",
        "back",
        payment_id=bought.payment_id,
    )
    adjust(purse.table, purse.payments, back, purse.now)
    purse.spend(700)
    purse.follow()
    purse.look()
    purse.wait(minutes=2)
    held = purse.hold(200, 1)
    purse.spend(350)
    purse.follow()
    purse.payments.lose("charge", "after")
    purse.reload()
    purse.prove()
    (intent,) = [each for each in purse.intents() if each.state == "charging"]
    told = {
        "id": purse.org_id,
        "hold": held,
        "intent": intent.intent_id,
        "events": purse.events,
        "opening": opening,
        "now": purse.now.isoformat(),
    }
    return Scene(purse.table, told)


def store_closing() -> Scene:
    """Close one month, and the next one half: a shard is summed, another waits for a hold."""
    house, files = House(), MemoryFiles()
    for user_id in (ANN, BEN, PAM):
        house.use(user_id, NOW, web=1)
    november, december = "2026-11", "2026-12"
    ends_at = datetime(2027, 1, 1, tzinfo=UTC)
    with patch.object(closing, "SHARD_MEMBERS", 2):
        after = NEW + timedelta(minutes=4)
        close_period(house.table, files, house.org_id, november, after)
        for user_id in (ANN, OLGA):
            house.use(user_id, NEW + timedelta(days=3))
        held = house.ask(PAM, ends_at - timedelta(minutes=2))
        after = ends_at + timedelta(minutes=6)
        first, second = closing.begin(house.table, house.org_id, december, after)
        assert closing.turn_members(house.table, house.org_id, december, first, after) is None
        closing.total_members(house.table, files, house.org_id, december, first)
        assert closing.turn_members(house.table, house.org_id, december, second, after)
    told = {"id": house.org_id, "hold": held, "period": december, "now": after.isoformat()}
    return Scene(house.table, told, files)


SCENES: Final[dict[str, Callable[[], Scene]]] = {
    "house": store_house,
    "team": store_team,
    "closing": store_closing,
}


def scenes_of(release: int) -> dict[str, Any]:
    """Return what a release stored, by scene. The first stored one."""
    stored: dict[str, Any] = json.loads((DATA / f"stored-{release}.json").read_text())
    return stored if stored.keys() <= SCENES.keys() else {"house": stored}


def load(release: int, scene: str = "house") -> Scene:
    """Return a scene that a release stored."""
    told = scenes_of(release)[scene]
    table, files = MemoryTable(), MemoryFiles()
    for item in told.pop("items"):
        key = Key(item.pop("pk")["S"], item.pop("sk")["S"])
        table.items[key] = {**key.attributes(), **item}
    for name, text in told.pop("files", {}).items():
        files.documents[name] = text.encode()
    return Scene(table, told, files)


def main() -> None:
    stored = {name: _frozen(store()) for name, store in SCENES.items()}
    print(json.dumps(stored, indent=1))  # noqa: T201


def _frozen(scene: Scene) -> dict[str, Any]:
    items: list[Item] = [
        {**key.attributes(), **item} for key, item in sorted(scene.table.items.items(), key=_order)
    ]
    files = {name: body.decode() for name, body in sorted(scene.files.documents.items())}
    return {**scene.told, "items": items, "files": files}


def _order(entry: tuple[Key, Item]) -> tuple[str, str]:
    return entry[0].pk, entry[0].sk


if __name__ == "__main__":
    main()
