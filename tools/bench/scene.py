"""What the benches share: a table, an organization in it, requests and events."""

from __future__ import annotations

import json
import os
import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import boto3

from headroom.core.settings import Settings
from headroom.core.store.connect import connect as connect_as_functions_do
from headroom.core.store.table import DynamoTable, Table
from headroom.provisioning.usecases.provisioning import provision
from headroom.provisioning.wire.provisioning import parse_provisioning
from headroom.spending.usecases.authorizations import AuthorizationRequest, Idempotency
from headroom.spending.usecases.usage_events import UsageEvent
from headroom.spending.wire.authorizations import parse_authorization_request
from headroom.spending.wire.usage_events import parse_event
from tests.template import table_definition
from tools.example_models import MODEL

# An item's JSON is longer than what DynamoDB counts, by the names of the types and the quotes.
ITEM_JSON_MAX = 1500
FAKE_AWS = {
    "AWS_ACCESS_KEY_ID": "bench",
    "AWS_SECRET_ACCESS_KEY": "bench",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
}


def user_ids(count: int) -> list[str]:
    """Return ids of the length that real ones have."""
    return [f"user_01JDBENCHMARK{number:010d}" for number in range(count)]


def provision_organization(table: Table, members: int, *, cap_cents: int, name: str) -> str:
    """Create an organization whose members' usage is all extra; return its id."""
    document: dict[str, Any] = {
        "id": name,
        "plan": "enterprise",
        "name": name,
        "extra_usage": {"enabled": True},
        "spend_limit": str(cap_cents),
        "seat_tiers": {"standard": {"spend_limit": str(cap_cents)}},
        "members": [
            {
                "user_id": user_id,
                "name": user_id,
                "email": f"{user_id}@example.com",
                "continue_with_extra_usage": True,
            }
            for user_id in user_ids(members)
        ],
    }
    answer = provision(table, parse_provisioning(document), datetime.now(UTC))
    org_id: str = answer["id"]
    return org_id


def request(user_id: str, input_tokens: int = 2048, max_tokens: int = 1024) -> AuthorizationRequest:
    """Return an authorization request of ordinary size."""
    return parse_authorization_request(
        {
            "user_id": user_id,
            "model": MODEL,
            "input_tokens": input_tokens,
            "max_tokens": max_tokens,
        }
    )


def keyed() -> Idempotency:
    """Return what the client package sends with every authorization: a key of its own."""
    return Idempotency(secrets.token_hex(16), "the hash of the body")


def event(
    event_id: str, user_id: str, now: datetime, authorization_id: str | None = None
) -> UsageEvent:
    """Return what such a request typically used: its prompt, and a short answer."""
    raw: dict[str, Any] = {
        "id": event_id,
        "user_id": user_id,
        "model": MODEL,
        "occurred_at": now.isoformat(),
        "usage": {"input_tokens": 2048, "output_tokens": 128},
    }
    if authorization_id:
        raw["authorization_id"] = authorization_id
    return parse_event(raw, now)


def connect(endpoint_url: str, name: str) -> DynamoTable:
    """Return a table on DynamoDB Local, through the client that the functions use."""
    os.environ |= {**FAKE_AWS, "AWS_ENDPOINT_URL_DYNAMODB": endpoint_url}
    return connect_as_functions_do(Settings(table_name=name, region="us-east-1"))


def create_table(endpoint_url: str, name: str) -> DynamoTable:
    """Create the deployed table on DynamoDB Local and return it."""
    os.environ |= FAKE_AWS
    boto3.client("dynamodb", endpoint_url=endpoint_url).create_table(**table_definition(name))
    return connect(endpoint_url, name)


@contextmanager
def counted(table: DynamoTable) -> Iterator[Counter[str]]:
    """Count calls, and the write units that they take.

    Those of a single write are what DynamoDB Local says. Those of a transaction, which it gets
    wrong, are computed by the rule in DynamoDB's guide: two for each item of up to a kilobyte.
    """
    counts: Counter[str] = Counter()
    events = table.connection.client.meta.events

    def ask(params: dict[str, Any], **_: Any) -> None:
        params["ReturnConsumedCapacity"] = "TOTAL"
        for write in params.get("TransactItems", []):
            assert len(json.dumps(write.get("Put", {}).get("Item", {}))) < ITEM_JSON_MAX
            counts["write units"] += 2

    def count(parsed: dict[str, Any], model: Any, **_: Any) -> None:
        counts["calls"] += 1
        if model.name == "UpdateItem":
            counts["write units"] += int(parsed["ConsumedCapacity"]["CapacityUnits"])

    events.register("provide-client-params.dynamodb.*", ask)
    events.register("after-call.dynamodb.*", count)
    try:
        yield counts
    finally:
        events.unregister("provide-client-params.dynamodb.*", ask)
        events.unregister("after-call.dynamodb.*", count)
