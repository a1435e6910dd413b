"""The naive way, done as well as it can be: one counter each for organization and member.

Every authorization moves both counters and writes a receipt in one transaction; every settlement
reads the receipt, moves both counters back by what was not used, closes the receipt and writes the
usage line in one transaction. It is exact. It prices, bounds and files lines by the same code as
the product, over the same table and client, so that only the protocol differs. Even the pauses
between its attempts are the product's: a fifth of them, or four times as long, made it slower.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pynamodb.attributes import UnicodeAttribute

from headroom.core.store.attributes import IntegerAttribute
from headroom.core.store.records import Record
from headroom.core.store.table import Key, Put, Refused, Table, Update
from headroom.pricing.domain.bounds import bound_request
from headroom.pricing.domain.usage import price
from headroom.pricing.price_book import PRICE_BOOK
from headroom.spending.store.ledger import UsageLine, put_line
from headroom.spending.usecases.authorizations import AuthorizationRequest
from headroom.spending.usecases.usage_events import UsageEvent


class CounterRecord(Record):
    """What is left under one limit."""

    remaining = IntegerAttribute()
    spent = IntegerAttribute()


class HoldRecord(Record):
    """The receipt of one authorization."""

    amount = IntegerAttribute()
    state = UnicodeAttribute()


@dataclass(frozen=True, slots=True)
class Naive:
    """An organization whose counters every request meets."""

    table: Table
    org_id: str

    def create(self, user_ids: list[str], limit_nanos: int) -> None:
        """Write the counters."""
        for key in (self._organization(), *(self._member(user_id) for user_id in user_ids)):
            record = CounterRecord(key.pk, key.sk, remaining=limit_nanos, spent=0)
            self.table.transact([Put(key, record.to_item())])

    def authorize(self, asked: AuthorizationRequest, now: datetime, entropy: bytes) -> str | None:
        """Hold the money and return the hold's id, None if it does not fit."""
        request = asked.request
        bound = bound_request(PRICE_BOOK, request, at=now)
        amount = bound.amount(request.max_tokens)
        hold_id = entropy.hex()
        hold = HoldRecord("", "", amount=amount, state="held")
        counters = (self._organization(), self._member(asked.user_id))
        try:
            self.table.transact(
                [
                    *(
                        Update(
                            key,
                            [CounterRecord.remaining.set(CounterRecord.remaining - amount)],
                            CounterRecord.remaining >= amount,
                        )
                        for key in counters
                    ),
                    Put(self._hold(hold_id), hold.to_item(), HoldRecord.pk.does_not_exist()),
                ]
            )
        except Refused:
            return None
        return hold_id

    def record(self, hold_id: str, event: UsageEvent, now: datetime) -> bool:
        """Replace the hold by the real cost; False if that was done before."""
        priced = price(event.usage, book=PRICE_BOOK, model=event.model, at=event.occurred_at)
        cost = priced.amount_nanos
        item = self.table.get(self._hold(hold_id))
        assert item is not None, "a hold that is settled was authorized"
        rest = HoldRecord.of(item).amount - cost
        line = put_line(
            UsageLine(
                org_id=self.org_id,
                user_id=event.user_id,
                event_id=event.event_id,
                authorization_id=hold_id,
                digest=event.digest,
                model=priced.model,
                model_named=event.model,
                product=event.product,
                seat_tier="standard",
                source="extra_usage",
                because=None,
                cost=cost,
                charged=cost,
                unbilled=0,
                period="2026-11",
                occurred_at=event.occurred_at,
                recorded_at=now,
                priced=priced,
                usage=event.raw_usage,
            )
        )
        counters = (self._organization(), self._member(event.user_id))
        try:
            self.table.transact(
                [
                    *(
                        Update(
                            key,
                            [
                                CounterRecord.remaining.set(CounterRecord.remaining + rest),
                                CounterRecord.spent.set(CounterRecord.spent + cost),
                            ],
                            CounterRecord.pk.exists(),
                        )
                        for key in counters
                    ),
                    Update(
                        self._hold(hold_id),
                        [HoldRecord.state.set("settled")],
                        HoldRecord.state == "held",
                    ),
                    line,
                ]
            )
        except Refused:
            return False
        return True

    def _organization(self) -> Key:
        return Key(f"NAIVE#{self.org_id}", "COUNTER")

    def _member(self, user_id: str) -> Key:
        return Key(f"NAIVE#{self.org_id}#{user_id}", "COUNTER")

    def _hold(self, hold_id: str) -> Key:
        return Key(f"NAIVE#{self.org_id}#HOLD#{hold_id}", "HOLD")
