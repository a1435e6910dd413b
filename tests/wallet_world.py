"""An organization under random use whose wallet is bought for, reloaded, disputed and looked after.

Every call to the payment processor is a step too: others may move before it, and in troubled
worlds its reply is lost. What is promised of payments is checked after each step.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from headroom.core.domain.actor import SYSTEM
from headroom.core.errors import Conflict, InvalidRequest, NotFound, Overloaded, SpendRefused
from headroom.limits.usecases.settings import change_organization
from headroom.limits.usecases.thresholds import Announced
from headroom.payments.gateways.payments import PaymentUnknown
from headroom.payments.usecases.adjustments import Adjustment, AdjustmentKind, adjust
from headroom.payments.usecases.auto_reload import set_auto_reload
from headroom.payments.usecases.budget_changes import follow_budgets
from headroom.payments.usecases.confirmation import confirm_payment
from headroom.payments.usecases.maintenance import look_after, reload_marked
from headroom.payments.usecases.payment_events import apply_payment_event
from headroom.payments.usecases.top_ups import TopUp, top_up
from headroom.spending.domain.budget import Budget
from headroom.wallets.domain.reload import PaymentTerms
from headroom.wallets.domain.wallet import AutoReload
from tests.fake_payments import ASKING_CARD, DECLINING_CARD, GOOD_CARD, SLOW_CARD, FakePayments
from tests.purse import CENT
from tests.world import ADMISSIONS, World

CALLS = frozenset(
    {
        "create_customer",
        "save_payment_method",
        "find_payment_method",
        "charge",
        "find_payment",
        "find_charged",
        "confirm",
        "cancel",
        "refund",
    }
)
CEILING = 65 * CENT


class SteppingPayments:
    """The processor, each call of which is a step of the history; some replies are lost."""

    def __init__(self, world: WalletWorld) -> None:
        self._world = world

    def __getattr__(self, name: str) -> Any:
        world = self._world
        found = getattr(world.processor, name)
        if name not in CALLS:
            return found

        def made(*arguments: Any, **options: Any) -> Any:
            world.interleaving.step(f"payments.{name}")
            trouble = world.payment_trouble.random()
            if trouble < world.lost / 2:
                raise PaymentUnknown("lost on the way there")
            answer = found(*arguments, **options)
            world.interleaving.step(f"payments.{name} answers")
            if trouble < world.lost:
                raise PaymentUnknown("lost on the way back")
            return answer

        return made


class WalletWorld(World):
    """A Team organization; besides what members and owners do, its wallet is moved."""

    def __init__(self, seed: int, *, troubled: bool = False) -> None:
        self.payment_trouble = random.Random(seed + 3)
        self.lost = 0.2 if troubled else 0.0
        super().__init__(seed, troubled=troubled)
        self.processor = FakePayments(self.now)
        self.payments: Any = SteppingPayments(self)
        self.terms = PaymentTerms(
            10 * CENT, 100 * CENT, timedelta(seconds=self.chance.choice([0, 60]))
        )
        self.seen: list[Budget] = []
        self.top_ups = self.adjustments = 0
        self.cards: dict[int, str | None] = {}
        self.disputed = False
        if self.chance.random() < 0.7:
            with suppress(Overloaded):
                self._begin_with_a_card()
        self._intents_before = self.books().intents
        self.asked = 0
        self._pool_before = self.books().pool
        # How little was free at some instant since the wallet was last written.
        self._least_free = 0, 0

    def ask_reload(self, org_id: str) -> None:
        """Whoever crossed the threshold says so at once; sometimes that is lost."""
        assert org_id == self.org_id
        self.asked += 1
        self.outcomes["asked for a reload"] += 1

    @property
    def happenings(self) -> list[Callable[[], None]]:
        """What may happen, the more often the more times it is listed."""
        return (
            [self.authorize] * 12
            + [self.record] * 12
            + [self.release, self.extend, self.sweep]
            + [self.follow] * 3
            + [self.react] * 2
            + [self.answer] * 3
            + [self.look] * 2
            + [self.deliver] * 2
            + [self.buy] * self.chance.choice([0, 1, 2])
            + [self.set_reload] * self.chance.choice([0, 1])
            + [self.operate, self.refund, self.confirm]
            + [self.trouble] * 2
            + (self.changes if self.chance.random() < 0.3 else [])
        )

    def set_admission(self) -> None:
        """Here it is the wallet that stops everyone until a payment is made."""
        admission = self.chance.choice(ADMISSIONS)
        with self.promises.changing("organization"):
            change_organization(
                self.table,
                self.org_id,
                lambda old: replace(old, admission=admission),
                self.tick(),
                touches=lambda budget: True,
            )

    def follow(self) -> None:
        """The stream brings budgets, some of them late or a second time."""
        self.seen += self.books().all_budgets
        self.seen = self.seen[-20:]
        told = [each for each in self.seen if self.chance.random() < 0.7]
        follow_budgets(self.table, told, Announced(), self.tick())

    def react(self) -> None:
        """The stream brings the mark of a crossing, or an old one again."""
        credited = reload_marked(self.table, self.payments, self.org_id, self.tick(), self.terms)
        self.outcomes["reloads"] += credited

    def answer(self) -> None:
        """Whoever was asked for a look takes it, unless it got lost."""
        if self.asked:
            self.asked = 0
            if self.chance.random() < 0.8:
                self.react()

    def look(self) -> None:
        with self._owing():
            look_after(self.table, self.payments, self.org_id, self.tick(), self.terms)

    def deliver(self) -> None:
        """The processor tells something: any of all there is, so also late, early or again."""
        if not self.processor.deliveries:
            return
        delivery = self.chance.choice(self.processor.deliveries[-8:])
        signed_at = datetime.fromisoformat(delivery.signature.partition(",")[0])
        event = self.processor.read_event(delivery.payload, delivery.signature, signed_at)
        with self._owing(), suppress(PaymentUnknown):
            apply_payment_event(self.table, self.payments, event, self.tick(), self.terms)

    def buy(self) -> None:
        self.top_ups += self.chance.random() < 0.6
        number = self.top_ups
        amount = (10 + number % 5) * CENT
        cards = [GOOD_CARD, GOOD_CARD, None, DECLINING_CARD, ASKING_CARD, SLOW_CARD]
        card = self.cards.setdefault(number, self.chance.choice(cards))
        asked = TopUp(amount, card, f"top-{number}", f"{amount}|{card}")
        organization = self.books().organization
        try:
            with self._owing():
                answer = top_up(
                    self.table,
                    self.payments,
                    organization,
                    asked,
                    self.terms,
                    SYSTEM,
                    self.tick(),
                )
        except (SpendRefused, Conflict, InvalidRequest) as error:
            self.outcomes[f"not bought: {error.type}"] += 1
        else:
            self.outcomes[f"bought: {answer['status']}"] += 1

    def confirm(self) -> None:
        """Somebody leads the holder of a payment to their bank, or asks what became of it."""
        books = self.books()
        if not books.intents:
            return
        intent = self.chance.choice(books.intents)
        with self._owing():
            answer = confirm_payment(
                self.table,
                self.payments,
                books.organization,
                intent.intent_id,
                "https://headroom.example/settings/usage",
                self.tick(),
            )
        self.outcomes[f"confirmed: {answer['status']}"] += 1

    def set_reload(self) -> None:
        wanted = None
        if self.chance.random() < 0.8:
            threshold = self.chance.choice([0, 5, 20]) * CENT
            wanted = AutoReload(threshold, self.chance.choice([10, 30]) * CENT, CEILING)
        organization = self.books().organization
        set_auto_reload(self.table, organization, wanted, self.terms, SYSTEM, self.tick())

    def operate(self) -> None:
        self.adjustments += self.chance.random() < 0.7
        number = self.adjustments
        kind: AdjustmentKind = "promotional" if number % 3 else "adjustment"
        amount = (9 if number % 3 else -12) * CENT
        expires_at = (
            self.now + timedelta(minutes=self.chance.choice([1, 60])) if number % 3 else None
        )
        asked = Adjustment(
            f"adj-{number}", self.org_id, kind, amount, "ops", f"{number}", expires_at
        )
        self._adjust(asked)

    def refund(self) -> None:
        paid = [each for each in self.processor.payments.values() if each.state == "succeeded"]
        if paid:
            payment = self.chance.choice(paid)
            number = len(self.processor.calls)
            asked = Adjustment(
                f"ref-{number}",
                self.org_id,
                "refund",
                5 * CENT,
                "ops",
                f"{number}",
                payment_id=payment.payment_id,
            )
            self._adjust(asked)

    def trouble(self) -> None:
        """Something happens at the processor: holders act, dispute and win, somebody refunds."""
        self.tick()
        processor, chance = self.processor, self.chance
        waiting = [
            each
            for each in processor.payments.values()
            if each.state in ("needs_action", "processing")
        ]
        for payment in waiting:
            if chance.random() < 0.5:
                end = processor.settle if chance.random() < 0.7 else processor.fail
                end(payment.payment_id)
        wallet = self.books().wallet
        if wallet is not None and wallet.customer_id is not None and chance.random() < 0.5:
            # The holder changes the card in the processor's own pages.
            card = chance.choice([GOOD_CARD, DECLINING_CARD])
            processor.save_payment_method(wallet.customer_id, card)
        paid = [each for each in processor.payments.values() if each.state == "succeeded"]
        if paid and chance.random() < 0.4:
            payment = chance.choice(paid)
            self.disputed = True
            if payment.disputed_cents:
                processor.close_dispute(payment.payment_id, won=chance.random() < 0.6)
            elif payment.amount_cents - payment.refunded_cents > 10:
                processor.dispute(payment.payment_id, 5)
        elif paid and chance.random() < 0.3:
            payment = chance.choice(paid)
            if payment.amount_cents - payment.refunded_cents >= 10:
                processor.give_back(payment.payment_id, 4)
                self.disputed = True

    def pass_time(self) -> None:
        """No function lives so long that the processor forgets the key it is about to use."""
        before = self.now
        super().pass_time()
        if self.interleaving.running:
            self.now = min(self.now, before + timedelta(hours=2))

    def tick(self) -> datetime:
        now = super().tick()
        self.processor.now = self.now
        return now

    def check(self) -> None:
        super().check()
        books = self.books()
        self._check_trigger()
        if books.intents != self._intents_before:
            self._check_intents()
            self._intents_before = books.intents
        paid = Counter(each.key for each in self.processor.payments.values())
        assert not [key for key, count in paid.items() if count > 1], "charged twice"
        credited = Counter(
            entry.payment_id for entry in books.entries if entry.kind in ("purchase", "reload")
        )
        for payment_id, count in credited.items():
            assert count == 1, "credited twice"
            assert self.processor.payments[payment_id].state == "succeeded"

    def check_rest(self) -> None:
        super().check_rest()
        self.lost = 0
        for _ in range(4):
            self.now += timedelta(seconds=61)
            follow_budgets(self.table, self.books().all_budgets, Announced(), self.tick())
            look_after(self.table, self.payments, self.org_id, self.now, self.terms)
            for delivery in self.processor.deliveries:
                signed_at = datetime.fromisoformat(delivery.signature.partition(",")[0])
                event = self.processor.read_event(delivery.payload, delivery.signature, signed_at)
                apply_payment_event(self.table, self.payments, event, self.now, self.terms)
        self.check()
        books, wallet = self.books(), self.books().wallet
        assert wallet is not None
        bought = [each for each in books.entries if each.kind in ("purchase", "reload")]
        paid = [each for each in self.processor.payments.values() if each.state == "succeeded"]
        assert {each.payment_id for each in paid} == {each.payment_id for each in bought}
        assert not wallet.refunds
        waiting = [
            each
            for each in self.processor.payments.values()
            if each.state in ("needs_action", "processing")
        ]
        assert len(wallet.pending) <= len(waiting)
        taken = sum(each.disputed_cents + each.refunded_cents for each in paid) * CENT
        moved = -sum(each.amount for each in books.entries if each.kind in ("refund", "chargeback"))
        assert moved + sum(wallet.owed.values()) == taken, "not what the processor took back"
        assert books.organization.past_due == bool(wallet.owed)

    def _begin_with_a_card(self) -> None:
        """Most owners have bought once and let the wallet reload itself since."""
        lost, self.lost = self.lost, 0.0
        organization = self.books().organization
        asked = TopUp(10 * CENT, GOOD_CARD, "first", "first")
        top_up(self.table, self.payments, organization, asked, self.terms, SYSTEM, self.now)
        wanted = AutoReload(self.chance.choice([5, 20]) * CENT, 15 * CENT, CEILING)
        set_auto_reload(self.table, self.books().organization, wanted, self.terms, SYSTEM, self.now)
        self.lost = lost

    def _check_intents(self) -> None:
        """A reload is never early, never beside another one, and never above the ceiling."""
        books, wallet = self.books(), self.books().wallet
        assert wallet is not None
        known = {each.intent_id for each in self._intents_before}
        for intent in books.intents:
            if intent.kind == "reload" and intent.intent_id not in known:
                assert wallet.auto_reload is not None
                others = [each for each in wallet.pending if each.intent_id != intent.intent_id]
                arriving = replace(wallet, pending=tuple(others)).pending_total
                _, least = self._least_before
                assert least + arriving <= wallet.auto_reload.threshold, "a reload too early"
                assert intent.amount == wallet.auto_reload.amount
        assert len([each for each in wallet.pending if each.kind == "reload"]) <= 1
        by_month: Counter[str] = Counter()
        for intent in books.intents:
            charged = any(
                each.key == intent.key and each.state == "succeeded"
                for each in self.processor.payments.values()
            )
            may_be = intent.state not in ("declined", "voided") or intent.counted
            if intent.kind == "reload" and (charged or may_be):
                by_month[intent.month] += intent.amount
        assert all(total <= CEILING for total in by_month.values()), "above the ceiling"

    def _check_trigger(self) -> None:
        """No grant takes the pool to where a reload is due without asking for it in that write.

        A reload begins only if since the wallet was written before there was an instant at which
        what was free had reached the threshold.
        """
        books, before = self.books(), self._pool_before
        pool, wallet = books.pool, books.wallet
        if pool is not before:
            granted = pool.grants > before.grants and pool.funds < before.funds
            if granted and before.reload_at is not None and not before.reload_from_millis:
                asked = pool.reload_at is None
                assert asked == (pool.funds <= before.reload_at), "asked too early, or not at all"
                if asked:
                    assert wallet is not None
                    assert wallet.crossed
                    self.outcomes["crossed by a grant"] += 1
            self._pool_before = pool
        version = wallet.version if wallet else 0
        known, least = self._least_free
        self._least_before = self._least_free
        same = known == version
        self._least_free = version, min(least, books.free) if same else books.free

    def _adjust(self, asked: Adjustment) -> None:
        try:
            adjust(self.table, self.payments, asked, self.tick())
        except (Conflict, InvalidRequest, NotFound) as error:
            self.outcomes[f"not adjusted: {error.type}"] += 1
        else:
            self.outcomes[f"adjusted: {asked.kind}"] += 1

    @contextmanager
    def _owing(self) -> Iterator[None]:
        """What is owed stops spending, and what pays it lets it go on: a change of settings."""
        if not self.disputed:
            yield
            return
        with self.promises.changing("organization"):
            yield

    def _document(self, seed: int) -> dict[str, Any]:
        document = super()._document(seed)
        for tier in document["seat_tiers"].values():
            tier.pop("spend_limit", None)
            tier.pop("daily_spend_limit", None)
            if self.chance.random() < 0.6:
                tier["allowance"] = []
        document["plan"] = "team"
        document["wallet"] = {"balance": str(self.chance.randrange(40))}
        return document
