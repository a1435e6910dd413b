from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from genai_prices.types import (
    ClauseEquals,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    Provider,
    StartDateConstraint,
    Tier,
    TieredPrices,
    TimeOfDateConstraint,
)

from headroom.core.errors import InvalidRequest
from headroom.pricing.domain.modifiers import HALF, Factor
from headroom.pricing.domain.modifiers import PLAIN as NO_FACTOR
from headroom.pricing.domain.prices import (
    KINDS,
    PriceBook,
    Rates,
    UnknownModel,
    read_contract_price,
    unit_price,
)
from headroom.pricing.price_book import PRICE_BOOK
from tools import build_price_book
from tools.build_price_book import NO_MODIFIERS, NOTHING_ADDED, Unbuildable, build, render

JULY = datetime(2026, 7, 1, tzinfo=UTC)
# Sonnet 4.6 stopped charging more for long prompts on this day.
FLAT_FROM = datetime(2026, 3, 13, tzinfo=UTC)

SONNET_SHORT = Rates(3_000, 15_000, 300, 3_750, 6_000, 10_000_000)
SONNET_LONG = Rates(6_000, 22_500, 600, 7_500, 12_000, 10_000_000)


def rates(model: str, at: datetime, input_tokens: int) -> Rates:
    return PRICE_BOOK.price_at(model, at).tier_for(input_tokens).rates


def test_published_prices_are_nanos_a_token() -> None:
    """3 USD a million is 3,000 nanos each; a search at 10 USD a thousand is 10,000,000."""
    assert rates("claude-sonnet-4-5", JULY, 1_000) == SONNET_SHORT
    assert rates("claude-opus-4-1", JULY, 1_000) == Rates(
        15_000, 75_000, 1_500, 18_750, 30_000, 10_000_000
    )
    assert rates("claude-haiku-4-5", JULY, 1_000) == Rates(
        1_000, 5_000, 100, 1_250, 2_000, 10_000_000
    )


def test_models_from_before_caching_charge_every_input_token_alike() -> None:
    assert rates("claude-2.1", JULY, 1_000) == Rates(8_000, 24_000, 8_000, 8_000, 8_000, 0)


@pytest.mark.parametrize(
    ("input_tokens", "expected"),
    [(0, SONNET_SHORT), (200_000, SONNET_SHORT), (200_001, SONNET_LONG)],
)
def test_more_than_200000_input_tokens_make_a_long_request(
    input_tokens: int, expected: Rates
) -> None:
    assert rates("claude-sonnet-4-5", JULY, input_tokens) == expected


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (FLAT_FROM - timedelta(microseconds=1), SONNET_LONG),
        (FLAT_FROM, SONNET_SHORT),
        (datetime(2024, 1, 1, tzinfo=UTC), SONNET_LONG),
        (datetime(2099, 1, 1, tzinfo=UTC), SONNET_SHORT),
    ],
)
def test_a_price_holds_from_midnight_utc_of_its_date(at: datetime, expected: Rates) -> None:
    assert rates("claude-sonnet-4-6", at, 500_000) == expected


def test_the_version_names_snapshot_model_date_and_tier() -> None:
    before = PRICE_BOOK.price_at("claude-sonnet-4-6", FLAT_FROM - timedelta(days=1))
    after = PRICE_BOOK.price_at("claude-sonnet-4-6-20260217", FLAT_FROM)
    name = f"{PRICE_BOOK.version}/claude-sonnet-4-6"
    assert before.tier_for(1).version == f"{name}/initial"
    assert before.tier_for(200_001).version == f"{name}/initial/from-200001-input-tokens"
    assert after.tier_for(200_001).version == f"{name}/2026-03-13"
    assert PRICE_BOOK.version.startswith("genai-prices-")


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        ("Claude-Sonnet-4-5", "claude-sonnet-4-5"),
        ("claude-sonnet-4-20250514", "claude-sonnet-4-0"),
        ("claude-3-7-sonnet-20250219", "claude-3-7-sonnet-latest"),
        ("claude-opus-5-20260701", "claude-opus-5"),
        ("claude-opus-5-5", "claude-opus-5-5"),
        ("anthropic.claude-v2", "claude-2"),
    ],
)
def test_ids_dated_ids_and_aliases_mean_the_same_model(name: str, model: str) -> None:
    assert PRICE_BOOK.find(name).id == model


