"""The close's state machine stays within what Step Functions bears, however large an organization.

An execution ends when its history has 25,000 events, and its states carry 256 KiB of JSON.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from headroom.billing.usecases.period_close import LOOK_AGAIN, SHARD_MEMBERS, Shard, shards_to_wire
from headroom.pricing.domain.bounds import HOLD_LIFE_MAX
from headroom.spending.wire.authorizations import USER_ID_LENGTH_MAX
from tests.state_machine import Histories, History, Throttled, definition, execute

HISTORY_MAX = 25_000
CARRIED_MAX = 256 * 1024
MAP_RUNS_MAX = 1_000
MACHINE = definition("ClosingMachine")
DOCUMENT = {"organization_id": "org_" + "0" * 26, "period": "2026-11"}
# A hold of the month's last second is looked after hour by hour until its life is over.
LOOKS = HOLD_LIFE_MAX // LOOK_AGAIN + 1


def cut(members: int) -> list[Shard]:
    """The shards of so many members, all with the longest ids there are."""
    ends = [f"{number:0{USER_ID_LENGTH_MAX}d}" for number in range(0, members, SHARD_MEMBERS)]
    return [Shard(index, end, end) for index, end in enumerate(ends)]


class Steps:
    """Answers for `invoice_organization`: shards are open for some looks, and calls fail."""

    def __init__(self, members: int, looks: int, failures: int = 0, throttles: int = 0) -> None:
        self.shards = shards_to_wire(cut(members))
        self.looks = looks
        self.failures, self.throttles = failures, throttles
        self.called: Counter[tuple[str, int]] = Counter()
        self.carried = 0
        self._left = (throttles, failures)

    def run(self, event: dict[str, Any]) -> Any:
        throttles, failures = self._left
        if throttles:
            self._left = (throttles - 1, failures)
            raise Throttled
        if failures:
            self._left = (0, failures - 1)
            raise RuntimeError
        self._left = (self.throttles, self.failures)
        answer = self._answer(event)
        self.carried = max(self.carried, len(json.dumps(answer)))
        return answer

    def _answer(self, event: dict[str, Any]) -> dict[str, Any]:
        index = event.get("shard", {}).get("index", 0)
        self.called[event["step"], index] += 1
        match event["step"]:
            case "begin":
                return {"shards": self.shards, "count": len(self.shards)}
            case "turn":
                looked = self.called["turn", index]
                return {"open": looked <= self.looks, "wait_seconds": LOOK_AGAIN.seconds}
            case "invoice":
                return {"invoice_id": "inv"}
        return {}


def close(steps: Steps) -> list[int]:
    histories = Histories()
    execute(MACHINE, DOCUMENT, steps.run, lambda _: None, History.new(histories))
    return histories.events


@pytest.mark.parametrize("members", [1, 1_000, 1_001, 25_000, 100_000])
def test_a_close_with_a_hold_open_in_every_shard_for_a_day_stays_within_the_history(
    members: int,
) -> None:
    steps = Steps(members, LOOKS)

    events = close(steps)

    assert max(events) < HISTORY_MAX / 4
    assert steps.carried < CARRIED_MAX / 2
    for shard in steps.shards:
        assert steps.called["turn", shard["index"]] == LOOKS + 1
        assert steps.called["total", shard["index"]] == 1
    assert steps.called["seal", 0] == steps.called["publish", 0] == 1


@pytest.mark.parametrize("members", [1_000, 1_001, 10_000])
def test_it_does_so_even_if_every_call_is_repeated_as_often_as_it_may_be(members: int) -> None:
    throttled, failed = (retrier["MaxAttempts"] for retrier in MACHINE["States"]["Begin"]["Retry"])

    assert max(close(Steps(members, LOOKS, failures=failed, throttles=throttled))) < HISTORY_MAX


def test_only_large_organizations_have_executions_for_their_shards() -> None:
    """Of a million closes in an hour, a thousand may run shards at a time."""
    assert len(close(Steps(4 * SHARD_MEMBERS, 0))) == 1
    assert len(close(Steps(4 * SHARD_MEMBERS + 1, 0))) == 6


def test_shards_are_closed_alike_in_an_execution_of_their_own_and_in_the_machines() -> None:
    few, many = (MACHINE["States"][name] for name in ("Members", "ManyMembers"))
    renamed = dict(
        zip(few["ItemProcessor"]["States"], many["ItemProcessor"]["States"], strict=True)
    )
    text = json.dumps({"StartAt": few["ItemProcessor"]["StartAt"], **few["ItemProcessor"]})
    for name, other in renamed.items():
        text = text.replace(f'"{name}"', f'"{other}"')
    alike = json.loads(text)
    del alike["ProcessorConfig"]

    assert many["ItemProcessor"] == alike | {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    }
    for field in ("ItemsPath", "ItemSelector", "MaxConcurrency", "Next"):
        assert few[field] == many[field]


def test_every_state_has_a_name_of_its_own() -> None:
    """Step Functions refuses a machine in which two have the same, inside maps too."""

    def names(machine: dict[str, Any]) -> list[str]:
        inner = [
            name
            for state in machine["States"].values()
            for name in names(state.get("ItemProcessor", {"States": {}}))
        ]
        return [*machine["States"], *inner]

    assert [name for name, times in Counter(names(MACHINE)).items() if times > 1] == []


def test_every_step_is_patient_while_the_budget_of_closes_is_used_up() -> None:
    def retried(machine: dict[str, Any]) -> list[list[dict[str, Any]]]:
        found = []
        for state in machine["States"].values():
            if state["Type"] == "Task":
                found.append(state["Retry"])
            found += retried(state.get("ItemProcessor", {"States": {}}))
        return found

    everything = retried(MACHINE)
    assert len(everything) == 9
    for retriers in everything:
        throttled, failed = retriers
        assert throttled["ErrorEquals"] == ["Lambda.TooManyRequestsException"]
        # Whoever was turned away comes again at a moment of their own.
        assert throttled["JitterStrategy"] == failed["JitterStrategy"] == "FULL"
        assert throttled["MaxAttempts"] > failed["MaxAttempts"]
