"""Buying, reloading, expiring, refunding, disputing: what a wallet does, over the real writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from headroom.core.domain.instants import to_wire
from headroom.core.domain.money import format_amount
from headroom.core.errors import (
    Conflict,
    InvalidRequest,
    NotFound,
    Overloaded,
    PaymentDeclined,
    SpendRefused,
)
from headroom.core.store import keys
from headroom.core.store.table import Refused
from headroom.limits.usecases.settings import set_enabled
from headroom.organizations.store.audit import entry_to_wire, list_entries
from headroom.overview.usecases.overview import extra_usage
from headroom.payments.gateways.payments import KEYS_LAST
from headroom.payments.usecases.adjustments import Adjustment, adjust
from headroom.payments.usecases.auto_reload import set_auto_reload
from headroom.payments.usecases.charges import STALE_AFTER
from headroom.payments.usecases.confirmation import confirm_payment
from headroom.payments.usecases.maintenance import due_wallets
from headroom.payments.usecases.wallet_view import show_wallet
from headroom.payments.usecases.wallets import funds_beside, open_wallet, spent_by_period
from headroom.wallets.domain.payments import Charge
from headroom.wallets.domain.wallet import ReloadFigures
from headroom.wallets.store.wallets import (
    find_customer,
    put_customer,
    put_wallet,
    read_wallet,
)
from tests.fake_payments import (
    ASKING_CARD,
    DECLINING_CARD,
    GOOD_CARD,
    REFUSED_CARD,
    SLOW_CARD,
    Moment,
)
from tests.purse import CENT, NOW, OWNER, Purse


@pytest.fixture
def purse() -> Purse:
    return Purse()


def shown(purse: Purse) -> dict[str, Any]:
    return show_wallet(purse.table, purse.organization, purse.now)


def facts(item: Any) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(item["detail"]["S"])
    return told


def with_card(purse: Purse, card: str = GOOD_CARD) -> None:
    """Save a card, by buying something small with it."""
    purse.top_up(500, key=f"first-{card}", card=card)


class Died(BaseException):
    """The process is gone."""


@contextmanager
def dying_at(purse: Purse, operation: str) -> Iterator[None]:
    """Let the process die before the table's first operation of this name."""

    def die(name: str) -> None:
        if name == operation:
            raise Died

    purse.table.step = die
    with pytest.raises(Died):
        yield
    purse.table.step = lambda name: None


# Top-ups.


def test_a_top_up_is_charged_credited_and_announced_once(purse: Purse) -> None:
    answers = [purse.top_up(2500), purse.top_up(2500)]

    assert answers[0] == answers[1]
    assert (answers[0]["status"], answers[0]["entry"]["amount"]) == ("succeeded", "2500")
    assert purse.balance == 3500 * CENT
    assert purse.kinds() == ["promotional", "purchase"]
    assert len(purse.told("wallet.topped_up")) == 1
    purse.prove_all_paid()


def test_a_purchase_says_the_balance_that_there_is_after_it(purse: Purse) -> None:
    with_card(purse)
    purse.spend(900)
    purse.follow()
    answer = purse.top_up(500, key="later", card=None)
    assert answer["entry"]["balance"] == format_amount(purse.balance) == "1100"
    purse.prove()


def test_a_key_with_another_request_is_a_conflict(purse: Purse) -> None:
    purse.top_up(2500)
    with pytest.raises(Conflict, match="Idempotency-Key"):
        purse.top_up(2600)
    assert len(purse.payments.payments) == 1


@pytest.mark.parametrize("card", [DECLINING_CARD, REFUSED_CARD])
def test_a_key_of_a_refused_top_up_means_that_request_too(purse: Purse, card: str) -> None:
    for _ in range(2):
        with pytest.raises(PaymentDeclined):
            purse.top_up(500, card=card)
    for cents, other in ((2000, card), (500, GOOD_CARD), (500, None)):
        with pytest.raises(Conflict):
            purse.top_up(cents, card=other)
    assert not purse.wallet.pending
    assert purse.balance == 1000 * CENT
    purse.prove()
    assert purse.top_up(500, key="another")["status"] == "succeeded"


@pytest.mark.parametrize("cents", [499, 100_001])
def test_a_top_up_out_of_bounds_is_refused(purse: Purse, cents: int) -> None:
    with pytest.raises(InvalidRequest, match="amount: must be from 500 to 100000"):
        purse.top_up(cents)


def test_without_a_payment_method_nothing_is_bought(purse: Purse) -> None:
    with pytest.raises(InvalidRequest, match="payment_method"):
        purse.top_up(500, card=None)
    assert not purse.intents()


@pytest.mark.parametrize("card", [DECLINING_CARD, REFUSED_CARD])
def test_a_declined_top_up_says_so_each_time_and_credits_nothing(purse: Purse, card: str) -> None:
    for _ in range(2):
        with pytest.raises(SpendRefused) as refused:
            purse.top_up(500, card=card)
        assert refused.value.facts == {
            "reason": "payment_declined",
            "decline_code": "card_declined",
            "next_steps": ["update_payment_method"],
        }
        assert not refused.value.retryable
    assert purse.balance == 1000 * CENT
    purse.prove_all_paid()


def test_a_card_that_asks_for_its_holder_is_credited_when_they_acted(purse: Purse) -> None:
    asked = purse.top_up(500, card=ASKING_CARD)
    assert asked["status"] == "requires_action"
    assert asked["client_secret"] == "pi_1_secret"
    assert shown(purse)["pending"][0]["status"] == "requires_action"
    assert shown(purse)["standing"] == "payment_needs_action"
    assert "pi_1_secret" not in str(purse.table.items)

    purse.payments.settle("pi_1")
    purse.deliver()

    assert purse.top_up(500, card=ASKING_CARD)["status"] == "succeeded"
    assert purse.balance == 1500 * CENT
    purse.prove_all_paid()


def buying_beside(purse: Purse, number: int) -> list[str]:
    """Before the table's `number`th operation, buy with another card; return what happened."""
    steps: list[str] = []

    def buy(name: str) -> None:
        steps.append(name)
        if len(steps) == number:
            purse.table.step = lambda name: None
            with pytest.raises(SpendRefused):
                purse.top_up(600, key="other", card=DECLINING_CARD)

    purse.table.step = buy
    return steps


def test_a_top_up_is_charged_to_the_card_it_names_whichever_is_saved_beside_it() -> None:
    for number in count(1):
        purse = Purse()
        with_card(purse)
        steps = buying_beside(purse, number)
        assert purse.top_up(700, key="mine", card=GOOD_CARD)["status"] == "succeeded"
        if len(steps) < number:
            break
        purse.prove_all_paid()
    assert number > 10


