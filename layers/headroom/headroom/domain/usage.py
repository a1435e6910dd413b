"""The Messages API `usage` object, read strictly and priced exactly.

`input_tokens` there means the tokens that no cache served or took in; a prompt's whole input is
that plus what was read from and written to the cache, and the whole chooses the price tier.

One request may be several samplings, of several models. `usage.iterations` tells them apart: in a
tool loop they are inside the top-level figures, while compaction, an advisor's and a declined
attempt's tokens lie beside them. `MEMBERS` says of every member of the object what is done with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal

from headroom.domain.modifiers import Factor, ModifierKind, in_force, name_with
from headroom.domain.prices import (
    SERVICE_TIER_FACTORS,
    ContractPrice,
    Kind,
    PriceBook,
    ServiceTier,
    Tier,
    Unpriceable,
    line_nanos,
    unit_price,
)
from headroom.errors import InvalidRequest

COUNT_MAX: Final = 1_000_000_000
# A server's tool loop ends after far fewer; an object of a client is not walked for ever.
ITERATIONS_MAX: Final = 256
# "You are not billed for a request that is refused before any output is generated"; such an answer
# has no content, and counts no output, or the one token that a message starts with.
# https://platform.claude.com/docs/en/build-with-claude/refusals-and-fallback
REFUSED_OUTPUT_MAX: Final = 1

Speed = Literal["standard", "fast"]
Geography = Literal["global", "us"]
IterationType = Literal["message", "compaction", "advisor_message", "fallback_message"]
Treatment = Literal["charged", "explains", "ignored"]

# What is done with each member of the object, by its path: the SDK's types have no others. Charged
# by it, explained by it on the line, or ignored (kept with the line as it came, all the same).
MEMBERS: Final[Mapping[str, Treatment]] = {
    "input_tokens": "charged",
    "output_tokens": "charged",
    "cache_read_input_tokens": "charged",
    "cache_creation_input_tokens": "charged",
    "cache_creation.ephemeral_5m_input_tokens": "charged",
    "cache_creation.ephemeral_1h_input_tokens": "charged",
    "server_tool_use.web_search_requests": "charged",
    "server_tool_use.web_fetch_requests": "ignored",  # Fetching has no price of its own.
    "service_tier": "charged",
    "speed": "charged",
    "inference_geo": "charged",
    "iterations.type": "charged",
    "iterations.model": "charged",
    "iterations.input_tokens": "charged",
    "iterations.output_tokens": "charged",
    "iterations.cache_read_input_tokens": "charged",
    "iterations.cache_creation_input_tokens": "charged",
    "iterations.cache_creation.ephemeral_5m_input_tokens": "charged",
    "iterations.cache_creation.ephemeral_1h_input_tokens": "charged",
    # The figures of a redeemed credit are not published: the line says that there was one.
    "fallback_credit.status.type": "explains",
    "fallback_credit.status.reason": "ignored",
    "fallback_credit.status.remove_to_redeem": "ignored",
    "output_tokens_details.thinking_tokens": "ignored",  # They are inside the output tokens.
}


@dataclass(frozen=True, slots=True)
class Tokens:
    """What one or more samplings took in and gave out; counts of disjoint kinds."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0

    @property
    def total_input(self) -> int:
        """The whole prompt, however the cache took part in it."""
        return self.input + self.cache_read + self.cache_write_5m + self.cache_write_1h

    def plus(self, other: Tokens) -> Tokens:
        """Return the sum, kind by kind."""
        return Tokens(
            self.input + other.input,
            self.output + other.output,
            self.cache_read + other.cache_read,
            self.cache_write_5m + other.cache_write_5m,
            self.cache_write_1h + other.cache_write_1h,
        )

    def quantities(self) -> Iterator[tuple[Kind, int]]:
        """Return each kind with its count."""
        yield "input", self.input
        yield "output", self.output
        yield "cache_read", self.cache_read
        yield "cache_write_5m", self.cache_write_5m
        yield "cache_write_1h", self.cache_write_1h


