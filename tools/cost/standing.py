"""What a stack of production costs a month before anybody uses it, counted in the template."""

from __future__ import annotations

import json
from typing import Any

from tests.resolved_template import Resolved
from tools.cost.bill import ALARMS, DASHBOARDS, METRICS, SECRETS, Line

# What an HTTP API sends for each route with detailed metrics.
# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-metrics.html
METRICS_OF_A_ROUTE = 6


def standing() -> list[Line]:
    """Return what each month costs, the dearest line first.

    Alarms are priced by the metrics they listen to. Of metrics of our own only those are counted
    that an alarm or the dashboard names; each is charged for the hours in which it is sent.
    """
    stack = Resolved(Stage="prod", GradualDeployments="true")
    lines = [
        Line("alarms", sum(map(_listened, _all(stack, "AWS::CloudWatch::Alarm"))) * ALARMS.dollars),
        Line("metrics of our own", len(_own_metrics(stack)) * METRICS.dollars),
        Line("metrics by route", _route_metrics(stack) * METRICS.dollars),
        Line("dashboard", len(_all(stack, "AWS::CloudWatch::Dashboard")) * DASHBOARDS.dollars),
        Line("secrets", len(_all(stack, "AWS::SecretsManager::Secret")) * SECRETS.dollars),
    ]
    return sorted(lines, key=lambda line: -line.dollars)


def _all(stack: Resolved, kind: str) -> list[dict[str, Any]]:
    return list(stack.resources(kind).values())


def _listened(alarm: dict[str, Any]) -> int:
    return sum("MetricStat" in part for part in alarm.get("Metrics", [])) or 1


def _own_metrics(stack: Resolved) -> set[str]:
    own: set[str] = set()
    for alarm in _all(stack, "AWS::CloudWatch::Alarm"):
        for part in alarm.get("Metrics", [{"MetricStat": {"Metric": alarm}}]):
            metric = part.get("MetricStat", {}).get("Metric", {})
            if str(metric.get("Namespace")).startswith("Headroom/"):
                dimensions = sorted((one["Name"], one["Value"]) for one in metric["Dimensions"])
                own.add(json.dumps([metric["MetricName"], dimensions]))
    for dashboard in _all(stack, "AWS::CloudWatch::Dashboard"):
        for widget in json.loads(dashboard["DashboardBody"])["widgets"]:
            for row in widget["properties"].get("metrics", []):
                named = [part for part in row if isinstance(part, str)]
                if named and named[0].startswith("Headroom/"):
                    pairs = sorted(zip(named[2::2], named[3::2], strict=True))
                    own.add(json.dumps([named[1], pairs]))
    return own


def _route_metrics(stack: Resolved) -> int:
    (stage,) = _all(stack, "AWS::ApiGatewayV2::Stage")
    if not stage["DefaultRouteSettings"]["DetailedMetricsEnabled"]:
        return 0
    return len(_all(stack, "AWS::ApiGatewayV2::Route")) * METRICS_OF_A_ROUTE
