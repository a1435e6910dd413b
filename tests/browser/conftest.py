"""A real browser: Debian's Chromium, driven by Playwright, against the deployed local stack."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

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


class Driver:
    """Chromium, started when it is first wanted."""

    def __init__(self) -> None:
        self._running: tuple[Playwright, Browser] | None = None

    def browser(self, executable: str) -> Browser:
        if self._running is None:
            playwright = sync_playwright().start()
            chromium = playwright.chromium.launch(executable_path=executable, args=FLAGS)
            self._running = playwright, chromium
        return self._running[1]

    def stop(self) -> None:
        if self._running is not None:
            playwright, browser = self._running
            self._running = None
            browser.close()
            playwright.stop()


DRIVER = Driver()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Stop the driver after the last of its tests.

    It keeps an event loop in this thread, in which no other test could run one.
    """
    if nextitem is None or "browser" not in nextitem.path.parts:
        DRIVER.stop()


@pytest.fixture
def browser() -> Browser:
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        if "CI" in os.environ:
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    return DRIVER.browser(executable)


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
