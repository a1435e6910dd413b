"""Operators have a reload or a close tried again: audited, once, and within the same rules."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from headroom.billing.usecases.period_close import hand_out
from headroom.console.usecases.operations import Order, carry_out, inspect
from headroom.core.domain.actor import Actor
from headroom.core.errors import InvalidRequest, NotFound, SpendRefused
from headroom.core.store.keys import DUE_SHARDS
from headroom.core.store.table import Table
from headroom.organizations.store.audit import entry_to_wire, list_entries
from headroom.organizations.store.closings import find_closing
from tests.contract.governing import NOW, House
from tests.fake_payments import DECLINING_CARD
from tests.purse import Purse

OPERATOR = Actor("operator", "aws:123456789012:c0ffee")
PERIOD = "2026-11"
OVER = NOW + timedelta(days=40)


@pytest.fixture
def declined() -> Purse:
    """A wallet that is low, and whose card was declined when it reloaded itself."""
    purse = Purse()
    with pytest.raises(SpendRefused):
        purse.top_up(500, card=DECLINING_CARD)
    purse.auto_reload(threshold=1000, amount=2000)
    purse.reload()
    assert state(purse) == "declined"
    return purse


def state(purse: Purse) -> str | None:
    return inspect(purse.table, purse.organization, purse.now).reload


def retry(purse: Purse) -> None:
    carry_out(purse.table, Order("retry_reload", purse.org_id, 0), OPERATOR, purse.now)


def audited(table: Table, org_id: str) -> list[str]:
    page = list_entries(table, org_id, limit=100)
    entries = [entry_to_wire(item) for item in page.items]
    return [entry["action"] for entry in entries if entry["actor"] == OPERATOR.wire()]


def charges(purse: Purse) -> int:
    return purse.payments.calls.count("charge")


# Reloads.


def test_a_declined_card_is_charged_once_more_and_stops_again_if_it_declines(
    declined: Purse,
) -> None:
    before = charges(declined)
    declined.wait(hours=1)
    declined.look()
    assert charges(declined) == before

    retry(declined)
    retry(declined)
    declined.look()
    declined.look()

    assert charges(declined) == before + 1
    assert state(declined) == "declined"
    assert audited(declined.table, declined.org_id) == ["wallet.reload_retried"]
    declined.prove_all_paid()


def test_a_reload_that_is_tried_again_and_succeeds_is_credited_once(declined: Purse) -> None:
    declined.payments.accept(DECLINING_CARD)

    retry(declined)
    declined.look()
    declined.look()

    assert declined.kinds().count("reload") == 1
    declined.prove_all_paid()


def test_a_wallet_that_is_not_low_is_not_charged() -> None:
    purse = Purse(opening=5000)
    purse.top_up(500)
    purse.auto_reload(threshold=1000, amount=2000)
    before = charges(purse)

    retry(purse)
    purse.look()

    assert charges(purse) == before


def test_only_a_wallet_that_reloads_itself_can_try_again() -> None:
    with pytest.raises(InvalidRequest, match="wallet"):
        retry(Purse())
    house = House()
    with pytest.raises(InvalidRequest, match="wallet"):
        carry_out(house.table, Order("retry_reload", house.org_id, 0), OPERATOR, NOW)


# Closes.


def rerun(house: House, period: str = PERIOD) -> None:
    order = Order("rerun_close", house.org_id, 0, period=period)
    carry_out(house.table, order, OPERATOR, OVER)


def handed_out(house: House, now: datetime) -> list[str]:
    return [
        closing.period
        for shard in range(DUE_SHARDS)
        for closing in hand_out(house.table, shard, now)
    ]


def test_a_close_that_waits_is_due_at_once_and_handed_out_once() -> None:
    house = House()
    assert handed_out(house, OVER) == [PERIOD]
    soon = OVER + timedelta(minutes=1)
    assert handed_out(house, soon) == []

    rerun(house)
    rerun(house)

    assert handed_out(house, soon) == [PERIOD]
    assert handed_out(house, soon) == []
    closing = find_closing(house.table, house.org_id, PERIOD)
    assert closing is not None
    assert closing.attempts == 2
    assert audited(house.table, house.org_id) == ["billing_period.close_retried"]
    (item,) = list_entries(house.table, house.org_id, limit=10).items
    assert entry_to_wire(item)["after"]["period"] == PERIOD


def test_a_period_that_is_not_over_or_not_there_is_not_closed() -> None:
    house = House()
    order = Order("rerun_close", house.org_id, 0, period=PERIOD)
    with pytest.raises(InvalidRequest, match="is not over"):
        carry_out(house.table, order, OPERATOR, NOW)
    with pytest.raises(NotFound, match="no period"):
        rerun(house, "2020-01")
    assert audited(house.table, house.org_id) == []
