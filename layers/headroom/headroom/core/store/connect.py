"""The one place where a function meets DynamoDB."""

from __future__ import annotations

from typing import Final

from botocore.config import Config
from pynamodb.connection import Connection

from headroom.core.settings import Settings
from headroom.core.store.table import DynamoTable

# A request that hangs is worse than one that is tried again: every write can be repeated.
CONNECT_TIMEOUT_SECONDS: Final = 1.0
READ_TIMEOUT_SECONDS: Final = 3.0
RETRIES_MAX: Final = 3

# Botocore's own would be put together anew for every request, a tenth of all that a call costs.
USER_AGENT: Final = "headroom"


def connect(settings: Settings) -> DynamoTable:
    """Return the table, with its client already made, so that no request waits for it."""
    connection = Connection(
        region=settings.region,
        connect_timeout_seconds=CONNECT_TIMEOUT_SECONDS,
        read_timeout_seconds=READ_TIMEOUT_SECONDS,
        max_retry_attempts=RETRIES_MAX,
    )
    connection.session.set_default_client_config(Config(user_agent=USER_AGENT))
    _ = connection.client
    return DynamoTable(connection, settings.table_name)
