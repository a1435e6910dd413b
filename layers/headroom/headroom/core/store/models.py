"""The items of the table as PynamoDB models, and the domain's values they stand for.

The models say which attributes an item has, and build the expressions that change them. Reading
and writing goes through `Table`, so that each operation is one call whose refusal can be read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Self, cast

from pynamodb.attributes import (
    BooleanAttribute,
    JSONAttribute,
    ListAttribute,
    MapAttribute,
    UnicodeAttribute,
)
from pynamodb.expressions.operand import Path, Value
from pynamodb.models import Model

from headroom.core.store.attributes import IntegerAttribute
from headroom.core.store.keys import staff_of
from headroom.core.store.table import Item, Key
from headroom.organizations.domain.organization import (
    LIMIT_PERIODS,
    Admission,
    AllowanceWindow,
    EffectiveLimit,
    Generations,
    LimitPeriod,
    Limits,
    LimitSource,
    Member,
    Organization,
    Plan,
    Role,
    SeatTier,
    Tier,
)
from headroom.organizations.domain.pool import Pool
from headroom.organizations.domain.tax import Tax
from headroom.pricing.domain.prices import read_contract_price
from headroom.pricing.domain.pricing_terms import PricingTerms
from headroom.pricing.domain.requests import HoldRequest
from headroom.pricing.price_book import PRICE_BOOK
from headroom.spending.domain.authorization import Hold, Source
from headroom.spending.domain.budget import Budget, OpenWindow

# The version of what items look like; those without one are of the first. It tells, and decides
# nothing: while traffic shifts, two versions are read by either release.
SCHEMA: Final = 3


class Record(Model):
    """What every item has: its key, and the version of the schema that it was written under."""

    class Meta:
        table_name = "headroom"

    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)
    v = IntegerAttribute(default=SCHEMA)

    @classmethod
    def of(cls, item: Item) -> Self:
        """Read an item of the table."""
        return cls.from_raw_data(item)

    def to_item(self) -> Item:
        """Return the item without its key."""
        raw: Item = self.serialize()
        return {name: value for name, value in raw.items() if name not in ("pk", "sk")}


class SettingsRecord(Record):
    """An organization's settings. Tiers and contract prices are JSON: read whole, seldom."""

    org_id = UnicodeAttribute()
    plan = UnicodeAttribute()
    name = UnicodeAttribute()
    currency = UnicodeAttribute()
    time_zone = UnicodeAttribute()
    language = UnicodeAttribute()
    enabled = BooleanAttribute()
    admission = UnicodeAttribute()
    cap_nanos = IntegerAttribute(null=True)
    tiers = JSONAttribute()
    contract = JSONAttribute(null=True)
    past_due = BooleanAttribute(default=False)
    requests_enabled = BooleanAttribute(default=True)
    set_up: ListAttribute[Any] = ListAttribute(default=list)
    muted: ListAttribute[Any] = ListAttribute(default=list)
    tax = JSONAttribute(null=True)
    pricing = JSONAttribute(null=True)
    version = IntegerAttribute()
    cap_generation = IntegerAttribute(default=0)
    provisioned_from = UnicodeAttribute(null=True)

    @classmethod
    def from_domain(cls, key: Key, organization: Organization) -> SettingsRecord:
        """Write settings, apart from contract prices, which are stored as they were given."""
        return cls(
            key.pk,
            key.sk,
            org_id=organization.org_id,
            plan=organization.plan,
            name=organization.name,
            currency=organization.currency,
            time_zone=organization.time_zone,
            language=organization.language,
            enabled=organization.enabled,
            admission=organization.admission,
            cap_nanos=organization.cap_nanos,
            tiers={name: _tier_to_json(tier) for name, tier in organization.tiers.items()},
            past_due=organization.past_due,
            requests_enabled=organization.requests_enabled,
            set_up=sorted(organization.set_up),
            muted=sorted(organization.muted),
            tax=tax_value(organization.tax),
            pricing=organization.pricing.pack(),
            cap_generation=organization.cap_generation,
            version=organization.version,
        )

    def to_domain(self) -> Organization:
        """Read settings."""
        raw_tiers = cast("dict[SeatTier, Mapping[str, Any]]", self.tiers)
        raw_contract = cast("list[Mapping[str, Any]]", self.contract or [])
        return Organization(
            org_id=self.org_id,
            plan=cast("Plan", self.plan),
            name=self.name,
            currency=self.currency,
            time_zone=self.time_zone,
            language=self.language,
            enabled=self.enabled,
            admission=cast("Admission", self.admission),
            cap_nanos=self.cap_nanos,
            tiers={name: _tier_from_json(raw) for name, raw in raw_tiers.items()},
            past_due=self.past_due,
            version=self.version,
            requests_enabled=self.requests_enabled,
            set_up=frozenset(self.set_up),
            muted=frozenset(self.muted),
            tax=read_tax(self.tax),
            pricing=PricingTerms.unpack(cast("dict[str, Any] | None", self.pricing)),
            cap_generation=self.cap_generation,
            contract=tuple(
                read_contract_price(raw, PRICE_BOOK, "contract") for raw in raw_contract
            ),
        )


