"""Prices equal the reference to the nano, and a bound is never passed."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import genai_prices
from genai_prices.data import providers
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelPrice
from hypothesis import given, settings
from hypothesis import strategies as st

from headroom.core.domain.money import format_amount, parse_amount
from headroom.pricing.domain.bounds import HOLD_LIFE_MAX, bound_request
from headroom.pricing.domain.model_names import read_model_name
from headroom.pricing.domain.modifiers import ModifierKind, in_force
from headroom.pricing.domain.prices import (
    KINDS,
    ContractPrice,
    ServiceTier,
    UnknownModel,
    Unpriceable,
    read_contract_price,
)
from headroom.pricing.domain.requests import (
    SERVER_TOOLS,
    Advisor,
    CacheLifetime,
    Fallback,
    HoldRequest,
)
from headroom.pricing.domain.usage import (
    COUNT_MAX,
    AskedSpeed,
    Geography,
    Iteration,
    Speed,
    Tokens,
    Usage,
    price,
)
from headroom.pricing.price_book import PRICE_BOOK
from tests.shares import allocate
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
LIFE_SECONDS = HOLD_LIFE_MAX // timedelta(seconds=1)
EVERY_MODEL = [model.id for model in PRICE_BOOK.models]
SOLD_FAST = sorted(
    {
        model.id
        for model in PRICE_BOOK.models
        if any(modifier.kind == "speed" for modifier in model.prices[0].modifiers)
    }
)
# Every day at whose midnight something begins or has ended.
MIDNIGHTS = sorted(
    {
        day
        for model in PRICE_BOOK.models
        for modifier in model.prices[0].modifiers
        for day in (modifier.starts_at, modifier.ends_at)
        if 2000 < day.year < 3000
    }
    | set(CHANGES)
)


class RequestsByChance:
    """Requests with every member, under any terms, and usage that obeys them."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def maybe(self) -> bool:
        return self.chance.random() < 0.3

    def model(self) -> str:
        """Any model; often one that can be fast, often by the name that says so."""
        if self.maybe():
            return f"{self.chance.choice(SOLD_FAST)}-fast"
        return self.chance.choice([*EVERY_MODEL, *SOLD_FAST, *SOLD_FAST])

    def at(self) -> datetime:
        midnight = self.chance.choice([*MIDNIGHTS, datetime(2026, 11, 20, tzinfo=UTC)])
        seconds = self.chance.choice([0, 1, LIFE_SECONDS, self.chance.randrange(2 * 86_400)])
        return midnight - timedelta(seconds=seconds)

    def size(self) -> int:
        return self.chance.choice([*SIZES, self.chance.randrange(1_200_000)])

    def contract(self, model: str, at: datetime) -> tuple[ContractPrice, ...]:
        return tuple(
            read_contract_price(self.agreed(index, model, at), PRICE_BOOK, "contract")
            for index in range(self.chance.choice([0, 0, 1, 2]))
        )

    def agreed(self, index: int, model: str, at: datetime) -> dict[str, Any]:
        def day(first: int, last: int) -> str:
            return (at + timedelta(days=self.chance.randint(first, last))).date().isoformat()

        modifiers = [
            {
                "kind": kind,
                "value": value,
                "factor": self.chance.choice(["1/2", "1", "13/10", "3/2", "7/3"]),
                "from": self.chance.choice([None, day(-2, 1)]),
                "until": self.chance.choice([None, day(1, 3)]),
            }
            for kind, value in (("speed", "fast"), ("inference_geo", "us"))
            if self.maybe()
        ]
        known = PRICE_BOOK.find(model).id
        raw = {"id": f"ctr_{index}", "model": known, "from": day(-2, 2), "modifiers": modifiers}
        if self.maybe():
            return {
                **raw,
                "tiers": [
                    {"input_tokens_min": least, "rates": self.rates()}
                    for least in (0, self.chance.randint(1, 300_000))
                ],
            }
        every = None if self.maybe() else known
        return {**raw, "model": every, "discount_percent": self.chance.randint(1, 100)}

    def rates(self) -> dict[str, int]:
        return {kind: self.chance.randint(0, 40_000) for kind in KINDS}

    def request(self, model: str) -> HoldRequest:
        advisor, fallbacks, tools = None, [], []
        # Of these the bound is exact.
        simple = self.chance.random() < 0.4
        if not simple and self.maybe():
            advisor = Advisor(self.model(), self.chance.randint(0, 3), self.chance.randint(1, 5000))
        if not simple and self.maybe():
            fallbacks = [
                Fallback(
                    self.model(),
                    self.chance.choice([None, 1 + self.size()]),
                    self.chance.choice([None, None, "standard", "fast"]),
                )
                for _ in range(self.chance.randint(1, 2))
            ]
        if not simple and self.maybe():
            tools = [
                (tool, self.chance.choice([None, 0, 1, 7]))
                for tool in self.chance.sample(SERVER_TOOLS, self.chance.randint(1, 2))
            ]
        fast = PRICE_BOOK.find(model).id in SOLD_FAST and self.maybe()
        return HoldRequest(
            model=model,
            input_tokens=self.size(),
            max_tokens=1 + self.size(),
            web_search_requests=0 if simple else self.chance.choice([0, 0, 3]),
            service_tier=self.chance.choice(TIERS),
            speed="fast" if fast else "standard",
            inference_geo=self.chance.choice([None, None, None, *GEOGRAPHIES]),
            cache_lifetimes=self.chance.choice(LIFETIMES),
            compaction_trigger=None if simple else self.chance.choice([None, 50_000, 2_000_000]),
            advisor=advisor,
            fallbacks=tuple(fallbacks),
            default_fallbacks=not simple and not fallbacks and self.maybe(),
            server_tools=tuple(tools),
        )

    def tokens(self, request: HoldRequest, most_input: int, most_output: int) -> Tokens:
        """Tokens of one sampling, with the caches that the request may write."""
        lifetimes = request.cache_lifetimes
        weights = [self.chance.randint(0, 5) for _ in range(4)]
        if (place := self.chance.randrange(8)) < 4:
            weights = [5 * (index == place) for index in range(4)]
        weights[2] *= lifetimes is None or "5m" in lifetimes
        weights[3] *= lifetimes is None or "1h" in lifetimes
        weights[0] += not any(weights)
        whole = self.chance.choice([most_input, self.chance.randint(0, most_input)])
        uncached, read, write_5m, write_1h = allocate(whole, weights)
        output = self.chance.choice([most_output, self.chance.randint(0, most_output)])
        return Tokens(uncached, output, read, write_5m, write_1h)

    def rounds(self, request: HoldRequest, most: int) -> list[Tokens]:
        """The rounds of a server's tool loop, or the one of a request without."""
        uses = [most if limit is None else limit for _, limit in request.server_tools]
        count = self.chance.randint(1, max(1, min(1 + sum(uses), most))) if uses else 1
        outputs = allocate(request.max_tokens, [1] * count)
        return [self.tokens(request, request.input_tokens, output) for output in outputs]

    def iterations(
        self, request: HoldRequest, rounds: list[Tokens]
    ) -> tuple[list[Iteration], Tokens, Fallback | None]:
        """How the usage may tell its samplings apart, what is on top, and who served it."""
        top, served = summed(rounds), None
        iterations = [Iteration("message", each) for each in rounds] if self.maybe() else []
        if (request.fallbacks or request.default_fallbacks) and self.maybe():
            # Which one the server would choose by itself, nobody knows: one that can do all.
            served = self.chance.choice(request.fallbacks or [Fallback("claude-opus-5")])
            most = served.max_tokens or request.max_tokens
            top = self.tokens(request, request.input_tokens, most)
            iterations = [
                Iteration("message", rounds[0], request.model),
                Iteration("fallback_message", top, served.model),
            ]
        if (trigger := request.compaction_trigger) and request.input_tokens >= trigger:
            summary = self.tokens(request, request.input_tokens, request.max_tokens)
            iterations.append(Iteration("compaction", summary))
        if advisor := request.advisor:
            for _ in range(self.chance.randint(0, advisor.max_uses or 0)):
                reads = request.input_tokens + top.output
                advice = self.tokens(request, reads, advisor.max_tokens or 0)
                iterations.append(Iteration("advisor_message", advice, advisor.model))
        return iterations, top, served


