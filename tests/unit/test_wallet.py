"""The lots of a wallet, and how each change follows: figures worked by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from headroom.core.domain.instants import to_millis
from headroom.organizations.domain.organization import Organization, Tier
from headroom.organizations.usecases.authentication import Caller
from headroom.wallets.domain.payments import PaymentMethod
from headroom.wallets.domain.reload import (
    has_crossed,
    is_low,
    reload_state,
    reloaded_in,
)
from headroom.wallets.domain.wallet import (
    AutoReload,
    Breaker,
    Lot,
    PendingPayment,
    Wallet,
    balance_by,
    book,
    credit,
    debit,
    draw,
    expire,
    unspent_of,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
MILLIS = to_millis(NOW)
SOON, LATER, PAST = MILLIS + 1_000, MILLIS + 2_000, MILLIS - 1
CARD = PaymentMethod("pm_1", "visa", "4242")


def lot(name: str, remaining: int, at: int = 0, expires: int | None = None, **more: str) -> Lot:
    return Lot(name, "purchase", 100, remaining, at, expires, more.get("payment_id"))


def left(wallet: Wallet) -> dict[str, int]:
    return {each.lot_id: each.remaining for each in wallet.lots}


def test_money_is_spent_oldest_expiring_first_then_oldest() -> None:
    lots = [lot("young", 10, 2), lot("old", 10, 1), lot("later", 10, 0, LATER)]
    lots.append(lot("soon", 10, 3, SOON))

    spent = [draw(lots, amount) for amount in (5, 10, 20, 25, 40)]

    names = [[each.lot_id for each in after] for after in spent]
    assert names == [
        ["soon", "later", "old", "young"],
        ["later", "old", "young"],
        ["old", "young"],
        ["old", "young"],
        [],
    ]
    assert spent[3][0].remaining == 5


def test_no_more_is_drawn_than_there_is() -> None:
    with pytest.raises(ValueError, match="more was taken"):
        draw([lot("only", 10)], 11)


def test_a_credit_is_a_lot_and_an_entry_under_the_next_version() -> None:
    step = credit(Wallet("org_1", 7), "purchase", "purchase", 50, NOW, payment_id="pi_1")

    (bought,) = step.wallet.lots
    assert (bought.lot_id, bought.remaining, bought.payment_id) == (step.entry.entry_id, 50, "pi_1")
    assert (step.entry.version, step.entry.amount, step.entry.balance, step.moved) == (
        8,
        50,
        50,
        50,
    )
    assert (step.wallet.version, step.wallet.credits, step.wallet.last_credit) == (8, 1, 50)


def test_the_same_total_is_booked_once() -> None:
    wallet = Wallet("org_1", 1, (lot("a", 30), lot("b", 30, 1)))

    step = book(wallet, "2026-11", 40, NOW)

    assert step is not None
    assert left(step.wallet) == {"b": 20}
    assert (step.entry.kind, step.entry.amount, step.entry.period) == ("usage", -40, "2026-11")
    assert step.moved == 0
    assert book(step.wallet, "2026-11", 40, NOW) is None
    assert book(step.wallet, "2026-11", 39, NOW) is None
    again = book(step.wallet, "2026-12", 5, NOW)
    assert again is not None
    assert again.wallet.booked == {"2026-11": 40, "2026-12": 5}
    assert again.wallet.given == wallet.given == 60


def test_a_debit_takes_of_the_payments_own_lots_first() -> None:
    lots = (lot("a", 30), lot("b", 30, 1, payment_id="pi_b"))

    first = debit(Wallet("org_1", 1, lots), "refund", 20, NOW, payment_id="pi_b")
    more = debit(Wallet("org_1", 1, lots), "chargeback", 40, NOW, payment_id="pi_b")

    assert left(first.wallet) == {"a": 30, "b": 10}
    assert left(more.wallet) == {"a": 20}
    assert (more.entry.amount, more.moved) == (-40, -40)


@pytest.mark.parametrize(
    ("funds", "expired", "kept"),
    [
        # Of 100 in all, 40 have expired. What is not in the pool counts as drawn from these first.
        (100, 40, {"good": 60}),
        (70, 10, {"a": 20, "b": 10, "good": 60}),
        (61, 1, {"a": 20, "b": 19, "good": 60}),
        (60, 0, None),
        (0, 0, None),
    ],
)
def test_only_what_is_really_left_expires(
    funds: int, expired: int, kept: dict[str, int] | None
) -> None:
    lots = (lot("a", 20, 0, PAST - 1), lot("b", 20, 0, MILLIS), lot("good", 60, 0, SOON))

    step = expire(Wallet("org_1", 1, lots), funds, NOW)

    assert (-step.entry.amount if step else 0) == expired
    if step is not None:
        assert left(step.wallet) == kept
        assert step.moved == -expired


def test_only_what_is_surely_unspent_of_a_payment_is_refunded() -> None:
    lots = (lot("a", 30, payment_id="pi_a"), lot("b", 30, 1, payment_id="pi_b"))
    wallet = Wallet("org_1", 1, lots)

    assert [unspent_of(wallet, "pi_a", funds) for funds in (60, 40, 30, 0)] == [30, 10, 0, 0]
    assert [unspent_of(wallet, "pi_b", funds) for funds in (60, 40, 30, 10)] == [30, 30, 30, 10]
    assert unspent_of(wallet, "pi_c", 60) == 0


def test_the_balance_is_what_lots_have_less_what_is_spent_and_not_booked() -> None:
    wallet = Wallet("org_1", 1, (lot("a", 90),), booked={"2026-10": 10, "2026-11": 5})

    assert balance_by(wallet, {"2026-10": 10, "2026-11": 25}) == 70
    # A total that is behind says nothing.
    assert balance_by(wallet, {"2026-11": 4}) == 90


def ready(**changes: object) -> Wallet:
    figures: dict[str, object] = {
        "auto_reload": AutoReload(threshold=20, amount=50, monthly_limit=100),
        "payment_method": CARD,
        "month": "2026-11",
        "lots": (lot("a", 100),),
        "last_credit": 100,
        "credits": 1,
        **changes,
    }
    return Wallet("org_1", 1, **figures)  # type: ignore[arg-type]


RELOAD = PendingPayment("rld_1", "reload", 50, MILLIS)


@pytest.mark.parametrize(
    ("wallet", "state"),
    [
        (ready(auto_reload=None), "off"),
        (ready(), "ready"),
        (ready(pending=(RELOAD,)), "pending"),
        (ready(pending=(PendingPayment("rld_1", "reload", 50, MILLIS, True),)), "needs_action"),
        (ready(pending=(PendingPayment("top_1", "purchase", 50, MILLIS, True),)), "ready"),
        (ready(payment_method=None), "no_payment_method"),
        (ready(breaker=Breaker("pm_1", "expired_card")), "declined"),
        (ready(breaker=Breaker("pm_0", "expired_card")), "ready"),
        (ready(reloaded=50), "ready"),
        (ready(reloaded=51), "ceiling_reached"),
        (ready(reloaded=100, month="2026-10"), "ready"),
        # Somebody's clock is ahead: their month counts.
        (ready(reloaded=51, month="2026-12"), "ceiling_reached"),
        (ready(cool_until_millis=MILLIS + 1), "cooling_down"),
        (ready(cool_until_millis=MILLIS), "ready"),
    ],
)
def test_what_stands_in_the_way_of_a_reload(wallet: Wallet, state: str) -> None:
    assert reload_state(wallet, "2026-11", NOW) == state


def test_the_threshold_is_reached_at_the_threshold_with_pending_money_as_arrived() -> None:
    assert has_crossed(ready(), 20)
    assert not has_crossed(ready(), 21)
    bought = PendingPayment("top_1", "purchase", 10, MILLIS)
    assert has_crossed(ready(pending=(bought,)), 10)
    assert not has_crossed(ready(pending=(bought,)), 11)
    assert not has_crossed(ready(auto_reload=None), 0)


def test_money_that_waits_for_its_holder_does_not_count_as_arrived() -> None:
    waiting = PendingPayment("top_1", "purchase", 10, MILLIS, needs_action=True)
    assert has_crossed(ready(pending=(waiting,)), 20)
    assert not has_crossed(ready(pending=(waiting,)), 21)
    assert is_low(ready(auto_reload=None, pending=(waiting,)), 10, "off")


def test_a_month_begins_with_nothing_reloaded() -> None:
    assert reloaded_in(ready(reloaded=70), "2026-11") == 70
    assert reloaded_in(ready(reloaded=70), "2026-12") == 0


def test_a_balance_is_low_when_nothing_will_reload_it() -> None:
    assert not is_low(ready(), 0, "ready")
    assert not is_low(ready(), 0, "pending")
    assert is_low(ready(), 20, "declined")
    assert not is_low(ready(), 21, "ceiling_reached")
    assert is_low(ready(auto_reload=None), 10, "off")
    assert not is_low(ready(auto_reload=None), 11, "off")
    assert not is_low(Wallet("org_1"), 0, "off")


def test_expiry_is_to_the_millisecond() -> None:
    wallet = Wallet("org_1", 1, (lot("a", 10, 0, MILLIS),))
    assert expire(wallet, 10, NOW - timedelta(milliseconds=1)) is None
    assert expire(wallet, 10, NOW) is not None


def test_people_have_idempotency_keys_of_their_own_and_api_keys_share_theirs() -> None:
    organization = Organization(
        org_id="org_1",
        plan="team",
        name="Acme",
        currency="USD",
        time_zone="UTC",
        language="en",
        enabled=True,
        admission="everyone",
        cap_nanos=None,
        tiers={"standard": Tier(), "premium": Tier()},
        past_due=False,
        version=1,
    )
    olga = Caller(organization, "user_olga", role="owner")
    pam = Caller(organization, "user_pam", role="admin")
    keys = [Caller(organization, name, frozenset({"write:billing"})) for name in ("key_1", "key_2")]
    assert olga.place_of("buy") != pam.place_of("buy")
    assert keys[0].place_of("buy") == keys[1].place_of("buy") == "buy"
