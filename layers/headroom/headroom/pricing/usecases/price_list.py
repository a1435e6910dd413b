"""Prices in the open: the price book, its modifiers, and what was agreed on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from headroom.core.domain.money import format_amount
from headroom.pricing.domain.modifiers import Modifier
from headroom.pricing.domain.prices import (
    KINDS,
    SERVICE_TIER_FACTORS,
    ContractPrice,
    Kind,
    ModelPrices,
    Price,
    PriceBook,
    Rates,
    Tier,
)

# Tokens are priced by the million, everything else by the piece.
TOKENS: Final = 1_000_000

_BEGINNING: Final = datetime.min.replace(tzinfo=UTC)
_END: Final = datetime.max.replace(tzinfo=UTC)


def price_list(
    book: PriceBook, contract: Sequence[ContractPrice], currency: str, now: datetime
) -> dict[str, Any]:
    """Return every price that can hold under a contract: past, present and announced."""
    return {
        "type": "prices",
        "version": book.version,
        "source": book.source,
        "currency": currency,
        "models": [_model(book, model, now) for model in book.models],
        "service_tiers": {tier: str(factor) for tier, factor in SERVICE_TIER_FACTORS.items()},
        "contract": [_agreed(agreed) for agreed in contract],
    }


def _model(book: PriceBook, model: ModelPrices, now: datetime) -> dict[str, Any]:
    # The modifiers are the model's: each of its prices has them all.
    modifiers = model.prices[0].modifiers
    return {
        "id": model.id,
        "window": model.window_at(now),
        "prices": [_price(price, book.source) for price in model.prices],
        "modifiers": [_modifier(each) for each in modifiers],
    }


def _price(price: Price, source: str | None) -> dict[str, Any]:
    return {
        "from": _day(price.starts_at),
        "tiers": _tiers(price),
        "source": price.source or source,
        "read": price.read_on,
    }


def _agreed(agreed: ContractPrice) -> dict[str, Any]:
    return {
        "id": agreed.id,
        "model": agreed.model,
        "from": _day(agreed.starts_at),
        "tiers": None if agreed.price is None else _tiers(agreed.price),
        "discount_percent": agreed.discount_percent if agreed.price is None else None,
        "modifiers": [_modifier(each) for each in agreed.modifiers],
    }


def _tiers(price: Price) -> list[dict[str, Any]]:
    return [_tier(tier) for tier in price.tiers]


def _tier(tier: Tier) -> dict[str, Any]:
    return {
        "input_tokens_min": tier.input_tokens_min,
        "price_version": tier.version,
        "rates": [_rate(tier.rates, kind) for kind in KINDS],
    }


def _rate(rates: Rates, kind: Kind) -> dict[str, Any]:
    per = 1 if kind == "web_search" else TOKENS
    return {"kind": kind, "unit_price": format_amount(rates.of(kind) * per), "per": per}


def _modifier(modifier: Modifier) -> dict[str, Any]:
    return {
        "kind": modifier.kind,
        "value": modifier.value,
        "factor": str(modifier.factor),
        "from": _day(modifier.starts_at),
        "until": None
        if modifier.ends_at == _END
        else (modifier.ends_at - timedelta(days=1)).date().isoformat(),
        "source": modifier.source,
        "read": modifier.read_on,
    }


def _day(starts_at: datetime) -> str | None:
    return None if starts_at == _BEGINNING else starts_at.date().isoformat()
