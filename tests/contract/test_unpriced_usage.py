"""Usage without a price: kept whole, moving no money, and priced exactly once when it has one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from headroom.core.errors import InvalidRequest
from headroom.core.store import keys
from headroom.limits.usecases.settings import change_organization
from headroom.organizations.store.organizations import find_pool
from headroom.overview.usecases.overview import extra_usage
from headroom.pricing.domain.pricing_terms import PricingTerms
from headroom.pricing.domain.usage import ITERATIONS_MAX
from headroom.spending.store.budgets import find_budget
from headroom.spending.store.ledger import find_line
from headroom.spending.store.unpriced import COUNTED_MAX, count_unpriced
from headroom.spending.usecases.authorizations import release
from headroom.spending.usecases.expiry import sweep
from headroom.spending.usecases.grants import Hints
from headroom.spending.usecases.unpriced_usage import price_waiting
from headroom.spending.usecases.usage_events import record, rejected
from headroom.spending.wire.usage_events import USAGE_KEPT_LENGTH_MAX, USAGE_LENGTH_MAX, parse_event
from tests.contract.closing import Bureau
from tests.contract.governing import ANN, CENT, NOW, House
from tests.contract.test_late_usage import check_books, close, removed
from tests.every_route import OWNER, Site
from tests.in_process import Application, Organization, usage_event

PROFILE: Final = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/a1b2"
EVENT: Final = "msg_unpriced"
END: Final = datetime(2026, 12, 1, tzinfo=UTC)
COST: Final = 1000 * 3_000 + 700 * 15_000
USAGE: Final = {"input_tokens": 1000, "output_tokens": 700}


def event(**changes: Any) -> dict[str, Any]:
    sent = {
        "id": EVENT,
        "user_id": ANN,
        "model": PROFILE,
        "occurred_at": NOW.isoformat(),
        "usage": USAGE,
        **changes,
    }
    return {name: value for name, value in sent.items() if value is not None}


def send(house: House, sent: dict[str, Any], now: datetime = NOW) -> dict[str, Any]:
    return record(house.table, Hints(), house.organization, parse_event(sent, now), now)


def learn(house: House, now: datetime = NOW, model: str = "claude-sonnet-4-5") -> None:
    """The owner says what the profile is."""
    terms = PricingTerms({PROFILE: model})
    change_organization(house.table, house.org_id, lambda old: replace(old, pricing=terms), now)


def try_again(house: House, now: datetime) -> int:
    return price_waiting(house.table, now, lambda: True, parse_event)


def item_of(house: House) -> Any:
    return house.table.items[keys.line(house.org_id, EVENT)]


WITHOUT_A_PRICE: Final = [
    ({}, "model"),
    ({"model": "claude-9"}, "model"),
    ({"model": "claude-sonnet-5", "usage": {**USAGE, "speed": "fast"}}, "usage.speed"),
    ({"model": "claude-opus-5", "usage": {**USAGE, "speed": "warp"}}, "usage.speed"),
    ({"model": "claude-opus-5", "usage": {**USAGE, "service_tier": "flex"}}, "usage.service_tier"),
    (
        {"model": "claude-opus-5", "usage": {**USAGE, "inference_geo": "moon"}},
        "usage.inference_geo",
    ),
    (
        {
            "model": "claude-opus-5",
            "usage": {**USAGE, "iterations": [{"type": "dream", **USAGE}]},
        },
        "usage.iterations[0].type",
    ),
    (
        {
            "model": "claude-opus-5",
            "usage": {
                **USAGE,
                "iterations": [{"type": "advisor_message", "model": "gpt-4", **USAGE}],
            },
        },
        "usage.iterations[0].model",
    ),
]


@pytest.mark.parametrize(("changes", "field"), WITHOUT_A_PRICE)
def test_usage_without_a_price_is_kept_whole_and_moves_no_money(
    changes: dict[str, Any], field: str
) -> None:
    house = House()
    held = house.ask(ANN)
    before = house.budget(ANN), find_pool(house.table, house.org_id)
    sent = event(authorization_id=held["id"], **changes)

    told = send(house, sent)

    assert told["unpriced"].pop("message").startswith(f"{field}: ")
    assert told == {
        "type": "usage_event",
        "id": EVENT,
        "status": "recorded",
        "source": "unpriced",
        "amount": "0",
        "period": None,
        "unpriced": {"field": field},
    }
    assert (house.budget(ANN), find_pool(house.table, house.org_id)) == before
    assert count_unpriced(house.table, house.org_id) == 1

    again = send(house, sent, NOW + timedelta(minutes=1))
    assert (again["status"], again["source"], again["period"]) == ("duplicate", "unpriced", None)
    other = send(house, {**sent, "product": "other"})
    assert (other["status"], other["error"]["type"]) == ("rejected", "conflict_error")
    # Neither does a content that has a price take the id, by whatever way it would be charged.
    for authorization_id in (held["id"], None):
        priced = event(model="claude-sonnet-4-5", authorization_id=authorization_id)
        taken = send(house, priced)
        assert (taken["status"], taken["error"]["type"]) == ("rejected", "conflict_error")
    free = {"input_tokens": 0, "output_tokens": 0}
    taken = send(house, event(model="claude-sonnet-4-5", usage=free))
    assert (taken["status"], taken["error"]["type"]) == ("rejected", "conflict_error")
    budget = house.budget(ANN)
    assert (budget.spent, budget.unbilled, budget.held) == (0, 0, before[0].held)


@pytest.mark.parametrize(
    "usage",
    [
        {"input_tokens": -1, "output_tokens": 1, "speed": "warp"},
        {"input_tokens": 1, "speed": "warp"},
        {**USAGE, "iterations": 5, "cache_read_input_tokens": "many"},
        {**USAGE, "iterations": 5, "cache_creation": []},
        {**USAGE, "service_tier": {}, "server_tool_use": {"web_search_requests": -1}},
    ],
)
def test_figures_that_are_malformed_are_rejected_whatever_else_there_is(
    usage: dict[str, Any],
) -> None:
    result = answering()(event(model="claude-opus-5", usage=usage))
    assert (result["status"], result["error"]["type"]) == ("rejected", "invalid_request_error")


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"speed": 2}, "speed"),
        ({"iterations": [{"type": "advisor_message", **USAGE}]}, "iterations[0].model"),
        ({"iterations": [{"type": "dream", "model": {"id": "x"}}]}, "iterations[0].type"),
        ({"iterations": [{"type": "dream"}, 5]}, "iterations[0].type"),
        ({"iterations": [USAGE]}, "iterations[0].type"),
        ({"iterations": [{"type": "message"}] * 257}, "iterations"),
        ({"server_tool_use": {"video_requests": 2}}, "server_tool_use.video_requests"),
        ({"more": "x" * USAGE_LENGTH_MAX}, None),
    ],
)
def test_what_is_not_understood_of_usage_is_kept(more: dict[str, Any], field: str | None) -> None:
    usage = {**USAGE, **more}
    told = answering()(event(model="claude-opus-5", usage=usage))
    assert (told["status"], told["source"]) == ("recorded", "unpriced")
    assert told["unpriced"]["field"] == ("usage" if field is None else f"usage.{field}")


def padded(length: int) -> dict[str, Any]:
    """Usage of just so many characters of JSON."""
    empty = len(json.dumps({**USAGE, "more": ""}))
    return {**USAGE, "more": "x" * (length - empty)}


def test_usage_of_any_length_that_fits_is_kept_and_more_is_told(app: Application) -> None:
    """In the table as it is: an item has at most 400 KB, and holds the usage twice."""
    acme = app.provision()
    names = {"model": "claude-9" * 16, "product": "é" * 64}

    def sent(length: int) -> dict[str, Any]:
        made = {**usage_event(f"msg_{length}", usage=padded(length)), **names}
        (told,) = app.record(acme, made)
        return told

    assert sent(USAGE_LENGTH_MAX)["unpriced"]["field"] == "model"
    assert sent(USAGE_LENGTH_MAX + 1)["unpriced"]["field"] == "usage"
    assert sent(USAGE_KEPT_LENGTH_MAX)["source"] == "unpriced"
    rejected = sent(USAGE_KEPT_LENGTH_MAX + 1)
    assert rejected["status"] == "rejected"
    assert str(USAGE_KEPT_LENGTH_MAX) in rejected["error"]["message"]


def test_as_many_iterations_as_are_priced_fit() -> None:
    house = House()
    counts = {
        "input_tokens": 2_000_000,
        "output_tokens": 128_000,
        "cache_read_input_tokens": 2_000_000,
        "cache_creation_input_tokens": 2_000_000,
        "cache_creation": {
            "ephemeral_5m_input_tokens": 2_000_000,
            "ephemeral_1h_input_tokens": 2_000_000,
        },
    }
    round_ = {"type": "message", "model": "claude-sonnet-4-5-20250929", **counts}
    usage = {**USAGE, "iterations": [round_] * ITERATIONS_MAX}
    told = send(house, event(model="claude-sonnet-4-5", usage=usage))
    assert (told["status"], told["source"]) == ("recorded", "extra_usage")


@pytest.mark.parametrize("standing", [True, False])
def test_the_hold_says_at_which_speed_an_attempt_was_asked_that_declined(standing: bool) -> None:
    house = House()
    learn(house, model="claude-sonnet-5")
    asked: dict[str, Any] = {
        "model": "claude-opus-5",
        "speed": "fast",
        "fallbacks": [{"model": PROFILE}],
    }
    held = house.ask(ANN, **asked)["id"]
    attempt = {"input_tokens": 1_000, "output_tokens": 100}
    usage = {
        **attempt,
        "speed": "standard",
        "iterations": [
            {"type": "message", "model": "claude-opus-5", **attempt},
            {"type": "fallback_message", "model": "claude-sonnet-5", **attempt},
        ],
    }
    if not standing:
        release(house.table, house.org_id, held)

    sent = event(model="claude-opus-5", usage=usage, authorization_id=held)
    assert send(house, sent)["status"] == "recorded"

    line = find_line(house.table, house.org_id, EVENT)
    assert line is not None
    served = 1_000 * 2_000 + 100 * 10_000
    declined = 1_000 * 5_000 + 100 * 25_000
    assert line.cost == served + declined * (2 if standing else 1)
    noted = [note for note in line.notes or () if note.startswith("asked_speed_unknown")]
    assert bool(noted) is not standing
    # Its hold is gone by now, and its line stands.
    assert send(house, sent)["status"] == "duplicate"
    check_books(house)


def answering() -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Send events as the function does, which rejects what cannot be read."""
    house = House()

    def sending(sent: dict[str, Any]) -> dict[str, Any]:
        try:
            return send(house, sent)
        except InvalidRequest as error:
            return rejected(sent["id"], error)

    return sending


