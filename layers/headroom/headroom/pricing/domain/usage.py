"""The Messages API `usage` object, read strictly and priced exactly.

`input_tokens` there means the tokens that no cache served or took in; a prompt's whole input is
that plus what was read from and written to the cache, and the whole chooses the price tier.

One request may be several samplings, of several models. `usage.iterations` tells them apart: in a
tool loop they are inside the top-level figures, while compaction, an advisor's and a declined
attempt's tokens lie beside them. `MEMBERS` says of every member of the object what is done with it.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal, TypeVar

from headroom.core.errors import InvalidRequest
from headroom.pricing.domain.modifiers import Factor, Modifier, ModifierKind, in_force, name_with
from headroom.pricing.domain.prices import (
    SERVICE_TIER_FACTORS,
    ContractPrice,
    Kind,
    Price,
    PriceBook,
    ServiceTier,
    Tier,
    Unpriceable,
    line_nanos,
    unit_price,
)

COUNT_MAX: Final = 1_000_000_000
# A server's tool loop ends after far fewer; an object of a client is not walked for ever.
ITERATIONS_MAX: Final = 256
# "You are not billed for a request that is refused before any output is generated"; such an answer
# has no content, and counts no output, or the one token that a message starts with.
# https://platform.claude.com/docs/en/build-with-claude/refusals-and-fallback
REFUSED_OUTPUT_MAX: Final = 1
# Usage is stamped when it is reported: by a hold that was granted while a modifier was sold, up to
# the longest life of one later (`bounds.HOLD_LIFE_MAX`), by a clock that may run ahead.
SOLD_UNTIL_REACHES: Final = timedelta(hours=24, minutes=5)

Read = TypeVar("Read")
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
# What the API's pages name beside the SDK's types. Finding a tool costs its tokens alone; code runs
# in a container that an organization is charged for by the hour, which no request tells.
# https://platform.claude.com/docs/en/agents-and-tools/tool-use/tool-search-tool
# https://platform.claude.com/docs/en/agents-and-tools/tool-use/code-execution-tool
SERVER_TOOL_COUNTS: Final[Mapping[str, Treatment]] = {
    "web_search_requests": "charged",
    "web_fetch_requests": "ignored",
    "tool_search_requests": "ignored",
    "code_execution_requests": "explains",
}
CACHE_LIFETIME_COUNTS: Final = ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")


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

    `speed` is None where the object says none: then a name may say it. Of the five-minute writes
    `writes_not_broken_down` are only thought to be that. `notes` say what in the object had to be
    decided, for the line to explain itself.
    """

    tokens: Tokens = Tokens()
    web_search_requests: int = 0
    service_tier: ServiceTier = "standard"
    speed: Speed | None = None
    inference_geo: Geography = "global"
    iterations: tuple[Iteration, ...] = ()
    writes_not_broken_down: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AskedSpeed:
    """At which speed a request was asked for, as its hold remembers it.

    `fallbacks` are models with the speed that each names for itself, None where it takes the
    request's.
    """

    speed: Speed
    fallbacks: tuple[tuple[str, Speed | None], ...] = ()


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
    """Tokens at one price: a model's, at the tier that its longest single prompt reaches.

    `told_by` is the member of the usage that says the speed.
    """

    model: str
    tokens: Tokens
    prompt: int
    speed: Speed
    inference_geo: Geography
    told_by: str = "speed"


