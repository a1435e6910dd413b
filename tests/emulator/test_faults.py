"""Conflicts, throttles, broken connections and replies lost after the commit break no promise."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import pytest

from headroom.core.domain.money import format_amount
from headroom.core.errors import HeadroomError, Overloaded, SpendRefused
from headroom.core.store.table import Contended, DynamoTable
from headroom.limits.usecases.settings import set_cap, set_enabled
from headroom.spending.usecases.authorizations import extend, release
from headroom.spending.usecases.expiry import look_at
from headroom.spending.usecases.grants import Hints
from headroom.spending.usecases.recall import recall
from tests.emulator.arena import (
    CENT_NANOS,
    PATIENCE_SECONDS,
    TOKEN_NANOS,
    Arena,
    Totals,
    connect,
    open_arena,
    together,
)
from tests.emulator.conftest import TABLE_NAME
from tests.emulator.faults import (
    Chaos,
    Fault,
    conflict,
    fail,
    lose_reply,
    lose_request,
    throttle,
)

CLIENTS = 16
MEMBERS = 12
ROUNDS = 6
RETRIES_MAX = 400

# What a function may take before API Gateway's client, or Lambda, gives up on it.
HANDLER_SECONDS = 10.0

Answer = TypeVar("Answer")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let botocore retry without its pauses of seconds; how often it retries stays the same."""
    monkeypatch.setattr(
        "botocore.retries.standard.ExponentialBackoff.delay_amount", lambda self, context: 0.0
    )


@pytest.fixture
def faulty(races_endpoint: str) -> Iterator[DynamoTable]:
    """A table of its own client, so that no other test meets what is injected into it."""
    table = connect(races_endpoint, TABLE_NAME, retries=1)
    table.pause = lambda seconds: time.sleep(seconds / 20)
    yield table
    table.connection.client.close()


@dataclass
class Storm:
    """What the clients were told, while the store failed them."""

    arena: Arena
    faulty: DynamoTable
    chaos: Chaos
    acknowledged: dict[str, dict[str, Any]] = field(default_factory=dict)
    keyed: dict[str, set[str]] = field(default_factory=dict)
    holds: list[str] = field(default_factory=list)
    settled: set[str] = field(default_factory=set)
    refusals: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def insist(self, work: Callable[[], Answer]) -> Answer:
        """Repeat a request as the contract allows: after 503, and after `contended`."""
        for _ in range(RETRIES_MAX):
            try:
                return work()
            except HeadroomError as error:
                if not error.retryable:
                    raise
        raise AssertionError("the store never answered")

    def client(self, number: int) -> None:
        """Authorize, then settle, release or just send usage, insisting on every answer."""
        arena, hints = self.arena, Hints()
        chance = random.Random(number)
        for turn in range(ROUNDS):
            user_id = chance.choice(arena.user_ids)
            tokens = chance.choice((50, 200, 1000))
            name = f"msg_{number}_{turn}"
            if chance.random() < 0.2:
                self.record(arena.event(f"{name}_late", user_id, tokens), hints)
                continue
            key = f"key_{number}_{turn}" if chance.random() < 0.5 else None
            ask = partial(
                arena.authorize,
                user_id,
                tokens,
                hints=hints,
                table=self.faulty,
                idempotency_key=key,
            )
            try:
                held = self.insist(ask)
                if key is not None:
                    again = self.insist(ask)
                    with self.lock:
                        self.keyed.setdefault(key, set()).update((held["id"], again["id"]))
            except SpendRefused as refusal:
                with self.lock:
                    self.refusals.append(refusal.facts["reason"])
                continue
            if chance.random() < 0.2:
                self.insist(partial(release, self.faulty, arena.org_id, held["id"]))
                continue
            event = arena.event(name, user_id, chance.randint(1, tokens), held["id"])
            result = self.record(event, hints)
            # The hold was acknowledged, so its money is there whatever happened since.
            assert result["source"] == "extra_usage"
            assert "unbilled" not in result
            with self.lock:
                self.settled.add(name)

    def record(self, event: dict[str, Any], hints: Hints) -> dict[str, Any]:
        """Send an event until it is acknowledged, and then once more."""
        send = partial(self.arena.record, event, hints=hints, table=self.faulty)
        result, again = self.insist(send), self.insist(send)
        assert result["status"] in ("recorded", "duplicate")
        assert again == {**result, "status": "duplicate"}
        with self.lock:
            self.acknowledged[event["id"]] = result
        return result

    def owner(self, caps: list[int]) -> None:
        """Change the cap up and down; from each response on it holds."""
        for cap in caps:
            self.insist(partial(set_cap, self.faulty, self.arena.org_id, cap, self.arena.clock()))
            after = self.arena.look()
            assert after.organization.cap == cap
            assert after.used <= cap or not sum(budget.allotment for budget in after.budgets)

    def recaller(self, rounds: int) -> None:
        for _ in range(rounds):
            try:
                recall(self.faulty, self.arena.org_id, self.arena.clock())
            except (Contended, Overloaded):
                continue