def tax_value(tax: Tax | None) -> list[str] | None:
    """Return a tax as items keep it."""
    return None if tax is None else [tax.name, tax.rate]


def read_tax(raw: object) -> Tax | None:
    """Read a tax as items keep it."""
    return None if raw is None else Tax(*cast("list[str]", raw))


class ProvisioningRecord(Record):
    """The hash of the document that an organization is being made from."""

    digest = UnicodeAttribute()


class MemberRecord(Record):
    """A member's profile and own settings."""

    org_id = UnicodeAttribute()
    user_id = UnicodeAttribute()
    name = UnicodeAttribute()
    email = UnicodeAttribute()
    role = UnicodeAttribute()
    seat_tier = UnicodeAttribute()
    admitted = BooleanAttribute()
    continues = BooleanAttribute()
    limits = JSONAttribute()
    active = BooleanAttribute(default=True)
    generations = JSONAttribute(null=True)
    member_period = UnicodeAttribute(null=True)
    occurred_at = UnicodeAttribute(null=True)

    @classmethod
    def from_domain(cls, key: Key, member: Member) -> MemberRecord:
        """Write a member; those with a role above it are listed in index `by_member` too."""
        is_staff = member.active and member.role != "member"
        return cls(
            key.pk,
            key.sk,
            org_id=member.org_id,
            user_id=member.user_id,
            name=member.name,
            email=member.email,
            role=member.role,
            seat_tier=member.seat_tier,
            admitted=member.admitted,
            continues=member.continues,
            limits=dict(member.limits),
            active=member.active,
            generations=dict(member.generations) or None,
            member_period=staff_of(member.org_id) if is_staff else None,
            occurred_at=member.user_id if is_staff else None,
        )

    def to_domain(self) -> Member:
        """Read a member."""
        return Member(
            org_id=self.org_id,
            user_id=self.user_id,
            name=self.name,
            email=self.email,
            role=cast("Role", self.role),
            seat_tier=cast("SeatTier", self.seat_tier),
            admitted=self.admitted,
            continues=self.continues,
            limits=_limits_from_json(cast("dict[str, Any]", self.limits)),
            active=self.active,
            generations=_generations_from_json(cast("dict[str, Any]", self.generations or {})),
        )


class PoolRecord(Record):
    """What the organization has not handed out. See `Pool`."""

    period = UnicodeAttribute()
    unallotted = IntegerAttribute()
    funds = IntegerAttribute()
    version = IntegerAttribute()
    grants = IntegerAttribute(default=0)
    drained_at = IntegerAttribute(default=-1)
    expiry = IntegerAttribute(default=0)
    moves = IntegerAttribute(default=0)
    enforced_until = IntegerAttribute(default=0)
    reload_at = IntegerAttribute(null=True)
    reload_from = IntegerAttribute(default=0)

    @classmethod
    def from_domain(cls, key: Key, pool: Pool) -> PoolRecord:
        """Write a pool."""
        return cls(
            key.pk,
            key.sk,
            period=pool.period,
            unallotted=pool.unallotted,
            funds=pool.funds,
            version=pool.version,
            grants=pool.grants,
            drained_at=pool.drained_at,
            expiry=pool.expiry_millis,
            moves=pool.moves,
            enforced_until=pool.enforced_until_millis,
            reload_at=pool.reload_at,
            reload_from=pool.reload_from_millis,
        )

    def to_domain(self) -> Pool:
        """Read a pool."""
        return Pool(
            period=self.period,
            unallotted=self.unallotted,
            funds=self.funds,
            version=self.version,
            grants=self.grants,
            drained_at=self.drained_at,
            expiry_millis=self.expiry,
            moves=self.moves,
            enforced_until_millis=self.enforced_until,
            reload_at=self.reload_at,
            reload_from_millis=self.reload_from,
        )


