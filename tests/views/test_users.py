"""Users: who sees the accounts, creating, changing and suspending them."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accessmgmt.domain.states import GrantState
from accessmgmt.models import AuditEvent, User
from accessmgmt.policy.access import may_activate
from accessmgmt.services.setup.groups import add_members
from tests.factories import make_endpoint, make_grant, make_group, make_user

LIST = reverse("accessmgmt:user-list")
CREATE = reverse("accessmgmt:user-create")
PASSWORD = "a-long-Enough-1-password"


def form_of(**changes: Any) -> dict[str, Any]:
    return {"email": "new@company.com", "name": "New Person", "role": "member", "password": PASSWORD, **changes}


def edit_of(user: User) -> str:
    return reverse("accessmgmt:user-edit", args=[user.pk])


def test_the_list_searches_filters_and_counts(client_for, erin, alice, dave):
    make_user("gone@company.com", is_active=False)
    make_group(members=[alice])
    make_grant(user=alice)
    make_grant("ended", user=alice)
    client = client_for(erin)

    def found(query: str) -> list[str]:
        return [row.email.partition("@")[0] for row in client.get(LIST + query).context["page"]]

    assert found("?q=ALICE%20dev") == ["alice"]
    assert found("?role=admin") == ["dave"]
    assert found("?role=nonsense&q=dave") == ["dave"]
    assert found("?state=suspended") == ["gone"]
    assert found("?sort=-grants")[0] == "alice"
    row = client.get(LIST + "?q=alice").context["page"][0]
    assert (row.group_count, row.live_grant_count) == (1, 1)


def test_the_queries_of_the_list_do_not_grow(client_for, erin):
    client = client_for(erin)
    with CaptureQueriesContext(connection) as few:
        client.get(LIST)
    for _ in range(55):
        make_grant()
    with CaptureQueriesContext(connection) as many:
        assert len(client.get(LIST).context["page"]) == 50
    assert len(many) == len(few)


def test_a_user_is_created_and_can_sign_in(client_for, client, dave):
    response = client_for(dave).post(CREATE, form_of(email=" New@Company.com ", role="auditor"))
    assert response["Location"] == LIST
    user = User.objects.get(email="new@company.com")
    assert (user.name, user.role, user.is_active) == ("New Person", "auditor", True)
    assert client.login(username="new@company.com", password=PASSWORD)
    assert PASSWORD not in str(list(AuditEvent.objects.values_list("details", flat=True)))


@pytest.mark.parametrize(
    ("field", "text", "message"),
    [
        ("email", "", "Write the e-mail address"),
        ("email", "nobody", "is not an e-mail address"),
        ("email", "DAVE@company.com", "has an account already"),
        ("role", "root", "Select a valid choice"),
        ("password", "", "Write an initial password"),
        ("password", "short", "too short"),
        ("password", "password123456", "commonly used password"),
        ("password", "new@company.com", "is known of you"),
    ],
)
def test_bad_input_is_kept_with_the_error_beside_its_field(client_for, dave, field, text, message):
    response = client_for(dave).post(CREATE, form_of(**{"name": "Kept text", field: text}))
    assert response.status_code == 422
    assert message in " ".join(response.context["form"].errors[field])
    page = response.content.decode()
    assert f'id="id_{field}-error"' in page
    assert "Kept text" in page
    assert PASSWORD not in page
    assert User.objects.count() == 1
    assert not AuditEvent.objects.exists()


def test_a_role_is_changed(client_for, dave, alice):
    data = {"name": "Alice", "role": "auditor", "is_active": "on"}
    assert client_for(dave).post(edit_of(alice), data)["Location"] == LIST
    alice.refresh_from_db()
    assert (alice.name, alice.role, alice.is_active) == ("Alice", "auditor", True)


def test_suspending_warns_and_ends_everything(client_for, dave, alice):
    grants = [make_grant(user=alice), make_grant("queued", user=alice)]
    other = make_grant()
    client = client_for(dave)
    page = " ".join(client.get(edit_of(alice)).content.decode().split())
    assert "Suspending Alice Developer ends everything they have: 2 live grants" in page
    response = client.post(edit_of(alice), {"name": alice.name, "role": "member"}, follow=True)
    assert "Whatever they hold is being ended." in response.content.decode()
    alice.refresh_from_db()
    assert not alice.is_active
    for grant in grants:
        grant.refresh_from_db()
        assert grant.state in {GrantState.ENDING, GrantState.ENDED}
    other.refresh_from_db()
    assert other.state == GrantState.ACTIVE


@pytest.mark.parametrize("data", [{"role": "member", "is_active": "on"}, {"role": "admin"}])
def test_an_admin_does_not_lock_himself_out(client_for, dave, data):
    response = client_for(dave).post(edit_of(dave), {"name": "Changed", **data})
    assert response.status_code == 422
    assert "You cannot take your own admin role away." in response.content.decode()
    dave.refresh_from_db()
    assert (dave.name, dave.role, dave.is_active) == ("Dave Admin", "admin", True)


def test_an_unknown_user_is_404(client_for, dave):
    assert client_for(dave).get(reverse("accessmgmt:user-edit", args=[4711])).status_code == 404


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("O\u2019Brien@Company.com", "o'brien@company.com"),
        ("Jane@MÜLLER.de ", "jane@xn--mller-kva.de"),
        ("<mailto:jane@company.com>", "jane@company.com"),
    ],
)
def test_every_spelling_of_an_address_is_the_same_person(client, client_for, dave, typed, stored):
    """The account, the group and the sign-in know a person by one spelling, whichever of them was typed where."""
    data = {"email": typed, "name": "Jane", "role": "member", "password": "a sentence is a good password"}
    assert client_for(dave).post(reverse("accessmgmt:user-create"), data).status_code == 302
    user = User.objects.get(email=stored)
    again = client_for(dave).post(reverse("accessmgmt:user-create"), {**data, "email": stored.upper()})
    assert (again.status_code, "has an account already" in again.content.decode()) == (422, True)
    group = make_group(endpoints=[make_endpoint()])
    add_members(actor=dave, group=group, emails=[typed])
    assert may_activate(user, group.endpoints.get())
    response = client.post(reverse("accessmgmt:login"), {"username": typed, "password": data["password"]})
    assert response.status_code == 302


def test_a_character_that_nobody_can_see_is_named_beside_the_address(client_for, dave):
    data = {"email": "ja\u200bne@company.com", "role": "member", "password": "a sentence is a good password"}
    response = client_for(dave).post(reverse("accessmgmt:user-create"), data)
    assert response.status_code == 422
    assert "U+200B ZERO WIDTH SPACE at character 3, after “ja”" in response.context["form"].errors["email"][0]


def test_a_password_that_everybody_guesses_is_refused_with_the_reason_and_a_way_out(client_for, dave):
    response = client_for(dave).post(CREATE, form_of(password="aaaaaaaaaaaa"))
    assert response.status_code == 422
    (text,) = response.context["form"].errors["password"]
    assert text.startswith("It is easy to guess. Repeats")
    assert "Write three or four words" in text
