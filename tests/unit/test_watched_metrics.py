"""Every alarm can ring and every widget can show something: their metrics exist, to the letter.

CloudWatch tells metrics apart by namespace, name and the whole set of dimensions, and matches none
that differs. Ours are compared with what the handlers really emit, those of AWS with what its
documentation says that it sends.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import pytest

from tests.emitted_metrics import ROOT, SCENES, Emitted, emitted_metrics, function_folders
from tests.resolved_template import PSEUDO, Resolved
from tests.template import template

# A metric is counted by `add_metric("Name", …)`, `single_metric("Name", …)`, or from a table of
# names, `"Name": value`.
COUNTED: Final = re.compile(
    r'(?:metric\(\s*f?|^\s+)"([A-Z][a-z]\w*(?:\{[^}]*\})?)"(?:,|:)', re.MULTILINE
)
OURS: Final = f"Headroom/{PSEUDO['AWS::StackName']}"

QUERY: Final = re.compile(r'SELECT SUM\((\w+)\) FROM SCHEMA\("([^"]+)", ([\w, ]+)\)')

TOTALS: Final = {"Sum"}
LEVELS: Final = {"Average", "Minimum", "Maximum"}
PERCENTILE: Final = re.compile(r"p\d\d(\.\d+)?")


@dataclass(frozen=True, slots=True)
class Documented:
    """A metric of AWS: the sets of dimensions it is sent with, and what may be asked of it.

    One that is only sent of functions with a certain source of events names the source.
    """

    dimensions: tuple[frozenset[str], ...]
    statistics: frozenset[str]
    percentiles: bool = False
    source: str | None = None


def _documented(
    dimensions: str,
    statistics: set[str],
    *,
    percentiles: bool = False,
    source: str | None = None,
) -> Documented:
    sets = tuple(frozenset(each.split()) for each in dimensions.split("|"))
    return Documented(sets, frozenset(statistics), percentiles, source)


# https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-view.html: by function; by version
# or alias (`Resource`, as FUNCTION:ALIAS); by the version that an alias with weights led to.
_FUNCTION: Final = "FunctionName|FunctionName Resource|FunctionName Resource ExecutedVersion"
# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-metrics.html: by API and by
# stage; by route only where detailed metrics are paid for.
_API: Final = "ApiId|ApiId Stage"
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html: "The
# TableName dimension returns the WriteThrottleEvents for the table, but not for any global
# secondary indexes."
_TABLE_OR_INDEX: Final = "TableName|TableName GlobalSecondaryIndexName"
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
_QUEUE: Final = "QueueName"
# https://docs.aws.amazon.com/step-functions/latest/dg/procedure-cw-metrics.html
_MACHINE: Final = "StateMachineArn"
AWS: Final[dict[tuple[str, str], Documented]] = {
    ("AWS/Lambda", "Duration"): _documented(_FUNCTION, TOTALS | LEVELS, percentiles=True),
    ("AWS/Lambda", "Errors"): _documented(_FUNCTION, TOTALS),
    ("AWS/Lambda", "Invocations"): _documented(_FUNCTION, TOTALS),
    ("AWS/Lambda", "IteratorAge"): _documented(
        _FUNCTION, LEVELS, percentiles=True, source="DynamoDB"
    ),
    ("AWS/Lambda", "Throttles"): _documented(_FUNCTION, TOTALS),
    ("AWS/ApiGateway", "4xx"): _documented(_API, TOTALS),
    ("AWS/ApiGateway", "5xx"): _documented(_API, TOTALS),
    ("AWS/ApiGateway", "Count"): _documented(_API, TOTALS),
    ("AWS/ApiGateway", "Latency"): _documented(_API, LEVELS, percentiles=True),
    ("AWS/DynamoDB", "ConsumedReadCapacityUnits"): _documented(_TABLE_OR_INDEX, TOTALS | LEVELS),
    ("AWS/DynamoDB", "ConsumedWriteCapacityUnits"): _documented(_TABLE_OR_INDEX, TOTALS | LEVELS),
    ("AWS/DynamoDB", "ReadThrottleEvents"): _documented(_TABLE_OR_INDEX, TOTALS),
    ("AWS/DynamoDB", "WriteThrottleEvents"): _documented(_TABLE_OR_INDEX, TOTALS),
    ("AWS/DynamoDB", "TransactionConflict"): _documented("TableName", TOTALS | LEVELS),
    ("AWS/SQS", "ApproximateAgeOfOldestMessage"): _documented(_QUEUE, LEVELS),
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible"): _documented(_QUEUE, LEVELS),
    ("AWS/States", "ExecutionsFailed"): _documented(_MACHINE, TOTALS),
}
# What the value of a dimension must be the name of: a type of resource, and which of its values.
NAMED: Final = {
    "FunctionName": ("AWS::Serverless::Function", "{}"),
    "QueueName": ("AWS::SQS::Queue", "{}.QueueName"),
    "TableName": ("AWS::DynamoDB::Table", "{}"),
    "ApiId": ("AWS::ApiGatewayV2::Api", "{}"),
    "StateMachineArn": ("AWS::StepFunctions::StateMachine", "{}"),
}


@dataclass(frozen=True, slots=True)
class Watched:
    """A metric that an alarm or a widget names."""

    by: str
    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]
    statistic: str
    unit: str | None = None

    @property
    def names(self) -> frozenset[str]:
        """The names of its dimensions."""
        return frozenset(name for name, _ in self.dimensions)


@cache
def stack() -> Resolved:
    return Resolved(Stage="prod", GradualDeployments="true")


def alarms() -> dict[str, dict[str, Any]]:
    return stack().resources("AWS::CloudWatch::Alarm")


def of_alarm(name: str, alarm: dict[str, Any]) -> Iterator[Watched]:
    """The metrics that an alarm listens to, be it to one or to an expression."""
    listed = [{"MetricStat": {"Metric": alarm, "Stat": _statistic(alarm)}}]
    for part in alarm.get("Metrics", listed):
        if "MetricStat" in part:
            metric = part["MetricStat"]["Metric"]
            dimensions = frozenset((one["Name"], one["Value"]) for one in metric["Dimensions"])
            yield Watched(
                name,
                metric["Namespace"],
                metric["MetricName"],
                dimensions,
                part["MetricStat"]["Stat"],
                part["MetricStat"].get("Unit", alarm.get("Unit")),
            )


def _statistic(alarm: dict[str, Any]) -> str:
    return str(alarm.get("Statistic", alarm.get("ExtendedStatistic")))


def widgets() -> list[dict[str, Any]]:
    (dashboard,) = stack().resources("AWS::CloudWatch::Dashboard").values()
    shown: list[dict[str, Any]] = json.loads(dashboard["DashboardBody"])["widgets"]
    return [each["properties"] for each in shown if each["type"] == "metric"]


def of_widget(widget: dict[str, Any]) -> Iterator[Watched]:
    """The metrics in a widget's rows, which may leave out what is as in the row before."""
    for row in widget["metrics"]:
        *path, options = row if isinstance(row[-1], dict) else [*row, {}]
        if "expression" in options:
            continue
        namespace, name, *pairs = path
        assert len(pairs) % 2 == 0, row
        dimensions = frozenset(zip(pairs[::2], pairs[1::2], strict=True))
        statistic = options.get("stat", widget.get("stat", "Average"))
        yield Watched(widget["title"], namespace, name, dimensions, statistic)