def test_a_payment_without_an_outcome_is_asked_again_and_never_charged_again(purse: Purse) -> None:
    with_card(purse)
    purse.payments.lose("charge", "after")
    assert purse.top_up(700, card=None)["status"] == "pending"
    assert purse.balance == 1500 * CENT

    purse.wait(minutes=1)
    purse.look()

    assert purse.balance == 2200 * CENT
    assert len(purse.payments.payments) == 2
    purse.prove_all_paid()


def test_past_the_life_of_a_key_a_charge_is_only_looked_for(purse: Purse) -> None:
    with_card(purse)
    purse.payments.lose("charge", "before")
    purse.top_up(700, card=None)
    purse.wait(seconds=KEYS_LAST.total_seconds())
    purse.look()

    assert [intent.state for intent in purse.intents()].count("voided") == 1
    assert len(purse.payments.payments) == 1
    assert not purse.wallet.pending
    with pytest.raises(Conflict, match="new key"):
        purse.top_up(700, card=None)


def test_money_that_arrives_for_a_payment_given_up_is_credited_all_the_same(purse: Purse) -> None:
    with_card(purse, SLOW_CARD)
    purse.payments.fail("pi_1")
    purse.look()
    assert purse.intents()[0].state == "declined"
    paid = purse.payments.payments["pi_1"]
    purse.payments.payments["pi_1"] = replace(paid, state="succeeded")
    purse.deliver(len(purse.payments.deliveries) - 1)
    assert purse.balance == 1500 * CENT
    purse.prove_all_paid()


def test_a_payment_of_another_amount_is_nobodys_order(purse: Purse) -> None:
    with_card(purse, SLOW_CARD)
    asked = purse.payments.payments["pi_1"]
    purse.payments.payments["pi_1"] = replace(asked, state="succeeded", amount_cents=499)
    purse.deliver()
    purse.look()
    assert purse.balance == 1000 * CENT
    assert purse.kinds() == ["promotional"]
    assert [intent.state for intent in purse.intents()] == ["charging"]


def test_a_top_up_that_was_cut_off_before_the_charge_is_given_up_when_it_is_stale(
    purse: Purse,
) -> None:
    with_card(purse)
    with dying_at(purse, "update"):
        purse.top_up(700, card=None)
    purse.wait(seconds=STALE_AFTER.total_seconds() - 1)
    purse.look()
    assert [payment.amount for payment in purse.wallet.pending] == [700 * CENT]
    purse.wait(seconds=1)
    purse.look()
    assert not purse.wallet.pending
    with pytest.raises(Conflict, match="new key"):
        purse.top_up(700, card=None)
    assert len(purse.payments.payments) == 1


def test_a_customer_belongs_to_one_organization(purse: Purse) -> None:
    for _ in range(2):
        purse.table.transact([put_customer("org_first", "cus_1")])
    with pytest.raises(Refused):
        purse.table.transact([put_customer("org_second", "cus_1")])
    assert find_customer(purse.table, "cus_1") == "org_first"


# Auto-reload.


def test_a_reload_fires_once_when_the_threshold_is_reached(purse: Purse) -> None:
    with_card(purse)
    purse.auto_reload(threshold=500, amount=2000)
    purse.spend(900)
    purse.follow()
    assert purse.reload() == 0

    purse.spend(100)
    purse.follow()
    assert purse.wallet.crossed
    for _ in range(3):
        purse.follow()
        purse.reload()

    assert purse.kinds().count("reload") == 1
    assert len(purse.told("wallet.reload_succeeded")) == 1
    assert shown(purse)["auto_reload"]["reloaded_this_month"] == "2000"
    purse.prove_all_paid()


def test_no_reload_is_made_while_what_is_free_is_above_the_threshold(purse: Purse) -> None:
    with_card(purse)
    purse.auto_reload(threshold=500, amount=2000)
    assert purse.reload() == 0
    purse.hold(999)
    purse.follow()
    assert not purse.wallet.crossed
    assert purse.reload() == 0
    assert len(purse.payments.payments) == 1


def test_whoever_is_refused_for_the_wallet_has_it_looked_at_before_the_stream_tells(
    purse: Purse,
) -> None:
    with_card(purse)
    purse.auto_reload(threshold=500, amount=2000)
    purse.reload()
    purse.wait(seconds=3)
    purse.spend(1400)

    refused = purse.refusal(200)

    assert refused is not None
    assert refused["reason"] == "wallet_empty"
    assert refused["next_steps"] == ["wait_for_reload", "top_up"]
    assert purse.wallet.crossed
    assert purse.reload() == 1
    assert purse.refusal(200) is None
    purse.prove_all_paid()


def test_a_drain_of_many_amounts_is_one_charge_and_the_next_after_its_credit(purse: Purse) -> None:
    with_card(purse)
    purse.auto_reload(threshold=3000, amount=1000)
    purse.reload()
    assert purse.kinds().count("reload") == 1
    assert shown(purse)["auto_reload"]["state"] == "cooling_down"

    purse.wait(seconds=60)
    assert purse.look() == 1
    purse.wait(seconds=60)
    # 3,500 are above the threshold.
    assert purse.look() == 0
    purse.prove_all_paid()


def test_a_reload_that_would_pass_the_ceiling_is_not_made(purse: Purse) -> None:
    with_card(purse)
    purse.auto_reload(threshold=90_000, amount=1000, limit=2500)
    for _ in range(5):
        purse.wait(minutes=2)
        purse.look()

    assert purse.kinds().count("reload") == 2
    auto = shown(purse)["auto_reload"]
    assert (auto["state"], auto["next_step"]) == ("ceiling_reached", "raise_monthly_limit")
    purse.follow()
    assert len(purse.told("wallet.low")) == 0
    purse.spend(3400)
    purse.follow()
    purse.follow()
    assert [facts(item)["auto_reload"] for item in purse.told("wallet.low")] == ["ceiling_reached"]

    purse.wait(days=8)
    purse.look()
    assert purse.kinds().count("reload") == 3
    purse.prove_all_paid()


def test_a_decline_opens_the_breaker_until_the_card_changes(purse: Purse) -> None:
    with pytest.raises(SpendRefused):
        with_card(purse, DECLINING_CARD)
    purse.auto_reload(threshold=1000, amount=2000)
    purse.reload()
    assert [intent.state for intent in purse.intents()].count("declined") == 2
    for _ in range(3):
        purse.wait(hours=1)
        purse.look()
    assert len(purse.payments.payments) == 2
    view = shown(purse)
    assert view["standing"] == "payment_declined"
    assert view["auto_reload"]["state"] == "declined"
    assert view["auto_reload"]["reloaded_this_month"] == "0"
    (failed,) = purse.told("wallet.reload_failed")
    assert facts(failed)["next_step"] == "update_payment_method"
    purse.spend(900)
    refused = purse.refusal(200)
    assert refused is not None
    assert refused["next_steps"][0] == "update_payment_method"

    # A new card, saved with the processor's own pages.
    customer_id = purse.wallet.customer_id
    assert customer_id is not None
    purse.payments.save_payment_method(customer_id, GOOD_CARD)
    purse.deliver(len(purse.payments.deliveries) - 1)
    assert purse.wallet.crossed
    assert purse.reload() == 1
    purse.prove_all_paid()


