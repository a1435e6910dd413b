"""Money as whole nanos: billionths of the currency's major unit, in plain integers.

An organization has one currency, so amounts travel as `int` under names that end in `_nanos`;
the currency is a fact of the organization, not of every number. One cent is 10,000,000 nanos.
On the wire money is a string of minor units, as the contract has it.
"""

from __future__ import annotations

from typing import Final

from headroom.core.errors import InvalidRequest

NANOS_PER_UNIT: Final = 1_000_000_000
NANOS_PER_CENT: Final = 10_000_000
AMOUNT_DIGITS_MAX: Final = 15

_NANOS_PER_THOUSANDTH: Final = NANOS_PER_CENT // 1000
_EXPECTED: Final = 'whole cents such as "50000", without sign, spaces, decimals or exponent'


def parse_amount(value: object, field: str) -> int:
    """Read a setting of whole cents, such as "50000", as nanos.

    Raises:
        InvalidRequest: anything but a string of 1 to 15 ASCII digits without leading zeros.
    """
    if type(value) is not str:
        raise InvalidRequest(field, f"must be a string, {_EXPECTED}")
    if len(value) > AMOUNT_DIGITS_MAX:
        raise InvalidRequest(field, f"must have at most {AMOUNT_DIGITS_MAX} digits")
    # `isdigit` alone would let the digits of other scripts in.
    if not (value.isascii() and value.isdigit()):
        raise InvalidRequest(field, f"must be digits only, {_EXPECTED}")
    if value[0] == "0" and value != "0":
        raise InvalidRequest(field, "must not have leading zeros")
    return int(value) * NANOS_PER_CENT


def parse_limit(value: object, field: str) -> int | None:
    """Read a spend limit as nanos; None (JSON null) is unlimited, "0" is nothing at all.

    Raises:
        InvalidRequest: neither null nor a string of whole cents.
    """
    return None if value is None else parse_amount(value, field)


def parse_exact(amount: str) -> int:
    """Return the nanos of an amount as we print it: exact cents, such as "-12050.5"."""
    sign = -1 if amount.startswith("-") else 1
    cents, _, fraction = amount.removeprefix("-").partition(".")
    return sign * (int(cents) * NANOS_PER_CENT + int(fraction.ljust(7, "0")))


def format_amount(nanos: int) -> str:
    """Print nanos as exact cents, such as "12050.5", without trailing zeros.

    A nano is the seventh decimal of a cent, so the contract's nine always suffice.
    """
    sign = "-" if nanos < 0 else ""
    cents, rest = divmod(abs(nanos), NANOS_PER_CENT)
    if not rest:
        return f"{sign}{cents}"
    return f"{sign}{cents}.{rest:07d}".rstrip("0")


def format_amount_rounded(nanos: int) -> str:
    """Print nanos as cents with at most three decimals, rounded half-even.

    Only for the Spend Limits endpoints, whose contract has three decimals. Never used to count.
    """
    thousandths, rest = divmod(nanos, _NANOS_PER_THOUSANDTH)
    half = _NANOS_PER_THOUSANDTH // 2
    if rest > half or (rest == half and thousandths % 2):
        thousandths += 1
    return format_amount(thousandths * _NANOS_PER_THOUSANDTH)


def round_to_cents(nanos: int, parts: int = 1) -> int:
    """Return `nanos / parts` in whole cents, half to even: over many invoices it favours nobody."""
    cent = NANOS_PER_CENT * parts
    cents, rest = divmod(nanos, cent)
    if rest * 2 > cent or (rest * 2 == cent and cents % 2):
        cents += 1
    return cents * NANOS_PER_CENT


def format_limit(nanos: int | None) -> str | None:
    """Print a spend limit; None is unlimited."""
    return None if nanos is None else format_amount(nanos)