def expressions(widget: dict[str, Any]) -> Iterator[str]:
    for row in widget["metrics"]:
        if isinstance(row[-1], dict) and "expression" in row[-1]:
            yield row[-1]["expression"]


def all_watched() -> Iterator[Watched]:
    for name, alarm in alarms().items():
        yield from of_alarm(name, alarm)
    for widget in widgets():
        yield from of_widget(widget)


WATCHED = list(dict.fromkeys(all_watched()))


def shown_as(watched: Watched) -> str:
    values = "+".join(value for _, value in sorted(watched.dimensions))
    return f"{watched.by[:30]}-{watched.name}-{values}"


@pytest.mark.parametrize(
    "watched", [each for each in WATCHED if not each.namespace.startswith("AWS/")], ids=shown_as
)
def test_what_is_watched_of_ours_is_emitted_to_the_letter(watched: Watched) -> None:
    alike = [each for each in emitted_metrics() if each.name == watched.name]
    found = [
        each
        for each in alike
        if (each.namespace, _values(each)) == (watched.namespace, _values(watched))
    ]

    assert found, f"emitted are {sorted(sorted(each.dimensions) for each in alike)}"
    assert watched.namespace == OURS
    assert watched.statistic == "Sum", "what is counted is summed"
    if watched.unit is not None:
        assert {each.unit for each in found} == {watched.unit}


def _values(metric: Watched | Emitted) -> frozenset[tuple[str, str]]:
    """Its dimensions; which version a deployment watches is known when it is made."""
    return frozenset(
        (name, "" if name == "function_version" else value) for name, value in metric.dimensions
    )


