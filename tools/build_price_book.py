"""Build the layer's price book from the `genai-prices` package and what is kept beside it.

    python -m tools.build_price_book            says what changes, and writes the price book
    python -m tools.build_price_book --check    fails if the file is not what would be written

The package is a development dependency: importing it costs half a second, which a Lambda should
not pay at every cold start. It knows neither every model nor every earlier price: those are in
`tools/prices/additions.json`, each with its source, and what was in force once stays in the book.
What multiplies a price is in `price_modifiers.json`, beside the book, and edited by hand: no source
brings it, and its changes are shown by its own diff. What cannot be said exactly fails the build.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import Any, Final, get_args

import genai_prices
from anthropic.types import Model
from genai_prices.data import providers
from genai_prices.types import (
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    Provider,
    StartDateConstraint,
    TieredPrices,
)

from headroom.core.errors import InvalidRequest
from headroom.pricing.domain.modifiers import HALF, MODIFIER_VALUES, PLAIN, Factor
from headroom.pricing.domain.prices import TOKEN_KINDS, PriceBook, UnknownModel, unit_price

_ROOT: Final = Path(__file__).resolve().parent.parent
PRICE_BOOK: Final = _ROOT / "layers/headroom/headroom/pricing/price_book.json"
MODIFIERS: Final = _ROOT / "layers/headroom/headroom/pricing/price_modifiers.json"
ADDITIONS: Final = _ROOT / "tools/prices/additions.json"

# Where the package reads its prices from is said there, model by model.
SOURCE: Final = "https://github.com/pydantic/genai-prices"

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

# A price after its factors may be a fraction of a nano: Haiku 5.5 writes its 5-minute cache at
# 0.125 USD a million tokens, 0.0625 in a batch, 0.06875 in a batch in the US. Such a line is
# charged by so many tokens together and rounded down once (ADR 30). A finer fraction stops the
# build until a person has looked at it and either allowed it or changed the unit of account. What
# an organization agreed on is not bound by this: a discount may be any whole percentage.
PER_MAX: Final = 4

# Batch is half of every token price, web search in full, for every model and date: the
# published rule (https://platform.claude.com/docs/en/build-with-claude/batch-processing#pricing).
# The package dates its batch prices from 2026-10-14 and has none for retired models; where it has
# one, the build checks that it is that half, and the price book need not carry it.
BATCH: Final = {"processing": "batch"}
FAST: Final = {"speed": "fast"}


NOTHING_ADDED: Final[Mapping[str, Any]] = {
    "models": [],
    "earlier_prices": [],
    "earlier_windows": [],
}
NO_MODIFIERS: Final[Mapping[str, Any]] = {"modifiers": []}
OLDEST_WINDOW: Final = 200_000


# What holds from when, the oldest first; from None, since the beginning.
_Rows = Sequence[tuple[Any, Any]]


class Unbuildable(Exception):
    """The package holds something that the price book cannot say exactly."""


def build(
    provider: Provider,
    version: str,
    additions: Mapping[str, Any] = NOTHING_ADDED,
    modifiers: Mapping[str, Any] = NO_MODIFIERS,
) -> dict[str, Any]:
    """Return the price book of a provider as JSON-ready data, by rising model id.

    Raises:
        Unbuildable: names the model and what about its price cannot be said.
    """
    models = {model.id: _model(model) for model in provider.models}
    for added in additions["models"]:
        if added["id"] in models:
            raise Unbuildable(f"{added['id']}: the package has it now; remove the addition")
        read = {name: added[name] for name in ("source", "read")}
        models[added["id"]] = {
            "id": added["id"],
            "windows": added["windows"],
            "prices": [{**price, **read} for price in added["prices"]],
        }
    for earlier in (*additions["earlier_prices"], *additions["earlier_windows"]):
        if earlier["model"] not in models:
            raise Unbuildable(f"{earlier['model']}: nothing of it is known but what was earlier")
    for earlier in additions["earlier_prices"]:
        _put_before(models[earlier["model"]], earlier)
    for window in additions["earlier_windows"]:
        windows = models[window["model"]]["windows"]
        if len(windows) > 1 or windows[0][1] == window["tokens"]:
            raise Unbuildable(f"{window['model']}: the earlier window is no other, or a second one")
        windows[:] = [[None, window["tokens"]], [_day_after(window["until"]), windows[0][1]]]
    book = {
        "version": f"genai-prices-{version}",
        "source": SOURCE,
        "models": [models[name] for name in sorted(models)],
    }
    _check_fractions(book, modifiers)
    _check_fast(provider, modifiers)
    return book


def check_names(book: Mapping[str, Any], modifiers: Mapping[str, Any]) -> None:
    """Refuse a book without a price for a model that the SDK names.

    Raises:
        Unbuildable: names the models.
    """
    read = PriceBook.from_dict(book, modifiers)
    (literal, _) = get_args(Model)
    missing = []
    for name in get_args(literal):
        try:
            read.find(name)
        except UnknownModel:
            missing.append(name)
    if missing:
        raise Unbuildable(
            f"{', '.join(missing)}: the SDK names it, and nothing has a price for it; add it to "
            "the additions"
        )


def _put_before(model: dict[str, Any], earlier: Mapping[str, Any]) -> None:
    """Put a price that the package has forgotten before the one that it knows."""
    first, starts = model["prices"][0], _day_after(earlier["until"])
    if first["from"] is not None or len(model["prices"]) > 1:
        raise Unbuildable(f"{model['id']}: the package has dated prices; look at the addition")
    if len(first["tiers"]) != 1 or earlier["rates"].items() <= first["tiers"][0]["rates"].items():
        raise Unbuildable(f"{model['id']}: the earlier price is no other, or has tiers")
    old = {"input_tokens_min": 0, "rates": first["tiers"][0]["rates"] | earlier["rates"]}
    read = {name: earlier[name] for name in ("source", "read")}
    model["prices"] = [{"from": None, "tiers": [old], **read}, {**first, "from": starts}]


def _day_after(day: str) -> str:
    return (date.fromisoformat(day) + timedelta(days=1)).isoformat()


def _check_fractions(book: Mapping[str, Any], modifiers: Mapping[str, Any]) -> None:
    """Refuse a price that is too fine a fraction of a nano after any allowed factors."""
    try:
        read = PriceBook.from_dict(book, modifiers)
    except (ValueError, InvalidRequest) as error:
        raise Unbuildable(str(error)) from error
    for model in read.models:
        for price in model.prices:
            # Each kind applies once; a price meets no other combination.
            factors = [PLAIN]
            for kind in MODIFIER_VALUES:
                once = [each.factor for each in price.modifiers if each.kind == kind]
                factors += [one.times(other) for one in factors for other in once]
            factors += [each.times(HALF) for each in factors]
            for tier, token, factor in product(price.tiers, TOKEN_KINDS, factors):
                _, per = unit_price(tier.rates, token, factor)
                if per > PER_MAX:
                    raise Unbuildable(
                        f"{model.id}: {token} times {factor} is a whole number of nanos only for "
                        f"{per} tokens together"
                    )


def _check_fast(provider: Provider, modifiers: Mapping[str, Any]) -> None:
    """Refuse a fast price of the package that the modifiers do not come to."""
    factors: dict[str, list[Factor]] = {}
    for row in modifiers["modifiers"]:
        if row["kind"] == "speed":
            factors.setdefault(row["model"], []).append(Factor.read(row["factor"], "factor"))
    for model in provider.models:
        for variant in model.price_variants or ():
            if variant.when != FAST:
                continue
            _, standard = list(_dated_prices(model))[-1]
            for kind, key in PRICE_KEYS.items():
                full, found = getattr(standard, key), getattr(variant.prices, key)
                if kind == "web_search" or found is None:
                    continue
                if not any(
                    found * factor.denominator == full * factor.numerator
                    for factor in factors.get(model.id, ())
                ):
                    raise Unbuildable(f"{model.id}: {kind} in fast mode is {found}, not so by ours")


def lose_nothing(book: Mapping[str, Any], before: Mapping[str, Any]) -> None:
    """Refuse a book that says otherwise of a time for which there was a price, or a window.

    What stood has to stand as it was, and what is new comes behind it. Usage of any day may still
    arrive, and is priced at that day's price. A row that was never true is corrected in the book
    by hand, where its own diff is looked at.

    Raises:
        Unbuildable: names the model and the row.
    """
    models = {model["id"]: model for model in book["models"]}
    for old in before["models"]:
        new = models.get(old["id"])
        if new is None:
            raise Unbuildable(f"{old['id']}: the package has forgotten it; add it to the additions")
        _keep_rows(f"{old['id']}: the price", _priced(old), _priced(new))
        _keep_rows(f"{old['id']}: the window", old["windows"], new["windows"])


def _keep_rows(what: str, before: _Rows, after: _Rows) -> None:
    now = {start: value for start, value in after}  # noqa: C416 (rows may be lists)
    for start, value in before:
        if start not in now:
            raise Unbuildable(f"{what} {_since(start)} is gone")
        if now[start] != value:
            raise Unbuildable(
                f"{what} {_since(start)} is another now; write into the additions until when the "
                "earlier one held"
            )
    stood = [start for start, _ in before]
    for start in now:
        if start not in stood and start < (stood[-1] or ""):
            raise Unbuildable(f"{what} {_since(start)} is put before one that stood already")


def _since(start: str | None) -> str:
    return f"from {start}" if start else "from the beginning"


def changes(book: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    """Return what another book changes, a line for each model that it does anything to."""
    old = {model["id"]: model for model in before["models"]}
    said = []
    for model in book["models"]:
        was = old.pop(model["id"], None)
        if was is None:
            said.append(f"{model['id']}: new, {_spoken(model['prices'])}")
        elif _priced(was) != _priced(model):
            said.append(
                f"{model['id']}: {_spoken(was['prices'])}\n    becomes {_spoken(model['prices'])}"
            )
        elif was.get("windows") != model["windows"]:
            said.append(f"{model['id']}: window {was.get('windows')} becomes {model['windows']}")
        elif was != model:
            said.append(f"{model['id']}: the same prices, from another source")
    return said + [f"{name}: gone" for name in old]


def _priced(model: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    return [(price["from"], price["tiers"]) for price in model["prices"]]


def _spoken(prices: list[dict[str, Any]]) -> str:
    return "; ".join(
        (f"from {price['from']} " if price["from"] else "")
        + (f"from {tier['input_tokens_min']} tokens " if tier["input_tokens_min"] else "")
        + "/".join(str(tier["rates"][kind]) for kind in TOKEN_KINDS)
        for price in prices
        for tier in price["tiers"]
    )


def render(book: dict[str, Any]) -> str:
    """Return the file's text, one line a model, so that a price change is a diff of one line."""
    lines = ",\n".join(json.dumps(model, separators=(", ", ": ")) for model in book["models"])
    head = ", ".join(f'"{name}": {json.dumps(book[name])}' for name in ("version", "source"))
    return f'{{{head}, "models": [\n{lines}\n]}}\n'


