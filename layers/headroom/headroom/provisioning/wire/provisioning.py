"""The provisioning document, from which an organization is made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, cast

from headroom.core.domain.money import parse_amount, parse_limit
from headroom.core.domain.periods import parse_time_zone
from headroom.core.errors import InvalidRequest
from headroom.core.wire.fields import (
    Fields,
    as_object,
    choice,
    digest_of,
    known_only,
    line,
    optional_flag,
    optional_text,
    text,
)
from headroom.organizations.domain.organization import (
    LIMIT_PERIODS,
    PLANS,
    ROLES,
    SEAT_TIERS,
    Admission,
    AllowanceWindow,
    LimitPeriod,
    Limits,
    Member,
    Organization,
    Plan,
    Role,
    SeatTier,
    Tier,
    parse_duration,
)
from headroom.organizations.domain.tax import Tax, parse_rate
from headroom.pricing.domain.prices import read_contract_price
from headroom.pricing.price_book import PRICE_BOOK
from headroom.provisioning.usecases.provisioning import Provisioning, member_id, organization_id
from headroom.spending.domain.authorization import USER_ID
from headroom.spending.wire.authorizations import USER_ID_LENGTH_MAX

ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+")
LANGUAGES: Final = ("en", "fr")
# List prices are in dollars, and an amount is never converted silently.
CURRENCIES: Final = ("USD",)
# Together with the least windows, so many that a budget still fits its one write unit.
WINDOWS_MAX: Final = 3
TAX_NAME_LENGTH_MAX: Final = 40
NAME_LENGTH_MAX: Final = 200

_DOCUMENT: Final = frozenset(
    {
        "id",
        "plan",
        "name",
        "currency",
        "time_zone",
        "language",
        "extra_usage",
        "spend_limit",
        "seat_tiers",
        "members",
        "wallet",
        "contract_prices",
        "tax",
    }
)
_MEMBER: Final = frozenset(
    {
        "user_id",
        "name",
        "email",
        "role",
        "seat_tier",
        "extra_usage",
        "continue_with_extra_usage",
        "spend_limit",
    }
)
# Wire names of the limits that a seat tier or a member may have of their own.
_LIMIT_NAMES: Final[Mapping[str, LimitPeriod]] = {
    "spend_limit": "monthly",
    "daily_spend_limit": "daily",
    "weekly_spend_limit": "weekly",
}


def parse_provisioning(document: object) -> Provisioning:
    """Read a provisioning document.

    Raises:
        InvalidRequest: a member is missing, unknown or wrong; the error names it.
    """
    fields = as_object(document, "body")
    known_only(fields, _DOCUMENT)
    org_id = organization_id(text(fields, "id", length_max=64, pattern=ID))
    plan = cast("Plan", choice(fields, "plan", PLANS))
    extra_usage = as_object(fields.get("extra_usage", {}), "extra_usage")
    known_only(extra_usage, frozenset({"enabled", "members"}), "extra_usage.")
    admission = choice(
        {"members": "everyone", **extra_usage}, "members", ("everyone", "selected"), "extra_usage."
    )
    tiers = as_object(fields.get("seat_tiers", {}), "seat_tiers")
    known_only(tiers, frozenset(SEAT_TIERS), "seat_tiers.")
    raw_contract = fields.get("contract_prices", [])
    if not isinstance(raw_contract, list):
        raise InvalidRequest("contract_prices", "must be a list")
    organization = Organization(
        org_id=org_id,
        plan=plan,
        name=line(fields, "name", length_max=NAME_LENGTH_MAX),
        currency=choice({"currency": "USD", **fields}, "currency", CURRENCIES),
        time_zone=parse_time_zone(fields.get("time_zone", "UTC"), "time_zone"),
        language=choice({"language": "en", **fields}, "language", LANGUAGES),
        enabled=optional_flag(extra_usage, "enabled", "extra_usage.") or False,
        admission=cast("Admission", admission),
        cap_nanos=parse_limit(fields.get("spend_limit"), "spend_limit"),
        tiers={
            tier: _tier(tiers.get(tier, {}), f"seat_tiers.{tier}.", plan) for tier in SEAT_TIERS
        },
        past_due=False,
        version=1,
        contract=tuple(
            read_contract_price(
                as_object(raw, f"contract_prices.{index}"), PRICE_BOOK, f"contract_prices.{index}"
            )
            for index, raw in enumerate(raw_contract)
        ),
        tax=_tax(fields.get("tax"), plan),
    )
    return Provisioning(
        organization=organization,
        members=_members(fields.get("members"), org_id),
        opening_nanos=_opening(fields, plan),
        contract=raw_contract,
        digest=digest_of(fields),
    )


def parse_member(body: object, org_id: str) -> Member:
    """Read a member who is to be let in.

    Raises:
        InvalidRequest: a member is missing, unknown or wrong; the error names it.
    """
    return _member(body, "", org_id)


def _tier(raw: object, path: str, plan: Plan) -> Tier:
    fields = as_object(raw, path.rstrip("."))
    known_only(fields, frozenset({"allowance", *_LIMIT_NAMES}), path)
    limits = _limits(fields, path)
    if plan == "team" and any(amount is not None for amount in limits.values()):
        raise InvalidRequest(f"{path}spend_limit", "seat tiers have limits on Enterprise only")
    windows = fields.get("allowance", [])
    if not isinstance(windows, list) or len(windows) > WINDOWS_MAX:
        raise InvalidRequest(f"{path}allowance", f"must be a list of up to {WINDOWS_MAX} windows")
    allowance = tuple(
        _window(raw_window, f"{path}allowance.{index}.") for index, raw_window in enumerate(windows)
    )
    if len({window.minutes for window in allowance}) < len(allowance):
        raise InvalidRequest(f"{path}allowance", "has two windows of the same length")
    return Tier(limits, allowance)


def _window(raw: object, path: str) -> AllowanceWindow:
    fields = as_object(raw, path.rstrip("."))
    known_only(fields, frozenset({"window", "amount"}), path)
    minutes = parse_duration(fields.get("window"), f"{path}window")
    return AllowanceWindow(
        fields["window"], minutes, parse_amount(fields.get("amount"), f"{path}amount")
    )


def _members(raw: object, org_id: str) -> list[Member]:
    if not isinstance(raw, list) or not raw:
        raise InvalidRequest("members", "must be a list of at least one member")
    members = [_member(member, f"members.{index}.", org_id) for index, member in enumerate(raw)]
    seen: set[str] = set()
    for index, member in enumerate(members):
        if member.user_id in seen:
            raise InvalidRequest(f"members.{index}.user_id", "occurs twice")
        seen.add(member.user_id)
    return members


def _member(raw: object, path: str, org_id: str) -> Member:
    fields = as_object(raw, path.rstrip(".") or "body")
    known_only(fields, _MEMBER | frozenset(_LIMIT_NAMES), path)
    email = line(fields, "email", length_max=254, pattern=EMAIL, path=path)
    user_id = optional_text(
        fields, "user_id", length_max=USER_ID_LENGTH_MAX, pattern=USER_ID, path=path
    )
    continues = optional_flag(fields, "continue_with_extra_usage", path)
    return Member(
        org_id=org_id,
        user_id=user_id or member_id(org_id, email),
        name=line(fields, "name", length_max=NAME_LENGTH_MAX, path=path),
        email=email,
        role=cast("Role", choice({"role": "member", **fields}, "role", ROLES, path)),
        seat_tier=cast(
            "SeatTier", choice({"seat_tier": "standard", **fields}, "seat_tier", SEAT_TIERS, path)
        ),
        admitted=optional_flag(fields, "extra_usage", path) or False,
        continues=continues or False,
        limits=_limits(fields, path),
    )


def _limits(fields: Fields, path: str) -> Limits:
    found = {
        period: parse_limit(fields[name], f"{path}{name}")
        for name, period in _LIMIT_NAMES.items()
        if name in fields
    }
    return {period: found[period] for period in LIMIT_PERIODS if period in found}


def _tax(raw: object, plan: Plan) -> Tax | None:
    if raw is None:
        return None
    if plan == "team":
        raise InvalidRequest("tax", "only Enterprise organizations are invoiced")
    fields = as_object(raw, "tax")
    known_only(fields, frozenset({"name", "rate"}), "tax.")
    name = line(fields, "name", length_max=TAX_NAME_LENGTH_MAX, path="tax.")
    return Tax(name, parse_rate(fields.get("rate"), "tax.rate"))


def _opening(fields: Fields, plan: Plan) -> int:
    if fields.get("wallet") is None:
        return 0
    if plan != "team":
        raise InvalidRequest("wallet", "only Team organizations have one")
    wallet = as_object(fields["wallet"], "wallet")
    known_only(wallet, frozenset({"balance"}), "wallet.")
    return parse_amount(wallet.get("balance"), "wallet.balance")
