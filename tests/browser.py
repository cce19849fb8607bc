"""Debian's Chromium as the browser journeys and the screenshots use it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run the Chromium that `make test` installs."""
    # Playwright's loop runs in this thread; what else happens here only reads and writes rows between its calls.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    program = shutil.which("chromium")
    assert program, "Chromium is missing: python3 -m devstack.install --with-chromium"
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
            yield browser
            browser.close()
    finally:
        os.environ.pop("DJANGO_ALLOW_ASYNC_UNSAFE", None)


def listen(page: Page, complaints: list[str]) -> None:
    """Add to `complaints` what the console says, whatever its level, and every uncaught error."""

    def hear(said: ConsoleMessage) -> None:
        # Chromium notes every error status by itself: of a form that comes back (422), of a page that refuses (403).
        is_own_page = "with a status of" in said.text and said.location["url"] == page.url
        if not is_own_page and "status of 422" not in said.text:
            complaints.append(f"{page.url}: {said.text}")

    page.on("console", hear)
    page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))


def sign_in(page: Page, email: str, password: str) -> None:
    """Log in by keyboard; the page must know its base URL."""
    page.goto("/login/")
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(password)
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="My access").wait_for()
