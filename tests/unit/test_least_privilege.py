"""A role allows what its function's code can lead to: no more, and no less.

That the rights suffice is proved by running, too: the deployed stack of the e2e tests holds each
function to its role. But no test goes down every path, and a right that is missing there fails
only for whoever comes that way first.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.contract.test_handlers_rights import allowed
from tests.reach import ROOT, reachable_modules, reachable_rights
from tests.resolved_template import Resolved
from tests.template import template

FUNCTIONS: dict[str, dict[str, Any]] = {
    name: resource["Properties"]
    for name, resource in template()["Resources"].items()
    if resource["Type"] == "AWS::Serverless::Function"
}
# What the sources lead to, and no request does, with the reason.
NEVER_CALLED = {
    # The code that answers an idempotency key once: no route of these takes one.
    "ServeBilling": {("dynamodb:PutItem", "table"), ("dynamodb:UpdateItem", "table")},
}
# What a handler connects to, and what it may do there.
CONNECTED = {
    "S3Files(": {"s3:GetObject", "s3:PutObject"},
    "SqsQueue(": {"sqs:SendMessage*"},
    "connect_payments(": {"secretsmanager:GetSecretValue"},
    "read_key_of(": {"secretsmanager:GetSecretValue"},
    "SesMailer(": {"ses:SendEmail"},
    "StateMachine(": {"states:StartExecution"},
    "EventBridgeBus(": {"events:PutEvents"},
    "LambdaVersions(": {"lambda:InvokeFunction"},
    "LambdaReloads(": {"lambda:InvokeFunction"},
    "CodeDeploy(": {"codedeploy:PutLifecycleEventHookExecutionStatus"},
    "queue.hide(": {"sqs:ChangeMessageVisibility"},
    # Without it, a file that is not there looks as if it were forbidden.
    "files.size(": {"s3:ListBucket"},
}
EVERYONE = {"logs:CreateLogStream", "logs:PutLogEvents"} | {
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
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
def test_a_role_is_of_one_function_and_allows_just_what_its_code_can_reach(name: str) -> None:
    reached = reachable_rights(handler_of(name))
    never = NEVER_CALLED.get(name, set())

    assert [other for other in FUNCTIONS if role_of(other) == role_of(name)] == [name]
    assert never <= reached
    assert allowed(role_of(name)) == reached - never


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_role_opens_what_its_handler_connects_to_and_nothing_else(name: str) -> None:
    text = handler_of(name).read_text()
    connected = {
        action for called, actions in CONNECTED.items() if called in text for action in actions
    }
    # Where its failures are parked: of invocations that nobody waits for, and of a stream.
    if "DeadLetterQueue" in FUNCTIONS[name] or "DynamoDB" in triggers_of(name):
        connected.add("sqs:SendMessage")
    others = {each for each in actions_of(name) if each.split(":")[0] != "dynamodb"}

    assert others - EVERYONE - CONSUMED == connected


def test_a_function_whose_keyed_answers_are_never_filed_has_no_route_that_takes_a_key() -> None:
    for name in NEVER_CALLED:
        assert "once=True" not in handler_of(name).read_text()


def test_mail_is_sent_under_a_default_configuration_set_too() -> None:
    """SES asks for a right to the configuration set of the identity, if that has one.

    https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsimpleemailservicev2.html
    """
    stack = Resolved(Stage="prod", MailSender="billing@mail.example.com")
    (policy,) = stack.resources("AWS::IAM::Role")["NotifyPeopleRole"]["Policies"]
    (resources,) = [
        statement["Resource"]
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Action"] == "ses:SendEmail"
    ]
    arn = "arn:aws:ses:us-east-1:123456789012:"

    assert set(resources) == {
        f"{arn}configuration-set/*",
        f"{arn}identity/billing@mail.example.com",
        f"{arn}identity/mail.example.com",
    }


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_role_allows_what_its_triggers_need_and_no_other_triggers_rights(name: str) -> None:
    actions, triggers = actions_of(name), triggers_of(name)

    assert actions >= CONSUMED if "SQS" in triggers else not CONSUMED & actions
    assert actions >= STREAMED if "DynamoDB" in triggers else not STREAMED & actions
    if "events:PutEvents" in actions:
        assert "headroom.core.gateways.bus" in reachable_modules(handler_of(name))


def test_who_may_look_may_not_write() -> None:
    written = {"PutItem", "UpdateItem", "DeleteItem", "ConditionCheckItem", "BatchWriteItem"}

    assert not {f"dynamodb:{action}" for action in written} & actions_of("ShowConsoleWidget")


def test_the_reading_of_the_sources_finds_what_is_there() -> None:
    """Else the tests above would compare with everything, or fail for nothing."""
    digest = reachable_rights(ROOT / "functions" / "digest_requests" / "handler.py")

    assert digest == {("dynamodb:Query", "by_due"), ("dynamodb:PutItem", "table")}
