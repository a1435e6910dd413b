"""What GET /v1/prices says is what is charged, and where it was read."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from headroom.pricing.domain.prices import KINDS
from headroom.pricing.price_book import PRICE_BOOK
from tests.every_route import MEMBER, Site

MODIFIERS = (
    Path(__file__).resolve().parents[2] / "layers/headroom/headroom/pricing/price_modifiers.json"
)
AGREED = [
    {
        "id": "opus-2026",
        "model": "claude-opus-5",
        "from": "2026-05-01",
        "tiers": [
            {
                "input_tokens_min": 0,
                "rates": {
                    "input": 4000,
                    "output": 20_000,
                    "cache_read": 400,
                    "cache_write_5m": 5000,
                    "cache_write_1h": 8000,
                    "web_search": 9_000_000,
                },
            }
        ],
        "modifiers": [{"kind": "speed", "value": "fast", "factor": "3/2", "until": "2026-12-31"}],
    },
    {"id": "all-2026", "model": None, "from": "2026-04-01", "discount_percent": 20},
]


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(monkeypatch)


def prices(site: Site, org_id: str | None = None) -> dict[str, Any]:
    answer = site.call("GET", "/v1/prices", org_id=org_id)
    assert answer.status == 200, answer.body
    return dict(answer.body)


def model_of(listed: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (model for model in listed["models"] if model["id"] == name)
    return dict(found)


def rates_of(tier: dict[str, Any]) -> dict[str, str]:
    return {rate["kind"]: rate["unit_price"] for rate in tier["rates"]}


def test_rates_are_cents_for_a_million_tokens(site: Site) -> None:
    (price,) = model_of(prices(site), "claude-opus-5-5")["prices"]

    (tier,) = price["tiers"]
    assert rates_of(tier) == {
        "input": "400",
        "output": "2000",
        "cache_read": "20",
        "cache_write_5m": "500",
        "cache_write_1h": "800",
        "web_search": "1",
    }
    per = {rate["kind"]: rate["per"] for rate in tier["rates"]}
    assert per == dict.fromkeys(KINDS, 1_000_000) | {"web_search": 1}


def test_every_price_of_the_book_is_there_and_exact(site: Site) -> None:
    """Cents are ten million nanos each."""
    listed = prices(site)

    assert listed["version"] == PRICE_BOOK.version
    assert [model["id"] for model in listed["models"]] == [model.id for model in PRICE_BOOK.models]
    for model, shown in zip(PRICE_BOOK.models, listed["models"], strict=True):
        for price, its in zip(model.prices, shown["prices"], strict=True):
            for tier, row in zip(price.tiers, its["tiers"], strict=True):
                assert row["input_tokens_min"] == tier.input_tokens_min
                assert row["price_version"] == tier.version
                for rate in row["rates"]:
                    nanos = Decimal(rate["unit_price"]) * 10_000_000 / rate["per"]
                    assert nanos == tier.rates.of(rate["kind"]), (model.id, rate)


def test_a_price_says_from_when_it_holds_and_who_says_so(site: Site) -> None:
    listed = prices(site)
    before, after = model_of(listed, "claude-sonnet-5-5")["prices"]

    assert (before["from"], after["from"]) == (None, "2026-10-07")
    assert rates_of(before["tiers"][0])["cache_read"] == "20"
    assert rates_of(after["tiers"][0])["cache_read"] == "10"
    assert before["source"].startswith("https://platform.claude.com/")
    assert before["read"] == "2026-11-27"
    assert after["source"] == listed["source"]
    assert all(
        price["source"].startswith("https://")
        for model in listed["models"]
        for price in model["prices"]
    )


def test_every_modifier_is_there_with_its_days_and_its_source(site: Site) -> None:
    listed = prices(site)

    shown = [
        {"model": model["id"], **modifier}
        for model in listed["models"]
        for modifier in model["modifiers"]
    ]
    kept = json.loads(MODIFIERS.read_text())["modifiers"]

    def order(row: dict[str, Any]) -> tuple[str, ...]:
        return row["model"], row["kind"], row["from"] or ""

    assert sorted(shown, key=order) == sorted(kept, key=order)
    assert listed["service_tiers"] == {"standard": "1", "batch": "1/2"}


def test_an_organization_sees_its_own_prices_and_nobody_elses(site: Site) -> None:
    own = site.provision("enterprise", "agreed", contract_prices=AGREED)

    opus, everything = prices(site, org_id=own)["contract"]

    assert (opus["id"], opus["model"], opus["from"]) == ("opus-2026", "claude-opus-5", "2026-05-01")
    assert rates_of(opus["tiers"][0])["input"] == "400"
    assert opus["discount_percent"] is None
    assert opus["modifiers"] == [
        {
            "kind": "speed",
            "value": "fast",
            "factor": "3/2",
            "from": None,
            "until": "2026-12-31",
            "source": None,
            "read": None,
        }
    ]
    assert everything == {
        "id": "all-2026",
        "model": None,
        "from": "2026-04-01",
        "tiers": None,
        "discount_percent": 20,
        "modifiers": [],
    }
    assert prices(site)["contract"] == []


@pytest.mark.parametrize("usage", [{}, {"speed": "fast"}, {"inference_geo": "us"}])
def test_a_line_can_be_worked_out_from_what_is_listed(site: Site, usage: dict[str, str]) -> None:
    event = {
        "id": "msg_1",
        "user_id": MEMBER,
        "model": "anthropic/claude-opus-5.5",
        "occurred_at": site.now.isoformat(),
        "usage": {"input_tokens": 1001, "output_tokens": 7, **usage},
    }
    site.call("POST", "/v1/usage/events", {"events": [event]})
    (line,) = site.call("GET", "/v1/me/usage").body["data"]
    model = model_of(prices(site), line["model"])
    version = line["price_version"].partition(";")[0]
    (tier,) = (
        tier
        for price in model["prices"]
        for tier in price["tiers"]
        if tier["price_version"] == version
    )

    factor = Fraction(1)
    for applied in line["modifiers"]:
        (listed,) = (
            each
            for each in model["modifiers"]
            if (each["kind"], each["value"]) == (applied["kind"], applied["value"])
        )
        assert listed["factor"] == applied["factor"]
        factor *= Fraction(listed["factor"])

    unit = {rate["kind"]: Fraction(rate["unit_price"]) / rate["per"] for rate in tier["rates"]}
    assert Fraction(line["amount"]) == (1001 * unit["input"] + 7 * unit["output"]) * factor
    assert line["model_named"] == "anthropic/claude-opus-5.5"


def test_a_parameter_that_it_does_not_know_is_refused(site: Site) -> None:
    answer = site.call("GET", "/v1/prices", query="model=claude-opus-5")

    assert answer.refusal == (400, "invalid_request_error")