@dataclass(frozen=True, slots=True)
class Iteration:
    """One sampling of a request. `model` is as the API names it, None where it names none."""

    type: IterationType
    tokens: Tokens
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What one request used. `tokens` are the object's top-level figures.

    `notes` say what in the object had to be decided, for the line to explain itself.
    """

    tokens: Tokens = Tokens()
    web_search_requests: int = 0
    service_tier: ServiceTier = "standard"
    speed: Speed = "standard"
    inference_geo: Geography = "global"
    iterations: tuple[Iteration, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Component:
    """One kind of a priced usage: `unit_nanos` for every `per` units of `quantity`.

    `per` is 1 where the price after its factors is whole. `model` and `price_version` are those of
    the sampling it is of; the version names the modifiers that were applied.
    """

    kind: Kind
    quantity: int
    unit_nanos: int
    per: int
    amount_nanos: int
    model: str
    price_version: str


@dataclass(frozen=True, slots=True)
class PricedUsage:
    """The cost of one request, and why it is that."""

    model: str
    service_tier: ServiceTier
    price_version: str
    components: tuple[Component, ...]
    amount_nanos: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Sampling:
    """Tokens at one price: a model's, at the tier that its longest single prompt reaches."""

    model: str
    tokens: Tokens
    prompt: int
    speed: Speed


def parse_usage(value: object, field: str = "usage") -> Usage:
    """Read a Messages API `usage` object.

    `input_tokens` and `output_tokens` must be there; the API sends null where it has nothing to
    count, and null counts as 0 everywhere. Cache writes that are not broken down by lifetime are
    5-minute ones, the API's default; a breakdown that is more than its total is believed.

    Raises:
        Unpriceable: a service tier, speed, geography or type of iteration without a price, in an
            object that is well formed otherwise.
        InvalidRequest: names the member that is missing, of the wrong type, or out of range.
    """
    raw = _object(value, field)
    if raw is None:
        raise InvalidRequest(field, "must be an object")
    for required in ("input_tokens", "output_tokens"):
        if required not in raw:
            raise InvalidRequest(f"{field}.{required}", "is required")
    notes: list[str] = []
    tokens = _tokens(raw, field, notes)
    tools = _object(raw.get("server_tool_use"), f"{field}.server_tool_use") or {}
    searches = _count_or_zero(tools, "web_search_requests", f"{field}.server_tool_use")
    unpriced: list[Unpriceable] = []
    iterations = _iterations(raw.get("iterations"), f"{field}.iterations", notes, unpriced)
    credit = _object(raw.get("fallback_credit"), f"{field}.fallback_credit") or {}
    status = _object(credit.get("status"), f"{field}.fallback_credit.status") or {}
    if status.get("type") == "redeemed":
        notes.append("fallback_credit_redeemed")
    counted = raw.get("headroom")
    if isinstance(counted, Mapping) and "output_tokens" in counted:
        # The stream was cut off before the API said how much output there was.
        notes.append("output_tokens_counted_by_client")
    usage = Usage(
        tokens=tokens,
        web_search_requests=searches,
        iterations=iterations,
        notes=tuple(notes),
    )
    try:
        usage = replace(
            usage, service_tier=parse_service_tier(raw.get("service_tier"), f"{field}.service_tier")
        )
    except Unpriceable as error:
        unpriced.append(error)
    try:
        usage = replace(usage, speed=parse_speed(raw.get("speed"), f"{field}.speed"))
    except Unpriceable as error:
        unpriced.append(error)
    try:
        usage = replace(
            usage, inference_geo=parse_geography(raw.get("inference_geo"), f"{field}.inference_geo")
        )
    except Unpriceable as error:
        unpriced.append(error)
    if unpriced:
        raise unpriced[0]
    return usage


