"""What each route is for, takes and answers: keyed as the matrix of rights is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import UnionType
from typing import Annotated, Any, Final, Literal

from aws_lambda_powertools.event_handler.openapi.params import Header, Query
from pydantic import BaseModel

from headroom.billing.usecases.usage_report import GroupBy
from headroom.core.errors import (
    Conflict,
    Forbidden,
    HeadroomError,
    InvalidRequest,
    NotFound,
    Overloaded,
    PaymentDeclined,
    RateLimited,
    RequestTooLarge,
    SpendRefused,
    Unauthenticated,
)
from headroom.core.wire.pages import LIMIT, LIMIT_MAX
from headroom.limits.store.increases import Status
from headroom.limits.store.limits import ScopeType
from headroom.limits.wire.limits import SEARCH_LENGTH_MAX, USER_IDS_MAX
from headroom.notifications.domain.webhooks import DeliveryStatus
from headroom.organizations.domain.organization import LimitPeriod
from tools.openapi import bodies, notifications

# Any route may answer these.
ALWAYS: Final[tuple[type[HeadroomError], ...]] = (Unauthenticated, Forbidden, Overloaded)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What the document says of a route; `parameters` are typed as Powertools reads them."""

    tag: str
    summary: str
    answer: type[BaseModel] | None
    body: type[BaseModel] | UnionType | None = None
    body_is_optional: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict)
    errors: tuple[type[HeadroomError], ...] = ()
    other_media: tuple[str, ...] = ()
    elsewhere: bool = False
    tagged: bool = False

    @property
    def raises(self) -> tuple[type[HeadroomError], ...]:
        """Every error that the route may answer."""
        read = (InvalidRequest, RequestTooLarge) if self.body else ()
        asked = (InvalidRequest,) if self.parameters else ()
        return tuple(dict.fromkeys((*ALWAYS, *read, *asked, *self.errors)))


_PAGING: Final = {
    "limit": Annotated[
        int | None, Query(ge=1, le=LIMIT_MAX, description=f"How many; {LIMIT} if not said.")
    ],
    "page": Annotated[
        str | None, Query(description="`next_page` of the page before, with the same filters.")
    ],
}
_KEYED: Final = {
    "idempotency_key": Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            pattern="^[!-~]{1,64}$",
            description="The same key and body replay the first answer.",
        ),
    ],
}
_KEY_REQUIRED: Final = {
    "idempotency_key": Annotated[
        str,
        Header(
            alias="Idempotency-Key",
            pattern="^[!-~]{1,64}$",
            description="Required: the same key and body find the same payment.",
        ),
    ],
}
_SEEN: Final = {
    "if_match": Annotated[
        str | None,
        Header(
            alias="If-Match",
            pattern=r'^(\*|(W/)?"[0-9]{1,15}")$',
            description="The `etag` of an answer: nothing is changed if any setting has changed "
            "since.",
        ),
    ],
}
_USER_IDS: Final = Annotated[
    list[bodies.UserId] | None, Query(alias="user_ids[]", max_length=USER_IDS_MAX)
]
_SEARCH: Final = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=SEARCH_LENGTH_MAX,
        description="What is in their name or address, whatever its accents and case. A page may "
        "have found few or nobody, and more behind it.",
    ),
]
_ACTOR_IDS: Final = Annotated[
    list[bodies.UserId] | None, Query(alias="actor_ids[]", max_length=USER_IDS_MAX)
]
_ENDPOINT_IDS: Final = Annotated[
    list[notifications.EndpointId] | None, Query(alias="endpoint_ids[]")
]
_DELIVERY_STATUSES: Final = Annotated[list[DeliveryStatus] | None, Query(alias="status[]")]
_PERIODS: Final = Annotated[list[LimitPeriod] | None, Query(alias="period[]")]
_SCOPE_TYPES: Final = Annotated[list[ScopeType] | None, Query(alias="scope_type[]")]
_STATUSES: Final = Annotated[list[Status] | None, Query(alias="status[]")]
_ORDER: Final = Annotated[
    Literal["amount"] | None, Query(description="The dearest rows first; CSV is not ordered by it.")
]
_GROUPS: Final = Annotated[list[GroupBy] | None, Query(alias="group_by[]")]
_FROM: Final = Annotated[
    bodies.Moment | None,
    Query(description="The first moment; the running period's if not said."),
]
_TO: Final = Annotated[
    bodies.Moment | None, Query(description="The moment after the last, at most 366 days later.")
]
_BILLED: Final = Annotated[
    bodies.Period | None,
    Query(description="Instead of a span: what is billed in a month, as its invoice counts."),
]
_MONTH: Final = Annotated[bodies.Period | None, Query(description="The running one if not said.")]

