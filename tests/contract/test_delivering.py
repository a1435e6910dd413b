"""Events reach webhook endpoints: signed, at least once, with back-off, and then given up."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook

from headroom.core.errors import Conflict, NotFound
from headroom.core.usecases.pages import Listed
from headroom.notifications.domain.webhooks import (
    ATTEMPTS_MAX,
    ENDPOINTS_MAX,
    EVENT_TYPES,
    RETRY_AFTER,
    TEST,
    Delivery,
    secret_of,
)
from headroom.notifications.gateways.webhooks import NotDelivered
from headroom.notifications.store.deliveries import list_deliveries, read_delivery
from headroom.notifications.store.endpoints import find_endpoint, list_endpoints
from headroom.notifications.usecases.webhook_delivery import CLAIM_LASTS, attempt, fan_out
from headroom.notifications.usecases.webhook_endpoints import (
    Wanted,
    alter_endpoint,
    create_endpoint,
    deliveries_page,
    redeliver,
    remove_endpoint,
    rotate_secret,
    try_endpoint,
)
from headroom.organizations.store.audit import entry_to_wire, list_entries
from tests.contract.governing import NOW, OWNER, House
from tests.template import template
from tests.webhook_scene import KEY, MemoryQueue

Answer = Callable[[], int]


class Web:
    """Stands for all receivers; `answer` is what they answer, or raises."""

    def __init__(self) -> None:
        self.answer: Answer = lambda: 204
        self.sent: list[tuple[str, dict[str, str], bytes]] = []

    def send(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        self.sent.append((url, dict(headers), body))
        return self.answer()


class Scene:
    """An organization, its queue, and a web of receivers. Time goes on as messages fall due."""

    def __init__(self) -> None:
        self.house = House()
        self.table, self.org_id = self.house.table, self.house.org_id
        self.queue = MemoryQueue()
        self.web = Web()
        self.now = NOW
        self.waits: list[timedelta] = []

    def endpoint(self, url: str = "https://acme.example/hook", *wants: str) -> str:
        wanted = Wanted(url, None, tuple(wants) or None)
        made = create_endpoint(self.table, lambda: KEY, self.org_id, wanted, OWNER, self.now)
        return str(made["id"])

    def happen(self, event_id: str = "evt_1", event_type: str = "wallet.low", **facts: Any) -> int:
        detail = {
            "version": "1",
            "id": event_id,
            "organization_id": self.org_id,
            "occurred_at": "2026-11-02T12:00:00.000000Z",
            **facts,
        }
        return fan_out(self.table, self.queue, event_type, detail, self.now)

    def attempt(self, message: Mapping[str, Any]) -> timedelta | None:
        return attempt(self.table, self.web, lambda: KEY, message, self.now)

    def work(self, until: Callable[[], bool] = lambda: False) -> None:
        """Take messages as they fall due until the queue is empty."""
        waiting = [(self.now, message) for message in self.queue.take()]
        while waiting and not until():
            waiting.sort(key=lambda each: each[0])
            due, message = waiting.pop(0)
            self.now = max(self.now, due)
            wait = self.attempt(message)
            if wait is not None:
                self.waits.append(wait)
                # As SQS counts.
                waiting.append(
                    (self.now + timedelta(seconds=math.ceil(wait.total_seconds())), message)
                )

    def deliveries(self) -> list[Delivery]:
        page = list_deliveries(self.table, self.org_id, limit=100, start=None)
        return [read_delivery(item) for item in page.items]

    @property
    def delivery(self) -> Delivery:
        (only,) = self.deliveries()
        return only


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_an_event_arrives_signed_with_the_secret_that_was_shown(scene: Scene) -> None:
    endpoint_id = scene.endpoint()
    assert scene.happen(balance="512") == 1
    # The library holds a signature against the clock of now.
    scene.now = datetime.now(NOW.tzinfo)
    scene.work()

    ((url, headers, body),) = scene.web.sent
    assert url == "https://acme.example/hook"
    content = Webhook(secret_of(KEY, scene.org_id, endpoint_id, 1)).verify(body, headers)
    assert content["type"] == "wallet.low"
    assert content["timestamp"] == "2026-11-02T12:00:00.000000Z"
    assert content["data"]["balance"] == "512"
    assert headers["webhook-id"] == "evt_1"
    assert (scene.delivery.status, scene.delivery.attempts) == ("succeeded", 1)
    assert scene.delivery.response_status == 204


def test_each_endpoint_gets_what_it_wants_and_nothing_of_others(scene: Scene) -> None:
    scene.endpoint("https://a.example/")
    scene.endpoint("https://b.example/", "invoice.paid", "wallet.low")
    scene.endpoint("https://c.example/", "invoice.paid")
    off = scene.endpoint("https://d.example/")
    alter_endpoint(scene.table, scene.org_id, off, OWNER, NOW, changes={}, status="disabled")
    stranger = Scene()
    stranger.table = scene.table
    stranger.org_id = "org_stranger"

    assert scene.happen() == 2
    assert stranger.happen() == 0
    scene.work()

    assert sorted(url for url, _, _ in scene.web.sent) == [
        "https://a.example/",
        "https://b.example/",
    ]


def test_events_about_our_own_operation_are_nobodys(scene: Scene) -> None:
    scene.endpoint()
    assert scene.happen(event_type="reconciliation.drift_found") == 0
    assert scene.happen(event_type=TEST) == 0


def test_the_rule_queues_just_what_organizations_may_hear() -> None:
    pattern = template()["Resources"]["WebhookRule"]["Properties"]["EventPattern"]
    assert pattern["source"] == ["headroom"]
    assert pattern["detail-type"] == sorted(set(EVENT_TYPES) - {TEST})


def test_a_failure_is_tried_again_at_growing_intervals_and_then_given_up(scene: Scene) -> None:
    scene.endpoint()
    scene.happen()
    scene.web.answer = lambda: 500
    scene.work()

    assert len(scene.web.sent) == ATTEMPTS_MAX
    assert len({body for _, _, body in scene.web.sent}) == 1
    assert len({headers["webhook-id"] for _, headers, _ in scene.web.sent}) == 1
    # Each attempt says when it was made, so that a receiver can refuse what is old.
    assert len({headers["webhook-timestamp"] for _, headers, _ in scene.web.sent}) == ATTEMPTS_MAX
    for wait, planned in zip(scene.waits, RETRY_AFTER, strict=True):
        assert planned <= wait <= planned * 1.1
    told = scene.delivery
    assert (told.status, told.attempts, told.error) == ("failed", ATTEMPTS_MAX, "status_500")


@pytest.mark.parametrize("failure", [500, 404, 301, 199, NotDelivered("timeout")])
def test_anything_but_a_success_is_a_failure(scene: Scene, failure: int | Exception) -> None:
    def answer() -> int:
        if isinstance(failure, Exception):
            raise failure
        return failure

    scene.endpoint()
    scene.happen()
    scene.web.answer = answer
    scene.work(until=lambda: bool(scene.web.sent))

    assert (scene.delivery.status, scene.delivery.attempts) == ("pending", 1)
    scene.web.answer = lambda: 200
    scene.queue.send([message_of(scene.delivery)])
    scene.now += timedelta(seconds=10)
    scene.work()
    assert (scene.delivery.status, scene.delivery.attempts) == ("succeeded", 2)
    assert scene.delivery.error is None


def message_of(delivery: Delivery) -> dict[str, Any]:
    return {
        "organization_id": delivery.org_id,
        "delivery_id": delivery.delivery_id,
        "round": delivery.round,
    }


def test_an_event_that_comes_again_is_not_sent_again(scene: Scene) -> None:
    scene.endpoint()
    assert [scene.happen(), scene.happen()] == [1, 1]
    scene.work()
    assert scene.happen() == 0
    scene.work()
    assert len(scene.web.sent) == 1


def test_an_event_cut_off_before_its_message_is_finished_by_its_repeat(scene: Scene) -> None:
    scene.endpoint()

    class CutOff(MemoryQueue):
        def send(self, messages: Iterable[dict[str, Any]], *, delay_seconds: int = 0) -> int:
            raise ConnectionError

    queue, scene.queue = scene.queue, CutOff()
    with pytest.raises(ConnectionError):
        scene.happen()
    scene.queue = queue

    scene.happen()
    scene.work()

    assert len(scene.web.sent) == 1


def test_messages_that_come_twice_make_no_second_attempt(scene: Scene) -> None:
    scene.endpoint()
    scene.happen()
    (message,) = scene.queue.take()
    waits: list[timedelta | None] = []

    def answer() -> int:
        # While this attempt is under way, its message is delivered once more.
        if not waits:
            waits.append(scene.attempt(message))
        return 500

    scene.web.answer = answer
    scene.attempt(message)

    assert len(scene.web.sent) == 1
    # It comes again when the claim has lapsed at the latest.
    assert waits[0] is not None
    assert timedelta() < waits[0] <= CLAIM_LASTS
    assert scene.delivery.attempts == 1


def test_an_attempt_cut_off_is_made_again_when_its_claim_lapses(scene: Scene) -> None:
    class Killed(BaseException):
        pass

    def die() -> int:
        raise Killed

    scene.endpoint()
    scene.happen()
    (message,) = scene.queue.take()
    scene.web.answer = die
    with pytest.raises(Killed):
        scene.attempt(message)
    scene.web.answer = lambda: 204

    wait = scene.attempt(message)
    assert wait == CLAIM_LASTS
    scene.now += wait
    assert scene.attempt(message) is None

    assert (scene.delivery.status, scene.delivery.attempts) == ("succeeded", 2)


def test_an_outcome_that_comes_too_late_changes_nothing(scene: Scene) -> None:
    """The claim lapsed, another attempt succeeded: the slow one's failure is no news."""
    scene.endpoint()
    scene.happen()
    (message,) = scene.queue.take()

    def slow() -> int:
        scene.web.answer = lambda: 204
        scene.now += CLAIM_LASTS
        assert scene.attempt(message) is None
        return 500

    scene.web.answer = slow
    scene.attempt(message)

    assert scene.delivery.status == "succeeded"


