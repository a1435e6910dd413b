"""Events of the payment processor: signed, stored before they are acted on, and acted on once."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from functions.receive_payment_event import handler as function
from headroom.core.errors import Overloaded
from headroom.core.gateways.secrets import PaymentSecret
from headroom.core.store import keys
from headroom.core.store.table import Contended
from headroom.core.wire.http import BODY_LENGTH_MAX
from headroom.payments.gateways.payments import PaymentUnknown
from headroom.payments.gateways.stripe import StripePayments
from headroom.payments.gateways.stripe_line import StripeLine
from headroom.payments.usecases.received_events import finish, receive
from headroom.wallets.domain.payments import PaymentEvent
from tests.in_process import Answer, Context, sample
from tests.memory_table import MemoryTable
from tools.local_stack.processor.webhooks import sign

SECRET = "whsec_test"
SAMPLE = "receive_payment_event/payment_succeeded"


class Acting:
    """Acts on events, and fails as often as it is told to."""

    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self.acted: list[PaymentEvent] = []

    def __call__(self, event: PaymentEvent, now: datetime) -> None:
        self.acted.append(event)
        if self.failures:
            raise self.failures.pop(0)


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> MemoryTable:
    table = MemoryTable()
    monkeypatch.setattr(function, "table", table)
    return table


@pytest.fixture
def acting(monkeypatch: pytest.MonkeyPatch) -> Acting:
    acting = Acting()
    monkeypatch.setattr(function, "_act", acting)
    return acting


@pytest.fixture(autouse=True)
def processor(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = PaymentSecret("sk_test_x", (SECRET,))
    line = StripeLine(api_base="http://127.0.0.1:9", read_secret=lambda fresh: secret)
    monkeypatch.setattr(function, "payments", StripePayments(line))


def told(**changes: Any) -> bytes:
    """The sample's body with some members changed."""
    return json.dumps(json.loads(sample(SAMPLE)["body"]) | changes).encode()


def post(body: bytes, signature: str | None = None, **changes: Any) -> Answer:
    event = sample(SAMPLE) | changes
    event["body"] = body.decode()
    signed = sign(body, SECRET, int(datetime.now(UTC).timestamp()))
    event["headers"]["stripe-signature"] = signed if signature is None else signature
    return Answer.read(function.handler(event, cast("Any", Context())))


def run_schedule() -> dict[str, Any]:
    event = sample("receive_payment_event/schedule")
    answer: dict[str, Any] = function.handler(event, cast("Any", Context()))
    return answer


def states(table: MemoryTable) -> list[str]:
    found = [item for key, item in table.items.items() if key.sk == "EVENT"]
    return [item["state"]["S"] for item in found]


def test_a_signed_event_is_stored_and_acted_on_once(table: MemoryTable, acting: Acting) -> None:
    first = post(told())
    again = post(told())

    assert (first.status, first.body["status"]) == (200, "acted")
    assert (again.status, again.body["status"]) == (200, "ignored")
    (event,) = acting.acted
    assert (event.kind, event.payment_id) == ("payment_succeeded", "pi_3SXmRf2eZvKYlo2C0a9s8d7f")
    assert (event.key, event.customer_id) == ("reload-7", "cus_TUcW3bVqX0example")
    assert states(table) == ["acted"]


def test_the_body_may_come_in_base64(table: MemoryTable, acting: Acting) -> None:
    body = told()
    event = sample(SAMPLE)
    event["body"], event["isBase64Encoded"] = base64.b64encode(body).decode(), True
    event["headers"]["stripe-signature"] = sign(body, SECRET, int(datetime.now(UTC).timestamp()))

    answer = Answer.read(function.handler(event, cast("Any", Context())))

    assert answer.status == 200
    assert len(acting.acted) == 1


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "t=1,v1=00",
        sample(SAMPLE)["headers"]["stripe-signature"],
        sign(told(), "whsec_other", int(datetime.now(UTC).timestamp())),
        sign(told(id="evt_2"), SECRET, int(datetime.now(UTC).timestamp())),
        sign(told(), SECRET, int((datetime.now(UTC) - timedelta(minutes=6)).timestamp())),
    ],
    ids=["empty", "nonsense", "sample", "another secret", "another body", "old"],
)
def test_what_is_not_signed_leaves_no_trace(
    table: MemoryTable, acting: Acting, signature: str
) -> None:
    answer = post(told(), signature)

    assert answer.refusal == (400, "invalid_request_error")
    assert answer.error["details"] == {"field": "Stripe-Signature"}
    assert not table.items
    assert not acting.acted


