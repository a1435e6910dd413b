"""The usage queue: the same events as over the API, with partial batch failures."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

import pytest

from functions.ingest_usage import handler as ingest_usage
from headroom.core.errors import Overloaded
from headroom.provisioning.usecases.provisioning import organization_id
from tests.in_process import Application, Organization, sample, usage_event


def message(organization: Organization, *events: Any) -> str:
    return json.dumps({"organization_id": organization.id, "events": list(events)})


def event_ids(app: Application, organization: Organization, name: str = "ada") -> set[str]:
    return {line.event_id for line in app.lines(organization, name)}


class Collector(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[logging.LogRecord]:
    """What the function warns of in its log."""
    collector = Collector()
    logger = ingest_usage.logger._logger
    monkeypatch.setattr(logger, "handlers", [*logger.handlers, collector])
    return collector.records


def test_the_sample_batch_is_recorded_and_a_redelivery_changes_nothing(app: Application) -> None:
    app.invoke_provisioning(sample("provision_organization/organization"))
    acme = Organization(organization_id("acme-2026"), "", "", [])
    batch = sample("ingest_usage/usage_queue")
    for record in batch["Records"]:
        body = json.loads(record["body"])
        for event in body["events"]:
            event["occurred_at"] = datetime.now(UTC).isoformat()
        record["body"] = json.dumps(body)

    failures = [app.deliver(batch), app.deliver(batch)]

    assert failures == [[], []]
    assert event_ids(app, acme) == {"msg_01QueuedOne", "msg_01QueuedTwo", "msg_01QueuedThree"}
    assert app.budget(acme).spent == 3 * 59_299_000


def test_only_the_bad_message_is_delivered_again(app: Application, acme: Organization) -> None:
    again = app.take(
        message(acme, usage_event("msg_1")),
        message(acme, usage_event("msg_2", model="")),
        message(acme, usage_event("msg_3")),
    )

    assert again == [1]
    assert event_ids(app, acme) == {"msg_1", "msg_3"}


def test_the_good_events_of_a_bad_message_are_recorded_once(
    app: Application, acme: Organization
) -> None:
    mixed = message(acme, usage_event("msg_1"), usage_event("msg_2", user_id="user_nobody"))

    assert [app.take(mixed) for _ in range(3)] == [[0], [0], [0]]

    assert event_ids(app, acme) == {"msg_1"}
    assert app.budget(acme).spent == 59_299_000


def test_a_hold_taken_over_the_api_is_settled_from_the_queue(
    app: Application, acme: Organization
) -> None:
    authorization_id = app.held(acme)

    assert app.take(message(acme, usage_event("msg_1", authorization_id))) == []

    assert app.holds(acme) == 0
    assert event_ids(app, acme) == {"msg_1"}


def test_an_event_may_come_by_both_ways(app: Application, acme: Organization) -> None:
    event = usage_event("msg_1")
    app.record(acme, event)

    assert app.take(message(acme, event)) == []

    assert app.budget(acme).spent == 59_299_000


@pytest.mark.parametrize(
    "body",
    [
        "",
        "not JSON",
        "null",
        "[]",
        "[" * 100_000,
        '{"events": []}',
        '{"organization_id": 7, "events": []}',
        '{"organization_id": "org_unknown", "events": [{}]}',
        '{"organization_id": "' + "x" * 10_000 + '", "events": [{}]}',
        '{"organization_id": "../org", "events": [{}]}',
        '{"organization_id": "\\ud800", "events": [{}]}',
    ],
)
def test_a_message_that_cannot_be_read_is_parked_and_holds_up_nobody(
    app: Application, acme: Organization, body: str, logged: list[logging.LogRecord]
) -> None:
    assert app.take(body, message(acme, usage_event("msg_1"))) == [0]

    assert event_ids(app, acme) == {"msg_1"}
    # Whoever finds the dead letter looks in the log for the reason.
    (entry,) = logged
    assert entry.levelname == "ERROR"
    assert vars(entry)["message_id"] == "message-0"


@pytest.mark.parametrize(
    "changes",
    [
        {"events": [usage_event("msg_1")] * 101},
        {"events": []},
        {"events": {}},
        {"unknown": 1},
    ],
    ids=["too many", "none", "no list", "unknown member"],
)
def test_a_message_with_a_wrong_batch_is_parked(
    app: Application, acme: Organization, changes: dict[str, Any]
) -> None:
    body = {"organization_id": acme.id, "events": [usage_event("msg_1")], **changes}

    assert app.take(json.dumps(body)) == [0]

    assert app.lines(acme) == []


def test_a_message_is_delivered_again_while_the_store_is_busy(
    app: Application, acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = message(acme, usage_event("msg_1"))

    def busy(*arguments: object) -> dict[str, Any]:
        raise Overloaded("the store is busy; try again")

    with monkeypatch.context() as patched:
        patched.setattr(ingest_usage, "record", busy)
        assert app.take(body) == [0]
    assert app.take(body) == []

    assert event_ids(app, acme) == {"msg_1"}
