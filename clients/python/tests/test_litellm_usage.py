"""Usage costs the same by way of LiteLLM as when it comes as the API said it."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from headroom.pricing.domain.usage import parse_usage, price
from headroom.pricing.price_book import PRICE_BOOK

ROOT = Path(__file__).resolve().parents[3]
NOVEMBER = datetime(2026, 11, 20, 12, tzinfo=UTC)
ASKED = "claude-fable-5"
PLAIN = {"input_tokens": 1000, "output_tokens": 400}
LIFETIMES = {"ephemeral_5m_input_tokens": 600, "ephemeral_1h_input_tokens": 200}
WRITES = {"cache_creation_input_tokens": 800, "cache_creation": LIFETIMES}


def entry(kind: str, input_tokens: int, output_tokens: int, **more: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "cache_read_input_tokens": 0,
        "cache_creation_input_tokens": 0,
        **more,
    }


ANSWER = entry("message", 1000, 400)
COMPACTION = entry("compaction", 5000, 20)
USAGES: dict[str, dict[str, Any]] = {
    "no iterations": {**PLAIN, **WRITES, "speed": "standard", "inference_geo": "us"},
    "an empty list": {**PLAIN, **WRITES, "iterations": []},
    "one": {**PLAIN, "iterations": [ANSWER]},
    "a loop": {
        "input_tokens": 2000,
        "output_tokens": 800,
        "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1},
        "iterations": [ANSWER, ANSWER],
    },
    "a compaction": {**PLAIN, "iterations": [COMPACTION, ANSWER]},
    "a compaction alone": {"input_tokens": 0, "output_tokens": 0, "iterations": [COMPACTION]},
    "a compaction alone that is cached": {
        "input_tokens": 0,
        "output_tokens": 0,
        "iterations": [{**COMPACTION, **WRITES}],
    },
    "lifetimes of the whole alone": {
        **PLAIN,
        **WRITES,
        "iterations": [{**ANSWER, "cache_creation_input_tokens": 800}],
    },
    "lifetimes of each": {**PLAIN, **WRITES, "iterations": [COMPACTION, {**ANSWER, **WRITES}]},
    "an advisor": {
        **PLAIN,
        "iterations": [entry("advisor_message", 9, 5, model="claude-opus-5"), ANSWER],
    },
    "a fallback": {
        "input_tokens": 412,
        "output_tokens": 264,
        "iterations": [
            entry("message", 408, 0, model=ASKED),
            entry("fallback_message", 412, 264, model="claude-opus-4-8"),
        ],
    },
    "a fallback after output": {
        "input_tokens": 412,
        "output_tokens": 264,
        "iterations": [
            entry("message", 408, 7, model=ASKED),
            entry("fallback_message", 412, 264, model="claude-opus-4-8"),
        ],
    },
    "a fallback with a loop of its own": {
        "input_tokens": 824,
        "output_tokens": 300,
        "iterations": [
            entry("message", 408, 0, model=ASKED),
            entry("message", 400, 36, model="claude-opus-4-8"),
            entry("fallback_message", 424, 264, model="claude-opus-4-8"),
        ],
    },
}
# As another release of LiteLLM may have it: with what it never takes from the API by now, and sums
# that have the answer as well, which no iteration tells.
ITS_OWN: dict[str, Any] = {
    "prompt_tokens": 6000,
    "completion_tokens": 420,
    "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 3},
    "fallback_credit": {"status": {"type": "redeemed"}},
    "iterations": [COMPACTION],
}


@pytest.fixture(scope="module")
def reported() -> dict[str, dict[str, Any]]:
    answer = subprocess.run(
        [str(ROOT / ".venv-litellm/bin/python"), str(Path(__file__).with_name("litellm_usage.py"))],
        input=json.dumps([*USAGES.values(), ITS_OWN]),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT / "clients/python/src"),
            # Nothing is fetched.
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        },
    )
    assert answer.returncode == 0, answer.stderr
    return dict(zip([*USAGES, "its own"], json.loads(answer.stdout), strict=True))


def cost(usage: dict[str, Any]) -> int:
    at = price(parse_usage(usage), book=PRICE_BOOK, model=ASKED, at=NOVEMBER)
    return at.amount_nanos


@pytest.mark.parametrize("name", USAGES)
def test_what_litellm_adds_up_is_taken_apart_again(
    reported: dict[str, dict[str, Any]], name: str
) -> None:
    assert cost(reported[name]) == cost(USAGES[name]) > 0


def test_what_litellm_has_is_passed_on(reported: dict[str, dict[str, Any]]) -> None:
    usage = reported["its own"]

    assert (usage["input_tokens"], usage["output_tokens"]) == (1000, 400)
    assert usage["server_tool_use"]["web_search_requests"] == 2
    assert parse_usage(usage).notes == ("fallback_credit_redeemed",)


def test_a_fallback_costs_what_the_issue_says(reported: dict[str, dict[str, Any]]) -> None:
    assert cost(reported["a fallback"]) == 8_660_000
