"""Somebody at the page: a browser of their own, what they see, and pictures of it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect

from tools.local_stack.emulator import ROOT

PICTURES = Path(os.environ.get("CI_ARTIFACTS") or ROOT / "build") / "screenshots"
PEOPLE = ROOT / ".local-e2e" / "people.json"
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
# The gateway's workers start one for each parallel request, on a machine that may have more to do.
PATIENCE_MILLIS = 60_000
# Chromium says so of every answer that is an error; what the page makes of it is looked at.
_ANSWERED = re.compile(r"Failed to load resource")

expect.set_options(timeout=PATIENCE_MILLIS)


class Visitor:
    """One browser window. `complaints` is what the browser held against the page."""

    def __init__(self, page: Page, page_url: str) -> None:
        self.page = page
        self.page_url = page_url
        self.complaints: list[str] = []
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def sign_in(self, user_id: str) -> None:
        """Come in by the front door, as one of the people."""
        self.page.goto(self.page_url)
        self.page.locator("#sign-in").click()
        self.page.locator(f'button[value="{user_id}"]').click()
        expect(self.page.locator("#sign-out")).to_be_visible()
        self.settle()

    def go(self, view: str) -> None:
        """Open a view by its link."""
        self.page.locator(f'nav a[href="usage#{view}"]').click()
        expect(self.page.locator(f'nav a[href="usage#{view}"]')).to_have_attribute(
            "aria-current", "page"
        )
        self.settle()

    def settle(self) -> None:
        """Wait until nothing waits any more."""
        expect(self.page.locator(".loading")).to_have_count(0)
        expect(self.page.locator('[aria-busy="true"]')).to_have_count(0)

    def button(self, name: str, *, exact: bool = True) -> Locator:
        return self.page.get_by_role("button", name=name, exact=exact)

    @property
    def dialog(self) -> Locator:
        return self.page.get_by_role("dialog")

    def confirm(self, label: str) -> None:
        """Press a dialog's button and wait until the dialog is done."""
        self.dialog.get_by_role("button", name=label, exact=True).click()
        expect(self.dialog).to_have_count(0)
        self.settle()

    def hears(self, text: str) -> None:
        """Check that the page said what was done."""
        expect(self.page.locator("#said")).to_contain_text(text)

    def picture(self, name: str) -> None:
        """Keep what is seen, and have axe look at it."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{name}.png", full_page=self.dialog.count() == 0)
        found = Axe().run(self.page)
        problems = [
            f"{each['id']}: {node['html']} ({node['failureSummary']})"
            for each in found.response["violations"]
            for node in each["nodes"]
        ]
        assert not problems, "\n".join(problems)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not _ANSWERED.search(message.text):
            self.complaints.append(message.text)


@contextmanager
def visiting(
    browser: Browser,
    page_url: str,
    *,
    locale: str = "en-US",
    scheme: Literal["light", "dark"] = "light",
    viewport: Any = DESKTOP,
) -> Iterator[Visitor]:
    """A visitor with a browser of their own; the browser may have nothing against the page."""
    context = browser.new_context(
        locale=locale,
        color_scheme=scheme,
        viewport=viewport,
        timezone_id="UTC",
        reduced_motion="reduce",
    )
    context.set_default_timeout(PATIENCE_MILLIS)
    visitor = Visitor(context.new_page(), page_url)
    try:
        yield visitor
        assert visitor.complaints == []
    finally:
        context.close()