def test_a_malformed_event_is_rejected_although_its_usage_has_no_price() -> None:
    result = answering()(event(usage={**USAGE, "speed": "warp"}, product=5))
    assert (result["status"], result["error"]["message"].split(":")[0]) == ("rejected", "product")


def test_usage_of_nobody_is_rejected_with_a_price_or_without() -> None:
    house = House()
    for changes in ({"user_id": "user_nobody"}, {"authorization_id": "auth_made_up"}):
        told = send(house, event(**changes))
        assert (told["status"], told["error"]["type"]) == ("rejected", "not_found_error")
    assert count_unpriced(house.table, house.org_id) == 0


def test_somebody_who_left_has_their_unpriced_usage_kept_too() -> None:
    house = House()
    removed(house, NOW)
    assert send(house, event())["source"] == "unpriced"
    learn(house)
    assert try_again(house, NOW + timedelta(hours=1)) == 1
    assert house.budget(ANN).unbilled == COST
    check_books(house)


@pytest.mark.parametrize("holds", [True, False])
def test_it_is_priced_at_once_when_it_is_sent_again(holds: bool) -> None:
    house = House()
    sent = event(authorization_id=house.ask(ANN)["id"] if holds else None)
    send(house, sent)
    learn(house)

    told = send(house, sent, NOW + timedelta(minutes=2))

    assert (told["status"], told["source"], told["amount"]) == ("recorded", "extra_usage", "1.35")
    line = find_line(house.table, house.org_id, EVENT)
    assert line is not None
    assert (line.charged, line.model, line.model_named) == (COST, "claude-sonnet-4-5", PROFILE)
    # Nothing of its time without a price is left, in no index either.
    assert not {"unpriced", "unpriced_digest", "as_sent", "due_shard", "due_at", "attempts"} & set(
        item_of(house)
    )
    assert count_unpriced(house.table, house.org_id) == 0
    assert not house.budget(ANN).holds
    check_books(house)
    assert send(house, sent) == {**told, "status": "duplicate"}
    assert try_again(house, NOW + timedelta(days=3)) == 0


