"""One tax on invoices: a rate that an organization is charged at. Amounts are nanos."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from headroom.core.domain.money import round_to_cents
from headroom.core.errors import InvalidRequest

# Below one, to the thousandth of a percent.
_RATE: Final = re.compile(r"0\.([0-9]{1,5})")
_SCALE: Final = 5


@dataclass(frozen=True, slots=True)
class Tax:
    """What a tax is called, and its rate as it was set, such as "0.20" for a fifth."""

    name: str
    rate: str


@dataclass(frozen=True, slots=True)
class TaxLine:
    """One tax on a document; the amount is in whole cents."""

    name: str
    rate: str
    amount: int


def parse_rate(value: object, field: str) -> str:
    """Read a rate.

    Raises:
        InvalidRequest: not a decimal below one of at most five places, or zero.
    """
    if type(value) is str and (found := _RATE.fullmatch(value)) and int(found[1]):
        return value
    raise InvalidRequest(field, 'must be a decimal between 0 and 1, such as "0.20"')


def levy(tax: Tax | None, net: int) -> tuple[TaxLine, ...]:
    """Return the tax on a net amount, rounded once, to the cent and half to even."""
    if tax is None:
        return ()
    found = _RATE.fullmatch(tax.rate)
    assert found is not None, "a rate is read before it is kept"
    thousandths = int(found[1].ljust(_SCALE, "0"))
    return (TaxLine(tax.name, tax.rate, round_to_cents(net * thousandths, 10**_SCALE)),)