def parse_count(value: object, field: str) -> int:
    """Read a whole number of tokens or requests.

    Raises:
        InvalidRequest: not an integer from 0 to 1,000,000,000. A boolean is no integer here.
    """
    if type(value) is not int:
        raise InvalidRequest(field, "must be a whole number")
    if not 0 <= value <= COUNT_MAX:
        raise InvalidRequest(field, f"must be from 0 to {COUNT_MAX}")
    return value


def parse_service_tier(value: object, field: str) -> ServiceTier:
    """Read a service tier; null is standard, and so is what other gateways call the default.

    Priority capacity is bought ahead under another contract; what arrives here as "priority" is
    priced as standard.

    Raises:
        Unpriceable: a tier that has no standard rate.
        InvalidRequest: no text.
    """
    match value:
        case None | "standard" | "priority" | "default" | "standard_only" | "auto":
            return "standard"
        case "batch":
            return "batch"
        case str():
            raise Unpriceable(field, 'must be "standard", "batch" or "priority" to have a price')
        case _:
            raise InvalidRequest(field, 'must be "standard", "batch" or "priority"')


def parse_speed(value: object, field: str) -> Speed:
    """Read at which speed a request was or is to be served; null is standard.

    Raises:
        Unpriceable: a speed that nobody has a price of.
        InvalidRequest: no text.
    """
    match value:
        case None | "standard":
            return "standard"
        case "fast":
            return "fast"
        case str():
            raise Unpriceable(field, 'must be "standard" or "fast" to have a price')
        case _:
            raise InvalidRequest(field, 'must be "standard" or "fast"')


def parse_geography(value: object, field: str) -> Geography:
    """Read where inference was or is to be run; null, and what the API says for it, is anywhere.

    Raises:
        Unpriceable: a geography that nobody has a price of.
        InvalidRequest: no text.
    """
    match value:
        case None | "" | "global" | "not_available":
            return "global"
        case "us":
            return "us"
        case str():
            raise Unpriceable(field, 'must be "global" or "us" to have a price')
        case _:
            raise InvalidRequest(field, 'must be "global" or "us"')


def price(
    usage: Usage,
    *,
    book: PriceBook,
    model: str,
    at: datetime,
    contract: Sequence[ContractPrice] = (),
    refused: bool = False,
    field: str = "usage",
) -> PricedUsage:
    """Price a request that occurred at a moment.

    `model` is the one that the client names. `refused` says that the model declined to answer: what
    was declined before any output costs nothing.

    Raises:
        UnknownModel: the book has no price for a model that was used.
        Unpriceable: a model was not sold with what the usage names, such as fast mode.
    """
    for index, each in enumerate(usage.iterations):
        if each.model is not None:
            book.find(each.model, f"{field}.iterations[{index}].model")
    speed: Speed = "fast" if book.is_fast(model) else usage.speed
    served_by = next(
        (each.model for each in usage.iterations if each.type == "fallback_message"), None
    )
    notes = list(usage.notes)
    samplings = _served(usage, book, served_by or model, at, speed)
    first = samplings[0]
    if refused and usage.tokens.output <= REFUSED_OUTPUT_MAX:
        notes.append("refused_before_output")
        samplings = []
    samplings += _beside(usage, book, served_by, first.model, at, speed, notes)

    tier, _, version = _price_of(first, usage, book, at, contract, field)
    name = book.find(first.model).id
    components: list[Component] = []
    for sampling, tokens in _merged(samplings, book, at, contract):
        reached, factor, its_version = _price_of(sampling, usage, book, at, contract, field)
        its_model = book.find(sampling.model).id
        for kind, quantity in tokens.quantities():
            if quantity:
                unit, per = unit_price(reached.rates, kind, factor)
                amount = line_nanos(quantity, unit, per)
                components.append(
                    Component(kind, quantity, unit, per, amount, its_model, its_version)
                )
    if usage.web_search_requests:
        searches, rate = usage.web_search_requests, tier.rates.web_search
        components.append(
            Component("web_search", searches, rate, 1, searches * rate, name, version)
        )
    return PricedUsage(
        model=name,
        service_tier=usage.service_tier,
        price_version=version,
        components=tuple(components),
        amount_nanos=sum(component.amount_nanos for component in components),
        notes=tuple(notes),
    )


