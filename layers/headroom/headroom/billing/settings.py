"""What the environment tells of invoices."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from headroom.billing.domain.invoice import Terms
from headroom.core.settings import FromEnvironment


@dataclass(frozen=True, slots=True)
class TermsSettings(FromEnvironment):
    """When an invoice is due, and how long a past due one is borne."""

    net_days: Annotated[int, "PAYMENT_TERMS_DAYS"]
    grace_days: Annotated[int, "PAST_DUE_GRACE_DAYS"]

    @property
    def terms(self) -> Terms:
        """The same, as the domain has it."""
        return Terms(timedelta(days=self.net_days), timedelta(days=self.grace_days))
