"""What the environment tells a function, read once at cold start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from headroom.domain.invoice import Terms
from headroom.domain.money import NANOS_PER_CENT
from headroom.domain.reload import PaymentTerms


@dataclass(frozen=True, slots=True)
class Settings:
    """A function's configuration."""

    table_name: str
    region: str

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> Settings:
        """Read the configuration.

        Raises:
            KeyError: a variable is missing; the error names it.
        """
        return cls(table_name=environment["TABLE_NAME"], region=environment["AWS_REGION"])


@dataclass(frozen=True, slots=True)
class BusSettings:
    """Where announcements go."""

    event_bus_name: str
    region: str

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> BusSettings:
        """Read the configuration.

        Raises:
            KeyError: a variable is missing; the error names it.
        """
        return cls(event_bus_name=environment["EVENT_BUS_NAME"], region=environment["AWS_REGION"])


@dataclass(frozen=True, slots=True)
class MailSettings:
    """From whom mail comes, and where it leads (empty: nowhere)."""

    sender: str
    settings_url: str
    region: str

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> MailSettings:
        """Read the configuration.

        Raises:
            KeyError: a variable is missing; the error names it.
        """
        return cls(
            sender=environment["MAIL_SENDER"],
            settings_url=environment["SETTINGS_URL"],
            region=environment["AWS_REGION"],
        )


@dataclass(frozen=True, slots=True)
class AddressSettings:
    """Where people find Settings > Usage, and come back to it."""

    settings_url: str

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> AddressSettings:
        """Read the configuration.

        Raises:
            KeyError: a variable is missing; the error names it.
        """
        return cls(settings_url=environment["SETTINGS_URL"])


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
class PaymentSettings:
    """Where the payment processor is, and the ARN of the secret that opens it."""

    api_base: str
    secret_arn: str

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> PaymentSettings:
        """Read the configuration.

        Raises:
            KeyError: a variable is missing; the error names it.
        """
        return cls(
            api_base=environment["STRIPE_API_BASE"], secret_arn=environment["STRIPE_SECRET_ARN"]
        )


@dataclass(frozen=True, slots=True)
class WalletSettings:
    """What may be paid at once, and how long a wallet rests between two reloads."""

    top_up_min_cents: int
    top_up_max_cents: int
    cool_down_seconds: int

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> WalletSettings:
        """Read the configuration.

        Raises:
            KeyError: a variable is missing; the error names it.
            ValueError: a variable is no whole number.
        """
        return cls(
            top_up_min_cents=int(environment["TOP_UP_MIN_CENTS"]),
            top_up_max_cents=int(environment["TOP_UP_MAX_CENTS"]),
            cool_down_seconds=int(environment["RELOAD_COOL_DOWN_SECONDS"]),
        )

    @property
    def terms(self) -> PaymentTerms:
        """The same in nanos, as the rules have it."""
        return PaymentTerms(
            least=self.top_up_min_cents * NANOS_PER_CENT,
            most=self.top_up_max_cents * NANOS_PER_CENT,
            cool_down=timedelta(seconds=self.cool_down_seconds),
        )


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """The queue on which a function's work is spread."""

    queue_url: str
    region: str

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> QueueSettings:
        """Read the configuration.

        Raises:
            KeyError: a variable is missing; the error names it.
        """
        return cls(queue_url=environment["QUEUE_URL"], region=environment["AWS_REGION"])


@dataclass(frozen=True, slots=True)
class ConsoleSettings:
    """Which function the console's buttons call to change something."""

    act_function_arn: str

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> ConsoleSettings:
        """Read the configuration.

        Raises:
            KeyError: a variable is missing; the error names it.
        """
        return cls(act_function_arn=environment["ACT_FUNCTION_ARN"])


@dataclass(frozen=True, slots=True)
class DocumentSettings:
    """Where documents are kept."""

    bucket: str
    region: str

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> DocumentSettings:
        """Read the configuration.

        Raises:
            KeyError: a variable is missing; the error names it.
        """
        return cls(bucket=environment["DOCUMENTS_BUCKET"], region=environment["AWS_REGION"])


@dataclass(frozen=True, slots=True)
class TermsSettings:
    """When an invoice is due, and how long a past due one is borne."""

    net_days: int
    grace_days: int

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> TermsSettings:
        """Read the configuration.

        Raises:
            KeyError: a variable is missing; the error names it.
            ValueError: a variable is no whole number.
        """
        return cls(
            net_days=int(environment["PAYMENT_TERMS_DAYS"]),
            grace_days=int(environment["PAST_DUE_GRACE_DAYS"]),
        )

    @property
    def terms(self) -> Terms:
        """The same, as the domain has it."""
        return Terms(timedelta(days=self.net_days), timedelta(days=self.grace_days))


@dataclass(frozen=True, slots=True)
class SellerSettings:
    """Who invoices, as it stands on documents; "|" stands between lines."""

    name: str
    address: str
    tax_id: str
    payment_instructions: str

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> SellerSettings:
        """Read the configuration.

        Raises:
            KeyError: a variable is missing; the error names it.
        """
        return cls(
            name=environment["SELLER_NAME"],
            address=environment.get("SELLER_ADDRESS", ""),
            tax_id=environment.get("SELLER_TAX_ID", ""),
            payment_instructions=environment.get("PAYMENT_INSTRUCTIONS", ""),
        )


@dataclass(frozen=True, slots=True)
class MachineSettings:
    """Which state machine closes an organization's period."""

    arn: str
    region: str

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> MachineSettings:
        """Read the configuration.

        Raises:
            KeyError: a variable is missing; the error names it.
        """
        return cls(arn=environment["CLOSING_MACHINE_ARN"], region=environment["AWS_REGION"])


@dataclass(frozen=True, slots=True)
class IdentitySettings:
    """Whose tokens are trusted. `keys` is where the key set is: https, or a data: URL."""

    issuer: str
    audience: str
    organization_claim: str
    keys: str

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> IdentitySettings:
        """Read the configuration.

        Raises:
            KeyError: a variable is missing; the error names it.
        """
        return cls(
            issuer=environment["OIDC_ISSUER"],
            audience=environment["OIDC_AUDIENCE"],
            organization_claim=environment["OIDC_ORGANIZATION_CLAIM"],
            keys=environment["OIDC_KEYS"],
        )


@dataclass(frozen=True, slots=True)
class PageSettings:
    """How people sign in to the page, and where they keep their cards. Empty: not configured."""

    stage: str
    issuer: str
    audience: str
    client_id: str
    authorization_endpoint: str
    token_endpoint: str
    end_session_endpoint: str
    scope: str
    payment_methods_url: str
    top_up_min_cents: int
    top_up_max_cents: int

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> PageSettings:
        """Read the configuration.

        Raises:
            KeyError: a variable is missing; the error names it.
        """
        return cls(
            stage=environment["STAGE"],
            issuer=environment["OIDC_ISSUER"],
            audience=environment["OIDC_AUDIENCE"],
            client_id=environment["OIDC_CLIENT_ID"],
            authorization_endpoint=environment["OIDC_AUTHORIZATION_ENDPOINT"],
            token_endpoint=environment["OIDC_TOKEN_ENDPOINT"],
            end_session_endpoint=environment["OIDC_END_SESSION_ENDPOINT"],
            scope=environment["OIDC_SCOPE"],
            payment_methods_url=environment["PAYMENT_METHODS_URL"],
            top_up_min_cents=int(environment["TOP_UP_MIN_CENTS"]),
            top_up_max_cents=int(environment["TOP_UP_MAX_CENTS"]),
        )