def failing_for(scene: Scene, days: int) -> None:
    """Let every event fail, a day after the other."""
    scene.web.answer = lambda: 503
    for day in range(days):
        scene.now = NOW + timedelta(days=day)
        scene.happen(f"evt_{day}")
        scene.work()


def test_an_endpoint_that_accepts_nothing_for_days_is_switched_off_and_that_is_told(
    scene: Scene,
) -> None:
    endpoint_id = scene.endpoint()
    failing_for(scene, 4)
    endpoint = find_endpoint(scene.table, scene.org_id, endpoint_id)
    assert endpoint is not None
    assert (endpoint.status, endpoint.failing_since) == ("enabled", NOW)
    # A day ends later than it began: the last attempts of the fourth day are past five days.
    failing_for(scene, 7)

    endpoint = find_endpoint(scene.table, scene.org_id, endpoint_id)
    assert endpoint is not None
    assert (endpoint.status, endpoint.disabled_reason) == ("disabled", "failing")
    told = [
        json.loads(item["detail"]["S"])
        for item in scene.table.items.values()
        if item.get("detail_type") == {"S": "webhook_endpoint.disabled"}
    ]
    assert [(each["url"], each["reason"]) for each in told] == [
        ("https://acme.example/hook", "failing")
    ]
    # Nothing is on its way any more, and nothing new sets out.
    assert {delivery.status for delivery in scene.deliveries()} == {"failed"}
    assert scene.happen("evt_new") == 0


