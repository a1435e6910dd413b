"""The bodies of the wallet's routes, and of an operator's adjustments."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final, cast

from headroom.core.domain.money import NANOS_PER_CENT, parse_amount, parse_limit
from headroom.core.errors import InvalidRequest, NotFound
from headroom.core.wire.fields import (
    Fields,
    as_object,
    choice,
    digest_of,
    flag,
    known_only,
    line,
    moment,
    optional_text,
    text,
)
from headroom.payments.usecases.adjustments import KINDS, Adjustment, AdjustmentKind
from headroom.payments.usecases.top_ups import TopUp
from headroom.wallets.domain.wallet import NOTHING_SAID, AutoReload, ReloadFigures

PAYMENT_ID: Final = re.compile(r"(top|rld)_[0-9a-f]{24}")
PAYMENT_METHOD: Final = re.compile(r"[A-Za-z0-9_]+")
PAYMENT_METHOD_LENGTH_MAX: Final = 255
ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
ORGANIZATION_ID: Final = re.compile(r"org_[0-9a-f]{20}")
DESCRIPTION_LENGTH_MAX: Final = 200

_TOP_UP: Final = frozenset({"amount", "payment_method"})
_AUTO_RELOAD: Final = frozenset({"enabled", "threshold", "amount", "monthly_limit"})
_ADJUSTMENT: Final = frozenset(
    {
        "id",
        "organization_id",
        "kind",
        "amount",
        "expires_at",
        "payment_id",
        "description",
        "operator",
    }
)


def parse_top_up(body: object, key: str | None) -> TopUp:
    """Read the body of a top-up, which must come with an Idempotency-Key.

    Raises:
        InvalidRequest: a member is missing, unknown or wrong; the error names it.
    """
    if key is None:
        raise InvalidRequest("Idempotency-Key", "must be given, so that nothing is bought twice")
    fields = as_object(body, "body")
    known_only(fields, _TOP_UP)
    return TopUp(
        amount=parse_amount(fields.get("amount"), "amount"),
        payment_method_id=optional_text(
            fields,
            "payment_method",
            length_max=PAYMENT_METHOD_LENGTH_MAX,
            pattern=PAYMENT_METHOD,
        ),
        key=key,
        request=digest_of(fields),
    )


def known_payment_id(text: str) -> str:
    """Return a payment's id.

    Raises:
        NotFound: no payment has an id of this form.
    """
    if not PAYMENT_ID.fullmatch(text):
        raise NotFound("payment_id: there is no payment with this id")
    return text


@dataclass(frozen=True, slots=True)
class ReloadSetting:
    """Auto-reload as it should be, None for off, and what is `said` for the next time then.

    `keeps_limit` is true where the body does not speak of the monthly limit.
    """

    wanted: AutoReload | None
    keeps_limit: bool
    said: ReloadFigures = NOTHING_SAID


def parse_auto_reload(body: object) -> ReloadSetting:
    """Read how auto-reload should be set.

    The monthly limit stays where the body does not say: only null, said, is no limit. Switching
    it off needs no figures, so null is none there; those that come along are for the next time.

    Raises:
        InvalidRequest: a member is missing, unknown or wrong; the error names it.
    """
    fields = as_object(body, "body")
    known_only(fields, _AUTO_RELOAD)
    enabled = flag(fields, "enabled")
    limit = parse_limit(fields.get("monthly_limit"), "monthly_limit")
    threshold, amount = (
        None if fields.get(name) is None and not enabled else parse_amount(fields.get(name), name)
        for name in ("threshold", "amount")
    )
    if not enabled or threshold is None or amount is None:
        return ReloadSetting(None, True, ReloadFigures(threshold, amount, limit))
    return ReloadSetting(AutoReload(threshold, amount, limit), "monthly_limit" not in fields)


def parse_adjustment(document: object, now: datetime) -> Adjustment:
    """Read what an operator asks for.

    Raises:
        InvalidRequest: a member is missing, unknown or wrong; the error names it.
    """
    fields = as_object(document, "body")
    known_only(fields, _ADJUSTMENT)
    kind = cast("AdjustmentKind", choice(fields, "kind", KINDS))
    expires_at = moment(fields, "expires_at") if fields.get("expires_at") is not None else None
    if expires_at is not None and (kind != "promotional" or expires_at <= now):
        raise InvalidRequest("expires_at", "must be a later moment, of a promotional credit")
    payment_id = optional_text(
        fields, "payment_id", length_max=PAYMENT_METHOD_LENGTH_MAX, pattern=PAYMENT_METHOD
    )
    if (payment_id is not None) != (kind == "refund"):
        raise InvalidRequest("payment_id", "must be given for a refund, and for nothing else")
    return Adjustment(
        operation_id=text(fields, "id", length_max=64, pattern=ID),
        org_id=text(fields, "organization_id", length_max=64, pattern=ORGANIZATION_ID),
        kind=kind,
        amount=_amount(fields, signed=kind == "adjustment"),
        operator=line(fields, "operator", length_max=64),
        request=digest_of(fields),
        expires_at=expires_at,
        payment_id=payment_id,
        description=optional_text(fields, "description", length_max=DESCRIPTION_LENGTH_MAX),
    )


def _amount(fields: Fields, *, signed: bool) -> int:
    value = fields.get("amount")
    is_less = signed and type(value) is str and value.startswith("-")
    nanos = parse_amount(value[1:] if is_less and type(value) is str else value, "amount")
    if nanos < NANOS_PER_CENT:
        raise InvalidRequest("amount", "must not be zero")
    return -nanos if is_less else nanos
