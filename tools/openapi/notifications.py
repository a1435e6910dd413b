"""Bodies of the routes about mail and webhooks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tools.openapi.bodies import Body


class MailTopics(Body):
    spend_limits: Annotated[bool, Field(description="Thresholds of the organization's limit.")]
    own_limits: Annotated[bool, Field(description="To a member: thresholds of their own limit.")]
    increase_requests: Annotated[bool, Field(description="A digest a day, to admins as well.")]
    decisions: Annotated[bool, Field(description="To a member: what became of their request.")]
    wallet: Annotated[bool, Field(description="The wallet is low, or empty.")]
    reloads: Annotated[bool, Field(description="A reload failed, or waits for the card's holder.")]
    credits: Annotated[bool, Field(description="Credit expires soon.")]
    invoices: Annotated[bool, Field(description="An invoice is ready.")]
    payments: Annotated[bool, Field(description="An invoice is past due.")]
    webhooks: Annotated[bool, Field(description="A webhook endpoint was switched off.")]


class Preferences(Body):
    type: Literal["notifications"]
    language: Literal["en", "fr"]
    mail: MailTopics


class MailTopicsChange(Body):
    spend_limits: bool | None = None
    own_limits: bool | None = None
    increase_requests: bool | None = None
    decisions: bool | None = None
    wallet: bool | None = None
    reloads: bool | None = None
    credits: bool | None = None
    invoices: bool | None = None
    payments: bool | None = None
    webhooks: bool | None = None


class PreferencesChange(Body):
    mail: Annotated[
        MailTopicsChange, Field(description="Topics that are not named stay as they are.")
    ]
