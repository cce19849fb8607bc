"""Celery kills a worker that is over its time, in the middle of its work: the sweep finishes the row that it left."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from django.conf import settings
from django.utils import timezone

from accessmgmt.domain.states import EndReason, GrantState
from accessmgmt.models import Grant
from devstack.postgres import PostgresServer
from devstack.process import ChildProcess
from portal.celery import application
from tests import factories
from tests.chaos import workers
from tests.targets import log_in, make_target, portal_roles

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.chaos]
PATIENCE_SECONDS = 60
KILLED = "Hard time limit"


@contextmanager
def stuck(server: PostgresServer) -> Iterator[None]:
    """Let whoever changes a membership on the server wait; reading and logging in go on."""
    with server.connect(autocommit=False) as dba:
        dba.execute("LOCK TABLE pg_auth_members IN SHARE MODE")
        yield


def kill_in(worker: ChildProcess, grant: Grant, task: str, argument: str) -> GrantState:
    """Let the worker be killed in a task that is stuck; return the state in which it left the row."""
    kills = worker.log_since_start().count(KILLED)
    application.send_task(f"accessmgmt.tasks.{task}", [argument])
    worker.wait_ready(lambda: worker.log_since_start().count(KILLED) > kills, timeout=PATIENCE_SECONDS)
    grant.refresh_from_db()
    assert grant.lease_until is not None
    assert grant.lease_until > timezone.now(), "nobody else takes it before the lease is over"
    # A lease takes seconds to run out: here it is over now.
    Grant.objects.filter(pk=grant.pk).update(lease_until=timezone.now())
    return GrantState(grant.state)


def test_what_a_killed_worker_left_is_finished(target_server: Callable[[int], PostgresServer], tmp_path: Path) -> None:
    redis.Redis.from_url(settings.REDIS_URL).flushall()
    server = target_server(18)
    facts, before = make_target(server), portal_roles(server)
    resource = factories.make_resource(**facts)
    grant = factories.make_grant("queued", endpoint=factories.make_endpoint(resource=resource))
    argv = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "tests.chaos.limited",
        "worker",
        "-Q",
        "ending,sweep,applying,default",
    ]
    worker = ChildProcess("limited", argv, tmp_path / "limited.log", env=workers.environment(), cwd=workers.ROOT)
    with workers.running(worker):
        with stuck(server):
            assert kill_in(worker, grant, "apply_grant", str(grant.pk)) == GrantState.APPLYING
        with workers.running(workers.beat(tmp_path)):
            worker.wait_ready(Grant.objects.active().filter(pk=grant.pk).exists, timeout=PATIENCE_SECONDS)
        grant.refresh_from_db()
        with log_in(facts, grant.role_name, grant.password) as user:
            assert user.execute("SELECT count(*) FROM customers").fetchone() == (10,)

        Grant.objects.filter(pk=grant.pk).update(
            state=GrantState.ENDING, end_reason=EndReason.REVOKED, end_requested_at=timezone.now()
        )
        with stuck(server):
            assert kill_in(worker, grant, "end_grants_of", str(resource.pk)) == GrantState.ENDING
        with workers.running(workers.beat(tmp_path)):
            ended = Grant.objects.filter(pk=grant.pk, state=GrantState.ENDED)
            worker.wait_ready(ended.exists, timeout=PATIENCE_SECONDS)
    assert portal_roles(server) == before
