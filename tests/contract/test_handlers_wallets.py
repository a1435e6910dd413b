"""The functions of the wallet over their sample events, with a processor in memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any, cast

import pytest

from functions.adjust_wallet import handler as adjust_wallet
from functions.manage_wallet import handler as manage_wallet
from functions.publish_events import handler as publish_events
from functions.reconcile_wallets import handler as reconcile_wallets
from functions.reload_wallet import handler as reload_wallet
from headroom.core.gateways.bus import NotPublished
from headroom.core.gateways.queue import SqsQueue
from headroom.core.settings import QueueSettings
from headroom.core.store import keys
from headroom.organizations.store.credentials import put_key
from headroom.organizations.usecases.api_keys import new_key
from headroom.wallets.settings import WalletSettings
from tests.fake_payments import ASKING_CARD, DECLINING_CARD, GOOD_CARD, FakePayments
from tests.in_process import Answer, Application, Context, Organization, sample

CENT = 10_000_000
FUNCTIONS = (manage_wallet, reload_wallet, adjust_wallet, reconcile_wallets)


@dataclass
class Line:
    """A queue that keeps what was sent, for a test to deliver."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    delays: list[int] = field(default_factory=list)

    def send(self, messages: Iterable[dict[str, Any]], *, delay_seconds: int = 0) -> int:
        sent = list(messages)
        self.messages += sent
        self.delays += [delay_seconds] * len(sent)
        return len(sent)

    def batch(self, name: str) -> dict[str, Any]:
        """Return everything that waits as one batch, in the form of a sample, and forget it."""
        batch = sample(name)
        record = batch["Records"][0]
        batch["Records"] = [
            {**record, "messageId": f"message-{number}", "body": json.dumps(message)}
            for number, message in enumerate(self.messages)
        ]
        self.messages = []
        return batch


@dataclass
class Scene:
    """A Team organization over the real functions."""

    app: Application
    acme: Organization
    payments: FakePayments
    line: Line

    def send(self, name: str, *, key: str | None = None, **changes: Any) -> Answer:
        event = sample(f"manage_wallet/{name}")
        event["headers"]["x-api-key"] = key or self.acme.admin_key
        if path := changes.pop("path", None):
            event["rawPath"] = event["requestContext"]["http"]["path"] = path
        for header, text in changes.pop("headers", {}).items():
            event["headers"].pop(header, None)
            if text is not None:
                event["headers"][header] = text
        if changes:
            event["body"] = json.dumps({**json.loads(event["body"]), **changes})
        return Answer.read(manage_wallet.handler(event, cast("Any", Context())))

    def put_without_limit(self, **changes: Any) -> Answer:
        event = sample("manage_wallet/set_auto_reload")
        body = json.loads(event["body"]) | changes
        del body["monthly_limit"]
        event["headers"]["x-api-key"] = self.acme.admin_key
        event["body"] = json.dumps(body)
        return Answer.read(manage_wallet.handler(event, cast("Any", Context())))

    def crossing(self) -> dict[str, Any]:
        event = sample("publish_events/wallet_crossed")
        stream = event["Records"][0]["dynamodb"]
        for image in (stream["Keys"], stream["NewImage"]):
            image["pk"]["S"] = keys.wallet(self.acme.id).pk
        return event


@pytest.fixture
def scene(app: Application, monkeypatch: pytest.MonkeyPatch) -> Scene:
    payments, line = FakePayments(datetime.now(UTC)), Line()
    for module in FUNCTIONS:
        monkeypatch.setattr(module, "payments", payments)
        if hasattr(module, "queue"):
            monkeypatch.setattr(module, "queue", line)
    monkeypatch.setattr(publish_events, "queue", line)
    return Scene(app, app.provision(plan="team", wallet={"balance": "1000"}), payments, line)


def run(module: ModuleType, event: dict[str, Any]) -> dict[str, Any]:
    context = cast("Any", Context(remaining_millis=300_000))
    answer: dict[str, Any] = module.handler(event, context)
    return answer


def test_a_wallet_is_topped_up_once_a_key_and_shown(scene: Scene) -> None:
    first, again = scene.send("top_up"), scene.send("top_up")
    assert first.status == again.status == 200
    assert first.body == again.body
    assert first.body["entry"]["amount"] == "2500"

    shown = scene.send("get_wallet").body
    assert (shown["balance"], shown["standing"]) == ("3500", "good")
    assert [lot["kind"] for lot in shown["lots"]] == ["promotional", "purchase"]
    entries = scene.send("list_entries").body
    assert [entry["kind"] for entry in entries["data"]] == ["purchase", "promotional"]
    assert entries["data"][0] == first.body["entry"]
    assert not entries["has_more"]


