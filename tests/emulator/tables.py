"""The deployed table on DynamoDB Local, as the application connects to it."""

from __future__ import annotations

from pynamodb.connection import Connection

from headroom.core.store.table import DynamoTable


def table_at(endpoint_url: str, name: str) -> DynamoTable:
    connection = Connection(region="us-east-1", host=endpoint_url, max_retry_attempts=3)
    _ = connection.client
    return DynamoTable(connection, name)
