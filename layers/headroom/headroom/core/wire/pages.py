"""Pages of lists: a limit, and a cursor that fits only the filters that it was made under."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from headroom.core.errors import InvalidRequest
from headroom.core.store.table import Item

LIMIT: Final = 20
LIMIT_MAX: Final = 1000
_TAG_LENGTH: Final = 8


@dataclass(frozen=True, slots=True)
class PageRequest:
    """How many items a client wants, and after which."""

    limit: int
    start: Item | None
    filters: str

    def cursor(self, last: Item | None) -> str | None:
        """Return the cursor behind an item, for these filters; None at the end."""
        if last is None:
            return None
        raw = json.dumps(last, sort_keys=True).encode()
        return base64.urlsafe_b64encode(_tag(self.filters, raw) + raw).decode().rstrip("=")


def parse_page(
    query: dict[str, Any],
    *,
    org_id: str,
    route: str,
    filters: object,
    fits: Callable[[object], bool],
) -> PageRequest:
    """Read `limit` and `page`. `fits` tells whether a list can go on behind what a cursor says.

    Raises:
        InvalidRequest: the limit is out of bounds, or the cursor is not of this list and filters.
    """
    raw_limit = query.get("limit") or str(LIMIT)
    if not raw_limit.isascii() or not raw_limit.isdigit() or len(raw_limit) > len(str(LIMIT_MAX)):
        raise InvalidRequest("limit", f"must be a whole number from 1 to {LIMIT_MAX}")
    if not 1 <= int(raw_limit) <= LIMIT_MAX:
        raise InvalidRequest("limit", f"must be a whole number from 1 to {LIMIT_MAX}")
    bound = json.dumps([org_id, route, filters], sort_keys=True)
    page = query.get("page")
    start = None if not page else _parse_cursor(page, bound, fits)
    return PageRequest(int(raw_limit), start, bound)


def list_answer(data: list[dict[str, Any]], next_page: str | None) -> dict[str, Any]:
    """Return a page as the wire has it."""
    return {"type": "list", "data": data, "has_more": next_page is not None, "next_page": next_page}


def _parse_cursor(page: str, bound: str, fits: Callable[[object], bool]) -> Item:
    problem = InvalidRequest("page", "is not a cursor of this list with these filters")
    try:
        raw = base64.b64decode(page + "=" * (-len(page) % 4), altchars=b"-_", validate=True)
        if raw[:_TAG_LENGTH] != _tag(bound, raw[_TAG_LENGTH:]):
            raise problem
        start: Item = json.loads(raw[_TAG_LENGTH:])
    except (binascii.Error, ValueError, RecursionError) as error:
        raise problem from error
    if not fits(start):
        raise problem
    return start


def _tag(bound: str, raw: bytes) -> bytes:
    # Not a secret: whoever computes one still gets no further than to where they may look anyway,
    # for what a cursor says must lie in the caller's own list. The tag tells those of other
    # filters, which would be misunderstood rather than dangerous.
    return hashlib.sha256(bound.encode() + b"|" + raw).digest()[:_TAG_LENGTH]
