"""What an operator finds in the AWS console leads somewhere: runbooks, metrics, logs, examples."""

from __future__ import annotations

import ast
import json
import logging
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_lambda_powertools import Logger

from tests.resolved_template import Resolved
from tests.template import TEMPLATE, template
from tools.put_test_events import commands

ROOT = TEMPLATE.parent
LAYER = ROOT / "layers" / "headroom" / "headroom"
RUNBOOKS = ROOT / "docs" / "runbooks"
RUNBOOK = re.compile(r"docs/runbooks/([a-z-]+)\.md$")
# These have nobody to tell: CodeDeploy listens, while it shifts traffic.
ROLLBACK = "RollbackAlarm"


def resources(kind: str) -> dict[str, dict[str, Any]]:
    found = {
        name: resource["Properties"]
        for name, resource in template()["Resources"].items()
        if resource["Type"] == kind
    }
    assert found, kind
    return found


ALARMS = resources("AWS::CloudWatch::Alarm")
FUNCTIONS = {
    properties["CodeUri"].rstrip("/").removeprefix("functions/"): name
    for name, properties in resources("AWS::Serverless::Function").items()
}

FOLDERS = {name: folder for folder, name in FUNCTIONS.items()}


def kebab(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    (properties,) = resources("AWS::CloudWatch::Dashboard").values()
    body = re.sub(r"\$\{(?!!)[^}]+\}", "x", properties["DashboardBody"]["Fn::Sub"])
    shown: dict[str, Any] = json.loads(body.replace("${!", "${"))
    return shown


def page_of(alarm: str) -> str:
    return "release-taken-back" if alarm.endswith(ROLLBACK) else kebab(alarm.removesuffix("Alarm"))


@pytest.mark.parametrize("name", ALARMS)
def test_every_alarm_names_its_runbook(name: str) -> None:
    found = RUNBOOK.search(ALARMS[name]["AlarmDescription"])

    assert found, ALARMS[name]["AlarmDescription"]
    assert found.group(1) == page_of(name)
    text = (RUNBOOKS / f"{found.group(1)}.md").read_text()
    assert (f"`…{ROLLBACK}`" if name.endswith(ROLLBACK) else f"Alarm `{name}`") in text
    assert "\n## Look\n" in text
    assert "\n## Do\n" in text


def test_what_is_said_of_a_new_stacks_alarms_is_all_that_ring() -> None:
    ringing = {name for name, alarm in ALARMS.items() if alarm["TreatMissingData"] == "breaching"}
    (said,) = re.findall(
        r"the seven\s+alarms of schedules .*?for up to a day\.",
        (ROOT / "docs" / "operations.md").read_text(),
        re.DOTALL,
    )

    assert {f"{name}Alarm" for name in re.findall(r"\*(\w+Stopped)\*", said)} == ringing
    assert len(ringing) == 7


@pytest.mark.parametrize("name", ALARMS)
def test_every_alarm_is_sent_and_means_something_without_data(name: str) -> None:
    if name.endswith(ROLLBACK):
        assert not ALARMS[name].keys() & {"AlarmActions", "OKActions"}
    else:
        assert ALARMS[name]["AlarmActions"]["Fn::If"][0] == "AlarmsAreSent"
    assert ALARMS[name]["TreatMissingData"] in ("notBreaching", "breaching")


def test_every_runbook_is_of_an_alarm_and_its_links_lead_to_runbooks() -> None:
    pages = {page.stem: page.read_text() for page in RUNBOOKS.glob("*.md")}

    assert pages.keys() == {page_of(name) for name in ALARMS}
    for text in pages.values():
        for link in re.findall(r"\]\(([^)]+)\)", text):
            assert link.removesuffix(".md") in pages, link


def test_every_queue_of_dead_letters_has_an_alarm() -> None:
    watched = {
        dimension["Value"]["Fn::GetAtt"].removesuffix(".QueueName")
        for alarm in ALARMS.values()
        if alarm.get("MetricName") == "ApproximateNumberOfMessagesVisible"
        for dimension in alarm["Dimensions"]
    }
    assert watched == {name for name in resources("AWS::SQS::Queue") if "DeadLetter" in name}


def test_the_dashboards_widgets_do_not_lie_on_each_other(dashboard: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for widget in dashboard["widgets"]:
        place = {
            (x, y)
            for x in range(widget["x"], widget["x"] + widget["width"])
            for y in range(widget["y"], widget["y"] + widget["height"])
        }
        assert max(x for x, _ in place) < 24
        assert not place & taken, widget["properties"].get("title")
        taken |= place


def test_saved_queries_read_logs_that_exist_and_stay_out_of_the_emulator() -> None:
    groups = resources("AWS::Logs::LogGroup")
    for name, query in resources("AWS::Logs::QueryDefinition").items():
        assert {group["Ref"] for group in query["LogGroupNames"]} <= groups.keys()
        assert template()["Resources"][name]["Condition"] == "IsOnAws"


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_has_an_example_event_to_press_test_with(function: str) -> None:
    examples = list((ROOT / "events" / function).glob("*.json"))

    assert examples, f"events/{function}/"
    for example in examples:
        assert isinstance(json.loads(example.read_text()), dict)


def test_every_folder_of_examples_is_of_a_function() -> None:
    assert {folder.name for folder in (ROOT / "events").iterdir()} <= FUNCTIONS.keys()


def test_every_example_is_put_behind_its_functions_button() -> None:
    put = [(command[3], Path(command[-2])) for command in commands("a-stack")]

    assert {function for function, _ in put} == set(FUNCTIONS.values())
    assert all(file.is_file() for _, file in put)


def test_whatever_is_invoked_asynchronously_has_a_queue_for_its_failures() -> None:
    """Nobody waits for the answer of a schedule or of the bus."""
    invoked = {
        target["Arn"]["Fn::GetAtt"].removesuffix(".Arn")
        for properties in _all("AWS::Scheduler::Schedule", "AWS::Events::Rule")
        for target in [*properties.get("Targets", []), properties.get("Target")]
        if target is not None and "Fn::GetAtt" in target["Arn"]
    }
    functions = resources("AWS::Serverless::Function")

    assert {"SweepHolds", "DigestRequests"} <= invoked
    for name in invoked & functions.keys():
        assert "DeadLetterQueue" in functions[name], name


def _all(*kinds: str) -> Iterator[dict[str, Any]]:
    for resource in template()["Resources"].values():
        if resource["Type"] in kinds:
            yield resource["Properties"]


def test_whatever_the_api_calls_is_an_alias_that_alarms_can_take_back() -> None:
    called = [each["IntegrationUri"] for each in _all("AWS::ApiGatewayV2::Integration")]
    functions = resources("AWS::Serverless::Function")

    for uri in called:
        name, _, alias = uri["Ref"].partition(".")
        assert alias == "Alias", name
        preference = functions[name]["DeploymentPreference"]
        assert preference["Enabled"] == {"Ref": "GradualDeployments"}
    allowed = [
        each["FunctionName"]["Ref"]
        for each in _all("AWS::Lambda::Permission")
        if each["Principal"] == "apigateway.amazonaws.com"
    ]
    assert set(allowed) == {uri["Ref"] for uri in called}


# What the API calls, by the logical id of its function.
CALLED = sorted(
    each["IntegrationUri"]["Ref"].partition(".")[0]
    for each in _all("AWS::ApiGatewayV2::Integration")
)
GRADUAL = Resolved(Stage="prod", GradualDeployments="true")


@pytest.mark.parametrize("name", CALLED)
def test_a_release_is_taken_back_by_alarms_of_its_own_version(name: str) -> None:
    """One of all versions rings on when the old one was broken, and stops what would mend it."""
    preference = GRADUAL.function(name)["DeploymentPreference"]
    alarms = GRADUAL.resources("AWS::CloudWatch::Alarm")
    watched: set[str] = set()

    for alarm in preference["Alarms"]:
        for part in _metrics(alarms[alarm]):
            watched.add(part["MetricName"])
            dimensions = {each["Name"]: each["Value"] for each in part["Dimensions"]}
            version = dimensions.get("ExecutedVersion") or dimensions["function_version"]
            assert version == f"{name}.Version.Version"
            assert f"{name}:live" == dimensions.get("Resource", f"{name}:live")
            assert FOLDERS[name] == dimensions.get("service", FOLDERS[name])
        assert _seconds_until_it_rings(alarms[alarm]) <= 120
    # What the handler does not let escape, Lambda does not count.
    handler = (ROOT / "functions" / FOLDERS[name] / "handler.py").read_text()
    assert {"Errors"} | ({"Crashes"} if "Crashes" in handler else set()) <= watched
    assert preference["Hooks"]["PreTraffic"] == "SmokeRelease"


def _metrics(alarm: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "MetricName" in alarm:
        yield alarm
    for part in alarm.get("Metrics", []):
        if "MetricStat" in part:
            yield part["MetricStat"]["Metric"]


def _seconds_until_it_rings(alarm: dict[str, Any]) -> int:
    periods = {alarm["Period"]} if "Period" in alarm else _periods(alarm)
    return max(periods) * int(alarm.get("DatapointsToAlarm", alarm["EvaluationPeriods"]))


def _periods(alarm: dict[str, Any]) -> set[int]:
    return {
        part["MetricStat"]["Period"] if "MetricStat" in part else part["Period"]
        for part in alarm["Metrics"]
        if "MetricStat" in part or "Period" in part
    }


def test_every_handler_that_keeps_a_failure_to_itself_counts_it() -> None:
    """Lambda counts what escapes; each `except Exception` has to count what does not."""
    kept = 0
    for source in [*(ROOT / "functions").glob("*/handler.py"), *LAYER.rglob("*.py")]:
        for node in ast.walk(ast.parse(source.read_text())):
            match node:
                case ast.ExceptHandler(type=ast.Name(id="Exception" | "BaseException")):
                    kept += 1
                    assert "rashes.count()" in ast.unparse(node), source
                case ast.ExceptHandler(type=None):
                    raise AssertionError(f"{source} catches without saying what")
    assert kept >= 5


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_a_release_shifts_slowly_enough_for_its_alarms(environment: str) -> None:
    parameters = configured(environment)
    shift = re.fullmatch(r"Canary10Percent(\d+)Minutes", parameters["DeploymentShift"])

    assert parameters["GradualDeployments"] == "true"
    assert shift, "what shifts at once is watched by nobody"
    # A metric is there a minute or two after what it counts, and an alarm looks once a minute.
    assert int(shift.group(1)) * 60 >= 120 + 120 + 60
    allowed = template()["Parameters"]["DeploymentShift"]
    assert "AllAtOnce" not in allowed["AllowedValues"]
    assert {parameters["DeploymentShift"], allowed["Default"]} <= set(allowed["AllowedValues"])


def test_production_shifts_more_slowly_than_anything_else() -> None:
    prod, dev = (
        int(re.findall(r"(\d+)Minutes", configured(each)["DeploymentShift"])[0])
        for each in ("prod", "dev")
    )
    assert prod >= 15 > dev


def configured(environment: str) -> dict[str, str]:
    """The parameters of an environment in samconfig.toml."""
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())
    overrides = config[environment]["deploy"]["parameters"]["parameter_overrides"]
    return dict(each.split("=", 1) for each in overrides)


@pytest.mark.parametrize("environment", ["local", "dev", "prod"])
def test_an_environment_sets_parameters_to_values_that_they_take(environment: str) -> None:
    for name, value in configured(environment).items():
        declared = template()["Parameters"][name]
        assert value in [str(each) for each in declared.get("AllowedValues", [value])], name


@pytest.mark.parametrize("level", template()["Parameters"]["LogLevel"]["AllowedValues"])
def test_the_log_level_takes_hold_and_drops_no_metric(
    level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of JSON, Lambda drops what is below its own level, which by default is INFO.

    A metric is a line without a level, and Lambda takes such a line for INFO.
    https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html
    """
    stack = Resolved(Stage="prod", LogLevel=level)
    for name in stack.resources("AWS::Serverless::Function"):
        assert stack.function(name)["LoggingConfig"]["ApplicationLogLevel"] == level
        assert stack.environment(name)["POWERTOOLS_LOG_LEVEL"] == level
    # Lambda tells the function its level, and Powertools follows that before anything else.
    monkeypatch.setenv("AWS_LAMBDA_LOG_LEVEL", level)
    monkeypatch.setenv("POWERTOOLS_LOG_LEVEL", "CRITICAL")
    assert Logger(service=f"at-{level}").log_level == logging.getLevelName(level)
    assert logging.getLevelName(level) <= logging.INFO


# How often a schedule begins, in seconds.
INTERVALS = {
    r"rate\(1 minute\)": 60,
    r"rate\(5 minutes\)": 300,
    r"cron\(\d+/15 \* \* \* \? \*\)": 900,
    r"cron\(\d+ \* \* \* \? \*\)": 3600,
    r"cron\(\d+ \d+ \* \* \? \*\)": 86400,
}


def test_a_schedule_that_stops_rings() -> None:
    """Runs count themselves at their end: one that fails is missed like one that never began."""
    alarms = {
        each["Dimensions"][0]["Value"]: each
        for each in ALARMS.values()
        if each.get("MetricName") == "ScheduledRuns"
    }
    scheduled = {
        schedule["Target"]["Arn"]["Fn::GetAtt"].removesuffix(".Arn"): interval
        for schedule in resources("AWS::Scheduler::Schedule").values()
        for pattern, interval in INTERVALS.items()
        if re.fullmatch(pattern, schedule["ScheduleExpression"])
    }

    assert len(scheduled) == len(resources("AWS::Scheduler::Schedule"))
    assert alarms.keys() == {FOLDERS[name] for name in scheduled}
    for name, interval in scheduled.items():
        alarm = alarms[FOLDERS[name]]
        window = alarm["Period"] * alarm["EvaluationPeriods"]
        assert alarm["TreatMissingData"] == "breaching"
        assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("LessThanThreshold", 1)
        # One run that is late does not ring, and nobody waits for three to be missed.
        assert interval < window <= max(5 * interval, 2 * 3600), name
        # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
        assert window <= (7 * 86400 if alarm["Period"] >= 3600 else 86400)


def test_no_function_fails_unseen() -> None:
    """By an alarm of errors, or by a queue of dead letters; or whoever invoked it is told."""
    errors = {
        dimension["Value"]["Ref"]
        for alarm in ALARMS.values()
        for metric in _metrics(alarm)
        if metric["MetricName"] == "Errors"
        for dimension in metric["Dimensions"]
        if dimension["Name"] == "FunctionName"
    }
    functions = resources("AWS::Serverless::Function")
    parked = {
        name for name, each in functions.items() if "DeadLetterQueue" in each or each.get("Events")
    }

    assert set(CALLED) <= errors
    assert functions.keys() - errors - parked == {
        "ActFromConsole",
        "SettleInvoice",
        "ShowConsoleWidget",
        "SmokeRelease",
    }


def test_every_request_at_the_edge_is_logged_with_its_clients_address() -> None:
    """The API behind it sees the edge's address only, and an HTTP API logs no header."""
    stack = Resolved(Stage="prod", WebAclArn="arn:aws:wafv2:::webacl", LogRetentionDays="365")
    (edge,) = stack.resources("AWS::CloudFront::Distribution").values()
    logging_ = edge["DistributionConfig"]["Logging"]
    name = logging_["Bucket"].removesuffix(".DomainName")
    bucket = stack.resources("AWS::S3::Bucket")[name]

    # CloudFront writes by an ACL, which only such a bucket takes.
    assert bucket["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerPreferred"}]
    assert {rule["ExpirationInDays"] for rule in bucket["LifecycleConfiguration"]["Rules"]} == {
        "365"
    }
    assert name not in Resolved(Stage="prod").resources("AWS::S3::Bucket")
    excused = template()["Resources"]["Edge"]["Metadata"]["checkov"]["skip"]
    assert "CKV_AWS_86" not in {each["id"] for each in excused}


def test_metrics_by_route_are_not_paid_for_unless_somebody_looks() -> None:
    """Each route has six, at the price of metrics of one's own."""
    (stage,) = GRADUAL.resources("AWS::ApiGatewayV2::Stage").values()

    assert stage["DefaultRouteSettings"]["DetailedMetricsEnabled"] is False


def test_what_the_local_emulator_does_not_know_is_not_made_there() -> None:
    """An alarm over an expression fails the whole deployment of the emulator."""
    local = Resolved(Stage="local").resources("AWS::CloudWatch::Alarm")

    assert local
    assert not [name for name, alarm in local.items() if "Metrics" in alarm]
