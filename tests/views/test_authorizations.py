"""Authorizations: who sees them, what the form refuses, order and spelling kept, where they are used."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accessmgmt.models import AuditEvent, Authorization
from tests.factories import make_authorization, make_endpoint, make_grant, make_group

LIST = reverse("accessmgmt:authorization-list")
CREATE = reverse("accessmgmt:authorization-create")


def form_of(**changes: Any) -> dict[str, Any]:
    data = {
        "name": "postgres-readonly",
        "description": "Reads",
        "grants": ["SELECT"],
        "schemas": "public",
        "all_tables": "on",
        "tables": "",
    }
    return {name: value for name, value in {**data, **changes}.items() if value is not None}


def url_of(name: str, authorization: Authorization) -> str:
    return reverse(f"accessmgmt:authorization-{name}", args=[authorization.pk])


def test_the_list_says_what_to_do_first(client_for, dave):
    assert "No authorization yet" in client_for(dave).get(LIST).content.decode()


def test_the_list_shows_where_each_is_used(client_for, erin):
    used = make_authorization(name="used")
    make_authorization(name="spare")
    for number in range(5):
        make_endpoint(name=f"use-{number}", authorization=used)
    make_grant(endpoint=used.endpoints.first())
    client = client_for(erin)
    page = client.get(LIST).content.decode()
    assert "use-0, use-1, use-2" in page
    assert "2 more" in page
    assert "SELECT on all tables in public" in page
    assert [row.name for row in client.get(LIST + "?usage=unused").context["page"]] == ["spare"]
    assert [row.name for row in client.get(LIST + "?usage=used").context["page"]] == ["used"]
    assert [row.name for row in client.get(LIST + "?q=USE").context["page"]] == ["used"]
    assert client.get(LIST + "?sort=-grants").context["page"][0].live_grant_count == 1


def test_the_queries_of_the_list_do_not_grow(client_for, erin):
    client = client_for(erin)
    make_endpoint()
    with CaptureQueriesContext(connection) as few:
        client.get(LIST)
    for _ in range(55):
        make_endpoint()
    with CaptureQueriesContext(connection) as many:
        assert len(client.get(LIST).context["page"]) == 50
    assert len(many) == len(few)


def test_an_authorization_is_created_as_it_was_entered(client_for, dave):
    data = form_of(
        grants=["DELETE", "SELECT"],
        schemas="public, app",
        all_tables=None,
        tables="Order Items\r\nodd,name\r\nevents_*\r\nOrder Items\r\n",
    )
    response = client_for(dave).post(CREATE, data)
    authorization = Authorization.objects.get()
    assert response["Location"] == url_of("detail", authorization)
    assert authorization.permissions == {
        "grants": ["DELETE", "SELECT"],
        "schemas": ["public", "app"],
        "tables": ["Order Items", "odd,name", "events_*", "Order Items"],
    }
    assert AuditEvent.objects.get().action == "authorization.created"


@pytest.mark.parametrize(
    ("field", "changes", "message"),
    [
        ("name", {"name": ""}, "Give the authorization a name"),
        ("grants", {"grants": []}, "Choose at least one privilege"),
        ("grants", {"grants": ["SELECT", "CONNECT"]}, "Select a valid choice"),
        ("schemas", {"schemas": ""}, "Name at least one schema"),
        ("schemas", {"schemas": " , "}, "Name at least one schema"),
        ("schemas", {"schemas": "ä" * 40}, "longer than 63 bytes"),
        ("tables", {"all_tables": None, "tables": ""}, "Name at least one table"),
        ("tables", {"all_tables": None, "tables": "x" * 64}, "longer than 63 bytes"),
        ("tables", {"all_tables": None, "tables": "a,\nb"}, "ends with a comma"),
        ("tables", {"all_tables": None, "tables": '["a", 1]'}, "holds only texts"),
        ("tables", {"all_tables": None, "tables": '["a"'}, "begins like a JSON list"),
        (
            "tables",
            {"all_tables": None, "tables": '["a\\u0007b"]'},
            "U+0007 a control character at character 2, after “a”",
        ),
        ("tables", {"all_tables": None, "tables": "app.orders"}, "Write app under schemas, and orders here."),
        ("tables", {"all_tables": None, "tables": "[" * 5_000}, "nested more than 20 levels deep"),
        ("schemas", {"schemas": '["' + "[" * 5_000}, "begins like a JSON list"),
        ("name", {"name": "read\u202eylno"}, "U+202E RIGHT-TO-LEFT OVERRIDE at character 5, after “read”"),
        ("tables", {"all_tables": None, "tables": ",".join(f"t{n}" for n in range(1001))}, "more than 1000 names"),
    ],
)
def test_bad_input_is_kept_with_the_error_beside_its_field(client_for, dave, field, changes, message):
    response = client_for(dave).post(CREATE, form_of(description="Kept text", **changes))
    assert response.status_code == 422
    assert message in " ".join(response.context["form"].errors[field])
    page = response.content.decode()
    assert f'id="id_{field}-error"' in page
    assert "Kept text" in page
    assert not Authorization.objects.exists()
    assert not AuditEvent.objects.exists()


def test_a_name_is_taken_whatever_its_case(client_for, dave):
    make_authorization(name="Postgres-ReadOnly")
    response = client_for(dave).post(CREATE, form_of())
    assert "already one called" in response.context["form"].errors["name"][0]


def test_opening_and_saving_changes_nothing(client_for, dave):
    said = {"grants": ["update", "SELECT"], "schemas": ["app", "public"], "tables": ["one,name"]}
    authorization = make_authorization(permissions=said)
    client = client_for(dave)
    form = client.get(url_of("edit", authorization)).context["form"]
    data = {name: form[name].value() for name in ("name", "description", "grants", "schemas", "tables")}
    assert form["all_tables"].value() is False
    assert client.post(url_of("edit", authorization), data).status_code == 302
    authorization.refresh_from_db()
    assert authorization.permissions == said
    assert not AuditEvent.objects.exists()


def test_what_stays_chosen_keeps_its_order(client_for, dave):
    authorization = make_authorization(
        permissions={"grants": ["UPDATE", "SELECT", "DELETE"], "schemas": ["public"], "tables": ["*"]}
    )
    data = form_of(name=authorization.name, grants=["SELECT", "INSERT", "UPDATE"])
    client_for(dave).post(url_of("edit", authorization), data)
    authorization.refresh_from_db()
    assert authorization.permissions["grants"] == ["UPDATE", "SELECT", "INSERT"]


def test_editing_one_in_use_says_whom_it_reaches_and_leaves_live_grants(client_for, dave, alice):
    authorization = make_authorization()
    endpoint = make_endpoint(authorization=authorization)
    make_group(members=[alice, "invited@company.com"], endpoints=[endpoint])
    grant = make_grant(user=alice, endpoint=endpoint)
    client = client_for(dave)
    page = " ".join(client.get(url_of("edit", authorization)).content.decode().split())
    assert "2 people may activate through 1 endpoint" in page
    assert "1 live grant keeps what was approved" in page
    client.post(url_of("edit", authorization), form_of(name=authorization.name, grants=["SELECT", "DELETE"]))
    grant.refresh_from_db()
    assert grant.permissions["grants"] == ["SELECT"]


def test_the_detail_shows_words_json_and_endpoints(client_for, erin):
    authorization = make_authorization(
        permissions={"grants": ["SELECT", "TRUNCATE"], "schemas": ["public"], "tables": ["events_*"]}
    )
    make_endpoint(name="the-endpoint", authorization=authorization)
    page = client_for(erin).get(url_of("detail", authorization)).content.decode()
    assert "Allows SELECT and TRUNCATE on events_* in public." in page
    assert "&quot;grants&quot;: [" in page
    assert "the-endpoint" in page
    assert "TRUNCATE reaches further" in " ".join(page.split())


def test_names_are_escaped(client_for, dave):
    authorization = make_authorization(
        name="<b>x</b>", permissions={"grants": ["SELECT"], "schemas": ["<i>"], "tables": ["*"]}
    )
    for url in (LIST, url_of("detail", authorization), url_of("edit", authorization)):
        page = client_for(dave).get(url).content.decode()
        assert "<b>x" not in page
        assert "<i>" not in page


def test_one_in_use_is_not_deleted(client_for, dave):
    authorization = make_endpoint().authorization
    response = client_for(dave).post(url_of("delete", authorization))
    assert response.status_code == 409
    assert "still used by endpoints" in response.content.decode()
    spare = make_authorization()
    assert client_for(dave).post(url_of("delete", spare)).status_code == 302
    assert list(Authorization.objects.all()) == [authorization]
