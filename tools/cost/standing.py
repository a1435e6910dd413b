"""What a stack of production costs a month beside its requests.

Counted in the template, but for what the handlers emit.
"""

from __future__ import annotations

from typing import Any, Final

from tests.resolved_template import Resolved
from tools.cost.bill import ALARMS, DASHBOARDS, METRICS, SECRETS, Line

# What the functions emit, each set of dimensions one; tests/unit/test_cost.py has them counted.
OWN_METRICS: Final = 93
# What an HTTP API sends for each route with detailed metrics.
# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-metrics.html
METRICS_OF_A_ROUTE = 6


def standing() -> list[Line]:
    """Return what each month costs, the dearest line first.

    Alarms are priced by the metrics they listen to. Metrics of our own are priced as if each were
    sent in every hour; CloudWatch charges for the hours in which it is.
    """
    stack = Resolved(Stage="prod", GradualDeployments="true")
    lines = [
        Line("alarms", sum(map(_listened, _all(stack, "AWS::CloudWatch::Alarm"))) * ALARMS.dollars),
        Line("metrics of our own", OWN_METRICS * METRICS.dollars),
        Line("metrics by route", _route_metrics(stack) * METRICS.dollars),
        Line("dashboard", len(_all(stack, "AWS::CloudWatch::Dashboard")) * DASHBOARDS.dollars),
        Line("secrets", len(_all(stack, "AWS::SecretsManager::Secret")) * SECRETS.dollars),
    ]
    return sorted(lines, key=lambda line: -line.dollars)


def _all(stack: Resolved, kind: str) -> list[dict[str, Any]]:
    return list(stack.resources(kind).values())


def _listened(alarm: dict[str, Any]) -> int:
    return sum("MetricStat" in part for part in alarm.get("Metrics", [])) or 1


def _route_metrics(stack: Resolved) -> int:
    (stage,) = _all(stack, "AWS::ApiGatewayV2::Stage")
    if not stage["DefaultRouteSettings"]["DetailedMetricsEnabled"]:
        return 0
    return len(_all(stack, "AWS::ApiGatewayV2::Route")) * METRICS_OF_A_ROUTE
