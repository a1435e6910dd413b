"""A Team organization with a wallet, a payment processor, and what must be true of both."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from headroom.core.domain.actor import Actor
from headroom.core.errors import Overloaded, SpendRefused
from headroom.core.store.table import Table
from headroom.limits.usecases.thresholds import Announced
from headroom.organizations.domain.organization import Organization
from headroom.organizations.store.organizations import find_organization, find_pool
from headroom.payments.usecases.auto_reload import reload_while_due, set_auto_reload
from headroom.payments.usecases.budget_changes import follow_budgets
from headroom.payments.usecases.maintenance import look_after
from headroom.payments.usecases.payment_events import apply_payment_event
from headroom.payments.usecases.top_ups import TopUp, top_up
from headroom.provisioning.usecases.provisioning import provision
from headroom.provisioning.wire.provisioning import parse_provisioning
from headroom.spending.domain.budget import Budget
from headroom.spending.store.budget_record import read_budget
from headroom.spending.usecases.authorizations import authorize, release
from headroom.spending.usecases.grants import Hints
from headroom.spending.usecases.usage_events import record
from headroom.spending.wire.authorizations import parse_authorization_request
from headroom.spending.wire.usage_events import parse_event
from headroom.wallets.domain.reload import PaymentTerms
from headroom.wallets.domain.wallet import AutoReload, Wallet
from headroom.wallets.store.intents import Intent, list_intents
from headroom.wallets.store.records import WalletEntryRecord
from headroom.wallets.store.wallets import find_wallet, list_wallet_entries
from tests.fake_payments import GOOD_CARD, FakePayments
from tests.memory_table import MemoryTable

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
CENT = 10_000_000
MODEL = "claude-sonnet-4-5"
# A token of output costs 15,000 nanos at this model, so a cent is not a whole number of them.
TOKEN_NANOS = 15_000
OWNER = Actor("user", "user_olga")
TERMS = PaymentTerms(least=500 * CENT, most=100_000 * CENT, cool_down=timedelta(seconds=60))


class Purse:
    """The organization; its clock moves only when a test moves it."""

    def __init__(
        self,
        *,
        opening: int = 1000,
        members: int = 2,
        table: MemoryTable | None = None,
        name: str = "purse",
        terms: PaymentTerms = TERMS,
    ) -> None:
        self.table = table or MemoryTable()
        self.now = NOW
        self.terms = terms
        self.payments = FakePayments(NOW)
        self.user_ids = [f"user_{number:03d}" for number in range(members)]
        self.events = self.holds = 0
        # Organizations for which a look at the wallet was asked, at once.
        self.asked: list[str] = []
        self.ask_reload: Callable[[str], None] = self.asked.append
        document: dict[str, Any] = {
            "id": name,
            "plan": "team",
            "name": "Purse",
            "extra_usage": {"enabled": True},
            "spend_limit": None,
            "members": [
                {
                    "user_id": user_id,
                    "name": user_id,
                    "email": f"{user_id}@purse.example",
                    "continue_with_extra_usage": True,
                }
                for user_id in self.user_ids
            ],
            "wallet": {"balance": str(opening)},
        }
        self.org_id: str = provision(self.table, parse_provisioning(document), NOW)["id"]

    @property
    def organization(self) -> Organization:
        found = find_organization(self.table, self.org_id)
        assert found is not None
        return found

    @property
    def wallet(self) -> Wallet:
        found = find_wallet(self.table, self.org_id)
        assert found is not None
        return found

    @property
    def balance(self) -> int:
        """What is not spent, wherever it is."""
        budgets = self.budgets()
        return find_pool(self.table, self.org_id).funds + sum(
            budget.allotment + budget.held for budget in budgets
        )

    def wait(self, **span: float) -> None:
        """Let time pass, here and at the processor."""
        self.now += timedelta(**span)
        self.payments.now = self.now

    def budgets(self) -> list[Budget]:
        return [
            read_budget(item, self.org_id, key.pk.rpartition("#")[2])
            for key, item in list(self.table.items.items())
            if key.sk.partition("#")[0] == "BUDGET"
        ]

    def intents(self) -> list[Intent]:
        return list(list_intents(self.table, self.org_id))

    def entries(self) -> list[WalletEntryRecord]:
        return list(list_wallet_entries(self.table, self.org_id))

    def kinds(self) -> list[str]:
        return [entry.kind for entry in self.entries()]

    def told(self, detail_type: str) -> list[Any]:
        return [
            item
            for item in self.table.items.values()
            if item.get("detail_type") == {"S": detail_type}
        ]

    # What members do.

    def hold(self, cents: int, user: int = 0) -> str:
        """Hold at least so many cents, to the next token."""
        self.holds += 1
        body = {
            "user_id": self.user_ids[user],
            "model": MODEL,
            "input_tokens": 0,
            "max_tokens": -(-cents * CENT // TOKEN_NANOS),
        }
        answer = authorize(
            self.table,
            Hints(),
            self.organization,
            parse_authorization_request(body),
            self.now,
            entropy=self.holds.to_bytes(6),
            ask_reload=self.ask_reload,
        )
        return str(answer["id"])

    def settle(self, authorization_id: str, cents: int, user: int = 0) -> None:
        self.events += 1
        event = {
            "id": f"event-{self.events}",
            "authorization_id": authorization_id,
            "user_id": self.user_ids[user],
            "model": MODEL,
            "occurred_at": self.now.isoformat(),
            "usage": {"input_tokens": 0, "output_tokens": -(-cents * CENT // TOKEN_NANOS)},
        }
        told = record(
            self.table,
            Hints(),
            self.organization,
            parse_event(event, self.now),
            self.now,
            ask_reload=self.ask_reload,
        )
        assert told["status"] == "recorded", told

    def spend(self, cents: int, user: int = 0) -> None:
        """Spend so many cents, to the next token."""
        self.settle(self.hold(cents, user), cents, user)

    def release(self, authorization_id: str) -> None:
        release(self.table, self.org_id, authorization_id)

    @property
    def free(self) -> int:
        """What somebody could still spend: what is held is not free."""
        budgets = self.budgets()
        return find_pool(self.table, self.org_id).funds + sum(each.allotment for each in budgets)

    def refused(self, cents: int, user: int = 0) -> SpendRefused:
        """The refusal of so much."""
        try:
            self.hold(cents, user)
        except SpendRefused as refused:
            return refused
        raise AssertionError("it was held")

    def refusal(self, cents: int, user: int = 0) -> dict[str, Any] | None:
        """Why so much is not held, None if it is."""
        try:
            self.hold(cents, user)
        except SpendRefused as refused:
            return refused.facts
        return None

    # What happens behind them.

    def follow(self, table: Table | None = None) -> None:
        """As if the stream brought all budgets as they are now."""
        follow_budgets(table or self.table, self.budgets(), Announced(), self.now)

    def reload(self) -> int:
        return reload_while_due(self.table, self.payments, self.organization, self.now, self.terms)

    def look(self) -> int:
        return look_after(self.table, self.payments, self.org_id, self.now, self.terms)

    def deliver(self, *numbers: int) -> None:
        """Deliver these of the processor's events, all of them in their order if none is said."""
        for number in numbers or range(len(self.payments.deliveries)):
            delivery = self.payments.deliveries[number]
            # However late it is delivered: the processor signs it anew each time.
            signed_at = datetime.fromisoformat(delivery.signature.partition(",")[0])
            event = self.payments.read_event(delivery.payload, delivery.signature, signed_at)
            apply_payment_event(self.table, self.payments, event, self.now, self.terms)

    # What owners do.

    def top_up(
        self, cents: int, key: str = "k", card: str | None = GOOD_CARD, *, table: Any = None
    ) -> dict[str, Any]:
        asked = TopUp(cents * CENT, card, key, f"{cents}|{card}")
        return top_up(
            table or self.table,
            self.payments,
            self.organization,
            asked,
            self.terms,
            OWNER,
            self.now,
        )

    def auto_reload(
        self, threshold: int = 500, amount: int = 2000, limit: int | None = None
    ) -> None:
        wanted = AutoReload(
            threshold * CENT, amount * CENT, None if limit is None else limit * CENT
        )
        set_auto_reload(self.table, self.organization, wanted, self.terms, OWNER, self.now)

    def auto_reload_off(self) -> None:
        set_auto_reload(self.table, self.organization, None, self.terms, OWNER, self.now)

    def until_done(self, work: Any, attempts: int = 5) -> Any:
        """Do something until others do not overtake it any more."""
        for _ in range(attempts):
            try:
                return work()
            except Overloaded:
                continue
        raise AssertionError("overloaded every time")

    # What must be true.

    def prove(self) -> None:
        """Entries = balance of the wallet = lots; all money is accounted for, and paid once."""
        wallet, entries = self.wallet, self.entries()
        assert sum(entry.amount for entry in entries) == wallet.total
        assert all(lot.remaining > 0 for lot in wallet.lots)
        running = 0
        for entry in entries:
            running += entry.amount
            assert entry.balance == running >= 0
        booked = -sum(entry.amount for entry in entries if entry.kind == "usage")
        assert booked == sum(wallet.booked.values())
        budgets, pool = self.budgets(), find_pool(self.table, self.org_id)
        outside = sum(budget.allotment + budget.held + budget.spent for budget in budgets)
        assert pool.funds >= 0
        assert pool.funds + outside == wallet.given
        assert self.balance == wallet.total - (sum(budget.spent for budget in budgets) - booked)
        bought = [entry for entry in entries if entry.kind in ("purchase", "reload")]
        paid = {
            payment.payment_id: payment.amount_cents * CENT
            for payment in self.payments.payments.values()
            if payment.state == "succeeded"
        }
        credited = {entry.payment_id: entry.amount for entry in bought}
        assert len(credited) == len(bought), "a payment was credited twice"
        assert credited.items() <= paid.items(), "what was credited was not paid"

    def prove_all_paid(self) -> None:
        """Besides, everything that was paid is credited and nothing is under way."""
        self.prove()
        paid = [each for each in self.payments.payments.values() if each.state == "succeeded"]
        bought = [entry for entry in self.entries() if entry.kind in ("purchase", "reload")]
        assert len(paid) == len(bought)
        assert not self.wallet.pending