@pytest.mark.parametrize(
    "watched", [each for each in WATCHED if each.namespace.startswith("AWS/")], ids=shown_as
)
def test_what_is_watched_of_aws_is_sent_by_it(watched: Watched) -> None:
    documented = AWS[watched.namespace, watched.name]

    assert watched.names in documented.dimensions
    if not (documented.percentiles and PERCENTILE.fullmatch(watched.statistic)):
        assert watched.statistic in documented.statistics
    values = dict(watched.dimensions)
    for name, value in values.items():
        if name in NAMED:
            kind, form = NAMED[name]
            assert value in {form.format(each) for each in stack().resources(kind)}
    if documented.source is not None:
        events = stack().function(values["FunctionName"]).get("Events", {})
        assert documented.source in {each["Type"] for each in events.values()}
    if "Resource" in values:
        function = values["FunctionName"]
        assert values["Resource"] == f"{function}:{stack().function(function)['AutoPublishAlias']}"
        assert values.get("ExecutedVersion", f"{function}.Version.Version") == (
            f"{function}.Version.Version"
        )
    if "GlobalSecondaryIndexName" in values:
        assert values["GlobalSecondaryIndexName"] in indexes()
    if "Stage" in values:
        assert values["Stage"] in {
            each["StageName"] for each in stack().resources("AWS::ApiGatewayV2::Stage").values()
        }


def indexes() -> set[str]:
    (table,) = stack().resources("AWS::DynamoDB::Table").values()
    return {index["IndexName"] for index in table["GlobalSecondaryIndexes"]}


def test_every_dead_letter_queue_is_shown_and_has_an_alarm() -> None:
    counted = {
        dict(each.dimensions)["QueueName"].removesuffix(".QueueName")
        for widget in widgets()
        for each in of_widget(widget)
        if widget["title"].startswith("Dead letters")
        and each.name == "ApproximateNumberOfMessagesVisible"
    }
    ringing = {
        dict(each.dimensions)["QueueName"].removesuffix(".QueueName")
        for name, alarm in alarms().items()
        for each in of_alarm(name, alarm)
        if each.name == "ApproximateNumberOfMessagesVisible"
    }

    assert counted == ringing == dead_letter_queues()


def dead_letter_queues() -> set[str]:
    """The queues that take what others gave up: queues, functions, schedules, rules, streams."""
    kinds = {each["Type"] for each in template()["Resources"].values()}
    return set(_given_up_to(stack().resources(*kinds)))


def _given_up_to(value: Any) -> Iterator[str]:
    match value:
        case {"deadLetterTargetArn": str(arn)}:
            yield arn.removesuffix(".Arn")
        case {"DeadLetterQueue": {"TargetArn": str(arn)}, **rest}:
            yield arn.removesuffix(".Arn")
            yield from _given_up_to(rest)
        case {"DeadLetterConfig": {"Arn": str(arn)}, **rest}:
            yield arn.removesuffix(".Arn")
            yield from _given_up_to(rest)
        case {"OnFailure": {"Destination": str(arn)}}:
            yield arn.removesuffix(".Arn")
        case dict():
            for each in value.values():
                yield from _given_up_to(each)
        case list():
            for each in value:
                yield from _given_up_to(each)


def test_the_query_of_unexpected_failures_reads_the_log_of_every_function() -> None:
    """The runbooks of crashes, of the API's errors and of dead letters send their readers there."""
    queries = stack().resources("AWS::Logs::QueryDefinition")
    functions = stack().resources("AWS::Serverless::Function")

    assert sorted(queries["UnexpectedFailuresQuery"]["LogGroupNames"]) == sorted(
        function["LoggingConfig"]["LogGroup"] for function in functions.values()
    )


@pytest.mark.parametrize("widget", widgets(), ids=lambda widget: widget["title"])
def test_a_search_finds_what_is_emitted(widget: dict[str, Any]) -> None:
    """A schema finds metrics with exactly its dimensions, a term in quotes exactly that value.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/search-expression-syntax.html
    So the names of functions, which CloudFormation makes up, are no use in one.
    """
    for expression in expressions(widget):
        for schema, terms in re.findall(r"SEARCH\('\{([^}]*)\}([^']*)'", expression):
            namespace, *dimensions = (part.strip('" ') for part in schema.split(","))
            wanted = dict(re.findall(r'(\w+)="([^"]*)"', terms))
            assert re.sub(r'\w+="[^"]*"', "", terms).strip() == "", "only whole terms are known"
            found = [
                each
                for each in emitted_metrics()
                if each.namespace == namespace
                and each.names == frozenset(dimensions)
                and each.name == wanted["MetricName"]
            ]
            assert found, expression
            assert wanted.keys() == {"MetricName"}


