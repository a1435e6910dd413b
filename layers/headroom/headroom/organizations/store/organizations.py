"""Settings and pool of an organization, which change together or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from pynamodb.expressions.update import Action

from headroom.core.domain.instants import to_millis
from headroom.core.store import keys
from headroom.core.store.table import (
    READ_TOGETHER,
    Change,
    Item,
    Key,
    Page,
    Put,
    Range,
    Refused,
    Table,
    Update,
    each,
)
from headroom.organizations.domain.organization import (
    Member,
    Organization,
    renew_member,
    renew_settings,
)
from headroom.organizations.domain.pool import Pool
from headroom.organizations.store.member_record import MemberRecord
from headroom.organizations.store.pool_record import PoolRecord
from headroom.organizations.store.settings_record import ProvisioningRecord, SettingsRecord

# Members read in one call, where not all of them are wanted.
PAGE: Final = 250


def find_organization(table: Table, org_id: str) -> Organization | None:
    """Return an organization's settings, None if there is none with this id."""
    item = table.get(keys.settings(org_id))
    return None if item is None else SettingsRecord.of(item).to_domain()


def find_provisioned(table: Table, org_id: str) -> tuple[Organization, str] | None:
    """Return an organization and the hash of what it was provisioned from."""
    item = table.get(keys.settings(org_id))
    if item is None:
        return None
    record = SettingsRecord.of(item)
    return record.to_domain(), record.provisioned_from or ""


def find_member(table: Table, org_id: str, user_id: str) -> Member | None:
    """Return a member, None if the organization never had this one."""
    item = table.get(keys.member(org_id, user_id))
    return None if item is None else MemberRecord.of(item).to_domain()


def find_pool(table: Table, org_id: str) -> Pool:
    """Return the pool of an organization that exists."""
    item = table.get(keys.pool(org_id))
    assert item is not None, "an organization is written together with its pool"
    return PoolRecord.of(item).to_domain()


def members_of(org_id: str) -> Range:
    """Where an organization's members lie."""
    return Range(f"ORG#{org_id}#MEMBERS")


def list_members(table: Table, org_id: str) -> Iterator[Member]:
    """Walk through all members of an organization, in the order of their ids."""
    for item in each(table, members_of(org_id)):
        yield MemberRecord.of(item).to_domain()


def members_between(table: Table, org_id: str, after: str, upto: str) -> Iterator[Member]:
    """Walk through the members whose ids lie behind `after` and up to `upto`; "" is no bound."""
    start = keys.member(org_id, after).attributes() if after else None
    while True:
        page = table.query(members_of(org_id), limit=PAGE, start=start)
        for item in page.items:
            member = MemberRecord.of(item).to_domain()
            if upto and member.user_id > upto:
                return
            yield member
        start = page.next_key
        if start is None:
            return


def members_page(table: Table, org_id: str, *, limit: int, start: Item | None) -> Page:
    """Return a page of members, those who left among them, in the order of their ids."""
    return table.query(members_of(org_id), limit=limit, start=start)


def count_members(table: Table, org_id: str) -> int:
    """Return how many members there are, those who left among them."""
    return table.count(members_of(org_id))


def find_members(table: Table, org_id: str, user_ids: Sequence[str]) -> dict[Key, Item]:
    """Return the items of up to 100 members, those that exist."""
    return table.get_many([keys.member(org_id, user_id) for user_id in user_ids])


def list_staff(table: Table, org_id: str) -> Iterator[Member]:
    """Walk through current owners and admins, as the index and then the members themselves say.

    The index is a moment behind: somebody who was given their role just now may be missing.
    """
    listed = [
        MemberRecord.of(item).user_id
        for item in each(table, Range(keys.staff_of(org_id), index="by_member"))
    ]
    for first in range(0, len(listed), READ_TOGETHER):
        for item in find_members(table, org_id, listed[first : first + READ_TOGETHER]).values():
            member = read_member(item)
            if member.active and member.role != "member":
                yield member


def read_member(item: Item) -> Member:
    """Read a member."""
    return MemberRecord.of(item).to_domain()


def create_organization(
    table: Table,
    organization: Organization,
    pool: Pool,
    *,
    provisioned_from: str,
    contract: Sequence[object],
    also: Sequence[Change],
) -> None:
    """Write settings and pool of a new organization, with what else belongs to its start.

    Raises:
        Refused: there is one with this id.
    """
    key = keys.settings(organization.org_id)
    record = SettingsRecord.from_domain(key, organization)
    record.provisioned_from = provisioned_from
    record.contract = list(contract) or None
    pool_key = keys.pool(organization.org_id)
    table.transact(
        [
            Put(key, record.to_item(), SettingsRecord.pk.does_not_exist()),
            Put(
                pool_key,
                PoolRecord.from_domain(pool_key, pool).to_item(),
                PoolRecord.pk.does_not_exist(),
            ),
            *also,
        ]
    )


def claim_organization(table: Table, org_id: str, digest: str) -> bool:
    """Settle which document an organization is made from; False if it is another one."""
    key = keys.provisioning(org_id)
    claim = ProvisioningRecord(key.pk, key.sk, digest=digest)
    free = ProvisioningRecord.pk.does_not_exist() | (ProvisioningRecord.digest == digest)
    try:
        table.transact([Put(key, claim.to_item(), free)])
    except Refused:
        return False
    return True