def _served(
    usage: Usage, book: PriceBook, model: str, at: datetime, speed: Speed
) -> list[_Sampling]:
    """Return what the top-level figures are of: each sampling where the iterations add up to them.

    Where they do not, the figures count, which are those that the API charges by, and the longest
    prompt that is known chooses the tier. A sum that no window holds is no single prompt.
    """
    inside = [
        each.tokens
        for each in usage.iterations
        if each.type == "fallback_message"
        or (each.type == "message" and not _declined(each, model, usage, book))
    ]
    if inside and _sum(inside) == usage.tokens:
        return [_Sampling(model, each, each.total_input, speed) for each in inside]
    prompt = usage.tokens.total_input
    if inside:
        prompt = min(prompt, max(each.total_input for each in inside))
    if prompt > book.find(model).window_at(at):
        prompt = 0
    return [_Sampling(model, usage.tokens, prompt, speed)]


def _beside(
    usage: Usage,
    book: PriceBook,
    served_by: str | None,
    model: str,
    at: datetime,
    speed: Speed,
    notes: list[str],
) -> list[_Sampling]:
    """Return what the top-level figures leave out: compaction, advice, declined attempts."""
    found = []
    for each in usage.iterations:
        its_model, its_speed = each.model or model, speed
        if each.type == "compaction":
            its_model = model
        elif each.type == "advisor_message":
            # The advisor is a request of its own: `speed` is not its.
            its_speed = "standard"
        elif served_by and each.type == "message" and _declined(each, model, usage, book):
            if not each.tokens.output:
                notes.append(f"declined_without_output:{its_model}")
                continue
            if not _is_sold(book, its_model, "speed", speed, at):
                its_speed = "standard"
        else:
            continue
        found.append(_Sampling(its_model, each.tokens, each.tokens.total_input, its_speed))
    return found


def _declined(each: Iteration, model: str, usage: Usage, book: PriceBook) -> bool:
    """Tell an attempt that a fallback followed from a round of the tool loop that served."""
    if each.model is None or not any(it.type == "fallback_message" for it in usage.iterations):
        return False
    return book.find(each.model).id != book.find(model).id


def _merged(
    samplings: Sequence[_Sampling],
    book: PriceBook,
    at: datetime,
    contract: Sequence[ContractPrice],
) -> list[tuple[_Sampling, Tokens]]:
    """Put samplings at one price together, so that each kind is rounded once."""
    merged: dict[tuple[str, str, Speed], tuple[_Sampling, Tokens]] = {}
    for sampling in samplings:
        tier = book.price_at(sampling.model, at, contract).tier_for(sampling.prompt)
        place = (book.find(sampling.model).id, tier.version, sampling.speed)
        first, tokens = merged.get(place, (sampling, Tokens()))
        merged[place] = first, tokens.plus(sampling.tokens)
    return list(merged.values())


def _price_of(
    sampling: _Sampling,
    usage: Usage,
    book: PriceBook,
    at: datetime,
    contract: Sequence[ContractPrice],
    field: str,
) -> tuple[Tier, Factor, str]:
    """Return what a sampling is charged at, and the version that names it with its factors."""
    listed = book.price_at(sampling.model, at, contract)
    tier = listed.tier_for(sampling.prompt)
    factor = SERVICE_TIER_FACTORS[usage.service_tier]
    applied: list[tuple[str, str, Factor]] = []
    asked: list[tuple[ModifierKind, str, str]] = [
        ("speed", sampling.speed, "standard"),
        ("inference_geo", usage.inference_geo, "global"),
    ]
    for kind, value, plain in asked:
        if value == plain:
            continue
        modifier = in_force(listed.modifiers, kind, value, at)
        if modifier is None:
            name = book.find(sampling.model).id
            raise Unpriceable(f"{field}.{kind}", f"{value!r} has no price with {name} at this time")
        factor = factor.times(modifier.factor)
        applied.append((kind, value, modifier.factor))
    if usage.service_tier != "standard":
        applied.append(
            ("service_tier", usage.service_tier, SERVICE_TIER_FACTORS[usage.service_tier])
        )
    return tier, factor, name_with(tier.version, applied)


