"""A portal that only observes changes nothing on any server, by whatever entry it comes there."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from django.utils import timezone

from accessmgmt import tasks
from accessmgmt.domain.looks import LookKind, LookState
from accessmgmt.domain.states import EndReason, GrantState
from accessmgmt.domain.targets import RungState
from accessmgmt.models import DriftCheck, Grant, Installation, Resource, TargetLook, User
from accessmgmt.provisioning.connect.admin import close_pools
from accessmgmt.selectors.oversight.drift import findings_of
from accessmgmt.services.grants import apply, endings, late_endings
from accessmgmt.services.installation import database_identity
from accessmgmt.services.targets import connection_test, drift, looks
from devstack.certs import CertificateAuthority
from devstack.postgres import PostgresServer
from tests import factories
from tests.targets import make_target, portal_roles

pytestmark = pytest.mark.django_db(transaction=True)
NO_TARGET = {"sweep", "default"}
ANOTHER = "7000000000000000000/16384/00000001"


@pytest.fixture
def server(servers_directory: Path, certificate_authority: CertificateAuthority) -> Iterator[PostgresServer]:
    """A server that nobody else writes on: whatever is written there was written by the portal."""
    made = PostgresServer(
        18,
        servers_directory / f"observed-{secrets.token_hex(4)}",
        tls=certificate_authority.server(),
        settings={"autovacuum": "off"},
        durable=False,
    ).start()
    yield made
    close_pools()
    made.destroy()


@pytest.fixture
def grants(server: PostgresServer) -> dict[str, Grant]:
    """A resource where everything is to be done: to give, to end, to share, to repair, to drop, to end late."""
    fields: dict[str, Any] = make_target(server)
    resource = factories.make_resource(**fields, is_drift_repaired=True)
    endpoint = factories.make_endpoint(resource=resource)
    made = {name: factories.make_grant("queued", endpoint=endpoint) for name in ("active", "ending", "over")}
    for grant in made.values():
        assert apply.apply_waiting_grant(grant.pk) == GrantState.ACTIVE
    other = {"grants": ["INSERT"], "schemas": ["public"], "tables": ["*"]}
    unused = factories.make_endpoint(
        resource=resource, authorization=factories.make_authorization(permissions=other), name="unused"
    )
    dropped = factories.make_grant("queued", endpoint=unused)
    assert apply.apply_waiting_grant(dropped.pk) == GrantState.ACTIVE
    end = {"end_reason": EndReason.REVOKED, "end_requested_at": timezone.now()}
    for grant in (made["ending"], dropped):
        Grant.objects.filter(pk=grant.pk).update(state=GrantState.ENDING, **end)
    assert endings.end_grant(dropped.pk) == GrantState.ENDED
    Grant.objects.filter(pk=dropped.pk).update(ended_at=timezone.now() - timedelta(days=90))
    over = {"ended_at": timezone.now(), "end_receipt": factories.END_RECEIPT, "password": ""}
    Grant.objects.filter(pk=made["over"].pk).update(state=GrantState.ENDED, **end, **over)
    made["queued"] = factories.make_grant("queued", endpoint=endpoint)
    with server.connect(resource.database_name) as dba:
        dba.execute("CREATE TABLE public.came_later (id int)")
        dba.execute("ALTER TABLE public.came_later OWNER TO app_owner")
        dba.execute(f'ALTER ROLE "{made["active"].role_name}" CREATEDB')
    return made


def written(server: PostgresServer) -> int:
    """Return the next transaction id: it grows with each transaction that writes, even one that is rolled back."""
    with server.connect() as conn:
        row = conn.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint").fetchone()
    assert row is not None
    return int(row[0])


def looks_at(resource: Resource, admin: User) -> dict[str, Callable[[], TargetLook]]:
    """Return every kind of look that an admin may ask for."""
    moved = Resource.objects.get(pk=resource.pk)
    moved.host = "127.0.0.1"

    def repair() -> TargetLook:
        keys = [finding.key for finding in findings_of(DriftCheck.objects.get(resource=resource))]
        assert keys, "there is something to repair"
        return looks.ask_for_repair(actor=admin, resource=resource, keys=keys)

    return {
        LookKind.CONNECTION: lambda: looks.ask_for_test(actor=admin, resource=resource),
        LookKind.UNSAVED: lambda: looks.ask_for_unsaved_test(actor=admin, resource=resource),
        LookKind.DRIFT: lambda: looks.ask_for_check(actor=admin, resource=resource),
        LookKind.REPAIR: repair,
        LookKind.MOVE: lambda: looks.ask_for_move(actor=admin, resource=moved),
    }


def entries(grants: dict[str, Grant], admin: User) -> list[tuple[str, Callable[[], object]]]:
    """Return every task by which the portal comes to a server, in each way in which it does."""
    resource = Resource.objects.get(pk=grants["active"].resource_id)
    pk = str(resource.pk)

    def look(ask: Callable[[], TargetLook]) -> object:
        tasks.look_at_target(str(ask().pk))
        found = TargetLook.objects.order_by("-asked_at")[0]
        assert not found.is_live
        assert (found.state == LookState.FAILED) == (found.kind == LookKind.REPAIR), found.error
        assert found.kind != LookKind.REPAIR or "only observes" in found.error["what"]
        return found

    return [
        ("apply_grant", lambda: tasks.apply_grant(str(grants["queued"].pk))),
        ("end_grants_of", lambda: tasks.end_grants_of(pk)),
        ("help_end_grants_of", lambda: tasks.help_end_grants_of(pk)),
        ("keep_ways_open", tasks.keep_ways_open),
        ("resync_resource", lambda: tasks.resync_resource(pk)),
        ("check_drift", lambda: tasks.check_drift(pk)),
        *(("look_at_target", partial(look, ask)) for ask in looks_at(resource, admin).values()),
    ]


def test_every_task_that_speaks_to_a_target_and_every_kind_of_look_is_entered(
    grants: dict[str, Grant], dave: User
) -> None:
    """A new one has to be added to the entries, or this fails."""
    of_targets = {name for name, route in current_app.conf.task_routes.items() if route["queue"] not in NO_TARGET}
    assert {f"accessmgmt.tasks.{name}" for name, _ in entries(grants, dave)} == of_targets
    assert set(looks_at(grants["active"].resource, dave)) == set(LookKind)


def observe(identity: str) -> None:
    """Remember another database than this one, as a restored backup does; nothing has looked at it yet."""
    Installation.objects.update_or_create(id=1, defaults={"database_identity": identity, "observing_since": None})


def test_an_observing_portal_writes_nothing_on_a_server(
    server: PostgresServer, grants: dict[str, Grant], dave: User
) -> None:
    observe(ANOTHER)
    before, roles = written(server), portal_roles(server)
    for _ in range(2):  # before the sweep has noticed, and after
        for name, enter in entries(grants, dave):
            enter()
            assert written(server) == before, f"{name} wrote"
        assert endings.end_grant(grants["ending"].pk) == "observing"
        tasks.sweep()
    assert portal_roles(server) == roles
    assert Installation.objects.get().observing_since is not None, "the sweep has looked at it"


def test_the_same_entries_write_when_the_portal_acts(
    server: PostgresServer, grants: dict[str, Grant], dave: User
) -> None:
    """What is to be done is there to be done: each kind of entry writes, where the other test says that none does."""
    observe(database_identity())
    resource = grants["active"].resource
    acts: dict[str, Callable[[], object]] = {
        "share new tables": lambda: drift.resync_resource(resource.pk),
        "apply": lambda: apply.apply_waiting_grant(grants["queued"].pk),
        "end one": lambda: endings.end_grant(grants["ending"].pk),
        "end late": lambda: late_endings.end_what_is_left(resource) or drift.check_resource(resource.pk),
        "test the connection": lambda: connection_test.test_connection(actor=dave, resource=resource),
    }
    for name, act in acts.items():
        before = written(server)
        act()
        assert written(server) > before, f"{name} wrote nothing"
    assert grants["over"].role_name not in portal_roles(server)


def test_a_connection_test_says_what_it_did_not_try(
    server: PostgresServer, grants: dict[str, Grant], dave: User
) -> None:
    observe(ANOTHER)
    rungs = {
        rung.name: rung for rung in connection_test.test_connection(actor=dave, resource=grants["active"].resource)
    }
    assert [rungs[name].state for name in ("Rehearsal", "Sign-in of a person", "End of it")] == [RungState.SKIPPED] * 3
    assert "only observes" in rungs["Rehearsal"].detail
    assert rungs["Connections"].state is not RungState.SKIPPED
