"""Authorizations: hold the money before a request, prolong or enlarge the hold, let it go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import ceil
from typing import Any, Final

from headroom.core.domain.instants import from_millis, to_millis, to_wire
from headroom.core.domain.money import format_amount
from headroom.core.domain.periods import day_bounds, day_of
from headroom.core.errors import Conflict, Overloaded, SpendRefused
from headroom.core.store import keys
from headroom.core.store.receipts import RECEIPT_LASTS, Receipt, find_receipt, put_receipt
from headroom.core.store.table import Change, Contended, Refused, Table
from headroom.organizations.domain.organization import Organization
from headroom.pricing.domain.bounds import HOLD_LIFE_MAX, RequestBound, bound_request, inexact_of
from headroom.pricing.domain.requests import HoldRequest
from headroom.pricing.price_book import PRICE_BOOK
from headroom.spending.domain.allotment import (
    NEXT_STEPS,
    Claim,
    Reason,
    Refusal,
    limit_resets_at,
    limit_used,
)
from headroom.spending.domain.answers import FirstAnswer, entropy_of, note, place_of, request_of
from headroom.spending.domain.authorization import (
    AuthorizationId,
    Hold,
    Source,
    file_as,
    hold_key,
    read_filed_as,
)
from headroom.spending.domain.budget import Budget
from headroom.spending.store.budgets import (
    Spending,
    as_enlargement,
    as_hold,
    look_sooner,
    prolong,
)
from headroom.spending.usecases.empty_wallet import seek_help
from headroom.spending.usecases.expiry import LOOK_EVERY
from headroom.spending.usecases.grants import AlreadyDone, Hints, acquire, see_nothing
from headroom.spending.usecases.settlement import ATTEMPTS_MAX, find_hold
from headroom.spending.usecases.settlement import release as release_hold
from headroom.wallets.domain.reload import OWING_STEPS
from headroom.wallets.gateways.reloads import AskReload, ask_nobody
from headroom.wallets.usecases.empty_wallet import Outlook, reload_to_wire

# A refusal that nothing but a person can lift still says when asking again is not too soon.
RETRY_AFTER_SECONDS: Final = 3600
# So long after an upgrade the release before may still run beside this one, or be taken back to.
RELEASES_OVERLAP: Final = timedelta(hours=1)
# A payment that somebody makes by hand is there, or known not to come, after about so long.
PAYMENT_SECONDS: Final = 60

MESSAGES: Final[dict[Reason, str]] = {
    "included_limit_reached": "the usage included in the seat is spent, and the member has not "
    "chosen to continue with extra usage",
    "extra_usage_disabled": "extra usage is not enabled for this organization",
    "member_not_enabled": "extra usage is not enabled for this member",
    "organization_limit_reached": "the request does not fit the organization's spend limit",
    "seat_tier_limit_reached": "the request does not fit the spend limit of the member's seat tier",
    "user_limit_reached": "the request does not fit the member's own spend limit",
    "wallet_empty": "the request does not fit what is left in the organization's wallet",
    "payment_past_due": "a payment of the organization is past due",
    "contended": "others are spending at this moment; try again",
    "too_many_open_authorizations": "the member has too many open authorizations",
}


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """What a client asks before a request. `chooses` is the member's choice for it alone."""

    user_id: str
    request: HoldRequest
    min_tokens: int | None
    chooses: bool | None
    ttl: timedelta


@dataclass(frozen=True, slots=True)
class Idempotency:
    """An idempotency key, and the hash of the request that came with it."""

    key: str
    request: str


