"""What the functions count, under names that the dashboard and the alarms listen for."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headroom.core.store.keys import budget as budget_key
from headroom.spending.domain.budget import Budget
from headroom.spending.store.budget_record import BudgetRecord

FUNCTIONS = Path(__file__).resolve().parents[2] / "functions"
BEFORE = Budget(
    "org_1", "user_1", "2026-11", "standard", allotment=70, held=20, spent=10, granted=100
)


def test_the_stream_counts_what_moved_and_not_what_was_always_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from functions.follow_spend import handler as follow_spend

    monkeypatch.setattr(follow_spend, "follow_budgets", lambda *_: None)
    after = replace(BEFORE, allotment=60, held=80, granted=150)
    records = [_record(None, after), _record(BEFORE, after), _record(after, BEFORE)]

    follow_spend.handler({"Records": records}, _Context())

    told = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    figures = {name: value for name, value in told.items() if "Nanos" in name or "ls" in name[-3:]}
    assert told["Grants"] == [1.0]
    assert told["Recalls"] == [1.0]
    assert figures == {
        "HeldNanos": [60.0],
        "GrantedNanos": [50.0],
        "RecalledNanos": [50.0],
        "Recalls": [1.0],
    }
    assert told["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Headroom"


def test_what_is_published_is_counted_under_its_name(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from functions.publish_events import handler as publish_events

    monkeypatch.setattr(publish_events.bus, "publish", lambda events: None)
    names = ["wallet.low", "spend_limit.changed", "wallet.low"]
    records = [
        {
            "eventName": "INSERT",
            "dynamodb": {"NewImage": {"detail_type": {"S": name}, "detail": {"S": "{}"}}},
        }
        for name in names
    ]

    publish_events.handler({"Records": records}, _Context())  # type: ignore[arg-type]

    told = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line]
    counted = {metric["detail_type"]: metric["EventPublished"] for metric in told}
    assert counted == {"wallet.low": [2.0], "spend_limit.changed": [1.0]}


def test_the_template_alone_says_under_which_namespace() -> None:
    """Two stacks in one account must not add up in one metric."""
    for handler in FUNCTIONS.glob("*/handler.py"):
        assert not re.search(r"namespace=", handler.read_text()), handler


class _Context:
    function_name = "follow_spend"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:follow_spend"
    aws_request_id = "1"


def _record(before: Budget | None, after: Budget) -> dict[str, Any]:
    stream = {"NewImage": _image(after)}
    if before is not None:
        stream["OldImage"] = _image(before)
    return {"eventName": "MODIFY" if before else "INSERT", "dynamodb": stream}


def _image(budget: Budget) -> dict[str, Any]:
    key = budget_key(budget.org_id, budget.user_id)
    return {**key.attributes(), **BudgetRecord.from_domain(key, budget).to_item()}