def test_a_success_in_between_forgives(scene: Scene) -> None:
    endpoint_id = scene.endpoint()
    for day in range(12):
        scene.now = max(scene.now, NOW + timedelta(days=day))
        scene.web.answer = lambda day=day: 503 if day % 2 else 204  # type: ignore[misc]
        scene.happen(f"evt_{day}")
        scene.work()

    endpoint = find_endpoint(scene.table, scene.org_id, endpoint_id)
    assert endpoint is not None
    assert endpoint.status == "enabled"


def test_whoever_is_gone_is_not_asked_again(scene: Scene) -> None:
    endpoint_id = scene.endpoint()
    scene.happen()
    scene.web.answer = lambda: 410
    scene.work()

    endpoint = find_endpoint(scene.table, scene.org_id, endpoint_id)
    assert endpoint is not None
    assert (endpoint.status, endpoint.disabled_reason) == ("disabled", "gone")
    assert len(scene.web.sent) == 1
    assert (scene.delivery.status, scene.delivery.error) == ("failed", "endpoint_gone")


def test_enabled_again_it_starts_without_a_past(scene: Scene) -> None:
    endpoint_id = scene.endpoint()
    failing_for(scene, 8)
    enabled = alter_endpoint(
        scene.table, scene.org_id, endpoint_id, OWNER, scene.now, changes={}, status="enabled"
    )
    assert (enabled.status, enabled.disabled_reason, enabled.failing_since) == (
        "enabled",
        None,
        None,
    )

    scene.happen("evt_late")
    scene.work(until=lambda: len(scene.web.sent) > ATTEMPTS_MAX)
    still = find_endpoint(scene.table, scene.org_id, endpoint_id)
    assert still is not None
    assert still.status == "enabled"