def authorize(
    table: Table,
    hints: Hints,
    organization: Organization,
    asked: AuthorizationRequest,
    now: datetime,
    *,
    entropy: bytes,
    idempotency: Idempotency | None = None,
    ask_reload: AskReload = ask_nobody,
) -> dict[str, Any]:
    """Hold the money for a request and return the authorization, as the wire has it.

    With an idempotency key the member's budget remembers the answer (ADR 23), and a repeat gets it
    again: the authorization as it was first, with what is left of the limits by now.
    Of `organization` only what may be some seconds old is used, as `Callers` says.

    Raises:
        SpendRefused: it may not, or does not fit; the error says which level refused.
        NotFound: the organization has no such member.
        UnknownModel: the model has no price.
        Conflict: the idempotency key was used for another request of this member.
    """
    bound = bound_of(organization, asked.request, now)
    keyed = _Keyed(table, organization, asked, idempotency, now) if idempotency else None

    def spending_of(source: Source, budget: Budget, epoch: int, amount: int) -> Spending:
        tokens = min(bound.affordable(amount), asked.request.max_tokens)
        # The day and the windows that the hold counts in are the budget's, also for a clock that
        # is behind: they began before the hold was taken.
        opened = (window.opened_at for window in budget.windows)
        taken_at = max(now, day_bounds(budget.day)[0], *opened)
        hold = Hold(
            key=hold_key(taken_at, keyed.entropy if keyed else entropy),
            amount_nanos=amount,
            epoch=epoch,
            until_millis=to_millis(taken_at + asked.ttl),
            source=source,
            request=replace(asked.request, max_tokens=tokens),
            filed_as=file_as(
                budget.seat_tier, budget.exhausted_minutes if source == "extra_usage" else 0
            ),
        )
        return keyed.spending(budget, hold) if keyed else as_hold(hold)

    claim = Claim(
        wanted=bound.amount(asked.request.max_tokens),
        fit=_fit(bound, asked.min_tokens or asked.request.max_tokens, asked.request.max_tokens),
        chooses=asked.chooses,
    )
    try:
        outcome = acquire(
            table,
            hints,
            organization.org_id,
            asked.user_id,
            claim,
            spending_of,
            now,
            look=keyed.look if keyed else see_nothing,
            ask_reload=ask_reload,
        )
    except _AnsweredBefore as before:
        return before.answer
    except AlreadyDone:
        assert keyed is not None, "only a receipt can exist already"
        answer = keyed.receipt()
        assert answer is not None, "the receipt that refused the write exists"
        return answer
    if isinstance(outcome, Refusal):
        raise _explained(table, organization, outcome, now, bound, ask_reload)
    hold = outcome.spending.hold
    assert hold is not None, "an authorization is a hold"
    if asked.ttl < LOOK_EVERY:
        # Only such a hold may expire before the sweeper looks at the member anyway.
        look_sooner(table, organization.org_id, asked.user_id, hold.until_millis)
    if keyed and outcome.spending.also:
        return keyed.filed
    return _answer(organization, outcome.budget, hold, _id_of(outcome.budget, hold))


def release(table: Table, org_id: str, authorization_id: str) -> dict[str, Any]:
    """Give an authorization's money back; repeating it, or being late, changes nothing.

    Raises:
        NotFound: the organization was never given this authorization.
        Overloaded: others are on the budget; try again.
    """
    authorization = AuthorizationId.parse(authorization_id, org_id=org_id)
    try:
        release_hold(table, authorization)
    except Contended as error:
        raise Overloaded("others are on this budget; try again") from error
    return {"type": "authorization_released", "id": authorization_id}


