"""The DynamoDB of the fast tests answers whole histories as the table in memory does."""

from __future__ import annotations

import boto3
import pytest
from moto import mock_aws
from pynamodb.connection import Connection

from headroom.core.store.table import DynamoTable
from tests.histories import live
from tests.mirror_table import MirrorTable
from tests.template import table_definition
from tests.world import World


@pytest.mark.parametrize("seed", [100, 101])
def test_moto_and_the_table_in_memory_tell_the_same_history(seed: int) -> None:
    with mock_aws():
        boto3.client("dynamodb").create_table(**table_definition("contract"))
        table = MirrorTable(DynamoTable(Connection(region="us-east-1"), "contract"))
        live(World(seed, table))
        table.compare_all()
        assert table.compared > 150
