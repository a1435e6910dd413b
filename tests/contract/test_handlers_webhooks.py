"""The functions of webhooks over SQS and Secrets Manager, driven by the files in events/."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, cast

import boto3
import pytest

from functions.deliver_webhooks import handler as deliver_webhooks
from functions.notify_people import handler as notify_people
from headroom.core.domain.actor import Actor
from headroom.notifications.gateways.mail import MailNotSent
from headroom.notifications.gateways.webhook_key import read_key_of
from headroom.notifications.store.deliveries import list_deliveries, read_delivery
from headroom.notifications.usecases.webhook_endpoints import Wanted, create_endpoint
from tests.contract.test_handlers_rights import allowed, rights_used
from tests.in_process import Application, Context, Organization, sample
from tests.webhook_scene import KEY, Receiver, receiver

QUEUE = "headroom-test"


class Webhooks:
    """The queue of deliveries, and the function that takes messages off it."""

    def __init__(self, app: Application) -> None:
        self.app = app
        self.sqs = boto3.client("sqs")
        self.url = self.sqs.create_queue(QueueName=QUEUE, Attributes={"VisibilityTimeout": "30"})[
            "QueueUrl"
        ]

    def deliver(self, event: dict[str, Any]) -> list[str]:
        """Return the ids of the messages that are to come again."""
        answer = deliver_webhooks.handler(event, cast("Any", Context()))
        return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]

    def take(self) -> list[str]:
        """Deliver what is visible in the queue, and delete what is done, as Lambda does."""
        got = self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10)
        messages = got.get("Messages", [])
        record = sample("deliver_webhooks/delivery")["Records"][0]
        records = [
            {
                **record,
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
            }
            for message in messages
        ]
        failed = self.deliver({"Records": records})
        for message in messages:
            if message["MessageId"] not in failed:
                self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
        return failed

    @property
    def waiting(self) -> tuple[int, int]:
        """How many messages are visible, and how many are hidden."""
        told = self.sqs.get_queue_attributes(
            QueueUrl=self.url,
            AttributeNames=[
                "ApproximateNumberOfMessages",
                "ApproximateNumberOfMessagesNotVisible",
            ],
        )["Attributes"]
        return (
            int(told["ApproximateNumberOfMessages"]),
            int(told["ApproximateNumberOfMessagesNotVisible"]),
        )


@pytest.fixture
def webhooks(app: Application) -> Webhooks:
    return Webhooks(app)


@pytest.fixture
def here() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliver_webhooks, "read_key", lambda: KEY)


def endpoint(app: Application, acme: Organization, url: str) -> str:
    """Make an endpoint and return its secret."""
    made = create_endpoint(
        app.table,
        lambda: KEY,
        acme.id,
        Wanted(url, None, None),
        Actor("user", "user_ada"),
        datetime.now(UTC),
    )
    return str(made["secret"])


def event_for(acme: Organization) -> dict[str, Any]:
    event = sample("deliver_webhooks/event")
    body = json.loads(event["Records"][0]["body"])
    body["detail"]["organization_id"] = acme.id
    event["Records"][0]["body"] = json.dumps(body)
    return event


def test_an_event_in_the_queue_reaches_the_receiver(
    app: Application, acme: Organization, webhooks: Webhooks, here: Receiver, key: None
) -> None:
    secret = endpoint(app, acme, here.url)

    assert webhooks.deliver(event_for(acme)) == []
    assert webhooks.waiting == (1, 0)
    assert webhooks.take() == []

    assert webhooks.waiting == (0, 0)
    (message,) = here.received
    assert message.verify(secret)["data"]["threshold_percent"] == 90


def test_a_failure_stays_in_the_queue_hidden_until_it_is_due(
    app: Application, acme: Organization, webhooks: Webhooks, here: Receiver, key: None
) -> None:
    here.statuses = [500]
    endpoint(app, acme, here.url)
    webhooks.deliver(event_for(acme))

    assert len(webhooks.take()) == 1

    assert webhooks.waiting == (0, 1)
    page = list_deliveries(app.table, acme.id, limit=10, start=None)
    assert [read_delivery(item).error for item in page.items] == ["status_500"]


@pytest.mark.parametrize(
    "body", ["", "no json", "[]", "{}", "3", '{"detail-type": "x"}', '{"organization_id": "o"}']
)
def test_a_message_that_cannot_be_read_comes_again_and_is_parked_at_last(
    webhooks: Webhooks, body: str
) -> None:
    event = sample("deliver_webhooks/delivery")
    event["Records"][0]["body"] = body
    assert webhooks.deliver(event) == [event["Records"][0]["messageId"]]


def test_a_message_of_a_delivery_that_is_not_there_is_done(webhooks: Webhooks) -> None:
    assert webhooks.deliver(sample("deliver_webhooks/delivery")) == []


def test_the_key_is_read_from_secrets_manager_once(app: Application) -> None:
    secrets = boto3.client("secretsmanager")
    arn = secrets.create_secret(Name="headroom-webhooks", SecretString="s3cret")["ARN"]
    read = read_key_of(arn)

    assert read() == b"s3cret"
    secrets.put_secret_value(SecretId=arn, SecretString="another")
    assert read() == b"s3cret"


def test_the_role_of_deliveries_allows_what_they_do_and_nothing_else(
    app: Application, acme: Organization, webhooks: Webhooks, here: Receiver, key: None
) -> None:
    here.statuses = [500, 410]
    endpoint(app, acme, here.url)
    event = event_for(acme)

    with rights_used(deliver_webhooks) as used:
        webhooks.deliver(event)
        webhooks.take()
        other = json.loads(event["Records"][0]["body"])
        other["detail"]["id"] = "evt_other"
        event["Records"][0]["body"] = json.dumps(other)
        webhooks.deliver(event)
        webhooks.take()

    assert used == allowed("DeliverWebhooksRole")


def test_the_role_of_mail_allows_what_it_does_and_nothing_else(
    app: Application, acme: Organization
) -> None:
    event = sample("notify_people/threshold_reached")
    event["detail"]["organization_id"] = acme.id

    # Nobody has verified the sender, so that the claims are given back.
    with rights_used(notify_people) as used, pytest.raises(MailNotSent):
        notify_people.handler(event, cast("Any", Context()))

    assert used == allowed("NotifyPeopleRole")