def _model(model: ModelInfo) -> dict[str, Any]:
    prices = [_price(model, start, price) for start, price in _dated_prices(model)]
    _check_variants(model)
    # Models from before 2024 have no window in the package; theirs was the largest of their day.
    return {
        "id": model.id,
        "windows": [[None, model.context_window or OLDEST_WINDOW]],
        "prices": prices,
    }


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
        if variant.when == FAST:
            continue  # Compared with the modifiers.
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the price book, or check that it is the one that would be written."""
    parser = argparse.ArgumentParser(description="Build the price book from genai-prices.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail on a difference")
    options = parser.parse_args(arguments)

    anthropic = next(provider for provider in providers if provider.id == "anthropic")
    try:
        before = json.loads(PRICE_BOOK.read_text(encoding="utf-8"))
        additions, modifiers = (
            json.loads(file.read_text(encoding="utf-8")) for file in (ADDITIONS, MODIFIERS)
        )
        book = build(anthropic, genai_prices.__version__, additions, modifiers)
        check_names(book, modifiers)
        lose_nothing(book, before)
        text = render(book)
    except Unbuildable as problem:
        sys.stderr.write(f"price book not built: {problem}\n")
        return 1
    if options.check:
        if PRICE_BOOK.read_text(encoding="utf-8") == text:
            return 0
        sys.stderr.write("price_book.json differs from the installed genai-prices: make prices\n")
        return 1
    found = changes(book, before)
    sys.stdout.write("".join(f"{line}\n" for line in found) or "no price changes\n")
    PRICE_BOOK.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
