"""What a token costs: list prices by model and date, and an organization's contract prices.

A price is in force from a UTC midnight until the next price of the same model. Within a price,
the size of the request chooses the tier: *all* tokens of a request are charged at the rates of
the highest tier that its total input (uncached, read from and written to the cache) reaches.
What multiplies a price, such as fast mode, is a modifier of the model (`modifiers`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from math import gcd
from typing import Any, Final, Literal

from headroom.core.errors import InvalidRequest
from headroom.pricing.domain.model_names import NAME_LENGTH_MAX, read_model_name
from headroom.pricing.domain.modifiers import (
    HALF,
    PLAIN,
    Factor,
    Modifier,
    agreed_instead,
    read_modifier,
)

Kind = Literal["input", "output", "cache_read", "cache_write_5m", "cache_write_1h", "web_search"]
ServiceTier = Literal["standard", "batch"]

TOKEN_KINDS: Final[tuple[Kind, ...]] = (
    "input",
    "output",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
)
KINDS: Final[tuple[Kind, ...]] = (*TOKEN_KINDS, "web_search")

# "The Batches API … All usage is charged at 50% of the standard API prices", caching included;
# web search has no batch price and is charged in full.
# https://platform.claude.com/docs/en/build-with-claude/batch-processing#pricing
SERVICE_TIER_FACTORS: Final[Mapping[ServiceTier, Factor]] = {"standard": PLAIN, "batch": HALF}

MODEL_LENGTH_MAX: Final = NAME_LENGTH_MAX
RATE_NANOS_MAX: Final = 1_000_000_000_000

_BEGINNING: Final = datetime.min.replace(tzinfo=UTC)
_CONTRACT_ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class Unpriceable(InvalidRequest):
    """Something has no price here. A request for it is refused; usage of it is kept and shown."""


class UnknownModel(Unpriceable):
    """No price is known for the model: never free, and never guessed."""

    def __init__(self, model: str, field: str = "model") -> None:
        shown = model if len(model) <= MODEL_LENGTH_MAX else f"{model[:MODEL_LENGTH_MAX]}…"
        super().__init__(field, f"no price is known for {shown!r}")


@dataclass(frozen=True, slots=True)
class Rates:
    """What `per` tokens of each kind cost in whole nanos, and one web search; standard service.

    `per` is 1 but after a discount that leaves no whole number of nanos for one token.
    """

    input: int
    output: int
    cache_read: int
    cache_write_5m: int
    cache_write_1h: int
    web_search: int
    per: int = 1

    def of(self, kind: Kind) -> int:
        """Return the nanos of `per` tokens of `kind`, or of one search."""
        rate: int = getattr(self, kind)
        return rate

    @classmethod
    def read(cls, raw: Mapping[str, Any], field: str) -> Rates:
        """Read all six rates from a dictionary.

        Raises:
            InvalidRequest: a rate is missing, unknown, or not a whole non-negative number.
        """
        if unknown := raw.keys() - set(KINDS):
            raise InvalidRequest(
                f"{field}.{min(unknown)}", f"is no kind; kinds are {', '.join(KINDS)}"
            )
        for kind in KINDS:
            rate = raw.get(kind)
            if type(rate) is not int or not 0 <= rate <= RATE_NANOS_MAX:
                raise InvalidRequest(
                    f"{field}.{kind}", f"must be whole nanos from 0 to {RATE_NANOS_MAX}"
                )
        return cls(**raw)


@dataclass(frozen=True, slots=True)
class Tier:
    """The rates of requests with at least this much input; `version` names exactly this price."""

    input_tokens_min: int
    rates: Rates
    version: str


@dataclass(frozen=True, slots=True)
class Price:
    """What one model costs from a moment on. The first tier starts at no input at all.

    `modifiers` are those that multiply these rates, each while it is in force. `source` is the
    address that they were read at, where that is not the book's, and `read_on` the day.
    """

    starts_at: datetime
    tiers: tuple[Tier, ...]
    modifiers: tuple[Modifier, ...] = ()
    source: str | None = None
    read_on: str | None = None

    def tier_for(self, input_tokens: int) -> Tier:
        """Return the tier of a request with this much input of all kinds together."""
        found = self.tiers[0]
        for tier in self.tiers[1:]:
            if input_tokens >= tier.input_tokens_min:
                found = tier
        return found

    def tiers_within(self, input_tokens: int) -> list[Tier]:
        """Return every tier that a request with at most this much input can end in."""
        return [tier for tier in self.tiers if input_tokens >= tier.input_tokens_min]

    @classmethod
    def read(cls, raw: Mapping[str, Any], starts_at: datetime, version: str, field: str) -> Price:
        """Read the tiers of a price, lowest first.

        Raises:
            InvalidRequest: no tiers, tiers out of order, or a bad rate.
        """
        tiers: list[Tier] = []
        raw_tiers = raw.get("tiers")
        if not isinstance(raw_tiers, list) or not raw_tiers:
            raise InvalidRequest(f"{field}.tiers", "must be a list of at least one tier")
        for index, raw_tier in enumerate(raw_tiers):
            here = f"{field}.tiers[{index}]"
            if not isinstance(raw_tier, Mapping):
                raise InvalidRequest(here, "must have input_tokens_min and rates")
            if not isinstance(raw_tier.get("rates"), Mapping):
                raise InvalidRequest(f"{here}.rates", f"must have {', '.join(KINDS)}")
            least = raw_tier.get("input_tokens_min")
            floor = tiers[-1].input_tokens_min + 1 if tiers else 0
            if type(least) is not int or least < floor or (not tiers and least != 0):
                raise InvalidRequest(
                    f"{here}.input_tokens_min", "must be 0 in the first tier and rise from there"
                )
            rates = Rates.read(raw_tier["rates"], f"{here}.rates")
            name = f"{version}/from-{least}-input-tokens" if least else version
            tiers.append(Tier(least, rates, name))
        return cls(starts_at, tuple(tiers))


@dataclass(frozen=True, slots=True)
class ContractPrice:
    """What an organization has agreed: other prices for a model, or a discount.

    `model` is a canonical id, or None for every model. Exactly one of `price` and
    `discount_percent` is set; a discount is taken off whatever list price is in force. The list's
    modifiers multiply it, but where and while `modifiers` has another for the same kind and value;
    those of a contract for every model are for the models that are sold with such a thing.
    """

    id: str
    model: str | None
    starts_at: datetime
    price: Price | None
    discount_percent: int
    modifiers: tuple[Modifier, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelPrices:
    """One model: its prices from the oldest to the newest, and the longest prompt it takes.

    `windows` are (from when, tokens), the oldest first.
    """

    id: str
    prices: tuple[Price, ...]
    windows: tuple[tuple[datetime, int], ...]

    def price_at(self, at: datetime) -> Price:
        """Return the list price in force at a moment."""
        found = self.prices[0]
        for price in self.prices[1:]:
            if at >= price.starts_at:
                found = price
        return found

    def window_at(self, at: datetime) -> int:
        """Return how many tokens of input a single prompt can have at a moment."""
        found = self.windows[0][1]
        for starts_at, tokens in self.windows[1:]:
            if at >= starts_at:
                found = tokens
        return found


class PriceBook:
    """An immutable snapshot of list prices, and the answer to what a model costs when."""

    __slots__ = ("_by_key", "_find", "models", "source", "version")

    def __init__(
        self, version: str, models: Iterable[ModelPrices], source: str | None = None
    ) -> None:
        self.version: Final = version
        self.source: Final = source
        self.models: Final = tuple(models)
        self._by_key: dict[str, ModelPrices] = {}
        for model in self.models:
            name = read_model_name(model.id)
            if name is None or name.fast or name.key in self._by_key:
                raise ValueError(f"{model.id} is no name of a model, or a second one")
            self._by_key[name.key] = model
        # Only hits are remembered, and no more than there are plausible names: misses raise.
        self._find = lru_cache(maxsize=1024)(self._read)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any], modifiers: Mapping[str, Any]) -> PriceBook:
        """Build the book from its JSON form and that of the modifiers.

        Raises:
            InvalidRequest: something in them cannot be read.
            ValueError: a modifier is for a model that has no price.
        """
        version = str(raw["version"])
        of_model: dict[str, list[Modifier]] = {model["id"]: [] for model in raw["models"]}
        for index, row in enumerate(modifiers["modifiers"]):
            if row["model"] not in of_model:
                raise ValueError(f"modifiers[{index}]: {row['model']} has no price")
            modifier = read_modifier(row, f"modifiers[{index}]")
            of_model[row["model"]].append(
                replace(modifier, source=row.get("source"), read_on=row.get("read"))
            )
        models = []
        for model in raw["models"]:
            prices = []
            for price in model["prices"]:
                start = price["from"]
                name = f"{version}/{model['id']}/{start or 'initial'}"
                read = Price.read(price, _from(start), name, model["id"])
                prices.append(
                    replace(
                        read,
                        modifiers=tuple(of_model[model["id"]]),
                        source=price.get("source"),
                        read_on=price.get("read"),
                    )
                )
            windows = tuple((_from(start), tokens) for start, tokens in model["windows"])
            models.append(ModelPrices(model["id"], tuple(prices), windows))
        return cls(version, models, raw.get("source"))

    def find(self, model: str, field: str = "model") -> ModelPrices:
        """Return the model that is meant by any of its spellings.

        Raises:
            UnknownModel: nothing in the book goes by this name; it names the field.
        """
        try:
            return self._find(model)[0]
        except UnknownModel as error:
            raise UnknownModel(model, field) from error

    def is_fast(self, model: str) -> bool:
        """Tell whether a name asks for fast mode by itself, as ids that end in `-fast` do.

        Raises:
            UnknownModel: nothing in the book goes by this name.
        """
        return self._find(model)[1]

    def price_at(self, model: str, at: datetime, contract: Sequence[ContractPrice] = ()) -> Price:
        """Return what the model costs this organization at a moment.

        A contract price for the model goes before one for all models, and a later one before
        an earlier one.

        Raises:
            UnknownModel: nothing in the book goes by this name; a contract does not change that.
        """
        _require_aware(at)
        found = self.find(model)
        agreed = _in_force(contract, found.id, at) if contract else None
        listed = found.price_at(at)
        return listed if agreed is None else _apply(agreed, listed)

    def prices_within(
        self, model: str, start: datetime, end: datetime, contract: Sequence[ContractPrice] = ()
    ) -> list[Price]:
        """Return every price in force at some moment from `start` to `end`, both included.

        Raises:
            UnknownModel: nothing in the book goes by this name.
        """
        _require_aware(start)
        found = self.find(model)
        changes = [price.starts_at for price in found.prices]
        changes += [agreed.starts_at for agreed in contract]
        moments = [start, *(change for change in changes if start < change <= end)]
        return [self.price_at(model, moment, contract) for moment in moments]

    def changes_within(
        self, model: str, start: datetime, end: datetime, contract: Sequence[ContractPrice] = ()
    ) -> list[tuple[datetime, Price]]:
        """Return `start`, and each moment until `end` at which a price or modifier changes.

        Each comes with the price that is in force from then on.

        Raises:
            UnknownModel: nothing in the book goes by this name.
        """
        changes = {agreed.starts_at for agreed in contract}
        for price in self.prices_within(model, start, end, contract):
            changes.add(price.starts_at)
            for modifier in price.modifiers:
                changes |= {modifier.starts_at, modifier.ends_at}
        moments = [start, *sorted(change for change in changes if start < change <= end)]
        return [(moment, self.price_at(model, moment, contract)) for moment in moments]

    def _read(self, model: str) -> tuple[ModelPrices, bool]:
        name = read_model_name(model)
        found = None if name is None else self._by_key.get(name.key)
        if name is None or found is None:
            raise UnknownModel(model)
        if name.fast and not any(
            modifier.kind == "speed" for price in found.prices for modifier in price.modifiers
        ):
            # Fast mode was never sold for it: there is no such model.
            raise UnknownModel(model)
        return found, name.fast


def line_nanos(quantity: int, unit_nanos: int, per: int) -> int:
    """Return the price of one line: `unit_nanos` for every `per` units, rounded down once.

    Rounding happens only where a price after its factors is not a whole nano, is in the
    customer's favour, and is less than one nano a line.
    """
    return quantity * unit_nanos // per


def unit_price(rates: Rates, kind: Kind, factor: Factor) -> tuple[int, int]:
    """Return what a kind costs as (nanos, units): so many nanos for so many units.

    Nearly always for one. Half of an odd rate is no whole number of nanos, so it is said as
    the whole rate for two tokens: 125 nanos for 2, not 62.5 for 1. Factors are on tokens alone.
    """
    rate = rates.of(kind)
    if kind == "web_search" or (factor == PLAIN and rates.per == 1):
        return rate, 1
    nanos, per = rate * factor.numerator, rates.per * factor.denominator
    common = gcd(nanos, per)
    return nanos // common, per // common


def read_contract_price(raw: Mapping[str, Any], book: PriceBook, field: str) -> ContractPrice:
    """Read one contract price of an organization and check it against the book.

    `{"id", "model": id or null, "from": "2026-05-01", "tiers": [{"input_tokens_min", "rates"}]}`
    replaces prices; `"discount_percent"` (1 to 100) in place of `tiers` takes that off the list
    price of the moment. `"modifiers"` may say other factors than the list's.

    Raises:
        InvalidRequest: a member is missing or wrong.
        UnknownModel: the model is not in the book.
    """
    id_, model, start = raw.get("id"), raw.get("model"), raw.get("from")
    if type(id_) is not str or not _CONTRACT_ID.fullmatch(id_):
        raise InvalidRequest(f"{field}.id", "must be 1 to 64 letters, digits, '_', '.' or '-'")
    if model is not None:
        if type(model) is not str:
            raise InvalidRequest(f"{field}.model", "must be a model id, or null for all models")
        model = book.find(model, f"{field}.model").id
    starts_at = _read_start(start, f"{field}.from")
    modifiers = _read_modifiers(raw.get("modifiers"), f"{field}.modifiers")
    if ("tiers" in raw) == ("discount_percent" in raw):
        raise InvalidRequest(field, "must have either tiers or discount_percent")
    if "tiers" in raw:
        if model is None:
            raise InvalidRequest(f"{field}.model", "must be given with tiers")
        version = f"contract/{id_}/{model}/{starts_at.date().isoformat()}"
        price = Price.read(raw, starts_at, version, field)
        return ContractPrice(id_, model, starts_at, price, 0, modifiers)

    percent = raw["discount_percent"]
    if type(percent) is not int or not 1 <= percent <= 100:
        raise InvalidRequest(f"{field}.discount_percent", "must be a whole number from 1 to 100")
    return ContractPrice(id_, model, starts_at, None, percent, modifiers)


def _read_modifiers(value: object, field: str) -> tuple[Modifier, ...]:
    """Read what was agreed on instead of the list's modifiers; none if nothing was."""
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(each, Mapping) for each in value):
        raise InvalidRequest(field, "must be a list of objects")
    return tuple(read_modifier(raw, f"{field}[{index}]") for index, raw in enumerate(value))


