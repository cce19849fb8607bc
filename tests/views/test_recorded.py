"""What leaves an event although nothing was changed: refusals, reading the audit trail, downloads; never a flood."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from accessmgmt.models import AuditEvent, User
from accessmgmt.services.audit import refusals
from tests.factories import make_endpoint, make_grant, make_group, make_resource

ClientFor = Callable[[User], Client]
ADMIN_PAGES = ("/users/new", "/resources/new", "/terraform/", "/terraform/download.tf", "/installation")


def events(action: str) -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(action=action).order_by("id"))


def test_who_is_refused_a_page_is_recorded(client_for: ClientFor, carol: User) -> None:
    client = client_for(carol)
    for path in ADMIN_PAGES:
        assert client.get(path).status_code == 403
    assert client.post("/users/new", {"email": "x"}).status_code == 403
    found = events("user.refused")
    assert [event.details["path"] for event in found] == [*ADMIN_PAGES, "/users/new"]
    assert {event.actor_email for event in found} == {carol.email}
    last = found[-1].details
    assert (last["method"], last["status"], last["address"]) == ("POST", 403, "127.0.0.1")
    assert last["reason"] == "This page is for admins."


def test_who_is_refused_an_act_is_recorded(client_for: ClientFor, alice: User, dave: User) -> None:
    grant = make_grant(user=alice)
    assert client_for(dave).post(f"/grants/{grant.pk}/password").status_code == 403
    (event,) = events("user.refused")
    assert (event.actor_email, event.details["path"]) == (dave.email, f"/grants/{grant.pk}/password")


def test_too_many_activations_are_recorded(client_for: ClientFor, alice: User, settings: object) -> None:
    settings.PORTAL_GRANTS_A_PERSON_AND_ENDPOINT = 1  # type: ignore[attr-defined]
    endpoint = make_endpoint()
    make_group(members=[alice], endpoints=[endpoint])
    make_grant("ended", user=alice, endpoint=endpoint)
    assert client_for(alice).post(f"/endpoints/{endpoint.pk}/activate").status_code == 429
    assert [event.details["status"] for event in events("user.refused")] == [429]


def test_a_form_from_elsewhere_is_recorded(dave: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(dave)
    response = client.post("/users/new", {"email": "x"})
    assert (response.status_code, "too old" in response.content.decode()) == (403, True)
    (event,) = events("user.refused")
    assert "CSRF" in event.details["reason"]


@pytest.mark.django_db
def test_a_stranger_who_is_sent_to_the_log_in_leaves_nothing(client: Client) -> None:
    for path in ADMIN_PAGES:
        assert client.get(path).status_code == 302
    assert Client(enforce_csrf_checks=True).post("/users/new", {"email": "x"}).status_code == 403
    assert not AuditEvent.objects.exists()


def test_a_storm_of_refusals_leaves_a_few_events(client_for: ClientFor, carol: User, erin: User) -> None:
    client = client_for(carol)
    for number in range(130):
        assert client.get(f"/users/{number}/edit").status_code == 403
    times = [event.details.get("times", 1) for event in events("user.refused")]
    assert times == [1] * refusals.ONE_KIND.free + [16, 32, 64, 128]
    assert client_for(erin).get("/users/new").status_code == 403
    assert events("user.refused")[-1].actor_email == erin.email, "another person's storm hides nobody"


def test_reading_the_audit_trail_is_recorded_once_an_hour(client_for: ClientFor, erin: User) -> None:
    client = client_for(erin)
    for query in ("", "?page=2", "", "?person=alice", "?person=alice&page=7", "?action=grant.&from=2026-01-01"):
        assert client.get(f"/audit/{query}").status_code == 200
    assert client.head("/audit/?person=bob").status_code == 200
    assert [event.details for event in events("user.audit_read")] == [
        {},
        {"narrowed_to": {"person": "alice"}},
        {"narrowed_to": {"action": "grant.", "first_day": "2026-01-01"}},
    ]


def test_who_reads_without_end_fills_no_disk(client_for: ClientFor, erin: User) -> None:
    client = client_for(erin)
    for number in range(refusals.ALL_READINGS.free + 20):
        client.get(f"/audit/?person={number}")
    assert len(events("user.audit_read")) == refusals.ALL_READINGS.free + 1


def test_each_download_is_recorded(client_for: ClientFor, dave: User, alice: User) -> None:
    resource = make_resource(name="Prod DB", tls_root_cert="-----BEGIN CERTIFICATE-----")
    grant = make_grant(user=alice, endpoint=make_endpoint(resource=resource))
    client = client_for(dave)
    downloads = [
        ("/terraform/download.tf", "access-portal.tf", "all"),
        (f"/terraform/download.zip?scope=resource:{resource.pk}", "access-portal.zip", f"resource:{resource.pk}"),
        (f"/resources/{resource.pk}/pgbouncer?download=pgbouncer.ini", "pgbouncer.ini", "Prod DB"),
        (f"/grants/{grant.pk}/ca.pem", "prod-db-ca.pem", "Prod DB"),
    ]
    for url, _, _ in downloads:
        assert client.get(url).status_code == 200
        assert client.head(url).status_code == 200
    found = [(event.details["file"], event.details["of"]) for event in events("user.downloaded")]
    assert found == [(file, of) for _, file, of in downloads]
    assert client.get(f"/resources/{resource.pk}/pgbouncer?download=nothing").status_code == 404
    assert len(events("user.downloaded")) == len(downloads)