def test_a_reload_that_asks_for_the_holder_waits_for_them_and_no_other_is_made(
    purse: Purse,
) -> None:
    with_card(purse, ASKING_CARD)
    purse.payments.settle("pi_1")
    purse.deliver()
    purse.auto_reload(threshold=1500, amount=2000)
    purse.reload()
    for _ in range(3):
        purse.wait(hours=7)
        purse.look()
    assert len(purse.payments.payments) == 2
    assert shown(purse)["auto_reload"]["state"] == "needs_action"
    assert len(purse.told("wallet.reload_needs_action")) == 1

    purse.payments.settle("pi_2")
    purse.look()
    assert purse.balance == 3500 * CENT
    purse.prove_all_paid()


def waiting_for_its_holder(purse: Purse) -> None:
    """A reload was begun with a card that asks for its holder, who does not act."""
    with_card(purse)
    with_new_card(purse, ASKING_CARD)
    purse.auto_reload(threshold=1500, amount=2000)
    purse.reload()
    assert shown(purse)["auto_reload"]["state"] == "needs_action"


def with_new_card(purse: Purse, card: str) -> None:
    """A card is saved in the processor's own pages."""
    customer_id = purse.wallet.customer_id
    assert customer_id is not None
    purse.payments.save_payment_method(customer_id, card)
    purse.deliver(len(purse.payments.deliveries) - 1)


PAGE = "https://headroom.example/settings/usage"


def confirmed(purse: Purse, payment_id: str) -> dict[str, Any]:
    return confirm_payment(
        purse.table, purse.payments, purse.organization, payment_id, PAGE, purse.now
    )


def test_a_holder_is_led_to_their_bank_and_the_payment_is_credited_once(purse: Purse) -> None:
    asked = purse.top_up(700, card=ASKING_CARD)
    led = confirmed(purse, asked["id"])
    assert (led["status"], led["redirect_url"]) == ("requires_action", "https://bank.example/pi_1")
    assert purse.payments.ways_back == {"pi_1": f"{PAGE}?payment={asked['id']}"}
    assert confirmed(purse, asked["id"]) == led
    assert "bank.example" not in str(list(purse.table.items.values()))

    purse.payments.settle("pi_1")
    paid = confirmed(purse, asked["id"])
    assert (paid["status"], paid["redirect_url"], paid["amount"]) == ("succeeded", None, "700")
    purse.deliver()
    assert confirmed(purse, asked["id"]) == paid
    assert purse.balance == 1700 * CENT
    purse.prove_all_paid()


def test_a_holder_who_refuses_at_their_bank_is_told_and_not_charged(purse: Purse) -> None:
    asked = purse.top_up(700, card=ASKING_CARD)
    confirmed(purse, asked["id"])
    purse.payments.fail("pi_1")
    told = confirmed(purse, asked["id"])
    assert (told["status"], told["decline_code"]) == ("declined", "card_declined")
    assert told["redirect_url"] is None
    assert not purse.wallet.pending
    assert purse.balance == 1000 * CENT


def test_a_reload_is_confirmed_as_long_as_it_is_wanted(purse: Purse) -> None:
    waiting_for_its_holder(purse)
    (waiting,) = shown(purse)["pending"]
    assert confirmed(purse, waiting["id"])["redirect_url"] == "https://bank.example/pi_2"
    purse.auto_reload_off()
    unwanted = confirmed(purse, waiting["id"])
    assert (unwanted["status"], unwanted["redirect_url"]) == ("requires_action", None)


def test_whose_card_is_gone_is_led_nowhere(purse: Purse) -> None:
    asked = purse.top_up(700, card=ASKING_CARD)
    customer_id = purse.wallet.customer_id
    assert customer_id is not None
    purse.payments.remove_payment_method(customer_id)
    told = confirmed(purse, asked["id"])
    assert (told["status"], told["redirect_url"]) == ("requires_action", None)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_lost_reply_to_a_confirmation_says_to_try_again(purse: Purse, when: Moment) -> None:
    asked = purse.top_up(700, card=ASKING_CARD)
    purse.payments.lose("confirm", when)
    with pytest.raises(Overloaded):
        confirmed(purse, asked["id"])
    assert confirmed(purse, asked["id"])["redirect_url"] == "https://bank.example/pi_1"


def test_a_payment_that_was_given_up_or_never_was_leads_nowhere(purse: Purse) -> None:
    asked = purse.top_up(700, card=ASKING_CARD)
    purse.wait(hours=2)
    purse.look()
    told = confirmed(purse, asked["id"])
    assert (told["status"], told["decline_code"]) == ("declined", "canceled")
    with pytest.raises(NotFound):
        confirmed(purse, "top_" + "0" * 24)
    other = Purse(table=purse.table, name="other")
    with pytest.raises(NotFound):
        confirmed(other, asked["id"])


def test_a_reload_whose_holder_does_not_act_for_a_day_is_declined(purse: Purse) -> None:
    waiting_for_its_holder(purse)
    purse.wait(hours=24)
    purse.look()
    assert purse.payments.payments["pi_2"].state == "declined"
    assert not purse.wallet.pending
    assert shown(purse)["auto_reload"]["state"] == "declined"
    assert shown(purse)["auto_reload"]["reloaded_this_month"] == "0"
    assert len(purse.told("wallet.reload_failed")) == 1

    # As after any decline nothing is charged until the card changes.
    purse.wait(hours=24)
    purse.look()
    assert len(purse.payments.payments) == 2
    with_new_card(purse, GOOD_CARD)
    assert purse.reload() == 1
    purse.prove_all_paid()


def test_a_reload_completed_before_it_could_be_given_up_is_credited(purse: Purse) -> None:
    waiting_for_its_holder(purse)
    purse.wait(hours=24)
    purse.payments.settle("pi_2")
    purse.look()
    assert purse.balance == 3500 * CENT
    assert not purse.told("wallet.reload_failed")
    purse.prove_all_paid()


def test_a_reload_is_given_up_again_when_the_processor_did_not_answer(purse: Purse) -> None:
    waiting_for_its_holder(purse)
    purse.wait(hours=24)
    for when in ("before", "after"):
        purse.payments.lose("cancel", when)
        purse.look()
        assert len(purse.wallet.pending) == 1
    purse.look()
    assert not purse.wallet.pending


