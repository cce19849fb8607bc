"""The audit list: who reads it, how it is narrowed, what it says."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accessmgmt.domain.actions import Action, ObjectType
from accessmgmt.models import AuditEvent
from accessmgmt.services.audit.seal import seal_events
from accessmgmt.views import paging

LIST = reverse("accessmgmt:audit-list")
NOON = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)
OTHER_SLOT = 1_000  # the site itself numbers the events of lesser ones


def make_event(action: str = "resource.updated", **fields: Any) -> AuditEvent:
    values = {
        "at": NOON,
        "actor_id": 7,
        "actor_email": "dave@company.com",
        "action": action,
        "object_type": action.partition(".")[0],
        "object_id": "1",
        "object_name": "postgres-production",
        "details": {},
    }
    number = AuditEvent.objects.count() + 1
    return AuditEvent.objects.create(slot=OTHER_SLOT, number=number, **{**values, **fields})


def test_it_says_that_nothing_has_happened(client_for, erin):
    assert "Nothing has happened yet" in client_for(erin).get(LIST).content.decode()


def test_events_stand_newest_first_and_can_be_narrowed(client_for, erin):
    first = make_event(object_id="1")
    second = make_event("grant.expired", actor_id=0, actor_email="portal", at=NOON + timedelta(days=1))
    third = make_event("group.wired", actor_email="erin@company.com", at=NOON + timedelta(days=2))
    client = client_for(erin)

    def found(query: str) -> list[int]:
        lines = client.get(LIST + query).context["lines"]
        return [line.event.pk for line in lines if line.event.slot == OTHER_SLOT]  # reading is recorded as well

    assert found("") == [third.pk, second.pk, first.pk]
    assert found("?person=ERIN") == [third.pk]
    assert found("?object_type=grant") == [second.pk]
    assert found("?object_type=resource&object_id=1") == [first.pk]
    assert found("?object_type=resource&object_id=2") == []
    assert found("?action=gr") == [third.pk, second.pk]
    assert found("?from=2026-03-15") == [third.pk, second.pk]
    assert found("?to=2026-03-15") == [second.pk, first.pk]
    assert found("?from=2026-03-15&to=2026-03-15") == [second.pk]
    assert found("?from=yesterday&to=9999-12-31&object_type=<x>&page=abc&person=%00") == [third.pk, second.pk, first.pk]


def test_days_are_those_of_the_viewer(client_for, erin):
    erin.time_zone = "Asia/Tokyo"
    erin.save(update_fields=["time_zone"])
    make_event(at=datetime(2026, 3, 14, 16, 0, tzinfo=UTC))  # the 15th in Tokyo
    client = client_for(erin)
    assert not client.get(LIST + "?to=2026-03-14").context["lines"]
    assert len(client.get(LIST + "?from=2026-03-15&to=2026-03-15").context["lines"]) == 1


def test_details_are_readable(client_for, erin):
    make_event(
        details={
            "before": {
                "name": "same",
                "port": 5432,
                "primary_id": None,
                "use_aws_secrets": False,
                "tls_root_cert": "x" * 2000,
            },
            "after": {"name": "same", "port": 6432, "primary_id": 3, "use_aws_secrets": True, "tls_root_cert": ""},
        }
    )
    make_event("resource.created", details={"before": {}, "after": {"name": "x", "host": ""}})
    make_event("group.members_added", details={"members": ["a@company.com", "b@company.com"]})
    make_event("endpoint.approvers_set", details={"before": [], "after": ["lead@company.com"]})
    make_event("grant.applied", details={"rungs": {"port": "passed"}, "deep": [{"x": [1]}]})
    page = client_for(erin).get(LIST)
    grant, approvers, members, created, updated = page.context["lines"]
    assert updated.changes[2].before.endswith("(2000 characters)")
    assert [(c.name, c.before, c.after) for c in updated.changes if c.name != "tls root cert"] == [
        ("port", "5432", "6432"),
        ("primary", "—", "3"),
        ("use aws secrets", "no", "yes"),
    ]
    assert [(c.name, c.before, c.after) for c in approvers.changes] == [("approvers changed", "—", "lead@company.com")]
    assert (created.has_before, [(c.name, c.after) for c in created.changes]) == (False, [("name", "x")])
    assert members.facts == (("members", "a@company.com, b@company.com"),)
    assert grant.facts == (("deep", '[{"x": [1]}]'), ("rungs", "port: passed"))
    text = page.content.decode()
    assert "4 fields" in text
    assert "a@company.com, b@company.com" in text


def test_an_event_is_told_in_words_and_what_is_grave_stands_out(client_for, erin):
    make_event("grant.released")
    make_event("request.made", object_type="accessrequest")
    make_event("installation.observing")
    make_event("grant.failed")
    make_event("cable.pulled_out", object_type="cable")
    page = client_for(erin).get(LIST)
    told = {f"{line.object_words} {line.words}": line.tone for line in page.context["lines"]}
    assert told == {
        "grant released by its person": "",
        "request made": "",
        "installation only observes from now on": "red",
        "grant refused by the server": "amber",
        "cable pulled out": "",  # recorded by a portal of another age
    }
    text = page.content.decode()
    assert '<span class="cell-main tone-red">Installation only observes' in text
    assert '<span class="cell-main">Grant released by its person</span>' in text


def test_every_action_and_every_kind_of_thing_can_be_chosen(client_for, erin):
    page = client_for(erin).get(LIST)
    options = re.findall(r'<option value="([a-z_.]*)"', page.content.decode())
    assert {action.value for action in Action} <= set(options)
    assert {kind.value for kind in ObjectType} <= set(options)
    assert "request." in options
    event = make_event("installation.confirmed")
    lines = client_for(erin).get(LIST, {"object_type": "installation"}).context["lines"]
    assert [line.event.pk for line in lines] == [event.pk]


def test_what_people_wrote_is_escaped(client_for, erin):
    make_event(object_name="<script>alert(1)</script>", details={"after": {"name": "<img src=x>"}})
    page = client_for(erin).get(LIST).content.decode()
    assert "<script>alert" not in page
    assert "<img src=x>" not in page


def test_sealed_events_are_marked(client_for, erin):
    make_event()
    assert "waiting" in client_for(erin).get(LIST).content.decode()
    seal_events()
    page = client_for(erin).get(LIST).content.decode()
    assert "Sealed: " in page
    assert "waiting" not in page


def test_pages_have_50_events_and_the_queries_do_not_grow(client_for, erin):
    client = client_for(erin)
    make_event()
    client.get(LIST)  # the first look within an hour is recorded
    with CaptureQueriesContext(connection) as few:
        client.get(LIST)
    for _ in range(60):
        make_event()
    seal_events()
    with CaptureQueriesContext(connection) as many:
        page = client.get(LIST).context["page"]
    assert len(many) == len(few)
    assert (len(page), page.paginator.num_pages) == (50, 2)
    assert "action=group" in client.get(LIST + "?action=group&page=2").request["QUERY_STRING"]


def test_a_very_long_trail_is_counted_only_so_far(client_for, erin, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(paging, "MOST_COUNTED", 60)
    for _ in range(70):
        make_event()
    page = client_for(erin).get(LIST)
    assert page.context["page"].paginator.count == 60
    assert "These are the newest 60" in page.content.decode()


def test_htmx_gets_the_rows_alone(client_for, erin):
    make_event()
    page = client_for(erin).get(LIST, HTTP_HX_REQUEST="true").content.decode()
    assert page.strip().startswith('<div class="card" id="rows">')
