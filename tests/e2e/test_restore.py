"""A table that is restored from a backup keeps its promises, and the work goes on in it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from headroom.core.domain.periods import period_bounds, time_zone
from headroom.core.errors import SpendRefused
from headroom.core.store.table import DynamoTable, Range
from headroom.limits.usecases.settings import set_enabled
from headroom.organizations.store.organizations import find_organization, find_pool
from headroom.organizations.usecases.authentication import Callers
from headroom.spending.usecases.authorizations import authorize
from headroom.spending.usecases.grants import Hints
from headroom.spending.usecases.usage_events import record
from headroom.spending.wire.authorizations import parse_authorization_request
from headroom.spending.wire.usage_events import parse_event
from tests.closes import close_period
from tests.contract.governing import CENT
from tests.e2e.governed import House, provision_house
from tests.emulator.tables import table_at
from tests.memory_files import MemoryFiles
from tools.restore.copying import back_up, discard, dress, restore
from tools.restore.ledger import read
from tools.restore.proof import findings

RESTORED = "headroom-restored"


@pytest.fixture(scope="module")
def client(stack: dict[str, Any]) -> Any:
    return boto3.client("dynamodb", endpoint_url=stack["aws_endpoint_url"])


@pytest.fixture(scope="module")
def house(stack: dict[str, Any]) -> House:
    return provision_house(stack)


@pytest.fixture(scope="module")
def held(house: House) -> dict[str, Any]:
    """A hold that is open when the backup is taken."""
    house.spend("m0", 1000)
    body = {"model": "claude-sonnet-4-5", "input_tokens": 1000, "max_tokens": 1000}
    answer = house.send(
        "POST",
        "/v1/authorizations",
        body | {"user_id": house.people["m0"]},
        key=house.service_key,
    )
    told: dict[str, Any] = answer.json()
    return told


@pytest.fixture(scope="module")
def closed(stack: dict[str, Any]) -> dict[str, House]:
    """Organizations whose month was over before the backup: with an invoice, with a statement."""
    table = table_at(stack["aws_endpoint_url"], stack["table_name"])
    organizations = {
        "invoice": provision_house(stack),
        "statement": provision_house(stack, plan="team", wallet={"balance": "5000"}),
    }
    for kind, each in organizations.items():
        each.spend("m0", 1000)
        period = find_pool(table, each.org_id).period
        _, over = period_bounds(period, time_zone("UTC"))
        made = close_period(table, MemoryFiles(), each.org_id, period, over + timedelta(minutes=6))
        assert (made.kind, made.subtotal) == (kind, 18_000_000)
    return organizations


@pytest.fixture(scope="module")
def restored(
    client: Any,
    stack: dict[str, Any],
    house: House,
    held: dict[str, Any],
    closed: dict[str, House],
) -> Iterator[DynamoTable]:
    """The deployed table as a backup kept it; the deployed one went on since."""
    arn = back_up(client, stack["table_name"], RESTORED)
    house.spend("m1", 1000)
    restore(client, arn, RESTORED)
    dress(client, stack["table_name"], RESTORED)
    yield table_at(stack["aws_endpoint_url"], RESTORED)
    discard(client, arn, RESTORED)


def items(client: Any, name: str) -> list[dict[str, Any]]:
    pages = client.get_paginator("scan").paginate(TableName=name, ConsistentRead=True)
    return [item for page in pages for item in page["Items"]]


def test_what_is_restored_proves_itself_and_is_as_old_as_the_backup(
    client: Any, restored: DynamoTable, house: House
) -> None:
    ledger = read(items(client, RESTORED))

    assert list(findings(ledger)) == []
    spent = {each.user_id: each.spent for each in ledger.organizations[house.org_id].budgets}
    assert spent == {house.people["m0"]: 18_000_000}


def test_wallets_and_documents_are_restored_with_what_they_came_to(
    client: Any, restored: DynamoTable, closed: dict[str, House]
) -> None:
    books = read(items(client, RESTORED)).organizations
    invoiced, stated = (books[closed[kind].org_id] for kind in ("invoice", "statement"))

    assert [each.total for each in invoiced.invoices] == [20_000_000]
    assert [each.subtotal for each in stated.invoices] == [18_000_000]
    assert stated.wallet is not None
    assert stated.wallet.given == 5000 * CENT
    assert [each.amount for each in stated.entries if each.kind == "promotional"] == [5000 * CENT]


@pytest.mark.parametrize("lost", ["LINE", "BUDGET", "ENTRY", "WALLET", "INVOICE", "POOL"])
def test_a_proof_finds_what_is_missing(client: Any, restored: DynamoTable, lost: str) -> None:
    """Else it would prove nothing."""
    kept = [
        item
        for item in items(client, RESTORED)
        if item["sk"]["S"] != lost and not item["sk"]["S"].startswith(f"{lost}#")
    ]

    assert list(findings(read(kept)))


def test_what_a_backup_does_not_contain_is_there_again(
    client: Any, restored: DynamoTable, stack: dict[str, Any]
) -> None:
    was = client.describe_table(TableName=stack["table_name"])["Table"]
    now_is = client.describe_table(TableName=RESTORED)["Table"]

    assert now_is["StreamSpecification"] == was["StreamSpecification"]
    assert {index["IndexName"] for index in now_is["GlobalSecondaryIndexes"]} == {
        index["IndexName"] for index in was["GlobalSecondaryIndexes"]
    }
    expiry = client.describe_time_to_live(TableName=RESTORED)["TimeToLiveDescription"]
    assert expiry["AttributeName"] == "expires_at"
    assert expiry["TimeToLiveStatus"] in ("ENABLING", "ENABLED")
    backups = client.describe_continuous_backups(TableName=RESTORED)
    assert (
        backups["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"][
            "PointInTimeRecoveryStatus"
        ]
        == "ENABLED"
    )


def test_the_work_goes_on_in_it(restored: DynamoTable, house: House, held: dict[str, Any]) -> None:
    now = datetime.now(UTC)
    caller = Callers().authenticate(restored, house.service_key, now)
    assert caller.org_id == house.org_id
    organization = find_organization(restored, house.org_id)
    assert organization is not None
    event = {
        "id": f"msg_{secrets.token_hex(8)}",
        "authorization_id": held["id"],
        "user_id": house.people["m0"],
        "model": "claude-sonnet-4-5",
        "occurred_at": now.isoformat(),
        "usage": {"input_tokens": 1000, "output_tokens": 1000},
    }

    told = record(restored, Hints(), organization, parse_event(event, now), now)

    assert (told["status"], told["source"]) == ("recorded", "extra_usage")
    assert restored.query(
        Range(f"ORG#{house.org_id}#MEMBER#{house.people['m0']}#{told['period']}", index="by_member")
    ).items
    set_enabled(restored, house.org_id, False, now)
    asked = {"user_id": house.people["m0"], "model": "claude-sonnet-4-5"}
    request = parse_authorization_request(asked | {"input_tokens": 10, "max_tokens": 10})
    with pytest.raises(SpendRefused):
        authorize(restored, Hints(), organization, request, now, entropy=bytes(6))
