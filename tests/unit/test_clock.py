"""The test clock is ahead by what it was set to, and only where money is not real."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from headroom.core.clock import Clock
from tests.template import template


def test_a_clock_that_was_not_set_tells_the_machines_time() -> None:
    before = datetime.now(UTC)

    assert before <= Clock.from_env({"STAGE": "prod"}).now() <= datetime.now(UTC)


@pytest.mark.parametrize("stage", ["local", "dev"])
def test_a_test_clock_runs_ahead_by_what_it_was_set_to(stage: str) -> None:
    clock = Clock.from_env({"STAGE": stage, "CLOCK_AHEAD_SECONDS": "5270400"})

    ahead = clock.now() - datetime.now(UTC)
    assert timedelta(days=61) - timedelta(seconds=1) < ahead <= timedelta(days=61)


@pytest.mark.parametrize("stage", ["prod", "production", ""])
def test_no_other_stage_starts_with_a_test_clock(stage: str) -> None:
    with pytest.raises(ValueError, match="cannot be set"):
        Clock.from_env({"STAGE": stage, "CLOCK_AHEAD_SECONDS": "1"})


def test_the_template_refuses_a_test_clock_in_production() -> None:
    (rule,) = [
        rule
        for rule in template()["Rules"].values()
        if rule.get("RuleCondition") == {"Fn::Equals": [{"Ref": "Stage"}, "prod"]}
    ]

    asserted = [each["Assert"] for each in rule["Assertions"]]
    assert {"Fn::Equals": [{"Ref": "ClockAheadSeconds"}, "0"]} in asserted
