"""Amazon's DynamoDB answers every operation of whole histories as the table in memory does."""

from __future__ import annotations

import boto3
import pytest
from pynamodb.connection import Connection

from headroom.store.table import DynamoTable, Key, Put, Range
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