def test_it_is_tried_again_less_and_less_often() -> None:
    house = House()
    send(house, event())
    looks = 0
    for minutes in range(0, 24 * 60, 5):
        before = item_of(house)
        try_again(house, NOW + timedelta(minutes=minutes))
        looks += item_of(house) != before
    assert 6 <= looks <= 10
    learn(house)
    assert try_again(house, NOW + timedelta(days=2)) == 1


def test_it_keeps_the_price_of_the_day_it_was_used() -> None:
    """Cache reads of this model were halved on 2026-10-07."""
    house = House()
    used_at = datetime(2026, 10, 5, 12, tzinfo=UTC)
    usage = {"input_tokens": 0, "output_tokens": 0, "cache_read_input_tokens": 1_000_000}
    send(house, event(occurred_at=used_at.isoformat(), usage=usage))
    learn(house, model="claude-sonnet-5-5")

    # It would be too old to be sent by then.
    assert try_again(house, NOW + timedelta(days=50)) == 1

    line = find_line(house.table, house.org_id, EVENT)
    assert line is not None
    assert line.charged == 20 * CENT
    assert line.notes == ["late"]
    check_books(house)


def test_its_period_may_close_and_it_is_an_adjustment_of_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house = House()
    bureau = Bureau(house.table, NOW, monkeypatch)
    house.spend(ANN)
    held = house.ask(ANN, END - timedelta(minutes=5))
    send(house, event(authorization_id=held["id"]), END - timedelta(minutes=4))

    close(bureau, END + timedelta(days=1))
    (november,) = bureau.invoices(house.org_id)
    learn(house, END + timedelta(days=2))
    assert try_again(house, END + timedelta(days=3)) == 1
    close(bureau, datetime(2027, 1, 2, tzinfo=UTC))

    again, december = bureau.invoices(house.org_id)
    assert again == november
    (adjustment,) = bureau.shown(december)["adjustments"]
    assert (adjustment["kind"], adjustment["period"]) == ("late_usage", "2026-11")
    assert december.subtotal == COST
    check_books(house)


