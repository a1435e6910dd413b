"""What the functions ask of AWS is just what their roles in the template allow."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from functions.authorize_spend import handler as authorize_spend
from functions.ingest_usage import handler as ingest_usage
from functions.provision_organization import handler as provision_organization
from functions.sweep_holds import handler as sweep_holds
from headroom.core.store import keys
from headroom.core.store.table import Delete
from headroom.limits.usecases.settings import change_organization
from headroom.organizations.store.closings import last_closings
from headroom.organizations.store.organizations import find_organization
from headroom.pricing.domain.pricing_terms import PricingTerms
from headroom.spending.store.ledger import find_line
from headroom.spending.usecases.authorizations import authorize
from headroom.spending.usecases.grants import Hints
from headroom.spending.usecases.usage_events import record
from headroom.spending.wire.authorizations import parse_authorization_request
from headroom.spending.wire.usage_events import parse_event
from tests.in_process import Application, Organization, sample, sample_body, usage_event
from tests.template import template

# An action and what it is asked of: the table, or one of its indexes.
Right = tuple[str, str]

# A transaction is allowed by the actions inside it.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html
INSIDE = {
    "Get": "GetItem",
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
}


def needed(operation: str, arguments: dict[str, Any]) -> set[Right]:
    """Return the rights that a call of DynamoDB needs."""
    if operation in ("TransactGetItems", "TransactWriteItems"):
        return {
            (f"dynamodb:{INSIDE[kind]}", "table")
            for part in arguments["TransactItems"]
            for kind in part
        }
    return {(f"dynamodb:{operation}", arguments.get("IndexName", "table"))}


def allowed(role: str) -> set[Right]:
    """Return the rights on the table that a role of the template has."""
    (policy,) = template()["Resources"][role]["Properties"]["Policies"]
    rights: set[Right] = set()
    for statement in policy["PolicyDocument"]["Statement"]:
        assert statement["Effect"] == "Allow"
        match statement["Resource"]:
            case {"Fn::GetAtt": "Table.Arn"}:
                place = "table"
            case {"Fn::Sub": str() as arn} if arn.startswith("${Table.Arn}/index/"):
                place = arn.removeprefix("${Table.Arn}/index/")
            case _:
                continue
        actions = statement["Action"]
        rights |= {
            (action, place) for action in ([actions] if isinstance(actions, str) else actions)
        }
    return rights


@contextmanager
def rights_used(module: Any) -> Iterator[set[Right]]:
    """Gather the rights that a function's calls need."""
    used: set[Right] = set()
    events = cast("Any", module.table.connection.client).meta.events

    def gather(params: dict[str, Any], event_name: str, **_: Any) -> None:
        used.update(needed(event_name.rpartition(".")[2], params))

    events.register("provide-client-params.dynamodb.*", gather)
    try:
        yield used
    finally:
        events.unregister("provide-client-params.dynamodb.*", gather)


def held_long_ago(app: Application, organization: Organization, name: str) -> str:
    settings = find_organization(app.table, organization.id)
    assert settings is not None
    body = sample_body("authorize_spend/create_authorization") | {"user_id": f"user_{name}"}
    asked = parse_authorization_request(body | {"ttl_seconds": 1, "web_search_requests": 0})
    long_ago = datetime.now(UTC) - timedelta(minutes=30)
    held = authorize(app.table, Hints(), settings, asked, long_ago, entropy=bytes(6))
    return str(held["id"])


def leave_something_idle(app: Application, organization: Organization) -> None:
    """Let a member have an allotment that another one's request needs."""
    app.release(organization.service_key, app.held(organization, max_tokens=1))
    assert app.budget(organization).allotment > 0


def authorize_everything(app: Application, acme: Organization) -> None:
    leave_something_idle(app, acme)
    whole = (50_000 * 10_000_000 - 92_000_000) // 15_000
    authorization_id = app.held(acme, user_id="user_emil", max_tokens=whole, min_tokens=whole - 1)
    assert app.budget(acme).allotment == 0
    app.extend(acme.service_key, authorization_id, {"ttl_seconds": 1200})
    app.release(acme.service_key, authorization_id)
    app.authorize(acme, idempotency_key="a-key")


