from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.in_process import Application, Organization, application


@pytest.fixture
def app() -> Iterator[Application]:
    """The functions over an empty table."""
    with application() as running:
        yield running


@pytest.fixture
def acme(app: Application) -> Organization:
    """The organization of events/provision_organization/organization.json, under another id."""
    return app.provision()