class Killed(Exception):
    pass


def waiting(*, holds: bool) -> House:
    house = House()
    held = house.ask(ANN)["id"] if holds else None
    send(house, event(authorization_id=held))
    learn(house)
    return house


def price_all(house: House, now: datetime) -> None:
    for hours in range(1, 9):
        try_again(house, now + timedelta(hours=hours))


def is_priced_once(house: House) -> None:
    assert count_unpriced(house.table, house.org_id) == 0
    budget = house.budget(ANN)
    assert (budget.spent, budget.unbilled, budget.held) == (COST, 0, 0)
    line = find_line(house.table, house.org_id, EVENT)
    assert line is not None
    assert (line.charged, line.source) == (COST, "extra_usage")
    check_books(house)


LATER: Final = NOW + timedelta(minutes=11)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("holds", [True, False])
def test_a_pass_that_is_cut_off_anywhere_is_finished_by_the_next(holds: bool, after: bool) -> None:
    for die_at in range(1, 60):
        house = waiting(holds=holds)
        died = die_in(house, die_at, after=after)
        sweep(house.table, LATER + timedelta(hours=1), lambda: True)
        price_all(house, LATER)
        is_priced_once(house)
        if not died:
            assert die_at > 1
            return
    pytest.fail("a pass makes too many calls")


def die_in(house: House, die_at: int, *, after: bool) -> bool:
    """Run a pass that dies before its nth call, or after its nth write; tell whether it did."""
    calls = 0

    def count() -> None:
        nonlocal calls
        calls += 1
        if calls == die_at:
            raise Killed

    with pytest.MonkeyPatch.context() as patching:
        if after:
            write = house.table.transact

            def transact(changes: Any) -> None:
                write(changes)
                count()

            patching.setattr(house.table, "transact", transact)
        else:
            patching.setattr(house.table, "step", lambda name: count())
        try:
            try_again(house, LATER)
        except Killed:
            return True
    return False


