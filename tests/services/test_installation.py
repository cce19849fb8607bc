"""A restored backup does no harm: the portal observes until an admin confirms."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accessmgmt.domain.errors import ConflictError, ForbiddenError, InvalidError
from accessmgmt.domain.states import GrantState
from accessmgmt.models import AuditEvent, DriftCheck, Endpoint, Grant, Installation, User
from accessmgmt.services import installation
from accessmgmt.services.grants import apply, endings, sweep
from accessmgmt.services.grants.activate import activate_endpoint
from tests import factories

pytestmark = pytest.mark.django_db
ANOTHER = "7000000000000000000/16384/00000001"


@pytest.fixture
def restored() -> Installation:
    """An installation whose database was another one when it last looked."""
    return Installation.objects.create(database_identity=ANOTHER)


def past() -> Any:
    return timezone.now() - timedelta(seconds=1)


def test_the_first_start_remembers_and_acts() -> None:
    due = factories.make_grant("active", expires_at=past())
    assert sweep.sweep() == 1
    due.refresh_from_db()
    assert due.state == GrantState.ENDING
    system, oid, timeline = Installation.objects.get().database_identity.split("/")
    assert system.isdigit()
    assert oid.isdigit()
    assert len(timeline) == 8
    assert sweep.sweep() == 0
    assert Installation.objects.get().observing_since is None


def test_what_cannot_be_read_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = installation.database_identity()
    monkeypatch.setattr(installation, "IDENTITY", (*installation.IDENTITY[:2], "no_such_function()"))
    assert installation.database_identity() == whole.rpartition("/")[0] + "/"


def test_in_another_database_nothing_is_done(restored: Installation, alice: User) -> None:
    endpoint: Endpoint = factories.make_endpoint()
    factories.make_group(members=[alice], endpoints=[endpoint])
    due = factories.make_grant("active", expires_at=past())
    ending = factories.make_grant("ending", next_attempt_at=past())
    queued = factories.make_grant("queued", next_attempt_at=past())
    # Before the first sweep, too: a stale message may be the first that a worker sees.
    assert apply.apply_waiting_grant(queued.pk) == "observing"
    assert endings.end_grant(ending.pk) == "observing"
    assert endings.end_grants_of(ending.resource_id) == 0
    with pytest.raises(ConflictError, match="only observes"):
        activate_endpoint(actor=alice, endpoint=endpoint)
    for _ in range(2):
        assert sweep.sweep() == 0
    states = [Grant.objects.get(pk=grant.pk).state for grant in (due, ending, queued)]
    assert states == [GrantState.ACTIVE, GrantState.ENDING, GrantState.QUEUED]
    assert not Grant.objects.filter(attempts__gt=0).exists()
    assert AuditEvent.objects.filter(action="installation.observing").count() == 1


def test_what_stands_on_a_server_never_makes_the_whole_portal_observe() -> None:
    """Who may make roles on one server would stop the endings on all of them."""
    assert sweep.sweep() == 0
    finding = {"kind": "orphan", "role": "jit_alice_0123456789"}
    DriftCheck.objects.create(
        resource=factories.make_resource(), checked_at=timezone.now(), took_ms=1, findings=[finding]
    )
    due = factories.make_grant("active", expires_at=past())
    assert sweep.sweep() == 1
    due.refresh_from_db()
    assert due.state == GrantState.ENDING
    assert not installation.is_observing()


def test_an_admin_confirms_with_a_word(restored: Installation, dave: User, alice: User) -> None:
    with pytest.raises(ConflictError):
        installation.confirm(actor=dave, word="resume")
    sweep.sweep()
    with pytest.raises(ForbiddenError):
        installation.confirm(actor=alice, word="resume")
    with pytest.raises(InvalidError):
        installation.confirm(actor=dave, word="yes")
    due = factories.make_grant("active", expires_at=past())
    installation.confirm(actor=dave, word=" Resume ")
    assert sweep.sweep() == 1
    due.refresh_from_db()
    assert due.state == GrantState.ENDING
    event = AuditEvent.objects.get(action="installation.confirmed")
    assert (event.actor_email, event.details["was"], event.details["to_end"]) == (dave.email, ANOTHER, 1)


def test_the_page_and_the_banner(
    restored: Installation, dave: User, alice: User, client_for: Callable[[User], Client]
) -> None:
    assert "only observes" not in client_for(alice).get("/").content.decode()
    sweep.sweep()
    assert "only observes" in client_for(alice).get("/").content.decode()
    admin = client_for(dave)
    page = admin.get("/installation").content.decode()
    assert "restored from a backup" in page
    assert admin.post("/installation", {"word": "no"}).status_code == 422
    assert admin.post("/installation", {"word": "resume"}).status_code == 302
    assert "The portal acts" in admin.get("/installation").content.decode()
