"""Killing the worker, and losing every message, while it looks at a server that somebody waits for."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis
from django.conf import settings
from django.utils import timezone

from accessmgmt.domain.looks import LookState
from accessmgmt.domain.targets import RungState
from accessmgmt.models import Resource, TargetLook, User
from accessmgmt.services.targets import looks
from tests import factories
from tests.chaos import workers

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.chaos]
PATIENCE_SECONDS = 90


def test_a_form_s_test_is_done_by_another_worker_and_its_secrets_are_gone(
    silent_port: int, dave: User, tmp_path: Path
) -> None:
    redis.Redis.from_url(settings.REDIS_URL).flushall()
    form = factories.make_resource(host="127.0.0.1", port=silent_port)
    look = looks.ask_for_unsaved_test(actor=dave, resource=Resource.objects.get(pk=form.pk))
    first, second = workers.worker(tmp_path, "first"), workers.worker(tmp_path, "second")

    def found() -> TargetLook:
        return TargetLook.objects.get(pk=look.pk)

    with workers.running(first, workers.beat(tmp_path)):
        first.wait_ready(lambda: found().rungs != [], timeout=PATIENCE_SECONDS)
        first.kill()
        assert found().state == LookState.RUNNING, "the worker was too fast to be killed in between"
        assert found().secrets, "who takes it up needs them"
        # The lease runs out in 20 seconds: here it is over now.
        TargetLook.objects.update(lease_until=timezone.now())
        redis.Redis.from_url(settings.REDIS_URL).flushall()
        with workers.running(second):
            second.wait_ready(lambda: not found().is_live, timeout=PATIENCE_SECONDS)
    over = found()
    assert (over.state, over.attempts, over.secrets) == (LookState.DONE, 2, "")
    assert RungState.FAILED in {rung.state for rung in over.found_rungs}
