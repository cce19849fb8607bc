"""What a browser loads, keeps, and shows meanwhile."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from accessmgmt.models import User
from tests import factories
from tests.browser import listen, sign_in
from tests.factories import PASSWORD

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.e2e]
SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifts.push(entry.value);
}).observe({ type: "layout-shift", buffered: true });
"""
FONT_FACES = "[...document.fonts].filter((face) => face.family === 'Inter' && face.status === 'loaded').length"
TWO_FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_jumps_when_the_font_comes(browser: Browser, portal_url: str, alice: User, width: int) -> None:
    for name in ("orders", "billing"):
        factories.make_group(members=[alice], endpoints=[factories.make_endpoint(name=name)])
    options = {"base_url": portal_url, "viewport": {"width": width, "height": 900}}
    with browser.new_context(**options) as context:
        page = context.new_page()
        sign_in(page, alice.email, PASSWORD)
        cookies = context.storage_state()
    held: list[Route] = []
    with browser.new_context(**options, storage_state=cookies) as context:
        context.add_init_script(SHIFTS)
        context.route("**/*.woff2", lambda route: held.append(route))
        page = context.new_page()
        page.goto("/", wait_until="commit")
        expect(page.get_by_role("heading", name="You can use")).to_be_visible()
        page.evaluate(TWO_FRAMES)
        assert page.evaluate(FONT_FACES) == 0
        assert held
        for route in held:
            route.continue_()
        page.evaluate("async () => { await document.fonts.ready; }")
        page.evaluate(TWO_FRAMES)
        assert page.evaluate(FONT_FACES) == 1
        shifts = page.evaluate("window.shifts")
    assert sum(shifts) < 0.0005


def test_the_first_visit_is_small_and_a_later_one_loads_the_page_alone(
    browser: Browser, portal_url: str, alice: User
) -> None:
    complaints: list[str] = []
    with browser.new_context(base_url=portal_url) as context:
        page = context.new_page()
        listen(page, complaints)
        sign_in(page, alice.email, PASSWORD)
        cookies = context.storage_state()
    with browser.new_context(base_url=portal_url, storage_state=cookies) as context:
        page = context.new_page()
        listen(page, complaints)
        first = loaded_over_the_wire(page, "/")
        later = loaded_over_the_wire(page, "/")
    assert sum(first.values()) < 220_000
    assert len(first) == 7, "page, stylesheet, font, four scripts"
    assert list(later) == [f"{portal_url}/"]
    assert sum(later.values()) < 15_000
    assert complaints == []


def test_the_menu_of_a_phone_opens_and_closes(browser: Browser, portal_url: str, alice: User) -> None:
    with browser.new_context(base_url=portal_url, viewport={"width": 390, "height": 844}) as context:
        page = context.new_page()
        sign_in(page, alice.email, PASSWORD)
        requests, menu = page.get_by_role("link", name="Requests", exact=True), page.get_by_role("button", name="Menu")
        expect(requests).to_be_hidden()
        menu.click()
        expect(requests).to_be_visible()
        expect(menu).to_have_attribute("aria-expanded", "true")
        menu.click()
        expect(requests).to_be_hidden()


def test_without_javascript_the_menu_stands_open(browser: Browser, portal_url: str, alice: User) -> None:
    options = {"viewport": {"width": 390, "height": 844}, "java_script_enabled": False}
    with browser.new_context(base_url=portal_url, **options) as context:
        page = context.new_page()
        sign_in(page, alice.email, PASSWORD)
        expect(page.get_by_role("link", name="Requests", exact=True)).to_be_visible()
        expect(page.get_by_role("button", name="Menu")).to_be_hidden()


def loaded_over_the_wire(page: Page, path: str) -> dict[str, int]:
    """Visit a page; return the bytes of what came from the server, and not out of the browser's cache, by its URL."""
    page.goto(path)
    page.wait_for_load_state("networkidle")
    timings: list[tuple[str, int]] = page.evaluate(
        "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]"
        ".map((entry) => [entry.name, entry.transferSize])"
    )
    return {url: size for url, size in timings if size and not url.endswith(".svg")}
