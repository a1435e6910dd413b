"""The item of a member's budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from pynamodb.attributes import BooleanAttribute, ListAttribute, MapAttribute, UnicodeAttribute
from pynamodb.expressions.operand import Path, Value

from headroom.core.store.attributes import IntegerAttribute
from headroom.core.store.records import Record
from headroom.core.store.table import Item, Key
from headroom.organizations.domain.organization import (
    EffectiveLimit,
    LimitPeriod,
    LimitSource,
    SeatTier,
)
from headroom.pricing.domain.requests import HoldRequest
from headroom.spending.domain.authorization import Hold, Source
from headroom.spending.domain.budget import Budget, OpenWindow


class BudgetRecord(Record):
    """A member's budget. Its names are short because the whole item shares one write unit."""

    period = UnicodeAttribute()
    seat_tier = UnicodeAttribute()
    epoch = IntegerAttribute()
    valid_until = IntegerAttribute()
    allotment = IntegerAttribute()
    held = IntegerAttribute()
    spent = IntegerAttribute()
    granted = IntegerAttribute()
    included = IntegerAttribute()
    unbilled = IntegerAttribute()
    day = UnicodeAttribute()
    day_granted = IntegerAttribute()
    week = UnicodeAttribute()
    week_granted = IntegerAttribute()
    included_left = IntegerAttribute()
    windows: ListAttribute[Any] = ListAttribute()
    consents = BooleanAttribute()
    holds: MapAttribute[str, Any] = MapAttribute()
    slice = IntegerAttribute()
    granted_at = IntegerAttribute()
    registered = BooleanAttribute()
    past: ListAttribute[Any] = ListAttribute()
    limits: ListAttribute[Any] = ListAttribute()
    answers: MapAttribute[str, Any] = MapAttribute(null=True)
    receipts = IntegerAttribute(null=True)

    @classmethod
    def from_domain(cls, key: Key, budget: Budget) -> BudgetRecord:
        """Write a budget."""
        return cls(
            key.pk,
            key.sk,
            period=budget.period,
            seat_tier=budget.seat_tier,
            epoch=budget.epoch,
            valid_until=budget.valid_until_millis,
            allotment=budget.allotment,
            held=budget.held,
            spent=budget.spent,
            granted=budget.granted,
            included=budget.included,
            unbilled=budget.unbilled,
            day=budget.day,
            day_granted=budget.day_granted,
            week=budget.week,
            week_granted=budget.week_granted,
            included_left=budget.included_left,
            windows=[_window_to_map(window) for window in budget.windows],
            consents=budget.consents,
            holds={key: _hold_to_map(hold) for key, hold in budget.holds.items()},
            slice=budget.slice_nanos,
            granted_at=budget.granted_at_millis,
            registered=budget.registered,
            past=list(budget.past_periods),
            limits=[[limit.period, limit.amount_nanos, limit.source] for limit in budget.limits],
            answers=None if budget.answers is None else dict(budget.answers),
            receipts=budget.receipts_until_millis or None,
        )


def read_budget(item: Item, org_id: str, user_id: str) -> Budget:
    """Read a budget.

    By hand, attribute by attribute: this is on the path of every request, where building the
    model's object costs more than all the rest of the handler.
    """

    def number(name: str) -> int:
        return int(item[name]["N"])

    return Budget(
        org_id=org_id,
        user_id=user_id,
        period=item["period"]["S"],
        seat_tier=cast("SeatTier", item["seat_tier"]["S"]),
        epoch=number("epoch"),
        valid_until_millis=number("valid_until"),
        allotment=number("allotment"),
        held=number("held"),
        spent=number("spent"),
        granted=number("granted"),
        included=number("included"),
        unbilled=number("unbilled"),
        day=item["day"]["S"],
        day_granted=number("day_granted"),
        week=item["week"]["S"],
        week_granted=number("week_granted"),
        included_left=number("included_left"),
        windows=tuple(_window_from_raw(raw["M"]) for raw in item["windows"]["L"]),
        consents=item["consents"]["BOOL"],
        holds={key: _hold_from_raw(key, raw["M"]) for key, raw in item["holds"]["M"].items()},
        slice_nanos=number("slice"),
        granted_at_millis=number("granted_at"),
        registered=item["registered"]["BOOL"],
        past_periods=tuple(period["S"] for period in item["past"]["L"]),
        limits=tuple(_limit_from_raw(raw["L"]) for raw in item["limits"]["L"]),
        answers={place: raw["S"] for place, raw in item["answers"]["M"].items()}
        if "answers" in item
        else None,
        receipts_until_millis=number("receipts") if "receipts" in item else 0,
    )


def hold_path(key: str, name: str | None = None) -> Path:
    """Return the path of an open hold, or of one of its members."""
    path = Path(["holds", key])
    return path if name is None else path[name]


def answer_path(place: str) -> Path:
    """Return the path of the first answer to a keyed authorization."""
    return Path(["answers", place])


def hold_value(hold: Hold) -> Value:
    """Return a hold as the value of its path."""
    return Value(_hold_to_map(hold))


def holds_value(holds: Mapping[str, Hold]) -> Value:
    """Return a budget's open holds as the value of their attribute."""
    return Value({key: _hold_to_map(hold) for key, hold in holds.items()})


def windows_value(windows: tuple[OpenWindow, ...]) -> Value:
    """Return included windows as the value of their attribute."""
    return Value([_window_to_map(window) for window in windows])


def _hold_to_map(hold: Hold) -> dict[str, Any]:
    raw: dict[str, Any] = {
        "amount": hold.amount_nanos,
        "epoch": hold.epoch,
        "until": hold.until_millis,
        "source": hold.source,
    }
    if hold.request is not None:
        raw["request"] = hold.request.pack()
    if hold.filed_as:
        raw["as"] = hold.filed_as
    return raw


def _hold_from_raw(key: str, raw: Mapping[str, Any]) -> Hold:
    return Hold(
        key=key,
        amount_nanos=int(raw["amount"]["N"]),
        epoch=int(raw["epoch"]["N"]),
        until_millis=int(raw["until"]["N"]),
        source=cast("Source", raw["source"]["S"]),
        request=HoldRequest.unpack(raw["request"]["S"]) if "request" in raw else None,
        filed_as=raw["as"]["S"] if "as" in raw else "",
    )


def _window_to_map(window: OpenWindow) -> dict[str, Any]:
    return {
        "window": window.duration,
        "minutes": window.minutes,
        "amount": window.amount_nanos,
        "excess": window.excess_nanos,
        "resets_at": window.resets_at_millis,
    }


def _window_from_raw(raw: Mapping[str, Any]) -> OpenWindow:
    return OpenWindow(
        duration=raw["window"]["S"],
        minutes=int(raw["minutes"]["N"]),
        amount_nanos=int(raw["amount"]["N"]),
        excess_nanos=int(raw["excess"]["N"]),
        resets_at_millis=int(raw["resets_at"]["N"]),
    )


def _limit_from_raw(raw: Sequence[Mapping[str, str]]) -> EffectiveLimit:
    return EffectiveLimit(
        period=cast("LimitPeriod", raw[0]["S"]),
        amount_nanos=int(raw[1]["N"]),
        source=cast("LimitSource", raw[2]["S"]),
    )
