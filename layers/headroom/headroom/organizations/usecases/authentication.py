"""Who is calling: API keys by the hash of their secret, people by their token."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from headroom.core.domain.actor import Actor
from headroom.core.errors import Unauthenticated
from headroom.core.store.table import Table
from headroom.organizations.domain.identity import Identity
from headroom.organizations.domain.organization import Organization, Role
from headroom.organizations.store.credentials import find_key
from headroom.organizations.store.organizations import find_member, find_organization

# A revoked key has to stop working within ten seconds.
REMEMBERED_FOR: Final = timedelta(seconds=5)
REMEMBERED_MAX: Final = 10_000
SECRET_LENGTH_MAX: Final = 200

# What every secret begins with, so that people and scanners recognize one.
KEY_PREFIX: Final = "sk-headroom-"


@dataclass(frozen=True, slots=True)
class Caller:
    """A credential that was checked: its organization, what it may do, and who it is.

    A person has a role, and `subject` is their user id; a key has scopes, and `subject` is its id.
    """

    organization: Organization
    subject: str
    scopes: frozenset[str] = frozenset()
    role: Role | None = None

    @property
    def org_id(self) -> str:
        """The organization that the caller belongs to, and sees nothing beyond."""
        return self.organization.org_id

    @property
    def actor(self) -> Actor:
        """Whom the audit names for what this caller changes."""
        return Actor("api_key" if self.role is None else "user", self.subject)

    def place_of(self, idempotency_key: str) -> str:
        """Return an idempotency key told apart by whose it is.

        People have keys of their own; an organization's API keys share theirs, as they are rotated.
        No idempotency key has a space.
        """
        return idempotency_key if self.role is None else f"{self.subject} {idempotency_key}"


class Callers:
    """The callers that this process checked within the last seconds.

    Keys are remembered with the settings of their organization, of which callers use only what
    never changes at once: its time zone, contract prices that start on a later day, and the terms
    of pricing, whose change is answered when nobody remembers the old ones.
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
        if len(secret) > SECRET_LENGTH_MAX or not secret.isascii():
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


def authenticate_person(table: Table, identity: Identity, token: str, now: datetime) -> Caller:
    """Return the caller that a person's token speaks for.

    Role and membership are read each time, so that they hold at once.

    Raises:
        Unauthenticated: the token is not good, or its person is not a member any more.
    """
    person = identity.identify(token, now)
    organization = find_organization(table, person.org_id)
    member = find_member(table, person.org_id, person.user_id)
    if organization is None or member is None or not member.active:
        raise Unauthenticated("Authorization: this person is not a member of the organization")
    return Caller(organization, member.user_id, role=member.role)


def digest_of(secret: str) -> str:
    """Return the hash by which a key is found. Its secret has 256 random bits, so no salt."""
    return hashlib.sha256(secret.encode()).hexdigest()
