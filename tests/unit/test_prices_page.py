"""Every worked example of the page on prices."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, time
from pathlib import Path

import pytest

from headroom.domain.money import format_amount
from headroom.domain.usage import parse_usage, price
from headroom.price_book import PRICE_BOOK

PAGE = Path(__file__).resolve().parents[2] / "docs" / "prices.md"
ROW = re.compile(r"^\| (claude-\S+) \| ([0-9-]+) \| `(\{.*\})` \| ([0-9.]+) \|$", re.MULTILINE)
EXAMPLES = ROW.findall(PAGE.read_text())


@pytest.mark.parametrize(("model", "day", "usage", "cents"), EXAMPLES)
def test_the_example_costs_what_the_page_says(model: str, day: str, usage: str, cents: str) -> None:
    at = datetime.combine(date.fromisoformat(day), time(12), UTC)
    priced = price(parse_usage(json.loads(usage)), book=PRICE_BOOK, model=model, at=at)
    assert format_amount(priced.amount_nanos) == cents


def test_no_example_is_passed_over() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| claude-")]
    assert len(rows) == len(EXAMPLES) >= 14
