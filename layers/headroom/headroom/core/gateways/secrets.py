"""The payment processor's secret, in Secrets Manager: kept for a while, read again on demand."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from headroom.core.settings import PaymentSettings

# A rotated secret is known everywhere within this time, without anybody having to ask for it.
SECRET_LASTS_SECONDS: Final = 300


class SecretMissing(Exception):
    """The secret has no value yet, or none of the documented form, or cannot be read now."""


@dataclass(frozen=True, slots=True)
class PaymentSecret:
    """What the payment processor gave us: a key to call it, and the secrets that it signs with.

    There is more than one signing secret while they are being rotated; any of them is good.
    """

    api_key: str = field(repr=False)
    webhook_secrets: tuple[str, ...] = field(repr=False)


# Returns the secret; True asks for it anew.
ReadSecret = Callable[[bool], PaymentSecret]


def read_payment_secret_of(settings: PaymentSettings) -> ReadSecret:
    """Return a reader of the configured secret. It raises SecretMissing if there is none."""
    # Imported late: this brings boto3 and every kind of parameter store, for which a function
    # that pays nothing should not have to wait at its start.
    from aws_lambda_powertools.utilities import parameters
    from botocore.config import Config

    patience = Config(connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 3})

    @cache
    def provider() -> parameters.SecretsProvider:
        return parameters.SecretsProvider(boto_config=patience)

    def read(fresh: bool) -> PaymentSecret:
        try:
            text = provider().get(
                settings.secret_arn, max_age=SECRET_LASTS_SECONDS, force_fetch=fresh
            )
        except parameters.GetParameterError as error:
            raise SecretMissing("the payment secret cannot be read") from error
        return parse_payment_secret(str(text))

    return read


def parse_payment_secret(text: str) -> PaymentSecret:
    """Read `{"api_key": "…", "webhook_secrets": ["…"]}`.

    Raises:
        SecretMissing: it is not of this form.
    """
    wrong = SecretMissing("the payment secret must be JSON with api_key and webhook_secrets")
    try:
        told: Any = json.loads(text)
    except ValueError:
        # Without the cause, which would carry the secret into a log.
        raise wrong from None
    if not isinstance(told, dict):
        raise wrong
    api_key, secrets = told.get("api_key"), told.get("webhook_secrets")
    if not isinstance(api_key, str) or not api_key or not isinstance(secrets, list):
        raise wrong
    if not all(isinstance(secret, str) and secret for secret in secrets):
        raise wrong
    return PaymentSecret(api_key, tuple(secrets))
