"""Who may call what: the one place that says so, for every route there is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from headroom.core.errors import Forbidden
from headroom.organizations.domain.organization import ROLES, Role
from headroom.organizations.domain.scopes import SCOPES
from headroom.organizations.usecases.authentication import Caller

OWNERS: Final[frozenset[Role]] = frozenset({"primary_owner", "owner"})
REVIEWERS: Final[frozenset[Role]] = OWNERS | {"admin"}
EVERYONE: Final[frozenset[Role]] = frozenset(ROLES)
NOBODY: Final[frozenset[Role]] = frozenset()


@dataclass(frozen=True, slots=True)
class Right:
    """What a route asks for: one of some scopes of a key, or of some roles.

    Without `scopes` no key may, and with `ANY` every key.
    """

    scopes: tuple[str, ...]
    roles: frozenset[Role]


# No scope has this name.
ANY: Final = "any"

_METERING: Final = Right(("write:usage",), NOBODY)
_READ_LIMITS: Final = Right(("read:spend_limits",), REVIEWERS)
_WRITE_LIMITS: Final = Right(("write:spend_limits",), OWNERS)
_REVIEW: Final = Right(("write:spend_limits",), REVIEWERS)
_READ_BILLING: Final = Right(("read:billing",), REVIEWERS)
_WRITE_BILLING: Final = Right(("write:billing",), OWNERS)
_BUY: Final = Right(("write:billing",), REVIEWERS)
_MEMBERS: Final = Right(("write:members",), OWNERS)
# What it changes says which of the two: see FIELD_RIGHTS.
_MEMBERS_OR_LIMITS: Final = Right(("write:members", "write:spend_limits"), OWNERS)
_OWNERS_ONLY: Final = Right((), OWNERS)
_OWN: Final = Right((), EVERYONE)
_READ_PRICES: Final = Right((ANY,), EVERYONE)

_ORGANIZATION: Final = "/v1/organizations"
_LIMITS: Final = f"{_ORGANIZATION}/spend_limits"
_REQUESTS: Final = f"{_ORGANIZATION}/spend_limit_increase_requests"
_ENDPOINTS: Final = f"{_ORGANIZATION}/webhook_endpoints"

# (method, route) to right; `<name>` stands for one segment of the path.
RIGHTS: Final[Mapping[tuple[str, str], Right]] = {
    ("POST", "/v1/authorizations"): _METERING,
    ("DELETE", "/v1/authorizations/<authorization_id>"): _METERING,
    ("POST", "/v1/authorizations/<authorization_id>/extend"): _METERING,
    ("POST", "/v1/usage/events"): _METERING,
    ("GET", "/v1/prices"): _READ_PRICES,
    ("GET", f"{_ORGANIZATION}/extra_usage"): _READ_LIMITS,
    ("POST", f"{_ORGANIZATION}/extra_usage/enable"): _WRITE_LIMITS,
    ("POST", f"{_ORGANIZATION}/extra_usage/disable"): _WRITE_LIMITS,
    ("PUT", f"{_ORGANIZATION}/extra_usage/members"): _WRITE_LIMITS,
    ("PUT", f"{_ORGANIZATION}/extra_usage/requests"): _WRITE_LIMITS,
    ("GET", f"{_ORGANIZATION}/pricing"): _READ_LIMITS,
    ("PUT", f"{_ORGANIZATION}/pricing"): _WRITE_LIMITS,
    ("PUT", f"{_ORGANIZATION}/spend_limit"): _WRITE_LIMITS,
    ("PUT", f"{_ORGANIZATION}/seat_tiers/<seat_tier>/spend_limit"): _WRITE_LIMITS,
    ("GET", f"{_ORGANIZATION}/members"): _READ_LIMITS,
    ("POST", f"{_ORGANIZATION}/members"): _MEMBERS,
    ("PUT", f"{_ORGANIZATION}/members/<user_id>"): _MEMBERS_OR_LIMITS,
    ("DELETE", f"{_ORGANIZATION}/members/<user_id>"): _MEMBERS,
    ("GET", f"{_ORGANIZATION}/api_keys"): _OWNERS_ONLY,
    ("POST", f"{_ORGANIZATION}/api_keys"): _OWNERS_ONLY,
    ("DELETE", f"{_ORGANIZATION}/api_keys/<key_id>"): _OWNERS_ONLY,
    ("GET", f"{_ORGANIZATION}/audit"): _READ_BILLING,
    ("GET", f"{_ORGANIZATION}/usage_report"): _READ_BILLING,
    ("GET", f"{_ORGANIZATION}/unpriced_usage"): _READ_BILLING,
    ("GET", f"{_ORGANIZATION}/invoices"): _READ_BILLING,
    ("GET", f"{_ORGANIZATION}/invoices/<invoice_id>"): _READ_BILLING,
    ("GET", f"{_ORGANIZATION}/invoices/<invoice_id>/pdf"): _READ_BILLING,
    ("GET", f"{_ORGANIZATION}/notifications"): _READ_BILLING,
    ("PUT", f"{_ORGANIZATION}/notifications"): _WRITE_BILLING,
    ("GET", f"{_ORGANIZATION}/wallet"): _READ_BILLING,
    ("GET", f"{_ORGANIZATION}/wallet/entries"): _READ_BILLING,
    ("POST", f"{_ORGANIZATION}/wallet/top_ups"): _BUY,
    ("POST", f"{_ORGANIZATION}/wallet/payments/<payment_id>/confirm"): _BUY,
    ("PUT", f"{_ORGANIZATION}/wallet/auto_reload"): _WRITE_BILLING,
    ("GET", _ENDPOINTS): _OWNERS_ONLY,
    ("POST", _ENDPOINTS): _OWNERS_ONLY,
    ("GET", f"{_ENDPOINTS}/<endpoint_id>"): _OWNERS_ONLY,
    ("PUT", f"{_ENDPOINTS}/<endpoint_id>"): _OWNERS_ONLY,
    ("DELETE", f"{_ENDPOINTS}/<endpoint_id>"): _OWNERS_ONLY,
    ("POST", f"{_ENDPOINTS}/<endpoint_id>/rotate"): _OWNERS_ONLY,
    ("POST", f"{_ENDPOINTS}/<endpoint_id>/test"): _OWNERS_ONLY,
    ("GET", f"{_ORGANIZATION}/webhook_deliveries"): _OWNERS_ONLY,
    ("POST", f"{_ORGANIZATION}/webhook_deliveries/<delivery_id>/redeliver"): _OWNERS_ONLY,
    ("GET", _LIMITS): _READ_LIMITS,
    ("POST", _LIMITS): _WRITE_LIMITS,
    ("GET", f"{_LIMITS}/effective"): _READ_LIMITS,
    ("GET", f"{_LIMITS}/<spend_limit_id>"): _READ_LIMITS,
    ("DELETE", f"{_LIMITS}/<spend_limit_id>"): _WRITE_LIMITS,
    ("GET", _REQUESTS): _READ_LIMITS,
    ("GET", f"{_REQUESTS}/<request_id>"): _READ_LIMITS,
    ("POST", f"{_REQUESTS}/<request_id>/approve"): _REVIEW,
    ("POST", f"{_REQUESTS}/<request_id>/deny"): _REVIEW,
    ("GET", "/v1/me/extra_usage"): _OWN,
    ("PUT", "/v1/me/extra_usage"): _OWN,
    ("GET", "/v1/me/usage"): _OWN,
    ("POST", "/v1/me/spend_limit_increase_requests"): _OWN,
}

# What a field of a request asks for beyond what its route does. Who may be given which role, and
# by whom, is in `organizations/domain/roles.py`: it depends on the role that they have.
FIELD_RIGHTS: Final[Mapping[tuple[str, str], Mapping[str, Right]]] = {
    ("POST", f"{_ORGANIZATION}/members"): {"extra_usage": _WRITE_LIMITS},
    ("PUT", f"{_ORGANIZATION}/members/<user_id>"): {
        "extra_usage": _WRITE_LIMITS,
        "seat_tier": _MEMBERS,
        "role": _MEMBERS,
    },
}

# The scopes that a person may put into a key. Owners let their programs meter, which is no work of
# people's; everybody else makes no keys.
_SCOPES_GIVEN: Final[Mapping[Role, frozenset[str]]] = dict.fromkeys(OWNERS, frozenset(SCOPES))

# These need no credential: the API's description of itself, by a function that can read nothing.
PUBLIC: Final = frozenset({("GET", "/openapi.json"), ("GET", "/docs")})

# Here the payment processor calls us; its signature is checked instead.
SIGNED: Final = frozenset({("POST", "/v1/payment_events")})


def check(caller: Caller, method: str, route: str) -> None:
    """Check that a caller may call a route.

    Raises:
        KeyError: the matrix does not name the route (a bug: it stays closed).
        Forbidden: the caller's role or scopes are too weak.
    """
    _check(caller, RIGHTS[method, route])


def check_fields(caller: Caller, method: str, route: str, fields: Iterable[str]) -> None:
    """Check that a caller who may call a route may set these fields there.

    Raises:
        Forbidden: one of them asks for a right of its own, which the caller lacks.
    """
    rights = FIELD_RIGHTS[method, route]
    for name in fields:
        if name in rights:
            _check(caller, rights[name], f"{name}: ")


def check_scopes(caller: Caller, scopes: Iterable[str]) -> None:
    """Check that a caller may put these scopes into a key.

    Raises:
        Forbidden: the caller does not have one of them to give.
    """
    role = caller.role
    own = caller.scopes if role is None else _SCOPES_GIVEN.get(role, frozenset())
    for scope in scopes:
        if scope not in own:
            raise Forbidden(f"scopes: {scope} is not yours to give")


def _check(caller: Caller, right: Right, field: str = "") -> None:
    if caller.role is not None:
        if caller.role not in right.roles:
            raise Forbidden(f"{field}your role ({caller.role}) may not do this")
    elif not right.scopes:
        raise Forbidden(f"{field or 'x-api-key: '}only people may do this, with a token")
    elif ANY not in right.scopes and not caller.scopes.intersection(right.scopes):
        lacking = " or ".join(right.scopes)
        raise Forbidden(f"{field or 'x-api-key: '}this key lacks the scope {lacking}")
