"""What people do, in a real browser, against a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Page, expect

from accessmgmt.models import Endpoint, User
from devstack.postgres import PostgresServer
from tests import factories
from tests.targets import log_in, make_target

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.e2e]
PATIENCE_MS = 20_000


@pytest.fixture
def facts(target_server: Callable[[int], PostgresServer]) -> dict[str, Any]:
    """The connection fields of a database of its own on PostgreSQL 18."""
    return make_target(target_server(18))


@pytest.fixture
def endpoint(facts: dict[str, Any], alice: User) -> Endpoint:
    """An endpoint of Alice's group, that others may request."""
    endpoint = factories.make_endpoint(
        name="shop-read",
        resource=factories.make_resource(name="shop", **facts),
        is_requestable=True,
        approvers=["bob@company.com"],
    )
    factories.make_group(members=[alice], endpoints=[endpoint])
    return endpoint


def shown_password(page: Page) -> str:
    page.get_by_role("button", name="Show").click()
    secret = page.locator("#fact-password")
    expect(secret).to_be_visible()
    return secret.inner_text().strip()


@pytest.mark.parametrize(
    "viewport", [{"width": 1280, "height": 900}, {"width": 390, "height": 844}], ids=["wide", "phone"]
)
def test_activate_log_in_release(
    sign_in: Callable[..., Page], alice: User, endpoint: Endpoint, facts: dict[str, Any], viewport: dict[str, int]
) -> None:
    page = sign_in(alice, viewport=viewport)
    page.get_by_role("button", name="Activate shop-read").dblclick()
    expect(page.locator(".grant-card-active")).to_be_visible(timeout=PATIENCE_MS)
    expect(page.locator(".grant-card-active")).to_have_count(1)
    page.locator(".grant-card-active").get_by_role("link", name="Connect").click()
    role = page.locator("#fact-user").inner_text().strip()
    password = shown_password(page)
    session = log_in(facts, role, password)
    assert session.execute("SELECT count(*) FROM customers").fetchone() == (10,)
    page.get_by_role("button", name="Release").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Release").click()
    expect(page.locator("#receipt-title")).to_be_visible(timeout=PATIENCE_MS)
    with pytest.raises(psycopg.OperationalError):
        session.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        log_in(facts, role, password)
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= viewport["width"], "the page scrolls sideways"


def test_request_and_approve(
    sign_in: Callable[..., Page], carol: User, bob: User, endpoint: Endpoint, facts: dict[str, Any]
) -> None:
    asking = sign_in(carol)
    asking.get_by_role("link", name="Request shop-read").click()
    asking.get_by_label("Why do you need it?").fill("too short")
    asking.get_by_role("button", name="Send").click()
    expect(asking.get_by_label("Why do you need it?")).to_have_attribute("aria-invalid", "true")
    expect(asking.get_by_label("Why do you need it?")).to_have_value("too short")
    asking.get_by_label("Why do you need it?").fill("Looking into ticket 4711")
    asking.get_by_role("button", name="Send").click()
    deciding = sign_in(bob)
    deciding.goto("/requests/")
    deciding.get_by_role("button", name="Approve").first.click()
    expect(deciding.get_by_text("Approved by Bob Approver")).to_be_visible()
    asking.goto("/")
    expect(asking.locator(".grant-card-active")).to_be_visible(timeout=PATIENCE_MS)
    asking.locator(".grant-card-active").get_by_role("link", name="Connect").click()
    role = asking.locator("#fact-user").inner_text().strip()
    with log_in(facts, role, shown_password(asking)) as session:
        assert session.execute("SELECT count(*) FROM customers").fetchone() == (10,)


def test_the_keyboard_alone(sign_in: Callable[..., Page], alice: User, endpoint: Endpoint) -> None:
    page = sign_in(alice)
    press(page, "Activate shop-read")
    card = page.locator(".grant-card-active")
    expect(card).to_be_visible(timeout=PATIENCE_MS)
    expect(page.get_by_text("You hold no access at the moment")).to_be_hidden()
    expect_focus_around(page, ".grant-card")
    press(page, "Connect")
    expect(page.get_by_role("heading", name="Connection")).to_be_visible()
    press(page, "Show")
    expect(page.locator("#fact-password")).to_be_visible()
    expect(page.locator("#password")).to_be_focused()
    press(page, "Hide")
    expect(page.locator("#fact-password")).to_have_count(0)
    press(page, "Release", backwards=True)
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("Enter")
    press(page, "Release")
    expect(page.locator("#receipt-title")).to_be_visible(timeout=PATIENCE_MS)


def test_a_decision_counts_in_the_navigation(
    sign_in: Callable[..., Page], carol: User, bob: User, endpoint: Endpoint
) -> None:
    for _ in range(2):
        factories.make_request(user=factories.make_user(), endpoint=endpoint)
    page = sign_in(bob)
    page.goto("/requests/")
    count = page.locator("#count-request-list")
    expect(count).to_have_text("2 waiting")
    press(page, "Deny")
    expect(page.get_by_text("Denied by Bob Approver")).to_be_visible()
    expect(count).to_have_text("1 waiting")
    expect_focus_around(page, ".request-card")
    press(page, "Deny")
    expect(count).to_be_hidden()


def press(page: Page, name: str, *, backwards: bool = False) -> None:
    """Press Enter on what has this name, and get there by the Tab key only."""
    for _ in range(60):
        page.keyboard.press("Shift+Tab" if backwards else "Tab")
        focused = page.evaluate("(document.activeElement.ariaLabel || document.activeElement.innerText).trim()")
        if focused == name:
            page.keyboard.press("Enter")
            return
    raise AssertionError(f"the Tab key does not lead to {name}")


def expect_focus_around(page: Page, selector: str) -> None:
    """Wait until what has the focus is, or holds, what a CSS selector finds."""
    expect(page.locator(f"{selector}:focus, :focus:has({selector})")).to_be_visible()
