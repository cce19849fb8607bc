"""Groups: who sees them, pasting members, wiring endpoints."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accessmgmt.models import AuditEvent, Group, GroupEndpoint, GroupMember
from tests.factories import make_endpoint, make_grant, make_group, make_user

LIST = reverse("accessmgmt:group-list")
CREATE = reverse("accessmgmt:group-create")
HTMX = {"HTTP_HX_REQUEST": "true"}


def url_of(name: str, group: Group) -> str:
    return reverse(f"accessmgmt:group-{name}", args=[group.pk])


def test_an_auditor_sees_no_forms(client_for, erin, alice):
    page = client_for(erin).get(url_of("detail", make_group(members=[alice], endpoints=[make_endpoint()])))
    assert url_of("members-add", Group.objects.get()) not in page.content.decode()
    assert 'name="email"' not in page.content.decode()


def test_a_group_is_created_and_changed(client_for, dave):
    client = client_for(dave)
    response = client.post(CREATE, {"name": " developers ", "description": "All of them"})
    group = Group.objects.get()
    assert response["Location"] == url_of("detail", group)
    assert group.name == "developers"
    client.post(url_of("edit", group), {"name": "Developers", "description": ""})
    group.refresh_from_db()
    assert (group.name, group.description) == ("Developers", "")


@pytest.mark.parametrize(("name", "message"), [("", "Give the group a name"), ("DEVELOPERS", "already one called")])
def test_bad_input_is_kept_with_the_error_beside_its_field(client_for, dave, name, message):
    make_group(name="developers")
    response = client_for(dave).post(CREATE, {"name": name, "description": "Kept text"})
    assert response.status_code == 422
    assert message in response.context["form"].errors["name"][0]
    assert "Kept text" in response.content.decode()
    assert Group.objects.count() == 1


def test_the_list_searches_names_and_members(client_for, erin, alice):
    make_group(name="alpha", members=[alice], endpoints=[make_endpoint(), make_endpoint()])
    make_group(name="beta", description="Reporting")
    client = client_for(erin)

    def names(query: str) -> list[str]:
        return [row.name for row in client.get(LIST + query).context["page"]]

    assert names("?q=alice@") == ["alpha"]
    assert names("?q=report") == ["beta"]
    assert names("?sort=members") == ["beta", "alpha"]
    row = client.get(LIST).context["page"][0]
    assert (row.member_count, row.endpoint_count) == (1, 2)
    assert "Nothing matches" in client.get(LIST + "?q=zzz").content.decode()


def test_the_queries_of_the_list_do_not_grow(client_for, erin):
    client = client_for(erin)
    make_group(members=["a@company.com"])
    with CaptureQueriesContext(connection) as few:
        client.get(LIST)
    for number in range(51):
        make_group(members=[f"p{number}@company.com"], endpoints=[make_endpoint()])
    with CaptureQueriesContext(connection) as many:
        assert len(client.get(LIST).context["page"]) == 50
    assert len(many) == len(few)


# --- members ---


def test_many_people_are_pasted_at_once(client_for, dave, alice):
    group = make_group(members=["old@company.com"])
    text = "Alice@Company.com; new@company.com,\n old@company.com\tnew@company.com"
    response = client_for(dave).post(url_of("members-add", group), {"emails": text}, follow=True)
    assert "2 people added. 1 person in the group already." in response.content.decode()
    members = ["alice@company.com", "new@company.com", "old@company.com"]
    assert list(group.members.values_list("email", flat=True)) == members
    assert AuditEvent.objects.get(action="group.members_added").details == {"members": members[:2]}


def test_with_htmx_the_members_come_back_alone(client_for, dave):
    group = make_group()
    response = client_for(dave).post(url_of("members-add", group), {"emails": "new@company.com"}, **HTMX)
    page = response.content.decode()
    assert page.strip().startswith('<section class="card" id="members"')
    assert "1 person added." in page
    assert "new@company.com" in page


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "htmx"])
def test_good_addresses_are_kept_and_bad_ones_come_back_with_the_reason(client_for, dave, headers):
    group = make_group()
    text = "good@company.com, bad one@, <script>; Last, First <l@company.com>"
    response = client_for(dave).post(url_of("members-add", group), {"emails": text}, **headers)
    assert response.status_code == 422
    assert list(group.members.values_list("email", flat=True)) == ["good@company.com", "l@company.com"]
    page = response.content.decode()
    assert "2 people added." in page
    assert "“bad one@”: Words stand beside the address." in page
    assert "“script”: There is no @ in it." in page
    assert response.context["members_form"]["emails"].value() == "bad one@\nscript"
    assert 'id="id_emails-error"' in page
    assert "&lt;script" not in page
    assert "<script>" not in page.split("id_emails")[1].split("</textarea>")[0]


def test_a_list_of_bad_addresses_changes_nothing_and_loses_nothing(client_for, dave):
    group = make_group()
    text = "\n".join(f"nobody {number}@company.com" for number in range(51))
    response = client_for(dave).post(url_of("members-add", group), {"emails": text})
    assert response.status_code == 422
    form = response.context["members_form"]
    assert form["emails"].value() == text
    [said] = form.errors["emails"]
    assert said.startswith("“nobody 0@company.com”, “nobody 1@company.com”, ")
    assert "“nobody 9@company.com” and 41 more: Words stand beside the address." in said
    assert not GroupMember.objects.exists()


def test_one_person_is_removed_by_either_spelling_of_the_address(client_for, dave):
    group = make_group(members=["ana@xn--mller-kva.de"])
    page = client_for(dave).get(url_of("detail", group)).content.decode()
    assert "ana@müller.de" in page
    client_for(dave).post(url_of("member-remove", group), {"email": "Ana@MÜLLER.de"})
    assert not group.members.exists()


def test_a_member_is_found_by_the_letters_of_the_domain(client_for, erin):
    make_group(name="readers", members=["ana@xn--mller-kva.de"])
    make_group(name="others", members=["ana@company.com"])
    found = client_for(erin).get(LIST, {"q": "müller.de"}).context["page"]
    assert [row.name for row in found] == ["readers"]


def test_nothing_pasted_is_said(client_for, dave):
    response = client_for(dave).post(url_of("members-add", make_group()), {"emails": "  "})
    assert response.status_code == 422
    assert "Paste at least one e-mail address." in response.content.decode()


def test_people_without_an_account_are_invited_and_suspended_ones_marked(client_for, erin, alice):
    make_user("gone@company.com", is_active=False)
    group = make_group(members=[alice, "invited@company.com", "gone@company.com"])
    page = client_for(erin).get(url_of("detail", group))
    states = {row.email: row.user_is_active for row in page.context["page"]}
    assert states == {"alice@company.com": True, "invited@company.com": None, "gone@company.com": False}
    assert page.content.decode().count("Invited") == 1
    assert page.content.decode().count("Suspended") == 1


def test_members_have_pages_search_and_a_constant_number_of_queries(client_for, dave):
    small = make_group(members=["a@company.com"], endpoints=[make_endpoint()])
    large = make_group(members=[f"p{n:03}@company.com" for n in range(120)], endpoints=[make_endpoint() for _ in "123"])
    client = client_for(dave)
    with CaptureQueriesContext(connection) as few:
        client.get(url_of("detail", small))
    with CaptureQueriesContext(connection) as many:
        page = client.get(url_of("detail", large)).context["page"]
    assert len(many) == len(few)
    assert (len(page), page.paginator.num_pages) == (50, 3)
    found = client.get(url_of("detail", large) + "?q=P007").context["page"]
    assert [row.email for row in found] == ["p007@company.com"]


def test_removing_a_member_says_what_the_person_still_holds(client_for, dave, alice):
    endpoint = make_endpoint()
    group = make_group(members=[alice], endpoints=[endpoint])
    make_grant(user=alice, endpoint=endpoint)
    response = client_for(dave).post(url_of("member-remove", group), {"email": alice.email}, follow=True)
    assert "still holds 1 live grant" in response.content.decode()
    assert not group.members.exists()
    again = client_for(dave).post(url_of("member-remove", group), {"email": alice.email})
    assert again.status_code == 409
    assert client_for(dave).post(url_of("member-remove", group), {"email": "nonsense"}).status_code == 422


# --- wires ---


def test_an_endpoint_is_wired_and_unwired(client_for, dave, alice):
    group, endpoint = make_group(members=[alice]), make_endpoint(name="the-endpoint")
    client = client_for(dave)
    response = client.post(url_of("wire", group), {"endpoint": endpoint.pk}, **HTMX)
    assert response.content.decode().strip().startswith('<section class="card" id="wires"')
    assert "1 person may use “the-endpoint” now." in response.content.decode()
    assert list(group.endpoints.all()) == [endpoint]
    response = client.post(url_of("unwire", group), {"endpoint": endpoint.pk}, follow=True)
    assert "is not wired" in response.content.decode()
    assert not GroupEndpoint.objects.exists()
    assert list(AuditEvent.objects.order_by("id").values_list("action", flat=True)) == ["group.wired", "group.unwired"]


@pytest.mark.parametrize("value", ["", "4711", "abc", "wired"])
def test_an_endpoint_that_cannot_be_wired_is_refused(client_for, dave, value):
    wired = make_endpoint()
    group = make_group(endpoints=[wired])
    make_endpoint()
    data = {"endpoint": str(wired.pk) if value == "wired" else value}
    response = client_for(dave).post(url_of("wire", group), data)
    assert response.status_code == 422
    assert response.context["wire_form"].errors["endpoint"]
    assert GroupEndpoint.objects.count() == 1


def test_unwiring_what_is_not_there_is_answered_calmly(client_for, dave):
    group = make_group()
    assert client_for(dave).post(url_of("unwire", group), {"endpoint": "abc"}).status_code == 422
    assert client_for(dave).post(url_of("unwire", group), {"endpoint": "4711"}).status_code == 404


def test_deleting_a_group_takes_members_and_wires_along(client_for, dave, alice):
    group = make_group(members=[alice], endpoints=[make_endpoint()])
    client = client_for(dave)
    page = client.get(url_of("delete", group)).content.decode()
    assert "Members who leave it: 1. Endpoints it is wired to: 1." in page
    assert client.post(url_of("delete", group))["Location"] == LIST
    assert not Group.objects.exists()
    assert not GroupMember.objects.exists()
