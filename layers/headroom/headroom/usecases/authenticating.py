"""Who is calling: API keys, looked up by the hash of their secret and remembered for seconds."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from headroom.domain.organization import Organization
from headroom.errors import Forbidden, Unauthenticated
from headroom.store.credentials import find_key
from headroom.store.organizations import find_organization
from headroom.store.table import Table

# A revoked key has to stop working within ten seconds.
REMEMBERED_FOR: Final = timedelta(seconds=5)
REMEMBERED_MAX: Final = 10_000
SECRET_LENGTH_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Caller:
    """A credential that was checked: its organization, what it may do, and who it is."""

    organization: Organization
    subject: str
    scopes: frozenset[str]

    @property
    def org_id(self) -> str:
        """The organization that the caller belongs to, and sees nothing beyond."""
        return self.organization.org_id

    def require(self, scope: str) -> None:
        """Check that the caller may do what needs this scope.

        Raises:
            Forbidden: it may not.
        """
        if scope not in self.scopes:
            raise Forbidden(f"x-api-key: this key lacks the scope {scope}")


class Callers:
    """The callers that this process checked within the last seconds.

    Keys are remembered with the settings of their organization, of which callers use only what
    never changes at once: its time zone, and contract prices that start on a later day.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[datetime, Caller]] = OrderedDict()

    def authenticate(self, table: Table, secret: str | None, now: datetime) -> Caller:
        """Return the caller that sent this API key.

        Raises:
            Unauthenticated: the key is missing, unknown or revoked.
        """
        if not secret:
            raise Unauthenticated("x-api-key: the header is missing")
        if len(secret) > SECRET_LENGTH_MAX:
            raise Unauthenticated("x-api-key: unknown or revoked")
        digest = digest_of(secret)
        known = self._known.get(digest)
        if known and abs(now - known[0]) < REMEMBERED_FOR:
            return known[1]
        self._known.pop(digest, None)
        key = find_key(table, digest)
        organization = None if key is None else find_organization(table, key.org_id)
        if key is None or key.revoked or organization is None:
            raise Unauthenticated("x-api-key: unknown or revoked")
        caller = Caller(organization, key.key_id, frozenset(key.scopes))
        self._known[digest] = (now, caller)
        if len(self._known) > REMEMBERED_MAX:
            self._known.popitem(last=False)
        return caller


def digest_of(secret: str) -> str:
    """Return the hash by which a key is found. Its secret has 256 random bits, so no salt."""
    return hashlib.sha256(secret.encode()).hexdigest()
