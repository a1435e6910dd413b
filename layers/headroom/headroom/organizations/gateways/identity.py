"""People by their tokens, for functions that seldom or never see one."""

from __future__ import annotations

from datetime import datetime

from headroom.core.settings import IdentitySettings
from headroom.organizations.domain.identity import Identity, Person


class LateIdentity:
    """Verifies tokens, and imports what that takes with the first of them.

    Cryptography is a good part of a cold start, and most requests come with a key.
    """

    def __init__(self, settings: IdentitySettings) -> None:
        self._settings = settings
        self._identity: Identity | None = None

    def identify(self, token: str, now: datetime) -> Person:
        if self._identity is None:
            from headroom.organizations.gateways.oidc import connect_oidc

            self._identity = connect_oidc(self._settings)
        return self._identity.identify(token, now)


def connect_identity(settings: IdentitySettings) -> LateIdentity:
    """Return the verifier of the configured issuer's tokens."""
    return LateIdentity(settings)
