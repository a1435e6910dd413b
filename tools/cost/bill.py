"""What a million requests cost at AWS's list prices, from units that were measured.

A request is an authorization and the usage event that settles it. Prices are dollars of us-east-1
in decimal text, so that no figure here is a float.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

MILLION: Final = 1_000_000
PRICES_AS_OF: Final = "2025-06"

# On demand, a million units. https://aws.amazon.com/dynamodb/pricing/on-demand/
WRITE_UNITS: Final = Decimal("0.625")
READ_UNITS: Final = Decimal("0.125")
STORAGE_GB_MONTH: Final = Decimal("0.25")
# The first 300 million a month. https://aws.amazon.com/api-gateway/pricing/
API_CALLS: Final = Decimal("1.00")
# On arm64. https://aws.amazon.com/lambda/pricing/
INVOCATIONS: Final = Decimal("0.20")
GB_SECOND: Final = Decimal("0.0000133334")
# https://aws.amazon.com/cloudwatch/pricing/ and https://aws.amazon.com/xray/pricing/
LOGS_GB: Final = Decimal("0.50")
TRACES: Final = Decimal("5.00")


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
    """A line of the bill: dollars for a million requests."""

    name: str
    dollars: Decimal


def bill(units: Units) -> list[Line]:
    """Return the bill of a million requests, the dearest line first."""
    gb_seconds = units.billed_millis / 1000 * units.memory_mb / 1024
    lines = [
        Line("DynamoDB writes", units.write_units * WRITE_UNITS),
        Line("DynamoDB reads", units.read_units * READ_UNITS),
        Line("API Gateway", units.api_calls * API_CALLS),
        Line("Lambda invocations", units.invocations * INVOCATIONS),
        Line("Lambda duration", gb_seconds * MILLION * GB_SECOND),
        Line("logs", units.log_bytes * MILLION / 10**9 * LOGS_GB),
        Line("traces", units.traced * TRACES),
    ]
    return sorted(lines, key=lambda line: -line.dollars)