def extend(
    table: Table,
    organization: Organization,
    authorization_id: str,
    now: datetime,
    *,
    ttl: timedelta | None,
    max_tokens: int | None,
    ask_reload: AskReload = ask_nobody,
) -> dict[str, Any]:
    """Prolong an open hold, enlarge it, or both; it never gets shorter or smaller.

    A hold lasts at most a day altogether, because its bound looks no further ahead. Repeating an
    extension finds it done.

    Raises:
        NotFound: the organization was never given this authorization.
        Conflict: it is settled, released or expired, or cannot be enlarged any more.
        SpendRefused: the larger amount may not be taken, or does not fit.
    """
    authorization = AuthorizationId.parse(authorization_id, org_id=organization.org_id)
    for _ in range(ATTEMPTS_MAX):
        found = find_hold(table, authorization)
        if found is None or found.hold.until_millis <= to_millis(now):
            raise Conflict("authorization: it is settled, released or expired")
        hold, budget = found.hold, found.budget
        assert hold.request is not None, "an authorization keeps what was asked"
        until_millis = hold.until_millis
        if ttl is not None:
            last = to_millis(hold.taken_at + HOLD_LIFE_MAX)
            until_millis = max(until_millis, min(to_millis(now + ttl), last))
        request = replace(hold.request, max_tokens=max(hold.request.max_tokens, max_tokens or 0))
        larger = replace(hold, until_millis=until_millis, request=request)
        # More time is not priced: what the request names may have no price any more.
        bound = bound_of(organization, request, now) if request != hold.request else None
        if bound is not None:
            amount = max(hold.amount_nanos, bound.amount(request.max_tokens))
            larger = replace(larger, amount_nanos=amount)
        if bound is not None and larger.amount_nanos > hold.amount_nanos:
            if found.is_past:
                raise _taken_earlier()
            outcome = _enlarge(table, organization, authorization, hold, larger, now, ask_reload)
            if isinstance(outcome, Refusal):
                raise _explained(table, organization, outcome, now, bound, ask_reload)
            return _answer(organization, outcome, larger, authorization)
        if until_millis == hold.until_millis:
            return _answer(organization, budget, hold, authorization)
        place = (organization.org_id, authorization.user_id)
        try:
            prolong(
                table,
                keys.past_budget(*place, budget.period) if found.is_past else keys.budget(*place),
                hold,
                until_millis,
            )
        except Refused:
            continue
        except Contended as error:
            raise Overloaded("others are on this budget; try again") from error
        return _answer(organization, budget, larger, authorization)
    raise Overloaded("others are on this budget; try again")


def refused(refusal: Refusal, now: datetime, bound: RequestBound | None) -> SpendRefused:
    """Return a refusal as the error that clients see."""
    if refusal.reason == "contended":
        wait = 1
    elif refusal.resets_at:
        wait = max(1, int((refusal.resets_at - now).total_seconds()) + 1)
    else:
        wait = RETRY_AFTER_SECONDS
    scope: dict[str, str] = {"type": refusal.level}
    if refusal.level == "user":
        scope["user_id"] = refusal.user_id
    elif refusal.level == "seat_tier":
        scope["seat_tier"] = refusal.seat_tier
    return SpendRefused(
        MESSAGES[refusal.reason],
        facts={
            "reason": refusal.reason,
            "scope": scope,
            "resets_at": to_wire(refusal.resets_at) if refusal.resets_at else None,
            "affordable_max_tokens": bound.affordable(refusal.affordable) if bound else 0,
            "retryable": refusal.retryable,
            "next_steps": list(NEXT_STEPS[refusal.reason]),
        },
        retryable=refusal.retryable,
        retry_after_seconds=wait,
    )


def _explained(
    table: Table,
    organization: Organization,
    refusal: Refusal,
    now: datetime,
    bound: RequestBound,
    ask_reload: AskReload,
) -> SpendRefused:
    """Return a refusal as clients see it; for an empty wallet a reload is asked for first."""
    error = refused(refusal, now, bound)
    if refusal.reason == "payment_past_due" and organization.plan == "team":
        error.facts["next_steps"] = list(OWING_STEPS)
    if refusal.reason == "wallet_empty":
        _say_what_comes(error, seek_help(table, organization, now, ask_reload), now)
    return error


def _say_what_comes(error: SpendRefused, outlook: Outlook | None, now: datetime) -> None:
    coming = outlook.reload if outlook else None
    error.facts["reload"] = reload_to_wire(coming)
    if outlook is not None:
        error.facts["next_steps"] = list(outlook.next_steps)
        if coming is not None:
            wait = ceil((coming.expected_at - now).total_seconds())
            error.retry_after_seconds = max(wait, 1)
        elif "wait_for_payment" in outlook.next_steps:
            error.retry_after_seconds = PAYMENT_SECONDS