def _read_start(value: object, field: str) -> datetime:
    try:
        return _midnight(date.fromisoformat(value if type(value) is str else ""))
    except ValueError:
        raise InvalidRequest(field, 'must be a date such as "2026-05-01"') from None


def _in_force(contract: Sequence[ContractPrice], model: str, at: datetime) -> ContractPrice | None:
    candidates = [
        agreed for agreed in contract if agreed.model in (None, model) and agreed.starts_at <= at
    ]
    # The last of equals wins, so that a correction appended with the same date takes effect.
    candidates.sort(key=lambda agreed: (agreed.model is not None, agreed.starts_at))
    return candidates[-1] if candidates else None


@lru_cache(maxsize=1024)
def _apply(agreed: ContractPrice, listed: Price) -> Price:
    modifiers = agreed_instead(
        listed.modifiers, agreed.modifiers, of_all_models=agreed.model is None
    )
    if agreed.price is not None:
        return replace(agreed.price, modifiers=modifiers)
    tiers = tuple(
        Tier(
            tier.input_tokens_min,
            _discounted(tier.rates, agreed.discount_percent),
            f"{tier.version}/contract/{agreed.id}/{agreed.discount_percent}-percent-off",
        )
        for tier in listed.tiers
    )
    return Price(listed.starts_at, tiers, modifiers)


def _discounted(rates: Rates, percent: int) -> Rates:
    """Take a percentage off every rate: exactly, as the price of as many tokens as it takes.

    A search is not divisible: the nano that a percentage may leave of it is not charged.
    """
    left = {kind: rates.of(kind) * (100 - percent) for kind in TOKEN_KINDS}
    common = gcd(100, *left.values())
    return Rates(
        **{kind: nanos // common for kind, nanos in left.items()},
        web_search=rates.web_search * (100 - percent) // 100,
        per=100 // common,
    )


def _from(start: str | None) -> datetime:
    return _midnight(date.fromisoformat(start)) if start else _BEGINNING


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _require_aware(at: datetime) -> None:
    if at.utcoffset() != timedelta(0):
        raise ValueError(f"expected a time in UTC, got {at!r}")