def test_with_a_new_card_a_reload_does_not_wait_for_the_old_cards_holder(purse: Purse) -> None:
    waiting_for_its_holder(purse)
    with_new_card(purse, GOOD_CARD)
    assert shown(purse)["auto_reload"]["state"] == "pending"
    assert shown(purse)["next_steps"] == []
    purse.wait(minutes=2)
    purse.look()
    assert purse.payments.payments["pi_2"].state == "declined"
    assert purse.kinds()[-1] == "reload"
    assert not purse.told("wallet.reload_failed")
    purse.prove_all_paid()


def test_switched_off_and_on_a_reload_waits_for_its_holder_anew(purse: Purse) -> None:
    """What was given up for the switch does not count as the card's decline."""
    waiting_for_its_holder(purse)
    purse.auto_reload_off()
    purse.wait(minutes=2)
    purse.look()
    # The processor's own news of it, and its first, come late.
    purse.deliver()
    assert not purse.wallet.pending
    assert purse.payments.payments["pi_2"].state == "declined"
    purse.auto_reload(threshold=1500, amount=1000)
    purse.reload()
    assert shown(purse)["auto_reload"]["state"] == "needs_action"
    assert len(purse.told("wallet.reload_needs_action")) == 2
    assert not purse.told("wallet.reload_failed")


def test_a_reload_that_nobody_wants_any_more_still_tells_what_it_says_of_the_card(
    purse: Purse,
) -> None:
    with_card(purse)
    with_new_card(purse, DECLINING_CARD)
    purse.auto_reload(threshold=1500, amount=2000)
    purse.payments.lose("charge", "after")
    purse.reload()
    purse.auto_reload(threshold=1500, amount=1000)
    purse.wait(minutes=2)
    purse.look()
    assert shown(purse)["auto_reload"]["state"] == "declined"
    assert len(purse.payments.payments) == 2


def test_nobody_is_asked_to_complete_a_reload_that_nobody_wants_any_more(purse: Purse) -> None:
    with_card(purse)
    with_new_card(purse, ASKING_CARD)
    purse.auto_reload(threshold=1500, amount=2000)
    purse.payments.lose("charge", "after")
    purse.reload()
    purse.auto_reload_off()
    for _ in range(2):
        purse.wait(minutes=2)
        purse.look()
    assert not purse.told("wallet.reload_needs_action")
    assert not purse.wallet.pending


def test_a_card_that_was_replaced_is_not_charged_for_a_reload_without_an_outcome(
    purse: Purse,
) -> None:
    with_card(purse)
    purse.auto_reload(threshold=1500, amount=2000)
    purse.payments.lose("charge", "before")
    purse.reload()
    with_new_card(purse, DECLINING_CARD)
    purse.wait(minutes=2)
    purse.look()
    assert len(purse.payments.payments) == 1


def test_a_top_up_that_nobody_completes_is_given_up_after_an_hour(purse: Purse) -> None:
    for number in range(20):
        purse.top_up(500, key=f"left-{number}", card=ASKING_CARD)
    purse.wait(minutes=59)
    purse.look()
    assert len(purse.wallet.pending) == 20
    purse.payments.settle("pi_1")

    purse.wait(minutes=1)
    purse.look()
    assert not purse.wallet.pending
    assert purse.kinds() == ["promotional", "purchase"]
    with pytest.raises(SpendRefused):
        purse.top_up(500, key="left-1", card=ASKING_CARD)
    assert purse.top_up(500, key="again")["status"] == "succeeded"
    purse.prove_all_paid()


def test_a_top_up_that_waits_for_its_holder_holds_up_no_reload(purse: Purse) -> None:
    with_card(purse)
    purse.top_up(2000, key="left", card=ASKING_CARD)
    purse.top_up(500, key="paid", card=GOOD_CARD)
    purse.auto_reload(threshold=500, amount=2000)
    purse.spend(1600)
    purse.follow()
    assert purse.reload() == 1
    purse.prove()


def test_nothing_is_reloaded_while_extra_usage_is_off(purse: Purse) -> None:
    with_card(purse)
    purse.auto_reload(threshold=500, amount=2000)
    purse.wait(minutes=5)
    purse.look()
    held = purse.hold(1400)
    set_enabled(purse.table, purse.org_id, False, purse.now)
    purse.settle(held, 1400)
    for _ in range(2):
        purse.wait(minutes=2)
        purse.follow()
        purse.look()
    assert len(purse.payments.payments) == 1

    set_enabled(purse.table, purse.org_id, True, purse.now)
    assert purse.wallet.crossed
    assert due(purse) == [purse.org_id]
    assert purse.reload() == 1
    purse.prove_all_paid()


def switching_off(purse: Purse, number: int) -> list[str]:
    """Before the table's `number`th operation, switch extra usage off; return what happened."""
    steps: list[str] = []

    def switch_off(name: str) -> None:
        steps.append(name)
        if len(steps) == number:
            purse.table.step = lambda name: None
            set_enabled(purse.table, purse.org_id, False, purse.now)
            assert "created" not in [each.state for each in purse.intents()]

    purse.table.step = switch_off
    return steps


def test_switched_off_at_any_step_of_a_reload_nothing_is_charged_afterwards() -> None:
    for number in count(1):
        purse = Purse()
        with_card(purse)
        purse.auto_reload(threshold=1500, amount=2000)
        steps = switching_off(purse, number)
        purse.payments.lose("charge", "before")
        purse.reload()
        if len(steps) < number:
            break
        purse.wait(minutes=2)
        purse.look()
        assert len(purse.payments.payments) == 1, f"charged although off at step {number}"
    assert number > 5


def test_an_empty_wallet_is_told_of_once_a_credit_if_nothing_reloads_it(purse: Purse) -> None:
    purse.spend(950)
    for _ in range(3):
        purse.wait(seconds=3)
        refused = purse.refusal(100)
        assert refused is not None
        assert refused["next_steps"] == ["top_up", "enable_auto_reload"]
    (told,) = purse.told("wallet.empty")
    assert facts(told)["auto_reload"] == "off"
    with_card(purse)
    purse.spend(500)
    assert purse.refusal(100) is not None
    assert len(purse.told("wallet.empty")) == 2


def test_a_low_balance_is_told_of_once_a_credit(purse: Purse) -> None:
    purse.spend(899)
    purse.follow()
    assert not purse.told("wallet.low")
    purse.spend(1)
    for _ in range(2):
        purse.follow()
    (told,) = purse.told("wallet.low")
    assert facts(told)["next_step"] == "top_up"