def _enlarge(
    table: Table,
    organization: Organization,
    authorization: AuthorizationId,
    hold: Hold,
    larger: Hold,
    now: datetime,
    ask_reload: AskReload,
) -> Budget | Refusal:
    added = larger.amount_nanos - hold.amount_nanos

    def spending_of(source: Source, budget: Budget, epoch: int, amount: int) -> Spending:
        if source != hold.source:
            raise Conflict("max_tokens: the seat's included usage changed; authorize anew for more")
        reset = any(window.opened_at > hold.taken_at for window in budget.windows)
        if budget.day != day_of(hold.taken_at) or (source == "included" and reset):
            raise _taken_earlier()
        if budget.holds.get(hold.key) != hold:
            raise Conflict("authorization: it was changed at the same time; look again")
        return as_enlargement(hold, larger)

    claim = Claim(added, lambda available: added if added <= available else 0, chooses=True)
    # Without hints: the budget must be one that shows whether the hold is still there.
    outcome = acquire(
        table,
        Hints(),
        organization.org_id,
        authorization.user_id,
        claim,
        spending_of,
        now,
        ask_reload=ask_reload,
    )
    return outcome if isinstance(outcome, Refusal) else outcome.budget


def _taken_earlier() -> Conflict:
    """A hold counts in its own day and windows, and what is added to it would not."""
    return Conflict(
        "max_tokens: a day or an included window began since it was taken; authorize anew for more"
    )