def test_a_payment_that_waits_is_confirmed_by_those_who_may_pay(scene: Scene) -> None:
    asked = scene.send("top_up", payment_method=ASKING_CARD).body
    event = sample("manage_wallet/confirm_payment")
    path = f"/v1/organizations/wallet/payments/{asked['id']}/confirm"
    told = scene.send("confirm_payment", path=path)
    assert told.status == 200, told.body
    assert told.body["redirect_url"] == "https://bank.example/pi_1"
    page = "https://headroom.example/settings"
    assert scene.payments.ways_back == {"pi_1": f"{page}?payment={asked['id']}"}

    secret, key = new_key(scene.acme.id, "books", ["read:billing"])
    scene.app.table.transact(list(put_key(key, datetime.now(UTC))))
    assert scene.send("confirm_payment", path=path, key=secret).status == 403
    for unknown in (
        event["rawPath"],
        path.replace("top_", "pi_"),
        path.replace("top_", "x" * 3000),
    ):
        assert scene.send("confirm_payment", path=unknown).status == 404
    other = scene.app.provision(plan="team", wallet={"balance": "1000"})
    assert scene.send("confirm_payment", path=path, key=other.admin_key).status == 404
    scene.payments.lose("confirm", "before")
    assert scene.send("confirm_payment", path=path).status == 503


def test_a_top_up_needs_a_key_and_whole_cents_within_bounds(scene: Scene) -> None:
    for name, answer in (
        ("Idempotency-Key", scene.send("top_up", headers={"idempotency-key": None})),
        ("Idempotency-Key", scene.send("top_up", headers={"idempotency-key": "x" * 65})),
        ("amount", scene.send("top_up", amount="12.5")),
        ("amount", scene.send("top_up", amount=2500)),
        ("amount", scene.send("top_up", amount="499")),
        ("amount", scene.send("top_up", amount="1000001")),
        ("payment_method", scene.send("top_up", payment_method="pm/../x")),
        ("payment_method", scene.send("top_up", payment_method=None)),
        ("tip", scene.send("top_up", tip="1")),
    ):
        assert answer.status == 400, answer.body
        assert answer.error["details"]["field"] == name
    assert not scene.payments.payments


def test_a_declined_payment_is_a_refusal_that_is_not_worth_retrying(scene: Scene) -> None:
    answer = scene.send("top_up", payment_method=DECLINING_CARD)
    assert answer.refusal == (429, "billing_error")
    assert answer.headers["x-should-retry"] == "false"
    assert answer.error["details"]["decline_code"] == "card_declined"


def test_a_processor_that_does_not_answer_is_a_503_before_anything_was_meant(
    scene: Scene,
) -> None:
    scene.payments.lose("save_payment_method", "before")
    assert scene.send("top_up").refusal == (503, "overloaded_error")
    assert scene.send("top_up").body["status"] == "succeeded"
    assert len(scene.payments.payments) == 1


def test_an_invoiced_organization_has_no_wallet(scene: Scene) -> None:
    key = scene.app.provision(plan="enterprise", wallet=None).admin_key
    for name in ("get_wallet", "list_entries", "top_up", "set_auto_reload"):
        answer = scene.send(name, key=key)
        assert answer.refusal == (400, "invalid_request_error"), name
        assert answer.error["details"]["field"] == "wallet"


def test_auto_reload_is_set_shown_and_switched_off(scene: Scene) -> None:
    on = scene.send("set_auto_reload").body
    assert on == {
        "type": "auto_reload",
        "enabled": True,
        "threshold": "1000",
        "amount": "5000",
        "monthly_limit": "50000",
        "reloaded_this_month": "0",
        "state": "no_payment_method",
        "next_step": "add_payment_method",
    }
    off = scene.send("set_auto_reload", enabled=False, threshold=None, amount=None).body
    assert (off["enabled"], off["state"], off["amount"]) == (False, "off", "5000")
    assert scene.send("set_auto_reload", amount=None).error["details"]["field"] == "amount"
    assert scene.send("set_auto_reload", enabled=None).error["details"]["field"] == "enabled"
    assert scene.send("set_auto_reload", monthly_limit="1").error["details"]["field"] == (
        "monthly_limit"
    )


