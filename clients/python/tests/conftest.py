"""The client's tests stand on the repository's: what they talk to are its real functions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

# First of all: it sets the environment in which the handlers may be imported.
import tests.conftest  # noqa: F401
from clients.python.tests.fake_messages import FakeMessages, fake_messages
from clients.python.tests.headroom_server import HeadroomServer, headroom_server
from headroom_client import Client


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
