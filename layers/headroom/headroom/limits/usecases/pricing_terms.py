"""Changing how an organization's requests are read and priced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from headroom.core.store.table import Table
from headroom.limits.usecases.settings import Reason, change_organization
from headroom.organizations.domain.organization import Organization
from headroom.organizations.usecases.authentication import REMEMBERED_FOR
from headroom.pricing.domain.pricing_terms import PricingTerms

Change = Callable[[PricingTerms], PricingTerms]


def change_pricing(
    table: Table,
    org_id: str,
    change: Change,
    now: datetime,
    reason: Reason,
    *,
    pause: Callable[[float], None],
    seen: int | None = None,
) -> Organization:
    """Change the terms, and return when no request is read by the old ones any more.

    A limit is in the items that a grant is decided on; these terms are not, and who meters
    remembers an organization for some seconds. So the answer waits for as long: always, because a
    repeat cannot tell whether the change that it finds done was waited for.

    Raises:
        NotFound: there is no such organization.
        Overtaken: the settings have another version than `seen`.
        Overloaded: the change could not be written; repeat it.
    """
    changed = change_organization(
        table,
        org_id,
        lambda old: replace(old, pricing=change(old.pricing)),
        now,
        reason,
        seen=seen,
    )
    pause(REMEMBERED_FOR.total_seconds())
    return changed