def test_what_is_on_its_way_to_a_removed_endpoint_is_given_up(scene: Scene) -> None:
    endpoint_id = scene.endpoint()
    scene.happen()
    remove_endpoint(scene.table, scene.org_id, endpoint_id, OWNER, NOW)
    scene.work()

    assert scene.web.sent == []
    assert (scene.delivery.status, scene.delivery.error) == ("failed", "endpoint_deleted")
    with pytest.raises(Conflict):
        redeliver(scene.table, scene.queue, scene.org_id, scene.delivery.delivery_id, NOW)


def test_a_failed_delivery_is_sent_anew_by_hand_with_the_same_id(scene: Scene) -> None:
    scene.endpoint()
    scene.happen()
    scene.web.answer = lambda: 500
    scene.work()
    scene.web.answer = lambda: 204

    again = redeliver(scene.table, scene.queue, scene.org_id, scene.delivery.delivery_id, scene.now)
    assert (again.status, again.attempts, again.round) == ("pending", 0, 2)
    # Repeated while it waits, it stays one.
    redeliver(scene.table, scene.queue, scene.org_id, scene.delivery.delivery_id, scene.now)
    scene.work()

    assert (scene.delivery.status, scene.delivery.attempts) == ("succeeded", 1)
    assert len(scene.web.sent) == ATTEMPTS_MAX + 1
    assert {headers["webhook-id"] for _, headers, _ in scene.web.sent} == {"evt_1"}


def test_a_message_of_a_round_before_does_nothing(scene: Scene) -> None:
    scene.endpoint()
    scene.happen()
    (old,) = scene.queue.take()
    scene.attempt(old)
    redeliver(scene.table, scene.queue, scene.org_id, scene.delivery.delivery_id, scene.now)

    assert scene.attempt(old) is None

    assert len(scene.web.sent) == 1


def test_both_secrets_sign_for_a_day_after_a_rotation(scene: Scene) -> None:
    endpoint_id = scene.endpoint()
    scene.now = datetime.now(NOW.tzinfo)
    shown = rotate_secret(scene.table, lambda: KEY, scene.org_id, endpoint_id, OWNER, scene.now)
    assert shown["previous_secret_expires_at"] is not None
    scene.happen()
    scene.work()

    ((_, headers, body),) = scene.web.sent
    old = secret_of(KEY, scene.org_id, endpoint_id, 1)
    assert shown["secret"] != old
    for secret in (old, shown["secret"]):
        Webhook(secret).verify(body, headers)

    scene.now += timedelta(hours=24)
    scene.happen("evt_2")
    scene.work()
    assert len(scene.web.sent[1][1]["webhook-signature"].split(" ")) == 1


def rotate(scene: Scene, endpoint_id: str) -> Any:
    answer = rotate_secret(scene.table, lambda: KEY, scene.org_id, endpoint_id, OWNER, NOW)
    return answer["secret"]


def test_too_many_rotations_within_a_day_are_refused(scene: Scene) -> None:
    endpoint_id = scene.endpoint()
    secrets = {rotate(scene, endpoint_id) for _ in range(3)}
    assert len(secrets) == 3
    with pytest.raises(Conflict):
        rotate(scene, endpoint_id)


def test_endpoints_are_few_also_if_many_make_them_at_once(scene: Scene) -> None:
    for index in range(ENDPOINTS_MAX - 1):
        scene.endpoint(f"https://a.example/{index}")
    raced = iter([True])

    def race(name: str) -> None:
        if name == "transact" and next(raced, False):
            scene.endpoint("https://a.example/meanwhile")

    scene.table.step = race
    with pytest.raises(Conflict):
        scene.endpoint("https://a.example/one-too-many")

    assert len(list(list_endpoints(scene.table, scene.org_id))) == ENDPOINTS_MAX


