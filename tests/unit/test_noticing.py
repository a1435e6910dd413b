"""Of a flood of refusals a few are noted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from headroom.spending.usecases.refusals import Noticed


def test_a_member_is_noted_once_a_minute_and_an_organization_once_a_second() -> None:
    noticed = Noticed()
    now = datetime(2026, 11, 2, tzinfo=UTC)

    def after(seconds: float, user: str = "ann", reason: str = "wallet_empty") -> bool:
        return noticed.is_news("org_1", user, reason, now + timedelta(seconds=seconds))

    assert after(0)
    assert not after(0.9, "ben")
    assert after(1, "ben")
    assert not after(59)
    assert after(60)
    assert after(61, reason="user_limit_reached")