def watch(arena: Arena, most: int, over: threading.Event) -> int:
    """Look at the whole organization again and again; return how often."""
    looks = 0
    before: Totals | None = None
    while not over.is_set():
        totals = arena.look()
        assert totals.faults() == []
        assert totals.used <= most
        if before and before.organization.version == totals.organization.version:
            # Beyond a cap that was cut nothing is added, whatever is settled or given back.
            assert totals.used <= max(totals.organization.cap, before.used)
        before = totals
        looks += 1
    return looks


def expire_everything(arena: Arena, table: DynamoTable) -> None:
    """Let the holds end whose answers nobody got."""
    arena.clock.skip(timedelta(hours=1))
    for user_id in arena.user_ids:
        look_at(table, arena.org_id, user_id, arena.clock())


@pytest.mark.parametrize(("rate", "seed"), [(0.05, 1), (0.15, 2), (0.3, 3)])
def test_a_failing_store_breaks_no_promise(
    table: DynamoTable, faulty: DynamoTable, rate: float, seed: int
) -> None:
    most = 45 * CENT_NANOS
    arena = open_arena(table, members=MEMBERS, cap="45")
    storm = Storm(arena, faulty, Chaos(rate, seed))
    over = threading.Event()

    with ThreadPoolExecutor(1) as background, storm.chaos.on(faulty):
        watching = background.submit(watch, arena, most, over)
        try:
            together(
                [
                    *(partial(storm.client, number) for number in range(CLIENTS)),
                    partial(storm.owner, [most // 2, most, most // 3, most]),
                    partial(storm.recaller, 5),
                ]
            )
        finally:
            over.set()
        looks = watching.result(PATIENCE_SECONDS)

    expire_everything(arena, table)
    totals = arena.prove(storm.acknowledged)
    assert totals.used <= most
    lines = {line.event_id: line for user_id in arena.user_ids for line in arena.lines(user_id)}
    for event_id, result in storm.acknowledged.items():
        line = lines[event_id]
        assert line.source == result["source"]
        paid = line.cost if line.source == "unbilled" else line.charged
        assert format_amount(paid) == result["amount"]
        assert event_id not in storm.settled or line.unbilled == 0
    assert all(len(ids) == 1 for ids in storm.keyed.values())
    assert set(storm.chaos.done) >= {"conflict", "lose reply", "fail after commit"}
    assert storm.settled
    assert looks > 1


def test_a_hold_whose_reply_was_lost_for_good_is_the_one_that_its_key_returns(
    table: DynamoTable, faulty: DynamoTable
) -> None:
    arena = open_arena(table, members=1, cap="1000")
    (user_id,) = arena.user_ids
    ask = partial(arena.authorize, user_id, 100, table=faulty, idempotency_key="key-1")

    with Chaos(1.0, 1, {"lose": _only("TransactWriteItems", lose_reply)}).on(faulty):
        with pytest.raises(Overloaded):
            ask()
        with pytest.raises(Overloaded):
            ask()
    held = ask()

    (budget,) = arena.look().budgets
    assert [hold.amount_nanos for hold in budget.holds.values()] == [100 * TOKEN_NANOS]
    assert arena.record(arena.event("msg_1", user_id, 100, held["id"]))["status"] == "recorded"
    arena.prove(["msg_1"])


@pytest.mark.parametrize("first", [True, False], ids=["first request", "steady state"])
@pytest.mark.parametrize("included", [True, False], ids=["included usage", "extra usage"])
def test_a_reply_lost_once_neither_doubles_a_hold_nor_hides_it(
    table: DynamoTable, faulty: DynamoTable, first: bool, included: bool
) -> None:
    """Botocore repeats the request by itself, and the repetition finds it done."""
    allowance = [{"window": "PT5H", "amount": "100000"}] if included else []
    arena = open_arena(
        table,
        members=1,
        cap="1000",
        document={"seat_tiers": {"standard": {"allowance": allowance}}},
    )
    (user_id,) = arena.user_ids
    hints = Hints()
    if not first:
        held = arena.authorize(user_id, 100, hints=hints)
        arena.record(arena.event("msg_0", user_id, 100, held["id"]))

    with Chaos(1.0, 1, {"lose": _first_of_each(lose_reply)}).on(faulty):
        held = arena.authorize(user_id, 100, hints=hints, table=faulty)
        event = arena.event("msg_1", user_id, 40, held["id"])
        result = arena.record(event, table=faulty)

    assert held["source"] == ("included" if included else "extra_usage")
    assert result["status"] in ("recorded", "duplicate")
    arena.prove(["msg_1"] if first else ["msg_0", "msg_1"])


@dataclass
class _Counted:
    """How much a use case tried, and how long it would have waited, before it gave up."""

    requests: int
    waited_seconds: float


def _give_up(
    faulty: DynamoTable, fault: Fault, work: Callable[[], object], refusal: type[HeadroomError]
) -> _Counted:
    """Run `work` in a store that has this fault for ever, and tell what it took to give up."""
    waited: list[float] = []
    faulty.pause = waited.append
    chaos = Chaos(1.0, 1, {"always": fault})
    with chaos.on(faulty), pytest.raises(refusal) as raised:
        work()
    assert raised.value.retryable
    assert isinstance(raised.value, Overloaded) or raised.value.details()["reason"] == "contended"
    return _Counted(chaos.requests.total(), sum(waited))


def _only(wanted: str, fault: Fault) -> Fault:
    return lambda operation, body, send: (
        fault(operation, body, send) if operation == wanted else None
    )


def _writes(fault: Fault) -> Fault:
    return lambda operation, body, send: (
        None if "Get" in operation or operation == "Query" else fault(operation, body, send)
    )


def _first_of_each(fault: Fault) -> Fault:
    """Fail the first attempt of every write; its repetition gets through."""
    seen: set[str] = set()

    def once(operation: str, body: dict[str, Any], send: Any) -> Any:
        token = f"{operation} {sorted(body.items(), key=str)}"
        if "Get" in operation or operation == "Query" or token in seen:
            return None
        seen.add(token)
        return fault(operation, body, send)

    return once


FOREVER: dict[str, tuple[Fault, type[HeadroomError]]] = {
    "writes conflict": (_writes(conflict), SpendRefused),
    "everything conflicts": (conflict, SpendRefused),
    "everything is throttled": (throttle, Overloaded),
    "everything fails": (fail, Overloaded),
    "nothing gets through": (lose_request, Overloaded),
    "no reply arrives": (lose_reply, Overloaded),
}


@pytest.mark.parametrize("first", [True, False], ids=["first request", "steady state"])
@pytest.mark.parametrize("forever", FOREVER)
def test_an_authorization_gives_up_in_time_when_the_store_does_not_recover(
    table: DynamoTable, faulty: DynamoTable, forever: str, first: bool
) -> None:
    fault, refusal = FOREVER[forever]
    arena = open_arena(table, members=1, cap="1000")
    (user_id,) = arena.user_ids
    hints = Hints()
    if not first:
        arena.authorize(user_id, 10, hints=hints)
    before = arena.look()

    counted = _give_up(
        faulty, fault, partial(arena.authorize, user_id, 10, hints=hints, table=faulty), refusal
    )

    assert counted.requests <= 40
    assert counted.waited_seconds < HANDLER_SECONDS
    after = arena.look()
    assert after.used == before.used or forever == "no reply arrives"
    assert after.faults() == []


@pytest.mark.parametrize("forever", FOREVER)
@pytest.mark.parametrize(
    "what", ["settle", "charge on arrival", "release", "prolong", "set the cap", "disable"]
)
def test_every_other_request_gives_up_in_time_too(
    table: DynamoTable, faulty: DynamoTable, forever: str, what: str
) -> None:
    arena = open_arena(table, members=1, cap="1000")
    (user_id,) = arena.user_ids
    held = arena.authorize(user_id, 10)["id"]
    event = arena.event("msg_1", user_id, 10, held)
    late = arena.event("msg_2", user_id, 10)
    now = arena.clock()
    works: dict[str, Callable[[], object]] = {
        "settle": partial(arena.record, event, table=faulty),
        "charge on arrival": partial(arena.record, late, table=faulty),
        "release": partial(release, faulty, arena.org_id, held),
        "prolong": partial(
            extend,
            faulty,
            arena.organization,
            held,
            now,
            ttl=timedelta(hours=1),
            max_tokens=None,
        ),
        "set the cap": partial(set_cap, faulty, arena.org_id, CENT_NANOS, now),
        "disable": partial(set_enabled, faulty, arena.org_id, False, now),
    }

    counted = _give_up(faulty, FOREVER[forever][0], works[what], Overloaded)

    assert counted.requests <= 110
    assert counted.waited_seconds < HANDLER_SECONDS
    assert arena.look().faults() == []
    # Once the store is back, the same request succeeds, or finds itself done.
    faulty.pause = time.sleep
    works[what]()
    expire_everything(arena, table)
    events = {"settle": ["msg_1"], "charge on arrival": ["msg_2"]}
    arena.prove(events.get(what, []))
