"""The bodies and queries of the Spend Limits API and of the owner's settings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, cast

from headroom.core.domain.money import parse_amount, parse_limit
from headroom.core.errors import InvalidRequest
from headroom.core.wire.fields import Fields, as_object, choice, known_only, text
from headroom.limits.store.limits import SCOPE_TYPES, LimitPlace, ScopeType
from headroom.organizations.domain.organization import LIMIT_PERIODS, SEAT_TIERS, LimitPeriod
from headroom.spending.domain.authorization import USER_ID
from headroom.spending.wire.authorizations import USER_ID_LENGTH_MAX

USER_IDS_MAX: Final = 100
SEARCH_LENGTH_MAX: Final = 100
REQUEST_ID: Final = re.compile(r"slir_[0-9a-v]{20}")


def parse_set_limit(body: object, org_id: str) -> tuple[LimitPlace, int | None]:
    """Read `{"scope", "amount", "period"?}`.

    Raises:
        InvalidRequest: a member is missing, unknown or wrong; the error names it.
    """
    fields = as_object(body, "body")
    known_only(fields, frozenset({"scope", "amount", "period"}))
    scope = as_object(fields.get("scope"), "scope")
    scope_type = cast("ScopeType", choice(scope, "type", SCOPE_TYPES, "scope."))
    names = {
        "organization": {"type"},
        "seat_tier": {"type", "seat_tier"},
        "user": {"type", "user_id"},
    }
    known_only(scope, frozenset(names[scope_type]), "scope.")
    scope_id = ""
    if scope_type == "seat_tier":
        scope_id = choice(scope, "seat_tier", SEAT_TIERS, "scope.")
    elif scope_type == "user":
        scope_id = text(
            scope, "user_id", length_max=USER_ID_LENGTH_MAX, pattern=USER_ID, path="scope."
        )
    return LimitPlace(org_id, scope_type, scope_id, parse_period(fields)), required_limit(fields)


def required_limit(fields: Fields, name: str = "amount") -> int | None:
    """Return a limit that has to be said: an amount in whole cents, or null for none.

    Raises:
        InvalidRequest: it is missing or wrong.
    """
    if name not in fields:
        raise InvalidRequest(name, "must be given: a string of whole cents, or null for unlimited")
    return parse_limit(fields[name], name)


def required_amount(fields: Fields, name: str = "amount") -> int:
    """Return an amount in whole cents.

    Raises:
        InvalidRequest: it is missing or wrong.
    """
    return parse_amount(fields.get(name), name)


def parse_period(fields: Fields) -> LimitPeriod:
    """Return the period of a limit, the month if none is named.

    Raises:
        InvalidRequest: it is none of the periods.
    """
    if fields.get("period") is None:
        return "monthly"
    return cast("LimitPeriod", choice(fields, "period", LIMIT_PERIODS))


def parse_filter(values: Sequence[str], name: str, known: Sequence[str]) -> list[str]:
    """Return the values of an array filter, sorted and without repeats.

    Raises:
        InvalidRequest: a value is none of the known ones.
    """
    for value in values:
        if value not in known:
            raise InvalidRequest(name, f"must be among {', '.join(known)}")
    return sorted(set(values))


def parse_search(query: Mapping[str, str]) -> str:
    """Return what members are looked for by; empty if they are not.

    Raises:
        InvalidRequest: it is too long, or nothing.
    """
    wanted = query.get("search")
    if wanted is None:
        return ""
    if not 1 <= len(wanted.strip()) <= SEARCH_LENGTH_MAX:
        raise InvalidRequest("search", f"must be 1 to {SEARCH_LENGTH_MAX} characters")
    return wanted.strip()


def parse_user_ids(values: Sequence[str], name: str) -> list[str]:
    """Return the user ids of an array filter, sorted and without repeats.

    Raises:
        InvalidRequest: there are too many, or one is no user id.
    """
    if len(values) > USER_IDS_MAX:
        raise InvalidRequest(name, f"must be at most {USER_IDS_MAX} ids")
    for value in values:
        if not USER_ID.fullmatch(value):
            raise InvalidRequest(name, f"must be ids that match {USER_ID.pattern}")
    return sorted(set(values))
