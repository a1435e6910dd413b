"""First answers to recent authorizations that came with an idempotency key.

A member's budget remembers them, so that the one write that holds the money also recognizes a
repeat. They share the budget's write unit: an answer is packed into some 24 characters, and the
oldest of those whose hold has ended are forgotten when there are too many.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from headroom.core.domain.instants import to_millis
from headroom.pricing.domain.bounds import HOLD_LIFE_MAX
from headroom.spending.domain.authorization import (
    MOMENT_BYTES,
    AuthorizationId,
    Hold,
    pack_period,
)
from headroom.spending.domain.budget import Budget

# How many answers whose hold has ended are remembered at least, where there were so many.
ENDED_LEAST: Final = 2

_PLACE_BYTES: Final = 6
_MOMENT_CHARS: Final = MOMENT_BYTES * 4 // 3
# A mistake is told from a repeat but for one in sixteen million; it is nobody's lock.
_REQUEST_BYTES: Final = 3
_AT_FACTS: Final = MOMENT_BYTES + _REQUEST_BYTES
_FACTS_BYTES: Final = 13
_AMOUNT_BYTES: Final = 8
_TOKENS_BYTES: Final = 4
# A bit of the flags that the facts of an authorization leave free.
_IS_CUT: Final = 0x80

# DynamoDB's unit of writing, and what a budget takes of it by its rules: attributes with their
# names and numbers, then each window, limit, hold and answer. A little more than it is.
_UNIT_BYTES: Final = 1024
_BUDGET_BYTES: Final = 320
_WINDOW_BYTES: Final = 58
_LIMIT_BYTES: Final = 36
_PERIOD_BYTES: Final = 8
_HOLD_BYTES: Final = 112
_ANSWER_BYTES: Final = 34


@dataclass(frozen=True, slots=True)
class FirstAnswer:
    """An authorization as it was answered first.

    `request` is the beginning of the request's hash. `cut_to` are the tokens that were allowed,
    None if they were all that was asked for.
    """

    authorization: AuthorizationId
    request: bytes
    cut_to: int | None

    def pack(self) -> str:
        """Return it as short text: moment, request, flags, period, minutes, tokens, amount."""
        moment = _unb64(self.authorization.key)[:MOMENT_BYTES]
        facts = bytearray(self.authorization.facts)
        tokens = b""
        if self.cut_to is not None:
            facts[0] |= _IS_CUT
            tokens = self.cut_to.to_bytes(_TOKENS_BYTES)
        at_amount = _FACTS_BYTES - _AMOUNT_BYTES
        amount = bytes(facts[at_amount:]).lstrip(b"\0")
        raw = moment + self.request + bytes(facts[:at_amount]) + tokens + amount
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")

    @classmethod
    def unpack(cls, packed: str, *, org_id: str, user_id: str, place: str) -> FirstAnswer:
        """Read what `pack` wrote."""
        raw = _unb64(packed)
        at_amount = _AT_FACTS + _FACTS_BYTES - _AMOUNT_BYTES
        facts, rest, cut_to = bytearray(raw[_AT_FACTS:at_amount]), raw[at_amount:], None
        if facts[0] & _IS_CUT:
            facts[0] &= ~_IS_CUT
            cut_to, rest = int.from_bytes(rest[:_TOKENS_BYTES]), rest[_TOKENS_BYTES:]
        authorization = AuthorizationId.of_facts(
            bytes(facts) + rest.rjust(_AMOUNT_BYTES, b"\0"),
            org_id=org_id,
            user_id=user_id,
            key=_key(packed, place),
        )
        return cls(authorization, raw[MOMENT_BYTES:_AT_FACTS], cut_to)


@dataclass(frozen=True, slots=True)
class Noting:
    """What the write of a hold does to the answers that its budget remembers.

    Where an earlier release wrote the budget, the first answer begins what is remembered, and
    `receipts_until_millis` says how long that release's receipts are looked for. Otherwise the
    write is refused if there are `count_max` answers already, because it was made without having
    seen the latest. `forgets` are answers by their places.
    """

    place: str
    answer: str
    count_max: int
    forgets: Mapping[str, str] = field(default_factory=dict)
    receipts_until_millis: int | None = None


def place_of(org_id: str, idempotency_key: str) -> str:
    """Return where the answer to an idempotency key lies: the end of its hold's key."""
    raw = hashlib.sha256(f"{org_id}|{idempotency_key}".encode()).digest()[:_PLACE_BYTES]
    return base64.urlsafe_b64encode(raw).decode()


def entropy_of(place: str) -> bytes:
    """Return what makes a hold's key end with its place."""
    return _unb64(place)


def request_of(request: str) -> bytes:
    """Return what is remembered of a request, given anything that is equal for equal ones."""
    return hashlib.sha256(request.encode()).digest()[:_REQUEST_BYTES]


def note(
    budget: Budget, place: str, answer: FirstAnswer, now: datetime, *, receipts_until: datetime
) -> Noting:
    """Return how the answer to a hold is remembered, and which ones are forgotten for it.

    Half of those whose hold has ended go at once: a process that has not seen them go is refused
    once for it.
    """
    if budget.answers is None:
        until = to_millis(receipts_until)
        return Noting(place, answer.pack(), 0, receipts_until_millis=until)
    forgettable = [
        each
        for each, packed in budget.answers.items()
        if not _may_be_open(budget, packed, each, now)
    ]
    open_count = len(budget.answers) - len(forgettable)
    ended_max = max(2 * ENDED_LEAST, _room(budget) - open_count - 1)
    if len(forgettable) < ended_max:
        return Noting(place, answer.pack(), open_count + ended_max)
    answers = budget.answers
    forgettable.sort(key=lambda each: _unb64(answers[each]), reverse=True)
    forgets = {each: answers[each] for each in forgettable[ended_max // 2 :]}
    return Noting(place, answer.pack(), len(budget.answers) + 1, forgets)


def _may_be_open(budget: Budget, packed: str, place: str, now: datetime) -> bool:
    """Tell whether an answer's hold may be open yet; one of a past period does not lie here."""
    if _key(packed, place) in budget.holds:
        return True
    if not budget.past_periods:
        return False
    raw = _unb64(packed)
    if raw[_AT_FACTS + 1 : _AT_FACTS + 3] == pack_period(budget.period):
        return False
    age = to_millis(now) - int.from_bytes(raw[:MOMENT_BYTES])
    return age < HOLD_LIFE_MAX.total_seconds() * 1000


def _room(budget: Budget) -> int:
    """Return how many answers fit in the write units that a budget takes with the fewest.

    Those are the answers of its open holds, that of the one to come, and the least of the ended.
    """
    size = (
        _BUDGET_BYTES
        + len(budget.org_id)
        + len(budget.user_id)
        + _WINDOW_BYTES * len(budget.windows)
        + _LIMIT_BYTES * len(budget.limits)
        + _PERIOD_BYTES * len(budget.past_periods)
        + _HOLD_BYTES
        + sum(map(_hold_bytes, budget.holds.values()))
    )
    fewest = size + _ANSWER_BYTES * (len(budget.holds) + 1 + 2 * ENDED_LEAST)
    return (-(-fewest // _UNIT_BYTES) * _UNIT_BYTES - size) // _ANSWER_BYTES


def _hold_bytes(hold: Hold) -> int:
    return _HOLD_BYTES + (len(hold.request.model) if hold.request else 0)


def _key(packed: str, place: str) -> str:
    """Return the key of an answer's hold: its moment, which the answer begins with, and its place.

    Six bytes are eight characters, so that nothing has to be read for it.
    """
    return packed[:_MOMENT_CHARS] + place


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
