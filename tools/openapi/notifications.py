"""Bodies of the routes about mail and webhooks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from headroom.notifications.domain.targets import URL_LENGTH_MAX
from headroom.notifications.domain.webhooks import (
    ENDPOINTS_MAX,
    EVENT_TYPES,
    DeliveryStatus,
    DisabledReason,
    EndpointStatus,
)
from headroom.notifications.wire.notifications import DESCRIPTION_LENGTH_MAX
from tools.openapi.bodies import LINE, Body, Moment, Page

EndpointId = Annotated[str, Field(pattern="^whe_[0-9a-f]{20}$")]
DeliveryId = Annotated[str, Field(pattern="^whd_[0-9a-v]{24}$")]
EventType = Annotated[str, Field(json_schema_extra={"enum": list(EVENT_TYPES)})]
Url = Annotated[
    str,
    Field(
        pattern="^https?://",
        max_length=URL_LENGTH_MAX,
        description="An https address of a public host.",
        examples=["https://example.com/headroom"],
    ),
]
Description = Annotated[str, Field(min_length=1, max_length=DESCRIPTION_LENGTH_MAX, pattern=LINE)]
EventTypes = Annotated[
    list[EventType] | None, Field(min_length=1, description="Null, or not said: every event.")
]


class MailTopics(Body):
    spend_limits: Annotated[bool, Field(description="Thresholds of the organization's limit.")]
    own_limits: Annotated[bool, Field(description="To a member: thresholds of their own limit.")]
    increase_requests: Annotated[bool, Field(description="A digest a day, to admins as well.")]
    decisions: Annotated[bool, Field(description="To a member: what became of their request.")]
    wallet: Annotated[bool, Field(description="The wallet is low, or empty.")]
    reloads: Annotated[bool, Field(description="A reload failed, or waits for the card's holder.")]
    credits: Annotated[bool, Field(description="Credit expires soon.")]
    invoices: Annotated[bool, Field(description="An invoice is ready.")]
    payments: Annotated[
        bool,
        Field(description="An invoice is past due, or a payment was disputed or refunded."),
    ]
    webhooks: Annotated[bool, Field(description="A webhook endpoint was switched off.")]


class Preferences(Body):
    type: Literal["notifications"]
    language: Literal["en", "fr"]
    mail: MailTopics


class MailTopicsChange(Body):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"minProperties": 1})

    spend_limits: bool = True
    own_limits: bool = True
    increase_requests: bool = True
    decisions: bool = True
    wallet: bool = True
    reloads: bool = True
    credits: bool = True
    invoices: bool = True
    payments: bool = True
    webhooks: bool = True


class PreferencesChange(Body):
    mail: Annotated[
        MailTopicsChange, Field(description="Topics that are not named stay as they are.")
    ]


class WebhookEndpointRequest(Body):
    url: Url
    description: Description | None = None
    event_types: EventTypes = None


class WebhookEndpointChange(Body):
    """What is left out stays as it is; null takes the description or the filter away."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"minProperties": 1})

    url: Url = ""
    description: Description | None = None
    event_types: EventTypes = None
    status: EndpointStatus = "enabled"


class WebhookEndpoint(Body):
    type: Literal["webhook_endpoint"]
    id: EndpointId
    url: str
    description: str | None
    event_types: list[EventType] | None
    status: EndpointStatus
    disabled_reason: DisabledReason | None
    failing_since: Annotated[
        Moment | None, Field(description="The first failure after the last success.")
    ]
    created_at: Moment
    previous_secret_expires_at: Annotated[
        Moment | None, Field(description="Until then an older secret signs as well.")
    ]


class WebhookEndpointWithSecret(WebhookEndpoint):
    secret: Annotated[
        str | None,
        Field(
            pattern="^whsec_[A-Za-z0-9+/]+=*$",
            description="Shown once: not in the answer to a repeated request.",
        ),
    ] = None


class WebhookEndpointList(Page):
    data: Annotated[list[WebhookEndpoint], Field(max_length=ENDPOINTS_MAX)]


class WebhookEndpointDeleted(Body):
    type: Literal["webhook_endpoint_deleted"]
    id: EndpointId


class WebhookDelivery(Body):
    type: Literal["webhook_delivery"]
    id: DeliveryId
    endpoint_id: EndpointId
    event_id: Annotated[str, Field(description="The `webhook-id` header.")]
    event_type: EventType
    status: DeliveryStatus
    attempts: Annotated[int, Field(ge=0)]
    created_at: Moment
    last_attempt_at: Moment | None
    next_attempt_at: Moment | None
    response_status: int | None
    error: str | None


class WebhookDeliveryList(Page):
    data: list[WebhookDelivery]
