"""Telling people of events by mail: each person of each event at most once.

A claim is written before a letter is sent. Whoever is cut off between the two has lost that
letter, and nobody is ever told twice; what certainly was not sent is given back and tried again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from headroom.core.store.table import Table
from headroom.limits.store.increases import find_request
from headroom.notifications.domain.letters.letter import compose
from headroom.notifications.domain.letters.notices import Notice, notice_of
from headroom.notifications.gateways.mail import Mailer, MailNotSent, MailRefused, MailUnknown
from headroom.notifications.store.mails import claim_mail, give_back_mail
from headroom.organizations.domain.organization import Member, Organization
from headroom.organizations.store.organizations import find_member, find_organization, list_staff

OWNERS: Final = ("primary_owner", "owner")
# A digest names a few and counts all.
NAMED_MAX: Final = 10


@dataclass(slots=True)
class Told:
    """What came of telling people: how many were sent a mail, and to whom none can be sent."""

    sent: int = 0
    refused: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def notify(
    table: Table,
    mailer: Mailer,
    detail_type: str,
    detail: Mapping[str, Any],
    settings_url: str,
    now: datetime,
) -> Told:
    """Send the mail of an event to all whom it concerns and who were not told of it before.

    Raises:
        MailNotSent: some mail was not taken; the same event may come again.
    """
    told = Told()
    notice = notice_of(detail_type, detail)
    organization = find_organization(table, detail["organization_id"])
    if notice is None or organization is None or notice.topic in organization.muted:
        return told
    requesters = list(_requesters(table, organization, notice))
    people = _people(table, organization, notice)
    later: MailNotSent | None = None
    for recipient in _recipients(table, organization, notice):
        place = (organization.org_id, detail["id"], recipient.user_id)
        letter = compose(
            notice,
            organization,
            recipient,
            requesters=requesters,
            people=people,
            settings_url=settings_url,
        )
        if not claim_mail(table, *place, now):
            continue
        try:
            mailer.send(letter)
        except MailNotSent as error:
            give_back_mail(table, *place)
            later = error
        except MailRefused:
            told.refused.append(recipient.user_id)
        except MailUnknown:
            told.unknown.append(recipient.user_id)
        else:
            told.sent += 1
    if later is not None:
        raise later
    return told


def _recipients(table: Table, organization: Organization, notice: Notice) -> Iterator[Member]:
    if notice.audience == "member":
        assert notice.user_id is not None, "a notice to a member names them"
        member = find_member(table, organization.org_id, notice.user_id)
        if member is not None and member.active:
            yield member
        return
    for member in list_staff(table, organization.org_id):
        if notice.audience == "reviewers" or member.role in OWNERS:
            yield member


def _people(table: Table, organization: Organization, notice: Notice) -> dict[str, str]:
    """Return the names of whom a notice is about and who did it; who has no name has their id."""
    asked = {"member": notice.user_id, "by": notice.by}
    people: dict[str, str] = {}
    for word, some_id in asked.items():
        if some_id is not None:
            member = find_member(table, organization.org_id, some_id)
            people[word] = some_id if member is None else member.name
    return people


def _requesters(table: Table, organization: Organization, notice: Notice) -> Iterator[str]:
    """Walk through the names of those whose requests wait, some of them."""
    for request_id in notice.facts.get("request_ids", ())[:NAMED_MAX]:
        request = find_request(table, organization.org_id, request_id)
        if request is None or request.status != "pending":
            continue
        member = find_member(table, organization.org_id, request.user_id)
        if member is not None:
            yield member.name
