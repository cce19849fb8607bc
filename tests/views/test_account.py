"""Log in, log out, profile."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import time_machine
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from accessmgmt.models import AuditEvent, User
from accessmgmt.services.people.sign_in import OLD_PASSWORD
from tests.factories import PASSWORD

ClientFor = Callable[[User], Client]


def test_anonymous_is_sent_to_the_log_in(client: Client, db: None) -> None:
    response = client.get("/grants/")
    assert response.status_code == 302
    assert response.headers["Location"] == "/login/?next=/grants/"


def test_log_in_goes_on_to_the_page_asked_for(client: Client, alice: User) -> None:
    response = client.post(
        "/login/", {"username": "ALICE@company.com", "password": PASSWORD, "next": "/requests/new?q=x"}
    )
    assert response.status_code == 302
    assert response.headers["Location"] == "/requests/new?q=x"


ELSEWHERE = [
    "https://evil.example/",
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "\t//evil.example",
    " //evil.example",
    "http:///evil.example",
    "https:evil.example",
    "javascript:alert(1)",
    "data:text/html,x",
    "//testserver@evil.example/",
    "http://testserver/grants/",
    "/%2F/evil.example",
]


@pytest.mark.parametrize("target", ELSEWHERE)
@pytest.mark.parametrize("is_signed_in", [True, False])
def test_log_in_never_leaves_the_site(client: Client, alice: User, target: str, is_signed_in: bool) -> None:
    if is_signed_in:
        client.force_login(alice)
        response = client.get("/login/", {"next": target})
    else:
        response = client.post("/login/", {"username": alice.email, "password": PASSWORD, "next": target})
    assert response.status_code == 302
    location = response.headers["Location"]
    assert location in {"/", "/%09/evil.example", "/%2F/evil.example"}, "none of them is another site to a browser"


NO_PATHS = ["x", "x.y", "", "?", "#", "grants/", "a:b", "\x00", "é", "%", "[", "http://[", "/" * 9, "/" + "é" * 999]


@pytest.mark.parametrize("target", NO_PATHS)
def test_a_next_that_is_no_path_leads_home(client: Client, alice: User, target: str) -> None:
    client.force_login(alice)
    response = client.get("/login/", {"next": target})
    assert (response.status_code, response.headers["Location"]) == (302, "/")


@pytest.mark.parametrize(
    "here", ["http://[", "x", "//evil.example/", "http://evil.example/grants/", "http://testserver//evil.example"]
)
def test_a_fragment_whose_page_is_no_page_of_ours_leads_home(client: Client, db: None, here: str) -> None:
    response = client.get("/login/", headers={"HX-Request": "true", "HX-Current-URL": here})
    assert response.headers["HX-Redirect"] == "/login/?next=%2F"


def test_failures_look_the_same_whoever_it_is(client: Client, alice: User) -> None:
    suspended = User.objects.create_user("gone@company.com", PASSWORD, is_active=False)
    bodies = set()
    for email, password in ((alice.email, "wrong"), ("nobody@company.com", "wrong"), (suspended.email, PASSWORD)):
        response = client.post("/login/", {"username": email, "password": password})
        assert response.status_code == 422
        text = response.content.decode()
        assert f'value="{email}"' in text
        assert password not in text
        bodies.add(text[text.index("role=") :].partition("</form>")[0].partition("csrf")[0].split("</div>")[1])
    assert len(bodies) == 1
    assert "do not belong together" in bodies.pop()


def test_a_session_that_ended_sends_the_whole_page_to_the_log_in(client: Client, db: None) -> None:
    response = client.get(
        "/login/?next=/x", headers={"HX-Request": "true", "HX-Current-URL": "http://testserver/grants/?page=2"}
    )
    assert response.headers["HX-Redirect"] == "/login/?next=%2Fgrants%2F%3Fpage%3D2"


def test_log_out_is_a_post(client_for: ClientFor, alice: User) -> None:
    client = client_for(alice)
    assert client.get("/logout/").status_code == 405
    assert client.post("/logout/").headers["Location"] == "/login/"
    assert client.get("/").status_code == 302


def test_profile_is_saved(client_for: ClientFor, alice: User) -> None:
    response = client_for(alice).post(
        "/profile/", {"name": "Alice A.", "time_zone": "Europe/Berlin", "change_profile": "1"}
    )
    assert response.status_code == 302
    alice.refresh_from_db()
    assert (alice.name, alice.time_zone) == ("Alice A.", "Europe/Berlin")
    assert AuditEvent.objects.filter(action="user.profile_changed").exists()


def test_unknown_zone_is_422_and_keeps_the_input(client_for: ClientFor, alice: User) -> None:
    response = client_for(alice).post("/profile/", {"name": "Keep me", "time_zone": "Moon/Base", "change_profile": "1"})
    assert response.status_code == 422
    assert b"Keep me" in response.content
    assert b'aria-invalid="true"' in response.content


def test_password_change_keeps_this_session_and_is_audited(client_for: ClientFor, alice: User) -> None:
    client = client_for(alice)
    new = "a-much-longer-sentence-2"
    data = {"old_password": PASSWORD, "new_password1": new, "new_password2": new, "change_password": "1"}
    assert client.post("/profile/", data).status_code == 302
    assert client.get("/profile/").status_code == 200
    alice.refresh_from_db()
    assert alice.check_password(new)
    event = AuditEvent.objects.get(action="user.password_changed")
    assert event.actor_email == alice.email
    assert new not in str(event.details)


def test_wrong_old_password_is_422(client_for: ClientFor, alice: User) -> None:
    data = {"old_password": "no", "new_password1": "x" * 20, "new_password2": "y" * 20, "change_password": "1"}
    response = client_for(alice).post("/profile/", data)
    assert response.status_code == 422
    assert b"x" * 20 not in response.content
    assert not AuditEvent.objects.filter(action="user.password_changed").exists()


def change_password(client: Client, old: str) -> HttpResponse:
    new = "seven-green-lanterns-hum"
    data = {"old_password": old, "new_password1": new, "new_password2": new, "change_password": "1"}
    return client.post("/profile/", data)  # type: ignore[return-value]


@time_machine.travel(timezone.now(), tick=False)
def test_guessing_the_old_password_is_stopped_and_audited_as_at_the_log_in(client_for: ClientFor, alice: User) -> None:
    client = client_for(alice)
    for _ in range(OLD_PASSWORD.free):
        assert change_password(client, "wrong-secret").status_code == 422
    response = change_password(client, PASSWORD)
    assert response.status_code == 429
    assert "Wait 30 seconds" in response.content.decode()
    assert change_password(client_for(alice), PASSWORD).status_code == 429, "another session helps nobody"
    alice.refresh_from_db()
    assert alice.check_password(PASSWORD)
    events = AuditEvent.objects.filter(object_id=alice.pk).order_by("id")
    expected = ["user.password_change_failed"] * OLD_PASSWORD.free + ["user.password_change_refused"] * 2
    assert [event.action for event in events] == expected
    assert "secret" not in str(list(events.values()))
    with time_machine.travel(timezone.now() + OLD_PASSWORD.most_wait):
        assert change_password(client, PASSWORD).status_code == 302


@time_machine.travel(timezone.now(), tick=False)
def test_the_old_password_cannot_be_guessed_beside_a_new_one_that_is_refused(
    client_for: ClientFor, alice: User
) -> None:
    client = client_for(alice)
    data = {"old_password": "wrong", "new_password1": "a", "new_password2": "b", "change_password": "1"}
    for _ in range(OLD_PASSWORD.free):
        assert client.post("/profile/", data).status_code == 422
    assert client.post("/profile/", data).status_code == 429


def test_a_form_that_is_sent_again_after_logging_out_does_nothing(client_for: ClientFor, alice: User) -> None:
    client = client_for(alice)
    client.post("/logout/")
    assert change_password(client, PASSWORD).headers["Location"].startswith("/login/")
    assert client.post("/profile/", {"name": "Replayed", "time_zone": "UTC"}).status_code == 302
    alice.refresh_from_db()
    assert alice.name == "Alice Developer"


@pytest.mark.parametrize("new", ["aaaaaaaaaaaa", "Alice Developer 1", "x" * 201])
def test_ones_own_new_password_is_held_to_the_same_rule(client_for: ClientFor, alice: User, new: str) -> None:
    data = {"old_password": PASSWORD, "new_password1": new, "new_password2": new, "change_password": "1"}
    response = client_for(alice).post("/profile/", data)
    assert response.status_code == 422
    assert response.context["password_form"].errors["new_password2"]
    alice.refresh_from_db()
    assert alice.check_password(PASSWORD)