def test_the_monthly_limit_stays_until_somebody_says_otherwise(scene: Scene) -> None:
    """A client that knows three of the members must not take a card's guard away."""
    set_to = scene.send("set_auto_reload", monthly_limit="20000").body
    assert set_to["monthly_limit"] == "20000"

    for changes in ({"threshold": "2000"}, {"enabled": False}, {"threshold": "1000"}):
        told = scene.put_without_limit(**changes)
        assert (told.status, told.body["monthly_limit"]) == (200, "20000"), changes
    shown = scene.send("get_wallet").body["auto_reload"]
    assert (shown["enabled"], shown["monthly_limit"]) == (True, "20000")

    refused = scene.put_without_limit(amount="30000")
    assert refused.error["details"]["field"] == "monthly_limit"
    assert scene.send("get_wallet").body["auto_reload"]["amount"] == "5000"

    assert scene.send("set_auto_reload", monthly_limit=None).body["monthly_limit"] is None
    assert scene.put_without_limit(amount="30000").body["monthly_limit"] is None


def test_a_ceiling_that_is_said_while_it_is_off_holds_the_next_time(scene: Scene) -> None:
    """Who switches it off and lowers the ceiling at once must find the lower one later."""
    scene.send("set_auto_reload", monthly_limit="20000")

    off = scene.send("set_auto_reload", enabled=False, monthly_limit="6000").body
    assert (off["enabled"], off["monthly_limit"]) == (False, "6000")
    # Said once more of what is off already.
    again = scene.send("set_auto_reload", enabled=False, monthly_limit="5500", amount=None).body
    assert (again["amount"], again["monthly_limit"]) == ("5000", "5500")
    assert scene.send("get_wallet").body["auto_reload"]["monthly_limit"] == "5500"

    assert scene.put_without_limit(amount="6000").error["details"]["field"] == "monthly_limit"
    assert scene.put_without_limit(amount="5000").body["monthly_limit"] == "5500"


def test_a_ceiling_is_said_before_anything_else_was(scene: Scene) -> None:
    """What no reload could have is not refused while it is off; it is when it goes on."""
    off = scene.send(
        "set_auto_reload", enabled=False, threshold=None, amount=None, monthly_limit="1"
    ).body
    shown = scene.send("get_wallet").body["auto_reload"]
    for each in (off, shown):
        said = (each["threshold"], each["amount"], each["monthly_limit"])
        assert said == (None, None, "1")

    assert scene.put_without_limit().error["details"]["field"] == "monthly_limit"
    assert scene.send("set_auto_reload").body["monthly_limit"] == "50000"


def test_a_crossing_off_the_stream_reloads_the_wallet_once(scene: Scene) -> None:
    scene.send("top_up", amount="500")
    scene.send("set_auto_reload", threshold="1500")
    event = scene.crossing()
    event["Records"] *= 2

    assert run(publish_events, event) == {"batchItemFailures": []}
    assert scene.line.messages == [{"organization_id": scene.acme.id, "crossed": True}]
    # The same comes again, as streams and queues have it.
    assert run(publish_events, scene.crossing()) == {"batchItemFailures": []}
    assert run(reload_wallet, scene.line.batch("reload_wallet/crossed")) == {
        "batchItemFailures": []
    }

    assert scene.send("get_wallet").body["balance"] == "6500"
    assert len(scene.payments.payments) == 2


def test_a_deployment_loses_no_crossing_that_the_release_before_brings(scene: Scene) -> None:
    scene.send("top_up", amount="500")
    scene.send("set_auto_reload", threshold="1500")
    event = scene.crossing()
    event["Records"][0]["dynamodb"]["NewImage"]["org_id"]["S"] = scene.acme.id

    assert run(reload_wallet, event) == {"batchItemFailures": []}

    assert scene.send("get_wallet").body["balance"] == "6500"