def test_without_a_signature_nothing_is_read(table: MemoryTable) -> None:
    event = sample(SAMPLE)
    del event["headers"]["stripe-signature"]

    answer = Answer.read(function.handler(event, cast("Any", Context())))

    assert answer.refusal == (400, "invalid_request_error")


def test_too_much_is_not_read(table: MemoryTable) -> None:
    assert post(b"x" * (BODY_LENGTH_MAX + 1)).refusal == (413, "request_too_large")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/payment_events"), ("POST", "/v1/payment_events/x"), ("POST", "/v1/other")],
)
def test_nothing_else_is_answered(
    table: MemoryTable, acting: Acting, method: str, path: str
) -> None:
    event = sample(SAMPLE)
    event["rawPath"] = path
    event["requestContext"]["http"] = {"method": method, "path": path}

    answer = Answer.read(function.handler(event, cast("Any", Context())))

    assert answer.refusal == (404, "not_found_error")


def test_what_concerns_no_wallet_is_not_kept(table: MemoryTable, acting: Acting) -> None:
    answer = post(told(type="payment_intent.created"))

    assert (answer.status, answer.body["status"]) == (200, "ignored")
    assert not table.items
    assert not acting.acted


@pytest.mark.parametrize(
    "failure", [PaymentUnknown("lost"), Overloaded("busy"), Contended(), RuntimeError("a bug")]
)
def test_what_was_stored_and_not_acted_on_is_acted_on_when_it_comes_again(
    table: MemoryTable, acting: Acting, failure: Exception
) -> None:
    acting.failures = [failure]

    first = post(told())
    assert first.status in (500, 503)
    assert states(table) == ["stored"]

    again = post(told())
    assert (again.status, again.body["status"]) == (200, "acted")
    assert len(acting.acted) == 2
    assert states(table) == ["acted"]
    assert post(told()).body["status"] == "ignored"


def test_the_schedule_leaves_an_event_to_whoever_received_it(
    table: MemoryTable, acting: Acting
) -> None:
    acting.failures = [PaymentUnknown("lost")]
    post(told())

    assert run_schedule() == {"acted": 0, "failed": 0}
    assert states(table) == ["stored"]


def event_of(number: int) -> PaymentEvent:
    return PaymentEvent(
        event_id=f"evt_{number}",
        kind="payment_refunded",
        created_at=datetime(2026, 11, 23, 12, tzinfo=UTC),
        payment_id="pi_1",
        key="reload-7",
        customer_id=None,
        amount_cents=300,
    )


def forever() -> bool:
    return True


def test_what_nobody_finished_is_finished_by_the_schedule_as_it_was_told() -> None:
    table, acting = MemoryTable(), Acting()
    now = datetime.now(UTC)
    for number in range(20):
        acting.failures = [PaymentUnknown("lost")]
        with pytest.raises(PaymentUnknown):
            receive(table, event_of(number), acting, now)
    acting.acted.clear()

    assert finish(table, acting, now + timedelta(minutes=1), forever) == (0, 0)
    assert finish(table, acting, now + timedelta(minutes=2), forever) == (20, 0)
    assert finish(table, acting, now + timedelta(days=1), forever) == (0, 0)

    assert sorted(acting.acted, key=lambda event: event.event_id) == sorted(
        map(event_of, range(20)), key=lambda event: event.event_id
    )
    assert not receive(table, event_of(7), acting, now + timedelta(days=1))


def test_what_fails_waits_longer_each_time_and_is_never_given_up() -> None:
    table, acting = MemoryTable(), Acting()
    now = datetime.now(UTC)
    acting.failures = [PaymentUnknown("lost")] * 100
    with pytest.raises(PaymentUnknown):
        receive(table, event_of(1), acting, now)

    looked_at = []
    for minute in range(300):
        if finish(table, acting, now + timedelta(minutes=minute), forever) == (0, 1):
            looked_at.append(minute)

    assert looked_at == [2, 4, 8, 16, 32, 64, 124, 184, 244]
    acting.failures = []
    assert finish(table, acting, now + timedelta(minutes=304), forever) == (1, 0)