def test_what_owners_do_to_endpoints_is_audited_without_a_secret(scene: Scene) -> None:
    endpoint_id = scene.endpoint()
    secret = rotate(scene, endpoint_id)
    change = {"url": "https://b.example/"}
    alter_endpoint(scene.table, scene.org_id, endpoint_id, OWNER, NOW, changes=change, status=None)
    remove_endpoint(scene.table, scene.org_id, endpoint_id, OWNER, NOW)

    entries = [
        entry_to_wire(item) for item in list_entries(scene.table, scene.org_id, limit=10).items
    ]
    assert [entry["action"].removeprefix("webhook_endpoint.") for entry in entries] == [
        "deleted",
        "changed",
        "secret_rotated",
        "created",
    ]
    assert entries[1]["before"] == {"url": "https://acme.example/hook"}
    assert entries[1]["after"] == {"url": "https://b.example/"}
    assert [entry["after"].get("url") for entry in entries[2:]] == ["https://acme.example/hook"] * 2
    assert entries[0]["before"]["url"] == "https://b.example/"
    everything = json.dumps(list(scene.table.items.values()))
    assert secret.removeprefix("whsec_") not in everything
    assert "whsec_" not in everything


def test_whatever_is_changed_of_an_endpoint_the_audit_says_of_which(scene: Scene) -> None:
    endpoint_id = scene.endpoint()
    alter_endpoint(
        scene.table, scene.org_id, endpoint_id, OWNER, NOW, changes={}, status="disabled"
    )
    (item, *_) = list_entries(scene.table, scene.org_id, limit=1).items
    entry = entry_to_wire(item)

    assert entry["before"] == {"status": "enabled"}
    assert entry["after"] == {"status": "disabled", "url": "https://acme.example/hook"}


def test_a_test_is_sent_to_that_endpoint_only_also_if_it_wants_other_events(scene: Scene) -> None:
    scene.endpoint("https://other.example/")
    endpoint_id = scene.endpoint("https://acme.example/hook", "invoice.paid")

    try_endpoint(scene.table, scene.queue, scene.org_id, endpoint_id, NOW)
    scene.work()

    assert [url for url, _, _ in scene.web.sent] == ["https://acme.example/hook"]
    assert json.loads(scene.web.sent[0][2])["type"] == TEST


def test_deliveries_are_listed_by_endpoint_and_status_the_latest_first(scene: Scene) -> None:
    one, two = scene.endpoint("https://a.example/"), scene.endpoint("https://b.example/")
    for minute in range(3):
        scene.happen(f"evt_{minute}", occurred_at=f"2026-11-02T12:0{minute}:00.000000Z")
    scene.web.answer = lambda: 204 if scene.web.sent[-1][0].startswith("https://a") else 500
    scene.work()

    def page(
        *statuses: str, ids: tuple[str, ...] = (), limit: int = 20, start: Any = None
    ) -> Listed:
        return deliveries_page(scene.table, scene.org_id, ids, statuses, limit=limit, start=start)

    rows, _ = page()
    assert [row["event_id"] for row in rows] == [f"evt_{n}" for n in (2, 2, 1, 1, 0, 0)]
    assert {row["endpoint_id"] for row in page("succeeded")[0]} == {one}
    assert {row["endpoint_id"] for row in page("failed")[0]} == {two}
    first, last = page(ids=(two,), limit=2)
    rest, end = page(ids=(two,), limit=2, start=last)
    assert [row["event_id"] for row in first + rest] == ["evt_2", "evt_1", "evt_0"]
    assert end is None


def test_nothing_of_another_organization_can_be_touched(scene: Scene) -> None:
    endpoint_id = scene.endpoint()
    scene.happen()
    foreign = "org_foreign"
    touches: list[Callable[[], object]] = [
        lambda: redeliver(scene.table, scene.queue, foreign, scene.delivery.delivery_id, NOW),
        lambda: remove_endpoint(scene.table, foreign, endpoint_id, OWNER, NOW),
        lambda: try_endpoint(scene.table, scene.queue, foreign, endpoint_id, NOW),
    ]
    for touch in touches:
        with pytest.raises(NotFound):
            touch()
    message = {**message_of(scene.delivery), "organization_id": foreign}
    assert scene.attempt(message) is None
    assert scene.web.sent == []
