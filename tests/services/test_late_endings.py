"""A server that was out of reach when grants ended is looked at when it is back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from accessmgmt.domain.actions import Action
from accessmgmt.domain.states import EndReason, GrantState
from accessmgmt.models import AuditEvent, DriftCheck, Endpoint, Grant
from accessmgmt.provisioning.connect import primary
from accessmgmt.provisioning.connect.admin import close_pools
from accessmgmt.services.grants import apply, endings
from accessmgmt.services.grants.stop import begin_end
from accessmgmt.services.targets import drift
from devstack.certs import CertificateAuthority
from devstack.postgres import PostgresServer
from devstack.stack import wait_for_replay
from tests import factories
from tests.targets import make_target

pytestmark = pytest.mark.django_db(transaction=True)
LET_IN = "hostssl all,replication all 127.0.0.0/8 scram-sha-256"
LEFT_OVER_ENDED = "resource.left_over_ended"


@dataclass
class Cluster:
    """A primary and a standby of one port on two addresses, and the fields of a resource on the primary."""

    first: PostgresServer
    second: PostgresServer
    facts: dict[str, Any]

    def log_in(self, server: PostgresServer, grant: Grant) -> psycopg.Connection:
        return server.connect(self.facts["database_name"], grant.role_name, grant.password)


@pytest.fixture
def cluster(servers_directory: Path, certificate_authority: CertificateAuthority) -> Iterator[Cluster]:
    first = PostgresServer(
        18, servers_directory / "late-a", tls=certificate_authority.server(["127.0.0.1"]), durable=False
    ).start()
    facts = make_target(first)
    second = first.create_standby(
        servers_directory / "late-b",
        tls=certificate_authority.server(["127.0.0.2"]),
        port=first.port,
        listen="127.0.0.2",
    ).start()
    wait_for_replay(first, second)
    yield Cluster(first, second, {**facts, "host": "127.0.0.1"})
    close_pools()
    second.destroy()
    first.destroy()


def part(server: PostgresServer, login: str) -> None:
    """Let the portal in no more; people and replication come through as before."""
    server.hba = [f"hostssl all {login} all reject", LET_IN]
    server.reload()
    close_pools()


def join(server: PostgresServer) -> None:
    """Let everybody in again."""
    server.hba = [LET_IN]
    server.reload()
    close_pools()


def active(endpoint: Endpoint) -> Grant:
    grant = factories.make_grant("queued", endpoint=endpoint)
    assert apply.apply_waiting_grant(grant.pk) == GrantState.ACTIVE
    grant.refresh_from_db()
    return grant


def end(grant: Grant) -> None:
    begin_end(actor=None, grant_id=grant.pk, reason=EndReason.REVOKED, action=Action.GRANT_REVOKED)
    assert endings.end_grant(grant.pk) == GrantState.ENDED


def notes_of(grant: Grant) -> list[str]:
    receipt = Grant.objects.get(pk=grant.pk).end_receipt
    assert receipt is not None
    return list(receipt["notes"])


def unseen_by(grant: Grant) -> list[str]:
    """Return the servers that had not answered when the grant ended, and have not been looked at since."""
    receipt = Grant.objects.get(pk=grant.pk).end_receipt
    assert receipt is not None
    return [unseen["host"] for unseen in receipt["unseen_hosts"]]


def is_alive(user: psycopg.Connection) -> bool:
    try:
        return user.execute("SELECT 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


def test_a_session_on_a_host_that_was_parted_is_ended_when_it_is_back(cluster: Cluster) -> None:
    resource = factories.make_resource(**{**cluster.facts, "host": "127.0.0.1,127.0.0.2"})
    endpoint = factories.make_endpoint(resource=resource)
    grant = active(endpoint)
    wait_for_replay(cluster.first, cluster.second)
    user = cluster.log_in(cluster.second, grant)
    part(cluster.second, resource.username)

    end(grant)
    assert unseen_by(grant) == ["127.0.0.2"]
    assert drift.check_resource(resource.pk) == "0 differences"
    assert is_alive(user), "nobody could reach it"
    assert unseen_by(grant) == ["127.0.0.2"]

    wait_for_replay(cluster.first, cluster.second)
    join(cluster.second)
    assert drift.check_resource(resource.pk) == "0 differences"
    assert not is_alive(user)
    assert unseen_by(grant) == []
    (note,) = notes_of(grant)
    assert note.startswith("127.0.0.2 did not answer when the grant ended. It was looked at on")
    assert "1 sessions were ended there" in note
    event = AuditEvent.objects.get(action=LEFT_OVER_ENDED)
    assert (event.details["server"], event.details["roles"]) == ("127.0.0.2", [grant.role_name])
    assert (event.details["sessions_cut"], event.details["not_proved"]) == (1, [])
    assert drift.check_resource(resource.pk) == "0 differences"
    assert AuditEvent.objects.filter(action=LEFT_OVER_ENDED).count() == 1


def test_a_standby_that_has_not_replayed_the_end_is_looked_at_again(cluster: Cluster) -> None:
    """Until it has dropped the role somebody may come back: the note stays."""
    resource = factories.make_resource(**{**cluster.facts, "host": "127.0.0.1,127.0.0.2"})
    grant = active(factories.make_endpoint(resource=resource))
    wait_for_replay(cluster.first, cluster.second)
    cluster.second.execute("SELECT pg_wal_replay_pause()")
    part(cluster.second, resource.username)
    end(grant)
    cluster.second.hba = [LET_IN]
    cluster.second.reload()
    close_pools()
    user = cluster.log_in(cluster.second, grant)
    drift.check_resource(resource.pk)
    assert not is_alive(user)
    assert unseen_by(grant) == ["127.0.0.2"]
    assert AuditEvent.objects.get(action=LEFT_OVER_ENDED).details["not_proved"] == [grant.role_name]
    cluster.second.execute("SELECT pg_wal_replay_resume()")
    wait_for_replay(cluster.first, cluster.second)
    drift.check_resource(resource.pk)
    assert unseen_by(grant) == []


def test_an_old_primary_that_comes_back_and_takes_changes(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The login stands there as it was when the server went down: it is ended, and the admin is told why."""
    monkeypatch.setattr(primary, "KEPT_SECONDS", 0.0)
    main = factories.make_resource(**cluster.facts)
    resource = factories.make_resource(**{**cluster.facts, "host": "127.0.0.2"}, primary=main)
    grant = active(factories.make_endpoint(resource=resource))
    cluster.first.kill()
    cluster.second.execute("SELECT pg_promote()")
    end(grant)
    assert unseen_by(grant) == ["127.0.0.1"]
    drift.check_resource(resource.pk)
    error = DriftCheck.objects.get(resource=resource).error
    assert f"links “{main.name}” as its primary, and that is out of date" in error["what"]
    assert drift.resync_resource(resource.pk) == "in order"
    assert DriftCheck.objects.get(resource=resource).error == error, "an outdated link is told until it is mended"

    cluster.first.start()
    user = cluster.log_in(cluster.first, grant)
    assert drift.check_resource(resource.pk) == "out of reach"
    assert "both take changes" in DriftCheck.objects.get(resource=resource).error["what"]
    assert not is_alive(user)
    with pytest.raises(psycopg.OperationalError):
        cluster.log_in(cluster.first, grant)
    assert any("The login was there, too, and was ended." in note for note in notes_of(grant))

    cluster.first.stop()
    resource.primary = None
    resource.save()
    assert drift.check_resource(resource.pk) == "0 differences"
    assert DriftCheck.objects.get(resource=resource).error is None


def test_a_role_of_somebody_else_with_the_same_oid_is_not_touched(cluster: Cluster) -> None:
    """After a failover two servers may have given one OID to different roles."""
    resource = factories.make_resource(**{**cluster.facts, "host": "127.0.0.1,127.0.0.2"})
    grant = active(factories.make_endpoint(resource=resource))
    end(grant)
    cluster.first.execute("CREATE ROLE stranger LOGIN PASSWORD 'x'")
    with cluster.first.connect() as conn:
        oid = conn.execute("SELECT oid::bigint FROM pg_roles WHERE rolname = 'stranger'").fetchall()[0][0]
    wait_for_replay(cluster.first, cluster.second)
    Grant.objects.filter(pk=grant.pk).update(role_oid=oid)
    user = cluster.second.connect(user="stranger", password="x")
    drift.check_resource(resource.pk)
    assert is_alive(user)
    assert not AuditEvent.objects.filter(action=LEFT_OVER_ENDED).exists()
