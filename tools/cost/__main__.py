"""`make cost`: measure what a request takes, and print what a million cost at AWS's list prices."""

from __future__ import annotations

import secrets
import sys
import warnings
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from rich.console import Console
from rich.table import Table as Grid

from headroom.core.store import keys
from headroom.limits.usecases.thresholds import Announced
from headroom.organizations.store.organizations import find_organization
from headroom.payments.usecases.budget_changes import follow_budgets
from headroom.spending.store.budgets import find_budget
from headroom.spending.usecases.authorizations import authorize
from headroom.spending.usecases.grants import Hints
from headroom.spending.usecases.usage_events import record
from tools.bench import handler_time, pool_writes, scene
from tools.cost.bill import PRICES, REGION, STORAGE, Line, Units, bill
from tools.cost.standing import OWN_METRICS, standing
from tools.dynamodb_local import DynamoDbLocalUnavailable, dynamodb_local

MEMORY_MB = 512
# Lambda gives a whole processor at this memory, and less in proportion.
WHOLE_PROCESSOR_MB = 1769
# So many of the member's requests came before: what a budget remembers of them is complete.
EARLIER_REQUESTS = 20
# Events that the client package delivers in one call: what came while the last was on its way.
REPORTED_TOGETHER = {"busy": 10, "quiet": 1}
# What DynamoDB takes to answer, seen from Lambda in the same region: one write, one transaction.
WRITE_MILLIS, TRANSACTION_MILLIS = 5, 10
# Requests whose changes one invocation of follow_spend takes: its batch is of 100 records, and a
# request changes a budget twice. Quiet hours see one in each.
FOLLOWED_TOGETHER = {"busy": 50, "quiet": 1}
# And of how many members they are: each has a figure of their own beside the total.
MEMBERS_TOGETHER = {"busy": 20, "quiet": 1}
FIGURE_UNITS = 2
# An invocation logs its start, its report and its metrics; the API logs a line for each call.
INVOCATION_LOG_BYTES, API_LOG_BYTES = 1_100, 420
# X-Ray's default: one request a second, and of the others 5 in 100.
TRACED = Decimal("0.05")

console = Console(highlight=False)


@dataclass(frozen=True, slots=True)
class Measured:
    """Units of the table by step, and a usage line's size."""

    authorizing: Counter[str]
    settling: Counter[str]
    following: Counter[str]
    line_bytes: int
    handler_millis: Decimal
    grants_a_request: Decimal


def main() -> int:
    """Measure and print; return 2 where there is no DynamoDB Local to measure with."""
    warnings.simplefilter("ignore")
    try:
        with dynamodb_local() as endpoint_url:
            measured = _measure(endpoint_url)
    except DynamoDbLocalUnavailable as reason:
        console.print(f"The costs need Amazon's DynamoDB Local. {reason}")
        return 2
    for when in FOLLOWED_TOGETHER:
        _print(f"A million requests, {when} hours", bill(_units(measured, when)))
    _print("A month of a stack, used or not", standing())
    _print_prices()
    _print_assumptions(measured)
    return 0


def _measure(endpoint_url: str) -> Measured:
    table = scene.create_table(endpoint_url, "cost")
    org_id = scene.provision_organization(table, 1, cap_cents=10_000_000, name="cost")
    organization = find_organization(table, org_id)
    assert organization is not None
    user_id, hints, now = scene.user_ids(1)[0], Hints(), datetime.now(UTC)
    asked = scene.request(user_id)

    def ask() -> str:
        answer = authorize(
            table,
            hints,
            organization,
            asked,
            now,
            entropy=secrets.token_bytes(6),
            idempotency=scene.keyed(),
        )
        return str(answer["id"])

    def settle(event_id: str, authorization_id: str) -> None:
        event = scene.event(event_id, user_id, now, authorization_id)
        assert record(table, hints, organization, event, now)["status"] == "recorded"

    def follow_all() -> None:
        budget = find_budget(table, org_id, user_id)
        assert budget is not None
        follow_budgets(table, [budget], Announced(), now)

    for number in range(EARLIER_REQUESTS):
        settle(f"warm-{number}", ask())
    follow_all()
    with scene.counted(table) as authorizing:
        authorization_id = ask()
    with scene.counted(table) as settling:
        settle("measured", authorization_id)
    with scene.counted(table) as following:
        follow_all()
    line = table.get(keys.line(org_id, "measured"))
    assert line is not None
    requests, grants = pool_writes.measure(console)
    return Measured(
        authorizing,
        settling,
        following,
        sum(
            len(name) + len(str(content))
            for name, value in line.items()
            for content in value.values()
        ),
        Decimal(str(handler_time.measure(console))),
        Decimal(grants) / requests,
    )


