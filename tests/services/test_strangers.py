"""Roles with our signed tag that nobody knows pause giving on their resource, and stop no ending anywhere."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone
from psycopg import sql

from accessmgmt.domain.drift import DriftKind
from accessmgmt.domain.errors import ConflictError, ForbiddenError
from accessmgmt.domain.states import EndReason, GrantState
from accessmgmt.models import AuditEvent, DriftCheck, Grant, Resource, User
from accessmgmt.models.installation import this_installation
from accessmgmt.selectors.oversight.drift import findings_of
from accessmgmt.services import installation
from accessmgmt.services.grants import apply, endings
from accessmgmt.services.grants.activate import activate_endpoint
from accessmgmt.services.setup.resources import save_resource
from accessmgmt.services.targets import drift, strangers
from devstack.postgres import PostgresServer
from tests import factories
from tests.targets import make_target, portal_roles

pytestmark = pytest.mark.django_db(transaction=True)
STRANGER, SECOND = "jit_mallory_0123456789", "jit_mallory_9876543210"


@pytest.fixture
def server(target_server: Callable[[int], PostgresServer]) -> PostgresServer:
    return target_server(18)


@pytest.fixture
def grants(server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> list[Grant]:
    """Two active grants on a resource of an installation of their own: the server is shared by many tests."""
    monkeypatch.setattr(settings, "PORTAL_INSTALLATION_ID", secrets.token_hex(6))
    fields: dict[str, Any] = make_target(server)
    endpoint = factories.make_endpoint(resource=factories.make_resource(**fields, is_drift_repaired=True))
    made = [factories.make_grant("queued", endpoint=endpoint) for _ in range(2)]
    for grant in made:
        assert apply.apply_waiting_grant(grant.pk) == GrantState.ACTIVE
    return made


@pytest.fixture
def _no_strangers_left(server: PostgresServer) -> Any:
    yield
    with server.connect() as conn:
        for name in (STRANGER, SECOND):
            conn.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))


def make_role(server: PostgresServer, name: str, comment: str) -> None:
    """Make a login role with a comment, as whoever has CREATEROLE can."""
    with server.connect() as conn:
        conn.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
        conn.execute(sql.SQL("COMMENT ON ROLE {} IS {}").format(sql.Identifier(name), sql.Literal(comment)))


def signed(name: str) -> str:
    """Return the tag that a portal with our key writes for a grant that this one never had."""
    return this_installation().tag("grant", str(uuid.uuid4()), name)


def forged(name: str) -> str:
    """Return what somebody writes who has read the comment of another role."""
    return f"{signed(name)[:-24]}{'0' * 24}"


def end(grant: Grant) -> GrantState:
    Grant.objects.filter(pk=grant.pk).update(
        state=GrantState.ENDING, end_reason=EndReason.REVOKED, end_requested_at=timezone.now()
    )
    assert endings.end_grants_of(grant.resource_id) == 1
    grant.refresh_from_db()
    return GrantState(grant.state)


@pytest.mark.usefixtures("_no_strangers_left")
def test_a_role_that_nobody_knows_pauses_giving_there_and_no_ending(
    server: PostgresServer, grants: list[Grant], dave: User, alice: User
) -> None:
    first, second = grants
    endpoint, resource = first.endpoint, Resource.objects.get(pk=first.resource_id)
    elsewhere = factories.make_grant(
        "queued", endpoint=factories.make_endpoint(resource=factories.make_resource(**make_target(server)))
    )
    queued = factories.make_grant("queued", endpoint=endpoint)
    factories.make_group(members=[alice], endpoints=[endpoint])
    make_role(server, STRANGER, signed(STRANGER))
    with server.connect() as dba:
        dba.execute(f'ALTER ROLE "{first.role_name}" CREATEDB')

    drift.check_resource(resource.pk)
    resource.refresh_from_db()
    assert (resource.strangers, resource.paused_since is not None) == ([STRANGER], True)
    assert AuditEvent.objects.get(action="resource.paused").details["roles"] == [STRANGER]
    with pytest.raises(ConflictError, match="gives no access"):
        activate_endpoint(actor=alice, endpoint=endpoint)
    assert apply.apply_waiting_grant(queued.pk) == GrantState.APPLYING
    queued.refresh_from_db()
    assert "gives no access" in queued.last_error["what"]
    assert drift.resync_resource(resource.pk) == "nothing to do"
    drift.check_resource(resource.pk)
    findings = findings_of(DriftCheck.objects.get(resource=resource))
    assert any("CREATEDB" in finding.what for finding in findings), "it was not repaired"
    with pytest.raises(ConflictError, match="gives no access"):
        drift.repair_now(actor=dave, resource=resource, keys=[finding.key for finding in findings])

    assert not installation.is_observing()
    assert end(first) == GrantState.ENDED
    assert apply.apply_waiting_grant(elsewhere.pk) == GrantState.ACTIVE
    assert end(elsewhere) == GrantState.ENDED
    assert STRANGER in portal_roles(server), "it is nobody's to touch"

    strangers.resume(actor=dave, resource=resource, roles=[STRANGER])
    drift.check_resource(resource.pk)
    resource.refresh_from_db()
    assert resource.paused_since is None, "what an admin has seen does not pause it again"
    assert apply.apply_waiting_grant(queued.pk) == GrantState.ACTIVE
    assert end(second) == GrantState.ENDED


@pytest.mark.usefixtures("_no_strangers_left")
def test_a_forged_tag_is_named_and_changes_nothing(server: PostgresServer, grants: list[Grant], alice: User) -> None:
    """The first one, and a second one after an admin has looked."""
    endpoint, resource = grants[0].endpoint, Resource.objects.get(pk=grants[0].resource_id)
    factories.make_group(members=[alice], endpoints=[endpoint])
    for name in (STRANGER, SECOND):
        make_role(server, name, forged(name))
        drift.check_resource(resource.pk)
        resource.refresh_from_db()
        assert (resource.strangers, resource.paused_since) == ([], None)
        named = {f.role for f in findings_of(DriftCheck.objects.get(resource=resource)) if f.kind is DriftKind.FOREIGN}
        assert name in named
    assert not installation.is_observing()
    assert apply.apply_waiting_grant(activate_endpoint(actor=alice, endpoint=endpoint).pk) == GrantState.ACTIVE
    for grant in grants:
        assert end(grant) == GrantState.ENDED
    assert {STRANGER, SECOND} <= portal_roles(server), "a role of others is not touched"


def test_the_role_of_a_grant_that_is_over_is_known(grants: list[Grant]) -> None:
    """It may come back with a server that was away, and is ended again."""
    first, _ = grants
    over = {"ended_at": timezone.now(), "end_receipt": factories.END_RECEIPT, "password": ""}
    reason = {"end_reason": EndReason.REVOKED, "end_requested_at": timezone.now()}
    Grant.objects.filter(pk=first.pk).update(state=GrantState.ENDED, **reason, **over)
    drift.check_resource(first.resource_id)
    assert not strangers.is_paused(first.resource_id)


def test_an_admin_is_shown_what_pauses_it_and_accepts_just_that(
    dave: User, alice: User, erin: User, client_for: Callable[[User], Client]
) -> None:
    resource = factories.make_resource(paused_since=timezone.now(), strangers=[STRANGER])
    page = f"/resources/{resource.pk}"
    assert STRANGER in client_for(erin).get(page).content.decode()
    assert "give access again" not in client_for(erin).get(page).content.decode()
    assert resource.name in client_for(dave).get("/installation").content.decode()
    assert client_for(erin).post(f"{page}/resume", {"role": STRANGER}).status_code == 403
    with pytest.raises(ForbiddenError):
        strangers.resume(actor=alice, resource=resource, roles=[STRANGER])
    Resource.objects.filter(pk=resource.pk).update(strangers=[STRANGER, SECOND])
    assert client_for(dave).post(f"{page}/resume", {"role": STRANGER}).status_code == 409, "another came meanwhile"
    assert "give access again" in client_for(dave).get(page).content.decode()
    assert client_for(dave).post(f"{page}/resume", {"role": [STRANGER, SECOND]}).status_code == 302
    resource.refresh_from_db()
    assert (resource.paused_since, resource.strangers) == (None, [])
    assert set(resource.accepted_strangers) == {STRANGER, SECOND}
    assert client_for(dave).post(f"{page}/resume").status_code == 409
    event = AuditEvent.objects.get(action="resource.resumed")
    assert (event.actor_email, event.details["count"]) == (dave.email, 2)


def test_a_form_that_is_saved_meanwhile_does_not_let_it_give_again(dave: User) -> None:
    resource = factories.make_resource()
    in_the_form = Resource.objects.get(pk=resource.pk)
    Resource.objects.filter(pk=resource.pk).update(paused_since=timezone.now(), strangers=[STRANGER])
    in_the_form.description = "changed"
    save_resource(actor=dave, resource=in_the_form)
    assert strangers.is_paused(resource.pk)