def test_switched_off_before_the_charge_no_charge_is_made(purse: Purse) -> None:
    """The process died between writing the intent and asking the processor."""
    with_card(purse)
    purse.auto_reload(threshold=1500, amount=2000)
    with dying_at(purse, "update"):
        purse.reload()
    assert [intent.state for intent in purse.intents()].count("created") == 1

    purse.auto_reload_off()
    purse.wait(minutes=1)
    purse.look()

    assert len(purse.payments.payments) == 1
    assert [intent.state for intent in purse.intents()].count("voided") == 1
    assert shown(purse)["auto_reload"] == {
        "enabled": False,
        "threshold": "1500",
        "amount": "2000",
        "monthly_limit": None,
        "reloaded_this_month": "0",
        "state": "off",
        "next_step": None,
    }


def test_switched_off_with_the_outcome_unknown_it_is_only_looked_for(purse: Purse) -> None:
    with_card(purse)
    purse.auto_reload(threshold=1500, amount=2000)
    purse.payments.lose("charge", "before")
    purse.reload()
    purse.auto_reload_off()
    for _ in range(3):
        purse.wait(minutes=30)
        purse.look()
    assert len(purse.payments.payments) == 1
    assert not purse.wallet.pending
    purse.prove_all_paid()


def test_a_reload_that_was_cut_off_before_the_charge_is_begun_anew_when_it_is_stale(
    purse: Purse,
) -> None:
    with_card(purse)
    purse.auto_reload(threshold=1500, amount=2000)
    with dying_at(purse, "update"):
        purse.reload()
    purse.wait(seconds=STALE_AFTER.total_seconds())
    purse.look()
    states = {each.intent_id: each.state for each in purse.intents() if each.kind == "reload"}
    assert sorted(states.values()) == ["succeeded", "voided"]
    assert purse.wallet.reloaded == 2000 * CENT
    purse.prove_all_paid()


@pytest.mark.parametrize("after", [timedelta(hours=1), KEYS_LAST])
def test_a_reload_that_was_given_up_keeps_its_place_below_the_ceiling(
    purse: Purse, after: timedelta
) -> None:
    """It may have been charged all the same, and the ceiling is one of what is charged."""
    with_card(purse)
    purse.auto_reload(threshold=1500, amount=2000, limit=3000)
    purse.payments.lose("charge", "before")
    purse.reload()
    (intent,) = [each for each in purse.intents() if each.kind == "reload"]
    if after < KEYS_LAST:
        purse.auto_reload_off()
    purse.wait(seconds=after.total_seconds())
    purse.look()
    assert [each.state for each in purse.intents() if each.kind == "reload"] == ["voided"]
    assert purse.wallet.reloaded == 2000 * CENT
    purse.auto_reload(threshold=1500, amount=2000, limit=3000)
    assert purse.reload() == 0
    assert len(purse.payments.payments) == 1

    # The request was on its way all the time.
    late = Charge(intent.customer_id, 2000, "USD", intent.key, intent.payment_method_id)
    purse.payments.charge(late)
    for _ in range(2):
        purse.deliver(len(purse.payments.deliveries) - 1)
    assert purse.balance == 3500 * CENT
    assert purse.wallet.reloaded == 2000 * CENT
    purse.auto_reload(threshold=4000, amount=2000, limit=3000)
    purse.reload()
    assert shown(purse)["auto_reload"]["state"] == "ceiling_reached"
    assert len(purse.payments.payments) == 2
    purse.prove_all_paid()


def test_a_reload_that_was_given_up_counts_no_more_once_it_is_known_to_be_declined(
    purse: Purse,
) -> None:
    with_card(purse)
    purse.auto_reload(threshold=1500, amount=2000, limit=3000)
    purse.payments.lose("charge", "before")
    purse.reload()
    (intent,) = [each for each in purse.intents() if each.kind == "reload"]
    purse.auto_reload_off()
    purse.wait(hours=1)
    purse.look()
    purse.payments.save_payment_method(intent.customer_id, DECLINING_CARD)
    purse.payments.charge(Charge(intent.customer_id, 2000, "USD", intent.key))
    for _ in range(2):
        purse.deliver(len(purse.payments.deliveries) - 1)

    assert purse.wallet.reloaded == 0
    assert not purse.told("wallet.reload_failed")
    purse.prove_all_paid()


@pytest.mark.parametrize("off_first", [False, True])
def test_a_reload_begun_under_other_figures_is_only_looked_for(
    purse: Purse, off_first: bool
) -> None:
    with_card(purse)
    purse.auto_reload(threshold=1500, amount=50_000)
    purse.payments.lose("charge", "before")
    purse.reload()
    if off_first:
        purse.auto_reload_off()
    purse.auto_reload(threshold=1500, amount=1000, limit=51_000)

    purse.wait(minutes=2)
    purse.look()
    assert len(purse.payments.payments) == 1
    purse.wait(hours=1)
    purse.look()

    assert [each.amount_cents for each in purse.payments.payments.values()] == [500, 1000]
    assert purse.wallet.reloaded == 51_000 * CENT
    purse.prove_all_paid()


def test_a_reload_begun_under_other_figures_that_was_made_is_credited(purse: Purse) -> None:
    with_card(purse)
    purse.auto_reload(threshold=1500, amount=2000)
    purse.payments.lose("charge", "after")
    purse.reload()
    purse.auto_reload(threshold=1500, amount=1000)
    purse.wait(minutes=2)
    purse.look()
    assert purse.balance == 3500 * CENT
    purse.prove_all_paid()


def test_a_change_of_auto_reload_is_audited_and_checked(purse: Purse) -> None:
    purse.auto_reload(threshold=500, amount=2000, limit=9000)
    (entry, *_) = [
        entry_to_wire(item) for item in list_entries(purse.table, purse.org_id, limit=10).items
    ]
    assert entry["action"] == "wallet.auto_reload_changed"
    assert entry["before"] == {"auto_reload.enabled": False}
    assert entry["after"]["auto_reload.monthly_limit"] == "9000"
    for field, figures in (
        ("amount", {"amount": 499}),
        ("monthly_limit", {"amount": 1000, "limit": 999}),
        ("threshold", {"threshold": 100_001}),
    ):
        with pytest.raises(InvalidRequest, match=field):
            purse.auto_reload(**figures)


def test_a_ceiling_that_is_said_while_it_is_off_is_audited(purse: Purse) -> None:
    purse.auto_reload(threshold=500, amount=2000, limit=9000)
    entries = len(list_entries(purse.table, purse.org_id, limit=100).items)
    for _ in range(2):
        set_auto_reload(
            purse.table,
            purse.organization,
            None,
            purse.terms,
            OWNER,
            purse.now,
            said=ReloadFigures(monthly_limit=6000 * CENT),
        )

    entry, *_ = (
        entry_to_wire(item) for item in list_entries(purse.table, purse.org_id, limit=100).items
    )
    assert entry["before"] == {"auto_reload.enabled": True, "auto_reload.monthly_limit": "9000"}
    assert entry["after"] == {"auto_reload.enabled": False, "auto_reload.monthly_limit": "6000"}
    # What is said twice changes nothing the second time.
    assert len(list_entries(purse.table, purse.org_id, limit=100).items) == entries + 1


