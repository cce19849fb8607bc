"""A real browser on a live server with real workers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from accessmgmt.models import User
from tests.chaos import workers
from tests.factories import PASSWORD

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, which `make test` installs."""
    # Playwright's loop runs in this thread; the tests only read and write rows between its calls.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    program = shutil.which("chromium")
    assert program, "Chromium is missing: python3 -m devstack.install --with-chromium"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield chromium
        chromium.close()
    os.environ.pop("DJANGO_ALLOW_ASYNC_UNSAFE", None)


@pytest.fixture
def working_portal(transactional_db: None, live_server: Any, tmp_path: Path) -> Iterator[str]:
    """The URL of a live portal whose workers and beat run as processes of their own."""
    worker = workers.worker(tmp_path)
    with workers.running(worker, workers.beat(tmp_path)):
        worker.wait_ready(lambda: " ready." in worker.log_tail(100))
        yield live_server.url


@pytest.fixture
def sign_in(browser: Browser, working_portal: str) -> Iterator[Callable[..., Page]]:
    """Return a function from a user to a page at "My access"; whatever the console complains about fails the test."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def listen(said: ConsoleMessage) -> None:
        # Chromium notes every 422 by itself; that is how a form with an error comes back.
        if said.type in {"error", "warning"} and "status of 422" not in said.text:
            complaints.append(said.text)

    def open_page(user: User, **options: Any) -> Page:
        context = browser.new_context(base_url=working_portal, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", listen)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto("/login/")
        page.get_by_label("E-mail").fill(user.email)
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        expect(page).to_have_url(f"{working_portal}/")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
