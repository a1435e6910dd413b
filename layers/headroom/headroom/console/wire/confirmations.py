"""What a preview hands to its button: the proof that this very order was shown, a while ago."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from datetime import datetime, timedelta
from typing import Final

from headroom.console.usecases.operations import Order
from headroom.core.domain.instants import to_millis
from headroom.core.errors import InvalidRequest

# So long an operator may think about what they were shown.
LASTS: Final = timedelta(minutes=15)
TOKEN: Final = re.compile(r"([0-9]{13})\.([0-9a-f]{64})")


def confirmation_token(key: bytes, order: Order, now: datetime) -> str:
    """Return the token of an order that is shown now."""
    until = to_millis(now + LASTS)
    return f"{until}.{_signature(key, order, until)}"


def check_confirmation(key: bytes, order: Order, token: str, now: datetime) -> None:
    """Check by its token, one of the right form, that an order was shown a short while ago.

    Raises:
        InvalidRequest: it was not, or another one was, or too long ago.
    """
    until, _, signature = token.partition(".")
    if not hmac.compare_digest(signature, _signature(key, order, int(until))):
        raise InvalidRequest("token", "is of another order; look at what will happen first")
    if int(until) <= to_millis(now):
        raise InvalidRequest("token", "is too old; look again at what will happen")


def _signature(key: bytes, order: Order, until: int) -> str:
    place, tax = order.place, order.tax
    told = [
        until,
        order.act,
        order.org_id,
        order.version,
        place and [place.scope_type, place.scope_id, place.period],
        order.amount_nanos,
        order.period,
        tax and [tax.name, tax.rate],
    ]
    return hmac.new(key, json.dumps(told).encode(), hashlib.sha256).hexdigest()
