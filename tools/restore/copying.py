"""A table restored from a backup, dressed as the template dresses the one it stands for."""

from __future__ import annotations

import time
from typing import Any, Final

from headroom.core.store.receipts import ReceiptRecord

PATIENCE_SECONDS: Final = 3600
POLL_SECONDS: Final = 2


def back_up(client: Any, table_name: str, backup_name: str) -> str:
    """Take a copy of a table as it is now, and return the copy's ARN when it can be restored."""
    answer = client.create_backup(TableName=table_name, BackupName=backup_name)
    arn: str = answer["BackupDetails"]["BackupArn"]
    _wait(
        lambda: (
            client.describe_backup(BackupArn=arn)["BackupDescription"]["BackupDetails"][
                "BackupStatus"
            ]
            == "AVAILABLE"
        ),
        "the backup",
    )
    return arn


def restore(client: Any, backup_arn: str, table_name: str) -> None:
    """Make a table out of a backup, and return when it answers."""
    client.restore_table_from_backup(TargetTableName=table_name, BackupArn=backup_arn)
    _wait(
        lambda: client.describe_table(TableName=table_name)["Table"]["TableStatus"] == "ACTIVE",
        "the table",
    )


def dress(client: Any, model_name: str, table_name: str) -> None:
    """Give a restored table what a backup does not contain: expiry, stream, recovery, protection.

    Indexes and items come with the backup; these are as they are of the table `model_name`.
    """
    model = client.describe_table(TableName=model_name)["Table"]
    client.update_time_to_live(
        TableName=table_name,
        TimeToLiveSpecification={
            "Enabled": True,
            "AttributeName": ReceiptRecord.expires_at.attr_name,
        },
    )
    present = client.describe_table(TableName=table_name)["Table"]
    if not present.get("StreamSpecification", {}).get("StreamEnabled"):
        client.update_table(TableName=table_name, StreamSpecification=model["StreamSpecification"])
        _wait(
            lambda: client.describe_table(TableName=table_name)["Table"]["TableStatus"] == "ACTIVE",
            "the stream",
        )
    client.update_continuous_backups(
        TableName=table_name,
        PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
    )
    # ministack 1.5 says "false", in text.
    protected = str(model.get("DeletionProtectionEnabled", False)).lower() == "true"
    client.update_table(TableName=table_name, DeletionProtectionEnabled=protected)


def discard(client: Any, backup_arn: str, table_name: str) -> None:
    """Remove what a rehearsal made."""
    client.update_table(TableName=table_name, DeletionProtectionEnabled=False)
    client.delete_table(TableName=table_name)
    client.delete_backup(BackupArn=backup_arn)


def _wait(is_so: Any, what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} was not ready in {PATIENCE_SECONDS} s")
        time.sleep(POLL_SECONDS)
