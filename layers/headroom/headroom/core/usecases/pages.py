"""Pages of lists: what is wanted of them, and behind which item the next page begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from headroom.core.store.table import Item, Key

# A page of wire objects, and the item behind which the next page begins (None at the end).
Listed = tuple[list[dict[str, Any]], Item | None]


def filtered(
    read: Callable[[Item | None], Any],
    is_wanted: Callable[[Item], bool],
    limit: int,
    start: Item | None,
) -> list[Item]:
    """Return the items of a page that are wanted, and one more if there are more behind them."""
    found: list[Item] = []
    begin = start
    while len(found) <= limit:
        page = read(begin)
        found += [item for item in page.items if is_wanted(item)]
        begin = page.next_key
        if begin is None:
            break
    return found


def last_key(found: Sequence[Item], limit: int) -> Item | None:
    """Return the key of the last item of a page, if there are more behind it."""
    if len(found) <= limit:
        return None
    last = found[limit - 1]
    return Key(last["pk"]["S"], last["sk"]["S"]).attributes()
