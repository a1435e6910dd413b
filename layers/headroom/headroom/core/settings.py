"""What the environment tells a function, read once at cold start."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Annotated, Any, Self, get_type_hints


class FromEnvironment:
    """Settings each of whose fields is a variable, which its annotation names beside the type."""

    __slots__ = ()

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> Self:
        """Read the settings. A field that has a default may have no variable.

        Raises:
            KeyError: a variable is missing; the error names it.
            ValueError: a variable is no whole number.
        """
        hints = get_type_hints(cls, include_extras=True)
        read: dict[str, Any] = {}
        for field in fields(cls):  # type: ignore[arg-type]  # Every subclass is a dataclass.
            (variable,) = hints[field.name].__metadata__
            if variable in environment or field.default is MISSING:
                read[field.name] = hints[field.name].__origin__(environment[variable])
        return cls(**read)


@dataclass(frozen=True, slots=True)
class Settings(FromEnvironment):
    """A function's configuration."""

    table_name: Annotated[str, "TABLE_NAME"]
    region: Annotated[str, "AWS_REGION"]


@dataclass(frozen=True, slots=True)
class BusSettings(FromEnvironment):
    """Where announcements go."""

    event_bus_name: Annotated[str, "EVENT_BUS_NAME"]
    region: Annotated[str, "AWS_REGION"]


@dataclass(frozen=True, slots=True)
class MailSettings(FromEnvironment):
    """From whom mail comes, and where it leads (empty: nowhere)."""

    sender: Annotated[str, "MAIL_SENDER"]
    settings_url: Annotated[str, "SETTINGS_URL"]
    region: Annotated[str, "AWS_REGION"]


@dataclass(frozen=True, slots=True)
class AddressSettings(FromEnvironment):
    """Where people find Settings > Usage, and come back to it."""

    settings_url: Annotated[str, "SETTINGS_URL"]


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """The ARN of the key that secrets of endpoints are derived from.

    With `loopback`, endpoints may be on this machine; the template allows it locally only.
    """

    key_arn: str
    loopback: bool

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> WebhookSettings:
        """Read the configuration.

        Raises:
            KeyError: a variable is missing; the error names it.
            ValueError: loopback is asked for outside of the environment `local`.
        """
        loopback = environment["WEBHOOK_LOOPBACK"] == "true"
        if loopback and environment["STAGE"] != "local":
            raise ValueError("WEBHOOK_LOOPBACK: only in the environment `local`")
        return cls(key_arn=environment["WEBHOOK_KEY_ARN"], loopback=loopback)


@dataclass(frozen=True, slots=True)
class PaymentSettings(FromEnvironment):
    """Where the payment processor is, and the ARN of the secret that opens it."""

    api_base: Annotated[str, "STRIPE_API_BASE"]
    secret_arn: Annotated[str, "STRIPE_SECRET_ARN"]


@dataclass(frozen=True, slots=True)
class QueueSettings(FromEnvironment):
    """The queue on which a function's work is spread."""

    queue_url: Annotated[str, "QUEUE_URL"]
    region: Annotated[str, "AWS_REGION"]


@dataclass(frozen=True, slots=True)
class ClosingSettings(FromEnvironment):
    """How many parallel invocations the closes of periods may take, all together."""

    concurrency: Annotated[int, "CLOSING_CONCURRENCY"]


@dataclass(frozen=True, slots=True)
class ReloadSettings(FromEnvironment):
    """Which function reloads wallets."""

    function_name: Annotated[str, "RELOAD_FUNCTION"]
    region: Annotated[str, "AWS_REGION"]


@dataclass(frozen=True, slots=True)
class ConsoleSettings(FromEnvironment):
    """Which function the console's buttons call to change something, and what signs previews."""

    act_function_arn: Annotated[str, "ACT_FUNCTION_ARN"]
    key_arn: Annotated[str, "CONSOLE_KEY_ARN"]


@dataclass(frozen=True, slots=True)
class ConfirmationSettings(FromEnvironment):
    """The ARN of the key that signs what an operator was shown."""

    key_arn: Annotated[str, "CONSOLE_KEY_ARN"]


@dataclass(frozen=True, slots=True)
class DocumentSettings(FromEnvironment):
    """Where documents are kept."""

    bucket: Annotated[str, "DOCUMENTS_BUCKET"]
    region: Annotated[str, "AWS_REGION"]


@dataclass(frozen=True, slots=True)
class SellerSettings(FromEnvironment):
    """Who invoices, as it stands on documents; "|" stands between lines."""

    name: Annotated[str, "SELLER_NAME"]
    address: Annotated[str, "SELLER_ADDRESS"] = ""
    tax_id: Annotated[str, "SELLER_TAX_ID"] = ""
    payment_instructions: Annotated[str, "PAYMENT_INSTRUCTIONS"] = ""


@dataclass(frozen=True, slots=True)
class MachineSettings(FromEnvironment):
    """Which state machine closes an organization's period."""

    arn: Annotated[str, "CLOSING_MACHINE_ARN"]
    region: Annotated[str, "AWS_REGION"]


@dataclass(frozen=True, slots=True)
class VersionSettings(FromEnvironment):
    """The number of the function's version, which Lambda sets; `$LATEST` if none was published."""

    version: Annotated[str, "AWS_LAMBDA_FUNCTION_VERSION"] = "$LATEST"


@dataclass(frozen=True, slots=True)
class ReleaseSettings:
    """The ARN of the version of each function that is being released, by its folder."""

    functions: Mapping[str, str]
    region: str

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> ReleaseSettings:
        """Read the configuration.

        Raises:
            KeyError: a variable is missing; the error names it.
            ValueError: RELEASED_VERSIONS is no JSON.
        """
        return cls(json.loads(environment["RELEASED_VERSIONS"]), environment["AWS_REGION"])


@dataclass(frozen=True, slots=True)
class IdentitySettings(FromEnvironment):
    """Whose tokens are trusted. `keys` is where the key set is: https, or a data: URL."""

    issuer: Annotated[str, "OIDC_ISSUER"]
    audience: Annotated[str, "OIDC_AUDIENCE"]
    organization_claim: Annotated[str, "OIDC_ORGANIZATION_CLAIM"]
    keys: Annotated[str, "OIDC_KEYS"]


@dataclass(frozen=True, slots=True)
class PageSettings(FromEnvironment):
    """How people sign in to the page, and where they keep their cards. Empty: not configured."""

    stage: Annotated[str, "STAGE"]
    issuer: Annotated[str, "OIDC_ISSUER"]
    audience: Annotated[str, "OIDC_AUDIENCE"]
    client_id: Annotated[str, "OIDC_CLIENT_ID"]
    authorization_endpoint: Annotated[str, "OIDC_AUTHORIZATION_ENDPOINT"]
    token_endpoint: Annotated[str, "OIDC_TOKEN_ENDPOINT"]
    end_session_endpoint: Annotated[str, "OIDC_END_SESSION_ENDPOINT"]
    scope: Annotated[str, "OIDC_SCOPE"]
    payment_methods_url: Annotated[str, "PAYMENT_METHODS_URL"]
    top_up_min_cents: Annotated[int, "TOP_UP_MIN_CENTS"]
    top_up_max_cents: Annotated[int, "TOP_UP_MAX_CENTS"]
