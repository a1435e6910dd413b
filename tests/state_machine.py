"""Runs a state machine as Step Functions would: the very definition of template.yaml.

It knows the states and fields that the template uses, and stops at any other, so that a test never
passes for want of understanding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.template import template

# What runs a task: from its input to its result. Any exception is a failed task.
Run = Callable[[dict[str, Any]], Any]
Wait = Callable[[float], None]

KNOWN = {
    "Task": {"Resource", "Parameters", "Retry", "Catch"},
    "Choice": {"Choices", "Default"},
    "Wait": {"SecondsPath"},
    "Map": {"ItemsPath", "MaxConcurrency", "ItemSelector", "ItemProcessor"},
}


class ExecutionFailed(Exception):
    """A task failed more often than it is retried."""


def definition(name: str) -> dict[str, Any]:
    """Return the definition of a state machine in the template."""
    found: dict[str, Any] = template()["Resources"][name]["Properties"]["Definition"]
    return found


def execute(machine: Mapping[str, Any], document: dict[str, Any], run: Run, wait: Wait) -> Any:
    """Run an execution to its end and return its output.

    Raises:
        ExecutionFailed: a task failed for good.
    """
    name = machine["StartAt"]
    while True:
        state = machine["States"][name]
        unknown = state.keys() - KNOWN[state["Type"]] - {"Type", "Next", "End", "ResultPath"}
        assert not unknown, f"{name} has {unknown}"
        following = state.get("Next")
        match state["Type"]:
            case "Task":
                try:
                    result = _task(state, document, run, wait)
                except ExecutionFailed:
                    if "Catch" not in state:
                        raise
                    (catcher,) = state["Catch"]
                    assert catcher["ErrorEquals"] == ["States.ALL"]
                    assert catcher["ResultPath"] is None
                    name = catcher["Next"]
                    continue
                document = _placed(state, document, result)
            case "Choice":
                following = _chosen(state, document)
            case "Wait":
                wait(_at(state["SecondsPath"], document))
            case "Map":
                results = []
                for item in _at(state["ItemsPath"], document):
                    given = _filled(state["ItemSelector"], document, item)
                    results.append(execute(state["ItemProcessor"], given, run, wait))
                document = _placed(state, document, results)
        if following is None:
            assert state.get("End"), name
            return document
        name = following


def _task(state: Mapping[str, Any], document: dict[str, Any], run: Run, wait: Wait) -> Any:
    given = _filled(state["Parameters"], document)
    (retrier,) = state["Retry"]
    assert "States.TaskFailed" in retrier["ErrorEquals"]
    pause = retrier["IntervalSeconds"]
    for attempt in range(retrier["MaxAttempts"] + 1):
        try:
            return run(given)
        except Exception as error:
            if attempt == retrier["MaxAttempts"]:
                raise ExecutionFailed(f"{given.get('step')}: {error!r}") from error
        wait(pause)
        pause = min(pause * retrier["BackoffRate"], retrier["MaxDelaySeconds"])
    raise AssertionError


def _chosen(state: Mapping[str, Any], document: dict[str, Any]) -> str:
    for choice in state["Choices"]:
        assert choice.keys() == {"Variable", "BooleanEquals", "Next"}
        if _at(choice["Variable"], document) is choice["BooleanEquals"]:
            return str(choice["Next"])
    return str(state["Default"])


def _placed(state: Mapping[str, Any], document: dict[str, Any], result: Any) -> Any:
    path = state.get("ResultPath", "$")
    if path is None:
        return document
    if path == "$":
        return result
    return {**document, path.removeprefix("$."): result}


def _filled(
    template_: Mapping[str, Any], document: dict[str, Any], item: Any = None
) -> dict[str, Any]:
    filled = {}
    for name, value in template_.items():
        if name.endswith(".$"):
            filled[name[:-2]] = item if value == "$$.Map.Item.Value" else _at(value, document)
        else:
            filled[name] = value
    return filled


def _at(path: str, document: Any) -> Any:
    assert path.startswith("$."), path
    for name in path.removeprefix("$.").split("."):
        document = document[name]
    return document
