"""One way through each trigger of the spending path, on the deployed stack."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, TypeVar

import boto3
import httpx2
import pytest

from headroom.core.store import keys
from headroom.core.store.table import Item, Key
from tests.e2e.governed import PATIENCE_SECONDS, House, provision_house
from tests.in_process import Answer, sample, sample_body, usage_event

T = TypeVar("T")


@pytest.fixture(scope="module")
def house(stack: dict[str, Any]) -> House:
    return provision_house(stack)


def eventually(look: Callable[[], T | None], what: str) -> T:
    """Return what there is to see as soon as there is something."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (seen := look()) is None:
        assert time.monotonic() < deadline, f"{what} was not to be seen in {PATIENCE_SECONDS} s"
        time.sleep(0.1)
    return seen


def find_item(stack: dict[str, Any], key: Key) -> Item | None:
    dynamodb = boto3.client("dynamodb", endpoint_url=stack["aws_endpoint_url"])
    answer: Any = dynamodb.get_item(
        TableName=stack["table_name"], Key=key.attributes(), ConsistentRead=True
    )
    item: Item | None = answer.get("Item")
    return item


def budget_of(house: House, name: str) -> Item:
    item = find_item(house.stack, keys.budget(house.org_id, house.people[name]))
    assert item is not None
    return item


def invoke(stack: dict[str, Any], function: str, event: Any) -> Any:
    client = boto3.client("lambda", endpoint_url=stack["aws_endpoint_url"])
    answer = client.invoke(
        FunctionName=stack["functions"][function], Payload=json.dumps(event).encode()
    )
    assert "FunctionError" not in answer
    return json.loads(answer["Payload"].read())


def post(house: House, path: str, body: Any, **headers: str) -> dict[str, Any]:
    """Return the answer to a request that must succeed."""
    response = httpx2.post(
        house.stack["api_url"] + path,
        json=body,
        headers={"x-api-key": house.service_key, **headers},
        timeout=30,
    )
    answer = Answer.read(raw(response))
    assert answer.status == 200, answer.body
    return answer.body


def raw(response: httpx2.Response) -> dict[str, Any]:
    return {
        "statusCode": response.status_code,
        "headers": dict(response.headers),
        "body": response.text,
        "isBase64Encoded": False,
    }


def authorization(house: House, name: str, **changes: Any) -> dict[str, Any]:
    body = sample_body("authorize_spend/create_authorization")
    return {**body, "user_id": house.people[name], **changes}


def an_event(house: House, name: str, authorization_id: str | None = None) -> dict[str, Any]:
    return usage_event(f"msg_{secrets.token_hex(8)}", authorization_id, user_id=house.people[name])


def test_a_request_is_authorized_extended_recorded_and_billed_once(house: House) -> None:
    held = post(house, "/v1/authorizations", authorization(house, "m0"))
    path = f"/v1/authorizations/{held['id']}"
    extended = post(house, f"{path}/extend", {"max_tokens": 16384, "ttl_seconds": 1200})
    event = an_event(house, "m0", held["id"])

    first = post(house, "/v1/usage/events", {"events": [event]})
    second = post(house, "/v1/usage/events", {"events": [event]})

    assert (held["amount"], extended["amount"]) == ("21.488", "33.776")
    assert extended["expires_at"] > held["expires_at"]
    results = [*first["results"], *second["results"]]
    assert [result["status"] for result in results] == ["recorded", "duplicate"]
    assert {result["amount"] for result in results} == {"5.9299"}
    budget = budget_of(house, "m0")
    assert (budget["spent"], budget["held"], budget["holds"]) == (
        {"N": "59299000"},
        {"N": "0"},
        {"M": {}},
    )


def test_an_idempotency_key_holds_once_and_a_release_gives_it_back(house: House) -> None:
    body, key = authorization(house, "m1"), secrets.token_hex(8)
    first = post(house, "/v1/authorizations", body, **{"idempotency-key": key})

    second = post(house, "/v1/authorizations", body, **{"idempotency-key": key})
    released = house.send("DELETE", f"/v1/authorizations/{first['id']}", key=house.service_key)

    assert second == first
    assert released.json() == {"type": "authorization_released", "id": first["id"]}
    assert budget_of(house, "m1")["holds"] == {"M": {}}


def test_money_idle_with_one_member_is_recalled_for_another(stack: dict[str, Any]) -> None:
    """The one path on which the functions list and read many items."""
    small = provision_house(stack, spend_limit="100")
    first = post(small, "/v1/authorizations", authorization(small, "m0", max_tokens=1))
    small.send("DELETE", f"/v1/authorizations/{first['id']}", key=small.service_key)
    # 100 cents less 92,000,000 nanos of input and searches, at 15,000 a token of output.
    whole = (100 * 10_000_000 - 92_000_000) // 15_000

    held = post(small, "/v1/authorizations", authorization(small, "m1", max_tokens=whole))

    assert held["max_tokens"] == whole


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/v1", 404),
        ("POST", "/v1/nothing", 404),
        ("GET", "/v1/authorizations", 405),
        ("GET", "/v1/authorizations/auth_x", 405),
        ("DELETE", "/v1/authorizations/auth_x", 404),
        ("PUT", "/v1/usage/events", 405),
        ("POST", "/v1/authorizations", 400),
        ("POST", "/v1/usage/events", 400),
    ],
)
def test_whatever_goes_wrong_is_told_in_the_contracts_form(
    house: House, method: str, path: str, status: int
) -> None:
    response = house.send(method, path, key=house.service_key)

    assert Answer.read(raw(response)).status == status