def summed(tokens: list[Tokens]) -> Tokens:
    total = Tokens()
    for each in tokens:
        total = total.plus(each)
    return total


def sold(
    model: str, kind: ModifierKind, value: str, at: datetime, contract: tuple[ContractPrice, ...]
) -> bool:
    listed = PRICE_BOOK.price_at(model, at, contract)
    return in_force(listed.modifiers, kind, value, at) is not None


def test_no_answer_to_a_request_costs_more_than_its_hold_unless_that_was_said() -> None:
    """With every member that a request can have, under any terms, and any usage that obeys it."""
    by = RequestsByChance(20261128)
    refused = priced = 0
    exact: Counter[bool] = Counter()
    for _ in range(6_000):
        model, at = by.model(), by.at()
        contract, request = by.contract(model, at), by.request(model)
        assert HoldRequest.unpack(request.pack()) == request
        default_geo, loop_rounds = by.chance.choice(GEOGRAPHIES), by.chance.randint(1, 6)
        try:
            bound = bound_request(
                PRICE_BOOK,
                request,
                at=at,
                contract=contract,
                default_geo=default_geo,
                loop_rounds=loop_rounds,
            )
        except Unpriceable:
            # What a model is not sold with is refused before it can cost anything.
            refused += 1
            continue
        iterations, top, served = by.iterations(request, by.rounds(request, loop_rounds))
        occurred_at = at + timedelta(seconds=by.chance.choice([0, by.chance.randint(0, 86_400)]))
        served_by = model if served is None else served.model
        geo = request.inference_geo or default_geo
        if request.inference_geo is None and not sold(
            served_by, "inference_geo", geo, occurred_at, contract
        ):
            # The default is for the models that know the parameter.
            geo = "global"
        # Fast mode may be asked for, and not served.
        speed = by.chance.choice([request.speed, "standard"])
        if served is not None:
            speed = "standard"
            if sold(served.model, "speed", "fast", at, contract) and by.maybe():
                first: Speed = "fast" if PRICE_BOOK.is_fast(model) else request.speed
                by_name = PRICE_BOOK.is_fast(served.model)
                speed = "fast" if by_name else served.speed or first
        searches = max(request.web_search_requests, request.searches_at_most(loop_rounds))
        usage = Usage(
            tokens=top,
            web_search_requests=by.chance.randint(0, searches),
            service_tier=request.service_tier,
            speed=speed,
            inference_geo=geo,
            iterations=tuple(iterations),
        )
        case = request, at, occurred_at, contract, default_geo, loop_rounds, usage
        # What was granted has a price when it is used: nothing may be unpriceable here.
        cost = price(
            usage,
            book=PRICE_BOOK,
            model=model,
            at=occurred_at,
            contract=contract,
            asked=AskedSpeed(
                "fast" if PRICE_BOOK.is_fast(model) else request.speed,
                tuple((each.model, each.speed) for each in request.fallbacks),
            ),
        )
        hold = bound.amount(request.max_tokens)
        assert cost.amount_nanos <= hold or bound.inexact, case
        beside = {each.type for each in iterations} - {"message", "fallback_message"}
        if not beside and not request.default_fallbacks:
            # Without what nobody bounds, also where something of the request is not exact: here no
            # fallback counts more tokens in a text than the model before it.
            assert cost.amount_nanos <= hold, case
        priced += 1
        exact[not bound.inexact] += 1
    # The draws are worth something only if most are priced, of both sorts.
    assert priced > 2 * refused
    assert min(exact.values()) > 1_500


