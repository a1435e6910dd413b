"""No role allows what its function's code cannot lead to.

That the rights suffice is proved elsewhere, by running: the deployed stack of the e2e tests holds
each function to its role.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.contract.test_handlers_rights import allowed
from tests.reach import ROOT, reachable_modules, reachable_rights
from tests.template import template

FUNCTIONS: dict[str, dict[str, Any]] = {
    name: resource["Properties"]
    for name, resource in template()["Resources"].items()
    if resource["Type"] == "AWS::Serverless::Function"
}
CONSUMED = {"sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"}
STREAMED = {
    "dynamodb:DescribeStream",
    "dynamodb:GetRecords",
    "dynamodb:GetShardIterator",
    "dynamodb:ListStreams",
}


def handler_of(name: str) -> Path:
    return ROOT / str(FUNCTIONS[name]["CodeUri"]) / "handler.py"


def role_of(name: str) -> str:
    role: str = FUNCTIONS[name]["Role"]["Fn::GetAtt"].removesuffix(".Arn")
    return role


def actions_of(name: str) -> set[str]:
    (policy,) = template()["Resources"][role_of(name)]["Properties"]["Policies"]
    actions: set[str] = set()
    for statement in policy["PolicyDocument"]["Statement"]:
        listed = statement["Action"]
        actions |= {listed} if isinstance(listed, str) else set(listed)
    return actions


def triggers_of(name: str) -> set[str]:
    return {event["Type"] for event in FUNCTIONS[name].get("Events", {}).values()}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_role_is_of_one_function_and_allows_only_what_its_code_can_reach(name: str) -> None:
    assert [other for other in FUNCTIONS if role_of(other) == role_of(name)] == [name]
    assert allowed(role_of(name)) <= reachable_rights(handler_of(name))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_role_allows_what_its_triggers_need_and_no_other_triggers_rights(name: str) -> None:
    actions, triggers = actions_of(name), triggers_of(name)

    assert actions >= CONSUMED if "SQS" in triggers else not CONSUMED & actions
    assert actions >= STREAMED if "DynamoDB" in triggers else not STREAMED & actions
    if "events:PutEvents" in actions:
        assert "headroom.gateways.bus" in reachable_modules(handler_of(name))


def test_who_may_look_may_not_write() -> None:
    written = {"PutItem", "UpdateItem", "DeleteItem", "ConditionCheckItem", "BatchWriteItem"}

    assert not {f"dynamodb:{action}" for action in written} & actions_of("ShowConsoleWidget")


def test_the_reading_of_the_sources_finds_what_is_there() -> None:
    """Else the tests above would compare with everything, or fail for nothing."""
    digest = reachable_rights(ROOT / "functions" / "digest_requests" / "handler.py")

    assert digest == {("dynamodb:Query", "by_due"), ("dynamodb:PutItem", "table")}
