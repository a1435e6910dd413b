"""Money without floats: strings of cents on the wire, whole nanos of the unit to count with."""

from __future__ import annotations

import re
from typing import Final

NANOS_PER_CENT: Final = 10_000_000
_AMOUNT: Final = re.compile(r"(-?)([0-9]+)(?:\.([0-9]{1,9}))?", re.ASCII)


def to_nanos(amount: str) -> int:
    """Return an amount of the wire, such as "14.352" cents, as billionths of a dollar.

    Raises:
        ValueError: it is no decimal number, or finer than a nano.
    """
    found = _AMOUNT.fullmatch(amount)
    if found is None:
        raise ValueError(f"{amount!r} is no amount in cents")
    sign, whole, fraction = found.groups()
    # Nine decimals of a cent are a hundredth of a nano: what is finer must be zero.
    nanos, rest = divmod(int(whole + (fraction or "").ljust(9, "0")), 100)
    if rest:
        raise ValueError(f"{amount!r} is finer than one nano")
    return -nanos if sign else nanos
