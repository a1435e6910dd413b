"""People: OIDC tokens, verified against the issuer's published keys."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from http.client import HTTPException
from typing import Any, Final
from urllib.request import urlopen

import jwt

from headroom.core.errors import Overloaded, Unauthenticated
from headroom.core.settings import IdentitySettings
from headroom.organizations.domain.identity import Person

ALGORITHMS: Final = ("RS256", "ES256")
CLOCK_SKEW: Final = timedelta(seconds=60)
TOKEN_LENGTH_MAX: Final = 8192
# Issuers publish a new key well before they sign with it, and revoke one by taking it away.
KEYS_LAST: Final = timedelta(minutes=10)
# A token signed with an unknown key may not make us fetch the keys at every request.
FETCH_AGAIN_AFTER: Final = timedelta(seconds=30)
FETCH_TIMEOUT_SECONDS: Final = 3
# The network, HTTP, no JSON, and JSON that is no key set, which PyJWT trips over.
KEYS_UNREADABLE: Final = (
    OSError,
    HTTPException,
    ValueError,
    AttributeError,
    TypeError,
    jwt.PyJWTError,
)


class OidcIdentity:
    """Verifies JSON Web Tokens of one issuer: signature, issuer, audience, times.

    `fetch_keys` returns the issuer's JSON Web Key Set as text.
    """

    def __init__(
        self, *, issuer: str, audience: str, organization_claim: str, fetch_keys: Callable[[], str]
    ) -> None:
        self._issuer = issuer
        self._audience = audience
        self._organization_claim = organization_claim
        self._fetch_keys = fetch_keys
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at: datetime | None = None

    def identify(self, token: str, now: datetime) -> Person:
        bad = Unauthenticated("Authorization: the token is not valid")
        if len(token) > TOKEN_LENGTH_MAX:
            raise bad
        try:
            header = jwt.get_unverified_header(token)
            key = self._key(header.get("kid"), now)
            # What the key is made for decides, and not what the token says of itself.
            if key is None or key.algorithm_name not in ALGORITHMS:
                raise bad
            claims: dict[str, Any] = jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm_name],
                issuer=self._issuer,
                audience=self._audience,
                # The times are compared below, with the time that we were given.
                options={
                    "require": ["exp", "iat", "sub"],
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except (jwt.PyJWTError, TypeError) as error:
            # PyJWT lets a TypeError out where a claim has another type than it expects.
            raise bad from error
        if not _in_time(claims, now):
            raise Unauthenticated("Authorization: the token has expired, or is not valid yet")
        org_id, user_id = claims.get(self._organization_claim), claims["sub"]
        if type(org_id) is not str or type(user_id) is not str:
            raise bad
        return Person(org_id, user_id)

    def _key(self, key_id: object, now: datetime) -> jwt.PyJWK | None:
        age = None if self._fetched_at is None else abs(now - self._fetched_at)
        known = self._keys.get(key_id) if isinstance(key_id, str) else None
        stale = age is None or age > (KEYS_LAST if known else FETCH_AGAIN_AFTER)
        if stale:
            try:
                key_set = jwt.PyJWKSet.from_json(self._fetch_keys())
            except KEYS_UNREADABLE as error:
                raise Overloaded("the issuer's keys cannot be read; try again") from error
            self._keys = {key.key_id: key for key in key_set.keys if key.key_id}
            self._fetched_at = now
            known = self._keys.get(key_id) if isinstance(key_id, str) else None
        return known


def connect_oidc(settings: IdentitySettings) -> OidcIdentity:
    """Return the verifier of the configured issuer's tokens."""
    return OidcIdentity(
        issuer=settings.issuer,
        audience=settings.audience,
        organization_claim=settings.organization_claim,
        fetch_keys=fetch_keys_from(settings.keys),
    )


def fetch_keys_from(source: str) -> Callable[[], str]:
    """Return a reader of a key set: `source` is its https address, or a data: URL with the set."""
    if not source.startswith(("https://", "data:")):
        raise ValueError("the issuer's keys must come over https")

    def fetch() -> str:
        with urlopen(source, timeout=FETCH_TIMEOUT_SECONDS) as response:  # noqa: S310 - https, above
            text: bytes = response.read()
            return text.decode()

    return fetch


def _in_time(claims: dict[str, Any], now: datetime) -> bool:
    moment, skew = now.timestamp(), CLOCK_SKEW.total_seconds()
    times = [claims.get(name, 0) for name in ("exp", "nbf", "iat")]
    if not all(type(each) in (int, float) for each in times):
        return False
    expires, not_before, issued = times
    return bool(moment < expires + skew and not_before <= moment + skew and issued <= moment + skew)
