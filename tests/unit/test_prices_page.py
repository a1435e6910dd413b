"""Every worked example of the page on prices, and every cell of its table."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, time
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import pytest

from headroom.core.domain.money import format_amount
from headroom.pricing.domain.prices import PriceBook, Unpriceable
from headroom.pricing.domain.usage import parse_usage, price
from headroom.pricing.price_book import PRICE_BOOK

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = (ROOT / "docs" / "prices.md").read_text()
PRICES: Final = ROOT / "layers/headroom/headroom/pricing"
RATES: Final = json.loads((PRICES / "price_book.json").read_text())
MODIFIERS: Final = json.loads((PRICES / "price_modifiers.json").read_text())["modifiers"]

ROW: Final = re.compile(
    r"^\| (claude-\S+) \| ([0-9-]+) \| `(\{.*\})` \| ([0-9.]+) \|$", re.MULTILINE
)
CELLS: Final = re.compile(
    r"^\| (claude-\S+) \| ([0-9.]+(?: \| (?:[0-9.]+|not sold)){4}) \|$", re.MULTILINE
)
# The columns of the table: cents for a million tokens are those of 10,000 a hundred times.
TABLE_DAY: Final = "2026-11-20"
TOKENS: Final = 10_000
COLUMNS: Final[tuple[dict[str, str], ...]] = (
    {},
    {"speed": "fast"},
    {"inference_geo": "us"},
    {"speed": "fast", "inference_geo": "us"},
    {"service_tier": "batch"},
)

# Model, day, usage, and what the page says that it costs: None is not sold.
Example = tuple[str, str, dict[str, Any], str | None]
WORKED: Final[list[Example]] = [
    (model, day, json.loads(usage), cents) for model, day, usage, cents in ROW.findall(PAGE)
]
TABLE: Final[list[Example]] = [
    (
        model,
        TABLE_DAY,
        {"input_tokens": TOKENS, "output_tokens": 0, **asked},
        None if said == "not sold" else format_amount(int(Fraction(said) * 100_000)),
    )
    for model, row in CELLS.findall(PAGE)
    for asked, said in zip(COLUMNS, row.split(" | "), strict=True)
]
EXAMPLES: Final = [*WORKED, *TABLE]


def cost(example: Example, book: PriceBook = PRICE_BOOK) -> str | None:
    model, day, usage, _ = example
    at = datetime.combine(date.fromisoformat(day), time(12), UTC)
    try:
        return format_amount(price(parse_usage(usage), book=book, model=model, at=at).amount_nanos)
    except Unpriceable:
        return None


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_the_example_costs_what_the_page_says(example: Example) -> None:
    assert cost(example) == example[-1]


def test_no_example_and_no_model_is_passed_over() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| claude-")]
    tabled = {model for model, *_ in TABLE}

    assert len(rows) == len(WORKED) + len(tabled)
    assert len(WORKED) >= 14
    assert tabled == {model.id for model in PRICE_BOOK.models if model.prices[0].modifiers}


@pytest.mark.parametrize("index", range(len(MODIFIERS)), ids=lambda index: str(MODIFIERS[index]))
def test_no_factor_can_change_unnoticed(index: int) -> None:
    """Whichever is another one, some example comes to something else."""
    mutated = [dict(row) for row in MODIFIERS]
    mutated[index]["factor"] = str(Fraction(mutated[index]["factor"]) * Fraction(101, 100))
    book = PriceBook.from_dict(RATES, {"modifiers": mutated})

    assert any(cost(example, book) != example[-1] for example in EXAMPLES)


@pytest.mark.parametrize("index", range(len(MODIFIERS)), ids=lambda index: str(MODIFIERS[index]))
def test_no_modifier_can_be_lost_unnoticed(index: int) -> None:
    left = [row for at, row in enumerate(MODIFIERS) if at != index]
    book = PriceBook.from_dict(RATES, {"modifiers": left})

    assert any(cost(example, book) != example[-1] for example in EXAMPLES)


@pytest.mark.parametrize("type_", ["compaction", "advisor_message", "fallback_message"])
def test_no_kind_of_iteration_can_be_dropped_unnoticed(type_: str) -> None:
    """As if a rule of the pricing were left out: its entries count for nothing."""
    changed = 0
    for model, day, usage, cents in WORKED:
        entries = usage.get("iterations", [])
        left = [entry for entry in entries if entry["type"] != type_]
        if left != entries:
            changed += cost((model, day, {**usage, "iterations": left}, cents)) != cents
    assert changed
