"""An organization's pool: the money of its current period that no member holds yet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from headroom.core.domain.instants import to_millis


@dataclass(frozen=True, slots=True)
class Pool:
    """What the organization has not yet handed out in its current period.

    `unallotted` counts down from the cap, `funds` from the wallet; `version` is the settings'
    version; `grants` counts the allotments ever opened. `drained_at` is the count at which a
    recall found every allotment empty: while it equals `grants`, the pool is all there is.
    `expiry_millis` is then no later than the first moment at which a hold could expire.
    `moves` counts what the wallet put into `funds` or took out: with the grants it tells two
    looks at the pool apart, however the figures come to agree.
    `enforced_until_millis` is how long whoever cut the cap may take to bring back what is out.
    `reload_at` is what `funds` must come down to, from `reload_from_millis` on, for a grant to ask
    for a reload of the wallet; None if nobody is to ask, or somebody has.
    """

    period: str
    unallotted: int
    funds: int
    version: int
    grants: int
    drained_at: int = -1
    expiry_millis: int = 0
    moves: int = 0
    enforced_until_millis: int = 0
    reload_at: int | None = None
    reload_from_millis: int = 0

    @property
    def available(self) -> int:
        """What can be taken now under both the cap and the wallet; below zero after a cut."""
        return min(self.unallotted, self.funds)

    def is_drained(self, now: datetime) -> bool:
        """Tell whether nobody holds an allotment or an overdue hold, so that the pool is all."""
        return self.drained_at == self.grants and self.expiry_millis > to_millis(now)

    def left_to_reload(self, now: datetime) -> int | None:
        """Return how far `funds` is above where a reload is asked for; None if nobody is to ask."""
        if self.reload_at is None or self.reload_from_millis > to_millis(now):
            return None
        return self.funds - self.reload_at

    def is_being_enforced(self, now: datetime) -> bool:
        """Tell whether the pool owes, and somebody is bringing back what is out.

        If a thousand clients set out to do the same they would only be in the way.
        """
        owes = self.available < 0 and not self.is_drained(now)
        return owes and self.enforced_until_millis > to_millis(now)