class WalletRecord(Record):
    """A wallet. What is read whole is JSON; the rest is for conditions, filters and the index."""

    org_id = UnicodeAttribute()
    version = IntegerAttribute()
    lots = JSONAttribute()
    booked = JSONAttribute()
    owed = JSONAttribute()
    auto_reload = JSONAttribute(null=True)
    auto_reload_was = JSONAttribute(null=True)
    pending = JSONAttribute()
    refunds = JSONAttribute()
    month = UnicodeAttribute()
    reloaded = IntegerAttribute()
    reloads = IntegerAttribute()
    credits = IntegerAttribute()
    last_credit = IntegerAttribute()
    emptied = IntegerAttribute(default=-1)
    breaker = JSONAttribute(null=True)
    cool_until = IntegerAttribute()
    customer_id = UnicodeAttribute(null=True)
    payment_method = JSONAttribute(null=True)
    crossed = BooleanAttribute()
    looked_at = IntegerAttribute()
    due_shard = UnicodeAttribute()
    due_at = IntegerAttribute()


class WalletEntryRecord(Record):
    """A change of a wallet, immutable."""

    org_id = UnicodeAttribute()
    entry_id = UnicodeAttribute()
    version = IntegerAttribute()
    kind = UnicodeAttribute()
    amount = IntegerAttribute()
    balance = IntegerAttribute()
    created_at = UnicodeAttribute()
    lot_expires_at = IntegerAttribute(null=True)
    payment_id = UnicodeAttribute(null=True)
    period = UnicodeAttribute(null=True)
    description = UnicodeAttribute(null=True)


class IntentRecord(Record):
    """A payment that was meant, and what became of it."""

    org_id = UnicodeAttribute()
    intent_id = UnicodeAttribute()
    kind = UnicodeAttribute()
    amount = IntegerAttribute()
    currency = UnicodeAttribute()
    state = UnicodeAttribute()
    created_at = IntegerAttribute()
    month = UnicodeAttribute()
    customer_id = UnicodeAttribute()
    payment_method_id = UnicodeAttribute()
    request = UnicodeAttribute(null=True)
    payment_id = UnicodeAttribute(null=True)
    decline_code = UnicodeAttribute(null=True)
    entry_version = IntegerAttribute(null=True)
    refunded = IntegerAttribute(default=0)
    returned = IntegerAttribute(default=0)
    disputed = IntegerAttribute(default=0)
    counted = BooleanAttribute(null=True)


class OperationRecord(Record):
    """Something done to a wallet once, under an id of whoever did it."""

    org_id = UnicodeAttribute()
    operation_id = UnicodeAttribute()
    request = UnicodeAttribute()
    state = UnicodeAttribute()
    amount = IntegerAttribute()
    payment_id = UnicodeAttribute(null=True)
    entry_version = IntegerAttribute(null=True)


class CustomerRecord(Record):
    """Whose customer at the payment processor this is."""

    org_id = UnicodeAttribute()


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


class RegistrationRecord(Record):
    """A member of whom the organization may have to recall something, and when to look."""

    org_id = UnicodeAttribute()
    user_id = UnicodeAttribute()
    due_shard = UnicodeAttribute()
    due_at = IntegerAttribute()


class LineRecord(Record):
    """A usage line of the ledger. Amounts are nanos; `usage` and `components` are kept whole.

    One of usage without a price has the source "unpriced", no amounts, no period and no tier, and
    what only it has: its event as it was sent, why it has no price, when to try again.
    """

    org_id = UnicodeAttribute()
    user_id = UnicodeAttribute()
    event_id = UnicodeAttribute()
    authorization_id = UnicodeAttribute(null=True)
    digest = UnicodeAttribute()
    model = UnicodeAttribute()
    product = UnicodeAttribute(null=True)
    seat_tier = UnicodeAttribute()
    source = UnicodeAttribute()
    because = UnicodeAttribute(null=True)
    cost = IntegerAttribute()
    charged = IntegerAttribute()
    unbilled = IntegerAttribute()
    period = UnicodeAttribute()
    occurred_at = UnicodeAttribute()
    recorded_at = UnicodeAttribute()
    price_version = UnicodeAttribute()
    components = JSONAttribute()
    model_named = UnicodeAttribute(null=True)
    notes = JSONAttribute(null=True)
    usage = JSONAttribute()
    member_period = UnicodeAttribute()
    unpriced_digest = UnicodeAttribute(null=True)
    unpriced = JSONAttribute(null=True)
    as_sent = JSONAttribute(null=True)
    attempts = IntegerAttribute(null=True)
    due_shard = UnicodeAttribute(null=True)
    due_at = IntegerAttribute(null=True)


class ReceiptRecord(Record):
    """The first answer to a request with an Idempotency-Key, and the hash of that request.

    Without an answer the request was begun, and perhaps cut off.
    """

    request = UnicodeAttribute()
    answer = JSONAttribute(null=True)
    begun_at = UnicodeAttribute(null=True)
    expires_at = IntegerAttribute()


