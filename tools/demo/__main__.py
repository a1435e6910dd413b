"""Replay usage through the deployed API, report what became of it, and prove the books.

`make demo` brings the stack up first. From the environment:

  TRACE     a CSV trace, or a folder of Claude Code transcripts; else usage is generated
  REQUESTS  how many requests to replay, or "all" of the trace; 1,000 by default
  CLIENTS   how many clients send at a time; 6 by default
  SEED      which usage is generated, and who makes which request; 1 by default
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast

import boto3
from botocore.exceptions import BotoCoreError
from rich.console import Console
from rich.text import Text

from headroom.core.errors import Overloaded
from headroom.core.settings import Settings
from headroom.core.store.connect import connect
from headroom.core.store.table import Table
from headroom.organizations.domain.organization import Member
from headroom.spending.store.line_record import LineRecord
from tools.demo.books import BooksMoving, find_lines, read_books, read_counters
from tools.demo.client import Api
from tools.demo.dealing import Person, Task, deal
from tools.demo.progress import ReplayProgress
from tools.demo.proof import prove
from tools.demo.reloading import Reloading
from tools.demo.replay import replay, warm_up
from tools.demo.report import WIDTH_MAX, Run, print_report
from tools.demo.traces import Trace, TraceUnreadable, open_trace, said_of_refusal
from tools.demo.writes import StreamsClient, WriteCounter
from tools.example_models import MODEL
from tools.local_stack.emulator import HOME, clean_environment
from tools.progress import follow

STACK_FILE: Final = HOME / "stack.json"
REQUESTS_DEFAULT: Final = 1000
CLIENTS_DEFAULT: Final = 6
CLIENTS_MAX: Final = 64


class BadSetting(Exception):
    """A variable of the environment that cannot be meant; the message names it."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What the environment chose. No number of requests means all there are."""

    trace: Path | None
    requests_max: int | None
    clients: int
    seed: int

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> Choices:
        """Read the choices.

        Raises:
            BadSetting: one of them is no number, or out of range.
        """
        trace = environment.get("TRACE")
        wanted = environment.get("REQUESTS") or str(REQUESTS_DEFAULT)
        return cls(
            trace=Path(trace).expanduser() if trace else None,
            requests_max=None if wanted == "all" else _whole("REQUESTS", wanted, 1, 10_000_000),
            clients=_whole(
                "CLIENTS", environment.get("CLIENTS") or str(CLIENTS_DEFAULT), 1, CLIENTS_MAX
            ),
            seed=_whole("SEED", environment.get("SEED") or "1", 0, 2**63),
        )


def main() -> int:
    console = Console(highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH_MAX)
    try:
        choices = Choices.from_env(os.environ)
        trace = open_trace(choices.trace, requests_max=choices.requests_max, seed=choices.seed)
        stack = json.loads(STACK_FILE.read_text())
    except (BadSetting, TraceUnreadable) as problem:
        print(problem, file=sys.stderr)
        return 2
    except FileNotFoundError:
        print(f"{STACK_FILE} is missing; `make up` writes it", file=sys.stderr)
        return 2
    try:
        run = _run(console, stack, trace, choices)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    except (BotoCoreError, Overloaded) as problem:
        print(f"The stack does not answer; `make up` starts it. {problem}", file=sys.stderr)
        return 1
    except BooksMoving as problem:
        print(f"{problem}: somebody else uses the stack. Try again.", file=sys.stderr)
        return 1
    print_report(console, run)
    _print_where(stack)
    return 0 if run.succeeded else 1


