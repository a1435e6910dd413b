"""Keeping a few of the refusals, so that an operator can see what an organization runs into."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from headroom.core.errors import Overloaded, SpendRefused
from headroom.core.store.table import Contended, Table
from headroom.spending.store.refusals import RefusalNote, write_refusal

# A client that keeps asking is refused for one reason, and one note a minute tells of it.
MEMBER_EVERY: Final = timedelta(minutes=1)
# When a shared limit is reached everybody is refused at once; some of them stand for all.
ORGANIZATION_EVERY: Final = timedelta(seconds=1)
REMEMBERED_MAX: Final = 10_000


class Noticed:
    """What this process noted lately, so that a flood of refusals costs a trickle of writes."""

    def __init__(self) -> None:
        self._noted: OrderedDict[tuple[str, ...], datetime] = OrderedDict()

    def is_news(self, org_id: str, user_id: str, reason: str, now: datetime) -> bool:
        """Tell whether a refusal is worth a note, and take it for noted."""
        places = {(org_id,): ORGANIZATION_EVERY, (org_id, user_id, reason): MEMBER_EVERY}
        if any(
            place in self._noted and now - self._noted[place] < every
            for place, every in places.items()
        ):
            return False
        for place in places:
            self._noted[place] = now
            self._noted.move_to_end(place)
        while len(self._noted) > REMEMBERED_MAX:
            self._noted.popitem(last=False)
        return True


def notice(
    table: Table,
    noticed: Noticed,
    org_id: str,
    user_id: str,
    refusal: SpendRefused,
    now: datetime,
) -> None:
    """Note a refusal if it is news. The note is for looking at: if it fails, it is not there."""
    reason = str(refusal.facts["reason"])
    if not noticed.is_news(org_id, user_id, reason, now):
        return
    with suppress(Overloaded, Contended):
        write_refusal(
            table, org_id, RefusalNote(user_id, reason, dict(refusal.facts["scope"]), now)
        )
