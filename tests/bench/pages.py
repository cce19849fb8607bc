"""What a visit of My access costs on the wire, counted by Chromium: bodies as they are sent, with their headers.

The person has signed in and holds one grant. Figures, in kB of 1000 bytes, and requests:
- my_access_first_visit_kb (at most 220) and _requests: nothing in the browser's cache;
- my_access_later_visit_kb (at most 15) and _requests: the same page again, in the same browser.
"""

from __future__ import annotations

import shutil

from playwright.sync_api import BrowserContext

from devstack.stack import Stack
from tests.bench.activation import ENDPOINT
from tests.bench.engine import BENCH
from tests.browser import chromium, sign_in

EMAIL = "dev1@company.com"


def measure() -> dict[str, float]:
    """Return the figures on the whole stack."""
    shutil.rmtree(BENCH / "stack", ignore_errors=True)
    with Stack(BENCH / "stack", fixed_ports=False, say=lambda _: None) as stack, chromium() as browser:
        with browser.new_context(base_url=stack.base_url) as context:
            page = context.new_page()
            sign_in(page, EMAIL, stack.state.people_password)
            page.get_by_role("button", name=f"Activate {ENDPOINT}").click()
            page.locator(".grant-card-active").wait_for(timeout=60_000)
            cookies = context.storage_state()
        with browser.new_context(base_url=stack.base_url, storage_state=cookies) as context:
            sizes = count_visits(context, ["/", "/"])
    names = ("my_access_first_visit", "my_access_later_visit")
    kilobytes = {f"{name}_kb": sum(visit) / 1000 for name, visit in zip(names, sizes, strict=True)}
    requests = {f"{name}_requests": float(len(visit)) for name, visit in zip(names, sizes, strict=True)}
    return kilobytes | requests


def count_visits(context: BrowserContext, paths: list[str]) -> list[list[int]]:
    """Visit pages one after the other; return for each the bytes of every answer that came from the server."""
    page = context.new_page()
    wire = context.new_cdp_session(page)
    wire.send("Network.enable")
    sizes: list[int] = []
    wire.on("Network.loadingFinished", lambda said: sizes.append(int(said["encodedDataLength"])))
    visits = []
    for path in paths:
        sizes.clear()
        page.goto(path)
        page.wait_for_load_state("networkidle")
        visits.append([size for size in sizes if size])
    return visits
