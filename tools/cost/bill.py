"""What a million requests cost at AWS's list prices, from units that were measured.

A request is an authorization and the usage event that settles it. Prices are decimal text, so that
no figure here is a float.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

REGION: Final = "us-east-1"
MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """A list price in dollars, of how much, on which page, and when it was last looked up."""

    dollars: Decimal
    per: str
    page: str
    seen: str


# On demand; half of what it was before November 2024.
DYNAMODB: Final = "https://aws.amazon.com/dynamodb/pricing/on-demand/"
WRITE_UNITS: Final = Price(Decimal("0.625"), "million write request units", DYNAMODB, "2025-07")
READ_UNITS: Final = Price(Decimal("0.125"), "million read request units", DYNAMODB, "2025-07")
STORAGE: Final = Price(Decimal("0.25"), "GB and month of the table", DYNAMODB, "2025-07")
# HTTP APIs, the first 300 million a month, bodies up to 512 KB.
API_CALLS: Final = Price(
    Decimal("1.00"), "million calls", "https://aws.amazon.com/api-gateway/pricing/", "2026-01"
)
# On arm64, the first 7.5 billion GB-seconds a month.
LAMBDA: Final = "https://aws.amazon.com/lambda/pricing/"
INVOCATIONS: Final = Price(Decimal("0.20"), "million invocations", LAMBDA, "2026-05")
GB_SECOND: Final = Price(Decimal("0.0000133334"), "GB-second", LAMBDA, "2026-05")
CLOUDWATCH: Final = "https://aws.amazon.com/cloudwatch/pricing/"
LOGS: Final = Price(Decimal("0.50"), "GB of logs", CLOUDWATCH, "2026-01")
# Of standard resolution; the first 10,000 metrics, and dashboards beyond the three free ones.
ALARMS: Final = Price(Decimal("0.10"), "metric of an alarm and month", CLOUDWATCH, "2026-01")
METRICS: Final = Price(Decimal("0.30"), "metric of one's own and month", CLOUDWATCH, "2026-01")
DASHBOARDS: Final = Price(Decimal("3.00"), "dashboard and month", CLOUDWATCH, "2026-01")
SECRETS: Final = Price(
    Decimal("0.40"),
    "secret and month",
    "https://aws.amazon.com/secrets-manager/pricing/",
    "2026-01",
)
TRACES: Final = Price(
    Decimal("5.00"), "million traces", "https://aws.amazon.com/xray/pricing/", "2025-06"
)
PRICES: Final = (
    WRITE_UNITS,
    READ_UNITS,
    STORAGE,
    API_CALLS,
    INVOCATIONS,
    GB_SECOND,
    LOGS,
    TRACES,
    ALARMS,
    METRICS,
    DASHBOARDS,
    SECRETS,
)


@dataclass(frozen=True, slots=True)
class Units:
    """What one request takes. Times are milliseconds that Lambda bills, over all invocations."""

    write_units: Decimal
    read_units: Decimal
    api_calls: Decimal
    invocations: Decimal
    billed_millis: Decimal
    memory_mb: int
    log_bytes: Decimal
    traced: Decimal


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a bill: dollars for a million requests, or for a month of a stack."""

    name: str
    dollars: Decimal


def bill(units: Units) -> list[Line]:
    """Return the bill of a million requests, the dearest line first."""
    gb_seconds = units.billed_millis / 1000 * units.memory_mb / 1024
    lines = [
        Line("DynamoDB writes", units.write_units * WRITE_UNITS.dollars),
        Line("DynamoDB reads", units.read_units * READ_UNITS.dollars),
        Line("API Gateway", units.api_calls * API_CALLS.dollars),
        Line("Lambda invocations", units.invocations * INVOCATIONS.dollars),
        Line("Lambda duration", gb_seconds * MILLION * GB_SECOND.dollars),
        Line("logs", units.log_bytes * MILLION / 10**9 * LOGS.dollars),
        Line("traces", units.traced * TRACES.dollars),
    ]
    return sorted(lines, key=lambda line: -line.dollars)
