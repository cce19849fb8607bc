"""A real browser on a live server with real workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from accessmgmt.models import User
from tests.browser import chromium, listen
from tests.browser import sign_in as log_in
from tests.chaos import workers
from tests.factories import PASSWORD


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser for all journeys of a process."""
    with chromium() as opened:
        yield opened


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

    def open_page(user: User, **options: Any) -> Page:
        context = browser.new_context(base_url=working_portal, **options)
        contexts.append(context)
        page = context.new_page()
        listen(page, complaints)
        log_in(page, user.email, PASSWORD)
        expect(page).to_have_url(f"{working_portal}/")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
