"""Before a release gets traffic, each new version of the API's functions answers a real request."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

import pytest
from botocore.stub import Stubber

from functions.smoke_release import handler as smoke_release
from headroom.core.gateways.releases import VersionFailed
from headroom.core.settings import ReleaseSettings
from headroom.core.usecases.release_probes import PROBES, failed_probes
from tests.emitted_metrics import function_folders, invoke, loaded
from tests.in_process import Application, Context, sample
from tests.resolved_template import Resolved
from tests.template import template

FUNCTIONS = {folder: name for name, folder in function_folders().items()}
VERSIONS = {folder: f"arn:of:{folder}" for folder in PROBES}
EVENT = sample("smoke_release/before_traffic")


class InProcess:
    """The versions that a release publishes, as the handlers are here."""

    def ask(self, arn: str, event: Mapping[str, Any]) -> Any:
        folder = arn.rpartition(":")[2]
        with loaded(folder, FUNCTIONS[folder]) as handler:
            # Lambda passes both on as JSON.
            return json.loads(json.dumps(invoke(handler, json.loads(json.dumps(event)))))


class Answering:
    """Versions that all answer this, or fail with it."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def ask(self, arn: str, event: Mapping[str, Any]) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_every_function_of_the_api_answers_its_probe_and_nothing_is_written(
    app: Application,
) -> None:
    app.provision()
    before = app.everything()

    assert failed_probes(VERSIONS, InProcess(), "probe") == []
    assert app.everything() == before


def test_a_table_that_cannot_be_read_lets_nothing_through(app: Application) -> None:
    """A role without its right and a wrong name look the same to whoever asks."""
    cast("Any", app.table.connection.client).delete_table(TableName=app.table.name)

    failed = {each.partition(":")[0] for each in failed_probes(VERSIONS, InProcess(), "probe")}

    static = {folder for folder, probe in PROBES.items() if probe.error != "authentication_error"}
    assert failed == PROBES.keys() - static
    assert len(failed) == 7


@pytest.mark.parametrize(
    "answer",
    [
        VersionFailed("it ended without an answer"),
        {"statusCode": 500, "body": "{}"},
        {"statusCode": 503, "body": json.dumps({"error": {"type": "overloaded_error"}})},
        {"errorMessage": "no module", "errorType": "Runtime.ImportModuleError"},
        None,
        "text",
        {"statusCode": 401, "body": "<html>"},
    ],
)
def test_whatever_else_a_version_does_is_a_failure(answer: Any) -> None:
    assert len(failed_probes(VERSIONS, Answering(answer), "probe")) == len(PROBES)


def test_the_probes_are_of_the_functions_that_shift() -> None:
    shifting = {
        folder
        for folder, name in FUNCTIONS.items()
        if "DeploymentPreference" in template()["Resources"][name]["Properties"]
    }
    stack = Resolved(Stage="prod", GradualDeployments="true")
    told = ReleaseSettings.from_env({**stack.environment("SmokeRelease"), "AWS_REGION": "x"})

    assert PROBES.keys() == shifting == told.functions.keys()
    assert told.functions == {folder: f"{FUNCTIONS[folder]}.Version" for folder in PROBES}


def test_the_hook_may_ask_these_functions_and_has_the_name_that_codedeploy_may_invoke() -> None:
    stack = Resolved(Stage="prod", GradualDeployments="true")
    (policy,) = stack.resources("AWS::IAM::Role")["SmokeReleaseRole"]["Policies"]
    (allowed,) = [
        statement["Resource"]
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Action"] == "lambda:InvokeFunction"
    ]

    assert sorted(allowed) == sorted(f"{FUNCTIONS[folder]}.Arn:*" for folder in PROBES)
    assert stack.function("SmokeRelease")["FunctionName"].startswith("CodeDeployHook_")


@contextlib.contextmanager
def codedeploy_hears(status: str) -> Iterator[None]:
    client = smoke_release.deployments._client
    with Stubber(client) as stub:
        told = {
            "deploymentId": EVENT["DeploymentId"],
            "lifecycleEventHookExecutionId": EVENT["LifecycleEventHookExecutionId"],
            "status": status,
        }
        stub.add_response("put_lifecycle_event_hook_execution_status", {}, told)
        yield
        stub.assert_no_pending_responses()


def hook(event: dict[str, Any]) -> dict[str, Any]:
    return smoke_release.handler(event, cast("Any", Context()))


def test_codedeploy_hears_that_a_release_may_go_on(
    app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smoke_release, "settings", ReleaseSettings(VERSIONS, "us-east-1"))
    monkeypatch.setattr(smoke_release, "versions", InProcess())

    with codedeploy_hears("Succeeded"):
        assert hook(EVENT) == {"failures": []}


def test_codedeploy_hears_that_a_release_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoke_release, "settings", ReleaseSettings(VERSIONS, "us-east-1"))
    monkeypatch.setattr(smoke_release, "versions", Answering(VersionFailed("timed out")))

    with codedeploy_hears("Failed"):
        assert len(hook(EVENT)["failures"]) == len(PROBES)


def test_codedeploy_is_not_left_waiting_when_the_hook_itself_breaks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(smoke_release, "settings", ReleaseSettings(VERSIONS, "us-east-1"))
    monkeypatch.setattr(smoke_release, "versions", Answering(ZeroDivisionError()))

    with codedeploy_hears("Failed"), pytest.raises(ZeroDivisionError):
        hook(EVENT)


def test_invoked_by_hand_the_hook_only_looks(
    app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smoke_release, "settings", ReleaseSettings(VERSIONS, "us-east-1"))
    monkeypatch.setattr(smoke_release, "versions", InProcess())

    assert hook({}) == {"failures": []}