@pytest.mark.parametrize("other", ["pass", "delivery"])
@pytest.mark.parametrize("holds", [True, False])
def test_whoever_comes_in_between_there_is_one_line(holds: bool, other: str) -> None:
    """A second pass, or the event sent again, runs before each store call of a pass in turn."""
    for meets_at in range(1, 60):
        house = waiting(holds=holds)
        sent = item_of(house)["as_sent"]["S"]
        calls = 0

        def step(
            name: str, meets_at: int = meets_at, house: House = house, sent: str = sent
        ) -> None:
            nonlocal calls
            calls += 1
            if calls != meets_at:
                return
            if other == "pass":
                try_again(house, LATER)
            else:
                assert send(house, json.loads(sent), LATER)["status"] in ("recorded", "duplicate")

        house.table.step = step
        try_again(house, LATER)
        house.table.step = lambda name: None
        price_all(house, LATER)
        is_priced_once(house)
        if calls < meets_at:
            break
    assert 1 < meets_at < 59


def test_a_pass_ends_in_time_and_the_next_goes_on() -> None:
    house = House()
    for number in range(20):
        send(house, event(id=f"msg_{number}"))
    learn(house)
    left = iter([True] * 7 + [False] * 100)

    priced = price_waiting(house.table, LATER, lambda: next(left), parse_event)
    assert 0 < priced < 20
    assert priced + try_again(house, LATER + timedelta(hours=1)) == 20
    assert house.budget(ANN).spent == 20 * COST


def test_owners_see_what_has_no_price(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(monkeypatch)
    for number in range(3):
        sent = event(id=f"msg_{number}", occurred_at=site.now.isoformat())
        (told,) = site.call("POST", "/v1/usage/events", {"events": [sent]}).body["results"]
        assert told["source"] == "unpriced"

    seen = site.call("GET", "/v1/organizations/extra_usage").body
    assert seen["unpriced"] == {"events": 3}
    first = site.call("GET", "/v1/organizations/unpriced_usage", query="limit=2").body
    rest = site.call(
        "GET", "/v1/organizations/unpriced_usage", query=f"limit=2&page={first['next_page']}"
    ).body
    rows = [*first["data"], *rest["data"]]
    assert (first["has_more"], rest["has_more"]) == (True, False)
    assert sorted(row["id"] for row in rows) == ["msg_0", "msg_1", "msg_2"]
    assert rows[0] == {
        "type": "unpriced_usage",
        "id": rows[0]["id"],
        "authorization_id": None,
        "user_id": ANN,
        "model": PROFILE,
        "product": None,
        "occurred_at": rows[0]["occurred_at"],
        "recorded_at": rows[0]["recorded_at"],
        "unpriced": {"field": "model", "message": rows[0]["unpriced"]["message"]},
        "usage": USAGE,
    }
    assert site.call("GET", "/v1/organizations/unpriced_usage", person=ANN).status == 403
    other = site.provision("enterprise", "another")
    elsewhere = site.call("GET", "/v1/organizations/unpriced_usage", person=OWNER, org_id=other)
    assert elsewhere.body["data"] == []


def test_the_count_is_bounded() -> None:
    house = House()
    for number in range(COUNTED_MAX + 1):
        send(house, event(id=f"msg_{number}"))
    seen = extra_usage(house.table, house.organization, NOW)
    assert seen["unpriced"] == {"events": COUNTED_MAX}


def test_few_long_events_are_counted_although_they_fill_a_page(app: Application) -> None:
    """A page of a query ends at 1 MB."""
    acme = app.provision()
    for number in range(7):
        usage = padded(USAGE_KEPT_LENGTH_MAX)
        (told,) = app.record(acme, usage_event(f"msg_{number}", usage=usage))
        assert told["source"] == "unpriced"
    assert count_unpriced(app.table, acme.id) == 7


def test_the_sweep_prices_what_waits(app: Application, acme: Organization) -> None:
    """The deployed path: no model is known by this name, so it goes on waiting."""
    (told,) = app.record(acme, usage_event("msg_1", model="claude-9"))
    assert told["source"] == "unpriced"
    assert app.sweep() == {"looked_at": 0, "priced": 0}
    assert find_budget(app.table, acme.id, "user_ada") is None
