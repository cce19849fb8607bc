"""Servers that take connections and never answer: looking at them delays nobody's access."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from django.conf import settings

from accessmgmt import waking
from accessmgmt.domain.states import GrantState
from accessmgmt.models import DriftCheck, Grant
from accessmgmt.services.grants.activate import activate_endpoint
from devstack.postgres import PostgresServer
from tests import factories
from tests.chaos import workers
from tests.targets import make_target

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.chaos]
SLOW = 8
PATIENCE_SECONDS = 60


def test_looking_at_silent_servers_delays_no_access(
    target_server: Callable[[int], PostgresServer], tmp_path: Path
) -> None:
    redis.Redis.from_url(settings.REDIS_URL).flushall()
    endpoint = factories.make_endpoint(resource=factories.make_resource(**make_target(target_server(18))))
    people = [factories.make_user() for _ in range(2)]
    factories.make_group(members=people, endpoints=[endpoint])
    applying = workers.celery("applying", tmp_path, "worker", "-Q", "applying", "-c", "1")
    upkeep = workers.celery("upkeep", tmp_path, "worker", "-Q", "drift", "--pool=threads", "-c", "4")

    def activate(number: int) -> None:
        grant = activate_endpoint(actor=people[number], endpoint=endpoint)
        active = Grant.objects.active().filter(pk=grant.pk)
        applying.wait_ready(active.exists, timeout=PATIENCE_SECONDS)

    with socket.create_server(("127.0.0.1", 0)) as silent, workers.running(applying, upkeep):
        activate(0)
        waking.wake(waking.Task.CHECK_DRIFT, endpoint.resource_id)
        seen = DriftCheck.objects.filter(resource=endpoint.resource, error__isnull=True, took_ms__gt=0)
        upkeep.wait_ready(seen.exists, timeout=PATIENCE_SECONDS)

        port = silent.getsockname()[1]
        slow = [factories.make_resource(host="127.0.0.1", port=port) for _ in range(SLOW)]
        for resource in slow:
            waking.wake(waking.Task.CHECK_DRIFT, resource.pk)
        upkeep.wait_ready(lambda: upkeep.log_since_start().count("check_drift") > 4, timeout=PATIENCE_SECONDS)
        activate(1)
        assert DriftCheck.objects.filter(resource__in=slow).count() < SLOW, "the servers were not slow enough"
    assert Grant.objects.filter(state=GrantState.ACTIVE).count() == len(people)
