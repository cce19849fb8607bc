"""Endpoints: who sees them, what the form refuses, and the sentence that says what one means."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accessmgmt.models import AuditEvent, Endpoint
from tests.factories import make_authorization, make_endpoint, make_grant, make_group, make_resource

LIST = reverse("accessmgmt:endpoint-list")
CREATE = reverse("accessmgmt:endpoint-create")
SENTENCE = reverse("accessmgmt:endpoint-sentence")


def form_of(**changes: Any) -> dict[str, Any]:
    data = {
        "name": "postgres-readonly-access",
        "description": "",
        "resource": str(changes.pop("resource", None) or make_resource(name="postgres-production").pk),
        "authorization": str(changes.pop("authorization", None) or make_authorization().pk),
        "ttl": "8h",
        "approvers": "",
    }
    return {**data, **changes}


def url_of(name: str, endpoint: Endpoint) -> str:
    return reverse(f"accessmgmt:endpoint-{name}", args=[endpoint.pk])


def test_the_list_filters_and_counts(client_for, erin):
    first = make_endpoint(name="first", is_jit_enabled=True)
    second = make_endpoint(name="second", is_requestable=True, ttl="90m")
    make_group(endpoints=[first])
    make_grant(endpoint=first)
    client = client_for(erin)

    def names(query: str) -> list[str]:
        return [row.name for row in client.get(LIST + query).context["page"]]

    assert names("") == ["first", "second"]
    assert names("?approval=needed") == ["first"]
    assert names("?approval=none") == ["second"]
    assert names("?approval=requestable") == ["second"]
    assert names(f"?resource={second.resource_id}") == ["second"]
    assert names(f"?authorization={first.authorization_id}") == ["first"]
    assert names("?resource=99999999999999999999999") == ["first", "second"]
    assert names("?resource=abc&page=99") == ["first", "second"]
    assert names("?sort=ttl") == ["second", "first"]
    assert names("?q=" + first.resource.name) == ["first"]
    row = client.get(LIST).context["page"][0]
    assert (row.group_count, row.live_grant_count) == (1, 1)


def test_the_queries_of_the_list_do_not_grow(client_for, erin):
    client = client_for(erin)
    make_endpoint()
    with CaptureQueriesContext(connection) as few:
        client.get(LIST)
    for _ in range(52):
        make_group(endpoints=[make_endpoint(approvers=["a@company.com"])])
    with CaptureQueriesContext(connection) as many:
        assert len(client.get(LIST).context["page"]) == 50
    assert len(many) == len(few)


def test_an_endpoint_is_created_with_its_approvers(client_for, dave):
    data = form_of(ttl=" 1h30m ", is_jit_enabled="on", approvers="Lead@Company.com; bob@company.com\nlead@company.com")
    response = client_for(dave).post(CREATE, data)
    endpoint = Endpoint.objects.get()
    assert response["Location"] == url_of("detail", endpoint)
    assert (endpoint.ttl, endpoint.ttl_seconds, endpoint.is_jit_enabled) == ("1h30m", 5400, True)
    assert list(endpoint.approvers.values_list("email", flat=True)) == ["bob@company.com", "lead@company.com"]


@pytest.mark.parametrize(
    ("field", "text", "message"),
    [
        ("name", "", "Give the endpoint a name"),
        ("ttl", "8x", "is not a duration"),
        ("ttl", "", "Write how long access lasts"),
        ("ttl", "30s", "outside what is allowed"),
        ("ttl", "366d", "outside what is allowed"),
        ("resource", "4711", "Select a valid choice"),
        ("authorization", "abc", "Select a valid choice"),
        ("approvers", "bob@company.com, nobody", "“nobody”: There is no @ in it."),
    ],
)
def test_bad_input_is_kept_with_the_error_beside_its_field(client_for, dave, field, text, message):
    response = client_for(dave).post(CREATE, form_of(description="Kept text", **{field: text}))
    assert response.status_code == 422
    assert message in " ".join(response.context["form"].errors[field])
    page = response.content.decode()
    assert f'id="id_{field}-error"' in page
    assert "Kept text" in page
    assert not Endpoint.objects.exists()
    assert not AuditEvent.objects.exists()


def test_a_name_is_taken_whatever_its_case(client_for, dave):
    make_endpoint(name="Postgres-ReadOnly-Access")
    response = client_for(dave).post(CREATE, form_of())
    assert "already one called" in response.context["form"].errors["name"][0]


def test_editing_replaces_the_approvers_and_keeps_live_grants(client_for, dave):
    endpoint = make_endpoint(approvers=["old@company.com"], is_requestable=True)
    grant = make_grant(endpoint=endpoint)
    client = client_for(dave)
    page = client.get(url_of("edit", endpoint)).content.decode()
    assert "old@company.com" in page
    assert "1 live grant keeps what was approved" in page
    data = form_of(
        name=endpoint.name,
        resource=endpoint.resource_id,
        authorization=endpoint.authorization_id,
        ttl="1h",
        approvers="new@company.com",
    )
    assert client.post(url_of("edit", endpoint), data).status_code == 302
    endpoint.refresh_from_db()
    grant.refresh_from_db()
    assert list(endpoint.approvers.values_list("email", flat=True)) == ["new@company.com"]
    assert (endpoint.ttl_seconds, endpoint.is_requestable, grant.ttl_seconds) == (3600, False, 28800)


def test_the_sentence_says_what_the_endpoint_means(client_for, dave):
    endpoint = make_endpoint(resource=make_resource(name="postgres-production"))
    expected = (
        "Members can SELECT on all tables in public of postgres-production for 8 hours at a time, without approval."
    )
    assert expected in client_for(dave).get(url_of("detail", endpoint)).content.decode()
    query = {"resource": endpoint.resource_id, "authorization": endpoint.authorization_id, "ttl": "8h"}
    fragment = client_for(dave).get(SENTENCE, query).content.decode()
    assert expected in fragment
    assert fragment.strip().startswith("<p")
    asked = client_for(dave).get(
        SENTENCE, {**query, "is_jit_enabled": "on", "is_requestable": "on", "approvers": "a@company.com b@company.com"}
    )
    assert "after a@company.com or b@company.com approves. Anybody who is signed in may request it" in (
        asked.content.decode()
    )


@pytest.mark.parametrize(
    "query",
    ["", "?resource=abc&ttl=8x", "?resource=99999999999999999999&authorization=-1", "?approvers=nobody&ttl=%00"],
)
def test_the_sentence_takes_anything(client_for, dave, query):
    response = client_for(dave).get(SENTENCE + query)
    assert response.status_code == 200
    assert "for … at a time, without approval." in response.content.decode()


def test_a_new_endpoint_can_begin_with_a_resource(client_for, dave):
    resource = make_resource()
    form = client_for(dave).get(f"{CREATE}?resource={resource.pk}").context["form"]
    assert form["resource"].value() == str(resource.pk)


def test_the_detail_shows_groups_and_reach(client_for, erin, alice):
    endpoint = make_endpoint(approvers=["lead@company.com"])
    make_group(name="developers", members=[alice], endpoints=[endpoint])
    page = client_for(erin).get(url_of("detail", endpoint)).content.decode()
    assert "developers" in page
    assert "1 person through groups" in page
    assert "lead@company.com and any admin" in page


def test_one_that_is_wired_or_was_used_is_not_deleted(client_for, dave):
    wired, used, free = make_endpoint(), make_grant("ended").endpoint, make_endpoint()
    make_group(endpoints=[wired])
    client = client_for(dave)
    for endpoint in (wired, used):
        response = client.post(url_of("delete", endpoint))
        assert response.status_code == 409
        assert "cannot be deleted" in response.content.decode()
    assert client.post(url_of("delete", free)).status_code == 302
    assert Endpoint.objects.count() == 2
