"""What has one capacity for all: a stream's readers, and an account's parallel invocations."""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.in_process import sample
from tests.template import TEMPLATE, template

# AWS: "No more than two processes should read from a stream's shard"; more are throttled.
STREAM_READERS_MAX = 2
# What a grown account has, of which Lambda keeps this much for whoever reserved nothing.
ACCOUNT, UNRESERVED = 1_000, 100

FUNCTIONS: dict[str, dict[str, Any]] = {
    name: resource["Properties"]
    for name, resource in template()["Resources"].items()
    if resource["Type"] == "AWS::Serverless::Function"
}


def sources(kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, function in FUNCTIONS.items():
        for event in function.get("Events", {}).values():
            if event["Type"] == kind:
                yield name, event["Properties"]


def test_no_stream_has_more_readers_than_aws_serves() -> None:
    readers = Counter(json.dumps(source["Stream"]) for _, source in sources("DynamoDB"))
    # A mapping that is a resource of its own, or a table's export, reads as well.
    kinds = {resource["Type"] for resource in template()["Resources"].values()}

    assert readers
    assert max(readers.values()) <= STREAM_READERS_MAX
    assert not kinds & {"AWS::Lambda::EventSourceMapping", "AWS::Pipes::Pipe"}


def test_who_reads_every_change_reads_most_at_once() -> None:
    parallel = {
        name: source.get("ParallelizationFactor", 1) for name, source in sources("DynamoDB")
    }

    assert parallel == {"FollowSpend": 10, "PublishEvents": 1}


@pytest.mark.parametrize(
    ("function", "example"),
    [
        ("FollowSpend", "follow_spend/budget_changed"),
        ("PublishEvents", "publish_events/limit_changed"),
        ("PublishEvents", "publish_events/wallet_crossed"),
    ],
)
def test_a_reader_is_given_what_it_is_for_and_only_it_is(function: str, example: str) -> None:
    (record,) = sample(example)["Records"]
    given = {
        name
        for name, source in sources("DynamoDB")
        for each in source["FilterCriteria"]["Filters"]
        if passes(json.loads(each["Pattern"]), record)
    }

    assert given == {function}


def passes(pattern: dict[str, Any], found: Any) -> bool:
    """As Lambda filters, for the patterns that the template uses."""
    for name, wanted in pattern.items():
        value = found.get(name) if isinstance(found, dict) else None
        if isinstance(wanted, dict):
            if not passes(wanted, value):
                return False
        elif not any(matches(each, value) for each in wanted):
            return False
    return True


def matches(wanted: Any, value: Any) -> bool:
    match wanted:
        case {"exists": True}:
            return value is not None
        case {"prefix": str(start)}:
            return isinstance(value, str) and value.startswith(start)
    return bool(wanted == value)


class Deployed:
    """What the template comes to with some parameters; the others have their defaults."""

    def __init__(self, **parameters: str) -> None:
        declared = template()["Parameters"]
        assert parameters.keys() <= declared.keys()
        defaults = {name: each["Default"] for name, each in declared.items()}
        self.parameters = {name: str(value) for name, value in (defaults | parameters).items()}

    def holds(self, condition: Any) -> bool:
        ((function, operand),) = condition.items()
        match function:
            case "Condition":
                return self.holds(template()["Conditions"][operand])
            case "Fn::Equals":
                first, second = (self.value(each) for each in operand)
                return str(first) == str(second)
            case "Fn::Not":
                return not self.holds(operand[0])
            case "Fn::And":
                return all(self.holds(each) for each in operand)
            case "Fn::Or":
                return any(self.holds(each) for each in operand)
        raise AssertionError(f"unknown condition {function}")

    def value(self, node: Any) -> Any:
        match node:
            case {"Ref": "AWS::NoValue"}:
                return None
            case {"Ref": name}:
                return self.parameters[name]
            case {"Fn::If": [condition, then, otherwise]}:
                return self.value(then if self.holds({"Condition": condition}) else otherwise)
            case {"Fn::FindInMap": [mapping, key, name]}:
                return template()["Mappings"][mapping][self.value(key)][name]
        return node

    def reserved(self) -> dict[str, int]:
        found = {
            name: self.value(function.get("ReservedConcurrentExecutions"))
            for name, function in FUNCTIONS.items()
        }
        return {name: int(value) for name, value in found.items() if value is not None}


# Whoever answers a request about money, so that nothing else of the account takes their place.
REQUEST_PATH = {"AuthorizeSpend", "IngestUsage"}


def test_production_keeps_invocations_for_requests_unless_told_otherwise() -> None:
    reserved = Deployed(Stage="prod").reserved()

    assert {name: reserved[name] for name in REQUEST_PATH} == dict.fromkeys(REQUEST_PATH, 300)
    assert sum(reserved.values()) <= ACCOUNT - UNRESERVED


def test_whoever_is_called_as_often_as_there_are_organizations_has_a_most() -> None:
    """At the first of a month that is a million times: by a state machine, a rule or a queue."""
    resources = template()["Resources"].values()
    text = [
        json.dumps(resource["Properties"].get("Definition") or resource["Properties"]["Targets"])
        for resource in resources
        if resource["Type"] in ("AWS::StepFunctions::StateMachine", "AWS::Events::Rule")
    ]
    called = {name for name in FUNCTIONS if any(f'"{name}.Arn"' in each for each in text)}
    reserved = Deployed(Stage="prod").reserved()

    assert called == {"InvoiceOrganization", "NotifyPeople"}
    assert called | REQUEST_PATH == reserved.keys()


def most_at_once(deployed: Deployed) -> dict[str, int]:
    """How many batches of its queue each function takes at the same time."""
    most = {
        name: deployed.value(source["ScalingConfig"]["MaximumConcurrency"])
        for name, source in sources("SQS")
    }
    assert len(most) == 5
    # A whole number of the mapping: the emulator takes no parameter.
    assert {type(value) for value in most.values()} == {int}
    return most


@pytest.mark.parametrize("stage", ["local", "dev", "prod"])
def test_every_queue_has_a_most_that_leaves_room(stage: str) -> None:
    deployed = Deployed(Stage=stage)
    reserved = deployed.reserved()

    shared = sum(value for name, value in most_at_once(deployed).items() if name not in reserved)
    assert shared + sum(reserved.values()) <= ACCOUNT - UNRESERVED


@pytest.mark.parametrize("stage", ["local", "dev", "prod"])
@pytest.mark.parametrize("requests", ["stage", "0", *map(str, range(1, 120)), "300", "1000"])
def test_no_number_that_may_be_kept_is_used_up_by_a_queue(stage: str, requests: str) -> None:
    """What a queue is refused counts as tried, and ends as a dead letter."""
    parameters = template()["Parameters"]
    if not re.fullmatch(parameters["AuthorizeReservedConcurrency"]["AllowedPattern"], requests):
        assert int(requests) < 100
        return
    least = parameters["ClosingConcurrency"]["MinValue"]
    for closing in (*range(least, 60), 1120):
        deployed = Deployed(
            Stage=stage, AuthorizeReservedConcurrency=requests, ClosingConcurrency=str(closing)
        )
        reserved = deployed.reserved()
        for name, value in most_at_once(deployed).items():
            assert value >= 2, "AWS takes no less"
            # The same function does what the queue only begins, or answers requests as well.
            assert name not in reserved or value <= reserved[name] / 2, (name, closing)


@pytest.mark.parametrize("stage", ["local", "dev", "prod"])
def test_an_account_with_ten_invocations_gets_nothing_reserved(stage: str) -> None:
    """Lambda refuses to reserve what leaves fewer than it keeps for all others."""
    assert Deployed(Stage=stage, AuthorizeReservedConcurrency="0").reserved() == {}
    assert (Deployed(Stage=stage).reserved() == {}) is (stage != "prod")


@pytest.mark.parametrize("stage", ["dev", "prod"])
def test_a_number_is_what_is_kept_wherever_it_is_given(stage: str) -> None:
    deployed = Deployed(Stage=stage, AuthorizeReservedConcurrency="140", ClosingConcurrency="8")
    reserved = deployed.reserved()

    assert {name: reserved[name] for name in REQUEST_PATH} == dict.fromkeys(REQUEST_PATH, 140)
    assert reserved["InvoiceOrganization"] == 8


def test_the_budget_of_closes_is_one_parameter() -> None:
    (pace,) = (
        function["Environment"]["Variables"]["CLOSING_CONCURRENCY"]
        for function in FUNCTIONS.values()
        if "CLOSING_CONCURRENCY" in function["Environment"]["Variables"]
    )
    assert pace == {"Ref": "ClosingConcurrency"}
    assert int(Deployed(ClosingConcurrency="8").value(pace)) == 8
    definition = template()["Resources"]["ClosingMachine"]["Properties"]["Definition"]
    for name in ("Members", "ManyMembers"):
        # One large organization does not take the whole budget.
        at_once = definition["States"][name]["MaxConcurrency"]
        assert at_once <= template()["Parameters"]["ClosingConcurrency"]["Default"] / 4


def test_no_environment_switches_off_what_production_keeps() -> None:
    config = tomllib.loads((TEMPLATE.parent / "samconfig.toml").read_text())
    overrides = config["prod"]["deploy"]["parameters"]["parameter_overrides"]
    parameters = dict(each.split("=", 1) for each in overrides)

    assert Deployed(**parameters).reserved() == Deployed(Stage="prod").reserved()
