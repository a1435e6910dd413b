"""What the API takes and answers, as the models from which the OpenAPI document is made.

Only the document is made from these. The functions read requests with `headroom.wire`, which names
the member that is wrong; the end-to-end tests hold the answers of the deployed stack to these.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from headroom.core.wire.fields import ONE_LINE
from headroom.limits.usecases.increase_requests import NOTE_LENGTH_MAX
from headroom.organizations.domain.organization import Admission, LimitPeriod, Plan, Role, SeatTier
from headroom.pricing.domain.bounds import (
    ADVICE_TOKENS,
    COMPACTION_TRIGGER,
    LOOP_ROUNDS,
    LOOP_ROUNDS_MAX,
    Inexact,
)
from headroom.pricing.domain.modifiers import ModifierKind
from headroom.pricing.domain.prices import Kind, ServiceTier
from headroom.pricing.domain.pricing_terms import ALIASES_MAX
from headroom.pricing.domain.requests import CacheLifetime
from headroom.pricing.domain.usage import COUNT_MAX, ITERATIONS_MAX, Geography, IterationType, Speed
from headroom.pricing.wire.pricing import ALIAS
from headroom.provisioning.wire.provisioning import NAME_LENGTH_MAX
from headroom.spending.domain.allotment import Level, Reason
from headroom.spending.domain.authorization import Source
from headroom.spending.store.unpriced import COUNTED_MAX
from headroom.spending.wire.authorizations import (
    FALLBACKS_MAX,
    MODEL_LENGTH_MAX,
    TTL_SECONDS,
    TTL_SECONDS_MAX,
    USES_MAX,
    WEB_SEARCHES_MAX,
)
from headroom.spending.wire.usage_events import (
    AUTHORIZATION_ID_LENGTH_MAX,
    EVENT_ID_LENGTH_MAX,
    EVENTS_MAX,
    PRODUCT_LENGTH_MAX,
    STOP_REASON_LENGTH_MAX,
    USAGE_KEPT_LENGTH_MAX,
    USAGE_LENGTH_MAX,
)
from headroom.wallets.domain.reload import ReloadState
from headroom.wallets.domain.wallet import EntryKind, IntentKind, LotKind
from tools.example_models import MODEL

# A text without line breaks and other control characters.
LINE = f"^{ONE_LINE.pattern}$"

Setting = Annotated[
    str,
    Field(
        pattern=r"^(0|[1-9][0-9]{0,14})$",
        description="Whole minor units (cents).",
        examples=["50000"],
    ),
]
Limit = Annotated[
    Setting | None,
    Field(description="Whole minor units (cents); null is unlimited.", examples=["50000"]),
]
Exact = Annotated[
    str,
    Field(
        pattern=r"^-?[0-9]+(\.[0-9]{1,9})?$",
        description="Minor units (cents), exact.",
        examples=["14.352"],
    ),
]
Rounded = Annotated[
    str,
    Field(
        pattern=r"^[0-9]+(\.[0-9]{1,3})?$",
        description="Minor units (cents), rounded half-even to three decimals.",
        examples=["12050.5"],
    ),
]
Moment = Annotated[
    str,
    Field(json_schema_extra={"format": "date-time"}, examples=["2026-11-23T12:00:00Z"]),
]
Period = Annotated[
    str,
    Field(
        pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$", description="A billing month.", examples=["2026-11"]
    ),
]
UserId = Annotated[str, Field(pattern=r"^user_[A-Za-z0-9_-]{1,64}$", examples=["user_ada"])]
Count = Annotated[int, Field(ge=0, le=COUNT_MAX)]
Tokens = Annotated[int, Field(ge=1, le=COUNT_MAX)]
Seconds = Annotated[int, Field(ge=1, le=TTL_SECONDS_MAX)]
Model = Annotated[str, Field(min_length=1, max_length=MODEL_LENGTH_MAX, examples=[MODEL])]
ServiceTierName = Annotated[
    Literal["standard", "batch", "priority", "default", "standard_only", "auto"],
    Field(description="Only `batch` has a price of its own: all others are charged as standard."),
]
Alias = Annotated[str, Field(pattern=rf"^{ALIAS.pattern}$")]
Uses = Annotated[int, Field(ge=0, le=USES_MAX)]
KeyScope = Literal[
    "write:usage",
    "read:spend_limits",
    "write:spend_limits",
    "read:billing",
    "write:billing",
    "write:members",
]
UsageSource = Literal["included", "extra_usage", "unbilled"]


class Body(BaseModel):
    """An object with no members but those named."""

    model_config = ConfigDict(extra="forbid")


class Open(BaseModel):
    """An object that may have other members, which are kept or ignored."""

    model_config = ConfigDict(extra="allow")


# Spending.


class Compaction(Body):
    trigger: Annotated[
        Count | None,
        Field(description=f"From so much input on; {COMPACTION_TRIGGER} if not said."),
    ] = None


class AdvisorTool(Body):
    model: Model
    max_uses: Uses | None = None
    max_tokens: Annotated[
        Tokens | None,
        Field(description=f"Of one advice; {ADVICE_TOKENS} are held for if not said."),
    ] = None


class FallbackModel(Body):
    model: Model
    max_tokens: Annotated[Tokens | None, Field(description="The request's if not said.")] = None
    speed: Annotated[
        Speed | None, Field(description="The request's, where it is sold, if not said.")
    ] = None


class ServerToolLimit(Body):
    max_uses: Annotated[Uses | None, Field(description="As often as it likes if not said.")] = None


class ServerTools(Body):
    web_search: ServerToolLimit | None = None
    web_fetch: ServerToolLimit | None = None
    code_execution: ServerToolLimit | None = None
    tool_search: ServerToolLimit | None = None
    mcp: ServerToolLimit | None = None


class AuthorizationRequest(Body):
    user_id: UserId
    model: Model
    input_tokens: Count
    max_tokens: Tokens
    min_tokens: Annotated[
        Tokens | None, Field(description="Accept less output than `max_tokens`, but not less.")
    ] = None
    web_search_requests: Annotated[int, Field(ge=0, le=WEB_SEARCHES_MAX)] | None = None
    service_tier: ServiceTierName | None = None
    speed: Annotated[
        Speed | None, Field(description="A model that is not sold with it is a 400.")
    ] = None
    inference_geo: Annotated[
        Geography | None,
        Field(description="The organization's default if not said, where the model knows it."),
    ] = None
    cache_lifetimes: Annotated[
        list[CacheLifetime] | None,
        Field(description="Which caches may be written: any if not said, none if empty."),
    ] = None
    compaction: Annotated[
        Compaction | None, Field(description="The context may be compacted; not if not said.")
    ] = None
    advisor: AdvisorTool | None = None
    fallbacks: Annotated[
        Literal["default"] | Annotated[list[FallbackModel], Field(max_length=FALLBACKS_MAX)] | None,
        Field(description="What is tried when the model declines, in this order."),
    ] = None
    server_tools: Annotated[
        ServerTools | None, Field(description="What the server may run, and how often.")
    ] = None
    use_extra_usage: Annotated[
        bool | None, Field(description="The member's choice for this request alone.")
    ] = None
    ttl_seconds: Annotated[
        Seconds | None, Field(description=f"How long to hold the money; {TTL_SECONDS} if not said.")
    ] = None


class ExtensionRequest(Body):
    ttl_seconds: Seconds | None = None
    max_tokens: Tokens | None = None


class OrganizationScope(Body):
    type: Literal["organization"]


class SeatTierScope(Body):
    type: Literal["seat_tier"]
    seat_tier: SeatTier


class UserScope(Body):
    type: Literal["user"]
    user_id: UserId


Scope = Annotated[OrganizationScope | SeatTierScope | UserScope, Field(discriminator="type")]
OwnScope = Annotated[SeatTierScope | UserScope, Field(discriminator="type")]


class HeldUnder(Body):
    scope: OwnScope
    period: LimitPeriod
    amount: Exact
    remaining: Exact
    resets_at: Moment


class Bound(Body):
    exact: Annotated[bool, Field(description="Whether nothing that obeys the request costs more.")]
    because: Annotated[
        list[Inexact],
        Field(description="What nobody bounds, and was held for with a cautious factor."),
    ]


class Authorization(Body):
    type: Literal["authorization"]
    id: str
    user_id: UserId
    model: Model
    source: Source
    amount: Annotated[
        Exact, Field(description="What is held: an upper bound of the cost where `bound` is exact.")
    ]
    max_tokens: Annotated[Tokens, Field(description="What the money allows.")]
    bound: Bound
    expires_at: Moment
    period: Period
    limits: list[HeldUnder]


class AuthorizationReleased(Body):
    type: Literal["authorization_released"]
    id: str


class CacheCreation(Open):
    ephemeral_5m_input_tokens: Count | None = None
    ephemeral_1h_input_tokens: Count | None = None


class ServerToolUse(Open):
    web_search_requests: Count | None = None


class Iteration(Open):
    type: IterationType
    model: Annotated[
        Model | None,
        Field(description="Required of an `advisor_message` and a `fallback_message`."),
    ] = None
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_creation: CacheCreation | None = None


class FallbackCreditStatus(Open):
    type: Any = None


class FallbackCredit(Open):
    status: FallbackCreditStatus | None = None


class Usage(Open):
    """The Messages API `usage` object as it stands; unknown members are kept and ignored."""

    input_tokens: Count | None
    output_tokens: Count | None
    cache_read_input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_creation: CacheCreation | None = None
    server_tool_use: ServerToolUse | None = None
    service_tier: ServiceTierName | None = None
    speed: Speed | None = None
    inference_geo: Annotated[
        Literal["global", "us", "not_available", ""] | None,
        Field(description="Only `us` has a price of its own."),
    ] = None
    iterations: Annotated[
        Annotated[list[Iteration], Field(max_length=ITERATIONS_MAX)] | None,
        Field(
            description="Tells the samplings of one request apart; compaction, advice and declined "
            "attempts are charged beside the figures above. With more entries, or one that is not "
            "understood, usage is kept as `unpriced`."
        ),
    ] = None
    fallback_credit: Annotated[
        FallbackCredit | None, Field(description="Noted on the line; the figures count.")
    ] = None


class UsageEvent(Body):
    id: Annotated[
        str,
        Field(
            pattern=rf"^[!-~]{{1,{EVENT_ID_LENGTH_MAX}}}$",
            description="The client's id: billed at most once per organization, ever.",
        ),
    ]
    authorization_id: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=AUTHORIZATION_ID_LENGTH_MAX,
            description="Without it the event is charged on arrival.",
        ),
    ] = None
    user_id: UserId
    model: Model
    product: Annotated[str | None, Field(min_length=1, max_length=PRODUCT_LENGTH_MAX)] = None
    occurred_at: Moment
    usage: Annotated[
        Usage,
        Field(
            description=f"With more than {USAGE_LENGTH_MAX:,} characters of JSON, or a count of a "
            "cache lifetime or server tool that is not known, it is kept as `unpriced`; with more "
            f"than {USAGE_KEPT_LENGTH_MAX:,} it is rejected."
        ),
    ]
    stop_reason: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=STOP_REASON_LENGTH_MAX,
            description="The answer's. A `refusal` before any output costs nothing.",
            examples=["end_turn"],
        ),
    ] = None


class UsageEventsRequest(Body):
    events: Annotated[list[UsageEvent], Field(min_length=1, max_length=EVENTS_MAX)]


class EventError(Body):
    type: str
    message: str


class RecordedUsageEvent(Body):
    type: Literal["usage_event"]
    id: str
    status: Literal["recorded", "duplicate"]
    source: UsageSource
    amount: Exact
    period: Period
    unbilled: Annotated[
        Exact, Field(description="What was used past a limit beside `amount`; never charged.")
    ] = "0"


class NoPrice(Body):
    field: Annotated[str, Field(description="The member of the event that has no price.")]
    message: str


class UnpricedUsageEvent(Body):
    type: Literal["usage_event"]
    id: str
    status: Literal["recorded", "duplicate"]
    source: Literal["unpriced"]
    amount: Annotated[Exact, Field(description="Nothing, until it has a price.")]
    period: None
    unpriced: NoPrice


class RejectedUsageEvent(Body):
    type: Literal["usage_event"]
    id: str | None
    status: Literal["rejected"]
    error: EventError


class UsageEventResults(Body):
    type: Literal["usage_events"]
    results: Annotated[
        list[RecordedUsageEvent | UnpricedUsageEvent | RejectedUsageEvent],
        Field(description="One an event, in the order of the request."),
    ]


# Settings.


class MembersSetting(Body):
    mode: Admission


class RequestsSetting(Body):
    enabled: bool


class AmountSetting(Body):
    amount: Limit


class TierLimitSetting(Body):
    amount: Limit
    period: LimitPeriod | None = None


class PricingSetting(Body):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"minProperties": 1})

    model_aliases: Annotated[
        dict[Alias, Model],
        Field(
            max_length=ALIASES_MAX,
            description="All names that only the organization knows, and the model that each "
            "means; empty is none. A model's own name cannot be one.",
            examples=[{"arn:aws:bedrock:us-east-1:1:application-inference-profile/a1b2": MODEL}],
        ),
    ] = {}
    default_inference_geo: Annotated[
        Geography,
        Field(
            description="The workspace's, of requests that name none, for the models that know the "
            "parameter. A hold is exact only if this is so."
        ),
    ] = "global"
    loop_rounds: Annotated[
        int,
        Field(
            ge=1,
            le=LOOP_ROUNDS_MAX,
            description="How many rounds of a server's tool loop are held for, at most.",
        ),
    ] = LOOP_ROUNDS


class Pricing(Body):
    type: Literal["pricing"]
    model_aliases: dict[str, Model]
    default_inference_geo: Geography
    loop_rounds: int


class SpendLimitState(Body):
    amount: Limit
    period_to_date_spend: Exact
    held: Exact
    remaining: Exact | None


class SeatTierState(Body):
    spend_limit: Limit
    daily_spend_limit: Limit = None
    weekly_spend_limit: Limit = None


class SeatTierStates(Body):
    standard: SeatTierState
    premium: SeatTierState


class AutoReload(Body):
    enabled: bool
    threshold: Annotated[
        Setting | None,
        Field(
            description="Reload when what is free to spend (the balance, less what is held) comes "
            "down to this; null if never said."
        ),
    ]
    amount: Setting | None
    monthly_limit: Limit
    reloaded_this_month: Annotated[
        Exact,
        Field(
            description="Reloads of the running billing month, with those that are under way and "
            "those whose outcome was never known."
        ),
    ]
    state: Annotated[
        ReloadState, Field(description="What stands in a reload's way; `ready` if nothing does.")
    ]
    next_step: Annotated[str | None, Field(description="What would help, null if nothing has to.")]


class WalletState(Body):
    balance: Exact
    held: Exact
    auto_reload: AutoReload


class WalletLot(Body):
    id: str
    kind: LotKind
    amount: Exact
    remaining: Exact
    created_at: Moment
    expires_at: Moment | None


class SavedPaymentMethod(Body):
    id: str
    brand: str
    last4: str


class PendingPayment(Body):
    id: str
    kind: IntentKind
    amount: Exact
    status: Literal["pending", "requires_action"]
    created_at: Moment


class Wallet(Body):
    type: Literal["wallet"]
    currency: str
    balance: Annotated[Exact, Field(description="What is not spent, exact, held money included.")]
    held: Exact
    lots: Annotated[
        list[WalletLot],
        Field(description="In the order in which they are spent; they sum up to the balance."),
    ]
    auto_reload: AutoReload
    payment_method: SavedPaymentMethod | None
    pending: Annotated[list[PendingPayment], Field(description="Payments under way.")]
    owed: Annotated[
        Exact, Field(description="What disputed or refunded payments lack; spending waits for it.")
    ]
    standing: Literal["good", "payment_past_due", "payment_declined", "payment_needs_action"]
    next_steps: list[str]


class WalletEntry(Body):
    type: Literal["wallet_entry"]
    id: str
    kind: EntryKind
    amount: Annotated[Exact, Field(description="Signed.")]
    balance: Annotated[Exact, Field(description="The sum of all entries up to this one.")]
    created_at: Moment
    expires_at: Moment | None
    payment_id: str | None
    period: Annotated[Period | None, Field(description="Of usage.")]
    description: str | None


class TopUpRequest(Body):
    amount: Setting
    payment_method: Annotated[
        str | None,
        Field(
            pattern=r"^[A-Za-z0-9_]{1,255}$",
            description="The processor's id; it is saved as the default first.",
            examples=["pm_card_visa"],
        ),
    ] = None


class WalletTopUp(Body):
    type: Literal["wallet_top_up"]
    id: str
    amount: Exact
    status: Literal["succeeded", "pending", "requires_action"]
    client_secret: Annotated[
        str | None, Field(description="With `requires_action`: what the card's holder needs.")
    ] = None
    entry: WalletEntry | None


class WalletPayment(Body):
    type: Literal["wallet_payment"]
    id: str
    kind: IntentKind
    amount: Exact
    status: Literal["succeeded", "pending", "requires_action", "declined", "void"]
    decline_code: str | None
    redirect_url: Annotated[
        str | None,
        Field(
            description="With `requires_action`: where the card's holder confirms it, to be led "
            "back to Settings > Usage. Null if the card cannot be asked."
        ),
    ]


KeptLimit = Annotated[
    Setting | None,
    Field(
        description="Whole minor units (cents); null is unlimited. Left out, what was said last "
        "stays, also if that was while it was off: only null lifts it. There is no limit as long "
        "as none was ever said."
    ),
]


class AutoReloadOn(Body):
    enabled: Literal[True]
    threshold: Setting
    amount: Setting
    monthly_limit: KeptLimit = None


class AutoReloadOff(Body):
    """Switches it off. What is said is kept for the next time; what is left out or null stays."""

    enabled: Literal[False]
    threshold: Setting | None = None
    amount: Setting | None = None
    monthly_limit: Annotated[
        Setting | None,
        Field(
            description="Whole minor units (cents), for the next time. Left out or null, what was "
            "said last stays: it is lifted by null while `enabled` is true."
        ),
    ] = None


AutoReloadSetting = AutoReloadOn | AutoReloadOff


class AutoReloadState(AutoReload):
    type: Literal["auto_reload"]


class RequestsState(Body):
    enabled: bool
    pending: Annotated[int, Field(ge=0)]


class SetupStep(Body):
    name: Literal["payment", "auto_reload", "spend_limit", "members", "seat_tier_limits"]
    status: Annotated[
        Literal["done", "off", "due", "open"],
        Field(
            description="Whether what it sets is in force now (`done`), was looked at and is not "
            "(`off`), is next (`due`), or comes later (`open`)."
        ),
    ]


class UnpricedState(Body):
    events: Annotated[
        int,
        Field(
            ge=0,
            le=COUNTED_MAX,
            description=f"Usage events that wait for a price; {COUNTED_MAX} stands for as many or "
            "more.",
        ),
    ]


class ExtraUsage(Body):
    type: Literal["extra_usage"]
    plan: Plan
    enabled: bool
    next_step: Annotated[
        Literal["enable", "payment", "auto_reload", "spend_limit", "members", "seat_tier_limits"]
        | None,
        Field(description="What the owner should set next; null when all is set."),
    ]
    steps: Annotated[
        list[SetupStep], Field(description="The steps of setting it up, in the plan's order.")
    ]
    period: Period
    currency: str
    members: MembersSetting
    spend_limit: SpendLimitState
    seat_tiers: SeatTierStates
    requests: RequestsState
    unpriced: UnpricedState
    wallet: Annotated[WalletState | None, Field(description="Team only.")] = None


class MemberRequest(Body):
    user_id: UserId | None = None
    name: Annotated[str, Field(min_length=1, max_length=NAME_LENGTH_MAX, pattern=LINE)]
    email: Annotated[str, Field(max_length=254, pattern=r"^[^@\s]+@[^@\s]+$")]
    role: Literal["owner", "admin", "member"] = "member"
    seat_tier: SeatTier = "standard"
    extra_usage: bool | None = None
    continue_with_extra_usage: bool | None = None


class MemberChange(Body):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"minProperties": 1})

    extra_usage: bool = False
    seat_tier: SeatTier = "standard"
    role: Role = "member"


class Member(Body):
    type: Literal["member"]
    user_id: UserId
    name: str
    email: str
    role: Role
    seat_tier: SeatTier
    extra_usage: bool
    continue_with_extra_usage: bool


class MemberDeleted(Body):
    type: Literal["member_deleted"]
    user_id: UserId


class ApiKeyRequest(Body):
    name: Annotated[str, Field(min_length=1, max_length=100, pattern=LINE)]
    scopes: Annotated[list[KeyScope], Field(min_length=1)]


class ApiKey(Body):
    type: Literal["api_key"]
    id: str
    name: str
    scopes: list[KeyScope]
    hint: str
    status: Literal["active", "revoked"]


class NewApiKey(ApiKey):
    secret: Annotated[
        str | None, Field(description="Shown once: not in the answer to a repeated request.")
    ] = None


class ApiKeyRevoked(Body):
    type: Literal["api_key_revoked"]
    id: str


class Changer(Body):
    type: Literal["user", "api_key", "system", "operator"]
    id: str
    name: Annotated[str | None, Field(description="What an API key is called.")] = None


class AuditEntry(Body):
    type: Literal["audit_entry"]
    id: str
    at: Moment
    actor: Changer
    action: str
    subject: str
    before: dict[str, Any]
    after: dict[str, Any]


# The Spend Limits API.


class SpendLimitRequest(Body):
    scope: Scope
    amount: Limit
    period: LimitPeriod | None = None


class SpendLimit(Body):
    type: Literal["spend_limit"]
    id: str
    scope: Scope
    amount: Limit
    currency: str
    period: LimitPeriod
    is_enabled: bool
    created_at: Moment
    updated_at: Moment


class SpendLimitDeleted(Body):
    type: Literal["spend_limit_deleted"]
    id: str


class UserActor(Body):
    type: Literal["user_actor"]
    user_id: UserId
    name: str
    email_address: str
    deleted: bool


class KeyActor(Body):
    type: Literal["scoped_api_key_actor"]
    scoped_api_key_id: str
    name: str | None = None


class SpendSummary(Body):
    type: Literal["spend_summary"]
    actor: UserActor
    scope: UserScope
    source: Scope
    spend_limit_id: str
    amount: Limit
    currency: str
    period: LimitPeriod
    period_to_date_spend: Rounded


class ApproveRequest(Body):
    amount: Setting
    period: LimitPeriod | None = None
    suppress_notification: bool | None = None


class DenyRequest(Body):
    suppress_notification: bool | None = None


class IncreaseRequest(Body):
    type: Literal["spend_limit_increase_request"]
    id: str
    actor: UserActor
    period: LimitPeriod
    status: Literal["pending", "approved", "denied"]
    created_at: Moment
    resolved_at: Moment | None
    resolved_by: Annotated[UserActor | KeyActor, Field(discriminator="type")] | None
    note: str | None
    spend_summary: SpendSummary


class ApprovedIncreaseRequest(IncreaseRequest):
    spend_limit: Annotated[SpendLimit | None, Field(description="The limit that was written.")]


# The member's own view.


class Continuing(Body):
    continue_with_extra_usage: bool


class AllowanceState(Body):
    window: Annotated[str, Field(examples=["PT5H"])]
    amount: Exact
    remaining: Exact
    resets_at: Moment


class OwnLimit(Body):
    period: LimitPeriod
    amount: Limit
    source: Literal["user", "seat_tier"]
    remaining: Exact


class ComingReload(Body):
    status: Annotated[
        Literal["under_way", "due", "cooling_down"],
        Field(description="Whether it was charged for, is asked for now, or waits for its rest."),
    ]
    expected_at: Annotated[
        Moment, Field(description="When it should be there, if the processor answers.")
    ]


class NextRequest(Body):
    source: Source | None
    reason: Annotated[Reason, Field(description="Why it would be refused.")] = "contended"
    resets_at: Moment | None = None
    reload: Annotated[
        ComingReload | None,
        Field(description="Beside `wallet_empty`: the reload that comes by itself, if any does."),
    ] = None


class OwnRequests(Body):
    enabled: Annotated[bool, Field(description="Whether the owners take increase requests.")]
    pending: Annotated[str | None, Field(description="The request that waits for an answer.")]


class MemberExtraUsage(Body):
    type: Literal["member_extra_usage"]
    user_id: UserId
    name: str
    role: Role
    plan: Plan
    seat_tier: SeatTier
    period: Period
    currency: str
    enabled: bool
    admitted: bool
    continue_with_extra_usage: bool
    allowance: list[AllowanceState]
    limits: list[OwnLimit]
    period_to_date_spend: Exact
    held: Exact
    requests: OwnRequests
    next_request: Annotated[
        NextRequest, Field(description="What would happen on the next request.")
    ]


class AppliedModifier(Body):
    kind: ModifierKind | Literal["service_tier"]
    value: Annotated[str, Field(examples=["fast"])]
    factor: Annotated[str, Field(description="An exact fraction.", examples=["11/10"])]


class Component(Body):
    kind: str
    quantity: Annotated[int, Field(ge=0)]
    unit_price: Exact
    per: Annotated[int, Field(ge=1)]
    amount: Exact
    model: Annotated[Model, Field(description="Which it is of: an advisor has its own.")]
    price_version: str
    modifiers: list[AppliedModifier]


class UsageLine(Body):
    type: Literal["usage_line"]
    id: str
    authorization_id: str | None
    model: Annotated[Model, Field(description="The one that it was priced as.")]
    model_named: Annotated[Model, Field(description="The model's name as it came.")]
    product: str | None
    seat_tier: SeatTier
    source: UsageSource
    reason: Annotated[str | None, Field(description="Why it was extra.")]
    amount: Exact
    charged: Exact
    unbilled: Exact
    period: Period
    occurred_at: Moment
    recorded_at: Moment
    price_version: str
    modifiers: Annotated[
        list[AppliedModifier], Field(description="What multiplied the price of the tokens.")
    ]
    notes: Annotated[
        list[str],
        Field(
            description="What in the usage had to be decided.",
            examples=[["cache_writes_not_broken_down:320"]],
        ),
    ]
    components: list[Component]


class OwnIncreaseRequest(Body):
    period: LimitPeriod | None = None
    note: Annotated[str | None, Field(min_length=1, max_length=NOTE_LENGTH_MAX)] = None


# Lists. The cursor is opaque, and bound to the filters that issued it.


class Page(Body):
    type: Literal["list"]
    has_more: bool
    next_page: str | None


class MemberList(Page):
    data: list[Member]


class ApiKeyList(Page):
    data: list[ApiKey]


class WalletEntryList(Page):
    data: list[WalletEntry]


class AuditList(Page):
    data: list[AuditEntry]


class SpendLimitList(Page):
    data: list[SpendLimit]


class SpendSummaryList(Page):
    data: list[SpendSummary]


class IncreaseRequestList(Page):
    data: list[IncreaseRequest]


class UsageLineList(Page):
    data: list[UsageLine]


class UnpricedUsage(Body):
    type: Literal["unpriced_usage"]
    id: str
    authorization_id: str | None
    user_id: UserId
    model: Model
    product: str | None
    occurred_at: Moment
    recorded_at: Moment
    unpriced: NoPrice
    usage: Annotated[dict[str, Any], Field(description="The `usage` object as it was sent.")]


class UnpricedUsageList(Page):
    data: list[UnpricedUsage]


# Prices.


Day = Annotated[str, Field(json_schema_extra={"format": "date"}, examples=["2026-10-07"])]
StartDay = Annotated[
    Day | None, Field(description="The first UTC day; null if it holds from the beginning.")
]
SourceAddress = Annotated[str | None, Field(description="The address that it was read at.")]
ReadDay = Annotated[
    Day | None, Field(description="When it was read there; null where the version says it.")
]


class ListedRate(Body):
    kind: Kind
    unit_price: Exact
    per: Annotated[
        int, Field(ge=1, description="The unit price is for so many: a million tokens, one search.")
    ]


class ListedTier(Body):
    input_tokens_min: Annotated[
        int, Field(ge=0, description="For prompts of so many tokens, those of the cache included.")
    ]
    price_version: str
    rates: list[ListedRate]


class ListedPrice(Body):
    from_: Annotated[StartDay, Field(alias="from")]
    tiers: list[ListedTier]
    source: SourceAddress
    read: ReadDay


class ListedModifier(Body):
    kind: ModifierKind
    value: Annotated[str, Field(examples=["fast"])]
    factor: Annotated[
        str,
        Field(description="Multiplies every token rate, never a search.", examples=["11/10"]),
    ]
    from_: Annotated[StartDay, Field(alias="from")]
    until: Annotated[Day | None, Field(description="The last UTC day; null if no end is known.")]
    source: SourceAddress
    read: ReadDay


class ListedModel(Body):
    id: Model
    window: Annotated[int, Field(ge=1, description="The longest prompt that it takes today.")]
    prices: Annotated[list[ListedPrice], Field(description="The oldest first.")]
    modifiers: list[ListedModifier]


class AgreedPrice(Body):
    id: str
    model: Annotated[Model | None, Field(description="Null for all models.")]
    from_: Annotated[Day, Field(alias="from", description="The first UTC day.")]
    tiers: Annotated[list[ListedTier] | None, Field(description="In place of the listed ones.")]
    discount_percent: Annotated[
        Annotated[int, Field(ge=1, le=100)] | None,
        Field(description="Taken off the listed price of the moment."),
    ]
    modifiers: Annotated[
        list[ListedModifier],
        Field(description="In place of the listed ones of their kind, while they hold."),
    ]


class Prices(Body):
    type: Literal["prices"]
    version: str
    source: Annotated[str | None, Field(description="Of prices that name no other.")]
    currency: str
    models: list[ListedModel]
    service_tiers: Annotated[
        dict[ServiceTier, str],
        Field(
            description="What multiplies every token rate, and stacks with the modifiers.",
            examples=[{"standard": "1", "batch": "1/2"}],
        ),
    ]
    contract: Annotated[
        list[AgreedPrice],
        Field(description="The organization's own prices, which go before the listed ones."),
    ]


# Billing.


class UsageFigures(Body):
    requests: int
    amount: Annotated[Exact, Field(description="What was charged.")]
    included_amount: Annotated[Exact, Field(description="What the seats included, at API rates.")]
    unbilled_amount: Annotated[Exact, Field(description="What was beyond a limit: never charged.")]
    input_tokens: int
    output_tokens: int
    cache_read_input_tokens: int
    cache_creation_input_tokens: int
    web_search_requests: int


class UsageRow(UsageFigures):
    user_id: UserId | None = None
    name: Annotated[str | None, Field(description="The member's, beside their id.")] = None
    model: Model | None = None
    product: str | None = None
    seat_tier: SeatTier | None = None
    day: Annotated[str | None, Field(description="A UTC day.")] = None


class UsageReport(Body):
    type: Literal["usage_report"]
    data: list[UsageRow]
    has_more: bool
    next_page: str | None
    totals: UsageFigures


class InvoiceLine(Body):
    model: Model
    kind: Annotated[
        str,
        Field(
            description="`input`, `output`, `cache_read`, `cache_write_5m`, `cache_write_1h`, "
            "`web_search`; `beyond_limit` takes off what was used beyond a limit."
        ),
    ]
    quantity: int
    unit_price: Exact
    per: Annotated[int, Field(description="The unit price is for so many of the quantity.")]
    price_version: str
    amount: Exact


class InvoiceAdjustment(Body):
    kind: Literal["late_usage", "credit"]
    period: Period
    invoice_id: Annotated[str | None, Field(description="The document that it belongs to.")]
    invoice_number: Annotated[
        str | None, Field(description="Its number; null if there is no such document.")
    ]
    amount: Exact
    lines: list[InvoiceLine]
    description: str | None = None


class TierAmount(Body):
    seat_tier: SeatTier
    amount: Exact


class MemberAmount(Body):
    user_id: UserId
    name: str
    amount: Exact


class TaxAmount(Body):
    name: str
    rate: Annotated[str, Field(description='A decimal below one, such as "0.20" for a fifth.')]
    amount: Exact


class InvoiceSummary(Body):
    type: Literal["invoice"]
    id: str
    number: Annotated[str | None, Field(description="Without gaps in an organization's series.")]
    organization_id: str
    kind: Literal["invoice", "statement", "credit_note"]
    status: Literal["draft", "open", "paid", "past_due", "void"]
    period: Period
    starts_at: Moment
    ends_at: Moment
    currency: str
    subtotal: Exact
    rounding: Annotated[Exact, Field(description="What makes the subtotal whole cents.")]
    tax: Exact
    total: Exact
    credited: Annotated[Exact | None, Field(description="What credit notes took off an invoice.")]
    paid: Annotated[Exact | None, Field(description="What came in for an invoice, less returns.")]
    surplus: Annotated[
        Exact | None,
        Field(description="What was credited and paid beyond an invoice's total; it goes back."),
    ]
    amount_due: Annotated[
        Exact, Field(description="An invoice's total, less credited and paid, plus surplus.")
    ]
    issued_at: Moment | None
    due_at: Moment | None
    paid_at: Moment | None
    credits_invoice: Annotated[str | None, Field(description="What a credit note reverses.")]
    credits_invoice_number: Annotated[str | None, Field(description="The number of that invoice.")]
    pdf: Annotated[str | None, Field(description="Where the PDF is, once there is one.")]
    opening_balance: Exact | None = None
    purchases: Exact | None = None
    usage: Exact | None = None
    closing_balance: Exact | None = None


class Invoice(InvoiceSummary):
    lines: Annotated[
        list[InvoiceLine], Field(description="With the adjustments they come to the subtotal.")
    ]
    adjustments: list[InvoiceAdjustment]
    by_seat_tier: list[TierAmount]
    by_member: list[MemberAmount]
    other_members_amount: Annotated[
        Exact, Field(description="What members beyond the 10,000 dearest come to.")
    ]
    members: Annotated[int, Field(description="How many members used anything.")]
    taxes: list[TaxAmount]
    included_amount: Exact
    unbilled_amount: Exact


class Elsewhere(Body):
    type: Literal["elsewhere"]
    url: str


class InvoiceList(Page):
    data: list[InvoiceSummary]


# Errors that carry more than a message.


class FieldDetails(Body):
    field: Annotated[str, Field(description="The member or parameter that is wrong.")]


class RefusingLevel(Body):
    type: Level
    user_id: UserId = ""
    seat_tier: SeatTier = "standard"


class DeclineDetails(Body):
    reason: Literal["payment_declined"]
    decline_code: str
    next_steps: list[str]


class RefusalDetails(Body):
    reason: Reason
    scope: Annotated[RefusingLevel, Field(description="The level that refused.")]
    resets_at: Moment | None
    affordable_max_tokens: Annotated[int, Field(ge=0)]
    retryable: bool
    next_steps: list[str]
    reload: Annotated[
        ComingReload | None,
        Field(description="Beside `wallet_empty`: the reload that comes by itself, if any does."),
    ] = None
