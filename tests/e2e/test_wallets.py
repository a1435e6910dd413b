"""Wallets behind the routes: operators, the schedule and the proof, each held to its own role."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config

from headroom.core.store import keys
from tests.e2e.governed import House, provision_house
from tests.e2e.paying import awaited
from tests.fake_payments import GOOD_CARD
from tests.in_process import sample

WALLET = "/v1/organizations/wallet"


@pytest.fixture
def house(stack: dict[str, Any]) -> House:
    return provision_house(stack, plan="team", wallet={"balance": "1000"})


def run(stack: dict[str, Any], function: str, event: dict[str, Any]) -> dict[str, Any]:
    client = boto3.client(
        "lambda", endpoint_url=stack["aws_endpoint_url"], config=Config(read_timeout=90)
    )
    told = client.invoke(FunctionName=stack["functions"][function], Payload=json.dumps(event))
    answer: dict[str, Any] = json.loads(told["Payload"].read())
    assert "FunctionError" not in told, answer
    return answer


def entries(house: House) -> list[dict[str, Any]]:
    answer = house.send("GET", f"{WALLET}/entries", key=house.admin_key)
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, Any]] = answer.json()["data"]
    return rows


def due_at(stack: dict[str, Any], house: House) -> int:
    dynamodb = boto3.client("dynamodb", endpoint_url=stack["aws_endpoint_url"])
    key = keys.wallet(house.org_id).attributes()
    item = dynamodb.get_item(TableName=stack["table_name"], Key=key, ConsistentRead=True)["Item"]
    return int(item["due_at"]["N"])


def test_an_operator_credits_once_and_the_schedule_books_what_was_spent(
    stack: dict[str, Any], house: House
) -> None:
    """What is given is due to be looked at, and a look books the spending before it."""
    house.spend("m0", 1000)
    credit = sample("adjust_wallet/promotional_credit") | {"organization_id": house.org_id}
    first, again = (run(stack, "AdjustWallet", credit) for _ in range(2))
    assert first == again
    assert first["status"] == "succeeded"

    assert run(stack, "ReloadWallet", sample("reload_wallet/schedule"))["messages"] >= 1

    def booked() -> list[str] | None:
        kinds = [entry["kind"] for entry in entries(house)]
        return kinds if "usage" in kinds else None

    assert sorted(awaited("the booking", booked)) == ["promotional", "promotional", "usage"]
    shown = house.send("GET", WALLET, key=house.admin_key).json()
    assert entries(house)[0]["balance"] == shown["balance"]
    tomorrow = datetime.now(UTC) + timedelta(hours=23)
    looked = awaited(
        "the next look", lambda: due_at(stack, house) > tomorrow.timestamp() * 1000 or None
    )
    assert looked


@contextmanager
def deaf(stack: dict[str, Any]) -> Iterator[None]:
    """Let no stream and no queue reach whoever reloads wallets."""
    client = boto3.client("lambda", endpoint_url=stack["aws_endpoint_url"])
    name = stack["functions"]["ReloadWallet"]
    found = client.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]
    # The stream reaches it by the queue as well.
    assert len(found) == 1
    try:
        for mapping in found:
            client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
        yield
    finally:
        for mapping in found:
            client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)


def test_who_takes_a_wallet_to_its_threshold_has_it_reloaded_without_stream_and_schedule(
    stack: dict[str, Any], house: House
) -> None:
    bought = house.send(
        "POST",
        f"{WALLET}/top_ups",
        {"amount": "500", "payment_method": GOOD_CARD},
        key=house.admin_key,
        headers={"idempotency-key": "first"},
    )
    assert bought.status_code == 200, bought.text
    wanted = {"enabled": True, "threshold": "1000", "amount": "2000", "monthly_limit": "2000"}
    told = house.send("PUT", f"{WALLET}/auto_reload", wanted, person="owner")
    assert told.status_code == 200, told.text
    dynamodb = boto3.client("dynamodb", endpoint_url=stack["aws_endpoint_url"])

    def armed() -> bool | None:
        found = dynamodb.get_item(
            TableName=stack["table_name"],
            Key=keys.pool(house.org_id).attributes(),
            ConsistentRead=True,
        )
        return "reload_at" in found["Item"] or None

    assert awaited("the first look", armed)
    ask = {
        "user_id": house.people["m0"],
        "model": "claude-sonnet-4-5",
        "input_tokens": 0,
        "max_tokens": 400_000,
    }
    with deaf(stack):
        began = time.monotonic()
        held = house.send("POST", "/v1/authorizations", ask, key=house.service_key)
        assert held.status_code == 200, held.text
        assert awaited(
            "the reload", lambda: any(row["kind"] == "reload" for row in entries(house)) or None
        )
        assert time.monotonic() - began < 10
    assert [row["kind"] for row in entries(house)].count("reload") == 1


def test_a_wallet_is_proved_on_the_deployed_stack(stack: dict[str, Any], house: House) -> None:
    house.spend("m0", 1000)
    batch = sample("reconcile_wallets/wallets")
    batch["Records"][1]["body"] = json.dumps({"organization_id": house.org_id})
    assert run(stack, "ReconcileWallets", batch) == {"batchItemFailures": []}
    assert run(stack, "ReconcileWallets", sample("reconcile_wallets/schedule"))["messages"] >= 1

    dynamodb = boto3.client("dynamodb", endpoint_url=stack["aws_endpoint_url"])
    told = dynamodb.query(
        TableName=stack["table_name"],
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": f"ORG#{house.org_id}#ANNOUNCEMENTS"}},
    )["Items"]
    assert "reconciliation.drift_found" not in {item["detail_type"]["S"] for item in told}


def test_an_operators_mistake_is_an_answer(stack: dict[str, Any], house: House) -> None:
    refund = sample("adjust_wallet/refund") | {"organization_id": house.org_id}
    assert run(stack, "AdjustWallet", refund)["error"]["type"] == "not_found_error"