class PaymentEventRecord(Record):
    """What the payment processor told us. It is due until it was acted on, and kept for a while."""

    kind = UnicodeAttribute()
    created_at = UnicodeAttribute()
    received_at = UnicodeAttribute()
    payment_id = UnicodeAttribute(null=True)
    payment_key = UnicodeAttribute(null=True)
    customer_id = UnicodeAttribute(null=True)
    amount_cents = IntegerAttribute()
    state = UnicodeAttribute()
    attempts = IntegerAttribute(default=0)
    due_shard = UnicodeAttribute(null=True)
    due_at = IntegerAttribute(null=True)
    expires_at = IntegerAttribute(null=True)


class AuditRecord(Record):
    """A change of settings. With a `detail_type` the stream announces it on the event bus."""

    org_id = UnicodeAttribute()
    at = UnicodeAttribute()
    actor = JSONAttribute()
    action = UnicodeAttribute()
    subject = UnicodeAttribute()
    before = JSONAttribute()
    after = JSONAttribute()
    detail_type = UnicodeAttribute(null=True)
    detail = JSONAttribute(null=True)


class LimitRecord(Record):
    """A spend limit as the Spend Limits API lists it; the settings themselves are the truth."""

    org_id = UnicodeAttribute()
    scope_type = UnicodeAttribute()
    scope_id = UnicodeAttribute()
    period = UnicodeAttribute()
    amount_nanos = IntegerAttribute(null=True)
    created_at = UnicodeAttribute()
    updated_at = UnicodeAttribute()


class AnnouncementRecord(Record):
    """An event for the bus, written in the transaction of what it tells."""

    detail_type = UnicodeAttribute()
    detail = JSONAttribute()
    expires_at = IntegerAttribute()


class MailRecord(Record):
    """That a person was, or is about to be, told of an event by mail."""

    claimed_at = UnicodeAttribute()
    expires_at = IntegerAttribute()


class IncreaseRecord(Record):
    """A member's request for a higher limit, and what became of it."""

    org_id = UnicodeAttribute()
    user_id = UnicodeAttribute()
    period = UnicodeAttribute()
    status = UnicodeAttribute()
    created_at = UnicodeAttribute()
    note = UnicodeAttribute(null=True)
    resolved_at = UnicodeAttribute(null=True)
    resolved_by = JSONAttribute(null=True)


class PendingRecord(Record):
    """Which request of a member is pending, and since when."""

    org_id = UnicodeAttribute()
    user_id = UnicodeAttribute()
    request_id = UnicodeAttribute()
    due_shard = UnicodeAttribute()
    due_at = IntegerAttribute()


class SpendRecord(Record):
    """A figure that follows the budgets: a member's part of it, or the organization's total."""

    spent = IntegerAttribute()


class RateRecord(Record):
    """A count of calls in one minute."""

    calls = IntegerAttribute()
    expires_at = IntegerAttribute()


class RefusalRecord(Record):
    """One of the refusals that an organization's members met lately."""

    user_id = UnicodeAttribute()
    reason = UnicodeAttribute()
    scope = JSONAttribute()
    at = UnicodeAttribute()
    expires_at = IntegerAttribute()


class KeyRecord(Record):
    """An API key: the hash of its secret is its place, the secret itself is nowhere."""

    org_id = UnicodeAttribute()
    key_id = UnicodeAttribute()
    name = UnicodeAttribute()
    scopes: ListAttribute[Any] = ListAttribute()
    hint = UnicodeAttribute()
    digest = UnicodeAttribute()
    created_at = UnicodeAttribute()
    revoked_at = UnicodeAttribute(null=True)


def wire_moment(moment: datetime) -> str:
    """Print a moment so that text sorts as time: always with microseconds."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


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


def _tier_to_json(tier: Tier) -> dict[str, Any]:
    return {
        "limits": dict(tier.limits),
        "allowance": [
            {
                "window": window.duration,
                "minutes": window.minutes,
                "amount": window.amount_nanos,
            }
            for window in tier.allowance
        ],
        "generations": dict(tier.generations),
    }


def _tier_from_json(raw: Mapping[str, Any]) -> Tier:
    return Tier(
        limits=_limits_from_json(raw["limits"]),
        allowance=tuple(
            AllowanceWindow(window["window"], window["minutes"], window["amount"])
            for window in raw["allowance"]
        ),
        generations=_generations_from_json(raw.get("generations", {})),
    )


def _generations_from_json(raw: Mapping[str, Any]) -> Generations:
    return {period: raw[period] for period in LIMIT_PERIODS if period in raw}


def _limits_from_json(raw: Mapping[str, Any]) -> Limits:
    return {period: raw[period] for period in LIMIT_PERIODS if period in raw}