def is_begun(table: Table, org_id: str) -> bool:
    """Tell whether an organization was begun to be made, from whichever document."""
    # Those of an older release have no claim.
    return (
        table.get(keys.provisioning(org_id)) is not None
        or table.get(keys.settings(org_id)) is not None
    )


def put_member(member: Member) -> Put:
    """Return the write of a new member."""
    key = keys.member(member.org_id, member.user_id)
    record = MemberRecord.from_domain(key, member)
    return Put(key, record.to_item(), MemberRecord.pk.does_not_exist())


def change_settings(
    table: Table,
    old: Organization,
    new: Organization,
    also: Sequence[Change] = (),
    *,
    enforced_until: datetime | None = None,
) -> Organization:
    """Write changed settings, and move the pool by as much as the cap moved.

    The version counts on in both items, so that no grant decided on the old settings passes.
    With `enforced_until`, others leave it to the caller until then to bring back what a cut
    leaves out.

    Raises:
        Refused: the settings are not `old` any more.
        Contended: others are on the pool.
    """
    changed = renew_settings(old, new)
    record = SettingsRecord.from_domain(keys.settings(old.org_id), changed)
    settings_actions: list[Action] = [
        SettingsRecord.enabled.set(changed.enabled),
        SettingsRecord.admission.set(changed.admission),
        SettingsRecord.tiers.set(record.tiers),
        SettingsRecord.past_due.set(changed.past_due),
        SettingsRecord.requests_enabled.set(changed.requests_enabled),
        SettingsRecord.set_up.set(record.set_up),
        SettingsRecord.muted.set(record.muted),
        SettingsRecord.version.set(changed.version),
        SettingsRecord.cap_generation.set(changed.cap_generation),
        SettingsRecord.tax.remove() if changed.tax is None else SettingsRecord.tax.set(record.tax),
        SettingsRecord.pricing.remove()
        if record.pricing is None
        else SettingsRecord.pricing.set(record.pricing),
        SettingsRecord.cap_nanos.remove()
        if changed.cap_nanos is None
        else SettingsRecord.cap_nanos.set(changed.cap_nanos),
    ]
    pool_actions: list[Action] = [
        PoolRecord.version.set(changed.version),
        PoolRecord.unallotted.set(PoolRecord.unallotted + (changed.cap - old.cap)),
    ]
    if changed.cap < old.cap and enforced_until is not None:
        pool_actions.append(PoolRecord.enforced_until.set(to_millis(enforced_until)))
    table.transact(
        [
            Update(
                keys.settings(old.org_id), settings_actions, SettingsRecord.version == old.version
            ),
            Update(keys.pool(old.org_id), pool_actions, PoolRecord.version == old.version),
            *also,
        ]
    )
    return changed


def change_member(
    table: Table,
    organization: Organization,
    old: Member,
    new: Member,
    also: Sequence[Change] = (),
) -> None:
    """Write a changed member under a new version of the settings.

    Raises:
        Refused: the settings, or the member, are not what was read any more.
        Contended: others are on the pool.
    """
    key = keys.member(old.org_id, old.user_id)
    record = MemberRecord.from_domain(key, renew_member(organization, old, new))
    version = organization.version + 1
    table.transact(
        [
            Put(key, record.to_item(), MemberRecord.pk.exists()),
            Update(
                keys.settings(old.org_id),
                [SettingsRecord.version.set(version)],
                SettingsRecord.version == organization.version,
            ),
            Update(
                keys.pool(old.org_id),
                [PoolRecord.version.set(version)],
                PoolRecord.version == organization.version,
            ),
            *also,
        ]
    )


def roll_pool(table: Table, organization: Organization, pool: Pool, period: str) -> None:
    """Let the pool's next period begin with the full cap; the old one is filed as it stands.

    Raises:
        Refused: the pool moved meanwhile.
        Contended: others are on it.
    """
    key = keys.pool(organization.org_id)
    past_key = keys.past_pool(organization.org_id, pool.period)
    table.transact(
        [
            Update(
                key,
                [
                    PoolRecord.period.set(period),
                    PoolRecord.unallotted.set(organization.cap),
                    PoolRecord.grants.set(PoolRecord.grants + 1),
                ],
                (PoolRecord.period == pool.period)
                & (PoolRecord.version == organization.version)
                & (PoolRecord.unallotted == pool.unallotted),
            ),
            Put(past_key, PoolRecord.from_domain(past_key, pool).to_item()),
        ]
    )


def first_past_period(table: Table, org_id: str) -> str | None:
    """Return the first period whose pool was filed, None if the pool is in its first one."""
    prefix = keys.past_pool(org_id, "").sk
    page = table.query(Range(keys.pool(org_id).pk, prefix=prefix), limit=1)
    return page.items[0]["sk"]["S"].removeprefix(prefix) if page.items else None


def mark_drained(table: Table, org_id: str, grants: int, expiry_millis: int) -> None:
    """Record that nobody holds an allotment, as of a pool without a grant since `grants`.

    Raises:
        Refused: there was a grant.
    """
    table.update(
        Update(
            keys.pool(org_id),
            [
                PoolRecord.drained_at.set(grants),
                PoolRecord.expiry.set(expiry_millis),
                # Whatever a cut left out is back.
                PoolRecord.enforced_until.set(0),
            ],
            PoolRecord.grants == grants,
        )
    )
