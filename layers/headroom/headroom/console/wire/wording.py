"""What an order does, in the words in which an operator is asked and told."""

from __future__ import annotations

from headroom.console.usecases.operations import Inspection, Order
from headroom.console.wire.orders import SCOPES
from headroom.core.domain.money import format_amount


def sentence(order: Order, present: int | None) -> str:
    """Return what is about to be done; `present` is the limit that is set now."""
    if order.act == "pause":
        return f"Pause extra usage of {order.org_id}."
    if order.act == "resume":
        return f"Let extra usage of {order.org_id} go on."
    if order.act == "retry_reload":
        return f"Let the wallet of {order.org_id} reload itself again."
    if order.act == "rerun_close":
        return f"Close {order.period} of {order.org_id} now."
    if order.act == "set_tax":
        return f"{order.org_id}: levy {_tax(order)} on its invoices."
    assert order.place is not None, "an order for a limit says whose"
    named = order.place.scope_id or order.place.scope_type
    return (
        f"{order.org_id}: set {SCOPES.get(named, SCOPES['user'])} "
        f"{f'({named}) ' if order.place.scope_type == 'user' else ''}"
        f"from {dollars(present) or 'unlimited'} to {dollars(order.amount_nanos) or 'unlimited'}"
        " USD a month."
    )


def consequence(order: Order, inspection: Inspection) -> str:
    """Return what follows from it."""
    if order.act == "pause":
        return "Nothing new starts from the moment it is done. Holds in flight may settle."
    if order.act == "resume":
        return "Members may spend again, within every limit."
    if order.act == "retry_reload":
        return (
            "If the balance is at its threshold, the card is charged, also one that was declined. "
            "The monthly ceiling holds."
        )
    if order.act == "rerun_close":
        return "What earlier runs did is found done; there is one invoice."
    if order.act == "set_tax":
        return "It holds for the running month's invoice, and for every one after it."
    amount, totals = order.amount_nanos, inspection.totals
    if order.place is not None and order.place.scope_type != "organization":
        return "Whoever has spent as much already starts nothing new this month."
    if amount is not None and amount <= totals.spent + totals.held:
        return (
            f"{dollars(totals.spent)} USD are spent and {dollars(totals.held)} USD are held "
            "already: nothing new starts this month."
        )
    return "It holds for the running month at once, and for every month after it."


def outcome(order: Order) -> str:
    """Return what was done."""
    return {
        "retry_reload": "The wallet is looked at again at once, and reloads itself if it is low.",
        "rerun_close": f"The close of {order.period} is due now: the next run takes it up.",
        "pause": "Extra usage is paused.",
        "resume": "Extra usage is on.",
        "set_limit": f"The limit is {_limit(order)}.",
        "set_tax": f"Its invoices have {_tax(order)}.",
    }[order.act]


def dollars(nanos: int | None) -> str:
    """Print an amount exactly, in dollars; nothing for None."""
    if nanos is None:
        return ""
    cents, _, rest = format_amount(abs(nanos)).partition(".")
    units, hundredths = divmod(int(cents), 100)
    return f"{'-' if nanos < 0 else ''}{units:,}.{hundredths:02d}{rest}"


def _tax(order: Order) -> str:
    return f"{order.tax.name} at a rate of {order.tax.rate}" if order.tax else "no tax"


def _limit(order: Order) -> str:
    return f"{dollars(order.amount_nanos)} USD" if order.amount_nanos is not None else "unlimited"