def _run(console: Console, stack: dict[str, Any], trace: Trace, choices: Choices) -> Run:
    table, writes = _open_table(stack)
    org_ids = [organization["id"] for organization in stack["organizations"]]
    people = [
        Person(organization["id"], member["user_id"], organization["service_key"])
        for organization in stack["organizations"]
        for member in organization["members"]
    ]
    run_id = secrets.token_hex(4)
    tasks = _with_known(table, deal(trace, people, seed=choices.seed, run=run_id))
    _announce(console, trace, tasks, len(people), len(org_ids), choices)

    api = Api(stack["api_url"], clients=choices.clients)
    with console.status(f"Starting workers for {choices.clients} clients"):
        warm_up(api, people[0].service_key, clients=choices.clients)
    reloading = Reloading(stack)
    reloading.arm()
    before = [read_counters(table, org_id) for org_id in org_ids]
    started_at, started = datetime.now(UTC), time.monotonic()
    with ReplayProgress(console, len(tasks)) as progress:
        outcomes = replay(api, tasks, clients=choices.clients, observe=progress.observe)
    seconds = time.monotonic() - started
    api.close()

    def watch(members: Sequence[Member]) -> Iterable[Member]:
        return follow(members, "Reading the ledger", total=len(members), console=console)

    if len(outcomes) < len(tasks):
        console.print(f"  Stopped after {len(outcomes):,} of {len(tasks):,} requests.")
    with console.status("Counting the writes"):
        written = writes.count(org_ids)
    with console.status("Letting the reload arrive"):
        reloads = reloading.settle()
    books = [read_books(table, org_id, watch=watch) for org_id in org_ids]
    return Run(
        outcomes=outcomes,
        clients=choices.clients,
        seconds=seconds,
        writes=written,
        books=books,
        proof=prove(before, books, outcomes, started_at=started_at),
        reloads=reloads,
    )


def _open_table(stack: Mapping[str, Any]) -> tuple[Table, WriteCounter]:
    """Return the table, by the layer's own code, and a count of what is written from now on."""
    endpoint_url, region = stack["aws_endpoint_url"], stack["region"]
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(clean_environment(), AWS_ENDPOINT_URL=endpoint_url, AWS_REGION=region)
    session = boto3.Session(region_name=region)
    writes = WriteCounter.from_now(
        session.client("dynamodb"),
        cast("StreamsClient", session.client("dynamodbstreams")),
        stack["table_name"],
    )
    return connect(Settings(stack["table_name"], region)), writes


def _with_known(table: Table, tasks: Sequence[Task]) -> list[Task]:
    """Turn tasks whose event the ledger has from an earlier run into one more delivery of it."""
    named = {
        (task.person.org_id, task.event_id) for task in tasks if task.recorded.event_id is not None
    }
    lines = find_lines(table, named)

    def known(task: Task) -> Task:
        line = lines.get((task.person.org_id, task.event_id))
        return task if line is None else replace(task, known=_as_sent(task, line), deliveries=1)

    return [known(task) for task in tasks]


def _as_sent(task: Task, line: LineRecord) -> dict[str, Any]:
    event: dict[str, Any] = {
        "id": line.event_id,
        "user_id": line.user_id,
        "model": task.model,
        "occurred_at": line.occurred_at.partition("#")[0],
        "usage": dict(task.recorded.raw_usage),
        **said_of_refusal(task.recorded),
    }
    if line.product is not None:
        event["product"] = line.product
    if line.authorization_id is not None:
        event["authorization_id"] = line.authorization_id
    return event


def _announce(
    console: Console,
    trace: Trace,
    tasks: Sequence[Task],
    people: int,
    organizations: int,
    choices: Choices,
) -> None:
    told = Text.assemble(
        "\n",
        (f"Replaying {len(tasks):,} requests", "bold"),
        f" from {trace.title}\n",
        f"  by {people} members of {organizations} organizations, "
        f"{choices.clients} clients at a time",
    )
    if trace.is_cut:
        told.append(
            f"\n  Cut short: there are {trace.available:,}. REQUESTS=n replays n of them, "
            "REQUESTS=all all.",
            "yellow",
        )
    for reason, count in trace.skipped.items():
        told.append(f"\n  Left out: {count:,} {reason}.", "dim")
    console.print(told)


def _print_where(stack: Mapping[str, Any]) -> None:
    organization = stack["organizations"][0]
    member = organization["members"][0]
    body = json.dumps(
        {
            "user_id": member["user_id"],
            "model": MODEL,
            "input_tokens": 12000,
            "max_tokens": 1024,
        }
    )
    print(f"The stack keeps running at {stack['api_url']}")
    print(
        f"  curl -s {stack['api_url']}/v1/authorizations "
        f"-H 'x-api-key: {organization['service_key']}' -d '{body}'"
    )
    print(f"Other keys and members are in {STACK_FILE}. To stop it: make down")
    print(f"Settings > Usage, as one of its example people: {stack['page_url']}")


def _whole(name: str, text: str, least: int, most: int) -> int:
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        also = ', or "all"' if name == "REQUESTS" else ""
        raise BadSetting(f"{name} must be a whole number from {least} to {most:,}{also}: {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
