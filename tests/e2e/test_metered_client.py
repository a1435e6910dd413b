"""The client package on the deployed stack: a metered call is refused when the cap is reached."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from anthropic import Anthropic, AsyncAnthropic

from clients.python.tests.fake_messages import (
    INPUT_TOKENS,
    MODEL,
    OUTPUT_TOKENS,
    WORDS,
    FakeMessages,
    fake_messages,
)
from headroom_client import AsyncClient, Client, Refused, Scope, Unavailable, to_nanos
from headroom_client.anthropic import metered
from tests.e2e.governed import House, provision_house

# 25 tokens of input at 3 dollars a million, 40 of output at 15.
COST_NANOS = INPUT_TOKENS * 3_000 + OUTPUT_TOKENS * 15_000
CENT = 10_000_000
# A busy machine's stack answers late, which is not what is tested here.
PATIENT: dict[str, Any] = {"timeout_seconds": 30, "patience_seconds": 120}
FLUSH_SECONDS = 60
ASKED: dict[str, Any] = {
    "model": MODEL,
    "max_tokens": 1000,
    "messages": [{"role": "user", "content": "What do you count?"}],
}


@pytest.fixture
def messages() -> Iterator[FakeMessages]:
    with fake_messages() as fake:
        yield fake


@pytest.fixture
def house(stack: dict[str, Any]) -> House:
    """An organization that may spend four cents."""
    return provision_house(stack, spend_limit="4")


class Losing(httpx2.HTTPTransport):
    """Lets requests through, and as many answers to authorizations not as are to be lost."""

    def __init__(self) -> None:
        super().__init__()
        self.to_lose = 0

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        response = super().handle_request(request)
        if request.method == "POST" and request.url.path.endswith("/authorizations"):
            self.to_lose -= 1
            if self.to_lose >= 0:
                response.read()
                response.close()
                raise httpx2.ReadTimeout("the answer is lost", request=request)
        return response


def test_an_answer_that_is_lost_leaves_nothing_held(house: House) -> None:
    url, user_id, losing = house.stack["api_url"], house.people["m0"], Losing()
    asked: dict[str, Any] = {
        "user_id": user_id,
        "model": MODEL,
        "input_tokens": 10,
        "max_tokens": 10,
    }
    with (
        Client(url, api_key=house.service_key, transport=losing, **PATIENT) as headroom,
        Client(url, token=house.token("m0"), **PATIENT) as own,
    ):
        losing.to_lose = 1
        held = headroom.authorize(**asked)
        assert own.own_extra_usage().held == held.amount, "the repetition found the first hold"
        headroom.release(held.id)

    losing = Losing()
    with Client(url, api_key=house.service_key, transport=losing, patience_seconds=2) as headroom:
        losing.to_lose = 1000
        with pytest.raises(Unavailable):
            headroom.authorize(**asked)
        losing.to_lose = 0

        assert headroom.flush(FLUSH_SECONDS)
        assert headroom.outbox.parked() == []
    with Client(url, token=house.token("m0"), **PATIENT) as own:
        assert own.own_extra_usage().held == "0"


def ask_until_refused(claude: Anthropic) -> Refused:
    for _ in range(100):
        try:
            with claude.messages.stream(**ASKED) as stream:
                assert stream.get_final_text() == "".join(WORDS)
        except Refused as refused:
            return refused
    pytest.fail("a hundred requests fit a cap of four cents")


def test_calls_go_on_until_the_cap_is_reached_and_not_beyond(
    house: House, messages: FakeMessages, tmp_path: Path
) -> None:
    url, user_id = house.stack["api_url"], house.people["m0"]
    with (
        Client(
            url, api_key=house.service_key, outbox=tmp_path / "outbox.db", **PATIENT
        ) as headroom,
        Anthropic(api_key="sk-test", base_url=messages.base_url) as bare,
    ):
        claude = metered(bare, headroom, user_id=user_id)
        refused = ask_until_refused(claude)
        answers = len(messages.messages())
        assert headroom.flush(FLUSH_SECONDS)
        assert headroom.outbox.parked() == []

        # The rest of the cap is spendable where less output will do.
        lowered = metered(bare, headroom, user_id=user_id, min_tokens=50)
        lowered.messages.create(**ASKED)

    assert refused.reason == "organization_limit_reached"
    assert refused.scope == Scope("organization")
    assert len(messages.messages()) == answers + 1
    assert messages.messages()[-1].body["max_tokens"] < 1000
    with Client(url, token=house.token("m0"), **PATIENT) as own:
        view = own.own_extra_usage()
        lines = list(own.own_usage())
        continues = own.continue_with_extra_usage(continues=True)
    spent = (answers + 1) * COST_NANOS
    assert (view.user_id, view.held) == (user_id, "0")
    assert (
        sum(to_nanos(line.charged) for line in lines)
        == spent
        == to_nanos(view.period_to_date_spend)
    )
    assert spent <= 4 * CENT
    # What was left at the first refusal was less than one request may cost.
    assert answers * COST_NANOS > 4 * CENT - 1000 * 15_000 - 1000 * 6_000
    assert {line.source for line in lines} == {"extra_usage"}
    assert continues.continue_with_extra_usage


def test_the_asynchronous_client_too(house: House, messages: FakeMessages) -> None:
    async def drive() -> int:
        async with (
            AsyncClient(house.stack["api_url"], api_key=house.service_key, **PATIENT) as headroom,
            AsyncAnthropic(api_key="sk-test", base_url=messages.base_url) as bare,
        ):
            claude = metered(bare, headroom, user_id=house.people["m1"], min_tokens=20)
            results = await asyncio.gather(
                *(claude.messages.create(**ASKED) for _ in range(4)), return_exceptions=True
            )
            assert await headroom.flush(FLUSH_SECONDS)
            assert headroom.outbox.parked() == []
        refused = [result for result in results if isinstance(result, Refused)]
        assert len(refused) + len(messages.messages()) == len(results)
        return len(messages.messages())

    answered = asyncio.run(drive())

    assert answered >= 1
    with Client(house.stack["api_url"], token=house.token("m1"), **PATIENT) as own:
        assert to_nanos(own.own_extra_usage().period_to_date_spend) == answered * COST_NANOS
