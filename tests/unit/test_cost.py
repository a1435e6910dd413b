"""The bill of a million requests, worked by hand."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.emitted_metrics import emitted_metrics
from tests.resolved_template import Resolved
from tests.unit.test_watched_metrics import OURS, WATCHED
from tools.cost import standing as standing_costs
from tools.cost.bill import Line, Units, bill
from tools.cost.standing import OWN_METRICS, standing


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


def test_a_month_of_a_stack_is_counted_in_the_template() -> None:
    costs = {line.name: line.dollars for line in standing()}
    alarms = Resolved(Stage="prod", GradualDeployments="true").resources("AWS::CloudWatch::Alarm")

    assert costs["dashboard"] == Decimal("3.00")
    assert costs["secrets"] == Decimal("1.20")
    # One over an expression is charged for each metric in it.
    assert costs["alarms"] > len(alarms) * Decimal("0.10")
    assert costs["metrics by route"] == 0


def test_each_metric_that_a_function_emits_is_paid_for_watched_or_not() -> None:
    costs = {line.name: line.dollars for line in standing()}
    emitted = {(each.name, each.dimensions) for each in emitted_metrics()}
    watched = {(each.name, each.dimensions) for each in WATCHED if each.namespace == OURS}

    assert len(emitted) > len(watched) > 40
    assert len(emitted) == OWN_METRICS
    assert costs["metrics of our own"] == len(emitted) * Decimal("0.30")


def test_metrics_by_route_are_shown_as_soon_as_they_are_switched_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    routes = len(Resolved().resources("AWS::ApiGatewayV2::Route"))
    switched_on: dict[str, object] = {"DefaultRouteSettings": {"DetailedMetricsEnabled": True}}
    counted = standing_costs._all

    def with_detail(stack: Resolved, kind: str) -> list[dict[str, Any]]:
        return [switched_on] if kind == "AWS::ApiGatewayV2::Stage" else counted(stack, kind)

    monkeypatch.setattr(standing_costs, "_all", with_detail)

    costs = {line.name: line.dollars for line in standing()}
    assert costs["metrics by route"] == routes * 6 * Decimal("0.30")
