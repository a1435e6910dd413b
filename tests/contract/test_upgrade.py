"""What an earlier release stored works on under this one, and this one's items under the earlier.

While a deployment shifts traffic, and after one that is taken back, both work on one table. So an
attribute that a release reads is written, in the same type, until no release that reads it runs.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest

from headroom.core.domain.money import format_amount
from headroom.core.errors import SpendRefused
from headroom.core.store.records import SCHEMA
from headroom.core.store.table import Item
from headroom.limits.usecases.increase_requests import approve
from headroom.limits.usecases.settings import set_cap, set_enabled
from headroom.organizations.store.organizations import find_organization
from headroom.organizations.usecases.authentication import Callers
from headroom.payments.usecases.adjustments import Adjustment, adjust
from headroom.spending.usecases.authorizations import authorize, extend, release
from headroom.spending.usecases.expiry import sweep
from headroom.spending.usecases.grants import Hints
from headroom.spending.usecases.recall import recall
from headroom.spending.usecases.usage_events import record
from headroom.spending.wire.authorizations import parse_authorization_request
from headroom.spending.wire.usage_events import parse_event
from headroom.wallets.domain.payments import Charge
from headroom.wallets.store.intents import find_intent
from tests.books import Books, Reader
from tests.contract.closing import FUNCTIONS, Bureau
from tests.contract.governing import ANN, BEN, CENT, OWNER
from tests.memory_table import MemoryTable
from tests.purse import TOKEN_NANOS, Purse
from tests.stored import DATA, NEW, SCENES, Scene, load, scenes_of

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

    def settle(self, number: int, now: datetime = SOON) -> dict[str, Any]:
        hold = self.told["holds"][number]
        organization = find_organization(self.table, self.org_id)
        assert organization is not None
        event = {
            "id": f"msg_{number}",
            "authorization_id": hold["id"],
            "user_id": hold["user_id"],
            "model": hold["model"],
            "occurred_at": now.isoformat(),
            "usage": {"input_tokens": 1000, "output_tokens": 1000},
        }
        return record(self.table, Hints(), organization, parse_event(event, now), now)

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


def having(scene: str) -> list[int]:
    """The releases that stored a scene."""
    return [release_ for release_ in RELEASES if scene in scenes_of(release_)]


@pytest.fixture(params=RELEASES)
def upgraded(request: pytest.FixtureRequest) -> Upgraded:
    scene = load(request.param)
    return Upgraded(scene.table, scene.told)


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


# A wallet whose reload is under way.


@dataclass
class Charged:
    """A purse, and whether the processor had made the charge whose reply was lost."""

    purse: Purse
    told: dict[str, Any]
    was_made: bool

    @property
    def state(self) -> str:
        """How far the reload is."""
        found = find_intent(self.purse.table, self.purse.org_id, self.told["intent"])
        assert found is not None
        return found.state


@pytest.fixture(params=having("team"))
def release_of_wallet(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(params=[True, False], ids=["made", "never arrived"])
def charged(request: pytest.FixtureRequest, release_of_wallet: int) -> Charged:
    scene = load(release_of_wallet, "team")
    # Provisioned again with the document of then, which changes nothing.
    purse = Purse(table=scene.table, opening=scene.told["opening"])
    assert purse.org_id == scene.told["id"]
    purse.events, purse.holds = scene.told["events"], 100
    purse.now = purse.payments.now = datetime.fromisoformat(scene.told["now"])
    # The processor remembers what it did under the keys that it was given.
    for intent in sorted(purse.intents(), key=lambda each: each.created_at_millis):
        customer = purse.payments.create_customer(org_id=purse.org_id, name="Purse")
        assert customer == intent.customer_id
        purse.payments.save_payment_method(customer, intent.payment_method_id)
        if intent.state == "succeeded" or request.param:
            payment = purse.payments.charge(
                Charge(
                    customer_id=customer,
                    amount_cents=intent.amount // CENT,
                    currency=intent.currency,
                    key=intent.key,
                    payment_method_id=intent.payment_method_id,
                    facts={},
                )
            )
            assert intent.payment_id in (None, payment.payment_id)
    purse.payments.calls.clear()
    return Charged(purse, scene.told, request.param)


def test_a_reload_under_way_is_credited_and_charged_once(charged: Charged) -> None:
    purse = charged.purse
    purse.prove()
    assert charged.state == "charging"
    before = purse.wallet.total

    purse.wait(minutes=5)
    purse.look()
    purse.look()

    assert charged.state == "succeeded"
    assert purse.payments.calls.count("charge") == (0 if charged.was_made else 1)
    assert len([each for each in purse.entries() if each.kind == "reload"]) == 1
    # The look books what was spent since the last one.
    assert purse.wallet.total == before + 2000 * CENT - _cost(350)
    purse.prove_all_paid()


def test_a_wallet_is_spent_to_its_end_and_never_below(charged: Charged) -> None:
    purse = charged.purse
    purse.settle(charged.told["hold"], 200, 1)
    purse.auto_reload_off()
    purse.look()
    purse.prove()

    left = purse.balance // CENT
    assert purse.refusal(left + 1) is not None
    purse.spend(left)
    purse.look()

    assert 0 <= purse.balance < CENT
    purse.prove()


def test_credit_expires_when_it_was_to(charged: Charged) -> None:
    purse = charged.purse

    purse.wait(days=31)
    purse.look()

    assert "expiry" in purse.kinds()
    purse.prove()


def test_what_an_operator_did_is_known_by_its_id(charged: Charged) -> None:
    purse = charged.purse
    before = [each.version for each in purse.entries()]
    for intent in purse.intents():
        if intent.kind == "purchase":
            back = Adjustment(
                "back",
                purse.org_id,
                "refund",
                100 * CENT,
                "ops",
                "back",
                payment_id=intent.payment_id,
            )
            adjust(purse.table, purse.payments, back, purse.now)

    assert [each.version for each in purse.entries()] == before
    assert "refund" not in purse.payments.calls


# A month whose close is half done.


@dataclass
class Half:
    scene: Scene
    bureau: Bureau

    @property
    def org_id(self) -> str:
        return str(self.scene.told["id"])

    def finish(self) -> None:
        self.bureau.execute({"organization_id": self.org_id, "period": self.scene.told["period"]})


@pytest.fixture(params=having("closing"))
def half(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Half:
    scene = load(request.param, "closing")
    bureau = Bureau(scene.table, datetime.fromisoformat(scene.told["now"]), monkeypatch)
    bureau.files = scene.files
    for module in FUNCTIONS:
        if hasattr(module, "files"):
            monkeypatch.setattr(module, "files", scene.files)
    return Half(scene, bureau)


def test_a_close_that_was_half_done_comes_to_what_the_ledger_says(half: Half) -> None:
    half.finish()
    half.finish()

    first, second = sorted(half.bureau.invoices(half.org_id), key=lambda each: each.period)
    assert [first.period, second.period] == ["2026-11", "2026-12"]
    for invoice in (first, second):
        charged_ = [
            int(item["charged"]["N"])
            for item in half.scene.table.items.values()
            if item["sk"]["S"] == "LINE" and item["period"]["S"] == invoice.period
        ]
        assert len(charged_) > 1
        assert invoice.subtotal == sum(charged_)
    assert [first.number[-5:], second.number[-5:]] == ["-0001", "-0002"]
    for invoice in (first, second):
        assert half.bureau.shown(invoice)["subtotal"] == format_amount(invoice.subtotal)


def test_a_hold_of_the_month_that_closes_is_billed_in_it(half: Half) -> None:
    held = half.scene.told["hold"]
    settler = Upgraded(half.scene.table, {"id": half.org_id, "holds": [held]})
    now = datetime.fromisoformat(half.scene.told["now"])

    told = settler.settle(0, now)
    half.finish()

    assert (told["status"], told["period"]) == ("recorded", "2026-12")
    _, second = sorted(half.bureau.invoices(half.org_id), key=lambda each: each.period)
    people = {row["user_id"] for row in half.bureau.shown(second)["by_member"]}
    assert held["user_id"] in people


def test_an_invoice_of_before_is_chased_and_paid(half: Half) -> None:
    (invoice,) = half.bureau.invoices(half.org_id)
    half.bureau.clock.set(invoice.due_at + timedelta(days=1))

    assert half.bureau.chase() == 1
    (late,) = half.bureau.invoices(half.org_id)
    half.bureau.settle(late, amount=format_amount(late.total))

    (paid,) = half.bureau.invoices(half.org_id)
    assert (late.status, paid.status) == ("past_due", "paid")


# What is written now.


@pytest.mark.parametrize("release_number", RELEASES)
def test_what_an_earlier_release_reads_is_still_written(release_number: int) -> None:
    for scene in scenes_of(release_number):
        was = _shapes(load(release_number, scene).table.items.values())
        now_is = _shapes(SCENES[scene]().table.items.values())

        assert was.keys() <= now_is.keys()
        for kind, attributes in was.items():
            missing = {each for each in attributes if each not in now_is[kind]}
            assert not missing, f"{kind} lacks what release {release_number} reads: {missing}"


def test_what_is_written_now_is_kept_for_those_who_come() -> None:
    """A release that changes what items look like leaves its own behind, before it goes out."""
    for scene, store in SCENES.items():
        kept = _shapes(load(SCHEMA, scene).table.items.values())

        assert _shapes(store().table.items.values()) == kept, (
            f"{scene}: keep it by python -m tests.stored > tests/data/stored-{SCHEMA}.json"
        )


def _cost(cents: int) -> int:
    """What so many cents are, to the next token."""
    return -(-cents * CENT // TOKEN_NANOS) * TOKEN_NANOS


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
