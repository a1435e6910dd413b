"""A key of the deployment: the secrets of webhook endpoints are derived from one.

The previews of the operator's widget are signed with another.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

# Returns the key.
ReadKey = Callable[[], bytes]


def read_key_of(secret_arn: str) -> ReadKey:
    """Return a reader of the key in Secrets Manager, which is asked for it once in a process.

    The key never changes: whatever is derived from it or signed with it would change too.
    """

    @cache
    def read() -> bytes:
        # Imported late: not every call of a function needs a secret.
        from aws_lambda_powertools.utilities import parameters

        return parameters.get_secret(secret_arn).encode()

    return read
