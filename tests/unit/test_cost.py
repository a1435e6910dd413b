"""The bill of a million requests, worked by hand."""

from __future__ import annotations

from decimal import Decimal

from tools.cost.bill import Line, Units, bill


def test_a_bill_is_units_by_list_prices_the_dearest_first() -> None:
    units = Units(
        write_units=Decimal(5),
        read_units=Decimal(2),
        api_calls=Decimal(2),
        invocations=Decimal("2.5"),
        billed_millis=Decimal(30),
        memory_mb=512,
        log_bytes=Decimal(3000),
        traced=Decimal("0.1"),
    )

    # 30 ms of half a gigabyte are 0.015 GB-seconds, a million times: 15,000.
    assert bill(units) == [
        Line("DynamoDB writes", Decimal("3.125")),
        Line("API Gateway", Decimal("2.00")),
        Line("logs", Decimal("1.50")),
        Line("Lambda invocations", Decimal("0.500")),
        Line("traces", Decimal("0.500")),
        Line("DynamoDB reads", Decimal("0.250")),
        Line("Lambda duration", Decimal("0.2000010")),
    ]
