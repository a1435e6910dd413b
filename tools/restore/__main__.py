"""`make rehearse-restore`: back the table up, restore it beside itself, prove it, remove it.

Against the local stack, or with `--table NAME` against AWS as the environment's credentials allow.
The table itself is only read.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
from rich.console import Console

from headroom.core.store.table import Item
from tools.local_stack.emulator import HOME
from tools.restore.copying import back_up, discard, dress, restore
from tools.restore.ledger import read
from tools.restore.proof import findings

console = Console(highlight=False)


def main() -> int:
    """Rehearse, and return 1 if what was restored does not keep its promises."""
    parser = argparse.ArgumentParser(prog="make rehearse-restore")
    parser.add_argument("--table", help="the table's name; without it, the local stack's")
    parser.add_argument("--keep", action="store_true", help="keep the restored table")
    asked = parser.parse_args()
    client, table_name = _connect(asked.table)
    name = f"{table_name}-rehearsal-{datetime.now(UTC):%Y%m%d%H%M%S}"
    arn = _step("Back up", lambda: back_up(client, table_name, name))
    _step(f"Restore as {name}", lambda: restore(client, arn, name))
    _step("Expiry, stream, recovery, protection", lambda: dress(client, table_name, name))
    ledger = _step("Read what was restored", lambda: read(_items(client, name)))
    wrong = list(findings(ledger))
    for each in wrong:
        console.print(f"[red]{each}[/red]")
    if not asked.keep:
        _step("Remove it", lambda: discard(client, arn, name))
    console.print(
        f"{len(ledger.organizations)} organizations, {ledger.lines:,} usage lines: "
        + (
            f"[red]{len(wrong)} findings[/red]"
            if wrong
            else "ledger, counters, wallets and documents agree"
        )
    )
    return 1 if wrong else 0


def _connect(table_name: str | None) -> tuple[Any, str]:
    if table_name is not None:
        return boto3.client("dynamodb"), table_name
    stack = HOME / "stack.json"
    if not stack.is_file():
        sys.exit("There is no local stack. Start it with: make up")
    described = json.loads(stack.read_text())
    client = boto3.client(
        "dynamodb",
        endpoint_url=described["aws_endpoint_url"],
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - the emulator takes any
    )
    return client, described["table_name"]


def _items(client: Any, table_name: str) -> Iterator[Item]:
    for page in client.get_paginator("scan").paginate(TableName=table_name, ConsistentRead=True):
        yield from page["Items"]


def _step(name: str, work: Any) -> Any:
    started = time.monotonic()
    console.print(f"  {name} ... ", end="")
    done = work()
    console.print(f"{time.monotonic() - started:.1f} s")
    return done


if __name__ == "__main__":
    sys.exit(main())
