"""How long the close of one large organization takes: its work should grow with its lines.

python -m tools.bench.closing [--lines 1000000] [--members 10000]

The steps are the deployed functions' own use cases over DynamoDB Local. Shards run in processes of
their own, as many at once as the machine has cores, so that each one's memory is what a function
would need.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
from rich.console import Console
from rich.table import Table as Rows

from headroom.billing.domain.invoice import Terms
from headroom.billing.usecases.invoices import write_invoice
from headroom.billing.usecases.period_close import Shard, begin, seal, total_members, turn_members
from headroom.core.store import keys
from headroom.organizations.domain.organization import Member
from headroom.organizations.store.member_record import MemberRecord
from headroom.pricing.domain.usage import Tokens, Usage, price
from headroom.pricing.price_book import PRICE_BOOK
from headroom.provisioning.usecases.provisioning import provision
from headroom.provisioning.wire.provisioning import parse_provisioning
from headroom.spending.domain.budget import Budget
from headroom.spending.store.budget_record import BudgetRecord
from headroom.spending.store.ledger import UsageLine, put_line
from tools.bench import scene
from tools.dynamodb_local import dynamodb_local
from tools.example_models import MODELS
from tools.progress import follow

NAME = "bench-close"
PERIOD = "2026-11"
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
AFTER = datetime(2026, 12, 1, 0, 6, tzinfo=UTC)
WRITERS = 4
TOGETHER = 25
CLOSE_SECONDS_MAX = 600
MEMORY_MB_MAX = 512


class FolderFiles:
    """Documents in a folder, which the processes share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, name: str, body: bytes, content_type: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)

    def put_stream(self, name: str, chunks: Any, content_type: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as out:
            for chunk in chunks:
                out.write(chunk)

    def get(self, name: str) -> bytes | None:
        path = self.folder / name
        return path.read_bytes() if path.exists() else None

    def size(self, name: str) -> int | None:
        path = self.folder / name
        return path.stat().st_size if path.exists() else None

    def link(self, name: str, filename: str) -> str:
        return (self.folder / name).as_uri()


def main() -> int:
    arguments = _parse()
    console = Console()
    rows = Rows("members", "lines", "close", "lines a second", "peak memory of a step", "loaded in")
    sizes = [size for size in (10_000, 100_000, 1_000_000) if size <= arguments.lines]
    ok = True
    with dynamodb_local() as endpoint_url:
        for size in sizes:
            members = min(arguments.members, size)
            seconds, memory_mb, loading = _measure(console, endpoint_url, members, size)
            ok &= seconds <= CLOSE_SECONDS_MAX and memory_mb <= MEMORY_MB_MAX
            rows.add_row(
                f"{members:,}",
                f"{size:,}",
                f"{seconds:.1f} s",
                f"{size / seconds:,.0f}",
                f"{memory_mb} MB",
                f"{loading:.0f} s",
            )
    console.print(rows)
    console.print(
        f"Bounds: {CLOSE_SECONDS_MAX} s, {MEMORY_MB_MAX} MB: {'kept' if ok else 'NOT KEPT'}."
    )
    return 0 if ok else 1


def _measure(
    console: Console, endpoint_url: str, members: int, lines: int
) -> tuple[float, int, float]:
    """Return the seconds that a close takes, the peak memory of its steps, and the loading."""
    name = f"{NAME}-{lines}"
    table = scene.create_table(endpoint_url, name)
    org_id = provision(table, parse_provisioning(document(name)), NOW)["id"]
    started = time.monotonic()
    charged = load(console, endpoint_url, name, org_id, members, lines)
    loading = time.monotonic() - started
    folder = Path(tempfile.mkdtemp(prefix="headroom-bench-close-"))
    try:
        seconds, memory_mb, billed = _close(console, endpoint_url, name, org_id, folder)
    finally:
        shutil.rmtree(folder)
    boto3.client("dynamodb", endpoint_url=endpoint_url).delete_table(TableName=name)
    assert billed == charged, f"billed {billed}, charged {charged}"
    return seconds, memory_mb, loading


def _close(
    console: Console, endpoint_url: str, name: str, org_id: str, folder: Path
) -> tuple[float, int, int]:
    table = scene.connect(endpoint_url, name)
    files = FolderFiles(folder)
    started = time.monotonic()
    shards = begin(table, org_id, PERIOD, AFTER)
    peak = 0
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        work = [(endpoint_url, name, org_id, str(folder), shard) for shard in shards]
        done = pool.map(_shard, work)
        for memory in follow(done, f"closing {name}", total=len(shards), console=console):
            peak = max(peak, memory)
    closing = seal(table, files, org_id, PERIOD, len(shards), AFTER)
    invoice = write_invoice(table, org_id, PERIOD, AFTER, terms=Terms())
    seconds = time.monotonic() - started
    peak = max(peak, _memory_mb())
    assert closing.charged == invoice.subtotal
    return seconds, peak, invoice.subtotal


def _shard(work: tuple[str, str, str, str, Shard]) -> int:
    """Do the two steps of a shard, as two invocations would; return the memory that it took."""
    endpoint_url, name, org_id, folder, shard = work
    table = scene.connect(endpoint_url, name)
    wait = turn_members(table, org_id, PERIOD, shard, AFTER)
    assert wait is None
    total_members(table, FolderFiles(Path(folder)), org_id, PERIOD, shard)
    return _memory_mb()


def _memory_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def load(
    console: Console, endpoint_url: str, name: str, org_id: str, members: int, lines: int
) -> int:
    """Write members, their budgets and their lines, as a month of use leaves them."""
    client = boto3.client("dynamodb", endpoint_url=endpoint_url)
    charged = 0

    def items() -> Iterator[dict[str, Any]]:
        nonlocal charged
        for number, user_id in enumerate(scene.user_ids(members)):
            own = lines // members + (number < lines % members)
            spent = 0
            for event in range(own):
                item, cost = _line(org_id, user_id, number, event)
                spent += cost
                yield item
            charged += spent
            yield from _member(org_id, user_id, spent)

    def write(batch: list[dict[str, Any]]) -> int:
        wanted: Any = {name: [{"PutRequest": {"Item": item}} for item in batch]}
        while wanted:
            wanted = client.batch_write_item(RequestItems=wanted).get("UnprocessedItems")
        return len(batch)

    def written(pool: ThreadPoolExecutor) -> Iterator[int]:
        pending = []
        for batch in _batches(items()):
            pending.append(pool.submit(write, batch))
            if len(pending) >= 4 * WRITERS:
                yield pending.pop(0).result()
        for each in pending:
            yield each.result()

    total = lines + 2 * members
    with ThreadPoolExecutor(WRITERS) as pool:
        for _ in follow(
            written(pool), f"loading {name}", total=total, console=console, weigh=lambda each: each
        ):
            pass
    return charged


_TEMPLATES: dict[tuple[str, int], tuple[dict[str, Any], int]] = {}


def _line(org_id: str, user_id: str, number: int, event: int) -> tuple[dict[str, Any], int]:
    """Return a line like one of a few hundred, under an id of its own."""
    variety = (number * 7 + event) % 300
    place = org_id, variety
    if place not in _TEMPLATES:
        _TEMPLATES[place] = _template(org_id, variety)
    template, cost = _TEMPLATES[place]
    event_id = f"msg_{number:06d}_{event:08d}"
    at = NOW + timedelta(seconds=event)
    return {
        **template,
        **keys.line(org_id, event_id).attributes(),
        "user_id": {"S": user_id},
        "event_id": {"S": event_id},
        "occurred_at": {"S": f"{at:%Y-%m-%dT%H:%M:%S.%fZ}#{event_id}"},
        "member_period": {"S": keys.lines_of(org_id, user_id, PERIOD)},
    }, cost


def _template(org_id: str, variety: int) -> tuple[dict[str, Any], int]:
    tokens = Tokens(input=1000 + variety * 13, output=100 + variety, cache_read=variety * 100)
    model = MODELS[variety % len(MODELS)]
    priced = price(Usage(tokens), book=PRICE_BOOK, model=model, at=NOW)
    line = UsageLine(
        org_id=org_id,
        user_id="",
        event_id="",
        authorization_id=None,
        digest="0" * 64,
        model=priced.model,
        model_named=model,
        product="claude_code",
        seat_tier="standard",
        source="extra_usage",
        because="no_included_allowance",
        cost=priced.amount_nanos,
        charged=priced.amount_nanos,
        unbilled=0,
        period=PERIOD,
        occurred_at=NOW,
        recorded_at=NOW,
        priced=priced,
        usage={"input_tokens": tokens.input, "output_tokens": tokens.output},
    )
    return put_line(line).item, priced.amount_nanos


def _member(org_id: str, user_id: str, spent: int) -> Iterator[dict[str, Any]]:
    member = Member(
        org_id=org_id,
        user_id=user_id,
        name=user_id,
        email=f"{user_id}@example.com",
        role="member",
        seat_tier="standard",
        admitted=True,
        continues=True,
    )
    key = keys.member(org_id, user_id)
    yield {**key.attributes(), **MemberRecord.from_domain(key, member).to_item()}
    key = keys.budget(org_id, user_id)
    budget = replace(Budget(org_id, user_id, PERIOD, "standard"), spent=spent, granted=spent)
    yield {**key.attributes(), **BudgetRecord.from_domain(key, budget).to_item()}


def _batches(items: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for item in items:
        batch.append(item)
        if len(batch) == TOGETHER:
            yield batch
            batch = []
    if batch:
        yield batch


def document(name: str) -> dict[str, Any]:
    """Return what the organization of a bench is provisioned from."""
    return {
        "id": name,
        "plan": "enterprise",
        "name": "Bench",
        "extra_usage": {"enabled": True},
        "members": [{"name": "Ada", "email": "ada@example.com"}],
    }


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--members", type=int, default=10_000)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
