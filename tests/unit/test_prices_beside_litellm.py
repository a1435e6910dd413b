"""Prices beside a second, independent source: LiteLLM's cost map and calculator.

Every Claude model that it knows, every shape of usage, every modifier. Where the two differ, the
difference is in a table here with who is right, and by which source.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any, Final, Literal

import pytest

from headroom.pricing.domain.prices import Unpriceable
from headroom.pricing.domain.usage import parse_usage, price
from headroom.pricing.price_book import PRICE_BOOK

ROOT: Final = Path(__file__).resolve().parents[2]
PYTHON: Final = ROOT / ".venv-litellm/bin/python"
NOVEMBER: Final = datetime(2026, 11, 20, 12, tzinfo=UTC)

# All quantities come to whole nanos under every factor, so that nothing is rounded.
SHAPES: Final[dict[str, dict[str, Any]]] = {
    "input and output": {"input_tokens": 1000, "output_tokens": 400},
    "cache read": {"cache_read_input_tokens": 2000},
    "write for 5 minutes": {
        "cache_creation_input_tokens": 4000,
        "cache_creation": {"ephemeral_5m_input_tokens": 4000, "ephemeral_1h_input_tokens": 0},
    },
    "write for an hour": {
        "cache_creation_input_tokens": 4000,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 4000},
    },
    "at the step": {"input_tokens": 100_000, "output_tokens": 400},
    "long": {"input_tokens": 150_000, "output_tokens": 400},
    "long by its cache": {
        "input_tokens": 10_000,
        "output_tokens": 400,
        "cache_read_input_tokens": 100_000,
    },
    "long write for an hour": {
        "cache_creation_input_tokens": 120_000,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 120_000},
    },
    # Beside the top-level figures: by the calculator's own reading, too.
    "compaction": {
        "input_tokens": 1000,
        "output_tokens": 400,
        "iterations": [
            {"type": "compaction", "input_tokens": 30_000, "output_tokens": 2000},
            {"type": "message", "input_tokens": 1000, "output_tokens": 400},
        ],
    },
    "advisor": {
        "input_tokens": 10,
        "output_tokens": 10,
        "iterations": [
            {"type": "message", "input_tokens": 10, "output_tokens": 10},
            {
                "type": "advisor_message",
                "model": "claude-fable-5-1",
                "input_tokens": 20_000,
                "output_tokens": 1500,
            },
        ],
    },
    # Of one model alone: the calculator is asked for the price of the model that served.
    "fallback": {
        "input_tokens": 412,
        "output_tokens": 264,
        "iterations": [
            {
                "type": "message",
                "model": "claude-fable-5",
                "input_tokens": 408,
                "output_tokens": 0,
            },
            {
                "type": "fallback_message",
                "model": "claude-opus-4-8",
                "input_tokens": 412,
                "output_tokens": 264,
            },
        ],
    },
    "search": {"server_tool_use": {"web_search_requests": 3}},
}
SERVING: Final = "claude-opus-4-8"
MODIFIERS: Final[dict[str, dict[str, str]]] = {
    "plain": {},
    "fast": {"speed": "fast"},
    "us": {"inference_geo": "us"},
    "fast us": {"speed": "fast", "inference_geo": "us"},
    "batch": {"service_tier": "batch"},
    "batch fast": {"service_tier": "batch", "speed": "fast"},
    "batch us": {"service_tier": "batch", "inference_geo": "us"},
}
CASES: Final[dict[str, dict[str, Any]]] = {
    f"{shape}, {modifier}": {
        "input_tokens": 0,
        "output_tokens": 0,
        **SHAPES[shape],
        **MODIFIERS[modifier],
    }
    for shape, modifier in product(SHAPES, MODIFIERS)
}

# What LiteLLM's map has only as others run it, at the standard rates.
ELSEWHERE: Final = (
    "anthropic.claude-3-5-haiku-20241022-v1:0",
    "anthropic.claude-3-5-sonnet-20240620-v1:0",
    "anthropic.claude-3-7-sonnet-20250219-v1:0",
    "anthropic.claude-3-opus-20240229-v1:0",
    "anthropic.claude-opus-4-1-20250805-v1:0",
    "anthropic.claude-opus-4-20250514-v1:0",
    "anthropic.claude-sonnet-4-20250514-v1:0",
    "anthropic.claude-v1",
    "anthropic.claude-v2:1",
    "vertex_ai/claude-3-haiku@20240307",
    "vertex_ai/claude-3-sonnet@20240229",
)
# Of these it has no rate of caches.
CACHELESS: Final = {
    "anthropic.claude-v1",
    "anthropic.claude-v2:1",
    "vertex_ai/claude-3-haiku@20240307",
    "vertex_ai/claude-3-sonnet@20240229",
}
# What it does not have at all: they are newer than it.
UNKNOWN_THERE: Final = {"claude-fable-5-2", "claude-mythos-5-2"}
PRICING: Final = "https://platform.claude.com/docs/en/about-claude/pricing"
ADVISOR: Final = "https://platform.claude.com/docs/en/agents-and-tools/tool-use/advisor-tool"
FAST: Final = "https://code.claude.com/docs/en/fast-mode"
REFUSALS: Final = "https://platform.claude.com/docs/en/build-with-claude/refusals-and-fallback"
BATCHES: Final = "https://platform.claude.com/docs/en/build-with-claude/batch-processing#pricing"


@dataclass(frozen=True)
class Difference:
    """Where the two differ, who is right, by which source, and what LiteLLM comes to instead.

    That is `there` of our price, of the usage as LiteLLM `reads` it if it reads another.
    """

    why: str
    right: Literal["Headroom", "LiteLLM"]
    source: str
    meets: Callable[[str, str, str], bool]
    there: Callable[[int], Fraction] = Fraction
    reads: dict[str, int] | None = None


DIFFERENCES: Final = (
    Difference(
        "Claude Mythos Preview is announced at 25 and 125 USD; the map has the price of Mythos 5",
        "Headroom",
        "https://www.anthropic.com/glasswing",
        lambda model, shape, modifier: model == "claude-mythos-preview" and shape != "search",
        lambda ours: Fraction(ours) * 2 / 5,
    ),
    Difference(
        "a search costs the same with every model that can search; the map has none for these",
        "Headroom",
        PRICING,
        lambda model, shape, modifier: (
            re.search("haiku-4-5|3-5-haiku|3-5-sonnet|3-7-sonnet", model) is not None
            and shape == "search"
        ),
        lambda ours: Fraction(0),
    ),
    Difference(
        "a write for an hour is twice the price of input with every model that has caches; where "
        "the map has no rate of it, the calculator takes that of five minutes",
        "Headroom",
        PRICING,
        lambda model, shape, modifier: (
            model in ELSEWHERE and "hour" in shape and not modifier.startswith("batch")
        ),
        lambda ours: Fraction(ours) * 5 / 8,
    ),
    Difference(
        "what an advisor used is charged at its own model's rates; the calculator adds it to what "
        "the request's model used",
        "Headroom",
        ADVISOR,
        lambda model, shape, modifier: shape == "advisor",
        reads={"input_tokens": 20_010, "output_tokens": 1510},
    ),
    Difference(
        "an attempt that was declined before any output is not billed; the calculator adds it to "
        "what the model that served used",
        "Headroom",
        REFUSALS,
        lambda model, shape, modifier: shape == "fallback",
        reads={"input_tokens": 820, "output_tokens": 264},
    ),
    Difference(
        "in a batch a write for an hour is half of that; the calculator takes half of 5 minutes'",
        "Headroom",
        BATCHES,
        lambda model, shape, modifier: "hour" in shape and modifier.startswith("batch"),
        # Twice the price of input, and five quarters of it.
        lambda ours: Fraction(ours) * 5 / 8,
    ),
    Difference(
        "geography stacks with the batch discount; the calculator of batches leaves it out",
        "Headroom",
        "https://platform.claude.com/docs/en/build-with-claude/data-residency",
        lambda model, shape, modifier: modifier == "batch us" and shape != "search",
        lambda ours: Fraction(ours) * 10 / 11,
    ),
    Difference(
        "fast mode multiplies every token rate; the calculator of batches leaves it out",
        "Headroom",
        FAST,
        lambda model, shape, modifier: (
            modifier == "batch fast"
            and shape != "search"
            # Opus 4.6 is at standard speed by now, whatever was asked for.
            and not model.startswith("claude-opus-4-6")
        ),
        lambda ours: Fraction(ours) / 2,
    ),
)


@pytest.fixture(scope="module")
def there() -> dict[str, dict[str, int]]:
    """What LiteLLM says, in nanos: by model and case."""
    answer = subprocess.run(  # noqa: S603
        [str(PYTHON), str(ROOT / "tests/litellm_prices.py")],
        input=json.dumps({"cases": CASES, "elsewhere": ELSEWHERE}),
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
        # Its own map, as it was released: nothing is fetched.
        env={**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
    )
    costs = json.loads(answer.stdout)
    return {
        model: {case: round(usd * 1_000_000_000) for case, usd in its.items()}
        for model, its in costs.items()
    }


def here(model: str, case: str, at: datetime = NOVEMBER) -> int:
    return cost(CASES[case], model, at)


def cost(usage: dict[str, Any], model: str, at: datetime = NOVEMBER) -> int:
    return price(parse_usage(usage), book=PRICE_BOOK, model=model, at=at).amount_nanos


def is_compared(model: str, shape: str) -> bool:
    """Tell whether LiteLLM has a price of its own to compare with."""
    if shape == "fallback":
        return model == SERVING
    return model not in CACHELESS or not re.search("cache|write", shape)


def test_each_price_is_litellms_too_or_the_table_says_why_not(
    there: dict[str, dict[str, int]],
) -> None:
    met: set[str] = set()
    for model, (shape, modifier) in product(there, product(SHAPES, MODIFIERS)):
        if not is_compared(model, shape):
            continue
        case = f"{shape}, {modifier}"
        try:
            ours = here(model, case)
        except Unpriceable:
            continue
        expected = Fraction(ours)
        differences = [each for each in DIFFERENCES if each.meets(model, shape, modifier)]
        for difference in differences:
            if difference.reads is not None:
                expected = Fraction(cost({**difference.reads, **MODIFIERS[modifier]}, model))
        for difference in differences:
            expected = difference.there(1) * expected
            met.add(difference.why)
        assert there[model][case] == expected, (model, case, ours)
    # What LiteLLM has mended by now goes from the table.
    assert met == {difference.why for difference in DIFFERENCES}


@pytest.mark.parametrize(
    ("model", "case", "ours", "theirs"),
    [
        ("claude-opus-5-5", "advisor, plain", 275_240_000, 110_240_000),
        (SERVING, "fallback, plain", 8_660_000, 10_700_000),
    ],
)
def test_what_the_two_make_of_iterations(
    there: dict[str, dict[str, int]], model: str, case: str, ours: int, theirs: int
) -> None:
    assert (here(model, case), there[model][case]) == (ours, theirs)


def test_litellm_knows_no_factor_that_is_refused_here(there: dict[str, dict[str, int]]) -> None:
    """It charges such a request as if it had not asked; nobody was sold it."""
    refused = set()
    for model, (shape, modifier) in product(there, product(SHAPES, MODIFIERS)):
        sold = []
        for asked in modifier.split():
            try:
                here(model, f"{shape}, {asked}")
                sold.append(asked)
            except Unpriceable:
                refused.add((model, asked))
        if len(sold) < len(modifier.split()):
            rest = " ".join(sold) or "plain"
            assert there[model][f"{shape}, {modifier}"] == there[model][f"{shape}, {rest}"]
    assert ("claude-sonnet-5", "fast") in refused
    assert ("claude-sonnet-4-5", "us") in refused


def test_every_model_of_the_book_is_compared_or_listed(there: dict[str, dict[str, int]]) -> None:
    compared = {PRICE_BOOK.find(model).id for model in there}

    assert compared | UNKNOWN_THERE == {model.id for model in PRICE_BOOK.models}
    assert not compared & UNKNOWN_THERE


def test_litellm_has_no_earlier_prices(there: dict[str, dict[str, int]]) -> None:
    """Sonnet 5.5's cache reads cost twice as much until 2026-10-06; Headroom is right.

    Its map has one price for a model, today's. Source: the pricing page, as it stood.
    """
    before = datetime(2026, 10, 5, 12, tzinfo=UTC)

    case = "cache read, plain"
    assert here("claude-sonnet-5-5", case, before) == 2 * there["claude-sonnet-5-5"][case]
    assert here("claude-sonnet-5-5", case) == there["claude-sonnet-5-5"][case]
