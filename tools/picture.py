"""Take the README's picture of the page, from the stack that `make up` brought up.

It shows what the stack has seen; after `make demo` that is a morning's usage.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Final

from playwright.sync_api import Page, sync_playwright

from tools.local_stack.emulator import HOME, ROOT

STACK_FILE: Final = HOME / "stack.json"
PICTURE: Final = ROOT / "docs" / "images" / "usage.png"
WHO: Final = "Gus Abara"
WIDTH, HEIGHT = 1180, 1180


def main() -> int:
    stack = json.loads(STACK_FILE.read_text())
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        print("Chromium is missing. On Debian: apt-get install chromium", file=sys.stderr)
        return 1
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, locale="en-US")
        take(page_url=stack["page_url"], page=page, to=PICTURE)
        browser.close()
    print(f"Wrote {PICTURE.relative_to(ROOT)}, {PICTURE.stat().st_size // 1024} KB.")
    return 0


def take(*, page_url: str, page: Page, to: Path) -> None:
    """Sign in as an owner and keep what they see."""
    page.goto(page_url)
    page.locator("#sign-in").click()
    page.get_by_role("button", name=WHO).click()
    later = page.locator("#setup-later")
    page.locator("#spending-cap").wait_for()
    if later.count():
        later.click()
        later.wait_for(state="detached")
    page.locator(".ranking").last.wait_for()
    # What is being read anew is faded, and fades in again.
    for busy in ('[aria-busy="true"]', ".loading", "#said p"):
        page.locator(busy).first.wait_for(state="detached")
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement?.blur()")
    page.evaluate("Promise.allSettled(document.getAnimations().map((each) => each.finished))")
    to.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=to)


if __name__ == "__main__":
    sys.exit(main())
