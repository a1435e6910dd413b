"""The line to Stripe: its library, with our key, our patience and our connections.

The library is imported at the first call: it takes a tenth of a second, for which a function that
seldom pays should not have to wait at its start.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Final

from headroom.core.gateways.secrets import (
    PaymentSecret,
    ReadSecret,
    SecretMissing,
    read_payment_secret_of,
)
from headroom.core.settings import PaymentSettings
from headroom.payments.gateways.payments import PaymentUnknown

if TYPE_CHECKING:
    from stripe import RequestsClient, StripeClient

# Twice this must fit into an API request, because the library tries once more.
CONNECT_TIMEOUT_SECONDS: Final = 2
READ_TIMEOUT_SECONDS: Final = 10
NETWORK_RETRIES: Final = 1


class StripeLine:
    """`api_base` is where Stripe's API is, `read_secret` returns what opens it."""

    def __init__(self, *, api_base: str, read_secret: ReadSecret) -> None:
        self._api_base = api_base
        self._read_secret = read_secret

    @classmethod
    def configured(cls, settings: PaymentSettings) -> StripeLine:
        """Return the configured line. Nothing is read or opened before the first call."""

        @cache
        def reader() -> ReadSecret:
            return read_payment_secret_of(settings)

        return cls(api_base=settings.api_base, read_secret=lambda fresh: reader()(fresh))

    @contextmanager
    def open(self) -> Iterator[StripeClient]:
        """A client. Errors that do not say what happened leave as PaymentUnknown."""
        from stripe import AuthenticationError, StripeClient, StripeError

        client = StripeClient(
            self.secret(fresh=False).api_key,
            base_addresses={"api": self._api_base},
            http_client=_connections(),
            max_network_retries=NETWORK_RETRIES,
        )
        try:
            yield client
        except AuthenticationError as error:
            self.secret(fresh=True)  # It may have been rotated: the next call has the new one.
            raise PaymentUnknown("Stripe does not know our key") from error
        except StripeError as error:
            raise PaymentUnknown(f"{type(error).__name__}: {error}") from error

    def secret(self, *, fresh: bool) -> PaymentSecret:
        """Return the secret; `fresh` reads it anew.

        Raises:
            PaymentUnknown: there is none, or it cannot be read.
        """
        try:
            return self._read_secret(fresh)
        except SecretMissing as error:
            raise PaymentUnknown(str(error)) from error


@cache
def _connections() -> RequestsClient:
    """The open connections, which all clients of one process share."""
    from stripe import RequestsClient

    return RequestsClient(timeout=(CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS))
