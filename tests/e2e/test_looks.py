"""Admins let a worker look at a server, and the page follows it by itself: with JavaScript, and without."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from accessmgmt.models import Resource, User
from devstack.postgres import PostgresServer
from tests import factories
from tests.targets import ADMIN_PASSWORD, make_target

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.e2e]
PATIENCE_MS = 60_000


@pytest.fixture
def resource(target_server: Callable[[int], PostgresServer]) -> Resource:
    facts: dict[str, Any] = make_target(target_server(18))
    return factories.make_resource(name="shop", **facts)


def expect_all_rungs(page: Page) -> None:
    expect(page.locator(".rung-name").first).to_contain_text("Credential")
    expect(page.locator(".rung-name").last).to_contain_text("Connections")
    assert page.locator(".rung", has_text="Failed").count() == 0


@pytest.mark.parametrize("has_script", [True, False], ids=["script", "no script"])
def test_a_stored_resource_is_tested_and_the_result_stays(
    sign_in: Callable[..., Page], dave: User, resource: Resource, has_script: bool
) -> None:
    page = sign_in(dave, java_script_enabled=has_script)
    page.goto(f"/resources/{resource.pk}")
    page.get_by_role("button", name="Test connection").click()
    expect(page.locator("#look-ladder")).to_contain_text("by Dave Admin", timeout=PATIENCE_MS)
    expect(page.locator("#look-ladder .card-header")).to_contain_text("Tested", timeout=PATIENCE_MS)
    expect_all_rungs(page)
    assert page.locator("#look-ladder").get_attribute("hx-get") is None, "it asks no more"
    page.reload()
    expect_all_rungs(page)


def test_a_form_is_tested_before_it_is_saved_and_keeps_what_was_typed(
    sign_in: Callable[..., Page], dave: User, resource: Resource
) -> None:
    page = sign_in(dave)
    page.goto("/resources/new")
    page.get_by_label("Name", exact=True).fill("not yet saved")
    for label, text in (
        ("Host", resource.host),
        ("Port", str(resource.port)),
        ("Database", resource.database_name),
        ("User name", resource.username),
        ("Password", ADMIN_PASSWORD),
    ):
        page.get_by_label(label, exact=True).fill(text)
    page.get_by_label("SSL mode").select_option("disable")
    page.get_by_role("button", name="Test connection").click()
    expect(page.locator("#look-ladder .card-header")).to_contain_text("Tested", timeout=PATIENCE_MS)
    expect_all_rungs(page)
    assert page.get_by_label("Password", exact=True).input_value() == ADMIN_PASSWORD
    assert "password" not in page.url
    assert not Resource.objects.filter(name="not yet saved").exists()


@pytest.mark.parametrize("has_script", [True, False], ids=["script", "no script"])
def test_a_check_shows_what_it_found(
    sign_in: Callable[..., Page], dave: User, resource: Resource, has_script: bool
) -> None:
    page = sign_in(dave, java_script_enabled=has_script)
    page.goto(f"/resources/{resource.pk}/drift")
    expect(page.get_by_text("Not checked yet")).to_be_visible()
    page.get_by_role("button", name="Check now").click()
    expect(page.get_by_text("when Dave Admin asked")).to_be_visible(timeout=PATIENCE_MS)
    expect(page.get_by_text("Nothing differs", exact=True)).to_be_visible()


@pytest.mark.parametrize("has_script", [True, False], ids=["script", "no script"])
def test_a_move_is_saved_when_the_server_says_that_it_is_the_same(
    sign_in: Callable[..., Page], dave: User, resource: Resource, has_script: bool
) -> None:
    later = timezone.now() + timedelta(hours=1)
    factories.make_grant("queued", endpoint=factories.make_endpoint(resource=resource), next_attempt_at=later)
    page = sign_in(dave, java_script_enabled=has_script)
    page.goto(f"/resources/{resource.pk}/edit")
    page.get_by_label("Host", exact=True).fill("127.0.0.1")
    page.get_by_label("Password", exact=True).fill(ADMIN_PASSWORD)
    page.get_by_label("It is the same server").check()
    page.get_by_role("button", name="Save changes").click()
    expect(page.get_by_text("It is the same server. “shop” is saved.")).to_be_visible(timeout=PATIENCE_MS)
    resource.refresh_from_db()
    assert resource.host == "127.0.0.1"
