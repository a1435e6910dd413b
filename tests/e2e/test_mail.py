"""What happens reaches people by mail: from the bus to SES, in their organization's language."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import boto3
import pytest

from tests.e2e.governed import PATIENCE_SECONDS, House, provision_house
from tools.local_stack.mail import SentMail, sent_mail


def mails_to(house: House, name: str) -> list[SentMail]:
    """Return what a person of this house was sent: nobody else has their address."""
    suffix = house.people[name].split("_")[1]
    address = f"{name}@{suffix}.example"
    return [mail for mail in sent_mail(house.stack["aws_endpoint_url"]) if mail.to == (address,)]


def wait_for(look: Callable[[], list[SentMail]], subject: str) -> SentMail:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        mails = look()
        for mail in mails:
            if subject in mail.subject:
                return mail
        told = f"no {subject!r} among {[mail.subject for mail in mails]}"
        assert time.monotonic() < deadline, told
        time.sleep(0.3)


def announce(house: House, detail_type: str, detail: dict[str, Any]) -> None:
    """Put an event on the bus, as functions do that this house does not drive."""
    events = boto3.client("events", endpoint_url=house.stack["aws_endpoint_url"])
    carried = {
        "version": "1",
        "organization_id": house.org_id,
        "occurred_at": "2026-11-23T12:00:00.000000Z",
        **detail,
    }
    events.put_events(
        Entries=[
            {
                "EventBusName": house.stack["event_bus_name"],
                "Source": "headroom",
                "DetailType": detail_type,
                "Detail": json.dumps(carried),
            }
        ]
    )


def test_a_threshold_that_spending_crosses_is_mailed_to_the_owner(stack: dict[str, Any]) -> None:
    house = provision_house(stack, spend_limit="10")
    house.spend("m0", 5000)

    mail = wait_for(lambda: mails_to(house, "owner"), "75%")

    assert mail.subject == "House has used 75% of its spend limit"
    assert "$0.08 of its monthly limit of $0.10" in mail.text
    assert "<p>" in mail.html
    assert mails_to(house, "m0") == mails_to(house, "admin") == []


def test_a_french_organization_reads_french(stack: dict[str, Any]) -> None:
    house = provision_house(stack, language="fr", name="Chez Nous <SARL>")
    asked = house.send("POST", "/v1/me/spend_limit_increase_requests", {}, person="m0").json()
    path = f"/v1/organizations/spend_limit_increase_requests/{asked['id']}/approve"
    assert house.send("POST", path, {"amount": "2500"}, person="admin").status_code == 200

    mail = wait_for(lambda: mails_to(house, "m0"), "approuvée")

    assert "Votre limite de dépenses mensuelle chez Chez Nous <SARL>" in mail.text
    assert "25,00\u00a0$\u00a0US" in mail.text
    assert "Chez Nous &lt;SARL&gt;" in mail.html


def test_a_decision_whose_notification_is_suppressed_is_not_mailed(stack: dict[str, Any]) -> None:
    house = provision_house(stack)
    for name, suppressed in (("m0", True), ("m1", False)):
        asked = house.send("POST", "/v1/me/spend_limit_increase_requests", {}, person=name).json()
        path = f"/v1/organizations/spend_limit_increase_requests/{asked['id']}/deny"
        body = {"suppress_notification": suppressed}
        assert house.send("POST", path, body, person="owner").status_code == 200

    wait_for(lambda: mails_to(house, "m1"), "denied")

    assert mails_to(house, "m0") == []


def test_an_event_that_comes_twice_is_mailed_once(stack: dict[str, Any]) -> None:
    house = provision_house(stack)
    for _ in range(3):
        announce(house, "wallet.low", {"id": "evt_low", "balance": "250"})
    # Later than those, and through the same rule.
    announce(house, "wallet.empty", {"id": "evt_empty", "balance": "0"})

    wait_for(lambda: mails_to(house, "owner"), "is empty")
    mail = wait_for(lambda: mails_to(house, "owner"), "running low")

    assert "holds $2.50" in mail.text
    time.sleep(1)  # Time in which a second mail would have come.
    assert len(mails_to(house, "owner")) == 2


@pytest.mark.parametrize("person", ["owner", "admin"])
def test_owners_switch_mail_off_and_admins_look(stack: dict[str, Any], person: str) -> None:
    house = provision_house(stack)
    path = "/v1/organizations/notifications"
    assert house.send("GET", path, person=person).json()["mail"]["wallet"] is True

    changed = house.send("PUT", path, {"mail": {"wallet": False}}, person=person)

    if person == "admin":
        assert changed.status_code == 403
        return
    assert changed.json()["mail"]["wallet"] is False
    announce(house, "wallet.low", {"id": "evt_low", "balance": "250"})
    announce(house, "wallet.reload_failed", {"id": "evt_failed", "amount": "5000"})
    wait_for(lambda: mails_to(house, "owner"), "could not be reloaded")
    assert len(mails_to(house, "owner")) == 1
