"""What an operator finds in the AWS console leads somewhere: runbooks, metrics, logs, examples."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.template import TEMPLATE, template
from tools.put_test_events import commands

ROOT = TEMPLATE.parent
RUNBOOKS = ROOT / "docs" / "runbooks"
RUNBOOK = re.compile(r"docs/runbooks/([a-z-]+)\.md$")
# A metric is counted by `add_metric("Name", …)`, `single_metric("Name", …)`, or from a table of
# names, `"Name": value`.
COUNTED = re.compile(r'(?:metric\(\s*f?|^\s+)"([A-Z]\w*(?:\{[^}]*\})?)"(?:,|:)', re.MULTILINE)


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


def kebab(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    (properties,) = resources("AWS::CloudWatch::Dashboard").values()
    body = re.sub(r"\$\{(?!!)[^}]+\}", "x", properties["DashboardBody"]["Fn::Sub"])
    shown: dict[str, Any] = json.loads(body.replace("${!", "${"))
    return shown


@pytest.fixture(scope="module")
def counted() -> set[str]:
    """The names of all metrics that the handlers count."""
    names: set[str] = set()
    for handler in (ROOT / "functions").glob("*/handler.py"):
        for name in COUNTED.findall(handler.read_text()):
            names |= (
                {re.sub(r"\{.*\}", each, name) for each in ("Recorded", "Duplicate", "Rejected")}
                if "{" in name
                else {name}
            )
    return names


def told_about(metric: list[Any]) -> Iterator[str]:
    """The names of our own metrics in one row of a widget."""
    if isinstance(metric[0], str) and metric[0].startswith("Headroom/"):
        yield metric[1]
    elif isinstance(metric[0], dict) and "Headroom/" in metric[0]["expression"]:
        yield from re.findall(r'MetricName="(\w+)"', metric[0]["expression"])


@pytest.mark.parametrize("name", ALARMS)
def test_every_alarm_names_its_runbook(name: str) -> None:
    found = RUNBOOK.search(ALARMS[name]["AlarmDescription"])

    assert found, ALARMS[name]["AlarmDescription"]
    assert found.group(1) == kebab(name.removesuffix("Alarm"))
    text = (RUNBOOKS / f"{found.group(1)}.md").read_text()
    assert f"Alarm `{name}`" in text
    assert "\n## Look\n" in text
    assert "\n## Do\n" in text


@pytest.mark.parametrize("name", ALARMS)
def test_every_alarm_is_sent_and_means_something_without_data(name: str) -> None:
    assert ALARMS[name]["AlarmActions"]["Fn::If"][0] == "AlarmsAreSent"
    assert ALARMS[name]["TreatMissingData"] in ("notBreaching", "breaching")


def test_every_runbook_is_of_an_alarm_and_its_links_lead_to_runbooks() -> None:
    pages = {page.stem: page.read_text() for page in RUNBOOKS.glob("*.md")}

    assert pages.keys() == {kebab(name.removesuffix("Alarm")) for name in ALARMS}
    for text in pages.values():
        for link in re.findall(r"\]\(([^)]+)\)", text):
            assert link.removesuffix(".md") in pages, link


def test_every_queue_of_dead_letters_has_an_alarm() -> None:
    watched = {
        dimension["Value"]["Fn::GetAtt"].removesuffix(".QueueName")
        for alarm in ALARMS.values()
        if alarm["MetricName"] == "ApproximateNumberOfMessagesVisible"
        for dimension in alarm["Dimensions"]
    }
    assert watched == {name for name in resources("AWS::SQS::Queue") if "DeadLetter" in name}


def test_the_dashboard_and_the_alarms_listen_for_metrics_that_the_code_counts(
    dashboard: dict[str, Any], counted: set[str]
) -> None:
    shown = {
        name
        for widget in dashboard["widgets"]
        for metric in widget["properties"].get("metrics", [])
        for name in told_about(metric)
    }
    alarmed = {
        alarm["MetricName"] for alarm in ALARMS.values() if "Headroom" in str(alarm["Namespace"])
    }

    assert len(shown) > 10
    assert shown | alarmed <= counted


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
        assert {alarm["Ref"] for alarm in preference["Alarms"]} <= ALARMS.keys()
    allowed = [
        each["FunctionName"]["Ref"]
        for each in _all("AWS::Lambda::Permission")
        if each["Principal"] == "apigateway.amazonaws.com"
    ]
    assert set(allowed) == {uri["Ref"] for uri in called}
