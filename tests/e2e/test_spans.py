"""Times that go on in the browser are said as the server says them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.conf import settings
from playwright.sync_api import Browser

pytestmark = pytest.mark.e2e
CASES: dict[str, list[list[Any]]] = json.loads(
    (settings.BASE_DIR / "tests" / "templatetags" / "spans.json").read_text()
)
NAMES = {"relative_words": "relativeWords", "clock_words": "clockWords", "span_words": "spanWords"}


def test_the_browser_says_spans_as_the_table_has_them(browser: Browser) -> None:
    with browser.new_context(locale="de-DE") as context:
        page = context.new_page()
        page.add_script_tag(path=settings.BASE_DIR / "static" / "js" / "spans.js")
        said = {
            rule: [
                [seconds, page.evaluate(f"(seconds) => window.portalSpans.{NAMES[rule]}(seconds)", seconds)]
                for seconds, _ in cases
            ]
            for rule, cases in CASES.items()
        }
    assert said == CASES
