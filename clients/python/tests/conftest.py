"""The client's tests stand on the repository's: what they talk to are its real functions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from anthropic import Anthropic

# First of all: it sets the environment in which the handlers may be imported.
import tests.conftest  # noqa: F401
from clients.python.tests.fake_messages import FakeMessages, fake_messages
from clients.python.tests.headroom_server import USER, HeadroomServer, headroom_server
from headroom_client import Client
from headroom_client.anthropic import metered


@pytest.fixture
def headroom() -> Iterator[HeadroomServer]:
    """An Enterprise organization with one member, a cap of 100 dollars and no allowance."""
    with headroom_server() as server:
        yield server


@pytest.fixture
def api() -> Iterator[FakeMessages]:
    """The Messages API."""
    with fake_messages() as fake:
        yield fake


@pytest.fixture
def client(headroom: HeadroomServer) -> Iterator[Client]:
    """A client of the organization."""
    with Client(headroom.base_url, api_key=headroom.key) as made:
        yield made


@pytest.fixture
def bare(api: FakeMessages) -> Iterator[Anthropic]:
    with Anthropic(api_key="sk-test", base_url=api.base_url, max_retries=0) as client:
        yield client


@pytest.fixture
def claude(bare: Anthropic, client: Client) -> Anthropic:
    """The SDK as an application has it, metered for one member."""
    return metered(bare, client, user_id=USER)


@pytest.fixture
def settled(client: Client, headroom: HeadroomServer) -> Any:
    """Whether everything was delivered and nothing is held; returns what was spent."""

    def look() -> int:
        assert client.flush(10), client.courier.last_error
        assert client.outbox.parked() == []
        assert headroom.holds() == 0
        return sum(line.charged for line in headroom.lines())

    return look
