"""API keys: made with a secret that is shown once, listed without it, revoked."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from headroom.core.errors import NotFound, Overloaded
from headroom.core.store.table import Change, Contended, Item, Refused, Table
from headroom.core.usecases.idempotency import Keyed
from headroom.organizations.domain.scopes import SERVICE_SCOPES
from headroom.organizations.store.credentials import ApiKey, KeyPage, list_keys, put_key, revoke_key
from headroom.organizations.usecases.authentication import KEY_PREFIX, digest_of


def new_key(org_id: str, name: str, scopes: Sequence[str]) -> tuple[str, ApiKey]:
    """Return a new secret, and the key that remembers only its hash."""
    kind = "service" if tuple(scopes) == SERVICE_SCOPES else "admin"
    secret = f"{KEY_PREFIX}{kind}-{secrets.token_urlsafe(32)}"
    digest = digest_of(secret)
    return secret, ApiKey(org_id, f"key_{digest[:20]}", name, tuple(scopes), secret[-4:], digest)


def create_key(
    table: Table,
    org_id: str,
    name: str,
    scopes: Sequence[str],
    now: datetime,
    keyed: Keyed | None = None,
) -> dict[str, Any]:
    """Make a key; its secret is in this answer and nowhere else.

    Under an idempotency key the answer is filed with the key itself, without the secret: whoever
    repeats the request finds the one key that it made, and revokes it if its secret was lost.

    Raises:
        Overloaded: the same request is being answered at this moment; repeat it.
    """
    secret, key = new_key(org_id, name, scopes)
    shown = key_to_wire(key)
    writes: list[Change] = [*put_key(key, now), *([keyed.filing(shown)] if keyed else [])]
    try:
        table.transact(writes)
    except (Refused, Contended) as error:
        raise Overloaded("the same request is being answered; try again") from error
    return {**shown, "secret": secret}


def keys_page(table: Table, org_id: str, *, limit: int, start: Item | None) -> KeyPage:
    """Return a page of an organization's keys, the revoked ones among them."""
    return list_keys(table, org_id, limit=limit, start=start)


def revoke(table: Table, org_id: str, key_id: str, now: datetime) -> dict[str, Any]:
    """Revoke a key: it stops working within ten seconds. Repeating it is fine.

    Raises:
        NotFound: the organization has no key with this id.
    """
    if not revoke_key(table, org_id, key_id, now):
        raise NotFound("key_id: the organization has no key with this id")
    return {"type": "api_key_revoked", "id": key_id}


def key_to_wire(key: ApiKey) -> dict[str, Any]:
    """Return a key as the wire has it, without its secret."""
    return {
        "type": "api_key",
        "id": key.key_id,
        "name": key.name,
        "scopes": list(key.scopes),
        "hint": f"…{key.hint}",
        "status": "revoked" if key.revoked else "active",
    }