def _is_sold(book: PriceBook, model: str, kind: ModifierKind, value: str, at: datetime) -> bool:
    return in_force(book.find(model).price_at(at).modifiers, kind, value, at) is not None


def _sum(tokens: Sequence[Tokens]) -> Tokens:
    total = Tokens()
    for each in tokens:
        total = total.plus(each)
    return total


def _iterations(
    value: object, field: str, notes: list[str], unpriced: list[Unpriceable]
) -> tuple[Iteration, ...]:
    """Read iterations; those that nobody has a price of are left out, and told in `unpriced`."""
    if value is None:
        return ()
    if not isinstance(value, list):
        raise InvalidRequest(field, "must be a list")
    if len(value) > ITERATIONS_MAX:
        raise InvalidRequest(field, f"must have at most {ITERATIONS_MAX} entries")
    found = []
    for index, each in enumerate(value):
        try:
            found.append(_iteration(each, f"{field}[{index}]", notes))
        except Unpriceable as error:
            unpriced.append(error)
    return tuple(found)


def _iteration(value: object, field: str, notes: list[str]) -> Iteration:
    raw = _object(value, field)
    if raw is None:
        raise InvalidRequest(field, "must be an object")
    type_, model = raw.get("type"), raw.get("model")
    if model is not None and not isinstance(model, str):
        raise InvalidRequest(f"{field}.model", "must be a text")
    tokens = _tokens(raw, field, notes)
    match type_:
        case "message" | "compaction":
            return Iteration(type_, tokens, model)
        case "advisor_message" | "fallback_message":
            if model is None:
                raise InvalidRequest(f"{field}.model", "is required")
            return Iteration(type_, tokens, model)
        case str():
            raise Unpriceable(f"{field}.type", f"no price is known for {type_[:64]!r}")
        case _:
            raise InvalidRequest(f"{field}.type", "is required")


def _tokens(raw: Mapping[str, Any], field: str, notes: list[str]) -> Tokens:
    write_5m, write_1h = _cache_writes(raw, field, notes)
    return Tokens(
        input=_count_or_zero(raw, "input_tokens", field),
        output=_count_or_zero(raw, "output_tokens", field),
        cache_read=_count_or_zero(raw, "cache_read_input_tokens", field),
        cache_write_5m=write_5m,
        cache_write_1h=write_1h,
    )


def _cache_writes(raw: Mapping[str, Any], field: str, notes: list[str]) -> tuple[int, int]:
    """Return what was written to the caches; both disagreements of sum and parts occur."""
    breakdown = _object(raw.get("cache_creation"), f"{field}.cache_creation") or {}
    total = _count_or_zero(raw, "cache_creation_input_tokens", field)
    write_5m, write_1h = (
        _count_or_zero(breakdown, name, f"{field}.cache_creation")
        for name in ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")
    )
    left = total - write_5m - write_1h
    if left > 0 and breakdown:
        notes.append(f"cache_writes_not_broken_down:{left}")
    elif left < 0 and raw.get("cache_creation_input_tokens") is not None:
        notes.append(f"cache_writes_above_their_sum:{-left}")
    return write_5m + max(left, 0), write_1h


def _count_or_zero(raw: Mapping[str, Any], name: str, field: str) -> int:
    value = raw.get(name)
    return 0 if value is None else parse_count(value, f"{field}.{name}")


def _object(value: object, field: str) -> Mapping[str, Any] | None:
    if value is not None and not isinstance(value, Mapping):
        raise InvalidRequest(field, "must be an object")
    return value
