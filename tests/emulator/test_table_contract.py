"""Amazon's DynamoDB answers every operation of whole histories as the table in memory does."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from pynamodb.connection import Connection
from pynamodb.expressions.condition import size

from headroom.core.store.table import DynamoTable, Key, Put, Range, Refused, Update
from headroom.spending.store.budget_record import BudgetRecord, answer_path
from tests.histories import live
from tests.mirror_table import MirrorTable
from tests.template import table_definition
from tests.world import World


@pytest.fixture(scope="module")
def dynamo(dynamodb_local_endpoint: str) -> DynamoTable:
    name = "contract"
    client = boto3.client("dynamodb", endpoint_url=dynamodb_local_endpoint)
    client.create_table(**table_definition(name))
    return DynamoTable(Connection(region="us-east-1", host=dynamodb_local_endpoint), name)


@pytest.mark.parametrize("seed", range(6))
def test_dynamodb_and_the_table_in_memory_tell_the_same_history(
    dynamo: DynamoTable, seed: int
) -> None:
    """Answers, refusals with the items that refused, and in the end every item."""
    table = MirrorTable(dynamo)
    world = World(seed, table)
    live(world)
    table.compare_all()
    assert table.compared > 150


def test_a_range_is_counted_over_all_its_pages(dynamo: DynamoTable) -> None:
    """A page ends at a megabyte."""
    table = MirrorTable(dynamo)
    for number in range(5):
        table.transact([Put(Key("COUNTED", f"{number}"), {"text": {"S": "x" * 300_000}})])
    assert len(dynamo.query(Range("COUNTED")).items) < 5
    assert table.count(Range("COUNTED")) == 5
    assert table.count(Range("COUNTED", prefix="3")) == 1


def test_a_query_goes_on_behind_every_key_that_its_range_admits(dynamo: DynamoTable) -> None:
    """And behind those that it does not admit it mostly fails: that would be a 500."""
    values = ["KEY#1", "KEY#", "KEY$", "A", "é", "x" * 1024, "x" * 1025, "KEY#" + "é" * 511, ""]
    ranges = [
        Range("P"),
        Range("P", prefix="KEY#"),
        Range("P", prefix="KEY#", descending=True),
        Range("P", index="by_member", descending=True),
    ]
    admitted = failed = 0
    for range_ in ranges:
        for value in values:
            starts: list[Any] = [
                {"pk": {"S": "P"}, "sk": {"S": value}},
                {"pk": {"S": "Q"}, "sk": {"S": value}},
                {"pk": {"S": "P"}, "sk": {"N": "1"}},
                {"pk": {"S": "P"}},
            ]
            starts += [
                {**start, "member_period": {"S": partition}, "occurred_at": {"S": value}}
                for start in starts
                for partition in ("P", "Q")
            ]
            for start in starts:
                if range_.goes_on_behind(start):
                    admitted += 1
                    assert dynamo.query(range_, limit=1, start=start).items == ()
                else:
                    try:
                        dynamo.query(range_, limit=1, start=start)
                    except ClientError:
                        failed += 1
    assert admitted > 20
    assert failed > 100


def test_a_map_that_a_budget_lacks_refuses_the_write_into_it(dynamo: DynamoTable) -> None:
    """A release that knows of no answers may have written the budget since it was looked at."""
    table, key = MirrorTable(dynamo), Key("BARE", "BUDGET")
    table.transact([Put(key, {"epoch": {"N": "1"}})])
    few = size(BudgetRecord.answers) < 5  # type: ignore[no-untyped-call]
    unanswered = answer_path("place").does_not_exist() & few

    with pytest.raises(Refused):
        table.update(Update(key, [answer_path("place").set("an answer")], unanswered))
