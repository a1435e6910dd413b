"""Prices equal the reference to the nano, and a bound is never passed."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import genai_prices
from genai_prices.data import providers
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelPrice
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from headroom.domain.bounds import HOLD_LIFE_MAX, bound_request
from headroom.domain.model_names import read_model_name
from headroom.domain.modifiers import in_force
from headroom.domain.money import allocate, format_amount, parse_amount
from headroom.domain.prices import (
    ContractPrice,
    ServiceTier,
    UnknownModel,
    Unpriceable,
    read_contract_price,
)
from headroom.domain.requests import Advisor, CacheLifetime, Fallback, HoldRequest
from headroom.domain.usage import (
    COUNT_MAX,
    AskedSpeed,
    Geography,
    Iteration,
    Speed,
    Tokens,
    Usage,
    price,
)
from headroom.price_book import PRICE_BOOK
from tests.used import used

ANTHROPIC = next(provider for provider in providers if provider.id == "anthropic")
MODELS = [model.id for model in ANTHROPIC.models]
TIERS: tuple[ServiceTier, ...] = ("standard", "batch")

# Every threshold and every date at which a price changes, and both sides of each.
THRESHOLDS = sorted(
    {
        tier.input_tokens_min
        for model in PRICE_BOOK.models
        for effective in model.prices
        for tier in effective.tiers[1:]
    }
)
CHANGES = sorted(
    {effective.starts_at for model in PRICE_BOOK.models for effective in model.prices[1:]}
)
SIZES = [0, 1, 7, 1_000, 50_000, 1_000_000, *THRESHOLDS, *(size - 1 for size in THRESHOLDS)]
MOMENTS = [
    change + offset
    for change in CHANGES
    for offset in (
        timedelta(hours=-24, microseconds=-1),
        timedelta(hours=-24),
        timedelta(microseconds=-1),
        timedelta(0),
    )
]

NANO = Decimal(1_000_000_000)
BATCH_PUBLISHED = datetime(2026, 10, 14, tzinfo=UTC)


def reference_usd(usage: Usage, model: str, at: datetime) -> Decimal:
    """Ask the package itself. Its `input_tokens` are the whole prompt, ours what no cache took."""
    tokens = usage.tokens
    writes = tokens.cache_write_5m + tokens.cache_write_1h
    whole = genai_prices.Usage(
        input_tokens=tokens.total_input,
        output_tokens=tokens.output,
        cache_read_tokens=tokens.cache_read,
        cache_write_tokens=writes,
        cache_write_1h_tokens=tokens.cache_write_1h,
        web_searches=usage.web_search_requests,
    )
    context = {"processing": "batch"} if usage.service_tier == "batch" else None
    return genai_prices.calc_price(
        whole,
        model,
        provider_id="anthropic",
        genai_request_timestamp=at,
        price_context=context,
    ).total_price


def random_usage(draw: random.Random, service_tier: ServiceTier) -> Usage:
    total = draw.choice([*SIZES, draw.randrange(2_000_000)])
    weights = [draw.choice([0, 0, 1, draw.random()]) for _ in range(4)]
    weights[draw.randrange(4)] += 0.001
    whole = [int(weight * 1_000_000) for weight in weights]
    uncached, read, write_5m, write_1h = allocate(total, whole)
    return used(
        input_tokens=uncached,
        output_tokens=draw.choice([0, 1, draw.randrange(200_000)]),
        cache_read_tokens=read,
        cache_write_5m_tokens=write_5m,
        cache_write_1h_tokens=write_1h,
        web_search_requests=draw.choice([0, 0, 1, draw.randrange(50)]),
        service_tier=service_tier,
    )


def differs(usage: Usage, model: str, at: datetime) -> bool:
    """Tell where the reference is known to be wrong, and ours is what the sources say.

    It has forgotten that Sonnet 5.5's cache reads cost twice as much until 2026-10-06, and it takes
    a sum that no window of the model holds for one long prompt.
    """
    if model == "claude-sonnet-5-5" and at < datetime(2026, 10, 7, tzinfo=UTC):
        return True
    return usage.tokens.total_input > PRICE_BOOK.find(model).window_at(at)


def random_moment(draw: random.Random) -> datetime:
    anywhere = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=draw.randrange(4 * 365 * 86400))
    return draw.choice([anywhere, anywhere, draw.choice(MOMENTS)])


def test_ten_thousand_random_usages_cost_what_the_reference_says() -> None:
    draw = random.Random(20261123)
    seen: set[str] = set()
    for index in range(10_000):
        model = MODELS[index % len(MODELS)]
        usage, at = random_usage(draw, "standard"), random_moment(draw)
        if differs(usage, model, at):
            continue
        priced = price(usage, book=PRICE_BOOK, model=model, at=at)
        assert Decimal(priced.amount_nanos) == reference_usd(usage, model, at) * NANO, (usage, at)
        assert priced.amount_nanos == sum(line.amount_nanos for line in priced.components)
        seen.add(priced.price_version)

    every_version = {
        tier.version
        for known in PRICE_BOOK.models
        if known.id in MODELS
        for effective in known.prices
        for tier in effective.tiers
    } - {f"{PRICE_BOOK.version}/claude-sonnet-5-5/initial"}
    assert seen == every_version, "some price was never compared"


def test_batches_cost_what_the_reference_says_where_it_has_a_batch_price() -> None:
    """Exactly, but for the one rate that is no whole nano: there, the nano below."""
    draw = random.Random(5)
    batched = [
        model.id
        for model in ANTHROPIC.models
        if any(variant.when == {"processing": "batch"} for variant in model.price_variants or ())
    ]
    assert len(batched) > 10
    fractions = 0
    for index in range(2_000):
        model = batched[index % len(batched)]
        usage = random_usage(draw, "batch")
        at = BATCH_PUBLISHED + timedelta(seconds=draw.randrange(86400 * 365))
        if differs(usage, model, at):
            continue
        ours = Decimal(price(usage, book=PRICE_BOOK, model=model, at=at).amount_nanos)
        exact = reference_usd(usage, model, at) * NANO
        if ours != exact:
            assert model == "claude-haiku-5-5"
            assert usage.tokens.cache_write_5m % 2 == 1
            assert exact - ours == Decimal("0.5")
            fractions += 1
    assert fractions, "the half nano never came up"


def test_every_model_of_the_reference_is_priced() -> None:
    assert {model.id for model in PRICE_BOOK.models} > set(MODELS)
    assert len(MODELS) == len(set(MODELS)) > 20


def test_names_mean_the_model_that_the_reference_means_or_none() -> None:
    """Never another model: what only the reference's match of beginnings reads is refused."""
    tails = ["", "-latest", "-20250929", "@20250929", "-2025-09-29", "-1", "-5", ".1", "x", "0"]
    names = [head + tail for head in MODELS for tail in tails]
    known = 0
    for name in names:
        try:
            found = PRICE_BOOK.find(name).id
        except UnknownModel:
            continue
        try:
            _, model = get_snapshot().find_provider_model(name, None, "anthropic", None)
        except LookupError:
            # It knows these endings, and dots, of some models and not of others.
            assert read_model_name(name) == read_model_name(found)
            continue
        # It reads `claude-sonnet-4-0-5` and the like by their beginning.
        assert found == model.id, name
        known += 1
    assert known > 100


