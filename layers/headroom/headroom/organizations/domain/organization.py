"""What owners decide: the organization's settings, its seat tiers and its members."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from headroom.core.errors import InvalidRequest
from headroom.organizations.domain.tax import Tax
from headroom.pricing.domain.prices import ContractPrice
from headroom.pricing.domain.pricing_terms import NOTHING_SAID, PricingTerms

Plan = Literal["team", "enterprise"]
Role = Literal["primary_owner", "owner", "admin", "member"]
SeatTier = Literal["standard", "premium"]
Admission = Literal["everyone", "selected"]
LimitPeriod = Literal["monthly", "daily", "weekly"]
LimitSource = Literal["user", "seat_tier"]

PLANS: Final[tuple[Plan, ...]] = ("team", "enterprise")
ROLES: Final[tuple[Role, ...]] = ("primary_owner", "owner", "admin", "member")
SEAT_TIERS: Final[tuple[SeatTier, ...]] = ("standard", "premium")
LIMIT_PERIODS: Final[tuple[LimitPeriod, ...]] = ("monthly", "daily", "weekly")

# An unlimited amount. The pool keeps what is left as one number, and a condition can only
# compare; with a number this large (10^18 units of currency) "unlimited" needs no second case,
# and DynamoDB's 38 digits hold it exactly.
UNLIMITED_NANOS: Final = 10**27

# The longest window whose minutes an authorization's id has room for, in whole days.
WINDOW_MINUTES_MAX: Final = 45 * 1440
_DURATION: Final = re.compile(
    r"P(?!$)(?:([0-9]{1,2})D)?(?:T(?=[0-9])(?:([0-9]{1,3})H)?(?:([0-9]{1,4})M)?)?"
)

# The periods that have a limit of their own; an absent period has none, None is unlimited.
Limits = Mapping[LimitPeriod, int | None]

# The settings' version at which the amount that holds now came to hold, by period. It tells a limit
# from an earlier one of the same amount, and is no setting: equal settings may differ in it.
Generations = Mapping[LimitPeriod, int]


@dataclass(frozen=True, slots=True)
class AllowanceWindow:
    """Usage that the seat pays for in one rolling window, counted at API rates.

    The window opens with the first request and is full again when `minutes` have passed.
    """

    duration: str
    minutes: int
    amount_nanos: int


@dataclass(frozen=True, slots=True)
class Tier:
    """What every seat of a tier has: a limit for each member, and an included allowance."""

    limits: Limits = field(default_factory=dict)
    allowance: tuple[AllowanceWindow, ...] = ()
    generations: Generations = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Organization:
    """The settings of one organization; `version` grows with every change of them.

    `set_up` names the steps of enabling that the owner has gone through; `muted` the topics of
    which nobody is sent mail. `tax` is levied on its invoices. `pricing` says how
    its requests are read.
    """

    org_id: str
    plan: Plan
    name: str
    currency: str
    time_zone: str
    language: str
    enabled: bool
    admission: Admission
    cap_nanos: int | None
    tiers: Mapping[SeatTier, Tier]
    past_due: bool
    version: int
    contract: tuple[ContractPrice, ...] = ()
    requests_enabled: bool = True
    set_up: frozenset[str] = frozenset()
    muted: frozenset[str] = frozenset()
    tax: Tax | None = None
    pricing: PricingTerms = NOTHING_SAID
    cap_generation: int = field(default=0, compare=False)

    @property
    def cap(self) -> int:
        """The cap as the pool counts it: a number, also when it is unlimited."""
        return UNLIMITED_NANOS if self.cap_nanos is None else self.cap_nanos


@dataclass(frozen=True, slots=True)
class Member:
    """One person in an organization, with their seat and their own settings."""

    org_id: str
    user_id: str
    name: str
    email: str
    role: Role
    seat_tier: SeatTier
    admitted: bool
    continues: bool
    limits: Limits = field(default_factory=dict)
    active: bool = True
    generations: Generations = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class EffectiveLimit:
    """The limit that holds for a member in one period, and whose setting it is."""

    period: LimitPeriod
    amount_nanos: int
    source: LimitSource


def parse_duration(value: object, field: str) -> int:
    """Read the length of a window, such as "PT5H" or "P7D", in minutes.

    Raises:
        InvalidRequest: not whole days, hours or minutes, or more than 45 days.
    """
    if type(value) is str and (found := _DURATION.fullmatch(value)):
        days, hours, minutes = (int(part or 0) for part in found.groups())
        total = days * 1440 + hours * 60 + minutes
        if 0 < total <= WINDOW_MINUTES_MAX:
            return total
    raise InvalidRequest(field, 'must be a duration such as "PT5H" or "P7D", at most 45 days')


def format_duration(minutes: int) -> str:
    """Print the length of a window in the largest unit that is whole."""
    for per, pattern in ((1440, "P{}D"), (60, "PT{}H")):
        if minutes % per == 0:
            return pattern.format(minutes // per)
    return f"PT{minutes}M"


def admits(organization: Organization, member: Member) -> bool:
    """Tell whether the owner lets this member use extra usage at all; nobody who left may."""
    return member.active and (organization.admission == "everyone" or member.admitted)


def effective_limits(organization: Organization, member: Member) -> tuple[EffectiveLimit, ...]:
    """Return the member's limits by period: their own override, else their seat tier's.

    A period without either, or whose override says unlimited, does not appear.
    """
    tier = organization.tiers[member.seat_tier].limits
    found: list[EffectiveLimit] = []
    for period in LIMIT_PERIODS:
        source: LimitSource = "user" if period in member.limits else "seat_tier"
        amount = member.limits[period] if period in member.limits else tier.get(period)
        if amount is not None:
            found.append(EffectiveLimit(period, amount, source))
    return tuple(found)


def renew_settings(old: Organization, new: Organization) -> Organization:
    """Return changed settings under the next version, which is the generation of changed limits."""
    version = old.version + 1
    tiers = {
        name: replace(
            tier,
            generations=_renewed(old.tiers[name].limits, tier.limits, old.tiers[name], version),
        )
        for name, tier in new.tiers.items()
    }
    cap_generation = old.cap_generation if new.cap_nanos == old.cap_nanos else version
    return replace(new, version=version, tiers=tiers, cap_generation=cap_generation)


def renew_member(organization: Organization, old: Member, new: Member) -> Member:
    """Return a changed member; the next version is the generation of limits that became others."""
    before, after = (
        {limit.period: limit.amount_nanos for limit in effective_limits(organization, each)}
        for each in (old, new)
    )
    return replace(new, generations=_renewed(before, after, old, organization.version + 1))


def generation_of(organization: Organization, member: Member, limit: EffectiveLimit) -> int:
    """Return the version at which a member's effective limit came to hold, 0 if from the start."""
    own = member.generations.get(limit.period, 0)
    if limit.source == "user":
        return own
    return max(own, organization.tiers[member.seat_tier].generations.get(limit.period, 0))


def _renewed(before: Limits, after: Limits, old: Tier | Member, version: int) -> Generations:
    changed = [period for period in LIMIT_PERIODS if before.get(period) != after.get(period)]
    return {**old.generations, **dict.fromkeys(changed, version)}