@pytest.mark.parametrize(
    "name",
    [
        "",
        "gpt-5",
        "<synthetic>",
        "claude",
        "claude-opus-6",
        "claude-opus-5-2026070",
        "claude-opus-5-20260701\n",
        "claude-opus-5-٢٠٢٦٠٧٠١",
        " claude-sonnet-4-5",
        "claude-sonnet-4-5 ",
        "claude-sonnet-4-5\x00",
        "claude-sonnet-4-5" + "x" * 10_000,
    ],
)
def test_an_unknown_model_is_refused_never_free(name: str) -> None:
    with pytest.raises(UnknownModel) as refusal:
        PRICE_BOOK.price_at(name, JULY)
    assert refusal.value.details() == {"field": "model"}
    assert str(refusal.value).startswith("model: no price is known for ")
    assert len(str(refusal.value)) < 250


@pytest.mark.parametrize(
    "at",
    [
        datetime(2026, 7, 1),  # noqa: DTZ001 (the naive time is the point)
        datetime(2026, 7, 1, tzinfo=timezone(timedelta(hours=2))),
    ],
)
def test_a_time_that_is_not_utc_is_a_bug(at: datetime) -> None:
    with pytest.raises(ValueError, match="expected a time in UTC"):
        PRICE_BOOK.price_at("claude-sonnet-4-5", at)


CONTRACT_RATES = {
    "input": 2_000,
    "output": 11_000,
    "cache_read": 200,
    "cache_write_5m": 2_500,
    "cache_write_1h": 4_000,
    "web_search": 9_000_000,
}


def replacement(**changes: object) -> dict[str, Any]:
    tiers = [{"input_tokens_min": 0, "rates": CONTRACT_RATES}]
    raw = {"id": "ctr_1", "model": "claude-sonnet-4-5", "from": "2026-05-01", "tiers": tiers}
    return {**raw, **changes}


def discount(percent: object, **changes: object) -> dict[str, Any]:
    raw = {"id": "ctr_2", "model": None, "from": "2026-05-01", "discount_percent": percent}
    return {**raw, **changes}


def test_contract_rates_replace_the_list_price_from_their_date() -> None:
    agreed = [read_contract_price(replacement(), PRICE_BOOK, "contract[0]")]
    start = datetime(2026, 5, 1, tzinfo=UTC)

    before = PRICE_BOOK.price_at("claude-sonnet-4-5", start - timedelta(microseconds=1), agreed)
    assert before.tier_for(1).rates == SONNET_SHORT

    after = PRICE_BOOK.price_at("claude-sonnet-4-5-20250929", start, agreed).tier_for(1)
    assert after.rates == Rates(**CONTRACT_RATES)
    assert after.version == "contract/ctr_1/claude-sonnet-4-5/2026-05-01"

    other = PRICE_BOOK.price_at("claude-sonnet-4-6", start, agreed)
    assert other.tier_for(1).rates == SONNET_SHORT


def test_a_discount_is_taken_off_every_rate_of_every_tier() -> None:
    raw = discount(20, model="claude-sonnet-4-5")
    agreed = [read_contract_price(raw, PRICE_BOOK, "contract[0]")]
    price = PRICE_BOOK.price_at("claude-sonnet-4-5", JULY, agreed)
    assert price.tier_for(200_000).rates == Rates(2_400, 12_000, 240, 3_000, 4_800, 8_000_000)
    long = price.tier_for(200_001)
    assert long.rates == Rates(4_800, 18_000, 480, 6_000, 9_600, 8_000_000)
    assert long.version == (
        f"{PRICE_BOOK.version}/claude-sonnet-4-5/initial/from-200001-input-tokens"
        "/contract/ctr_2/20-percent-off"
    )


def test_a_contract_for_the_model_goes_before_one_for_all_and_later_before_earlier() -> None:
    everything = read_contract_price(discount(40, **{"from": "2026-06-01"}), PRICE_BOOK, "c")
    sonnet = read_contract_price(replacement(), PRICE_BOOK, "c")
    newer = read_contract_price(
        replacement(**{"id": "ctr_3", "from": "2026-06-15"}), PRICE_BOOK, "c"
    )
    contract = [newer, everything, sonnet]

    def version(model: str, at: datetime) -> str:
        return PRICE_BOOK.price_at(model, at, contract).tier_for(1).version

    june = datetime(2026, 6, 10, tzinfo=UTC)
    assert version("claude-sonnet-4-5", june) == "contract/ctr_1/claude-sonnet-4-5/2026-05-01"
    assert version("claude-sonnet-4-5", JULY) == "contract/ctr_3/claude-sonnet-4-5/2026-06-15"
    assert version("claude-opus-4-1", june).endswith("/contract/ctr_2/40-percent-off")