def parse_usage(value: object, field: str = "usage") -> Usage:
    """Read a Messages API `usage` object.

    `input_tokens` and `output_tokens` must be there; the API sends null where it has nothing to
    count, and null counts as 0 everywhere. Cache writes that are not broken down by lifetime are
    5-minute ones, the API's default; a breakdown that is more than its total is believed.

    Raises:
        Unpriceable: a service tier, speed, geography, entry of `iterations`, cache lifetime or
            server tool that is not understood, while the top-level figures are counts.
        InvalidRequest: names the top-level figure that is missing, or is no count.
    """
    raw = _object(value, field)
    if raw is None:
        raise InvalidRequest(field, "must be an object")
    for required in ("input_tokens", "output_tokens"):
        if required not in raw:
            raise InvalidRequest(f"{field}.{required}", "is required")
    notes: list[str] = []
    unpriced: list[Unpriceable] = []
    tokens, left = _tokens(raw, field, notes, unpriced)
    searches = _searches(raw, f"{field}.server_tool_use", notes, unpriced)
    iterations = _iterations(raw.get("iterations"), f"{field}.iterations", notes, unpriced)
    if _redeemed_credit(raw.get("fallback_credit")):
        notes.append("fallback_credit_redeemed")
    counted = raw.get("headroom")
    if isinstance(counted, Mapping) and "output_tokens" in counted:
        # The stream was cut off before the API said how much output there was.
        notes.append("output_tokens_counted_by_client")

    def read(name: str, parse: Callable[[object, str], Read], otherwise: Read) -> Read:
        try:
            return parse(raw.get(name), f"{field}.{name}")
        except InvalidRequest as error:
            unpriced.append(_kept(error))
            return otherwise

    usage = Usage(
        tokens=tokens,
        web_search_requests=searches,
        service_tier=read("service_tier", parse_service_tier, "standard"),
        speed=None if raw.get("speed") is None else read("speed", parse_speed, "standard"),
        inference_geo=read("inference_geo", parse_geography, "global"),
        iterations=iterations,
        writes_not_broken_down=left,
        notes=tuple(dict.fromkeys(notes)),
    )
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
    asked: AskedSpeed | None = None,
    field: str = "usage",
) -> PricedUsage:
    """Price a request that occurred at a moment.

    `model` is the one that the client names. `refused` says that the model declined to answer: what
    was declined before any output costs nothing. `asked` is what its hold remembers of the speed.

    Raises:
        UnknownModel: the book has no price for a model that was used.
        Unpriceable: a model was not sold with what the usage names, such as fast mode.
    """
    book.find(model)
    for index, each in enumerate(usage.iterations):
        if each.model is not None:
            book.find(each.model, f"{field}.iterations[{index}].model")
    terms = _Terms(usage, book, model, at, contract, asked, field)
    notes = list(usage.notes)
    samplings = terms.served(notes)
    first = samplings[0]
    if refused and usage.tokens.output <= REFUSED_OUTPUT_MAX:
        notes.append("refused_before_output")
        samplings = []
    samplings += terms.beside(first, notes)

    tier, _, version = terms.price_of(first, notes)
    name = book.find(first.model).id
    components: list[Component] = []
    for sampling, tokens in terms.merged(samplings):
        reached, factor, its_version = terms.price_of(sampling, notes)
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
        notes=tuple(dict.fromkeys(notes)),
    )


def asks_for_speed(usage: Usage, *, book: PriceBook, model: str) -> bool:
    """Tell whether the price depends on a speed that the usage does not say, but its hold may.

    `usage.speed` is the speed of what served; a declined attempt ran at the one it was asked at.

    Raises:
        UnknownModel: the book has no price for a model that was used.
    """
    served_by = _served_by(usage, model)
    return any(
        each.tokens.output and _is_declined(each, served_by, book) for each in usage.iterations
    )


