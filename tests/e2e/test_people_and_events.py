"""People call with their tokens; what happens reaches the event bus."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import httpx2
import pytest

from tests.e2e.governed import PATIENCE_SECONDS, House, provision_house

Await = Callable[[str, str], dict[str, Any]]


@pytest.fixture(scope="module")
def house(stack: dict[str, Any]) -> House:
    return provision_house(stack)


@pytest.fixture(scope="module")
def heard(stack: dict[str, Any]) -> Iterator[Await]:
    """Listens to the bus; returns the first event of an organization under a name."""
    endpoint = stack["aws_endpoint_url"]
    sqs = boto3.client("sqs", endpoint_url=endpoint)
    events = boto3.client("events", endpoint_url=endpoint)
    url = sqs.create_queue(QueueName="headroom-test-listener")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"][
        "QueueArn"
    ]
    bus = stack["event_bus_name"]
    events.put_rule(
        Name="everything", EventBusName=bus, EventPattern=json.dumps({"source": ["headroom"]})
    )
    events.put_targets(Rule="everything", EventBusName=bus, Targets=[{"Id": "q", "Arn": arn}])
    seen: list[dict[str, Any]] = []

    def wait_for(org_id: str, detail_type: str) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            for event in seen:
                if (
                    event["detail-type"] == detail_type
                    and event["detail"]["organization_id"] == org_id
                ):
                    return event
            told = f"no {detail_type} among {[event['detail-type'] for event in seen]}"
            assert time.monotonic() < deadline, told
            got = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
            for message in got.get("Messages", []):
                seen.append(json.loads(message["Body"]))
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    yield wait_for
    events.remove_targets(Rule="everything", EventBusName=bus, Ids=["q"])
    events.delete_rule(Name="everything", EventBusName=bus)
    sqs.delete_queue(QueueUrl=url)


def test_every_token_of_the_stack_opens_its_persons_own_view(stack: dict[str, Any]) -> None:
    for organization in stack["organizations"]:
        for member in organization["members"]:
            answer = httpx2.get(
                f"{stack['api_url']}/v1/me/extra_usage",
                headers={"authorization": f"Bearer {member['token']}"},
                timeout=30,
            )
            assert answer.status_code == 200, answer.text
            assert answer.json()["user_id"] == member["user_id"]


def test_a_member_chooses_for_themselves_and_governs_nothing(house: House) -> None:
    chosen = house.send(
        "PUT", "/v1/me/extra_usage", {"continue_with_extra_usage": False}, person="m0"
    )
    assert chosen.json()["continue_with_extra_usage"] is False
    assert house.send("GET", "/v1/organizations/extra_usage", person="m0").status_code == 403
    assert house.send("GET", "/v1/organizations/extra_usage", person="admin").status_code == 200
    disabled = house.send("POST", "/v1/organizations/extra_usage/disable", person="admin")
    assert disabled.status_code == 403


def test_a_member_sees_their_usage_and_why_it_was_extra(house: House) -> None:
    cost = house.spend("m1", 500)

    rows = house.send("GET", "/v1/me/usage", person="m1").json()["data"]

    assert [row["amount"] for row in rows] == [cost]
    assert rows[0]["source"] == "extra_usage"
    assert house.send("GET", "/v1/me/usage", person="m2").json()["data"] == []


def test_a_change_of_an_owner_is_audited_and_reaches_the_bus(house: House, heard: Await) -> None:
    changed = house.send(
        "PUT", "/v1/organizations/spend_limit", {"amount": "90000"}, person="owner"
    )
    assert changed.json()["amount"] == "90000"

    event = heard(house.org_id, "spend_limit.changed")

    assert event["source"] == "headroom"
    assert event["detail"]["actor"] == {"type": "user", "id": house.people["owner"]}
    assert event["detail"]["before"]["spend_limit"] == "100000"
    assert event["detail"]["after"]["spend_limit"] == "90000"
    (entry,) = house.send(
        "GET", "/v1/organizations/audit", person="owner", query={"limit": "1"}
    ).json()["data"]
    assert entry["actor"] == event["detail"]["actor"]


def test_disabling_holds_when_it_answers_and_is_announced(
    stack: dict[str, Any], heard: Await
) -> None:
    house = provision_house(stack)
    house.spend("m0", 100)

    told = house.send("POST", "/v1/organizations/extra_usage/disable", person="owner").json()

    assert (told["enabled"], told["next_step"]) == (False, "enable")
    refused = house.send(
        "POST",
        "/v1/authorizations",
        {
            "user_id": house.people["m0"],
            "model": "claude-sonnet-4-5",
            "input_tokens": 1,
            "max_tokens": 1,
        },
        key=house.service_key,
    )
    assert refused.status_code == 429
    assert refused.json()["error"]["details"]["reason"] == "extra_usage_disabled"
    heard(house.org_id, "extra_usage.disabled")


def test_a_threshold_is_announced_within_seconds_by_the_stream(
    stack: dict[str, Any], heard: Await
) -> None:
    house = provision_house(stack, spend_limit="10")
    assert house.spend("m0", 5000) == "7.8"
    started = time.monotonic()

    event = heard(house.org_id, "spend_limit.threshold_reached")

    assert time.monotonic() - started < 15
    assert event["detail"]["scope"] == {"type": "organization"}
    assert event["detail"]["threshold_percent"] == 75
    assert event["detail"]["period_to_date_spend"] == "7.8"


def test_a_request_for_more_and_its_answer_reach_the_bus(house: House, heard: Await) -> None:
    asked = house.send("POST", "/v1/me/spend_limit_increase_requests", {}, person="m3").json()
    event = heard(house.org_id, "spend_limit.increase_requested")
    assert event["detail"]["request_id"] == asked["id"]

    denied = house.send(
        "POST",
        f"/v1/organizations/spend_limit_increase_requests/{asked['id']}/deny",
        person="admin",
    )
    assert denied.status_code == 200, denied.text
    event = heard(house.org_id, "spend_limit.increase_denied")
    assert event["detail"]["user_id"] == house.people["m3"]