def test_one_that_kills_whoever_looks_at_it_does_not_keep_the_others_waiting() -> None:
    table, acted = MemoryTable(), list[str]()
    now = datetime.now(UTC)

    def fail(event: PaymentEvent, now: datetime) -> None:
        raise PaymentUnknown("lost")

    def act(event: PaymentEvent, now: datetime) -> None:
        if event.event_id == "evt_3":
            raise RuntimeError("a bug")
        acted.append(event.event_id)

    for number in range(6):
        with pytest.raises(PaymentUnknown):
            receive(table, event_of(number), fail, now)

    with pytest.raises(RuntimeError):
        finish(table, act, now + timedelta(minutes=2), forever)
    finish(table, act, now + timedelta(minutes=2), forever)

    assert sorted(acted) == ["evt_0", "evt_1", "evt_2", "evt_4", "evt_5"]


def test_it_stops_when_its_time_is_up() -> None:
    table, acting = MemoryTable(), Acting()
    now = datetime.now(UTC)
    for number in range(5):
        acting.failures = [PaymentUnknown("lost")]
        with pytest.raises(PaymentUnknown):
            receive(table, event_of(number), acting, now)
    left = iter([True, True, False])

    assert finish(table, acting, now + timedelta(minutes=2), lambda: next(left)) == (2, 0)


def crashes(name: str) -> Callable[[str], None]:
    """Let the process end right after the first write of this name."""
    seen: list[str] = []

    def step(operation: str) -> None:
        seen.append(operation)
        if seen.count(name) == 1 and operation == name:
            raise KeyboardInterrupt

    return step


@pytest.mark.parametrize("where", ["transact", "update"])
def test_a_crash_before_any_write_loses_nothing(where: str) -> None:
    """Before it is stored the processor hears nothing and sends it again; after it was acted on
    it may be acted on twice, which acting withstands."""
    acting, now = Acting(), datetime.now(UTC)
    table = MemoryTable(crashes(where))
    with pytest.raises(KeyboardInterrupt):
        receive(table, event_of(1), acting, now)
    table.step = lambda name: None

    stored = keys.payment_event("evt_1") in table.items
    assert stored == (where == "update")
    receive(table, event_of(1), acting, now)

    assert table.items[keys.payment_event("evt_1")]["state"] == {"S": "acted"}
    assert "due_shard" not in table.items[keys.payment_event("evt_1")]
    assert len(acting.acted) == (2 if where == "update" else 1)


def deep(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


UNREADABLE: list[bytes] = [
    b"[]",
    b"5",
    b"{}",
    b"null",
    b'"evt_1"',
    b"",
    b"{",
    b"[" * 5_000,
    b"[" * 5_000 + b"]" * 5_000,
    deep(5_000),
    deep(50_000),
    told(id=None),
    told(id=5),
    told(id=""),
    told(id="evt_\n1"),
    told(id="e" * 256),
    told(type=None, data={}),
    told(type=["x"]),
    told(type={}),
    told(created=None),
    told(created="now"),
    told(created=10**30),
    told(data=None),
    told(data=[]),
    told(data={"object": None}),
    told(data={"object": []}),
    told(data={"object": {"metadata": [1]}}),
    told(data={"object": {"object": "payment_intent"}}),
    told(type="charge.dispute.created", data={"object": {}}),
]


@pytest.mark.parametrize("body", UNREADABLE, ids=lambda body: repr(body[:60]))
def test_a_signed_event_that_cannot_be_read_is_refused_and_comes_again(
    table: MemoryTable, acting: Acting, body: bytes
) -> None:
    """The processor repeats whatever is not answered by 2xx; a release that reads it acts then."""
    answer = post(body)

    assert answer.refusal == (400, "invalid_request_error")
    assert answer.error["details"] == {"field": "body"}
    assert (acting.acted, table.items) == ([], {})
    assert post(told()).body["status"] == "acted"


def test_a_key_that_is_none_of_ours_is_none(table: MemoryTable, acting: Acting) -> None:
    thing = json.loads(told())["data"]["object"] | {"metadata": {"headroom_key": 5}}

    assert post(told(data={"object": thing})).body["status"] == "acted"
    assert [event.key for event in acting.acted] == [None]
