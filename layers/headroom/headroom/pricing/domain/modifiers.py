"""What multiplies the price of a model's tokens: fast mode, and where inference has to run.

A modifier multiplies every token rate of its model, caches included, and never what is charged by
the request (web search). Modifiers stack, and stack with the batch discount. Each is in force
from a UTC midnight until another, because fast mode was sold for some models and is no more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from math import gcd
from typing import Any, Final, Literal

from headroom.core.errors import InvalidRequest

ModifierKind = Literal["speed", "inference_geo"]

# Every kind, with the values that change a price; any other value has no price.
MODIFIER_VALUES: Final[Mapping[ModifierKind, tuple[str, ...]]] = {
    "speed": ("fast",),
    "inference_geo": ("us",),
}
# No published factor comes near it; a slip of a digit does.
FACTOR_MAX: Final = 100

_BEGINNING: Final = datetime.min.replace(tzinfo=UTC)
_END: Final = datetime.max.replace(tzinfo=UTC)
_FACTOR: Final = re.compile(r"([0-9]{1,4})(?:/([0-9]{1,4}))?")


@dataclass(frozen=True, slots=True)
class Factor:
    """An exact fraction in lowest terms."""

    numerator: int = 1
    denominator: int = 1

    def __post_init__(self) -> None:
        assert gcd(self.numerator, self.denominator) == 1, "a factor is in lowest terms"

    def times(self, other: Factor) -> Factor:
        """Return the product."""
        above = self.numerator * other.numerator
        below = self.denominator * other.denominator
        common = gcd(above, below)
        return Factor(above // common, below // common)

    def dearer(self, other: Factor) -> Factor:
        """Return the one of two that multiplies by more."""
        more = self.numerator * other.denominator > other.numerator * self.denominator
        return self if more else other

    def __str__(self) -> str:
        return f"{self.numerator}" + (f"/{self.denominator}" if self.denominator > 1 else "")

    @classmethod
    def read(cls, value: object, field: str) -> Factor:
        """Read "2" or "11/10".

        Raises:
            InvalidRequest: the text is no such fraction, or not above 0 and at most 100.
        """
        found = _FACTOR.fullmatch(value) if isinstance(value, str) else None
        above, below = (int(found[1]), int(found[2] or 1)) if found else (0, 1)
        if not 0 < above <= FACTOR_MAX * below:
            raise InvalidRequest(field, f'must be a fraction such as "11/10", at most {FACTOR_MAX}')
        common = gcd(above, below)
        return cls(above // common, below // common)


PLAIN: Final = Factor()
HALF: Final = Factor(1, 2)


@dataclass(frozen=True, slots=True)
class Modifier:
    """One factor on a model's token rates, from `starts_at` until before `ends_at`.

    `source` is the address that it was read at, `read_on` the day; a contract's has neither.
    """

    kind: ModifierKind
    value: str
    factor: Factor
    starts_at: datetime = _BEGINNING
    ends_at: datetime = _END
    source: str | None = None
    read_on: str | None = None


def in_force(
    modifiers: Iterable[Modifier], kind: ModifierKind, value: str, at: datetime
) -> Modifier | None:
    """Return the modifier of a kind and value that holds at a moment, None if it is not sold."""
    for modifier in modifiers:
        named = (modifier.kind, modifier.value) == (kind, value)
        if named and modifier.starts_at <= at < modifier.ends_at:
            return modifier
    return None


def agreed_instead(
    listed: Sequence[Modifier], agreed: Sequence[Modifier], *, of_all_models: bool
) -> tuple[Modifier, ...]:
    """Return the modifiers of a model whose organization has agreed on some, by rising start.

    A listed one goes on wherever none of its kind and value was agreed on for the time. What was
    agreed on `of_all_models` changes only what a model is sold with anyway, while it is: it says
    another factor, and does not say of any model that there is such a thing.
    """
    if of_all_models:
        agreed = [part for own in agreed for its in listed for part in _within(own, its)]
    kept = (part for each in listed for part in _outside(each, agreed))
    return tuple(sorted((*agreed, *kept), key=lambda each: each.starts_at))


def _within(modifier: Modifier, other: Modifier) -> Iterator[Modifier]:
    """Yield the part of a modifier's time in which another of its kind and value holds, if any."""
    starts_at = max(modifier.starts_at, other.starts_at)
    ends_at = min(modifier.ends_at, other.ends_at)
    if _same(modifier, other) and starts_at < ends_at:
        yield replace(modifier, starts_at=starts_at, ends_at=ends_at)


def _outside(modifier: Modifier, others: Iterable[Modifier]) -> list[Modifier]:
    """Return the parts of a modifier's time in which no other of its kind and value holds."""
    parts = [modifier]
    for other in others:
        if _same(modifier, other):
            before = (replace(it, ends_at=min(it.ends_at, other.starts_at)) for it in parts)
            after = (replace(it, starts_at=max(it.starts_at, other.ends_at)) for it in parts)
            parts = [it for it in (*before, *after) if it.starts_at < it.ends_at]
    return parts


def _same(one: Modifier, other: Modifier) -> bool:
    return (one.kind, one.value) == (other.kind, other.value)


def read_modifier(raw: Mapping[str, Any], field: str) -> Modifier:
    """Read `{"kind", "value", "factor": "11/10", "from": date or null, "until": date or null}`.

    `until` is the last day on which it is sold.

    Raises:
        InvalidRequest: a member is missing or wrong.
    """
    kind = next((each for each in MODIFIER_VALUES if each == raw.get("kind")), None)
    if kind is None:
        raise InvalidRequest(f"{field}.kind", f"must be one of {', '.join(MODIFIER_VALUES)}")
    value = raw.get("value")
    if value not in MODIFIER_VALUES[kind]:
        known = ", ".join(MODIFIER_VALUES[kind])
        raise InvalidRequest(f"{field}.value", f"must be one of {known}")
    factor = Factor.read(raw.get("factor"), f"{field}.factor")
    starts_at, ends_at = _BEGINNING, _END
    if raw.get("from") is not None:
        starts_at = _midnight(raw["from"], f"{field}.from")
    if raw.get("until") is not None:
        last = _midnight(raw["until"], f"{field}.until")
        ends_at = datetime.fromordinal(last.toordinal() + 1).replace(tzinfo=UTC)
        if ends_at <= starts_at:
            raise InvalidRequest(f"{field}.until", "must not lie before from")
    return Modifier(kind, value, factor, starts_at, ends_at)


def name_with(version: str, applied: Iterable[tuple[str, str, Factor]]) -> str:
    """Return the name of a price with what multiplied it: the version that a line records."""
    return version + "".join(f";{kind}={value}*{factor}" for kind, value, factor in applied)


def applied_modifiers(price_version: str) -> list[dict[str, str]]:
    """Return what multiplied the price that a version names, as the wire has it."""
    _, *words = price_version.split(";")
    found = []
    for word in words:
        kind, _, rest = word.partition("=")
        value, _, factor = rest.partition("*")
        found.append({"kind": kind, "value": value, "factor": factor})
    return found


def _midnight(value: object, field: str) -> datetime:
    try:
        day = date.fromisoformat(value if type(value) is str else "")
    except ValueError:
        raise InvalidRequest(field, 'must be a date such as "2026-05-01"') from None
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
