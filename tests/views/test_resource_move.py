"""A resource with live grants gets another address only when that leads to the same server: real servers are asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from psycopg import sql

from accessmgmt.models import AuditEvent, Resource, User
from devstack.ports import free_port
from devstack.postgres import PostgresServer
from tests.factories import make_endpoint, make_grant, make_resource
from tests.looks import do_waiting
from tests.targets import ADMIN_PASSWORD, make_target
from tests.views.resource_form import form_of

ClientFor = Callable[[User], Client]
ServerOf = Callable[[int], PostgresServer]
SAME = {"is_same_server": "on", "password": ADMIN_PASSWORD}


def system_identifier(server: PostgresServer) -> str:
    with server.connect() as conn:
        row = conn.execute("SELECT system_identifier::text FROM pg_control_system()").fetchone()
    assert row is not None
    return str(row[0])


@pytest.fixture
def facts(target_server: ServerOf) -> dict[str, Any]:
    return make_target(target_server(18))


@pytest.fixture
def resource(facts: dict[str, Any], target_server: ServerOf) -> Resource:
    """A resource with one live grant that was applied there."""
    made = make_resource(name="shop", **facts)
    make_grant(endpoint=make_endpoint(resource=made), system_identifier=system_identifier(target_server(18)))
    return made


@pytest.fixture
def other_port(facts: dict[str, Any], target_server: ServerOf) -> int:
    """The port of another server with a database and a login of the same names."""
    other = target_server(17)
    make_target(other)
    with other.connect() as conn:
        conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(facts["database_name"])))
    return other.port


def edit(client: Client, resource: Resource, **changes: str) -> Any:
    """Save a changed form. Where the server is asked first, let a worker do that and follow the page to its end."""
    answer = client.post(reverse("accessmgmt:resource-edit", args=[resource.pk]), form_of(resource, **changes))
    if "/looks/" not in answer.get("Location", ""):
        return answer
    look = answer["Location"]
    page = client.get(look).content.decode()
    assert "Waiting for a worker" in page
    assert ADMIN_PASSWORD not in page
    do_waiting()
    over = client.get(f"{look}/progress", headers={"HX-Request": "true"})
    assert over["HX-Redirect"] == look
    answer = client.get(look)
    return client.get(answer["Location"]) if "?look=" in answer["Location"] else answer


def test_a_new_address_is_saved_when_the_server_is_the_same(
    client_for: ClientFor, dave: User, resource: Resource
) -> None:
    page = client_for(dave).get(reverse("accessmgmt:resource-edit", args=[resource.pk])).content.decode()
    assert "It is the same server; its logins are reached under the new address" in page
    assert "Live grants there: 1." in page
    assert edit(client_for(dave), resource, host="127.0.0.1", **SAME).status_code == 302
    resource.refresh_from_db()
    assert resource.host == "127.0.0.1"
    assert AuditEvent.objects.get(action="resource.address_checked").details["is_same"] is True


def test_without_the_promise_it_is_refused_and_everything_is_kept(
    client_for: ClientFor, dave: User, resource: Resource
) -> None:
    response = edit(client_for(dave), resource, host="127.0.0.1", password=ADMIN_PASSWORD, description="as typed")
    page = response.content.decode()
    assert response.status_code == 422
    assert "say so below" in page
    assert "as typed" in page
    assert 'value="127.0.0.1"' in page
    resource.refresh_from_db()
    assert resource.host == "localhost"


def test_a_promise_that_is_not_true_is_found_out(
    client_for: ClientFor, dave: User, resource: Resource, other_port: int
) -> None:
    response = edit(client_for(dave), resource, port=str(other_port), description="as typed", **SAME)
    page = response.content.decode()
    assert "It is another server" in response.context["form"].errors["is_same_server"][0]
    assert "as typed" in page
    assert f'value="{other_port}"' in page
    assert ADMIN_PASSWORD not in page
    resource.refresh_from_db()
    assert resource.port != other_port
    assert AuditEvent.objects.get(action="resource.address_checked").details["is_same"] is False


def test_a_server_that_does_not_answer_proves_nothing(client_for: ClientFor, dave: User, resource: Resource) -> None:
    response = edit(client_for(dave), resource, port=str(free_port()), **SAME)
    assert "cannot be told. Nothing listens" in response.context["form"].errors["is_same_server"][0]


@pytest.mark.parametrize("is_same", [True, False])
def test_a_grant_that_is_not_applied_yet_is_compared_with_the_present_address(
    client_for: ClientFor, dave: User, facts: dict[str, Any], other_port: int, is_same: bool
) -> None:
    resource = make_resource(name="shop", **facts)
    make_grant("queued", endpoint=make_endpoint(resource=resource))
    change = {"host": "127.0.0.1"} if is_same else {"port": str(other_port)}
    assert edit(client_for(dave), resource, **change, **SAME).status_code == (302 if is_same else 200)
    resource.refresh_from_db()
    assert (resource.host == "127.0.0.1") == is_same
    assert resource.port != other_port


def test_a_promise_is_not_looked_into_when_no_address_changes(
    client_for: ClientFor, dave: User, resource: Resource
) -> None:
    Resource.objects.filter(pk=resource.pk).update(port=free_port())
    resource.refresh_from_db()
    assert edit(client_for(dave), resource, description="new", is_same_server="on").status_code == 302


def test_a_standby_and_its_primary_are_one_server(
    client_for: ClientFor, dave: User, resource: Resource, facts: dict[str, Any], other_port: int
) -> None:
    other = make_resource(name="other", **{**facts, "port": other_port})
    same = make_resource(name="same", **{**facts, "host": "127.0.0.1"})
    refused = edit(client_for(dave), resource, primary=str(other.pk), **SAME)
    assert "It is another server" in refused.context["form"].errors["is_same_server"][0]
    assert edit(client_for(dave), resource, primary=str(same.pk), **SAME).status_code == 302


def test_another_database_is_never_the_same_place(client_for: ClientFor, dave: User, resource: Resource) -> None:
    response = edit(client_for(dave), resource, database_name="postgres", **SAME)
    assert response.status_code == 422
    assert "another database" in response.content.decode()


def test_an_address_out_of_the_secret_moves_with_the_secret(client_for: ClientFor, dave: User) -> None:
    aws = {"use_aws_secrets": True, "aws_region": "us-east-1", "aws_secret_name": "pg", "password": ""}
    resource = make_resource(host="", database_name="", username="", **aws)
    make_grant(endpoint=make_endpoint(resource=resource))
    sent = {"use_aws_secrets": "on", "aws_region": "us-east-1", "aws_secret_name": "pg"}
    assert edit(client_for(dave), resource, **sent, description="new").status_code == 302
    response = edit(client_for(dave), resource, **{**sent, "aws_secret_name": "another"})
    assert response.status_code == 422
    assert "What would change: aws_secret_name." in response.content.decode()


def test_nobody_is_asked_on_a_resource_without_live_grants(client_for: ClientFor, dave: User) -> None:
    resource = make_resource(host="db1.internal")
    make_grant("ended", endpoint=make_endpoint(resource=resource))
    page = client_for(dave).get(reverse("accessmgmt:resource-edit", args=[resource.pk])).content.decode()
    assert "is_same_server" not in page
    assert edit(client_for(dave), resource, host="db2.internal", password=ADMIN_PASSWORD).status_code == 302
