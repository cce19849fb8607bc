"""Killing the worker, and losing every message, while grants are being applied."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from django.conf import settings
from django.utils import timezone

from accessmgmt.domain.actions import Action
from accessmgmt.domain.states import GrantState
from accessmgmt.models import Endpoint, Grant
from accessmgmt.services.grants.activate import activate_endpoint
from accessmgmt.services.grants.stop import begin_end
from devstack.postgres import PostgresServer
from tests import factories
from tests.chaos import workers
from tests.targets import log_in, make_target, portal_roles

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.chaos]
COUNT = 20
PATIENCE_SECONDS = 90


def states() -> Counter[str]:
    """Count grants by state."""
    return Counter(Grant.objects.values_list("state", flat=True))


def activate_all(endpoint: Endpoint) -> list[Grant]:
    """Let COUNT people of one group activate the endpoint."""
    people = [factories.make_user() for _ in range(COUNT)]
    factories.make_group(members=people, endpoints=[endpoint])
    return [activate_endpoint(actor=person, endpoint=endpoint) for person in people]


@pytest.fixture
def server(target_server: Callable[[int], PostgresServer]) -> PostgresServer:
    """The target."""
    return target_server(18)


@pytest.fixture
def broker() -> redis.Redis:
    """The Redis that this process and the workers share, empty at the start."""
    client = redis.Redis.from_url(settings.REDIS_URL)
    client.flushall()
    return client


@pytest.mark.parametrize("is_redis_flushed", [False, True], ids=["worker killed", "worker killed and redis flushed"])
def test_every_grant_comes_to_a_clean_end(
    server: PostgresServer, broker: redis.Redis, tmp_path: Path, is_redis_flushed: bool
) -> None:
    facts = make_target(server)
    before = portal_roles(server)
    endpoint = factories.make_endpoint(resource=factories.make_resource(**facts))
    first, second = workers.worker(tmp_path, "first"), workers.worker(tmp_path, "second")
    with workers.running(first, workers.beat(tmp_path)):
        activate_all(endpoint)
        first.wait_ready(
            lambda: states()[GrantState.APPLYING] > 0 and states()[GrantState.ACTIVE] >= 2, timeout=PATIENCE_SECONDS
        )
        first.kill()
        # What it held is free when the leases run out, in 20 seconds: here they are over now.
        Grant.objects.filter(lease_until__isnull=False).update(lease_until=timezone.now())
        assert states()[GrantState.ACTIVE] < COUNT, "the worker was too fast to be killed in between"
        if is_redis_flushed:
            broker.flushall()
        with workers.running(second):
            second.wait_ready(
                lambda: states()[GrantState.ACTIVE] + states()[GrantState.FAILED] == COUNT, timeout=PATIENCE_SECONDS
            )
            check_active_grants(portal_roles(server) - before, facts)
            for grant in Grant.objects.active():
                begin_end(actor=None, grant_id=grant.pk, reason="revoked", action=Action.GRANT_REVOKED)
            second.wait_ready(lambda: not Grant.objects.live().exists(), timeout=PATIENCE_SECONDS)
    assert portal_roles(server) == before


def check_active_grants(roles: set[str], facts: dict[str, object]) -> None:
    """Every active grant logs in, and no role is there that no active grant knows."""
    active = list(Grant.objects.active())
    assert roles == {grant.role_name for grant in active}
    for grant in active:
        with log_in(facts, grant.role_name, grant.password) as conn:
            assert conn.execute("SELECT count(*) FROM customers").fetchone() == (10,)