@dataclass(frozen=True, slots=True)
class _Terms:
    """Under which terms the samplings of one request are priced."""

    usage: Usage
    book: PriceBook
    model: str
    at: datetime
    contract: Sequence[ContractPrice]
    asked: AskedSpeed | None
    field: str

    def served(self, notes: list[str]) -> list[_Sampling]:
        """Return what the top-level figures are of: each sampling where iterations add up to them.

        Where they do not, the figures count, which are those that the API charges by, and the
        longest prompt that is known chooses the tier. A sum that no window holds is no single
        prompt.
        """
        usage = self.usage
        model = _served_by(usage, self.model)
        speed, geo = self._speed_served(model), usage.inference_geo
        inside = [
            each.tokens
            for each in usage.iterations
            if each.type == "fallback_message"
            or (each.type == "message" and not _is_declined(each, model, self.book))
        ]
        if inside and (_sum(inside) == usage.tokens or self._are_broken_down(inside, notes)):
            return [_Sampling(model, each, each.total_input, speed, geo) for each in inside]
        prompt = usage.tokens.total_input
        if inside:
            prompt = min(prompt, max(each.total_input for each in inside))
        if prompt > self.book.find(model).window_at(self.at):
            prompt = 0
        return [_Sampling(model, usage.tokens, prompt, speed, geo)]

    def beside(self, first: _Sampling, notes: list[str]) -> list[_Sampling]:
        """Return what the top-level figures leave out: compaction, advice, declined attempts."""
        found = []
        for index, each in enumerate(self.usage.iterations):
            model, speed, told_by = each.model or first.model, first.speed, "speed"
            if each.type == "compaction":
                # It names no model: the context that it closes is that of the one that served.
                model, geo = first.model, first.inference_geo
            elif each.type == "advisor_message":
                # The advisor is a request of its own: `speed` is not its.
                speed = "fast" if self.book.is_fast(model) else "standard"
                told_by = f"iterations[{index}].model"
                geo = self._geo_where_known(model, notes)
            elif _is_declined(each, first.model, self.book):
                if not each.tokens.output:
                    notes.append(f"declined_without_output:{model}")
                    continue
                speed = self._speed_declined(model, notes)
                told_by = f"iterations[{index}].model"
                geo = self._geo_where_known(model, notes)
            else:
                continue
            prompt = each.tokens.total_input
            found.append(_Sampling(model, each.tokens, prompt, speed, geo, told_by))
        return found

    def merged(self, samplings: Sequence[_Sampling]) -> list[tuple[_Sampling, Tokens]]:
        """Put samplings at one price together, so that each kind is rounded once."""
        merged: dict[tuple[str, str, Speed, Geography], tuple[_Sampling, Tokens]] = {}
        for sampling in samplings:
            tier = self._listed(sampling.model).tier_for(sampling.prompt)
            id_ = self.book.find(sampling.model).id
            place = (id_, tier.version, sampling.speed, sampling.inference_geo)
            first, tokens = merged.get(place, (sampling, Tokens()))
            merged[place] = first, tokens.plus(sampling.tokens)
        return list(merged.values())

    def price_of(self, sampling: _Sampling, notes: list[str]) -> tuple[Tier, Factor, str]:
        """Return what a sampling is charged at, and the version that names it with its factors."""
        tier = self._listed(sampling.model).tier_for(sampling.prompt)
        service_tier = self.usage.service_tier
        factor = SERVICE_TIER_FACTORS[service_tier]
        applied: list[tuple[str, str, Factor]] = []
        asked: list[tuple[ModifierKind, str, str, str]] = [
            ("speed", sampling.speed, "standard", sampling.told_by),
            ("inference_geo", sampling.inference_geo, "global", "inference_geo"),
        ]
        for kind, value, plain, told_by in asked:
            if value == plain:
                continue
            modifier = self._modifier(sampling.model, kind, value)
            name = self.book.find(sampling.model).id
            if modifier is None:
                problem = f"{value!r} has no price with {name} at this time"
                raise Unpriceable(f"{self.field}.{told_by}", problem)
            if self._in_force(sampling.model, kind, value) is None:
                notes.append(f"modifier_ended:{name};{kind}={value}")
            factor = factor.times(modifier.factor)
            applied.append((kind, value, modifier.factor))
        if service_tier != "standard":
            applied.append(("service_tier", service_tier, SERVICE_TIER_FACTORS[service_tier]))
        return tier, factor, name_with(tier.version, applied)

    def _speed_served(self, model: str) -> Speed:
        """Return what `speed` says; where it says nothing, what a name asked of this very model."""
        if self.usage.speed is not None:
            return self.usage.speed
        named = self.book.is_fast(model) or self._is_asked_fast(model)
        return "fast" if named else "standard"

    def _speed_declined(self, model: str, notes: list[str]) -> Speed:
        """Return at which speed an attempt ran that another followed.

        By its name, or as its hold was asked for. Without either, as the usage shows: fast if what
        served was. A model that is not sold so took no part in fast mode.
        """
        if self.book.is_fast(model) or self._is_asked_fast(model):
            return "fast"
        if self._modifier(model, "speed", "fast") is None:
            return "standard"
        if self.asked is not None:
            return self._speed_asked(model, self.asked)
        speed = self.usage.speed or "standard"
        notes.append(f"asked_speed_unknown:{self.book.find(model).id};speed={speed}")
        return speed

    def _speed_asked(self, model: str, asked: AskedSpeed) -> Speed:
        id_ = self.book.find(model).id
        requested: Speed = "fast" if self.book.is_fast(self.model) else asked.speed
        if id_ == self.book.find(self.model).id:
            return requested
        for name, speed in asked.fallbacks:
            if self.book.find(name).id == id_:
                return "fast" if self.book.is_fast(name) else speed or requested
        return requested

    def _is_asked_fast(self, model: str) -> bool:
        """Tell whether the name that was asked for is this model's, in fast mode."""
        find = self.book.find
        return self.book.is_fast(self.model) and find(model).id == find(self.model).id

    def _geo_where_known(self, model: str, notes: list[str]) -> Geography:
        """Return the request's geography, for a model beside it that may be older than any."""
        geo = self.usage.inference_geo
        if geo == "global" or self._modifier(model, "inference_geo", geo) is not None:
            return geo
        notes.append(f"without_modifier:{self.book.find(model).id};inference_geo={geo}")
        return "global"

    def _are_broken_down(self, inside: Sequence[Tokens], notes: list[str]) -> bool:
        """Tell whether iterations say of which lifetime the writes were, if the figures do not."""
        total, top, left = _sum(inside), self.usage.tokens, self.usage.writes_not_broken_down
        longer = total.cache_write_1h - top.cache_write_1h
        if not 0 < longer <= left:
            return False
        moved = replace(
            top,
            cache_write_5m=top.cache_write_5m - longer,
            cache_write_1h=total.cache_write_1h,
        )
        if moved != total:
            return False
        notes.remove(_not_broken_down(left))
        notes.append(f"cache_writes_broken_down_by_iterations:{left}")
        return True

    def _modifier(self, model: str, kind: ModifierKind, value: str) -> Modifier | None:
        """Return what multiplies usage of this moment: also shortly after it was last sold."""
        found = self._in_force(model, kind, value)
        if found is not None:
            return found
        # It may have ended, or the price that had it.
        since = self.at - SOLD_UNTIL_REACHES
        ended = [
            each
            for price in self.book.prices_within(model, since, self.at, self.contract)
            for each in price.modifiers
            if (each.kind, each.value) == (kind, value)
            and each.starts_at <= self.at
            and each.ends_at > since
        ]
        return ended[-1] if ended else None

    def _in_force(self, model: str, kind: ModifierKind, value: str) -> Modifier | None:
        return in_force(self._listed(model).modifiers, kind, value, self.at)

    def _listed(self, model: str) -> Price:
        return self.book.price_at(model, self.at, self.contract)


