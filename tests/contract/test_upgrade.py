"""What an earlier release stored works on under this one, and this one's items under the earlier.

While a deployment shifts traffic, and after one that is taken back, both work on one table. So an
attribute that a release reads is written, in the same type, until no release that reads it runs.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from headroom.errors import SpendRefused
from headroom.store.organizations import find_organization
from headroom.store.table import Item
from headroom.usecases.acquiring import Hints
from headroom.usecases.authenticating import Callers
from headroom.usecases.authorizing import authorize, extend, release
from headroom.usecases.governing import set_cap, set_enabled
from headroom.usecases.increasing import approve
from headroom.usecases.recalling import recall
from headroom.usecases.recording import record
from headroom.usecases.sweeping import sweep
from headroom.wire.authorizations import parse_authorization_request
from headroom.wire.usage_events import parse_event
from tests.books import Books, Reader
from tests.contract.governing import ANN, BEN, CENT, OWNER
from tests.memory_table import MemoryTable
from tests.stored import DATA, NEW, load, store

RELEASES = sorted(int(path.stem.removeprefix("stored-")) for path in DATA.glob("stored-*.json"))
SOON = NEW + timedelta(minutes=2)
# A thousand tokens each way, as they were held: 1.8 cents without the cache writes in the bound.
COST = 18_000_000


@dataclass
class Upgraded:
    """An organization that an earlier release left behind, under the present code."""

    table: MemoryTable
    told: dict[str, Any]

    @property
    def org_id(self) -> str:
        return str(self.told["id"])

    @property
    def books(self) -> Books:
        return Reader().read(self.table.items)

    def settle(self, number: int) -> dict[str, Any]:
        hold = self.told["holds"][number]
        organization = find_organization(self.table, self.org_id)
        assert organization is not None
        event = {
            "id": f"msg_{number}",
            "authorization_id": hold["id"],
            "user_id": hold["user_id"],
            "model": hold["model"],
            "occurred_at": SOON.isoformat(),
            "usage": {"input_tokens": 1000, "output_tokens": 1000},
        }
        return record(self.table, Hints(), organization, parse_event(event, SOON), SOON)

    def ask(self, user_id: str) -> dict[str, Any]:
        organization = find_organization(self.table, self.org_id)
        assert organization is not None
        body = {
            "user_id": user_id,
            "model": "claude-sonnet-4-5",
            "input_tokens": 1000,
            "max_tokens": 1000,
        }
        asked = parse_authorization_request(body)
        return authorize(self.table, Hints(), organization, asked, SOON, entropy=bytes(6))

    def check(self) -> None:
        """Check what is promised of the counters at every instant."""
        books = self.books
        granted = 0
        for budget in books.all_budgets:
            assert budget.granted == budget.allotment + budget.held + budget.spent
            extra = [hold for hold in budget.holds.values() if hold.source == "extra_usage"]
            assert budget.held == sum(hold.amount_nanos for hold in extra)
            granted += budget.granted if budget.period == books.pool.period else 0
        assert books.pool.unallotted + granted == books.organization.cap


@pytest.fixture(params=RELEASES)
def upgraded(request: pytest.FixtureRequest) -> Upgraded:
    return Upgraded(*load(request.param))


def test_every_open_hold_settles_at_what_was_used(upgraded: Upgraded) -> None:
    upgraded.check()
    spent_before = sum(budget.spent for budget in upgraded.books.all_budgets)

    told = [upgraded.settle(number) for number in range(len(upgraded.told["holds"]))]

    assert [each["status"] for each in told] == ["recorded"] * 5
    assert [each["source"] for each in told] == [hold["source"] for hold in upgraded.told["holds"]]
    assert [each["period"] for each in told] == [hold["period"] for hold in upgraded.told["holds"]]
    upgraded.check()
    budgets = upgraded.books.all_budgets
    assert sum(budget.held for budget in budgets) == 0
    assert not any(budget.holds for budget in budgets)
    assert sum(budget.spent for budget in budgets) == spent_before + 4 * COST
    lines = upgraded.books.lines.values()
    assert sum(int(line["charged"]["N"]) for line in lines) == spent_before + 4 * COST


def test_settling_again_is_known_as_a_duplicate(upgraded: Upgraded) -> None:
    upgraded.settle(1)

    assert upgraded.settle(1)["status"] == "duplicate"


def test_every_open_hold_can_be_released_or_prolonged(upgraded: Upgraded) -> None:
    organization = find_organization(upgraded.table, upgraded.org_id)
    assert organization is not None
    first, *others = [hold["id"] for hold in upgraded.told["holds"]]

    longer = extend(
        upgraded.table, organization, first, SOON, ttl=timedelta(hours=1), max_tokens=None
    )
    for each in others:
        release(upgraded.table, upgraded.org_id, each)

    assert longer["expires_at"] == (SOON + timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    upgraded.check()
    assert sum(len(budget.holds) for budget in upgraded.books.all_budgets) == 1


def test_every_open_hold_expires_and_its_money_is_free_again(upgraded: Upgraded) -> None:
    later = NEW + timedelta(days=2)

    for _ in range(3):
        sweep(upgraded.table, later, lambda: True)

    upgraded.check()
    assert not any(budget.holds for budget in upgraded.books.all_budgets)
    assert upgraded.books.registered == set()


def test_members_spend_on_from_what_was_handed_out(upgraded: Upgraded) -> None:
    before = upgraded.books.budgets[ANN]

    assert upgraded.ask(ANN)["source"] == "extra_usage"

    after = upgraded.books.budgets[ANN]
    assert after.allotment == before.allotment - 21_000_000
    upgraded.check()


def test_owners_change_limits_and_the_change_holds_at_once(upgraded: Upgraded) -> None:
    budgets = upgraded.books.budgets.values()
    set_cap(upgraded.table, upgraded.org_id, sum(each.held + each.spent for each in budgets), SOON)
    upgraded.check()
    with pytest.raises(SpendRefused):
        upgraded.ask(ANN)

    set_enabled(upgraded.table, upgraded.org_id, False, SOON)
    assert recall(upgraded.table, upgraded.org_id, SOON) in ("enough", "drained")
    upgraded.check()


def test_a_pending_request_is_approved(upgraded: Upgraded) -> None:
    (request_id,) = [
        key.sk.removeprefix("REQUEST#")
        for key in upgraded.table.items
        if key.sk.startswith("REQUEST#")
    ]
    organization = upgraded.books.organization

    answer = approve(
        upgraded.table, organization, request_id, 70 * CENT, None, OWNER, SOON, notify=True
    )

    assert answer["status"] == "approved"
    assert upgraded.books.members[BEN].limits["monthly"] == 70 * CENT


def test_keys_open_what_they_opened(upgraded: Upgraded) -> None:
    for name in ("service_key", "admin_key"):
        caller = Callers().authenticate(upgraded.table, upgraded.told[name], SOON)
        assert caller.org_id == upgraded.org_id


@pytest.mark.parametrize("release_number", RELEASES)
def test_what_an_earlier_release_reads_is_still_written(release_number: int) -> None:
    table, _ = load(release_number)
    house, _ = store()
    was, now_is = _shapes(table.items.values()), _shapes(house.table.items.values())

    assert was.keys() <= now_is.keys()
    for kind, attributes in was.items():
        missing = {name: type_ for name, type_ in attributes if (name, type_) not in now_is[kind]}
        assert not missing, f"{kind} lacks what release {release_number} reads: {missing}"


def _shapes(items: Any) -> dict[str, set[tuple[str, str]]]:
    """By kind of item: each attribute, nested ones too, with its type."""
    shapes: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for item in items:
        place = f"{item['pk']['S']} {item['sk']['S']}"
        kind = " ".join(re.findall(r"[A-Z_]{3,}", re.sub(r"#[^#]*[a-z0-9][^# ]*", "", place)))
        shapes[kind] |= set(_attributes(item))
    return shapes


def _attributes(item: Item) -> Any:
    for name, value in item.items():
        ((type_, content),) = value.items()
        if type_ != "NULL":
            yield name, type_
        if type_ == "M":
            # The names of a map of holds are the holds' own.
            for nested in content.values() if name == "holds" else [value]:
                for inner, inner_type in _attributes(nested["M"]):
                    yield f"{name}.{inner}", inner_type
