"""A real browser: Debian's Chromium, driven by Playwright, against the deployed local stack."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.visitors import Visitor, visiting
from tests.e2e.governed import House

MISSING = "Chromium is missing, so the page is not tested. On Debian: apt-get install chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# Somebody of an organization, at the page: `visit(house, "owner", locale="fr-FR")`.
Visit = Callable[..., Visitor]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        if "CI" in os.environ:
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def visit(browser: Browser, stack: dict[str, Any]) -> Iterator[Visit]:
    """Opens windows, and at the end holds each to having had no complaint of the browser."""
    with ExitStack() as windows:

        def come(house: House | None = None, name: str = "owner", **how: Any) -> Visitor:
            visitor = windows.enter_context(visiting(browser, stack["page_url"], **how))
            if house is not None:
                visitor.sign_in(house.people[name])
            return visitor

        yield come