def _served_by(usage: Usage, model: str) -> str:
    """Return the model that the top-level figures are of.

    That of the fallback that served; where none did, that of the last attempt, which declined after
    the others; the model that was asked for where no entry names one.
    """
    named = [
        (each.type, each.model)
        for each in usage.iterations
        if each.model is not None and each.type in ("message", "fallback_message")
    ]
    fallbacks = [each for each in named if each[0] == "fallback_message"]
    return (fallbacks or named or [("message", model)])[-1][1]


def _is_declined(each: Iteration, served_by: str, book: PriceBook) -> bool:
    """Tell an attempt that another model followed from a round of the one that came last."""
    if each.type != "message" or each.model is None:
        return False
    return book.find(each.model).id != book.find(served_by).id


def _sum(tokens: Sequence[Tokens]) -> Tokens:
    total = Tokens()
    for each in tokens:
        total = total.plus(each)
    return total


def _iterations(
    value: object, field: str, notes: list[str], unpriced: list[Unpriceable]
) -> tuple[Iteration, ...]:
    """Read iterations; those that are not understood are left out, and told in `unpriced`."""
    if value is None:
        return ()
    if not isinstance(value, list):
        unpriced.append(Unpriceable(field, "must be a list to have a price"))
        return ()
    if len(value) > ITERATIONS_MAX:
        unpriced.append(Unpriceable(field, f"must have at most {ITERATIONS_MAX} to have a price"))
        return ()
    found = []
    for index, each in enumerate(value):
        try:
            found.append(_iteration(each, f"{field}[{index}]", notes, unpriced))
        except InvalidRequest as error:
            unpriced.append(_kept(error))
    return tuple(found)


