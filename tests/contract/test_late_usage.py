"""Usage that was, is in the ledger: whatever its hold and its member have become meanwhile.

One table walks the life of a hold, against what happened to its member or organization, against
how much was used. Each case ends with its months closed and invoiced, which proves the books.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any, Final

import pytest

from headroom.core.errors import NotFound
from headroom.core.store import keys
from headroom.limits.usecases.members import add_member, change_seat, remove_member
from headroom.limits.usecases.settings import change_organization, set_cap, set_enabled
from headroom.organizations.store.organizations import find_member, find_pool
from headroom.spending.store.budgets import list_budgets
from headroom.spending.store.ledger import find_line, line_to_wire
from headroom.spending.usecases.authorizations import release
from headroom.spending.usecases.expiry import sweep
from headroom.spending.usecases.grants import Hints
from headroom.spending.usecases.usage_events import record
from headroom.spending.wire.usage_events import parse_event
from tests.contract.closing import Bureau
from tests.contract.governing import ANN, NOW, OWNER, House

END: Final = datetime(2026, 12, 1, tzinfo=UTC)
EVENT: Final = "msg_late"
MODEL: Final = "claude-sonnet-4-5"

# Output tokens of 1,000 that were asked for.
USED: Final = {"within": 1000, "beyond": 5000, "nothing": 0}
IN_NANOS, OUT_NANOS = 3_000, 15_000


def swept(house: House, now: datetime) -> None:
    sweep(house.table, now, lambda: True)


def removed(house: House, now: datetime) -> None:
    remove_member(house.table, house.organization, ANN, OWNER, now)


def removed_and_back(house: House, now: datetime) -> None:
    ann = find_member(house.table, house.org_id, ANN)
    assert ann is not None
    removed(house, now)
    add_member(house.table, house.organization, replace(ann, limits={}), OWNER, now)


def disabled(house: House, now: datetime) -> None:
    set_enabled(house.table, house.org_id, False, now)


def not_admitted(house: House, now: datetime) -> None:
    change_organization(
        house.table, house.org_id, lambda old: replace(old, admission="selected"), now
    )
    change_seat(
        house.table, house.organization, ANN, OWNER, now, admitted=False, seat_tier=None, role=None
    )


def reseated(house: House, now: datetime) -> None:
    change_seat(
        house.table,
        house.organization,
        ANN,
        OWNER,
        now,
        admitted=None,
        seat_tier="premium",
        role=None,
    )


def cut(house: House, now: datetime) -> None:
    set_cap(house.table, house.org_id, 0, now)


def past_due(house: House, now: datetime) -> None:
    change_organization(house.table, house.org_id, lambda old: replace(old, past_due=True), now)


def nothing(house: House, now: datetime) -> None:
    pass


@dataclass(frozen=True)
class Meanwhile:
    happens: Callable[[House, datetime], None]
    # Whether a limit still allows it to be charged, and else the reason why not.
    forbids: str | None = None


MEANWHILE: Final = {
    "nothing": Meanwhile(nothing),
    "member removed": Meanwhile(removed, "member_not_enabled"),
    "member removed and back": Meanwhile(removed_and_back),
    "extra usage disabled": Meanwhile(disabled, "extra_usage_disabled"),
    "member not admitted": Meanwhile(not_admitted, "member_not_enabled"),
    "seat tier changed": Meanwhile(reseated),
    "cap cut to 0": Meanwhile(cut, "organization_limit_reached"),
    "payment past due": Meanwhile(past_due, "payment_past_due"),
}

# How the hold's life went, from when it was taken to when the event comes: with the moment of it.
LIVES: Final = {
    "open": timedelta(minutes=1),
    "settled": timedelta(minutes=1),
    "released": timedelta(minutes=1),
    "overdue": timedelta(minutes=20),
    "expired": timedelta(minutes=20),
    "never held": timedelta(minutes=1),
    "period turned, open": END - NOW + timedelta(minutes=1),
    "period turned, expired": END - NOW + timedelta(minutes=20),
    "period closed": END - NOW + timedelta(days=3),
}
STILL_OPEN: Final = {"open", "overdue", "period turned, open"}


def close(bureau: Bureau, at: datetime) -> None:
    bureau.clock.set(at)
    bureau.run()


def usage(held: dict[str, Any] | None, occurred_at: datetime, output_tokens: int) -> dict[str, Any]:
    return {
        "id": EVENT,
        **({"authorization_id": held["id"]} if held else {}),
        "user_id": ANN,
        "model": MODEL,
        "occurred_at": occurred_at.isoformat(),
        "usage": {"input_tokens": 1000 if output_tokens else 0, "output_tokens": output_tokens},
    }


def send(house: House, event: dict[str, Any], now: datetime) -> dict[str, Any]:
    return record(house.table, Hints(), house.organization, parse_event(event, now), now)


def check_books(house: House) -> None:
    """Hold the counters against each other and the ledger, of every period."""
    pool = find_pool(house.table, house.org_id)
    granted = 0
    for user_id in {item["user_id"]["S"] for item in lines(house)} | {ANN}:
        for budget in list_budgets(house.table, house.org_id, user_id):
            assert budget.granted == budget.allotment + budget.held + budget.spent
            if budget.period == pool.period:
                granted += budget.granted
            own = [
                item
                for item in lines(house)
                if (item["user_id"]["S"], item["period"]["S"]) == (user_id, budget.period)
            ]
            sums = [sum(int(item[name]["N"]) for item in own) for name in ("charged", "unbilled")]
            assert [budget.spent, budget.unbilled] == sums
    assert pool.unallotted + granted == house.organization.cap


def lines(house: House) -> list[Any]:
    return [item for key, item in house.table.items.items() if key.sk == "LINE"]


@pytest.mark.parametrize(
    ("life", "meanwhile", "used"),
    [
        (life, meanwhile, used)
        for life, meanwhile, used in product(LIVES, MEANWHILE, USED)
        if used == "within" or life in STILL_OPEN or (life, used) == ("expired", "nothing")
    ],
    ids=str,
)
def test_usage_that_was_is_kept(
    life: str, meanwhile: str, used: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House()
    turns = life.startswith("period")
    begun = END - timedelta(minutes=1) if turns else NOW
    comes = NOW + LIVES[life]
    bureau = Bureau(house.table, begun, monkeypatch)
    held = None if life == "never held" else house.ask(ANN, begun)
    if life == "settled":
        house.settle(held or {}, ANN, begun)
    if life == "released":
        assert held is not None
        release(house.table, house.org_id, held["id"])
    happened = MEANWHILE[meanwhile]
    happened.happens(house, begun)
    if life in ("expired", "period turned, expired"):
        swept(house, comes)
    if life == "period closed":
        close(bureau, END + timedelta(days=1, minutes=6))
    output = USED[used]
    cost = output and 1000 * IN_NANOS + output * OUT_NANOS
    event = usage(held, begun, output)

    told = send(house, event, comes)

    assert told["status"] == "recorded", told
    line = find_line(house.table, house.org_id, EVENT)
    assert line is not None
    assert line.cost == cost
    # Whoever looks for more than an overdue hold has frees it, and then it is charged anew.
    freed = life == "overdue" and used == "beyond" and meanwhile != "nothing"
    is_open = life in STILL_OPEN and not freed
    is_late = not is_open and life != "never held"
    if used == "nothing":
        expected = (0, 0)
    elif is_open and used == "within":
        expected = (cost, 0)
    elif is_open and (turns or happened.forbids) and life != "overdue":
        # What was held is charged, and the rest would have to be granted now.
        bound = 1000 * 6_000 + 1000 * OUT_NANOS
        expected = (bound, cost - bound)
    else:
        expected = (cost, 0) if happened.forbids is None else (0, cost)
    assert (line.charged, line.unbilled) == expected
    notes = line_to_wire(dict(house.table.items[keys.line(house.org_id, EVENT)]))["notes"]
    assert ("late" in notes) == is_late
    if not is_open and cost and happened.forbids:
        assert f"unbilled:{happened.forbids}" in notes

    again = send(house, event, comes + timedelta(seconds=1))
    assert again == {**told, "status": "duplicate"}
    check_books(house)
    if meanwhile == "member removed":
        with pytest.raises(NotFound):
            house.ask(ANN, comes)

    # The months close, which proves them, and their documents come to what was charged.
    close(bureau, max(comes, END) + timedelta(days=2))
    close(bureau, datetime(2027, 1, 2, tzinfo=UTC))
    check_books(house)
    charged = sum(int(item["charged"]["N"]) for item in lines(house))
    documents = bureau.invoices(house.org_id)
    assert sum(each.subtotal for each in documents) == charged
    assert len(documents) == 2


@pytest.mark.parametrize("output_tokens", [1000, 0])
def test_somebody_who_left_without_a_single_request_has_their_usage_kept(
    output_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House()
    removed(house, NOW)

    told = send(house, usage(None, NOW, output_tokens), NOW + timedelta(minutes=1))

    source = "unbilled" if output_tokens else "included"
    assert (told["status"], told["source"]) == ("recorded", source)
    check_books(house)
    swept(house, NOW + timedelta(hours=1))
    close(Bureau(house.table, NOW, monkeypatch), END + timedelta(days=1))
    check_books(house)


def test_usage_of_somebody_who_left_lets_nothing_new_start() -> None:
    """Their seat's allowance is not theirs any more, for usage as for requests."""
    allowance = [{"window": "PT5H", "amount": "500"}]
    house = House(seat_tiers={"standard": {"spend_limit": None, "allowance": allowance}})
    held = house.ask(ANN)
    removed(house, NOW)
    later = NOW + timedelta(minutes=20)
    swept(house, later)

    told = send(house, usage(held, NOW, 1000), later)

    assert (told["status"], told["source"]) == ("recorded", "unbilled")
    for hints in (Hints(), house.hints):
        house.hints = hints
        with pytest.raises(NotFound):
            house.ask(ANN, later)
    budget = house.budget(ANN)
    assert not budget.is_open(later)
    assert (budget.allotment, budget.held, dict(budget.holds)) == (0, 0, {})


def test_somebody_who_comes_back_begins_as_everybody_does() -> None:
    house = House()
    removed(house, NOW)
    send(house, usage(None, NOW, 1000), NOW)
    added = find_member(house.table, house.org_id, ANN)
    assert added is not None
    back = replace(added, active=True)
    add_member(house.table, house.organization, back, OWNER, NOW + timedelta(minutes=1))

    assert house.spend(ANN, NOW + timedelta(minutes=2)) == "1.8"
    check_books(house)


def test_what_never_was_known_is_rejected() -> None:
    house = House()
    stranger = {**usage(None, NOW, 1000), "user_id": "user_nobody"}
    made_up = {**usage(None, NOW, 1000), "authorization_id": "auth_madeup"}

    for event in (
        stranger,
        made_up,
        {**stranger, "usage": {"input_tokens": 0, "output_tokens": 0}},
    ):
        told = send(house, event, NOW)
        assert (told["status"], told["error"]["type"]) == ("rejected", "not_found_error")
    assert not lines(house)