SPENDING: Final = "Spending"
SETTINGS: Final = "Settings"
WALLET: Final = "Wallet"
MEMBERS: Final = "Members and keys"
BILLING: Final = "Billing"
NOTIFICATIONS: Final = "Notifications"
LIMITS: Final = "Spend limits"
REQUESTS: Final = "Increase requests"
ME: Final = "The member's own view"

TAGS: Final = {
    SPENDING: "Authorize before a request, record what was really used after it.",
    SETTINGS: "Everything on the Settings > Usage page. A change holds when its answer arrives.",
    WALLET: "What a Team organization prepays, and how it reloads itself.",
    MEMBERS: "Who is in the organization, and which keys act for it.",
    BILLING: "What was used and what it costs, exact to the nano-dollar.",
    NOTIFICATIONS: "What is told by mail, and by webhooks of the Standard Webhooks specification.",
    LIMITS: "Limits of the organization, of seat tiers and of members. 60 requests a minute an "
    "organization, increase requests included.",
    REQUESTS: "Members ask for more; owners and admins approve or deny.",
    ME: "What a member sees and decides for themselves.",
}

_ORGANIZATION: Final = "/v1/organizations"
_LIMITS: Final = f"{_ORGANIZATION}/spend_limits"
_REQUESTS: Final = f"{_ORGANIZATION}/spend_limit_increase_requests"
_ENDPOINTS: Final = f"{_ORGANIZATION}/webhook_endpoints"

