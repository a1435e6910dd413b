"""What the environment tells of wallets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from headroom.core.domain.money import NANOS_PER_CENT
from headroom.core.settings import FromEnvironment
from headroom.wallets.domain.reload import PaymentTerms


@dataclass(frozen=True, slots=True)
class WalletSettings(FromEnvironment):
    """What may be paid at once, and how long a wallet rests between two reloads."""

    top_up_min_cents: Annotated[int, "TOP_UP_MIN_CENTS"]
    top_up_max_cents: Annotated[int, "TOP_UP_MAX_CENTS"]
    cool_down_seconds: Annotated[int, "RELOAD_COOL_DOWN_SECONDS"]

    @property
    def terms(self) -> PaymentTerms:
        """The same in nanos, as the rules have it."""
        return PaymentTerms(
            least=self.top_up_min_cents * NANOS_PER_CENT,
            most=self.top_up_max_cents * NANOS_PER_CENT,
            cool_down=timedelta(seconds=self.cool_down_seconds),
        )
