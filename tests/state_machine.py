"""Runs a state machine as Step Functions would: the very definition of template.yaml.

It knows the states and fields that the template uses, and stops at any other, so that a test never
passes for want of understanding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.template import template

# What runs a task: from its input to its result. Any exception is a failed task.
Run = Callable[[dict[str, Any]], Any]
Wait = Callable[[float], None]

# What the history of an execution records, by AWS's reference of HistoryEvent.
EXECUTION_EVENTS = 2  # started; succeeded or failed
STATE_EVENTS = 2  # entered, exited
ATTEMPT_EVENTS = 3  # function scheduled, started, and succeeded or failed
MAP_EVENTS = 2  # started; succeeded or failed
MAP_RUN_EVENTS = 2  # the same, of a distributed one
ITERATION_EVENTS = 2  # the same, of each item that is not an execution of its own

KNOWN = {
    "Task": {"Resource", "Parameters", "Retry", "Catch"},
    "Choice": {"Choices", "Default"},
    "Wait": {"SecondsPath"},
    "Map": {"ItemsPath", "MaxConcurrency", "ItemSelector", "ItemProcessor", "Label"},
}
THROTTLED = "Lambda.TooManyRequestsException"
FAILED = "States.TaskFailed"


@dataclass
class Histories:
    """How many events each execution recorded: the machine's own is the first."""

    events: list[int] = field(default_factory=list)

    def begin(self) -> int:
        """Return the number of a new execution."""
        self.events.append(EXECUTION_EVENTS)
        return len(self.events) - 1


@dataclass(frozen=True)
class History:
    """Where an execution's events are counted."""

    all: Histories
    number: int

    @classmethod
    def new(cls, histories: Histories) -> History:
        return cls(histories, histories.begin())

    def record(self, events: int) -> None:
        self.all.events[self.number] += events


class Throttled(Exception):
    """Lambda had no invocation to spare, and the function was not called."""


class ExecutionFailed(Exception):
    """A task failed more often than it is retried."""


def definition(name: str) -> dict[str, Any]:
    """Return the definition of a state machine in the template."""
    found: dict[str, Any] = template()["Resources"][name]["Properties"]["Definition"]
    return found


def execute(
    machine: Mapping[str, Any],
    document: dict[str, Any],
    run: Run,
    wait: Wait,
    history: History | None = None,
) -> Any:
    """Run an execution to its end and return its output.

    Raises:
        ExecutionFailed: a task failed for good.
    """
    history = history or History.new(Histories())
    name = machine["StartAt"]
    while True:
        state = machine["States"][name]
        unknown = state.keys() - KNOWN[state["Type"]] - {"Type", "Next", "End", "ResultPath"}
        assert not unknown, f"{name} has {unknown}"
        following = state.get("Next")
        history.record(STATE_EVENTS)
        match state["Type"]:
            case "Task":
                try:
                    result = _task(state, document, run, wait, history)
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
                document = _placed(state, document, _map(state, document, run, wait, history))
        if following is None:
            assert state.get("End"), name
            return document
        name = following


def _map(
    state: Mapping[str, Any], document: dict[str, Any], run: Run, wait: Wait, history: History
) -> list[Any]:
    processor = state["ItemProcessor"]
    distributed = processor["ProcessorConfig"]["Mode"] == "DISTRIBUTED"
    history.record(MAP_EVENTS + (MAP_RUN_EVENTS if distributed else 0))
    results = []
    for item in _at(state["ItemsPath"], document):
        given = _filled(state["ItemSelector"], document, item)
        if distributed:
            own = History.new(history.all)
        else:
            own = history
            history.record(ITERATION_EVENTS)
        results.append(execute(processor, given, run, wait, own))
    return results


def _task(
    state: Mapping[str, Any], document: dict[str, Any], run: Run, wait: Wait, history: History
) -> Any:
    given = _filled(state["Parameters"], document)
    used = [0] * len(state["Retry"])
    while True:
        history.record(ATTEMPT_EVENTS)
        try:
            return run(given)
        except Exception as error:
            # The first that matches decides; what it has used up is not tried by the next.
            name = THROTTLED if isinstance(error, Throttled) else FAILED
            number, retrier = next(
                (number, retrier)
                for number, retrier in enumerate(state["Retry"])
                if name in retrier["ErrorEquals"] or FAILED in retrier["ErrorEquals"]
            )
            if used[number] == retrier["MaxAttempts"]:
                raise ExecutionFailed(f"{given.get('step')}: {error!r}") from error
            pause = retrier["IntervalSeconds"] * retrier["BackoffRate"] ** used[number]
            used[number] += 1
        wait(min(pause, retrier["MaxDelaySeconds"]))


def _chosen(state: Mapping[str, Any], document: dict[str, Any]) -> str:
    for choice in state["Choices"]:
        found = _at(choice["Variable"], document)
        (comparison,) = choice.keys() - {"Variable", "Next"}
        wanted = choice[comparison]
        match comparison:
            case "BooleanEquals":
                holds = found is wanted
            case "NumericGreaterThan":
                holds = found > wanted
            case _:
                raise AssertionError(f"unknown comparison {comparison}")
        if holds:
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
