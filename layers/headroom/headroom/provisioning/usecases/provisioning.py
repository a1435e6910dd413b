"""Bringing an organization into being, from one document, once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headroom.core.domain.periods import period_of, time_zone
from headroom.core.errors import Conflict, InvalidRequest
from headroom.core.store.table import Change, Put, Refused, Table
from headroom.limits.store.limits import LimitPlace, put_limit
from headroom.organizations.domain.organization import UNLIMITED_NANOS, Member, Organization
from headroom.organizations.domain.pool import Pool
from headroom.organizations.domain.scopes import ADMIN_SCOPES, SERVICE_SCOPES
from headroom.organizations.store.closings import put_closing
from headroom.organizations.store.credentials import put_key
from headroom.organizations.store.organizations import (
    claim_organization,
    create_organization,
    find_member,
    find_provisioned,
    is_begun,
    put_member,
)
from headroom.organizations.usecases.api_keys import new_key
from headroom.organizations.usecases.first_period import first_closing
from headroom.payments.usecases.wallets import opening_writes


@dataclass(frozen=True, slots=True)
class Provisioning:
    """An organization to be; `opening_nanos` is a Team wallet's opening credit.

    `digest` is the hash of the document that it was read from.
    """

    organization: Organization
    members: Sequence[Member]
    opening_nanos: int
    contract: Sequence[object]
    digest: str


def check_new(table: Table, wanted: Provisioning) -> None:
    """Check what a document must say of an organization that is yet to be made.

    One that was made, or begun, from this document by a release that did not ask for it stays as
    it is: repeating its document finds it, or finishes it.

    Raises:
        InvalidRequest: it has not exactly one primary owner, or does not say of which models a
            contract price is.
    """
    if is_begun(table, wanted.organization.org_id):
        return
    owners = sum(member.role == "primary_owner" for member in wanted.members)
    if owners != 1:
        raise InvalidRequest(
            "members", f"must have exactly one with the role primary_owner, not {owners}"
        )
    for index, agreed in enumerate(wanted.contract):
        if isinstance(agreed, Mapping) and "model" not in agreed:
            raise InvalidRequest(
                f"contract_prices.{index}.model", "must be a model id, or null for all models"
            )


def provision(table: Table, wanted: Provisioning, now: datetime) -> dict[str, Any]:
    """Create an organization with its members and keys; the same document again finds it.

    Members are written first and the organization last, with its keys: until then nobody can
    call, and a run that was cut off is simply repeated. Which document it is made from is written
    before all, so that no other one finds the members of this. The keys are in the first answer
    only.

    Raises:
        Conflict: the id was used for another document, or is being used for one.
    """
    organization = wanted.organization
    if (found := _existing(table, wanted)) is not None:
        return found
    if not claim_organization(table, organization.org_id, wanted.digest):
        raise Conflict("id: provisioning it was begun from another document; repeat that one")
    for member in wanted.members:
        if find_member(table, organization.org_id, member.user_id) is None:
            try:
                table.transact([put_member(member), *_member_limits(member, now)])
            except Refused:
                continue
    service_secret, service_key = new_key(organization.org_id, "service", SERVICE_SCOPES)
    admin_secret, admin_key = new_key(organization.org_id, "admin", ADMIN_SCOPES)
    pool = Pool(
        period=period_of(now, time_zone(organization.time_zone)),
        unallotted=organization.cap,
        funds=wanted.opening_nanos if organization.plan == "team" else UNLIMITED_NANOS,
        version=organization.version,
        grants=0,
    )
    try:
        create_organization(
            table,
            organization,
            pool,
            provisioned_from=wanted.digest,
            contract=wanted.contract,
            also=[
                *put_key(service_key, now),
                *put_key(admin_key, now),
                *_organization_limits(organization, now),
                *_wallet(wanted, now),
                put_closing(first_closing(organization, pool.period)),
            ],
        )
    except Refused:
        existing = _existing(table, wanted)
        assert existing is not None, "an organization refused the write"
        return existing
    return {**_answer(wanted), "service_key": service_secret, "admin_key": admin_secret}


def organization_id(provisioning_id: str) -> str:
    """Return the id of the organization that a document with this id becomes."""
    return f"org_{hashlib.sha256(provisioning_id.encode()).hexdigest()[:20]}"


def member_id(org_id: str, email: str) -> str:
    """Return the id of a member that came without one."""
    return f"user_{hashlib.sha256(f'{org_id}|{email}'.encode()).hexdigest()[:20]}"


def _organization_limits(organization: Organization, now: datetime) -> list[Put]:
    """Return the rows of the organization's limit and its seat tiers' limits."""
    whole = LimitPlace(organization.org_id, "organization", "", "monthly")
    rows = [put_limit(whole, organization.cap_nanos, None, now)]
    for name, tier in organization.tiers.items():
        for period, amount in tier.limits.items():
            place = LimitPlace(organization.org_id, "seat_tier", name, period)
            rows.append(put_limit(place, amount, None, now))
    return rows


def _wallet(wanted: Provisioning, now: datetime) -> Sequence[Change]:
    """Return the writes of a Team organization's wallet, with its opening credit."""
    organization = wanted.organization
    if organization.plan != "team":
        return ()
    return opening_writes(organization.org_id, wanted.opening_nanos, now)


def _member_limits(member: Member, now: datetime) -> list[Put]:
    """Return the rows of a member's own limits."""
    return [
        put_limit(LimitPlace(member.org_id, "user", member.user_id, period), amount, None, now)
        for period, amount in member.limits.items()
    ]


def _existing(table: Table, wanted: Provisioning) -> dict[str, Any] | None:
    found = find_provisioned(table, wanted.organization.org_id)
    if found is None:
        return None
    if found[1] != wanted.digest:
        raise Conflict("id: an organization was provisioned under it from another document")
    return _answer(wanted)


def _answer(wanted: Provisioning) -> dict[str, Any]:
    return {
        "type": "organization",
        "id": wanted.organization.org_id,
        "members": [
            {"user_id": member.user_id, "role": member.role, "seat_tier": member.seat_tier}
            for member in wanted.members
        ],
    }
