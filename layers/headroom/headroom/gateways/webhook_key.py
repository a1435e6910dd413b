"""The deployment's key from which the secrets of webhook endpoints are derived."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

# Returns the key.
ReadKey = Callable[[], bytes]


def read_key_of(secret_arn: str) -> ReadKey:
    """Return a reader of the key in Secrets Manager, which is asked for it once in a process.

    The key never changes: every endpoint's secrets would change with it.
    """

    @cache
    def read() -> bytes:
        # Imported late: not every call of a function needs a secret.
        from aws_lambda_powertools.utilities import parameters

        return parameters.get_secret(secret_arn).encode()

    return read
