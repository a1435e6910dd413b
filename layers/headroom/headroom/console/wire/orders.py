"""What an operator's widget was called with, and the orders that its buttons give."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from headroom.console.usecases.operations import ACTS, Order
from headroom.console.wire.confirmations import TOKEN
from headroom.core.domain.money import NANOS_PER_CENT
from headroom.core.errors import InvalidRequest
from headroom.core.wire.fields import Fields, as_object, legible, line
from headroom.limits.store.limits import LimitPlace, ScopeType
from headroom.organizations.domain.organization import SEAT_TIERS, Organization
from headroom.organizations.domain.tax import Tax, parse_rate
from headroom.provisioning.wire.provisioning import TAX_NAME_LENGTH_MAX
from headroom.spending.domain.authorization import USER_ID

ORGANIZATION_LENGTH_MAX: Final = 128
# More than anything that an order takes.
TEXT_LENGTH_MAX: Final = 1000
NUMBER_MAX: Final = 10**15
SCOPES: Final[Mapping[str, str]] = {
    "organization": "the organization's spend limit",
    "standard": "each standard seat's limit",
    "premium": "each premium seat's limit",
    "user": "one member's own limit",
}
NO_TAX: Final = "none"
_AMOUNT: Final = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,2}))?")
_PERIOD: Final = re.compile(r"[0-9]{4}-[0-9]{2}")
_VERSION: Final = re.compile(r"[0-9]{1,12}")


def read_event(event: Mapping[str, Any]) -> dict[str, str]:
    """Return what a widget was called with: its form's inputs, and over them its parameters.

    Raises:
        InvalidRequest: a value is no line of text, or too long.
    """
    forms = as_object(_context(event).get("forms") or {}, "forms")
    return _texts({**as_object(forms.get("all") or {}, "forms.all"), **event})


def read_pressed(event: Mapping[str, Any]) -> dict[str, str]:
    """Return what the button that acts was pressed with: its own parameters, and nothing typed.

    A dashboard that is opened calls its widget's function with the parameters that it keeps. What
    it keeps was not pressed by anybody.

    Raises:
        InvalidRequest: a value is no line of text, or too long; or the dashboard keeps a token.
    """
    kept = as_object(_context(event).get("params") or {}, "widgetContext.params")
    if "token" in kept:
        raise InvalidRequest("token", "is kept by the dashboard; only a preview's button acts")
    return _texts(event)


def parse_order(asked: Mapping[str, str], organization: Organization) -> Order:
    """Read what an operator wants done to an organization as it is now, which they are shown.

    Raises:
        InvalidRequest: it is no act, or its scope or amount cannot be read.
    """
    act = next((act for act in ACTS if act == asked.get("act")), None)
    if act is None:
        raise InvalidRequest("act", f"must be one of {', '.join(ACTS)}")
    order = Order(act, organization.org_id, organization.version)
    if act == "rerun_close":
        period = asked.get("period", "")
        if not _PERIOD.fullmatch(period):
            raise InvalidRequest("period", 'must be a month, such as "2026-11"')
        return replace(order, period=period)
    if act == "set_tax":
        return replace(order, tax=_parse_tax(asked))
    if act != "set_limit":
        return order
    return replace(
        order,
        place=_parse_place(asked, organization),
        amount_nanos=_parse_dollars(asked.get("amount", "")),
    )


def parse_confirmed(asked: Mapping[str, str], organization: Organization) -> Order:
    """Read an order that is to be carried out: it says what the operator had seen.

    Raises:
        InvalidRequest: as for `parse_order`, or it names no version of the settings, or has no
            token of a preview.
    """
    version = asked.get("version", "")
    if not _VERSION.fullmatch(version):
        raise InvalidRequest("version", "must be given: the version of the settings that you saw")
    order = replace(parse_order(asked, organization), version=int(version))
    if not TOKEN.fullmatch(asked.get("token", "")):
        raise InvalidRequest("token", "must be that of the preview: look at what will happen first")
    return order


def _context(event: Mapping[str, Any]) -> Fields:
    return as_object(event.get("widgetContext") or {}, "widgetContext")


def _texts(given: Mapping[str, Any]) -> dict[str, str]:
    asked: dict[str, str] = {}
    for name, value in given.items():
        if name == "widgetContext":
            continue
        field = legible(name[:64])
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise InvalidRequest(field, "must be text")
        if isinstance(value, int) and abs(value) > NUMBER_MAX:
            raise InvalidRequest(field, "must be a smaller number")
        written = f"{value}".strip()
        # Nothing typed is nothing said.
        asked[name] = written and line({field: written}, field, length_max=TEXT_LENGTH_MAX)
    return asked


def _parse_place(asked: Mapping[str, str], organization: Organization) -> LimitPlace:
    scope = asked.get("scope", "")
    if scope not in SCOPES:
        raise InvalidRequest("scope", f"must be one of {', '.join(SCOPES)}")
    scope_type: ScopeType = "organization"
    scope_id = ""
    if scope in SEAT_TIERS:
        scope_type, scope_id = "seat_tier", scope
    elif scope == "user":
        scope_type, scope_id = "user", asked.get("user_id", "")
        if not USER_ID.fullmatch(scope_id):
            raise InvalidRequest("user_id", "must be the id of a member, such as user_1")
    return LimitPlace(organization.org_id, scope_type, scope_id, "monthly")


def _parse_tax(asked: Mapping[str, str]) -> Tax | None:
    name, rate = asked.get("tax_name", ""), asked.get("tax_rate", "")
    if not name and rate == NO_TAX:
        return None
    if not 0 < len(name) <= TAX_NAME_LENGTH_MAX:
        raise InvalidRequest("tax_name", f"must be 1 to {TAX_NAME_LENGTH_MAX} letters")
    return Tax(name, parse_rate(rate, "tax_rate"))


def _parse_dollars(amount: str) -> int | None:
    if amount == "unlimited":
        return None
    found = _AMOUNT.fullmatch(amount)
    if found is None:
        raise InvalidRequest("amount", 'must be dollars, such as "500.00", or "unlimited"')
    units, cents = found.groups(default="")
    return (int(units) * 100 + int(cents.ljust(2, "0"))) * NANOS_PER_CENT