def test_without_a_key_there_is_nothing_to_be_had(house: House) -> None:
    for path in ("/v1/authorizations", "/v1/usage/events"):
        answer = Answer.read(raw(house.send("POST", path, {})))

        assert answer.refusal == (401, "authentication_error")


def test_a_message_of_the_usage_queue_becomes_a_line(house: House) -> None:
    event = an_event(house, "m2")
    sqs = boto3.client("sqs", endpoint_url=house.stack["aws_endpoint_url"])

    sqs.send_message(
        QueueUrl=house.stack["usage_queue_url"],
        MessageBody=json.dumps({"organization_id": house.org_id, "events": [event]}),
    )

    key = keys.line(house.org_id, event["id"])
    line = eventually(lambda: find_item(house.stack, key), "the line")
    assert line["charged"] == {"N": "59299000"}
    assert line["recorded_at"]["S"] <= datetime.now(UTC).isoformat()


@pytest.fixture
def impatient_queue(stack: dict[str, Any]) -> Iterator[str]:
    """The usage queue delivering again at once; returns where its dead letters go."""
    sqs = boto3.client("sqs", endpoint_url=stack["aws_endpoint_url"])
    url = stack["usage_queue_url"]
    found = sqs.get_queue_attributes(
        QueueUrl=url, AttributeNames=["RedrivePolicy", "VisibilityTimeout"]
    )["Attributes"]
    dead_letters = json.loads(found["RedrivePolicy"])["deadLetterTargetArn"].rpartition(":")[2]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "0"})
    yield sqs.get_queue_url(QueueName=dead_letters)["QueueUrl"]
    sqs.set_queue_attributes(
        QueueUrl=url, Attributes={"VisibilityTimeout": found["VisibilityTimeout"]}
    )


def test_a_poisoned_message_goes_to_the_dead_letters_and_holds_up_nobody(
    house: House, impatient_queue: str
) -> None:
    sqs = boto3.client("sqs", endpoint_url=house.stack["aws_endpoint_url"])
    poison, event = f"poison {secrets.token_hex(8)}", an_event(house, "m2")
    good = json.dumps({"organization_id": house.org_id, "events": [event]})

    sqs.send_message_batch(
        QueueUrl=house.stack["usage_queue_url"],
        Entries=[{"Id": "poison", "MessageBody": poison}, {"Id": "good", "MessageBody": good}],
    )

    def parked() -> str | None:
        got = sqs.receive_message(QueueUrl=impatient_queue, MaxNumberOfMessages=10)
        bodies = [message["Body"] for message in got.get("Messages", [])]
        return poison if poison in bodies else None

    key = keys.line(house.org_id, event["id"])
    assert eventually(lambda: find_item(house.stack, key), "the good message's line")
    assert eventually(parked, "the poison among the dead letters")


def test_the_sweeper_frees_a_hold_that_nobody_settled(house: House) -> None:
    held = post(house, "/v1/authorizations", authorization(house, "m3", ttl_seconds=1))
    assert held["id"]
    # It looks at a member ten minutes after their first request: let these have passed.
    place = keys.registration(house.org_id, house.people["m3"])
    boto3.client("dynamodb", endpoint_url=house.stack["aws_endpoint_url"]).update_item(
        TableName=house.stack["table_name"],
        Key=place.attributes(),
        UpdateExpression="SET due_at = :now",
        ConditionExpression="attribute_exists(pk)",
        ExpressionAttributeValues={":now": {"N": "0"}},
    )

    def freed() -> Item | None:
        assert invoke(house.stack, "SweepHolds", sample("sweep_holds/schedule"))["looked_at"] >= 0
        budget = budget_of(house, "m3")
        return budget if budget["holds"] == {"M": {}} else None

    budget = eventually(freed, "the end of the hold")
    assert (budget["held"], budget["spent"]) == ({"N": "0"}, {"N": "0"})


def test_the_sweep_is_scheduled_every_minute(stack: dict[str, Any]) -> None:
    scheduler = boto3.client("scheduler", endpoint_url=stack["aws_endpoint_url"])

    found = [
        scheduler.get_schedule(Name=schedule["Name"], GroupName=schedule["GroupName"])
        for schedule in scheduler.list_schedules()["Schedules"]
    ]

    (sweep,) = [
        schedule
        for schedule in found
        if schedule["Target"]["Arn"].endswith(stack["functions"]["SweepHolds"])
    ]
    assert (sweep["ScheduleExpression"], sweep["State"]) == ("rate(1 minute)", "ENABLED")


def test_an_organization_is_provisioned_by_invocation_and_its_keys_are_told_once(
    stack: dict[str, Any],
) -> None:
    document = sample("provision_organization/organization")
    document["id"] = f"acme-{secrets.token_hex(4)}"

    first = invoke(stack, "ProvisionOrganization", document)
    second = invoke(stack, "ProvisionOrganization", document)
    other = invoke(stack, "ProvisionOrganization", document | {"name": "Another"})
    wrong = invoke(stack, "ProvisionOrganization", document | {"plan": "free"})

    assert first["service_key"].startswith("sk-headroom-service-")
    assert second == {name: first[name] for name in ("type", "id", "members")}
    assert other["error"]["type"] == "conflict_error"
    assert wrong["error"]["details"] == {"field": "plan"}
