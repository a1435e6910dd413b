"""The official SDK drives all nine endpoints, with another base URL and key and nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic

from tests.e2e.governed import House, provision_house


@pytest.fixture(scope="module")
def house(stack: dict[str, Any]) -> House:
    return provision_house(stack)


def client_of(house: House, key: str | None = None) -> Anthropic:
    """A client that fails on any answer that is not shaped as the SDK says."""
    return Anthropic(
        api_key=key or house.admin_key,
        base_url=house.stack["api_url"],
        max_retries=0,
        _strict_response_validation=True,
    )


def ask_for_more(house: House, name: str) -> str:
    answer = house.send(
        "POST", "/v1/me/spend_limit_increase_requests", {"note": "more"}, person=name
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def test_a_limit_is_set_read_listed_and_deleted(house: House) -> None:
    user_id = house.people["m0"]
    with client_of(house) as client:
        limits = client.beta.organization.spend_limits
        made = limits.set(scope={"type": "user", "user_id": user_id}, amount="2500")
        again = limits.set(scope={"type": "user", "user_id": user_id}, amount="2500")
        found = limits.retrieve(made.id)
        daily = limits.set(scope={"type": "user", "user_id": user_id}, amount=None, period="daily")
        listed = list(limits.list(scope_type=["user"]))
        deleted = limits.delete(made.id)

        assert made == again == found
        assert (made.amount, made.period, made.currency) == ("2500", "monthly", "USD")
        assert made.scope.type == "user"
        assert (daily.amount, daily.period) == (None, "daily")
        assert [row.id for row in listed] == [daily.id, made.id]
        assert deleted.id == made.id
        with pytest.raises(anthropic.NotFoundError):
            limits.retrieve(made.id)


def test_lists_page_by_themselves(house: House) -> None:
    """Pages of one row each come one after another, none lost and none twice."""
    with client_of(house) as client:
        limits = client.beta.organization.spend_limits
        for name in ("m1", "m2", "m3"):
            limits.set(scope={"type": "user", "user_id": house.people[name]}, amount="9000")

        paged = [row.id for row in limits.list(limit=1)]
        whole = [row.id for row in limits.list(limit=1000)]
        people = [
            row.actor.user_id
            for row in limits.effective.list(limit=2, period=["monthly"])
            if row.actor.type == "user_actor"
        ]

        assert paged == whole
        assert len(set(paged)) == len(paged) >= 4
        assert people == sorted(house.people.values())


def test_effective_limits_are_filtered_and_name_their_source(house: House) -> None:
    wanted = [house.people["m1"], house.people["owner"]]
    with client_of(house) as client:
        rows = list(
            client.beta.organization.spend_limits.effective.list(
                user_ids=wanted, period=["monthly", "weekly"]
            )
        )

    found = {
        (row.scope.user_id, row.period): (row.source.type, row.amount)
        for row in rows
        if row.scope.type == "user"
    }
    assert found == {
        (house.people["m1"], "monthly"): ("user", "9000"),
        (house.people["m1"], "weekly"): ("organization", None),
        (house.people["owner"], "monthly"): ("organization", None),
        (house.people["owner"], "weekly"): ("organization", None),
    }


def test_a_page_is_bound_to_its_filters(house: House) -> None:
    with client_of(house) as client:
        effective = client.beta.organization.spend_limits.effective
        first = effective.list(limit=1, period=["monthly"])
        assert first.next_page
        with pytest.raises(anthropic.BadRequestError):
            effective.list(limit=1, period=["daily"], page=first.next_page)


def test_requests_are_listed_read_approved_and_denied(house: House) -> None:
    approved, denied = ask_for_more(house, "m0"), ask_for_more(house, "m1")
    with client_of(house) as client:
        requests = client.beta.organization.spend_limits.increase_requests
        assert [row.id for row in requests.list(limit=1, status=["pending"])] == [denied, approved]
        assert [row.id for row in requests.list(actor_ids=[house.people["m0"]])] == [approved]
        assert requests.retrieve(approved).status == "pending"

        answer = requests.approve(approved, amount="7700", suppress_notification=True)
        assert answer.status == "approved"
        assert requests.approve(approved, amount="7700").status == "approved"
        for _ in range(2):
            assert requests.deny(denied).status == "denied"

        with pytest.raises(anthropic.BadRequestError):
            requests.deny(approved)
        with pytest.raises(anthropic.BadRequestError):
            requests.approve(denied, amount="1")
        assert [row.id for row in requests.list(status=["approved", "denied"])] == [
            denied,
            approved,
        ]
        (row,) = client.beta.organization.spend_limits.effective.list(
            user_ids=[house.people["m0"]], period=["monthly"]
        )
        assert row.amount == "7700"


def test_failures_are_the_exceptions_that_the_sdk_knows(house: House) -> None:
    user: Any = {"type": "user", "user_id": house.people["m0"]}
    with client_of(house) as client:
        limits = client.beta.organization.spend_limits
        (whole,) = limits.list(scope_type=["organization"])
        for amount in ("-1", "1.5", "", "x", 5):
            with pytest.raises(anthropic.BadRequestError, match="amount"):
                limits.set(scope=user, amount=amount)  # type: ignore[arg-type]
        with pytest.raises(anthropic.NotFoundError):
            limits.set(scope={"type": "user", "user_id": "user_nobody"}, amount="1")
        with pytest.raises(anthropic.BadRequestError):
            limits.delete(whole.id)
        with pytest.raises(anthropic.NotFoundError):
            limits.increase_requests.retrieve("slir_" + "0" * 20)
    with (
        client_of(house, "sk-headroom-admin-guessed") as client,
        pytest.raises(anthropic.AuthenticationError),
    ):
        client.beta.organization.spend_limits.list()
    with (
        client_of(house, house.service_key) as client,
        pytest.raises(anthropic.PermissionDeniedError),
    ):
        client.beta.organization.spend_limits.list()


def test_the_asynchronous_client_works_too(stack: dict[str, Any]) -> None:
    house = provision_house(stack)

    async def drive() -> tuple[list[Any], str]:
        async with AsyncAnthropic(
            api_key=house.admin_key,
            base_url=stack["api_url"],
            max_retries=0,
            _strict_response_validation=True,
        ) as client:
            limits = client.beta.organization.spend_limits
            scopes: list[Any] = [
                {"type": "user", "user_id": house.people[name]} for name in ("m0", "m1", "m2")
            ]
            made = [await limits.set(scope=scope, amount="300") for scope in scopes]
            listed = [row.id async for row in limits.list(limit=1, scope_type=["user"])]
            assert listed == [row.id for row in made]
            sources: list[Any] = [
                row.source.type async for row in limits.effective.list(limit=2, period=["monthly"])
            ]
            request_id = ask_for_more(house, "m0")
            denied = await limits.increase_requests.deny(request_id)
            await limits.delete(made[0].id)
            return sources, denied.status

    sources, status = asyncio.run(drive())

    assert sorted(sources) == ["organization"] * 3 + ["user"] * 3
    assert status == "denied"


def test_the_sixty_first_request_in_a_minute_is_told_when_to_come_back(
    stack: dict[str, Any],
) -> None:
    house = provision_house(stack)
    with client_of(house) as client:

        def call(times: int) -> None:
            for _ in range(times):
                client.beta.organization.spend_limits.list()

        # The minute may turn on the way, but 121 requests do not fit into two of them.
        with pytest.raises(anthropic.RateLimitError) as refused:
            call(121)
        assert 1 <= int(refused.value.response.headers["retry-after"]) <= 60
