"""A real browser on a live server with real workers."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test.testcases import LiveServerThread
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
def portal_url(transactional_db: None) -> Iterator[str]:
    """The URL of a live portal that serves its static files as in production.

    pytest-django's own live server has Django serve them, from where they are written and not from where they are
    collected.
    """
    server = LiveServerThread("127.0.0.1", static_handler=lambda application: application)
    server.daemon = True
    server.start()
    server.is_ready.wait()
    assert server.error is None, server.error
    yield f"http://127.0.0.1:{server.port}"
    server.terminate()


@pytest.fixture
def working_portal(portal_url: str, settings: Any, tmp_path: Path) -> Iterator[str]:
    """The URL of a live portal whose workers and beat run as processes of their own.

    It is an installation of its own: what another test left on a server is not its concern.
    """
    settings.PORTAL_INSTALLATION_ID = secrets.token_hex(6)
    worker = workers.worker(tmp_path)
    with workers.running(worker, workers.beat(tmp_path)):
        worker.wait_ready(lambda: " ready." in worker.log_tail(100))
        yield portal_url


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