def test_a_wallet_waits_neither_for_the_bus_nor_for_what_nobody_can_read(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(events: Any) -> None:
        raise NotPublished("1 events were not taken")

    monkeypatch.setattr(publish_events.bus, "publish", refuse)
    event, unreadable = scene.crossing(), sample("publish_events/limit_changed")["Records"][0]
    unreadable["dynamodb"]["NewImage"]["detail"] = {"S": "{"}
    with pytest.raises(NotPublished):
        run(publish_events, event)
    event["Records"].insert(0, unreadable)
    with pytest.raises(ValueError, match="Expecting"):
        run(publish_events, event)

    assert scene.line.messages == [{"organization_id": scene.acme.id, "crossed": True}] * 2


def test_no_other_change_of_a_wallet_asks_for_a_reload(scene: Scene) -> None:
    event = scene.crossing()
    stream = event["Records"][0]["dynamodb"]
    stream["NewImage"]["crossed"] = {"BOOL": False}
    gone = json.loads(json.dumps(event["Records"][0]))
    del gone["dynamodb"]["NewImage"]
    event["Records"].append(gone)

    assert run(publish_events, event) == {"batchItemFailures": []}
    assert scene.line.messages == []


def test_whoever_crossed_has_the_wallet_reloaded_once_by_invoking(scene: Scene) -> None:
    scene.send("top_up", amount="500")
    scene.send("set_auto_reload", threshold="1500")
    event = sample("reload_wallet/asked") | {"organization_id": scene.acme.id}

    for _ in range(2):
        assert run(reload_wallet, event) == {}

    assert scene.send("get_wallet").body["balance"] == "6500"
    assert len(scene.payments.payments) == 2
    assert run(reload_wallet, sample("reload_wallet/asked")) == {}


def test_the_schedule_finds_what_is_due_and_each_wallet_is_looked_after_alone(
    scene: Scene,
) -> None:
    scene.payments.lose("charge", "after")
    assert scene.send("top_up").body["status"] == "pending"
    other = scene.app.provision(plan="team", wallet={"balance": "1000"})
    scene.send("top_up", key=other.admin_key)
    scene.send("set_auto_reload", key=other.admin_key)

    # Both are due later on, because something is under way or to be done.
    begun = run(reload_wallet, sample("reload_wallet/schedule"))
    assert scene.line.messages == [{"shard": shard} for shard in range(keys.DUE_SHARDS)]
    assert begun == {"messages": keys.DUE_SHARDS}
    assert run(reload_wallet, scene.line.batch("reload_wallet/due")) == {"batchItemFailures": []}
    assert {"organization_id": other.id} in scene.line.messages
    scene.line.messages = [{"organization_id": scene.acme.id}, {"organization_id": "org_gone"}]
    assert run(reload_wallet, scene.line.batch("reload_wallet/due")) == {"batchItemFailures": []}
    assert scene.send("top_up").body["status"] == "succeeded"
    assert len(scene.payments.payments) == 2


@dataclass(frozen=True, slots=True)
class Hurried(Context):
    """Time that runs out at the third look at it."""

    left: Iterator[int] = field(default_factory=lambda: iter([300_000, 300_000, 1_000]))

    def get_remaining_time_in_millis(self) -> int:
        return next(self.left)


def test_a_shard_goes_on_where_time_ran_out(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    due = [f"org_{number}" for number in range(5)]
    monkeypatch.setattr("headroom.payments.usecases.maintenance.list_due", lambda *_: iter(due))
    monkeypatch.setattr(reload_wallet, "TOGETHER", 2)
    scene.line.messages = [{"shard": 3}]
    reload_wallet.handler(scene.line.batch("reload_wallet/due"), cast("Any", Hurried()))
    *sent, rest = scene.line.messages
    assert [each["organization_id"] for each in sent] == due[:4]
    assert rest == {"shard": 3, "after": "org_3"}
    scene.line.messages = [rest]
    reload_wallet.handler(scene.line.batch("reload_wallet/due"), cast("Any", Hurried()))
    assert scene.line.messages == [{"organization_id": "org_4"}]


def test_a_message_that_cannot_be_read_comes_back_alone(scene: Scene) -> None:
    scene.line.messages = [{"organization_id": scene.acme.id}, {"nonsense": True}]
    answer = run(reload_wallet, scene.line.batch("reload_wallet/due"))
    assert answer == {"batchItemFailures": [{"itemIdentifier": "message-1"}]}


def test_an_operator_credits_and_refunds_once_an_id(scene: Scene) -> None:
    scene.send("top_up")
    credit = sample("adjust_wallet/promotional_credit") | {"organization_id": scene.acme.id}
    refund = sample("adjust_wallet/refund") | {"organization_id": scene.acme.id}
    answers = [run(adjust_wallet, event) for event in (credit, refund, credit, refund)]

    assert answers[:2] == answers[2:]
    assert [answer["status"] for answer in answers] == ["succeeded"] * 4
    assert scene.send("get_wallet").body["balance"] == "6000"
    assert scene.payments.payments["pi_1"].refunded_cents == 2500


@pytest.mark.parametrize(
    ("field_name", "changes"),
    [
        ("kind", {"kind": "gift"}),
        ("amount", {"amount": "-1"}),
        ("amount", {"amount": "0"}),
        ("amount", {"amount": None}),
        ("expires_at", {"expires_at": "2020-01-01T00:00:00Z"}),
        ("payment_id", {"payment_id": "pi_1"}),
        ("payment_id", {"kind": "refund", "expires_at": None}),
        ("operator", {"operator": ""}),
        ("organization_id", {"organization_id": "acme"}),
        ("id", {"id": "../x"}),
        ("surprise", {"surprise": 1}),
    ],
)
def test_an_operators_mistake_names_its_field(
    scene: Scene, field_name: str, changes: dict[str, Any]
) -> None:
    event = sample("adjust_wallet/promotional_credit") | {"organization_id": scene.acme.id}
    answer = run(adjust_wallet, event | changes)
    assert answer["error"]["details"]["field"] == field_name
    assert scene.send("get_wallet").body["balance"] == "1000"


def test_every_wallet_is_proved_by_messages_of_its_own(scene: Scene) -> None:
    scene.send("top_up")
    begun = run(reconcile_wallets, sample("reconcile_wallets/schedule"))
    shards = [{"shard": shard} for shard in range(keys.DUE_SHARDS)]
    assert scene.line.messages == [{"payments": True}, *shards]
    assert begun == {"messages": len(scene.line.messages)}
    for expected in ([{}, {"after": ""}], []):
        answer = run(reconcile_wallets, scene.line.batch("reconcile_wallets/wallets"))
        assert answer == {"batchItemFailures": []}
        assert scene.line.messages == [{"organization_id": scene.acme.id} | one for one in expected]
    told = [item for item in scene.app.everything() if "detail_type" in item]
    assert "reconciliation.drift_found" not in {item["detail_type"]["S"] for item in told}


def test_what_is_not_proved_in_time_goes_on_by_a_message(scene: Scene) -> None:
    shard = int(keys.wallet_shard(scene.acme.id).rpartition("#")[2])
    org: dict[str, Any] = {"organization_id": scene.acme.id}
    scene.line.messages = [
        {"payments": True},
        {"shard": shard},
        {**org, "after": ""},
        {**org, "looks": 3},
    ]
    batch = scene.line.batch("reconcile_wallets/wallets")
    answer = reconcile_wallets.handler(batch, cast("Any", Context(remaining_millis=29_000)))
    assert answer == {"batchItemFailures": []}
    paid, *rest = scene.line.messages
    assert paid["payments"]
    assert datetime.fromisoformat(paid["after"]) < datetime.now(UTC) - timedelta(days=2)
    assert rest == [{"shard": shard, "after": None}, {**org, "after": ""}, {**org, "looks": 4}]
    assert scene.line.delays == [0, 0, 0, 900]

    scene.line.messages = [{**org, "looks": 80}]
    batch = scene.line.batch("reconcile_wallets/wallets")
    answer = reconcile_wallets.handler(batch, cast("Any", Context(remaining_millis=29_000)))
    assert (answer, scene.line.messages) == ({"batchItemFailures": []}, [])


def test_a_card_can_be_changed_with_a_top_up(scene: Scene) -> None:
    scene.send("top_up", payment_method=DECLINING_CARD)
    answer = scene.send("top_up", payment_method=GOOD_CARD, headers={"idempotency-key": "another"})
    assert answer.body["status"] == "succeeded"
    assert scene.send("get_wallet").body["payment_method"] == {
        "id": GOOD_CARD,
        "brand": "visa",
        "last4": "4242",
    }


def test_a_queue_takes_ten_messages_at_a_time() -> None:
    calls: list[list[dict[str, Any]]] = []

    class Client:
        def send_message_batch(self, *, QueueUrl: str, Entries: Any) -> Any:  # noqa: N803
            calls.append(Entries)
            return {}

    queue = SqsQueue(QueueSettings("https://queue.example", "us-east-1"))
    queue._client = Client()
    numbered = ({"number": number} for number in range(23))
    assert queue.send(numbered, delay_seconds=120) == 23
    assert {entry["DelaySeconds"] for entries in calls for entry in entries} == {120}
    assert [len(entries) for entries in calls] == [10, 10, 3]
    assert json.loads(calls[2][2]["MessageBody"]) == {"number": 22}
    calls.clear()
    assert queue.send_spread(({"number": number}, number) for number in range(12)) == 12
    assert [entry["DelaySeconds"] for entries in calls for entry in entries] == list(range(12))


def test_the_terms_are_read_in_cents_and_seconds() -> None:
    variables = {
        "TOP_UP_MIN_CENTS": "500",
        "TOP_UP_MAX_CENTS": "1000",
        "RELOAD_COOL_DOWN_SECONDS": "90",
    }
    terms = WalletSettings.from_env(variables).terms
    assert (terms.least, terms.most) == (500 * CENT, 1000 * CENT)
    assert terms.cool_down.total_seconds() == 90
