"""The Messages API `usage` object, read strictly and priced exactly.

`input_tokens` there means the tokens that no cache served or took in; the request's whole input
is that plus what was read from and written to the cache, and the whole chooses the price tier.

Members that the contract does not name are ignored. Two of them can change a price elsewhere,
`speed: "fast"` and `inference_geo`: they are not sold here, so neither has a bound at
authorization, and usage is priced at standard speed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from headroom.domain.prices import (
    ContractPrice,
    Kind,
    PriceBook,
    ServiceTier,
    line_nanos,
    unit_price,
)
from headroom.errors import InvalidRequest

COUNT_MAX: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Usage:
    """What one request used; counts of disjoint kinds."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    web_search_requests: int = 0
    service_tier: ServiceTier = "standard"

    @property
    def total_input_tokens(self) -> int:
        """The whole prompt, however the cache took part in it."""
        return (
            self.input_tokens
            + self.cache_read_tokens
            + self.cache_write_5m_tokens
            + self.cache_write_1h_tokens
        )


@dataclass(frozen=True, slots=True)
class Component:
    """One kind of a priced usage: `unit_nanos` for every `per` units of `quantity`.

    `per` is 1 but for half of an odd batch rate, where it is 2.
    """

    kind: Kind
    quantity: int
    unit_nanos: int
    per: int
    amount_nanos: int


@dataclass(frozen=True, slots=True)
class PricedUsage:
    """The cost of one request, and why it is that."""

    model: str
    service_tier: ServiceTier
    price_version: str
    components: tuple[Component, ...]
    amount_nanos: int


def parse_usage(value: object, field: str = "usage") -> Usage:
    """Read a Messages API `usage` object.

    `input_tokens` and `output_tokens` must be there; the API sends null where it has nothing to
    count, and null counts as 0 everywhere. Without the breakdown by lifetime, cache writes
    are 5-minute ones, the API's default.

    Raises:
        InvalidRequest: names the member that is missing, of the wrong type, out of range, or in
            contradiction to another.
    """
    raw = _object(value, field)
    if raw is None:
        raise InvalidRequest(field, "must be an object")
    for required in ("input_tokens", "output_tokens"):
        if required not in raw:
            raise InvalidRequest(f"{field}.{required}", "is required")
    write_5m, write_1h = _cache_writes(raw, field)
    tools = _object(raw.get("server_tool_use"), f"{field}.server_tool_use") or {}
    return Usage(
        input_tokens=_count_or_zero(raw, "input_tokens", field),
        output_tokens=_count_or_zero(raw, "output_tokens", field),
        cache_read_tokens=_count_or_zero(raw, "cache_read_input_tokens", field),
        cache_write_5m_tokens=write_5m,
        cache_write_1h_tokens=write_1h,
        web_search_requests=_count_or_zero(
            tools, "web_search_requests", f"{field}.server_tool_use"
        ),
        service_tier=parse_service_tier(raw.get("service_tier"), f"{field}.service_tier"),
    )


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
    """Read a service tier; null is standard.

    Priority capacity is bought ahead under another contract; what arrives here as "priority" is
    priced as standard.

    Raises:
        InvalidRequest: none of "standard", "batch", "priority".
    """
    match value:
        case None | "standard" | "priority":
            return "standard"
        case "batch":
            return "batch"
        case _:
            raise InvalidRequest(field, 'must be "standard", "batch" or "priority"')


def price(
    usage: Usage,
    *,
    book: PriceBook,
    model: str,
    at: datetime,
    contract: Sequence[ContractPrice] = (),
) -> PricedUsage:
    """Price a request that occurred at a moment.

    Raises:
        UnknownModel: the book has no price for the model.
    """
    tier = book.price_at(model, at, contract).tier_for(usage.total_input_tokens)
    quantities: tuple[tuple[Kind, int], ...] = (
        ("input", usage.input_tokens),
        ("output", usage.output_tokens),
        ("cache_read", usage.cache_read_tokens),
        ("cache_write_5m", usage.cache_write_5m_tokens),
        ("cache_write_1h", usage.cache_write_1h_tokens),
        ("web_search", usage.web_search_requests),
    )
    components = []
    for kind, quantity in quantities:
        if quantity:
            unit_nanos, per = unit_price(tier.rates, kind, usage.service_tier)
            amount = line_nanos(quantity, unit_nanos, per)
            components.append(Component(kind, quantity, unit_nanos, per, amount))
    return PricedUsage(
        model=book.find(model).id,
        service_tier=usage.service_tier,
        price_version=tier.version,
        components=tuple(components),
        amount_nanos=sum(component.amount_nanos for component in components),
    )


def _cache_writes(raw: Mapping[str, Any], field: str) -> tuple[int, int]:
    total_name, breakdown_name = "cache_creation_input_tokens", "cache_creation"
    total = _count_or_zero(raw, total_name, field)
    breakdown = _object(raw.get(breakdown_name), f"{field}.{breakdown_name}") or {}
    names = ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")
    if all(breakdown.get(name) is None for name in names):
        return total, 0
    write_5m, write_1h = (
        _count_or_zero(breakdown, name, f"{field}.{breakdown_name}") for name in names
    )
    if raw.get(total_name) is not None and write_5m + write_1h != total:
        raise InvalidRequest(
            f"{field}.{total_name}",
            f"is {total}, but {breakdown_name} sums to {write_5m + write_1h}",
        )
    return write_5m, write_1h


def _count_or_zero(raw: Mapping[str, Any], name: str, field: str) -> int:
    value = raw.get(name)
    return 0 if value is None else parse_count(value, f"{field}.{name}")


def _object(value: object, field: str) -> Mapping[str, Any] | None:
    if value is not None and not isinstance(value, Mapping):
        raise InvalidRequest(field, "must be an object")
    return value