@pytest.mark.parametrize("widget", widgets(), ids=lambda widget: widget["title"])
def test_an_expression_uses_only_ids_that_its_widget_has(widget: dict[str, Any]) -> None:
    ids = {
        row[-1]["id"] for row in widget["metrics"] if isinstance(row[-1], dict) and "id" in row[-1]
    }

    for expression in expressions(widget):
        told = re.sub(r"SEARCH\('[^']*', '[^']*', \d+\)", "", expression)
        for prefix in re.findall(r'METRICS\("(\w+)"\)', told):
            assert any(prefix in each for each in ids), expression
        told = re.sub(r'METRICS\("\w+"\)', "", told)
        assert set(re.findall(r"\b[a-z]\w*\b", told)) <= ids, expression


def test_an_expression_uses_all_that_its_alarm_listens_to() -> None:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html

    One expression returns what is compared; an alarm has ten metrics at most, of one period.
    """
    for name, alarm in alarms().items():
        parts = alarm.get("Metrics", [])
        listened = {each["Id"]: each["MetricStat"] for each in parts if "MetricStat" in each}
        if not listened:
            continue
        (returned,) = [each for each in parts if each.get("ReturnData", True)]

        assert len(listened) <= 10, name
        if returned["Expression"] != "SUM(METRICS())":
            told = set(re.findall(r"\b[a-z]\w*\b", returned["Expression"]))
            assert told == listened.keys(), name
        # A plus has no value where one of its metrics has none, as those of failures mostly do.
        assert "+" not in returned["Expression"], name
        assert len({each["Period"] for each in listened.values()}) == 1, name
        assert not alarm.keys() & {"MetricName", "Namespace", "Dimensions", "Period", "Statistic"}


def test_a_query_asks_for_what_is_emitted() -> None:
    """A schema of a query names all dimensions of its metrics, as one of a search does.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-metrics-insights-querylanguage.html
    """
    parts = [part for alarm in alarms().values() for part in alarm.get("Metrics", [])]
    queries = [part for part in parts if "SELECT" in part.get("Expression", "")]

    assert queries
    for part in queries:
        found = QUERY.fullmatch(part["Expression"])
        assert found, part["Expression"]
        metric, namespace, dimensions = found.groups()
        assert part["Period"] >= 60
        assert any(
            (each.namespace, each.name) == (namespace, metric)
            and each.names == frozenset(dimensions.split(", "))
            for each in emitted_metrics()
        ), part["Expression"]


def test_a_throttled_index_is_seen() -> None:
    """An index that is throttled throttles the writes of its table."""
    watched = {
        (each.name, dict(each.dimensions).get("GlobalSecondaryIndexName"))
        for each in of_alarm("StoreThrottledAlarm", alarms()["StoreThrottledAlarm"])
    }
    names = {"WriteThrottleEvents", "ReadThrottleEvents"}

    assert watched == {(name, index) for name in names for index in {None, *indexes()}}


def test_a_rate_of_failures_is_failures_by_requests() -> None:
    """An HTTP API sends its `5xx` as counts, whose average is no rate."""
    alarm = alarms()["ApiErrorsAlarm"]
    names = {
        each["Id"]: each["MetricStat"]["Metric"]["MetricName"]
        for each in alarm["Metrics"]
        if "MetricStat" in each
    }
    (returned,) = [each for each in alarm["Metrics"] if each.get("ReturnData", True)]

    assert names == {"failures": "5xx", "requests": "Count"}
    assert returned["Expression"] == "failures / requests"


def test_every_metric_of_the_sources_is_among_the_emitted() -> None:
    """Else the comparison would miss what no scene makes a handler count."""
    for folder in function_folders().values():
        text = (ROOT / "functions" / folder / "handler.py").read_text()
        counted = {
            name
            for found in COUNTED.findall(text)
            for name in (
                [re.sub(r"\{.*\}", each, found) for each in ("Recorded", "Duplicate", "Rejected")]
                if "{" in found
                else [found]
            )
        }
        emitted = {each.name for each in emitted_metrics() if each.function == folder}
        assert counted <= emitted, folder
        if "rashes" in text:
            assert "Crashes" in emitted, folder


def test_every_function_that_counts_has_a_scene() -> None:
    counting = {
        folder
        for folder in function_folders().values()
        if re.search(r"\bmetric|Crashes", (ROOT / "functions" / folder / "handler.py").read_text())
    }

    assert counting == SCENES.keys()


def test_every_metric_carries_its_functions_name() -> None:
    """Powertools adds it by itself; whoever listens without it hears nothing."""
    for metric in emitted_metrics():
        assert dict(metric.dimensions)["service"] == metric.function
        assert metric.namespace == OURS
