"""The page of a look: who may see it, where it leads, and that it says when nobody takes it up."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accessmgmt.domain.looks import LookKind, LookState
from accessmgmt.domain.targets import Rung, RungState
from accessmgmt.models import Resource, TargetLook, User
from accessmgmt.selectors.oversight import looks as selectors
from tests.factories import make_resource, make_user

HTMX = {"HX-Request": "true"}
ERROR = {"what": "No answer.", "why": "<b>Nobody</b> listens.", "todo": "Look.", "fields": {}}


def make_look(kind: LookKind, asked_by: User, resource: Resource | None, **fields: object) -> TargetLook:
    over = {"finished_at": timezone.now()} if fields.get("state") in {LookState.DONE, LookState.FAILED} else {}
    return TargetLook.objects.create(kind=kind, asked_by=asked_by, resource=resource, **{**over, **fields})


def urls_of(look: TargetLook) -> list[str]:
    return [reverse(f"accessmgmt:{name}", args=[look.pk]) for name in ("look", "look-progress")]


def test_members_see_none_auditors_read_and_a_form_is_its_asker_s_own(client, client_for, alice, dave, erin):
    stored = make_look(LookKind.MOVE, dave, make_resource())
    unsaved = make_look(LookKind.UNSAVED, dave, None)
    other = make_user(role=User.Role.ADMIN)
    for url in urls_of(stored):
        assert client.get(url).status_code == 302
        assert client_for(alice).get(url).status_code == 403
        assert [client_for(person).get(url).status_code for person in (erin, dave, other)] == [200] * 3
        assert client_for(dave).post(url).status_code == 405
    for url in urls_of(unsaved):
        assert client_for(dave).get(url).status_code == 200
        assert {client_for(person).get(url).status_code for person in (erin, other)} == {404}
    for name in ("look", "look-progress"):
        assert client_for(dave).get(reverse(f"accessmgmt:{name}", args=[uuid.uuid4()])).status_code == 404


@pytest.mark.parametrize("state", [LookState.QUEUED, LookState.DONE, LookState.FAILED])
def test_a_look_leads_to_the_page_that_keeps_its_result(client_for, dave, erin, state):
    resource = make_resource()

    def leads_to(kind: LookKind, person: User = dave) -> str:
        look = make_look(kind, dave, resource, state=state, error=ERROR, result={"name": "shop"})
        location = client_for(person).get(urls_of(look)[0]).get("Location", "")
        look.delete()
        return location

    detail, drift = (reverse(f"accessmgmt:resource-{name}", args=[resource.pk]) for name in ("detail", "drift"))
    assert leads_to(LookKind.CONNECTION) == detail
    assert leads_to(LookKind.DRIFT) == leads_to(LookKind.REPAIR) == drift
    edit = reverse("accessmgmt:resource-edit", args=[resource.pk])
    moved = leads_to(LookKind.MOVE)
    assert moved.partition("?")[0] == {LookState.QUEUED: "", LookState.DONE: detail, LookState.FAILED: edit}[state]
    assert leads_to(LookKind.MOVE, erin) == ("" if state == LookState.QUEUED else detail), "who may not edit reads"


def test_the_form_of_a_refused_move_is_its_asker_s_own_and_has_no_secret(client_for, dave):
    resource = make_resource(host="db1.internal")
    order = {"name": "shop", "host": "db2.internal", "port": 5432, "database_name": "d", "username": "u"}
    look = make_look(LookKind.MOVE, dave, resource, state=LookState.FAILED, order=order, error=ERROR)
    url = reverse("accessmgmt:resource-edit", args=[resource.pk])
    page = client_for(dave).get(f"{url}?look={look.pk}").content.decode()
    assert "No answer. &lt;b&gt;Nobody&lt;/b&gt; listens. Look." in page
    assert 'value="db2.internal"' in page
    assert "the-admin-password" not in page
    other = make_user(role=User.Role.ADMIN)
    for person, wanted in ((other, look.pk), (dave, uuid.uuid4()), (dave, "x" * 5_000), (dave, "\x00")):
        answer = client_for(person).get(url, {"look": str(wanted)})
        assert answer.status_code == 200
        assert "db2.internal" not in answer.content.decode()


def test_one_at_whom_nobody_is_says_so_after_a_while(client_for, dave):
    resource = make_resource()
    look = make_look(LookKind.CONNECTION, dave, resource)
    words = "No worker has taken this up yet"
    page = reverse("accessmgmt:resource-detail", args=[resource.pk])
    for url in (page, urls_of(look)[1]):
        assert words not in client_for(dave).get(url).content.decode()
    waited = timedelta(seconds=selectors.IGNORED_SECONDS + 1)
    TargetLook.objects.update(asked_at=timezone.now() - waited)
    for url in (page, urls_of(look)[1]):
        assert words in client_for(dave).get(url).content.decode()
    leased = {"lease_token": uuid.uuid4(), "deadline_at": timezone.now()}
    TargetLook.objects.update(state=LookState.RUNNING, **leased)
    assert words not in client_for(dave).get(page).content.decode()


def test_what_a_server_says_is_text(client_for, dave):
    rung = Rung("Port", RungState.FAILED, "<i>it says</i>", fix="<script>alert(1)</script>")
    look = make_look(LookKind.CONNECTION, dave, make_resource(), rungs=[rung.as_json()], state=LookState.FAILED)
    look.error = ERROR
    look.save()
    text = client_for(dave).get(urls_of(look)[1]).content.decode()
    assert "&lt;i&gt;it says" in text
    assert "&lt;script&gt;alert(1)" in text
    assert "<b>Nobody" not in text


def test_progress_costs_a_few_queries_whatever_was_found(client_for, dave):
    client = client_for(dave)
    counts = []
    for number in (1, 16):
        rungs = [Rung(f"Rung {n}", RungState.PASSED, "Fine.").as_json() for n in range(number)]
        look = make_look(LookKind.CONNECTION, dave, make_resource(), rungs=rungs)
        with CaptureQueriesContext(connection) as queries:
            assert client.get(urls_of(look)[1], headers=HTMX).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 4
