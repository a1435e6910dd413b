"""The deployed table on a DynamoDB that is atomic under concurrency."""

from __future__ import annotations

import boto3
import pytest

from headroom.core.store.table import DynamoTable
from tests.emulator.arena import connect
from tests.template import table_definition

TABLE_NAME = "races"


@pytest.fixture(scope="session")
def races_endpoint(dynamodb_local_endpoint: str) -> str:
    """Where the table `TABLE_NAME` lies."""
    dynamodb = boto3.client("dynamodb", endpoint_url=dynamodb_local_endpoint)
    dynamodb.create_table(**table_definition(TABLE_NAME))
    return dynamodb_local_endpoint


@pytest.fixture(scope="session")
def table(races_endpoint: str) -> DynamoTable:
    """The table, through the client that production uses, with room for all threads."""
    return connect(races_endpoint, TABLE_NAME)
