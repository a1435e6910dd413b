"""What has one capacity for all: a stream's readers, and an account's parallel invocations."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.in_process import sample
from tests.template import template

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
