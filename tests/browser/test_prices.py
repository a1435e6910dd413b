"""Owners read what everything costs; a line says what multiplied its price."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.houses import house as provision

TIMES = "\N{MULTIPLICATION SIGN}"
AGREED = [{"id": "all-2026", "model": None, "from": "2026-04-01", "discount_percent": 20}]


def rows(visitor: Any, table: str) -> Any:
    return visitor.page.get_by_role("group", name=table).locator("tbody tr")


def test_the_list_says_rates_modifiers_and_what_was_agreed_on(
    stack: dict[str, Any], visit: Visit
) -> None:
    visitor = visit(provision(stack, "enterprise", contract_prices=AGREED), "owner")
    visitor.go("prices")

    row = rows(visitor, "List prices").filter(has_text="claude-opus-5-5")
    expect(row).to_have_text("claude-opus-5-5The beginning$4.00$20.00$0.20$5.00$8.00$0.01")
    ended = rows(visitor, "What multiplies them").filter(has_text="claude-opus-4-7")
    expect(ended.first).to_contain_text("Fast mode")
    expect(ended.first).to_contain_text(f"{TIMES} 6")
    expect(ended.first).to_contain_text("Jul 24, 2026")
    own = rows(visitor, "Your own prices")
    expect(own).to_contain_text("20% off the list price")
    visitor.picture("prices")


def test_a_line_names_its_modifiers_and_the_model_as_it_came(
    stack: dict[str, Any], visit: Visit
) -> None:
    house = provision(stack, "enterprise")
    event = {
        "id": "msg_fast",
        "user_id": house.people["m0"],
        "model": "anthropic/claude-opus-5.5",
        "occurred_at": datetime.now(UTC).isoformat(),
        "usage": {
            "input_tokens": 1000,
            "output_tokens": 100,
            "speed": "fast",
            "inference_geo": "us",
            "iterations": [
                {"type": "message", "input_tokens": 1000, "output_tokens": 100},
                {
                    "type": "advisor_message",
                    "model": "claude-fable-5-1",
                    "input_tokens": 500,
                    "output_tokens": 50,
                },
            ],
        },
    }
    told = house.send("POST", "/v1/usage/events", {"events": [event]}, key=house.service_key)
    assert told.json()["results"][0]["status"] == "recorded", told.text

    line = visit(house, "m0").page.locator(".usage-line")
    expect(line).to_contain_text("as anthropic/claude-opus-5.5")
    expect(line).to_contain_text(f"Fast mode {TIMES} 2")
    expect(line).to_contain_text(f"Inference in the US {TIMES} 11/10")
    line.locator("summary").click()
    advice = line.locator("tbody tr").filter(has_text="claude-fable-5-1")
    expect(advice).to_have_count(2)
    expect(advice.first).to_contain_text(f"Inference in the US {TIMES} 11/10")
    expect(advice.first).not_to_contain_text("Fast mode")
