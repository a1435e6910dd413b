"""Events reach an owner's own server: signed, retried, sent anew, and never somewhere inside."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest
from standardwebhooks import WebhookVerificationError

from tests.e2e.governed import PATIENCE_SECONDS, House, provision_house
from tests.webhook_scene import Received, Receiver, receiver

ENDPOINTS = "/v1/organizations/webhook_endpoints"
DELIVERIES = "/v1/organizations/webhook_deliveries"
Found = TypeVar("Found")


@pytest.fixture(scope="module")
def house(stack: dict[str, Any]) -> House:
    return provision_house(stack)


@pytest.fixture
def here() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


def owner(
    house: House, method: str, path: str, body: object = None, **query: str
) -> dict[str, Any]:
    answer = house.send(method, path, body, person="owner", query=query or None)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


@pytest.fixture
def endpoint(house: House, here: Receiver) -> Iterator[dict[str, Any]]:
    made = owner(house, "POST", ENDPOINTS, {"url": here.url, "description": "the test's"})
    yield made
    owner(house, "DELETE", f"{ENDPOINTS}/{made['id']}")


def wait_for(look: Callable[[], Found | None]) -> Found:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := look()) is None:
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.1)
    return found


def nth(here: Receiver, number: int) -> Received:
    return wait_for(lambda: here.received[number - 1] if len(here.received) >= number else None)


def delivery_of(house: House, endpoint: dict[str, Any], status: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        rows = owner(
            house, "GET", DELIVERIES, None, **{"endpoint_ids[]": endpoint["id"], "status[]": status}
        )["data"]
        return rows[0] if rows else None

    return wait_for(look)


def change_something(house: House) -> str:
    """Make an event happen, and return the setting by which it is known again."""
    amount = str(50_000 + time.monotonic_ns() % 10_000)
    owner(house, "PUT", "/v1/organizations/spend_limit", {"amount": amount})
    return amount


def test_an_event_arrives_signed_with_the_secret_that_was_shown(
    house: House, here: Receiver, endpoint: dict[str, Any]
) -> None:
    amount = change_something(house)

    message = nth(here, 1)

    content = message.verify(endpoint["secret"])
    assert content["type"] == "spend_limit.changed"
    assert content["data"]["after"]["spend_limit"] == amount
    assert content["data"]["organization_id"] == house.org_id
    told = delivery_of(house, endpoint, "succeeded")
    assert told["event_id"] == message.headers["webhook-id"] == content["data"]["id"]
    assert told["response_status"] == 204


def test_the_secret_is_shown_once(house: House, endpoint: dict[str, Any]) -> None:
    assert endpoint["secret"].startswith("whsec_")
    shown = owner(house, "GET", ENDPOINTS)["data"]
    assert [each["id"] for each in shown] == [endpoint["id"]]
    assert "secret" not in shown[0]


def test_a_failure_is_tried_again_by_itself(
    house: House, here: Receiver, endpoint: dict[str, Any]
) -> None:
    here.statuses = [500, 503]
    owner(house, "POST", f"{ENDPOINTS}/{endpoint['id']}/test")

    first = nth(here, 1)
    began = time.monotonic()
    second = nth(here, 2)

    assert time.monotonic() - began > 2
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    assert second.verify(endpoint["secret"])["type"] == "webhook_endpoint.test"
    told = delivery_of(house, endpoint, "pending")
    assert told["attempts"] in (1, 2)  # The answer may be a moment ahead of the record.


def test_an_owner_sends_an_event_again(
    house: House, here: Receiver, endpoint: dict[str, Any]
) -> None:
    sent = owner(house, "POST", f"{ENDPOINTS}/{endpoint['id']}/test")
    nth(here, 1)
    delivery_of(house, endpoint, "succeeded")

    again = owner(house, "POST", f"{DELIVERIES}/{sent['id']}/redeliver")

    assert again["status"] == "pending"
    assert nth(here, 2).headers["webhook-id"] == sent["event_id"]


def test_for_a_day_after_a_rotation_both_secrets_are_good(
    house: House, here: Receiver, endpoint: dict[str, Any]
) -> None:
    rotated = owner(house, "POST", f"{ENDPOINTS}/{endpoint['id']}/rotate")
    assert rotated["secret"] != endpoint["secret"]
    owner(house, "POST", f"{ENDPOINTS}/{endpoint['id']}/test")

    message = nth(here, 1)

    for secret in (endpoint["secret"], rotated["secret"]):
        message.verify(secret)
    with pytest.raises(WebhookVerificationError):
        message.verify("whsec_" + "A" * 43 + "=")


def test_what_an_endpoint_does_not_want_is_not_sent(
    house: House, here: Receiver, endpoint: dict[str, Any]
) -> None:
    owner(house, "PUT", f"{ENDPOINTS}/{endpoint['id']}", {"event_types": ["invoice.paid"]})
    change_something(house)
    # Behind it in the same queue, and to the same endpoint.
    owner(house, "POST", f"{ENDPOINTS}/{endpoint['id']}/test")

    assert nth(here, 1).verify(endpoint["secret"])["type"] == "webhook_endpoint.test"
    time.sleep(2)  # Time for the change to come through the table's stream.
    assert len(here.received) == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/",
        "https://169.254.169.254/latest/meta-data/",
        "https://10.0.0.1/",
        "https://[::ffff:10.0.0.1]/",
        "https://intranet/",
    ],
)
def test_an_address_inside_is_refused(house: House, url: str) -> None:
    answer = house.send("POST", ENDPOINTS, {"url": url}, person="owner")
    assert answer.status_code == 400
    assert answer.json()["error"]["details"] == {"field": "url"}


@pytest.mark.parametrize("person", ["admin", "m0"])
def test_endpoints_are_the_owners(house: House, endpoint: dict[str, Any], person: str) -> None:
    assert house.send("GET", ENDPOINTS, person=person).status_code == 403
    path = f"{ENDPOINTS}/{endpoint['id']}/rotate"
    assert house.send("POST", path, person=person).status_code == 403
    assert house.send("GET", ENDPOINTS, key=house.admin_key).status_code == 403
