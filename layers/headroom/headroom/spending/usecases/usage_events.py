"""Usage events: recorded once, to settle a hold, be charged on arrival, or stay unbilled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, cast

from headroom.core.domain.money import format_amount
from headroom.core.domain.periods import period_of, time_zone
from headroom.core.errors import Conflict, HeadroomError, InvalidRequest, NotFound, Overloaded
from headroom.core.store.table import Contended, Put, Refused, Table
from headroom.organizations.domain.organization import Organization, SeatTier, format_duration
from headroom.organizations.store.organizations import find_member
from headroom.pricing.domain.prices import Unpriceable
from headroom.pricing.domain.usage import AskedSpeed, PricedUsage, Usage, asks_for_speed, price
from headroom.pricing.price_book import PRICE_BOOK
from headroom.spending.domain.allotment import Claim, Refusal
from headroom.spending.domain.authorization import AuthorizationId, Source
from headroom.spending.domain.budget import Budget
from headroom.spending.store.budgets import (
    Spending,
    as_charge,
    as_overrun,
    find_budget,
    record_unbilled,
)
from headroom.spending.store.ledger import UsageLine, find_line, put_line
from headroom.spending.store.line_record import LineRecord
from headroom.spending.store.unpriced import UNPRICED, UnpricedEvent, put_unpriced
from headroom.spending.usecases.empty_wallet import seek_help
from headroom.spending.usecases.grants import AlreadyDone, Hints, acquire, bring_up_to_date
from headroom.spending.usecases.settlement import (
    ATTEMPTS_MAX,
    Found,
    close_hold,
    find_hold,
    settle_at_once,
)
from headroom.wallets.gateways.reloads import AskReload, ask_nobody

# How far the clock of the process that took a hold may be ahead of ours.
CLOCK_SKEW_MAX: Final = timedelta(minutes=5)
# The note of a line whose hold was gone when the event came, or whose period was.
LATE: Final = "late"


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """What a client says was used. `digest` is the hash of the event as it was sent.

    `unpriced` is why its usage has no price, if that can be told without looking one up; then
    nothing is in `usage`.
    """

    event_id: str
    user_id: str
    authorization_id: str | None
    model: str
    product: str | None
    occurred_at: datetime
    usage: Usage
    raw_usage: dict[str, Any]
    digest: str
    stop_reason: str | None = None
    as_sent: Mapping[str, Any] = field(default_factory=dict)
    unpriced: Unpriceable | None = None


@dataclass(frozen=True, slots=True)
class _Filing:
    """One event on its way into the ledger."""

    organization: Organization
    event: UsageEvent
    priced: PricedUsage
    now: datetime
    ask_reload: AskReload

    @property
    def cost(self) -> int:
        return self.priced.amount_nanos

    def line(
        self,
        *,
        source: str,
        seat_tier: SeatTier,
        period: str,
        exhausted_minutes: int,
        charged: int,
        unbilled: int,
        notes: tuple[str, ...] = (),
    ) -> Put:
        event = self.event
        return put_line(
            UsageLine(
                org_id=self.organization.org_id,
                user_id=event.user_id,
                event_id=event.event_id,
                authorization_id=event.authorization_id,
                digest=event.digest,
                model=self.priced.model,
                model_named=event.model,
                product=event.product,
                seat_tier=seat_tier,
                source=source,
                because=None if source == "included" else _because(exhausted_minutes),
                cost=self.cost,
                charged=0 if source == "included" else charged,
                unbilled=0 if source == "included" else unbilled,
                period=period,
                occurred_at=event.occurred_at,
                recorded_at=self.now,
                priced=replace(self.priced, notes=(*self.priced.notes, *notes)),
                usage=event.raw_usage,
            )
        )

    def line_in(self, budget: Budget, source: str, charged: int, unbilled: int, *notes: str) -> Put:
        return self.line(
            source=source,
            seat_tier=budget.seat_tier,
            period=budget.period,
            exhausted_minutes=budget.exhausted_minutes,
            charged=charged,
            unbilled=unbilled,
            notes=notes,
        )

    def line_on_arrival(self, budget: Budget, source: str, unbilled_for: str = "") -> Put:
        """Return the line of usage that nothing is held for, which says so if something was."""
        zone = time_zone(self.organization.time_zone)
        is_late = (
            self.event.authorization_id is not None
            or period_of(self.event.occurred_at, zone) < budget.period
        )
        notes = [LATE] if is_late else []
        if unbilled_for:
            notes.append(f"unbilled:{unbilled_for}")
        charged, unbilled = (0, self.cost) if unbilled_for else (self.cost, 0)
        return self.line_in(budget, source, charged, unbilled, *notes)


class _Moved(Exception):
    """The hold changed while we looked; look again."""


def record(
    table: Table,
    hints: Hints,
    organization: Organization,
    event: UsageEvent,
    now: datetime,
    *,
    ask_reload: AskReload = ask_nobody,
) -> dict[str, Any]:
    """Record one usage event and return its result, as the wire has it.

    Usage that has no price is kept as unpriced, until it is sent again, or tried again, when it
    has one; its hold is left to be settled or to expire. A second delivery finds the line of the
    first. An event that is wrong in itself is rejected with its error, and spoils nothing else.

    Raises:
        Overloaded: the store could not decide; nothing was recorded, and a retry is safe.
    """
    try:
        return _record(table, hints, organization, event, now, ask_reload)
    except Contended as error:
        raise Overloaded("others are on this budget; try again") from error
    except Overloaded:
        raise
    except HeadroomError as error:
        return rejected(event.event_id, error)


def rejected(event_id: object, error: HeadroomError) -> dict[str, Any]:
    """Return the result of an event that cannot be recorded."""
    return {
        "type": "usage_event",
        "id": event_id,
        "status": "rejected",
        "error": {"type": error.type, "message": str(error)},
    }


def _record(
    table: Table,
    hints: Hints,
    organization: Organization,
    event: UsageEvent,
    now: datetime,
    ask_reload: AskReload,
) -> dict[str, Any]:
    authorization = None
    at = event.occurred_at
    if event.authorization_id is not None:
        authorization = AuthorizationId.parse(event.authorization_id, org_id=organization.org_id)
        if authorization.user_id != event.user_id:
            raise InvalidRequest("user_id", "is not the member who was given this authorization")
        if authorization.taken_at > now + CLOCK_SKEW_MAX:
            # Made up, so that tomorrow's price is charged.
            raise NotFound("authorization: there is none with this id")
        # The hold was bounded from its own moment on; a client's clock may be behind ours.
        at = max(at, authorization.taken_at)
    try:
        if event.unpriced is not None:
            raise event.unpriced
        model = organization.pricing.model_meant(event.model)
        asked = None
        if authorization is not None and asks_for_speed(event.usage, book=PRICE_BOOK, model=model):
            asked = _asked_speed(table, organization, authorization)
        priced = price(
            event.usage,
            book=PRICE_BOOK,
            model=model,
            at=at,
            contract=organization.contract,
            refused=event.stop_reason == "refusal",
            asked=asked,
        )
    except Unpriceable as error:
        return _keep_unpriced(table, organization, event, error, now)
    filing = _Filing(organization, event, priced, now, ask_reload)
    if authorization is not None:
        result = _settle(table, filing, authorization)
        if result is not None:
            return result
    return _charge_on_arrival(table, hints, filing)


def _asked_speed(
    table: Table, organization: Organization, authorization: AuthorizationId
) -> AskedSpeed | None:
    """Return at which speed a request was asked for, None if its hold does not stand any more."""
    found = find_hold(table, authorization)
    if found is None or found.hold.request is None:
        return None
    request = found.hold.request
    return AskedSpeed(
        request.speed,
        tuple(
            (organization.pricing.model_meant(each.model), each.speed) for each in request.fallbacks
        ),
    )


def _settle(table: Table, filing: _Filing, authorization: AuthorizationId) -> dict[str, Any] | None:
    """Replace a hold by the real cost; None if there is no such hold any more."""
    source = authorization.source

    def line_of(charged: int, unbilled: int) -> Put:
        return filing.line(
            source=source,
            seat_tier=authorization.seat_tier,
            period=authorization.period,
            exhausted_minutes=authorization.exhausted_minutes,
            charged=charged,
            unbilled=unbilled,
        )

    fits = filing.cost <= authorization.amount_nanos or source == "included"
    if fits:
        try:
            settle_at_once(table, authorization, filing.cost, line_of)
        except Refused:
            pass
        else:
            return _result(filing, source, filing.cost, 0, authorization.period)
    for _ in range(ATTEMPTS_MAX):
        if duplicate := _duplicate(table, filing):
            return duplicate
        found = find_hold(table, authorization)
        if found is None:
            return None
        hold = found.hold
        excess = filing.cost - hold.amount_nanos if source == "extra_usage" else 0
        try:
            if excess > 0 and not found.is_past and _overrun(table, filing, found):
                return _result(filing, source, filing.cost, 0, authorization.period)
            close_hold(table, found, cost=filing.cost, line_of=line_of)
        except (Refused, _Moved, AlreadyDone):
            continue
        unbilled = max(excess, 0)
        return _result(filing, source, filing.cost - unbilled, unbilled, authorization.period)
    raise Contended


def _overrun(table: Table, filing: _Filing, found: Found) -> bool:
    """Charge what was used beyond the hold as well, if every limit allows it."""
    hold = found.hold
    excess = filing.cost - hold.amount_nanos

    def spending_of(source: Source, budget: Budget, epoch: int, amount: int) -> Spending:
        if budget.holds.get(hold.key) != hold or source != hold.source:
            raise _Moved
        line = filing.line_in(budget, source, filing.cost, 0)
        return as_overrun(hold, filing.cost, line)

    if found.current.included_left > 0:
        # The seat has something left again, but an event has one source: the excess is unbilled.
        return False
    claim = Claim(
        excess, lambda left: excess if excess <= left else 0, chooses=True, has_happened=True
    )
    outcome = acquire(
        table,
        Hints(),
        filing.organization.org_id,
        filing.event.user_id,
        claim,
        spending_of,
        filing.now,
        ask_reload=filing.ask_reload,
    )
    if isinstance(outcome, Refusal) and outcome.retryable:
        raise Contended
    return not isinstance(outcome, Refusal)


def _charge_on_arrival(table: Table, hints: Hints, filing: _Filing) -> dict[str, Any]:
    """Charge usage that nothing was held for; what does not fit is kept, and never charged."""
    if duplicate := _duplicate(table, filing):
        return duplicate
    cost, org_id, user_id = filing.cost, filing.organization.org_id, filing.event.user_id
    taken: tuple[str, str] | None = None

    def spending_of(source: Source, budget: Budget, epoch: int, amount: int) -> Spending:
        nonlocal taken
        taken = source, budget.period
        return as_charge(cost, source, filing.line_on_arrival(budget, source))

    if not cost:
        return _file_free(table, filing)
    claim = Claim(cost, lambda left: cost if cost <= left else 0, has_happened=True)
    for _ in range(ATTEMPTS_MAX):
        try:
            outcome = acquire(
                table,
                hints,
                org_id,
                user_id,
                claim,
                spending_of,
                filing.now,
                ask_reload=filing.ask_reload,
            )
        except AlreadyDone:
            duplicate = _duplicate(table, filing)
            assert duplicate is not None, "the line that refused the write exists"
            return duplicate
        if not isinstance(outcome, Refusal):
            assert taken is not None, "what was taken was written"
            return _result(filing, taken[0], cost, 0, taken[1])
        if outcome.retryable:
            raise Contended
        if outcome.reason == "wallet_empty":
            seek_help(table, filing.organization, filing.now, filing.ask_reload)
        budget = find_budget(table, org_id, user_id)
        assert budget is not None, "a refusal looked at the budget"
        line = filing.line_on_arrival(budget, "unbilled", outcome.reason)
        try:
            record_unbilled(table, budget, cost, line)
        except Refused:
            # The period ended, or a second delivery was faster: look again.
            if duplicate := _duplicate(table, filing):
                return duplicate
            continue
        return _result(filing, "unbilled", 0, cost, budget.period)
    raise Contended


def _file_free(table: Table, filing: _Filing) -> dict[str, Any]:
    """File usage that costs nothing: it is within any allowance, and moves no counter.

    Only in the period that runs: others may be closed.
    """
    org_id, user_id = filing.organization.org_id, filing.event.user_id
    for _ in range(ATTEMPTS_MAX):
        budget = bring_up_to_date(table, org_id, user_id, filing.now)
        try:
            record_unbilled(table, budget, 0, filing.line_on_arrival(budget, "included"))
        except Refused:
            if duplicate := _duplicate(table, filing):
                return duplicate
            continue
        return _result(filing, "included", 0, 0, budget.period)
    raise Contended


def _keep_unpriced(
    table: Table,
    organization: Organization,
    event: UsageEvent,
    reason: Unpriceable,
    now: datetime,
) -> dict[str, Any]:
    """Keep usage that has no price, and move no money, until it has one."""
    org_id = organization.org_id
    if find_member(table, org_id, event.user_id) is None:
        raise NotFound(f"user_id: the organization has no member {event.user_id}")
    unpriced = UnpricedEvent(
        org_id=org_id,
        event_id=event.event_id,
        user_id=event.user_id,
        authorization_id=event.authorization_id,
        digest=event.digest,
        model=event.model,
        product=event.product,
        occurred_at=event.occurred_at,
        recorded_at=now,
        usage=event.raw_usage,
        as_sent=dict(event.as_sent),
        field=reason.field,
        message=str(reason),
    )
    try:
        table.transact([put_unpriced(unpriced)])
    except Refused:
        line = _line_of(table, org_id, event)
        assert line is not None, "the line that refused the write exists"
        return _result_of(line)
    return _unpriced(event.event_id, "recorded", reason.field, str(reason))


def _duplicate(table: Table, filing: _Filing) -> dict[str, Any] | None:
    line = _line_of(table, filing.organization.org_id, filing.event)
    # One without a price is not done yet: this line takes its place.
    return None if line is None or line.source == UNPRICED else _result_of(line)


def _line_of(table: Table, org_id: str, event: UsageEvent) -> LineRecord | None:
    line = find_line(table, org_id, event.event_id)
    if line is not None and line.digest != event.digest:
        raise Conflict("id: an event with this id was recorded with another content")
    return line


def _result_of(line: LineRecord) -> dict[str, Any]:
    if line.source == UNPRICED:
        return _unpriced(line.event_id, "duplicate", *cast("list[str]", line.unpriced))
    amount = line.cost if line.source in ("included", "unbilled") else line.charged
    return _wire(line.event_id, "duplicate", line.source, amount, line.unbilled, line.period)


def _result(
    filing: _Filing, source: str, charged: int, unbilled: int, period: str
) -> dict[str, Any]:
    amount = filing.cost if source in ("included", "unbilled") else charged
    return _wire(filing.event.event_id, "recorded", source, amount, unbilled, period)


def _unpriced(event_id: str, status: str, field_: str, message: str) -> dict[str, Any]:
    return {
        "type": "usage_event",
        "id": event_id,
        "status": status,
        "source": UNPRICED,
        "amount": format_amount(0),
        "period": None,
        "unpriced": {"field": field_, "message": message},
    }


def _wire(
    event_id: str, status: str, source: str, amount: int, unbilled: int, period: str
) -> dict[str, Any]:
    result: dict[str, Any] = {
        "type": "usage_event",
        "id": event_id,
        "status": status,
        "source": source,
        "amount": format_amount(amount),
        "period": period,
    }
    if unbilled and source == "extra_usage":
        result["unbilled"] = format_amount(unbilled)
    return result


def _because(exhausted_minutes: int) -> str:
    if not exhausted_minutes:
        return "no_included_allowance"
    return f"included_window_exhausted:{format_duration(exhausted_minutes)}"
