"""Build the layer's price book from the `genai-prices` package.

    python tools/build_price_book.py            writes layers/headroom/headroom/price_book.json
    python tools/build_price_book.py --check    fails if that file is not what would be written

The package is a development dependency: importing it costs half a second, which a Lambda should
not pay at every cold start. What the price book cannot say exactly fails the build.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import genai_prices
from genai_prices.data import providers
from genai_prices.types import (
    ClauseContains,
    ClauseEquals,
    ClauseOr,
    ClauseRegex,
    ClauseStartsWith,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    Provider,
    StartDateConstraint,
    TieredPrices,
)

PRICE_BOOK: Final = (
    Path(__file__).resolve().parent.parent / "layers/headroom/headroom/price_book.json"
)

# USD a million tokens times this is nanos a token; USD a thousand searches, nanos a search.
NANOS_PER_TOKEN_PRICE: Final = 1_000
NANOS_PER_SEARCH_PRICE: Final = 1_000_000

PRICE_KEYS: Final = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write_5m": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "web_search": "web_searches_kcount",
}

CACHE_KINDS: Final = frozenset({"cache_read", "cache_write_5m", "cache_write_1h"})

# Half of these prices is not a whole number of nanos. They are real (Haiku 5.5 writes its
# 5-minute cache at 0.125 USD a million tokens, 0.0625 in a batch), so such a line is charged by
# the pair of tokens and rounded down once. Any other such price stops the build until a person has
# looked at it and either added it here or changed the unit of account.
HALF_NANO_BATCH_PRICES: Final = frozenset({("claude-haiku-5-5", "cache_write_5m")})

# Batch is half of every token price, web search in full, for every model and date: the
# published rule (https://platform.claude.com/docs/en/build-with-claude/batch-processing#pricing).
# The package dates its batch prices from 2026-10-14 and has none for retired models; where it has
# one, the build checks that it is that half, and the price book need not carry it.
BATCH: Final = {"processing": "batch"}
# Fast mode is not sold here: the wire contract has no `speed`, so no hold could bound it.
NOT_SOLD: Final = ({"speed": "fast"},)


class Unbuildable(Exception):
    """The package holds something that the price book cannot say exactly."""


def build(provider: Provider, version: str) -> dict[str, Any]:
    """Return the price book of a provider as JSON-ready data.

    Models keep the package's order, because the first that matches a name is the one meant.

    Raises:
        Unbuildable: names the model and what about its price cannot be said.
    """
    return {
        "version": f"genai-prices-{version}",
        "models": [_model(model) for model in provider.models],
    }


def render(book: dict[str, Any]) -> str:
    """Return the file's text, one line a model, so that a price change is a diff of one line."""
    lines = ",\n".join(json.dumps(model, separators=(", ", ": ")) for model in book["models"])
    return f'{{"version": {json.dumps(book["version"])}, "models": [\n{lines}\n]}}\n'


def _model(model: ModelInfo) -> dict[str, Any]:
    prices = [_price(model, start, price) for start, price in _dated_prices(model)]
    _check_variants(model)
    return {"id": model.id, "match": _clause(model.match), "prices": prices}


def _dated_prices(model: ModelInfo) -> Iterator[tuple[date | None, ModelPrice]]:
    if isinstance(model.prices, ModelPrice):
        yield None, model.prices
        return
    previous: date | None = None
    for index, conditional in enumerate(model.prices):
        start = _start(conditional, model)
        in_order = start is None if index == 0 else start and (not previous or start > previous)
        if not in_order:
            raise Unbuildable(f"{model.id}: prices do not run from the beginning by rising date")
        previous = start
        yield start, conditional.prices


def _start(conditional: ConditionalPrice, model: ModelInfo) -> date | None:
    match conditional.constraint:
        case None:
            return None
        case StartDateConstraint(start_date=start):
            return start
        case other:
            raise Unbuildable(f"{model.id}: cannot date a price by {other!r}")


def _price(model: ModelInfo, start: date | None, price: ModelPrice) -> dict[str, Any]:
    """Turn one dated price into tiers that each name all rates.

    The package gives every kind its own thresholds; a tier applies to a request with *more*
    input than its threshold.
    """
    known = {key: value for key, value in vars(price).items() if value is not None}
    if strange := known.keys() - set(PRICE_KEYS.values()):
        raise Unbuildable(f"{model.id}: cannot charge by {', '.join(sorted(strange))}")
    thresholds = {
        tier.start
        for value in known.values()
        if isinstance(value, TieredPrices)
        for tier in value.tiers
    }
    tiers = [{"input_tokens_min": 0, "rates": _rates(model, known, None)}]
    tiers += [
        {"input_tokens_min": above + 1, "rates": _rates(model, known, above)}
        for above in sorted(thresholds)
    ]
    return {"from": start.isoformat() if start else None, "tiers": tiers}