def test_a_discount_is_exact_and_rounded_down_once_a_line() -> None:
    """Any percentage off any model's price, with everything that multiplies it."""
    by = RequestsByChance(7)
    fractions = 0
    for _ in range(2_000):
        model, percent = by.chance.choice(SOLD_FAST), by.chance.randint(1, 100)
        model = by.chance.choice([model, "claude-haiku-5-5"])
        at = datetime(2026, 11, 20, tzinfo=UTC)
        raw = {"id": "c", "model": None, "from": "2026-01-01", "discount_percent": percent}
        contract = (read_contract_price(raw, PRICE_BOOK, "c"),)
        usage = replace(
            random_usage(by.chance, by.chance.choice(TIERS)),
            inference_geo=by.chance.choice(GEOGRAPHIES),
            speed="fast" if sold(model, "speed", "fast", at, ()) and by.maybe() else "standard",
        )
        listed = price(usage, book=PRICE_BOOK, model=model, at=at)
        found = price(usage, book=PRICE_BOOK, model=model, at=at, contract=contract)
        assert len(found.components) == len(listed.components)
        for ours, full in zip(found.components, listed.components, strict=True):
            exact = Fraction(full.unit_nanos * full.quantity, full.per) * (100 - percent) / 100
            assert Fraction(ours.unit_nanos * ours.quantity, ours.per) == exact
            assert ours.amount_nanos == int(exact)
            fractions += exact.denominator > 1
        assert found.amount_nanos == sum(line.amount_nanos for line in found.components)
    assert fractions > 100


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
