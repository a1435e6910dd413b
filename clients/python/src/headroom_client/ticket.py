"""One authorized request on its way: settled once, by the first who knows how it ended."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from headroom_client.client import UsageEvent
from headroom_client.errors import InexactBound
from headroom_client.results import Authorization

log = logging.getLogger("headroom_client")


class Outlet(Protocol):
    """Where what is known of a request goes, without waiting for the net; a client is one."""

    def report(self, event: UsageEvent, *, hold_expires_at: datetime | None = None) -> None:
        """Keep a usage event, to be delivered, if possible before its hold expires."""

    def release_later(
        self, authorization_id: str, *, hold_expires_at: datetime | None = None
    ) -> None:
        """Keep a release, to be delivered."""


@dataclass(slots=True)
class Ticket:
    """An authorization that is either recorded or released. Safe in destructors and when cancelled.

    Both ways only write to the outbox: nothing is awaited, so that no exit path can miss it.
    """

    outlet: Outlet
    authorization: Authorization
    product: str | None = None
    _turn: Any = field(default_factory=threading.RLock)
    _settled: bool = False

    @property
    def is_open(self) -> bool:
        """Whether nobody has settled it yet."""
        return not self._settled

    def warn_of_bound(self, terms: Mapping[str, Any]) -> None:
        """Warn of a hold that is no upper bound, unless the caller bounded the server's tools.

        Raises:
            InexactBound: the application made the warning an error; the money is given back.
        """
        because = set(self.authorization.bound_because)
        if "server_tools" not in terms:
            because.discard("server_tools")
        if not because:
            return
        reasons = ", ".join(sorted(because))
        try:
            said = f"nobody bounds what a request can cost: {reasons}"
            warnings.warn(said, InexactBound, stacklevel=2)
        except InexactBound:
            self.release()
            raise

    def record(
        self, usage: Mapping[str, Any], event_id: str | None, stop_reason: str | None = None
    ) -> None:
        """Report what was used, under the provider's id of the answer if it gave one."""
        if self._take():
            self.outlet.report(
                UsageEvent(
                    id=event_id or self.authorization.id,
                    authorization_id=self.authorization.id,
                    user_id=self.authorization.user_id,
                    model=self.authorization.model,
                    product=self.product,
                    occurred_at=datetime.now(UTC),
                    usage=usage,
                    stop_reason=stop_reason,
                ),
                hold_expires_at=self.authorization.expires_at,
            )

    def release(self) -> None:
        """Give the money back, as nothing was used."""
        if self._take():
            self.outlet.release_later(
                self.authorization.id, hold_expires_at=self.authorization.expires_at
            )

    def abandon(self) -> None:
        """Leave the hold to expire, as what was used is not known."""
        if self._take():
            log.error("what %s was used for is not known", self.authorization.id)

    def _take(self) -> bool:
        with self._turn:
            first, self._settled = not self._settled, True
        return first