def _rates(model: ModelInfo, known: dict[str, Any], above: int | None) -> dict[str, int]:
    usd = {kind: _at(known[key], above) for kind, key in PRICE_KEYS.items() if key in known}
    if not usd.keys() & CACHE_KINDS:
        # Models from before prompt caching: like the package, count such tokens as plain input.
        usd |= {kind: usd["input"] for kind in CACHE_KINDS if "input" in usd}
    # Models from before web search cannot search; like the package, nothing is charged.
    usd.setdefault("web_search", Decimal(0))
    if missing := PRICE_KEYS.keys() - usd.keys():
        raise Unbuildable(f"{model.id}: no price of {', '.join(sorted(missing))}")

    rates = {}
    for kind in PRICE_KEYS:
        scale = NANOS_PER_SEARCH_PRICE if kind == "web_search" else NANOS_PER_TOKEN_PRICE
        rates[kind] = _whole(usd[kind] * scale, model, kind)
        half_is_exempt = kind == "web_search" or (model.id, kind) in HALF_NANO_BATCH_PRICES
        if rates[kind] % 2 and not half_is_exempt:
            raise Unbuildable(
                f"{model.id}: {kind} at the batch discount is {rates[kind]}/2 nanos, not whole"
            )
    return rates


def _at(value: Decimal | TieredPrices, above: int | None) -> Decimal:
    """Return the price of a request whose input is just over the threshold `above`."""
    if not isinstance(value, TieredPrices):
        return value
    found = value.base
    for tier in sorted(value.tiers, key=lambda tier: tier.start):
        if above is not None and tier.start <= above:
            found = tier.price
    return found


def _whole(nanos: Decimal, model: ModelInfo, kind: str) -> int:
    if nanos != nanos.to_integral_value() or nanos < 0:
        raise Unbuildable(f"{model.id}: {kind} is {nanos.normalize()} nanos, not a whole number")
    return int(nanos)


def _check_variants(model: ModelInfo) -> None:
    """Refuse a request-specific price that nobody has decided about, or a batch that is no half."""
    dated = list(_dated_prices(model))
    for variant in model.price_variants or ():
        if variant.when in NOT_SOLD:
            continue
        if variant.when != BATCH:
            raise Unbuildable(f"{model.id}: no rule for prices when {variant.when}")
        since = date.min
        if variant.constraint is not None:
            if not isinstance(variant.constraint, StartDateConstraint):
                raise Unbuildable(f"{model.id}: cannot date a price by {variant.constraint!r}")
            since = variant.constraint.start_date
        for index, (_, standard) in enumerate(dated):
            ends = dated[index + 1][0] if index + 1 < len(dated) else None
            if ends is None or ends > since:
                _check_half(model, standard, variant.prices)


def _check_half(model: ModelInfo, standard: ModelPrice, batch: ModelPrice) -> None:
    for kind, key in PRICE_KEYS.items():
        full, found = getattr(standard, key), getattr(batch, key)
        # A variant only overrides: what it does not name keeps the standard price.
        applied = full if found is None else found
        if applied != (full if kind == "web_search" else _halved(full)):
            raise Unbuildable(f"{model.id}: {kind} in a batch is {applied}, not half of {full}")


def _halved(price: Decimal | TieredPrices | None) -> Decimal | TieredPrices | None:
    match price:
        case None:
            return None
        case TieredPrices():
            tiers = [type(tier)(tier.start, tier.price / 2) for tier in price.tiers]
            return TieredPrices(price.base / 2, tiers)
        case _:
            return price / 2


def _clause(clause: object) -> dict[str, Any]:
    """Turn a match clause into data; names are matched in lower case."""
    match clause:
        case ClauseEquals(equals=text):
            return {"equals": text.lower()}
        case ClauseStartsWith(starts_with=text):
            return {"starts_with": text.lower()}
        case ClauseContains(contains=text):
            return {"contains": text.lower()}
        case ClauseRegex(regex=pattern):
            return {"regex": pattern}
        case ClauseOr(or_=inner):
            return {"or": [_clause(each) for each in inner]}
        case _:
            raise Unbuildable(f"no rule for the match clause {clause!r}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the price book, or check that it is the one that would be written."""
    parser = argparse.ArgumentParser(description="Build the price book from genai-prices.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail on a difference")
    options = parser.parse_args(arguments)

    anthropic = next(provider for provider in providers if provider.id == "anthropic")
    try:
        text = render(build(anthropic, genai_prices.__version__))
    except Unbuildable as problem:
        sys.stderr.write(f"price book not built: {problem}\n")
        return 1
    if options.check:
        if PRICE_BOOK.read_text(encoding="utf-8") == text:
            return 0
        sys.stderr.write("price_book.json differs from the installed genai-prices: make prices\n")
        return 1
    PRICE_BOOK.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