def rates_strategy() -> st.SearchStrategy[dict[str, int]]:
    kinds = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h", "web_search")
    return st.fixed_dictionaries({kind: st.integers(0, 40_000) for kind in kinds})


@st.composite
def contracts(draw: st.DrawFn, model: str, at: datetime) -> tuple[ContractPrice, ...]:
    """Contract prices that begin around the hold, with tiers that rise or fall."""
    agreed = []
    for index in range(draw(st.integers(0, 2))):
        day = (at + timedelta(days=draw(st.integers(-1, 2)))).date().isoformat()
        low, high = draw(rates_strategy()), draw(rates_strategy())
        tiers = [{"input_tokens_min": 0, "rates": low}]
        if draw(st.booleans()):
            least = draw(st.integers(1, 300_000))
            tiers.append({"input_tokens_min": least, "rates": high})
        raw = {"id": f"ctr_{index}", "model": model, "from": day, "tiers": tiers}
        agreed.append(read_contract_price(raw, PRICE_BOOK, "contract"))
    return tuple(agreed)


moments = st.one_of(
    st.sampled_from(MOMENTS),
    st.datetimes(datetime(2024, 1, 1), datetime(2028, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
sizes = st.one_of(st.sampled_from(SIZES), st.integers(0, 1_200_000))


@settings(max_examples=800, deadline=None)
@given(st.data())
def test_no_usage_within_a_requests_bounds_costs_more_than_its_hold(data: st.DataObject) -> None:
    """The promise under every hold: whatever the request turns into, it is covered."""
    model = data.draw(st.sampled_from(MODELS), "model")
    at = data.draw(moments, "authorized at")
    contract = data.draw(contracts(model, at), "contract")
    service_tier = data.draw(st.sampled_from(TIERS), "service tier")
    input_tokens, max_tokens = data.draw(sizes, "input"), data.draw(sizes, "max_tokens")
    searches = data.draw(st.integers(0, 20), "searches")
    hold = bound_request(
        PRICE_BOOK,
        HoldRequest(model, input_tokens, max_tokens, searches, service_tier),
        at=at,
        contract=contract,
    ).amount(max_tokens)

    used_input = data.draw(st.one_of(st.just(input_tokens), st.integers(0, input_tokens)), "used")
    weights = data.draw(st.lists(st.integers(0, 5), min_size=4, max_size=4), "split")
    weights[3] += not any(weights)
    uncached, read, write_5m, write_1h = allocate(used_input, weights)
    usage = used(
        input_tokens=uncached,
        output_tokens=data.draw(st.one_of(st.just(max_tokens), st.integers(0, max_tokens))),
        cache_read_tokens=read,
        cache_write_5m_tokens=write_5m,
        cache_write_1h_tokens=write_1h,
        web_search_requests=data.draw(st.one_of(st.just(searches), st.integers(0, searches))),
        service_tier=service_tier,
    )
    life = HOLD_LIFE_MAX // timedelta(microseconds=1)
    after = data.draw(st.one_of(st.sampled_from([0, 1, life - 1, life]), st.integers(0, life)))
    occurred_at = at + timedelta(microseconds=after)
    cost = price(usage, book=PRICE_BOOK, model=model, at=occurred_at, contract=contract)
    assert cost.amount_nanos <= hold


LIFETIMES: list[tuple[CacheLifetime, ...] | None] = [None, (), ("5m",), ("1h",), ("5m", "1h")]
GEOGRAPHIES: tuple[Geography, ...] = ("global", "us")
SPEEDS: tuple[Speed, ...] = ("standard", "fast")


def drawn_tokens(
    data: st.DataObject, most_input: int, most_output: int, lifetimes: tuple[str, ...]
) -> Tokens:
    """Draw what a sampling may use within its bounds, with the caches that it may write."""
    whole = data.draw(st.one_of(st.just(most_input), st.integers(0, most_input)), "input")
    weights = [data.draw(st.integers(0, 5), f"part {index}") for index in range(4)]
    weights[2] *= "5m" in lifetimes
    weights[3] *= "1h" in lifetimes
    weights[0] += not any(weights)
    uncached, read, write_5m, write_1h = allocate(whole, weights)
    output = data.draw(st.one_of(st.just(most_output), st.integers(0, most_output)), "output")
    return Tokens(uncached, output, read, write_5m, write_1h)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_answer_to_a_request_costs_more_than_its_hold_unless_that_was_said(
    data: st.DataObject,
) -> None:
    """With every member that a request can have, and any usage that obeys it."""
    at = data.draw(moments, "authorized at")
    models = [model.id for model in PRICE_BOOK.models]
    model = data.draw(st.sampled_from(models), "model")
    lifetimes = data.draw(st.sampled_from(LIFETIMES), "lifetimes")
    fallbacks = data.draw(
        st.lists(
            st.builds(
                Fallback,
                st.sampled_from(models),
                st.one_of(st.none(), sizes.filter(bool)),
                st.sampled_from([None, *SPEEDS]),
            ),
            max_size=2,
        ),
        "fallbacks",
    )
    advisor = data.draw(
        st.one_of(
            st.none(),
            st.builds(Advisor, st.sampled_from(models), st.integers(0, 3), st.integers(1, 5_000)),
        ),
        "advisor",
    )
    request = HoldRequest(
        model=model,
        input_tokens=data.draw(sizes, "input_tokens"),
        max_tokens=data.draw(sizes, "max_tokens"),
        web_search_requests=data.draw(st.integers(0, 3), "searches"),
        service_tier=data.draw(st.sampled_from(TIERS), "service tier"),
        speed=data.draw(st.sampled_from(SPEEDS), "speed"),
        inference_geo=data.draw(st.sampled_from([None, *GEOGRAPHIES]), "geography"),
        cache_lifetimes=lifetimes,
        compaction_trigger=data.draw(st.sampled_from([None, 50_000, 2_000_000]), "compaction"),
        advisor=advisor,
        fallbacks=tuple(fallbacks),
    )
    assert HoldRequest.unpack(request.pack()) == request
    default_geo = data.draw(st.sampled_from(GEOGRAPHIES), "workspace")
    try:
        bound = bound_request(PRICE_BOOK, request, at=at, default_geo=default_geo)
    except Unpriceable:
        # What a model is not sold with is refused before it can cost anything.
        assume(False)
        raise
    may_write = ("5m", "1h") if lifetimes is None else lifetimes
    asked = drawn_tokens(data, request.input_tokens, request.max_tokens, may_write)
    iterations: list[Iteration] = []
    top_level, speed = asked, request.speed
    served = data.draw(st.sampled_from([None, *fallbacks]), "served by")
    if served is not None:
        iterations.append(Iteration("message", asked, model))
        most = request.max_tokens if served.max_tokens is None else served.max_tokens
        top_level = drawn_tokens(data, request.input_tokens, most, may_write)
        iterations.append(Iteration("fallback_message", top_level, served.model))
        sold = in_force(PRICE_BOOK.price_at(served.model, at).modifiers, "speed", speed, at)
        speed = served.speed or (speed if sold else "standard")
    trigger = request.compaction_trigger
    if trigger is not None and request.input_tokens >= trigger and data.draw(st.booleans()):
        summary = drawn_tokens(data, request.input_tokens, request.max_tokens, may_write)
        iterations.append(Iteration("compaction", summary))
    if advisor is not None:
        for _ in range(data.draw(st.integers(0, advisor.max_uses or 0), "advice")):
            reads = request.input_tokens + top_level.output
            advice = drawn_tokens(data, reads, advisor.max_tokens or 0, may_write)
            iterations.append(Iteration("advisor_message", advice, advisor.model))
    geo = request.inference_geo or default_geo
    usage = Usage(
        tokens=top_level,
        web_search_requests=data.draw(st.integers(0, request.web_search_requests)),
        service_tier=request.service_tier,
        speed=speed,
        inference_geo=geo,
        iterations=tuple(iterations),
    )
    life = HOLD_LIFE_MAX // timedelta(microseconds=1)
    occurred_at = at + timedelta(microseconds=data.draw(st.integers(0, life)))
    try:
        cost = price(
            usage,
            book=PRICE_BOOK,
            model=model,
            at=occurred_at,
            asked=AskedSpeed(request.speed, tuple((each.model, each.speed) for each in fallbacks)),
        ).amount_nanos
    except Unpriceable:
        # The API refuses it, or did so meanwhile.
        assume(False)
        raise
    assert cost <= bound.amount(request.max_tokens) or bound.inexact
    if not set(bound.inexact) - {"server_tools", "fallbacks"} or not iterations:
        # Without what nobody bounds, also where something of the request is not exact: here no
        # fallback counts more tokens in a text than the model before it.
        assert cost <= bound.amount(request.max_tokens)


@settings(max_examples=500, deadline=None)
@given(
    model=st.sampled_from(MODELS),
    at=moments,
    service_tier=st.sampled_from(TIERS),
    input_tokens=sizes,
    nanos=st.integers(0, 20_000_000_000),
)
def test_affordable_max_tokens_is_exact(
    model: str, at: datetime, service_tier: ServiceTier, input_tokens: int, nanos: int
) -> None:
    """The last cent is spendable: one token more would not fit."""
    bound = bound_request(
        PRICE_BOOK,
        HoldRequest(model, input_tokens, 1, 1, service_tier),
        at=at,
    )
    affordable = bound.affordable(nanos)
    assert 0 <= affordable < COUNT_MAX
    assert bound.amount(affordable + 1) > nanos
    if affordable:
        assert bound.amount(affordable) <= nanos


@given(st.integers(0, 10**24), st.lists(st.integers(0, 10**9), min_size=1, max_size=8))
def test_a_split_loses_nothing_and_favours_nobody_by_more_than_a_nano(
    total: int, weights: list[int]
) -> None:
    weights[0] += not any(weights)
    parts = allocate(total, weights)
    assert sum(parts) == total
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part * sum(weights) - total * weight) < sum(weights)


@given(st.integers(0, 10**15 - 1))
def test_settings_survive_a_round_trip(cents: int) -> None:
    assert format_amount(parse_amount(str(cents), "amount")) == str(cents)


def test_the_reference_still_charges_what_it_cannot_price_at_nothing() -> None:
    """Why a search on a model from before web search costs nothing here: so it does there."""
    legacy = next(model for model in ANTHROPIC.models if model.id == "claude-3-haiku")
    assert isinstance(legacy.prices, ModelPrice)
    assert legacy.prices.web_searches_kcount is None
    searches = used(web_search_requests=3)
    at = datetime(2026, 1, 1, tzinfo=UTC)
    assert reference_usd(searches, "claude-3-haiku", at) == 0
    assert price(searches, book=PRICE_BOOK, model="claude-3-haiku", at=at).amount_nanos == 0