def test_a_discount_off_all_models_leaves_exact_prices() -> None:
    """10 % off Haiku 5.5's 125 nanos are 112.5: 225 for two tokens, and 61.875 in a batch, in the
    US: 495 for eight."""
    agreed = [read_contract_price(discount(10), PRICE_BOOK, "contract[0]")]
    november = datetime(2026, 11, 20, tzinfo=UTC)
    rates = PRICE_BOOK.price_at("claude-haiku-5-5", november, agreed).tier_for(1).rates
    assert unit_price(rates, "cache_write_5m", NO_FACTOR) == (225, 2)
    assert unit_price(rates, "cache_write_5m", Factor(11, 20)) == (495, 8)
    # The others are whole, and a search is a search.
    assert unit_price(rates, "input", NO_FACTOR) == (90, 1)
    assert unit_price(rates, "web_search", HALF) == (9_000_000, 1)


def test_every_discount_off_every_price_is_exact() -> None:
    for percent in range(1, 101):
        agreed = [read_contract_price(discount(percent), PRICE_BOOK, "c")]
        for model in PRICE_BOOK.models:
            listed = model.price_at(JULY)
            left = PRICE_BOOK.price_at(model.id, JULY, agreed)
            for before, after in zip(listed.tiers, left.tiers, strict=True):
                for kind in KINDS:
                    nanos, per = unit_price(after.rates, kind, NO_FACTOR)
                    assert nanos * 100 == before.rates.of(kind) * (100 - percent) * per


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (discount(0), "c.discount_percent"),
        (discount(101), "c.discount_percent"),
        (discount(12.5), "c.discount_percent"),
        (discount(True), "c.discount_percent"),
        (discount(20, tiers=[]), "c"),
        ({"id": "ctr_1", "model": None, "from": "2026-05-01"}, "c"),
        (replacement(id=""), "c.id"),
        (replacement(id="a/b"), "c.id"),
        (replacement(model=7), "c.model"),
        (replacement(model=None), "c.model"),
        (replacement(model="gpt-5"), "c.model"),
        (replacement(**{"from": "2026-13-01"}), "c.from"),
        (replacement(**{"from": None}), "c.from"),
        (replacement(tiers=[]), "c.tiers"),
        (replacement(tiers=[{"input_tokens_min": 0}]), "c.tiers[0].rates"),
        (
            replacement(tiers=[{"input_tokens_min": 1, "rates": CONTRACT_RATES}]),
            "c.tiers[0].input_tokens_min",
        ),
        (
            replacement(tiers=[{"input_tokens_min": 0, "rates": CONTRACT_RATES}] * 2),
            "c.tiers[1].input_tokens_min",
        ),
        (
            replacement(tiers=[{"input_tokens_min": 0, "rates": {**CONTRACT_RATES, "output": -1}}]),
            "c.tiers[0].rates.output",
        ),
        (
            replacement(tiers=[{"input_tokens_min": 0, "rates": {**CONTRACT_RATES, "input": 0.5}}]),
            "c.tiers[0].rates.input",
        ),
        (
            replacement(tiers=[{"input_tokens_min": 0, "rates": {**CONTRACT_RATES, "audio": 1}}]),
            "c.tiers[0].rates.audio",
        ),
        (replacement(tiers=[{"input_tokens_min": 0, "rates": {}}]), "c.tiers[0].rates.input"),
    ],
)
def test_a_bad_contract_is_refused_by_the_name_of_what_is_wrong(
    raw: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        read_contract_price(raw, PRICE_BOOK, "c")
    assert refusal.value.field == field


# The build of the price book.

MODEL = "claude-opus-7"

PLAIN = ModelPrice(
    input_mtok=Decimal(3),
    output_mtok=Decimal(15),
    cache_read_mtok=Decimal("0.3"),
    cache_write_mtok=Decimal("3.75"),
    cache_write_1h_mtok=Decimal(6),
)


def changed(price: ModelPrice, **changes: Decimal | TieredPrices | None) -> ModelPrice:
    return ModelPrice(**{**vars(price), **changes})


def built(
    prices: ModelPrice | list[ConditionalPrice],
    *,
    variants: list[PriceVariant] | None = None,
    additions: Mapping[str, Any] = NOTHING_ADDED,
    modifiers: Mapping[str, Any] = NO_MODIFIERS,
) -> dict[str, Any]:
    model = ModelInfo(
        id=MODEL,
        match=ClauseEquals(MODEL),
        prices=prices,
        price_variants=variants,
    )
    provider = Provider(id="anthropic", name="Anthropic", api_pattern="", models=[model])
    return build(provider, "9.9.9", additions, modifiers)


def test_the_committed_price_book_is_what_the_installed_package_gives() -> None:
    assert build_price_book.main(["--check"]) == 0


def test_building_twice_gives_the_same_bytes() -> None:
    assert render(built(PLAIN)) == render(built(PLAIN))
    assert json.loads(render(built(PLAIN))) == built(PLAIN)


def test_a_built_book_can_be_read() -> None:
    tiered = changed(PLAIN, input_mtok=TieredPrices(Decimal(3), [Tier(1_000, Decimal(6))]))
    later = [
        ConditionalPrice(prices=PLAIN),
        ConditionalPrice(StartDateConstraint(date(2026, 7, 1)), prices=tiered),
    ]
    book = PriceBook.from_dict(json.loads(render(built(later))), NO_MODIFIERS)

    assert book.version == "genai-prices-9.9.9"
    assert book.find("claude-opus-7.0").id == book.find("claude-opus-7-latest").id == MODEL
    june = book.price_at(MODEL, JULY - timedelta(microseconds=1))
    july = book.price_at(MODEL, JULY)
    assert june.tier_for(1_001).rates.input == 3_000
    assert july.tier_for(1_000).rates.input == 3_000
    assert july.tier_for(1_001).rates.input == 6_000
    # A kind without tiers of its own costs the same in every tier of the request.
    assert july.tier_for(1_001).rates.output == 15_000


@pytest.mark.parametrize(
    ("prices", "message"),
    [
        # 0.0005 USD a million tokens would be half a nano.
        (changed(PLAIN, output_mtok=Decimal("0.0005")), f"{MODEL}: output is 0.5 nanos"),
        (changed(PLAIN, cache_read_mtok=Decimal("0.0301")), f"{MODEL}: cache_read is 30.1"),
        (
            changed(PLAIN, web_searches_kcount=Decimal("0.0000001")),
            f"{MODEL}: web_search is 0.1 nanos",
        ),
        (
            changed(
                PLAIN, input_mtok=TieredPrices(Decimal(3), [Tier(200_000, Decimal("6.00005"))])
            ),
            f"{MODEL}: input is 6000.05 nanos",
        ),
        (changed(PLAIN, output_mtok=None), f"{MODEL}: no price of output"),
        (changed(PLAIN, cache_write_1h_mtok=None), f"{MODEL}: no price of cache_write_1h"),
        (changed(PLAIN, input_audio_mtok=Decimal(1)), f"{MODEL}: cannot charge by input_audio"),
    ],
)
def test_a_price_that_is_not_whole_nanos_stops_the_build(prices: ModelPrice, message: str) -> None:
    with pytest.raises(Unbuildable) as problem:
        built(prices)
    assert str(problem.value).startswith(message)


def test_a_refresh_says_of_each_model_what_changes() -> None:
    before = json.loads(render(built(PLAIN)))
    (model,) = before["models"]
    assert build_price_book.changes(before, before) == []
    assert build_price_book.changes(before, {"models": []}) == [
        f"{MODEL}: new, 3000/15000/300/3750/6000"
    ]

    dearer = built(changed(PLAIN, input_mtok=Decimal(4)))
    assert build_price_book.changes(dearer, before) == [
        f"{MODEL}: 3000/15000/300/3750/6000\n    becomes 4000/15000/300/3750/6000"
    ]
    wider = {"models": [model | {"windows": [[None, 1_000_000]]}]}
    assert build_price_book.changes(wider, before) == [
        f"{MODEL}: window [[None, 200000]] becomes [[None, 1000000]]"
    ]
    moved = {"models": [model | {"prices": [price | {"source": "x"} for price in model["prices"]]}]}
    assert build_price_book.changes(moved, before) == [
        f"{MODEL}: the same prices, from another source"
    ]
    assert build_price_book.changes({"models": []}, before) == [f"{MODEL}: gone"]


def committed() -> dict[str, Any]:
    book: dict[str, Any] = json.loads(build_price_book.PRICE_BOOK.read_text())
    return book


def of_model(book: dict[str, Any], name: str) -> dict[str, Any]:
    (model,) = (each for each in book["models"] if each["id"] == name)
    return dict(model)


def test_a_refresh_adds_models_and_later_prices() -> None:
    book = committed()
    build_price_book.lose_nothing(book, book)
    sonnet = of_model(book, "claude-sonnet-4-6")
    price = {"from": "2027-01-01", "tiers": sonnet["prices"][-1]["tiers"], "source": "x"}
    sonnet["prices"] = [*sonnet["prices"], price]
    sonnet["windows"] = [*sonnet["windows"], ["2027-01-01", 2_000_000]]
    later = {"models": [*book["models"], sonnet, sonnet | {"id": "claude-opus-7"}]}
    build_price_book.lose_nothing(later, book)


def without_first(rows: list[Any]) -> list[Any]:
    return rows[1:]


def without_last(rows: list[Any]) -> list[Any]:
    return rows[:-1]


def dearer(index: int) -> Any:
    def change(rows: list[Any]) -> list[Any]:
        changed = copy.deepcopy(rows)
        changed[index]["tiers"][0]["rates"]["input"] += 1
        return changed

    return change


def inserted(day: str) -> Any:
    return lambda rows: [rows[0], {**rows[0], "from": day}, *rows[1:]]


@pytest.mark.parametrize(
    ("model", "rows", "change", "message"),
    [
        ("claude-opus-4-6", "prices", dearer(0), "the price from the beginning is another now"),
        ("claude-opus-4-6", "prices", dearer(1), "the price from 2026-03-13 is another now"),
        ("claude-opus-4-6", "prices", without_last, "the price from 2026-03-13 is gone"),
        ("claude-opus-4-6", "prices", without_first, "the price from the beginning is gone"),
        (
            "claude-sonnet-5-5",
            "prices",
            inserted("2026-09-01"),
            "the price from 2026-09-01 is put before one that stood already",
        ),
        ("claude-sonnet-4-5", "windows", without_last, "the window from 2026-04-30 is gone"),
        (
            "claude-sonnet-4-5",
            "windows",
            lambda rows: [[None, 200_000], *rows[1:]],
            "the window from the beginning is another now",
        ),
        (
            "claude-sonnet-4-5",
            "windows",
            lambda rows: [rows[0], ["2026-01-01", 5], rows[1]],
            "the window from 2026-01-01 is put before one that stood already",
        ),
    ],
)
def test_a_refresh_that_changes_the_past_is_not_built(
    model: str, rows: str, change: Any, message: str
) -> None:
    book = committed()
    other = of_model(book, model)
    other[rows] = change(other[rows])
    models = [other if each["id"] == model else each for each in book["models"]]
    with pytest.raises(Unbuildable) as problem:
        build_price_book.lose_nothing({"models": models}, book)
    assert str(problem.value).startswith(f"{model}: {message}")


def test_a_refresh_that_forgets_a_model_is_not_built() -> None:
    book = committed()
    with pytest.raises(Unbuildable, match=r"^claude-2: the package has forgotten it"):
        build_price_book.lose_nothing({"models": book["models"][1:]}, book)


ADDED: dict[str, Any] = {"source": "https://example.com", "read": "2026-11-27"}


def added(**changes: Any) -> dict[str, Any]:
    return {**NOTHING_ADDED, **changes}


def earlier(until: str = "2026-06-30", **rates: int) -> dict[str, Any]:
    return {"model": MODEL, "until": until, "rates": rates, **ADDED}


def test_what_is_added_stands_before_what_the_package_knows() -> None:
    window = {"model": MODEL, "until": "2026-06-30", "tokens": 1_000_000, **ADDED}
    additions = added(earlier_prices=[earlier(cache_read=600)], earlier_windows=[window])
    (model,) = built(PLAIN, additions=additions)["models"]
    assert [price["from"] for price in model["prices"]] == [None, "2026-07-01"]
    reads = [price["tiers"][0]["rates"]["cache_read"] for price in model["prices"]]
    assert reads == [600, 300]
    assert model["windows"] == [[None, 1_000_000], ["2026-07-01", 200_000]]


TIERED = changed(PLAIN, input_mtok=TieredPrices(Decimal(3), [Tier(1_000, Decimal(6))]))


@pytest.mark.parametrize(
    ("prices", "additions", "message"),
    [
        (
            PLAIN,
            added(models=[{"id": MODEL, "windows": [], "prices": [], **ADDED}]),
            "the package has it now; remove the addition",
        ),
        (
            [
                ConditionalPrice(prices=PLAIN),
                ConditionalPrice(StartDateConstraint(date(2026, 7, 1)), prices=PLAIN),
            ],
            added(earlier_prices=[earlier(input=1)]),
            "the package has dated prices; look at the addition",
        ),
        (
            PLAIN,
            added(earlier_prices=[earlier(cache_read=600), earlier("2026-01-31", cache_read=900)]),
            "the package has dated prices; look at the addition",
        ),
        (PLAIN, added(earlier_prices=[earlier(input=3_000)]), "the earlier price is no other"),
        (TIERED, added(earlier_prices=[earlier(input=1)]), "the earlier price is no other, or has"),
        (
            PLAIN,
            added(earlier_windows=[{"model": MODEL, "until": "2026-06-30", "tokens": 200_000}]),
            "the earlier window is no other",
        ),
        (
            PLAIN,
            added(earlier_windows=[{"model": MODEL, "until": "2026-06-30", "tokens": 5}] * 2),
            "the earlier window is no other, or a second one",
        ),
    ],
)
def test_an_addition_that_does_not_fit_stops_the_build(
    prices: Any, additions: dict[str, Any], message: str
) -> None:
    with pytest.raises(Unbuildable) as problem:
        built(prices, additions=additions)
    assert str(problem.value).startswith(f"{MODEL}: {message}")


@pytest.mark.parametrize("rows", ["earlier_prices", "earlier_windows"])
def test_an_addition_to_no_model_stops_the_build(rows: str) -> None:
    with pytest.raises(Unbuildable, match=r"^claude-9: nothing of it is known"):
        built(PLAIN, additions=added(**{rows: [earlier(input=1) | {"model": "claude-9"}]}))


def modified(*rows: dict[str, Any]) -> dict[str, Any]:
    fast = {"model": MODEL, "kind": "speed", "value": "fast", "factor": "2"}
    return {"modifiers": [{**fast, **row} for row in rows]}


US: dict[str, Any] = {"kind": "inference_geo", "value": "us", "factor": "11/10"}


@pytest.mark.parametrize(
    ("modifiers", "message"),
    [
        # 3,000 x 10/13 is whole for 13 tokens; 3,750 x 5/8 is 2,343.75, and half of that too fine.
        (modified({"factor": "10/13"}), f"{MODEL}: input times 10/13 is a whole number of nanos"),
        (modified({"factor": "5/8"}), f"{MODEL}: cache_write_5m times 5/16 is a whole number of"),
        # Each is coarse enough by itself, in a batch too, and both are not.
        (
            modified({"factor": "11/4"}, US | {"factor": "5/4"}),
            f"{MODEL}: cache_read times 55/32",
        ),
        (modified({"model": "claude-9"}), "modifiers[0]: claude-9 has no price"),
        (modified({"kind": "spin"}), "modifiers[0].kind: must be one of"),
    ],
)
def test_a_modifier_that_cannot_be_charged_by_stops_the_build(
    modifiers: dict[str, Any], message: str
) -> None:
    built(PLAIN, modifiers=modified({}, US))
    with pytest.raises(Unbuildable) as problem:
        built(PLAIN, modifiers=modifiers)
    assert str(problem.value).startswith(message)


def test_a_fast_price_that_the_modifiers_do_not_come_to_stops_the_build() -> None:
    twice = [
        PriceVariant({"speed": "fast"}, ModelPrice(input_mtok=Decimal(6), output_mtok=Decimal(30)))
    ]
    built(PLAIN, variants=twice, modifiers=modified({}))
    with pytest.raises(Unbuildable, match=rf"^{MODEL}: input in fast mode is 6, not so by ours"):
        built(PLAIN, variants=twice, modifiers=modified({"factor": "6"}))
    with pytest.raises(Unbuildable, match=rf"^{MODEL}: input in fast mode is 6, not so by ours"):
        built(PLAIN, variants=twice)
    uneven = [
        PriceVariant({"speed": "fast"}, ModelPrice(input_mtok=Decimal(6), output_mtok=Decimal(31)))
    ]
    with pytest.raises(Unbuildable, match=rf"^{MODEL}: output in fast mode is 31"):
        built(PLAIN, variants=uneven, modifiers=modified({}))


def test_a_book_without_a_model_that_the_sdk_names_is_not_built() -> None:
    book = json.loads(build_price_book.PRICE_BOOK.read_text())
    modifiers = json.loads(build_price_book.MODIFIERS.read_text())
    build_price_book.check_names(book, modifiers)

    book["models"] = [each for each in book["models"] if each["id"] != "claude-mythos-5"]
    modifiers["modifiers"] = [
        each for each in modifiers["modifiers"] if each["model"] != "claude-mythos-5"
    ]
    with pytest.raises(Unbuildable, match=r"^claude-mythos-5: the SDK names it"):
        build_price_book.check_names(book, modifiers)


def test_a_stopped_build_says_so_and_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = ModelInfo(
        id="claude-opus-8",
        match=ClauseEquals("claude-opus-8"),
        prices=changed(PLAIN, input_mtok=Decimal("0.0001")),
    )
    provider = Provider(id="anthropic", name="Anthropic", api_pattern="", models=[odd])
    monkeypatch.setattr(build_price_book, "providers", [provider])
    before = build_price_book.PRICE_BOOK.read_bytes()
    assert build_price_book.main([]) == 1
    assert "claude-opus-8: input is 0.1 nanos" in capsys.readouterr().err
    assert build_price_book.PRICE_BOOK.read_bytes() == before


def test_a_batch_price_that_is_not_half_stops_the_build() -> None:
    batch = {"processing": "batch"}
    half = ModelPrice(
        input_mtok=Decimal("1.5"),
        output_mtok=Decimal("7.5"),
        cache_read_mtok=Decimal("0.15"),
        cache_write_mtok=Decimal("1.875"),
        cache_write_1h_mtok=Decimal(3),
    )
    built(PLAIN, variants=[PriceVariant(batch, half)])
    with pytest.raises(Unbuildable, match="output in a batch is 8, not half of 15"):
        built(PLAIN, variants=[PriceVariant(batch, changed(half, output_mtok=Decimal(8)))])
    with pytest.raises(Unbuildable, match=r"cache_read in a batch is 0\.3, not half of 0\.3"):
        built(PLAIN, variants=[PriceVariant(batch, changed(half, cache_read_mtok=None))])


def test_a_batch_price_is_compared_with_the_prices_of_its_own_time() -> None:
    """It need not be half of a price that had ended when batches got one."""
    old = changed(PLAIN, output_mtok=Decimal(30))
    dated = [
        ConditionalPrice(prices=old),
        ConditionalPrice(StartDateConstraint(date(2026, 3, 13)), prices=PLAIN),
    ]
    half = ModelPrice(
        input_mtok=Decimal("1.5"),
        output_mtok=Decimal("7.5"),
        cache_read_mtok=Decimal("0.15"),
        cache_write_mtok=Decimal("1.875"),
        cache_write_1h_mtok=Decimal(3),
    )

    def since(day: date) -> list[PriceVariant]:
        return [PriceVariant({"processing": "batch"}, half, StartDateConstraint(day))]

    built(dated, variants=since(date(2026, 3, 13)))
    with pytest.raises(Unbuildable, match=r"output in a batch is 7\.5, not half of 30"):
        built(dated, variants=since(date(2026, 3, 12)))


def test_what_the_book_has_no_rule_for_stops_the_build() -> None:
    with pytest.raises(Unbuildable, match="no rule for prices when"):
        built(PLAIN, variants=[PriceVariant({"inference_geo": "us"}, PLAIN)])
    with pytest.raises(Unbuildable, match="do not run from the beginning by rising date"):
        built([ConditionalPrice(StartDateConstraint(date(2026, 1, 1)), prices=PLAIN)])
    night = TimeOfDateConstraint(datetime.min.time(), datetime.max.time())
    with pytest.raises(Unbuildable, match="cannot date a price by TimeOfDate"):
        built([ConditionalPrice(prices=PLAIN), ConditionalPrice(night, prices=PLAIN)])
