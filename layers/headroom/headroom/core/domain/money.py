"""Money as whole nanos: billionths of the currency's major unit, in plain integers.

An organization has one currency, so amounts travel as `int` under names that end in `_nanos`;
the currency is a fact of the organization, not of every number. One cent is 10,000,000 nanos.
On the wire money is a string of minor units, as the contract has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from headroom.core.errors import InvalidRequest

NANOS_PER_UNIT: Final = 1_000_000_000
NANOS_PER_CENT: Final = 10_000_000
AMOUNT_DIGITS_MAX: Final = 15

_NANOS_PER_THOUSANDTH: Final = NANOS_PER_CENT // 1000
_EXPECTED: Final = 'whole cents such as "50000", without sign, spaces, decimals or exponent'

# ISO 4217 currencies whose minor unit is a hundredth. Everything here counts in cents of 10^7
# nanos; yen (no minor unit) or dinars (thousandths) would be off by a factor, so they are refused.
_TWO_DECIMAL_CODES: Final = (
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN "
    "BZD CAD CDF CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS "
    "GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR "
    "LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD "
    "PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN "
    "SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VES WST XCD YER ZAR ZMW ZWG"
)
_TWO_DECIMAL_CURRENCIES: Final = frozenset(_TWO_DECIMAL_CODES.split())


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


def parse_currency(value: object, field: str) -> str:
    """Read an ISO 4217 code.

    Raises:
        InvalidRequest: not a code in capitals, or a currency whose minor unit is no hundredth.
    """
    if type(value) is not str or value not in _TWO_DECIMAL_CURRENCIES:
        raise InvalidRequest(
            field,
            'must be an ISO 4217 code in capitals, such as "USD", of a currency that has cents '
            "(two decimals)",
        )
    return value


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


def allocate(total_nanos: int, weights: Sequence[int]) -> list[int]:
    """Split an amount in proportion to `weights` into parts that sum to it exactly.

    The nanos that proportion alone cannot place go one each to the largest remainders, the
    earlier part first where remainders tie, so the same call always gives the same parts.

    Raises:
        ValueError: a negative amount or weight, or no weight above zero.
    """
    if total_nanos < 0 or any(weight < 0 for weight in weights):
        raise ValueError("cannot allocate a negative amount or by negative weights")
    whole = sum(weights)
    if not whole:
        raise ValueError("cannot allocate by weights that sum to zero")
    parts = [total_nanos * weight // whole for weight in weights]
    by_remainder = sorted(
        range(len(weights)), key=lambda index: -(total_nanos * weights[index] % whole)
    )
    for index in by_remainder[: total_nanos - sum(parts)]:
        parts[index] += 1
    return parts
