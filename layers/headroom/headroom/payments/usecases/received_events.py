"""Events of the payment processor: stored before they are acted on, and acted on until it works."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from headroom.core.errors import Overloaded
from headroom.core.store.table import Contended, Table
from headroom.payments.gateways.payments import PaymentUnknown
from headroom.payments.store.payment_events import (
    close_event,
    postpone_event,
    store_event,
    unfinished_events,
)
from headroom.wallets.domain.payments import PaymentEvent

# Brings a wallet to what an event is about. It may be asked twice, and by two at once.
Act = Callable[[PaymentEvent, datetime], object]

# What may be otherwise a little later; anything else that goes wrong is a bug.
PASSING = (PaymentUnknown, Overloaded, Contended)


def receive(table: Table, event: PaymentEvent, act: Act, now: datetime) -> bool:
    """Store an event and act on it; tell whether there was anything to do.

    Whatever goes wrong after it was stored, the processor's repetition or `finish` acts again.

    Raises:
        PaymentUnknown, Overloaded, Contended: it was not acted on yet.
    """
    if event.kind == "other" or not store_event(table, event, now):
        return False
    act(event, now)
    close_event(table, event.event_id, now)
    return True


def finish(table: Table, act: Act, now: datetime, may_go_on: Callable[[], bool]) -> tuple[int, int]:
    """Act on the events that are stored and due; return how many succeeded, and failed again.

    Each is postponed before it is acted on, so that one that fails, whatever the reason, does not
    keep the others waiting. Repeating this, or running two at once, is harmless.
    """
    acted = failed = 0
    for event, attempts in unfinished_events(table, now):
        if not may_go_on():
            break
        postpone_event(table, event.event_id, attempts, now)
        try:
            act(event, now)
        except PASSING:
            failed += 1
        else:
            close_event(table, event.event_id, now)
            acted += 1
    return acted, failed