def ingest_everything(app: Application, acme: Organization) -> None:
    leave_something_idle(app, acme)
    whole = 50_000 * 10_000_000 // 15_000
    usage = {"input_tokens": 0, "output_tokens": whole}
    event = usage_event("msg_1", user_id="user_emil", usage=usage)
    assert app.take(json.dumps({"organization_id": acme.id, "events": [event]})) == []
    assert app.budget(acme).allotment == 0
    app.record(acme, usage_event("msg_2", app.held(acme, user_id="user_ben"), user_id="user_ben"))


def wait_for_a_price(app: Application, acme: Organization) -> None:
    """Leave usage that has a price by now, and needs what another member has idle."""
    leave_something_idle(app, acme)
    profile = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"
    usage = {"input_tokens": 0, "output_tokens": 50_000 * 10_000_000 // 15_000}
    came_at = datetime.now(UTC) - timedelta(hours=1)
    raw = usage_event("msg_waits", user_id="user_emil", model=profile, usage=usage)
    event = parse_event(raw | {"occurred_at": came_at.isoformat()}, came_at)
    organization = find_organization(app.table, acme.id)
    assert organization is not None
    kept = record(app.table, Hints(), organization, event, came_at)
    assert kept["source"] == "unpriced"
    terms = PricingTerms(model_aliases={profile: "claude-sonnet-4-6"})
    change_organization(
        app.table, acme.id, lambda old: replace(old, pricing=terms), datetime.now(UTC)
    )


def sweep_everything(app: Application, acme: Organization) -> None:
    for name in ("ada", "ben", "emil"):
        held_long_ago(app, acme, name)
    # As an organization from before periods were closed.
    for closing in last_closings(app.table, acme.id, limit=9):
        app.table.transact([Delete(keys.closing(acme.id, closing.period))])
    app.sweep()
    app.sweep()
    assert not any(app.budget(acme, name).registered for name in ("ada", "ben", "emil"))
    assert last_closings(app.table, acme.id, limit=9)
    wait_for_a_price(app, acme)
    app.sweep()
    line = find_line(app.table, acme.id, "msg_waits")
    assert line is not None
    assert line.source != "unpriced"


def provision_everything(app: Application, acme: Organization) -> None:
    for _ in range(2):
        app.invoke_provisioning(sample("provision_organization/organization"))


@pytest.mark.parametrize(
    ("module", "role", "work"),
    [
        (authorize_spend, "AuthorizeSpendRole", authorize_everything),
        (ingest_usage, "IngestUsageRole", ingest_everything),
        (sweep_holds, "SweepHoldsRole", sweep_everything),
        (provision_organization, "ProvisionOrganizationRole", provision_everything),
    ],
    ids=["authorize_spend", "ingest_usage", "sweep_holds", "provision_organization"],
)
def test_a_role_allows_what_its_function_does_and_nothing_else(
    app: Application, module: Any, role: str, work: Callable[[Application, Organization], None]
) -> None:
    members = sample("provision_organization/organization")["members"]
    members[-1] |= {"user_id": "user_emil", "continue_with_extra_usage": True}
    acme = app.provision(members=members, spend_limit=None, wallet={"balance": "50000"})

    with rights_used(module) as used:
        work(app, acme)

    assert used == allowed(role)


def test_no_statement_allows_everything() -> None:
    for name, resource in template()["Resources"].items():
        if resource["Type"] != "AWS::IAM::Role":
            continue
        for policy in resource["Properties"].get("Policies", []):
            for statement in policy["PolicyDocument"]["Statement"]:
                actions = statement["Action"]
                actions = [actions] if isinstance(actions, str) else actions
                # One right at AWS, which the local emulator knows under two names.
                named = [action for action in actions if action != "sqs:SendMessage*"]
                assert not any("*" in action for action in named), name
                if statement["Resource"] == "*":
                    # Those that have no resource to name.
                    assert set(actions) <= {
                        "dynamodb:ListStreams",
                        "logs:CreateLogDelivery",
                        "logs:DeleteLogDelivery",
                        "logs:DescribeLogGroups",
                        "logs:DescribeResourcePolicies",
                        "logs:GetLogDelivery",
                        "logs:ListLogDeliveries",
                        "logs:PutResourcePolicy",
                        "logs:UpdateLogDelivery",
                        "xray:PutTelemetryRecords",
                        "xray:PutTraceSegments",
                    }, name