def test_an_owner_is_led_from_payment_to_auto_reload(purse: Purse) -> None:
    empty = Purse(opening=0)

    def step() -> str | None:
        found: str | None = extra_usage(empty.table, empty.organization, NOW)["next_step"]
        return found

    assert step() == "payment"
    with_card(empty)
    assert step() == "auto_reload"
    empty.auto_reload()
    assert step() == "spend_limit"


# Lots: booked, expiring, given, refunded.


def given(purse: Purse, amount: int, kind: str = "promotional", **more: Any) -> dict[str, Any]:
    asked = Adjustment(
        more.pop("id", f"adj-{amount}-{kind}"),
        purse.org_id,
        kind,  # type: ignore[arg-type]
        amount * CENT,
        "ops",
        f"{amount}|{kind}",
        **more,
    )
    return adjust(purse.table, purse.payments, asked, purse.now)


def test_spending_is_booked_once_from_the_totals(purse: Purse) -> None:
    purse.spend(300)
    purse.follow()
    purse.look()
    purse.look()
    assert purse.kinds() == ["promotional", "usage"]
    assert purse.wallet.total == purse.balance
    purse.prove()


def test_a_wallet_that_was_credited_and_spent_since_it_was_read_is_read_again(
    purse: Purse, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_card(purse)
    overtaken: list[bool] = []

    def late(*args: Any) -> dict[str, int]:
        if not overtaken:
            overtaken.append(True)
            purse.top_up(2000, key="meanwhile")
            purse.spend(3000)
            purse.follow()
        return spent_by_period(*args)

    monkeypatch.setattr("headroom.payments.usecases.lot_consumption.spent_by_period", late)
    assert given(purse, 100)["entry"]["amount"] == "100"
    assert purse.wallet.total == purse.balance == 600 * CENT
    purse.prove()


def test_lots_shown_sum_up_to_the_balance_before_anything_is_booked(purse: Purse) -> None:
    purse.spend(300)
    view = shown(purse)
    assert view["balance"] == "700"
    assert [lot["remaining"] for lot in view["lots"]] == ["700"]
    assert purse.kinds() == ["promotional"]


def test_credit_expires_at_its_time_after_one_notice(purse: Purse) -> None:
    given(purse, 400, expires_at=NOW + timedelta(days=10))
    purse.look()
    assert not purse.told("wallet.credit_expiring")
    purse.wait(days=4)
    purse.look()
    purse.look()
    (notice,) = purse.told("wallet.credit_expiring")
    assert facts(notice)["expires_at"] == to_wire(NOW + timedelta(days=10))

    purse.now = NOW + timedelta(days=10)
    purse.look()
    assert purse.entries()[-1].kind == "expiry"
    assert purse.balance == 1000 * CENT
    purse.prove()


def test_of_many_credits_that_expire_together_each_is_told_of_once(purse: Purse) -> None:
    for number in range(105):
        given(purse, 1, id=f"adj-{number}", expires_at=NOW + timedelta(days=3))
    for _ in range(2):
        purse.look()
        assert len(purse.told("wallet.credit_expiring")) == 105


def test_money_held_at_its_expiry_is_spendable_and_expires_when_given_back() -> None:
    purse = Purse()
    given(purse, 400, expires_at=NOW + timedelta(minutes=5))
    held = purse.hold(300)
    purse.now = NOW + timedelta(minutes=5)
    purse.look()
    expired = -purse.entries()[-1].amount
    assert 99 * CENT < expired <= 100 * CENT
    purse.settle(held, 100)
    purse.follow()
    purse.look()
    assert purse.balance == 1000 * CENT
    purse.prove()


def test_money_that_is_handed_out_while_credit_expires_is_not_taken_for_idle(
    purse: Purse, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(purse, 400, expires_at=NOW + timedelta(minutes=5))
    purse.now = NOW + timedelta(minutes=5)
    held: list[str] = []

    def late(*args: Any) -> int:
        funds = funds_beside(*args)
        if not held:
            held.append(purse.hold(300))
        return funds

    monkeypatch.setattr("headroom.payments.usecases.lot_consumption.funds_beside", late)
    purse.look()
    # What is held is borne by the credit that expires first.
    expired = -purse.entries()[-1].amount
    assert purse.kinds()[-1] == "expiry"
    assert 99 * CENT < expired <= 100 * CENT
    purse.settle(held[0], 300)
    assert purse.balance >= 999 * CENT
    purse.prove()


def test_a_refund_is_not_refused_for_money_that_just_left_with_another_one(
    purse: Purse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pool and the wallet are seen at one instant, or what is outside seems more than it is."""
    with_card(purse)
    purse.top_up(1500, key="second", card=None)
    overtaken: list[bool] = []

    def late(*args: Any) -> int:
        if not overtaken:
            overtaken.append(True)
            given(purse, 1500, "refund", payment_id="pi_2")
        return funds_beside(*args)

    monkeypatch.setattr("headroom.payments.usecases.adjustments.funds_beside", late)
    assert given(purse, 500, "refund", payment_id="pi_1")["status"] == "succeeded"
    assert purse.balance == 1000 * CENT
    purse.prove()


def test_an_adjustment_is_made_once_and_audited(purse: Purse) -> None:
    first = given(purse, 250, "adjustment")
    assert given(purse, 250, "adjustment") == first
    given(purse, -50, "adjustment", description="Goodwill was booked twice")
    assert purse.balance == 1200 * CENT
    with pytest.raises(Conflict, match="something else"):
        given(purse, 251, "adjustment", id="adj-250-adjustment")
    with pytest.raises(Conflict, match="only 1200"):
        given(purse, -1201, "adjustment")
    entries = [
        entry_to_wire(item) for item in list_entries(purse.table, purse.org_id, limit=10).items
    ]
    assert [entry["action"] for entry in entries] == ["wallet.adjusted", "wallet.adjusted"]
    assert entries[0]["after"]["amount"] == "-50"
    assert entries[0]["after"]["reason"] == "Goodwill was booked twice"
    purse.prove()


def due(purse: Purse) -> list[str]:
    """Return whose wallets are to be looked at by now."""
    return [
        org_id
        for shard in range(keys.DUE_SHARDS)
        for org_id in due_wallets(purse.table, shard, purse.now)
    ]


def test_a_correction_to_below_the_threshold_is_followed_by_a_reload(purse: Purse) -> None:
    with_card(purse)
    purse.auto_reload(threshold=500, amount=2000)
    purse.wait(minutes=1)
    purse.look()
    assert not due(purse)
    given(purse, -1200, "adjustment")
    assert due(purse) == [purse.org_id]
    assert purse.look() == 1


def test_idle_money_of_members_can_be_taken_too(purse: Purse) -> None:
    purse.release(purse.hold(10))
    assert purse.budgets()[0].allotment
    given(purse, -1000, "adjustment")
    assert purse.balance == 0
    assert purse.refusal(1) is not None
    purse.prove()


def test_unspent_purchase_money_is_refunded_through_the_processor(purse: Purse) -> None:
    with_card(purse)
    purse.spend(1200)
    purse.follow()
    with pytest.raises(Conflict, match="only 300 of this payment is unspent"):
        given(purse, 301, "refund", payment_id="pi_1")

    answer = given(purse, 300, "refund", payment_id="pi_1")

    assert (answer["status"], answer["entry"]["amount"]) == ("succeeded", "-300")
    assert purse.payments.payments["pi_1"].refunded_cents == 300
    assert given(purse, 300, "refund", payment_id="pi_1") == answer
    with pytest.raises(Conflict, match="only 0 of this payment is unspent"):
        given(purse, 1, "refund", payment_id="pi_1")
    # What the processor tells of our own refund changes nothing.
    purse.deliver()
    assert purse.kinds().count("refund") == 1
    purse.prove()


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_refund_without_an_outcome_is_made_once(purse: Purse, when: Any) -> None:
    with_card(purse)
    purse.payments.lose("refund", when)
    assert given(purse, 300, "refund", payment_id="pi_1")["status"] == "pending"
    assert purse.balance == 1200 * CENT
    purse.deliver()
    purse.wait(minutes=1)
    purse.look()
    assert purse.payments.payments["pi_1"].refunded_cents == 300
    assert given(purse, 300, "refund", payment_id="pi_1")["status"] == "succeeded"
    purse.deliver()
    assert purse.balance == 1200 * CENT
    purse.prove()


def test_a_refund_that_is_refused_is_given_back(purse: Purse) -> None:
    with_card(purse)
    purse.payments.give_back("pi_1", 400)
    answer = given(purse, 300, "refund", payment_id="pi_1")
    assert answer["status"] == "failed"
    # Somebody had refunded 400 in the processor's pages, which is seen at the same time.
    assert purse.balance == 1100 * CENT
    purse.deliver()
    assert purse.balance == 1100 * CENT
    purse.prove()


def test_a_refund_that_fails_days_after_it_was_made_is_given_back(purse: Purse) -> None:
    with_card(purse)
    for cents, done_id in ((300, "first"), (200, "second")):
        given(purse, cents, "refund", id=done_id, payment_id="pi_1")
    assert purse.balance == 1000 * CENT
    purse.wait(days=5)
    purse.payments.fail_refund("pi_1", 300)
    for _ in range(2):
        purse.deliver()
        assert purse.balance == 1300 * CENT
        purse.prove()
    # It is the payment's money again, and can be refunded again.
    assert given(purse, 300, "refund", id="third", payment_id="pi_1")["status"] == "succeeded"
    purse.deliver()
    assert purse.balance == 1000 * CENT
    purse.prove()


def test_while_a_refund_is_under_way_its_money_is_not_taken_for_returned(purse: Purse) -> None:
    with_card(purse)
    purse.payments.lose("refund", "before")
    assert given(purse, 300, "refund", payment_id="pi_1")["status"] == "pending"
    # The processor has nothing of it yet, whoever asks.
    purse.deliver()
    assert purse.balance == 1200 * CENT
    purse.look()
    purse.deliver()
    assert purse.balance == 1200 * CENT
    purse.prove()


def test_what_somebody_else_refunds_instead_of_ours_goes_out_once(purse: Purse) -> None:
    with_card(purse)
    purse.payments.lose("refund", "before")
    assert given(purse, 500, "refund", payment_id="pi_1")["status"] == "pending"
    purse.payments.give_back("pi_1", 500)
    # Its only news comes while ours is still under way, and looks like ours.
    purse.deliver()
    for _ in range(2):
        purse.look()
        assert given(purse, 500, "refund", payment_id="pi_1")["status"] == "failed"
        assert purse.balance == 1000 * CENT
        # Nor was it here for a moment.
        assert purse.kinds().count("refund") == 1
        purse.prove()


def test_of_a_refund_that_is_refused_only_what_others_left_comes_back(purse: Purse) -> None:
    with_card(purse)
    purse.payments.lose("refund", "before")
    given(purse, 300, "refund", payment_id="pi_1")
    purse.payments.give_back("pi_1", 400)
    purse.deliver()
    assert purse.balance == 1100 * CENT
    purse.look()
    # Ours of 300 was more than the 100 that were left, so it is not made.
    assert given(purse, 300, "refund", payment_id="pi_1")["status"] == "failed"
    assert purse.balance == 1100 * CENT
    purse.prove()


def test_what_somebody_else_refunds_beside_ours_goes_out_too(purse: Purse) -> None:
    with_card(purse)
    purse.payments.lose("refund", "before")
    given(purse, 300, "refund", payment_id="pi_1")
    purse.payments.give_back("pi_1", 200)
    purse.deliver()
    purse.look()
    assert given(purse, 300, "refund", payment_id="pi_1")["status"] == "succeeded"
    assert purse.balance == 1000 * CENT
    purse.deliver()
    assert purse.balance == 1000 * CENT
    purse.prove()


def test_news_that_was_overtaken_does_not_undo_what_is_known_since(
    purse: Purse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asked the processor first may write last: they must not write what was then."""
    with_card(purse)
    find_payment = purse.payments.find_payment
    asked: list[str] = []

    def overtaken(payment_id: str) -> Any:
        before = find_payment(payment_id)
        asked.append(payment_id)
        # The event asks once; once more whoever writes.
        if len(asked) == 2:
            assert given(purse, 300, "refund", payment_id="pi_1")["status"] == "succeeded"
        return before

    purse.payments.give_back("pi_1", 100)
    monkeypatch.setattr(purse.payments, "find_payment", overtaken)
    purse.deliver(len(purse.payments.deliveries) - 1)
    assert purse.balance == 1100 * CENT
    purse.prove()


# Disputes.


def test_a_dispute_takes_what_is_there_and_the_rest_is_owed_until_paid(purse: Purse) -> None:
    with_card(purse)
    purse.spend(1400)
    purse.payments.dispute("pi_1")
    for _ in range(2):
        purse.deliver()

    assert purse.balance == 0
    owed = sum(purse.wallet.owed.values())
    assert 399 * CENT < owed <= 401 * CENT
    assert purse.organization.past_due
    refused = purse.refusal(1)
    assert refused is not None
    assert refused["reason"] == "payment_past_due"
    assert refused["next_steps"][0] == "top_up"
    assert shown(purse)["standing"] == "payment_past_due"
    assert shown(purse)["next_steps"] == refused["next_steps"]
    purse.prove()

    purse.top_up(1000, key="later")
    assert not purse.wallet.owed
    assert not purse.organization.past_due
    assert purse.balance == 1000 * CENT - owed
    assert purse.refusal(1) is None
    purse.prove()


def test_what_a_hold_gives_back_pays_what_is_owed(purse: Purse) -> None:
    with_card(purse)
    held = purse.hold(1400)
    purse.payments.dispute("pi_1")
    purse.deliver()
    assert purse.organization.past_due
    purse.settle(held, 100)
    purse.look()
    assert not purse.wallet.owed
    assert not purse.organization.past_due
    purse.prove()


@pytest.mark.parametrize("spent", [0, 1400])
def test_a_dispute_that_is_won_gives_back_what_was_taken(purse: Purse, spent: int) -> None:
    with_card(purse)
    if spent:
        purse.spend(spent)
    before = purse.balance
    purse.payments.dispute("pi_1")
    purse.deliver()
    purse.payments.close_dispute("pi_1", won=True)
    # The news of its end comes first, and all of it twice.
    for _ in range(2):
        purse.deliver(*reversed(range(len(purse.payments.deliveries))))
    assert purse.balance == before
    assert not purse.organization.past_due
    purse.prove()


def test_whoever_disputed_a_payment_is_not_charged_again_by_itself(purse: Purse) -> None:
    with_card(purse)
    purse.auto_reload(threshold=1000, amount=1000)
    purse.payments.dispute("pi_1")
    purse.deliver()
    for _ in range(2):
        purse.wait(hours=1)
        purse.look()
    assert len(purse.payments.payments) == 1
    assert shown(purse)["auto_reload"]["state"] == "declined"


def test_a_dispute_of_an_old_card_lets_no_declined_one_be_charged_again(purse: Purse) -> None:
    with_card(purse)
    with_new_card(purse, DECLINING_CARD)
    purse.auto_reload(threshold=1500, amount=2000)
    purse.reload()
    assert shown(purse)["auto_reload"]["state"] == "declined"
    purse.payments.dispute("pi_1", 100)
    purse.deliver(len(purse.payments.deliveries) - 1)
    for _ in range(3):
        purse.wait(minutes=5)
        purse.look()
    assert len(purse.payments.payments) == 2
    assert shown(purse)["auto_reload"]["state"] == "declined"


def test_a_late_decline_of_an_old_card_does_not_end_what_a_dispute_stopped(purse: Purse) -> None:
    with_card(purse)
    with_new_card(purse, SLOW_CARD)
    purse.auto_reload(threshold=1500, amount=2000)
    purse.reload()
    with_new_card(purse, GOOD_CARD)
    purse.payments.dispute("pi_1", 100)
    purse.deliver(len(purse.payments.deliveries) - 1)
    purse.payments.fail("pi_2")
    purse.deliver(len(purse.payments.deliveries) - 1)
    purse.wait(minutes=5)
    purse.look()
    assert len(purse.payments.payments) == 2


def test_once_all_disputes_are_won_reloads_go_on(purse: Purse) -> None:
    with_card(purse)
    purse.top_up(600, key="second", card=None)
    purse.auto_reload(threshold=500, amount=2000)
    for payment_id in ("pi_1", "pi_2"):
        purse.payments.dispute(payment_id, 100)
    purse.deliver()
    purse.spend(1800)
    purse.follow()

    purse.payments.close_dispute("pi_1", won=True)
    purse.deliver()
    purse.look()
    assert len(purse.payments.payments) == 2
    purse.payments.close_dispute("pi_2", won=True)
    purse.deliver()
    purse.look()
    assert purse.kinds()[-1] == "reload"
    purse.prove_all_paid()


def test_a_dispute_that_is_won_does_not_forget_a_decline(purse: Purse) -> None:
    with_card(purse)
    with_new_card(purse, DECLINING_CARD)
    purse.payments.accept(DECLINING_CARD)
    purse.top_up(500, key="by it", card=None)
    purse.payments.save_payment_method(f"cus_{purse.org_id}", DECLINING_CARD)
    purse.auto_reload(threshold=2500, amount=2000)
    purse.reload()
    purse.payments.dispute("pi_2", 100)
    purse.deliver(len(purse.payments.deliveries) - 1)
    purse.payments.close_dispute("pi_2", won=True)
    purse.deliver(len(purse.payments.deliveries) - 1)
    purse.wait(minutes=5)
    purse.look()
    assert shown(purse)["auto_reload"]["state"] == "declined"
    assert len(purse.payments.payments) == 3


# A wallet from before wallets had a ledger.


def test_an_organization_without_a_wallet_item_gets_one_with_what_it_was_given(
    purse: Purse,
) -> None:
    purse.spend(300)
    purse.hold(100)
    purse.wait(days=10)
    purse.spend(200, user=1)
    for key in [key for key in purse.table.items if key.pk.endswith("#WALLET")]:
        del purse.table.items[key]
    del purse.table.items[keys.wallet(purse.org_id)]

    wallet = open_wallet(purse.table, purse.organization, purse.now)

    assert wallet.total == 1000 * CENT
    purse.prove()
    purse.follow()
    purse.look()
    assert purse.wallet.total == purse.balance
    purse.prove()


@pytest.mark.parametrize(
    ("figures", "read_before"),
    [
        (None, False),
        (ReloadFigures(monthly_limit=CENT), False),
        (ReloadFigures(threshold=CENT, monthly_limit=CENT), False),
        (ReloadFigures(CENT, 2 * CENT), True),
        (ReloadFigures(CENT, 2 * CENT, 3 * CENT), True),
    ],
)
def test_the_release_before_reads_no_figures_that_it_cannot_show(
    purse: Purse, figures: ReloadFigures | None, read_before: bool
) -> None:
    """It shows amount and threshold of `auto_reload_was` if there is one, and may be back."""
    wallet = open_wallet(purse.table, purse.organization, purse.now)
    kept = replace(wallet, version=wallet.version + 1, auto_reload=None, auto_reload_was=figures)
    purse.table.transact([put_wallet(wallet, kept)])

    item = purse.table.get(keys.wallet(purse.org_id))
    assert item is not None
    assert ("auto_reload_was" in item) == read_before
    assert read_wallet(item).auto_reload_was == figures