class _AnsweredBefore(Exception):
    """The request is a repeat; nothing was taken."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__("the request was answered before")
        self.answer = answer


class _Keyed:
    """A request under an idempotency key: how a repeat of it is known, wherever it is seen."""

    def __init__(
        self,
        table: Table,
        organization: Organization,
        asked: AuthorizationRequest,
        idempotency: Idempotency,
        now: datetime,
    ) -> None:
        self._table, self._organization = table, organization
        self._asked, self._idempotency, self._now = asked, idempotency, now
        self._place = place_of(organization.org_id, idempotency.key)
        self._request = request_of(idempotency.request)
        self._has_no_receipt = False
        self.filed: dict[str, Any] = {}
        self.entropy = entropy_of(self._place)

    def look(self, budget: Budget) -> None:
        """Find the first answer in a budget, or in a receipt of the release before.

        Raises:
            _AnsweredBefore: the request is a repeat.
            Conflict: the key was used for another request.
        """
        if packed := (budget.answers or {}).get(self._place):
            first = FirstAnswer.unpack(
                packed, org_id=budget.org_id, user_id=budget.user_id, place=self._place
            )
            if first.request != self._request:
                raise _used_before()
            raise _AnsweredBefore(self._again(first, budget))
        may_have_one = budget.answers is None or self._now < from_millis(
            budget.receipts_until_millis
        )
        if may_have_one and not self._has_no_receipt:
            if answer := self.receipt():
                raise _AnsweredBefore(answer)
            self._has_no_receipt = True

    def receipt(self) -> dict[str, Any] | None:
        """Return what an earlier release answered, None if it filed nothing.

        Raises:
            Conflict: the key was used for another request.
        """
        receipt = find_receipt(self._table, self._organization.org_id, self._idempotency.key)
        if receipt is None:
            return None
        if receipt.request != self._idempotency.request:
            raise _used_before()
        return receipt.answer

    def spending(self, budget: Budget, hold: Hold) -> Spending:
        """Return the write of the hold that notes its answer."""
        authorization, asked = _id_of(budget, hold), self._asked.request
        assert hold.request is not None, "an authorization keeps what was asked"
        tokens = hold.request.max_tokens
        first = FirstAnswer(
            authorization, self._request, None if tokens == asked.max_tokens else tokens
        )
        noting = note(
            budget, self._place, first, self._now, receipts_until=self._now + RECEIPT_LASTS
        )
        return as_hold(hold, noting, self._shared(budget, hold, authorization))

    def _shared(
        self, budget: Budget, hold: Hold, authorization: AuthorizationId
    ) -> tuple[Change, ...]:
        """Return the receipt by which a release that runs beside this one knows the answer."""
        begun = from_millis(budget.receipts_until_millis) - RECEIPT_LASTS
        if budget.answers is not None and self._now >= begun + RELEASES_OVERLAP:
            return ()
        after = replace(budget, allotment=budget.allotment - hold.amount_nanos)
        self.filed = _answer(self._organization, after, hold, authorization)
        receipt = Receipt(self._idempotency.request, self.filed)
        place = self._organization.org_id, self._idempotency.key
        return (put_receipt(*place, receipt, self._now),)

    def _again(self, first: FirstAnswer, budget: Budget) -> dict[str, Any]:
        asked = self._asked
        tokens = asked.request.max_tokens if first.cut_to is None else first.cut_to
        authorization = first.authorization
        return _wire(
            self._organization,
            budget,
            authorization,
            request=replace(asked.request, max_tokens=tokens),
            amount_nanos=authorization.amount_nanos,
            expires_at=authorization.taken_at + asked.ttl,
        )


def _used_before() -> Conflict:
    return Conflict("Idempotency-Key: it was used before for another request")


def bound_of(organization: Organization, request: HoldRequest, now: datetime) -> RequestBound:
    """Return the upper bound of a request's cost under the organization's prices.

    Raises:
        UnknownModel: the model has no price.
    """
    terms = organization.pricing
    meant = replace(
        request,
        model=terms.model_meant(request.model),
        advisor=request.advisor
        and replace(request.advisor, model=terms.model_meant(request.advisor.model)),
        fallbacks=tuple(
            replace(each, model=terms.model_meant(each.model)) for each in request.fallbacks
        ),
    )
    return bound_request(
        PRICE_BOOK,
        meant,
        at=now,
        contract=organization.contract,
        default_geo=terms.default_inference_geo,
        loop_rounds=terms.loop_rounds,
    )


def _fit(bound: RequestBound, least: int, most: int) -> Callable[[int], int]:
    def fit(available: int) -> int:
        tokens = min(bound.affordable(available), most)
        return bound.amount(tokens) if tokens >= least else 0

    return fit


def _id_of(budget: Budget, hold: Hold) -> AuthorizationId:
    seat_tier, exhausted_minutes = read_filed_as(hold.filed_as)
    return AuthorizationId(
        org_id=budget.org_id,
        user_id=budget.user_id,
        key=hold.key,
        source=hold.source,
        home=hold.home,
        seat_tier=seat_tier,
        period=budget.period,
        exhausted_minutes=exhausted_minutes,
        amount_nanos=hold.amount_nanos,
    )


def _answer(
    organization: Organization, budget: Budget, hold: Hold, authorization: AuthorizationId
) -> dict[str, Any]:
    """Return an authorization as the wire has it; `budget` is the one that holds it."""
    assert hold.request is not None, "an authorization keeps what was asked"
    return _wire(
        organization,
        budget,
        authorization,
        request=hold.request,
        amount_nanos=hold.amount_nanos,
        expires_at=from_millis(hold.until_millis),
    )


def _wire(
    organization: Organization,
    budget: Budget,
    authorization: AuthorizationId,
    *,
    request: HoldRequest,
    amount_nanos: int,
    expires_at: datetime,
) -> dict[str, Any]:
    return {
        "type": "authorization",
        "id": str(authorization),
        "user_id": budget.user_id,
        "model": request.model,
        "source": authorization.source,
        "amount": format_amount(amount_nanos),
        "max_tokens": request.max_tokens,
        "bound": _bound_to_wire(request, organization),
        "expires_at": to_wire(expires_at),
        "period": authorization.period,
        "limits": [
            {
                "scope": {"type": "user", "user_id": budget.user_id}
                if limit.source == "user"
                else {"type": "seat_tier", "seat_tier": budget.seat_tier},
                "period": limit.period,
                "amount": format_amount(limit.amount_nanos),
                "remaining": format_amount(
                    max(limit.amount_nanos - limit_used(budget, limit.period), 0)
                ),
                "resets_at": to_wire(limit_resets_at(limit.period, budget, organization)),
            }
            for limit in budget.limits
        ],
    }


def _bound_to_wire(request: HoldRequest, organization: Organization) -> dict[str, Any]:
    """Say whether what is held is a true upper bound, and if not, what nobody bounds."""
    because = inexact_of(request, organization.pricing.loop_rounds)
    return {"exact": not because, "because": list(because)}