def _units(measured: Measured, when: str) -> Units:
    together, members = FOLLOWED_TOGETHER[when], MEMBERS_TOGETHER[when]
    # The events of a batch are recorded one after the other, each in its own transaction.
    calls = 1 + Decimal(1) / REPORTED_TOGETHER[when]
    following = measured.following["write units"] + FIGURE_UNITS * (members - 1)
    # A grant writes pool, budget and registration in one transaction, after reading three items in
    # another. Reads that DynamoDB Local counts are of the following alone.
    grants = measured.grants_a_request
    writes = (
        Decimal(measured.authorizing["write units"] + measured.settling["write units"])
        + Decimal(following) / together
        + grants * 6
    )
    reads = Decimal(measured.following["calls"] + 2 * members) / together + grants * 6
    own_millis = measured.handler_millis * WHOLE_PROCESSOR_MB / MEMORY_MB
    follow_millis = (own_millis + 3 * TRANSACTION_MILLIS) / together
    invocations = calls + Decimal(1) / together
    return Units(
        write_units=writes,
        read_units=reads,
        api_calls=calls,
        invocations=invocations,
        billed_millis=2 * own_millis + WRITE_MILLIS + TRANSACTION_MILLIS + follow_millis,
        memory_mb=MEMORY_MB,
        log_bytes=invocations * INVOCATION_LOG_BYTES + calls * API_LOG_BYTES,
        traced=invocations * TRACED,
    )


def _print(title: str, lines: list[Line]) -> None:
    grid = Grid(title=title, title_justify="left")
    grid.add_column("")
    grid.add_column("USD", justify="right")
    for line in lines:
        grid.add_row(line.name, f"{line.dollars:.2f}")
    grid.add_row("[bold]together[/bold]", f"[bold]{sum(line.dollars for line in lines):.2f}[/bold]")
    console.print(grid)


def _print_prices() -> None:
    console.print(f"List prices of {REGION}, USD")
    for price in PRICES:
        console.print(
            f"  {price.dollars:f} a {price.per} ({price.page}, {price.seen})", soft_wrap=True
        )


def _print_assumptions(measured: Measured) -> None:
    kept = measured.line_bytes * 2
    month = Decimal(kept) / 1000 * STORAGE.dollars
    sentences = [
        "A request is an authorization with an idempotency key and its usage event, as the client "
        f"package sends them. Prices are those of {REGION}, on demand, without free "
        "tiers and discounts; look them up before you rely on them.",
        f"Measured here: write units {measured.authorizing['write units']} to authorize, "
        f"{measured.settling['write units']} to settle with its line and the line's index entry, "
        f"{measured.following['write units']} to follow a batch of one member; "
        f"{measured.grants_a_request:.4f} grants a request in a long replay; "
        f"{measured.handler_millis:.2f} ms of a whole processor for a handler.",
        f"Assumed: in busy hours {REPORTED_TOGETHER['busy']} usage events come in one call, each "
        f"taking as long as if it came alone; {FOLLOWED_TOGETHER['busy']} requests of "
        f"{MEMBERS_TOGETHER['busy']} members are followed together; {WRITE_MILLIS} ms for "
        f"DynamoDB's answer to a write, {TRANSACTION_MILLIS} ms to a transaction; {MEMORY_MB} MB, "
        f"which is {MEMORY_MB}/{WHOLE_PROCESSOR_MB} of a processor; {INVOCATION_LOG_BYTES} bytes "
        f"of log an invocation and {API_LOG_BYTES} a call of the API; {TRACED:.0%} of the requests "
        "traced.",
        f"Not in it is what stays: a usage line with its index entry takes about {kept} bytes, so "
        f"a million cost {month:.2f} USD each month they are kept, and for point-in-time recovery "
        "nearly as much again. Nor are snapshots of started functions, nor a gigabyte or two of "
        "answers sent out. Events, mails and payments are a few an organization, not one a "
        "request.",
        f"A month of a stack counts {OWN_METRICS} metrics of our own, which is all that its "
        "functions emit, one for each set of dimensions, as if each were sent in every hour; "
        "charged are the hours in which it is. Customer-managed keys, a web ACL and "
        "backups are parameters, and not in it.",
    ]
    for sentence in sentences:
        console.print(f"- {sentence}", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
