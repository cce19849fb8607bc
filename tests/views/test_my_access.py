"""My access, and activating."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accessmgmt.models import Grant, User
from tests.factories import make_endpoint, make_grant, make_group, make_request

ClientFor = Callable[[User], Client]
HTMX = {"HX-Request": "true"}


def test_the_three_bands(client_for: ClientFor, alice: User, bob: User) -> None:
    usable = make_endpoint(name="usable")
    needs_approval = make_endpoint(name="needs-approval", is_jit_enabled=True, approvers=[bob.email])
    make_endpoint(name="open-to-ask", is_requestable=True)
    make_endpoint(name="not-mine")
    make_group(members=[alice], endpoints=[usable, needs_approval])
    make_grant(user=alice, endpoint=usable)
    make_request(user=alice, endpoint=needs_approval)
    text = client_for(alice).get("/").content.decode()
    assert "not-mine" not in text
    assert "data-countdown=" in text
    assert f"{bob.email} can decide" in text
    assert 'aria-label="Request open-to-ask"' in text
    assert "Activate usable" not in text


def test_empty_states_say_what_to_do(client_for: ClientFor, carol: User) -> None:
    text = client_for(carol).get("/").content.decode()
    assert "You hold no access at the moment" in text
    assert "No endpoint is wired to your groups yet" in text


@pytest.mark.parametrize(("state", "times"), [("queued", 0), ("active", 2)])
def test_there_is_something_to_connect_to_only_when_the_grant_is_active(
    client_for: ClientFor, alice: User, state: str, times: int
) -> None:
    endpoint = make_endpoint()
    make_group(members=[alice], endpoints=[endpoint])
    make_grant(state, user=alice, endpoint=endpoint)
    assert client_for(alice).get("/").content.decode().count("Connect</a>") == times


def test_the_account_shows_the_first_letter_of_what_others_see(client_for: ClientFor, alice: User) -> None:
    alice.name = "Zoë Alice"
    alice.save(update_fields=["name"])
    assert 'aria-hidden="true">Z</span>' in client_for(alice).get("/").content.decode()


def test_search_works_with_and_without_htmx(client_for: ClientFor, alice: User) -> None:
    make_group(members=[alice], endpoints=[make_endpoint(name="orders"), make_endpoint(name="billing")])
    client = client_for(alice)
    page = client.get("/?q=ord").content.decode()
    assert "Activate orders" in page
    assert "Activate billing" not in page
    part = client.get("/?q=ord", headers=HTMX)
    assert part.content.decode().strip().startswith('<div id="endpoints">')
    assert "HX-Request" in part.headers["Vary"]
    assert b"matches" in client.get("/?q=zzz%00", headers=HTMX).content


def test_activate_answers_with_the_card_that_polls(client_for: ClientFor, alice: User) -> None:
    endpoint = make_endpoint()
    make_group(members=[alice], endpoints=[endpoint])
    response = client_for(alice).post(f"/endpoints/{endpoint.pk}/activate", headers=HTMX)
    grant = Grant.objects.get()
    text = response.content.decode()
    assert f'id="grant-card-{grant.pk}"' in text
    assert f'hx-get="/grants/{grant.pk}/card"' in text
    assert "load delay:200ms" in text
    assert "<html" not in text
    assert grant.password not in text


def test_activate_without_javascript_goes_to_the_grant(client_for: ClientFor, alice: User) -> None:
    endpoint = make_endpoint()
    make_group(members=[alice], endpoints=[endpoint])
    client = client_for(alice)
    response = client.post(f"/endpoints/{endpoint.pk}/activate")
    assert response.headers["Location"] == f"/grants/{Grant.objects.get().pk}"
    assert b'<noscript><meta http-equiv="refresh"' in client.get(response.headers["Location"]).content


def test_a_second_click_shows_the_grant_of_the_first(client_for: ClientFor, alice: User) -> None:
    endpoint = make_endpoint()
    make_group(members=[alice], endpoints=[endpoint])
    client = client_for(alice)
    first = client.post(f"/endpoints/{endpoint.pk}/activate", headers=HTMX)
    second = client.post(f"/endpoints/{endpoint.pk}/activate", headers=HTMX)
    assert first.status_code == second.status_code == 200
    assert str(Grant.objects.get().pk) in second.content.decode()


def test_a_refusal_to_htmx_goes_to_the_toasts(client_for: ClientFor, alice: User) -> None:
    needs_approval = make_endpoint(is_jit_enabled=True)
    make_group(members=[alice], endpoints=[needs_approval])
    refused = client_for(alice).post(f"/endpoints/{needs_approval.pk}/activate", headers=HTMX)
    assert refused.status_code == 403
    assert refused.headers["HX-Retarget"] == "#toasts"
    assert not Grant.objects.exists()


@pytest.mark.parametrize(
    ("state", "age", "delay"),
    [
        ("queued", 0, "200ms"),
        ("applying", 10, "1s"),
        ("applying", 60, "5s"),
        ("ended", 0, None),
        ("failed", 0, None),
    ],
)
def test_the_card_stops_looking_when_it_is_over(
    client_for: ClientFor, alice: User, state: str, age: int, delay: str | None
) -> None:
    grant = make_grant(state, user=alice)
    Grant.objects.filter(pk=grant.pk).update(queued_at=timezone.now() - timedelta(seconds=age))
    text = client_for(alice).get(f"/grants/{grant.pk}/card", headers=HTMX).content.decode()
    assert ("hx-get" in text.partition("<header")[0]) == (delay is not None)
    if delay:
        assert f"load delay:{delay}" in text


def test_the_active_card_looks_again_when_its_time_is_over(client_for: ClientFor, alice: User) -> None:
    grant = make_grant(user=alice, expires_at=timezone.now() + timedelta(seconds=100))
    text = client_for(alice).get(f"/grants/{grant.pk}/card", headers=HTMX).content.decode()
    assert "load delay:100s" in text


def test_a_failure_says_what_the_server_said(client_for: ClientFor, alice: User) -> None:
    grant = make_grant("failed", user=alice)
    text = client_for(alice).get(f"/grants/{grant.pk}/card", headers=HTMX).content.decode()
    for part in ("permission denied", "no grant option", "SQLSTATE 42501", "Try again"):
        assert part in text


def test_queries_do_not_grow_with_rows(
    client_for: ClientFor, alice: User, bob: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client = client_for(alice)

    def grow(count: int) -> None:
        for _ in range(count):
            usable = make_endpoint()
            asked = make_endpoint(is_jit_enabled=True, approvers=[bob.email, "x@company.com"])
            make_group(members=[alice], endpoints=[usable, asked])
            make_grant(user=alice, endpoint=usable)
            make_grant("ended", user=alice)
            make_request(user=alice, endpoint=asked)
            make_endpoint(is_requestable=True)

    grow(1)
    client.get("/")
    with django_assert_num_queries(11):
        client.get("/")
    grow(6)
    with django_assert_num_queries(11):
        client.get("/")