def _iteration(
    value: object, field: str, notes: list[str], unpriced: list[Unpriceable]
) -> Iteration:
    raw = _object(value, field)
    if raw is None:
        raise InvalidRequest(field, "must be an object")
    # The type first: what the rest of an entry means is for its type to say.
    type_, model = raw.get("type"), raw.get("model")
    match type_:
        case "message" | "compaction" | "advisor_message" | "fallback_message":
            pass
        case str():
            raise Unpriceable(f"{field}.type", f"no price is known for {type_[:64]!r}")
        case _:
            raise InvalidRequest(f"{field}.type", "is required")
    if model is None and type_ in ("advisor_message", "fallback_message"):
        raise InvalidRequest(f"{field}.model", "is required")
    if model is not None and not isinstance(model, str):
        raise InvalidRequest(f"{field}.model", "must be a text")
    tokens, _ = _tokens(raw, field, notes, unpriced)
    return Iteration(type_, tokens, model)


def _searches(
    raw: Mapping[str, Any], field: str, notes: list[str], unpriced: list[Unpriceable]
) -> int:
    tools = _object(raw.get("server_tool_use"), field) or {}
    _known_counts(tools, SERVER_TOOL_COUNTS, field, unpriced)
    if tools.get("code_execution_requests"):
        notes.append("code_execution_time_not_charged")
    return _count_or_zero(tools, "web_search_requests", field)


def _redeemed_credit(value: object) -> bool:
    """Tell whether a fallback credit was redeemed, which explains and changes no figure."""
    status = value.get("status") if isinstance(value, Mapping) else None
    return isinstance(status, Mapping) and status.get("type") == "redeemed"


def _tokens(
    raw: Mapping[str, Any], field: str, notes: list[str], unpriced: list[Unpriceable]
) -> tuple[Tokens, int]:
    """Return the counts, and how many of the five-minute writes are not said to be that.

    Both disagreements of the writes' sum and their parts occur.
    """
    breakdown = _object(raw.get("cache_creation"), f"{field}.cache_creation") or {}
    _known_counts(breakdown, CACHE_LIFETIME_COUNTS, f"{field}.cache_creation", unpriced)
    total = _count_or_zero(raw, "cache_creation_input_tokens", field)
    write_5m, write_1h = (
        _count_or_zero(breakdown, name, f"{field}.cache_creation") for name in CACHE_LIFETIME_COUNTS
    )
    left = total - write_5m - write_1h
    if left > 0:
        notes.append(_not_broken_down(left))
    elif left < 0 and raw.get("cache_creation_input_tokens") is not None:
        notes.append(f"cache_writes_above_their_sum:{-left}")
    left = max(left, 0)
    tokens = Tokens(
        input=_count_or_zero(raw, "input_tokens", field),
        output=_count_or_zero(raw, "output_tokens", field),
        cache_read=_count_or_zero(raw, "cache_read_input_tokens", field),
        cache_write_5m=write_5m + left,
        cache_write_1h=write_1h,
    )
    return tokens, left


def _not_broken_down(tokens: int) -> str:
    return f"cache_writes_not_broken_down:{tokens}"


def _known_counts(
    raw: Mapping[str, Any], known: Container[str], field: str, unpriced: list[Unpriceable]
) -> None:
    """Check that whatever is counted here is known: what may cost is never free."""
    for name, value in raw.items():
        if name not in known and value:
            shown = ascii(name[:64])[1:-1]
            unpriced.append(Unpriceable(f"{field}.{shown}", "no price is known for it"))


def _kept(error: InvalidRequest) -> Unpriceable:
    """Return a mistake in what has happened all the same: kept and shown, instead of rejected."""
    if isinstance(error, Unpriceable):
        return error
    return Unpriceable(error.field, str(error).removeprefix(f"{error.field}: "))


def _count_or_zero(raw: Mapping[str, Any], name: str, field: str) -> int:
    value = raw.get(name)
    return 0 if value is None else parse_count(value, f"{field}.{name}")


def _object(value: object, field: str) -> Mapping[str, Any] | None:
    if value is not None and not isinstance(value, Mapping):
        raise InvalidRequest(field, "must be an object")
    return value