ENDPOINTS: Final[Mapping[tuple[str, str], Endpoint]] = {
    ("POST", "/v1/authorizations"): Endpoint(
        SPENDING,
        "Ask whether a member may make a request, and hold the money for it",
        bodies.Authorization,
        body=bodies.AuthorizationRequest,
        parameters=_KEYED,
        errors=(NotFound, Conflict, SpendRefused),
    ),
    ("DELETE", "/v1/authorizations/<authorization_id>"): Endpoint(
        SPENDING,
        "Release the hold; repeatable",
        bodies.AuthorizationReleased,
        errors=(NotFound,),
    ),
    ("POST", "/v1/authorizations/<authorization_id>/extend"): Endpoint(
        SPENDING,
        "Prolong or enlarge the hold under the same checks",
        bodies.Authorization,
        body=bodies.ExtensionRequest,
        errors=(NotFound, Conflict, SpendRefused),
        parameters=_KEYED,
    ),
    ("POST", "/v1/usage/events"): Endpoint(
        SPENDING,
        "Record what was really used; one bad event never spoils the others",
        bodies.UsageEventResults,
        body=bodies.UsageEventsRequest,
        parameters=_KEYED,
        errors=(Conflict,),
    ),
    ("GET", f"{_ORGANIZATION}/extra_usage"): Endpoint(
        SETTINGS,
        "See the state, the figures and the next step",
        bodies.ExtraUsage,
        errors=(NotFound,),
        tagged=True,
    ),
    ("POST", f"{_ORGANIZATION}/extra_usage/enable"): Endpoint(
        SETTINGS,
        "Enable extra usage",
        bodies.ExtraUsage,
        parameters=_KEYED,
        errors=(NotFound, Conflict),
    ),
    ("POST", f"{_ORGANIZATION}/extra_usage/disable"): Endpoint(
        SETTINGS,
        "Disable extra usage at once; holds in flight may settle",
        bodies.ExtraUsage,
        errors=(NotFound, Conflict),
        parameters=_KEYED,
    ),
    ("PUT", f"{_ORGANIZATION}/extra_usage/members"): Endpoint(
        SETTINGS,
        "Admit everyone, or selected members",
        bodies.ExtraUsage,
        body=bodies.MembersSetting,
        parameters=_SEEN,
        errors=(NotFound, Conflict),
    ),
    ("PUT", f"{_ORGANIZATION}/extra_usage/requests"): Endpoint(
        SETTINGS,
        "Take increase requests, or none",
        bodies.ExtraUsage,
        body=bodies.RequestsSetting,
        parameters=_SEEN,
        errors=(NotFound, Conflict),
    ),
    ("GET", f"{_ORGANIZATION}/pricing"): Endpoint(
        SETTINGS,
        "See how requests are read: names of models, geography, rounds of tool loops",
        bodies.Pricing,
        errors=(NotFound,),
        tagged=True,
    ),
    ("PUT", f"{_ORGANIZATION}/pricing"): Endpoint(
        SETTINGS,
        "Say what the organization's own names of models mean, and how requests are held for",
        bodies.Pricing,
        body=bodies.PricingSetting,
        parameters=_SEEN,
        errors=(NotFound, Conflict),
    ),
    ("PUT", f"{_ORGANIZATION}/spend_limit"): Endpoint(
        SETTINGS,
        "Set the monthly cap on the whole organization, a shared pool",
        bodies.SpendLimit,
        body=bodies.AmountSetting,
        parameters=_SEEN,
        errors=(NotFound, Conflict),
    ),
    ("PUT", f"{_ORGANIZATION}/seat_tiers/<seat_tier>/spend_limit"): Endpoint(
        SETTINGS,
        "Set a limit that every member of a tier has for themselves (Enterprise)",
        bodies.SpendLimit,
        body=bodies.TierLimitSetting,
        parameters=_SEEN,
        errors=(NotFound, Conflict),
    ),
    ("GET", f"{_ORGANIZATION}/members"): Endpoint(
        MEMBERS,
        "List the members, all of them or those named or looked for",
        bodies.MemberList,
        parameters={"user_ids": _USER_IDS, "search": _SEARCH, **_PAGING},
    ),
    ("POST", f"{_ORGANIZATION}/members"): Endpoint(
        MEMBERS,
        "Let someone in, or back in; repeatable",
        bodies.Member,
        body=bodies.MemberRequest,
        errors=(NotFound, Conflict),
        parameters=_KEYED,
    ),
    ("PUT", f"{_ORGANIZATION}/members/<user_id>"): Endpoint(
        MEMBERS,
        "Admit a member (`write:spend_limits`), change their seat tier or role (`write:members`)",
        bodies.Member,
        body=bodies.MemberChange,
        errors=(NotFound,),
    ),
    ("DELETE", f"{_ORGANIZATION}/members/<user_id>"): Endpoint(
        MEMBERS, "Let a member go; repeatable", bodies.MemberDeleted, errors=(NotFound,)
    ),
    ("GET", f"{_ORGANIZATION}/api_keys"): Endpoint(
        MEMBERS, "List the keys, the revoked ones too", bodies.ApiKeyList, parameters=_PAGING
    ),
    ("POST", f"{_ORGANIZATION}/api_keys"): Endpoint(
        MEMBERS,
        "Create a key; its secret is shown once",
        bodies.NewApiKey,
        body=bodies.ApiKeyRequest,
        parameters=_KEYED,
        errors=(Conflict,),
    ),
    ("DELETE", f"{_ORGANIZATION}/api_keys/<key_id>"): Endpoint(
        MEMBERS,
        "Revoke a key: no use after 10 seconds; repeatable",
        bodies.ApiKeyRevoked,
        errors=(NotFound,),
    ),
    ("GET", f"{_ORGANIZATION}/audit"): Endpoint(
        SETTINGS,
        "See who changed what, with before and after",
        bodies.AuditList,
        parameters=_PAGING,
    ),
    ("GET", "/v1/prices"): Endpoint(
        BILLING,
        "See what every model costs: rates, modifiers, since when, and the organization's own",
        bodies.Prices,
        errors=(InvalidRequest, NotFound),
    ),
    ("GET", f"{_ORGANIZATION}/usage_report"): Endpoint(
        BILLING,
        "Total the ledger by user, model, product, seat tier or day",
        bodies.UsageReport,
        parameters={
            "starting_at": _FROM,
            "ending_at": _TO,
            "period": _BILLED,
            "group_by": _GROUPS,
            "order_by": _ORDER,
            **_PAGING,
        },
        other_media=("text/csv",),
        elsewhere=True,
    ),
    ("GET", f"{_ORGANIZATION}/unpriced_usage"): Endpoint(
        BILLING,
        "List usage that waits for a price, the latest first; nothing of it is charged yet",
        bodies.UnpricedUsageList,
        parameters=_PAGING,
    ),
    ("GET", f"{_ORGANIZATION}/notifications"): Endpoint(
        NOTIFICATIONS,
        "See which mail is sent",
        notifications.Preferences,
        errors=(NotFound,),
    ),
    ("PUT", f"{_ORGANIZATION}/notifications"): Endpoint(
        NOTIFICATIONS,
        "Switch mail on or off by topic",
        notifications.Preferences,
        body=notifications.PreferencesChange,
        errors=(NotFound,),
    ),
    ("GET", f"{_ORGANIZATION}/invoices"): Endpoint(
        BILLING,
        "List invoices, statements and credit notes, the latest period first",
        bodies.InvoiceList,
        parameters=_PAGING,
    ),
    ("GET", f"{_ORGANIZATION}/invoices/<invoice_id>"): Endpoint(
        BILLING,
        "Get a document, or as `draft` what the running period comes to by now",
        bodies.Invoice,
        errors=(NotFound,),
        other_media=("text/csv",),
        elsewhere=True,
    ),
    ("GET", f"{_ORGANIZATION}/invoices/<invoice_id>/pdf"): Endpoint(
        BILLING,
        "Get a document as a PDF",
        None,
        errors=(NotFound,),
        other_media=("application/pdf",),
        elsewhere=True,
    ),
    ("GET", f"{_ORGANIZATION}/wallet"): Endpoint(
        WALLET,
        "See the balance, what it consists of, and how it reloads (Team)",
        bodies.Wallet,
        errors=(InvalidRequest, NotFound),
    ),
    ("GET", f"{_ORGANIZATION}/wallet/entries"): Endpoint(
        WALLET,
        "List every change of the wallet, the newest first (Team)",
        bodies.WalletEntryList,
        parameters=_PAGING,
        errors=(NotFound,),
    ),
    ("POST", f"{_ORGANIZATION}/wallet/top_ups"): Endpoint(
        WALLET,
        "Buy money for the wallet, once for each Idempotency-Key (Team)",
        bodies.WalletTopUp,
        body=bodies.TopUpRequest,
        parameters=_KEY_REQUIRED,
        errors=(NotFound, Conflict, PaymentDeclined),
    ),
    ("POST", f"{_ORGANIZATION}/wallet/payments/<payment_id>/confirm"): Endpoint(
        WALLET,
        "Confirm a payment that waits for its card's holder, or see what became of it (Team)",
        bodies.WalletPayment,
        errors=(InvalidRequest, NotFound),
    ),
    ("PUT", f"{_ORGANIZATION}/wallet/auto_reload"): Endpoint(
        WALLET,
        "Reload when the balance reaches a threshold, within a monthly ceiling (Team)",
        bodies.AutoReloadState,
        body=bodies.AutoReloadSetting,
        errors=(NotFound,),
    ),
    ("GET", _ENDPOINTS): Endpoint(
        NOTIFICATIONS, "List the webhook endpoints", notifications.WebhookEndpointList
    ),
    ("POST", _ENDPOINTS): Endpoint(
        NOTIFICATIONS,
        "Have events sent to an address, signed; the secret is shown once",
        notifications.WebhookEndpointWithSecret,
        body=notifications.WebhookEndpointRequest,
        parameters=_KEYED,
        errors=(NotFound, Conflict),
    ),
    ("GET", f"{_ENDPOINTS}/<endpoint_id>"): Endpoint(
        NOTIFICATIONS,
        "See a webhook endpoint",
        notifications.WebhookEndpoint,
        errors=(NotFound,),
    ),
    ("PUT", f"{_ENDPOINTS}/<endpoint_id>"): Endpoint(
        NOTIFICATIONS,
        "Change a webhook endpoint, or switch it on or off",
        notifications.WebhookEndpoint,
        body=notifications.WebhookEndpointChange,
        errors=(NotFound,),
    ),
    ("DELETE", f"{_ENDPOINTS}/<endpoint_id>"): Endpoint(
        NOTIFICATIONS,
        "Remove a webhook endpoint",
        notifications.WebhookEndpointDeleted,
        errors=(NotFound,),
    ),
    ("POST", f"{_ENDPOINTS}/<endpoint_id>/rotate"): Endpoint(
        NOTIFICATIONS,
        "Get a new secret; the old one signs as well for 24 hours",
        notifications.WebhookEndpointWithSecret,
        parameters=_KEYED,
        errors=(NotFound, Conflict),
    ),
    ("POST", f"{_ENDPOINTS}/<endpoint_id>/test"): Endpoint(
        NOTIFICATIONS,
        "Send an endpoint an event that means nothing",
        notifications.WebhookDelivery,
        parameters=_KEYED,
        errors=(NotFound, Conflict),
    ),
    ("GET", f"{_ORGANIZATION}/webhook_deliveries"): Endpoint(
        NOTIFICATIONS,
        "See what was sent to webhook endpoints, and what came of it",
        notifications.WebhookDeliveryList,
        parameters={"endpoint_ids": _ENDPOINT_IDS, "status": _DELIVERY_STATUSES, **_PAGING},
    ),
    ("POST", f"{_ORGANIZATION}/webhook_deliveries/<delivery_id>/redeliver"): Endpoint(
        NOTIFICATIONS,
        "Send an event again",
        notifications.WebhookDelivery,
        parameters=_KEYED,
        errors=(NotFound, Conflict),
    ),
    ("GET", _LIMITS): Endpoint(
        LIMITS,
        "List the limits that are set",
        bodies.SpendLimitList,
        parameters={"scope_type": _SCOPE_TYPES, **_PAGING},
        errors=(NotFound, RateLimited),
    ),
    ("POST", _LIMITS): Endpoint(
        LIMITS,
        "Set a limit, by its scope and period",
        bodies.SpendLimit,
        body=bodies.SpendLimitRequest,
        errors=(NotFound, RateLimited, Conflict),
        parameters={**_KEYED, **_SEEN},
    ),
    ("GET", f"{_LIMITS}/effective"): Endpoint(
        LIMITS,
        "See what holds for each member, from where, and what they have spent",
        bodies.SpendSummaryList,
        parameters={"user_ids": _USER_IDS, "period": _PERIODS, **_PAGING},
        errors=(NotFound, RateLimited),
        tagged=True,
    ),
    ("GET", f"{_LIMITS}/<spend_limit_id>"): Endpoint(
        LIMITS, "See a limit", bodies.SpendLimit, errors=(NotFound, RateLimited)
    ),
    ("DELETE", f"{_LIMITS}/<spend_limit_id>"): Endpoint(
        LIMITS,
        "Remove a member's own limit; their seat tier's holds again",
        bodies.SpendLimitDeleted,
        parameters=_SEEN,
        errors=(InvalidRequest, NotFound, RateLimited, Conflict),
    ),
    ("GET", _REQUESTS): Endpoint(
        REQUESTS,
        "List increase requests, the most recent first",
        bodies.IncreaseRequestList,
        parameters={"status": _STATUSES, "actor_ids": _ACTOR_IDS, **_PAGING},
        errors=(NotFound, RateLimited),
    ),
    ("GET", f"{_REQUESTS}/<request_id>"): Endpoint(
        REQUESTS, "See a request", bodies.IncreaseRequest, errors=(NotFound, RateLimited)
    ),
    ("POST", f"{_REQUESTS}/<request_id>/approve"): Endpoint(
        REQUESTS,
        "Write the requester's own limit and close the request, in one step",
        bodies.ApprovedIncreaseRequest,
        body=bodies.ApproveRequest,
        errors=(NotFound, RateLimited, Conflict),
        parameters=_KEYED,
    ),
    ("POST", f"{_REQUESTS}/<request_id>/deny"): Endpoint(
        REQUESTS,
        "Close the request without changing a limit; repeatable",
        bodies.IncreaseRequest,
        body=bodies.DenyRequest,
        body_is_optional=True,
        errors=(NotFound, RateLimited, Conflict),
        parameters=_KEYED,
    ),
    ("GET", "/v1/me/extra_usage"): Endpoint(
        ME,
        "See allowance, limits, spend, and what would happen on the next request",
        bodies.MemberExtraUsage,
        errors=(NotFound,),
    ),
    ("PUT", "/v1/me/extra_usage"): Endpoint(
        ME,
        "Choose whether to continue with extra usage",
        bodies.MemberExtraUsage,
        body=bodies.Continuing,
        errors=(NotFound,),
    ),
    ("GET", "/v1/me/usage"): Endpoint(
        ME,
        "See own usage, each line with the reason why it was extra",
        bodies.UsageLineList,
        parameters={"period": _MONTH, **_PAGING},
        errors=(NotFound,),
    ),
    ("POST", "/v1/me/spend_limit_increase_requests"): Endpoint(
        ME,
        "Ask for more; one pending at a time (Enterprise)",
        bodies.IncreaseRequest,
        body=bodies.OwnIncreaseRequest,
        body_is_optional=True,
        errors=(NotFound, Conflict),
        parameters=_KEYED,
    ),
}
