"""Waking workers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest
import redis
from celery import current_app
from django.conf import settings

from accessmgmt import waking
from devstack.process import wait_until
from tests.limits import time_limit


@pytest.fixture
def broker() -> Iterator[redis.Redis]:
    """The tests' Redis, empty before and after."""
    client = redis.Redis.from_url(settings.REDIS_URL)
    client.flushall()
    yield client
    client.flushall()


@pytest.mark.django_db
def test_a_message_holds_the_key_and_nothing_else(broker: redis.Redis) -> None:
    waking._send(waking.Task.APPLY_GRANT, "4711")
    wait_until(lambda: broker.llen("applying") == 1, timeout=60, what="the message is there")
    message = json.loads(broker.lrange("applying", 0, 0)[0])
    assert message["headers"]["task"] == "accessmgmt.tasks.apply_grant"
    assert message["headers"]["argsrepr"] == "['4711']"


def test_nobody_waits_for_a_broker_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not who activates: the sending takes as long as this test, in another thread. Not who finds the queue full."""
    is_begun, is_over = threading.Event(), threading.Event()
    senders: set[int] = set()

    def hang(*_: object, **__: object) -> None:
        senders.add(threading.get_ident())
        is_begun.set()
        is_over.wait()

    monkeypatch.setattr(current_app, "send_task", hang)
    monkeypatch.setattr(waking, "_sender", None)
    monkeypatch.setattr(waking, "MOST_WAITING", 10)
    with time_limit("waking workers"):
        try:
            for number in range(100):
                waking._send(waking.Task.APPLY_GRANT, str(number))
            assert is_begun.wait(60)
        finally:
            is_over.set()
    assert threading.get_ident() not in senders
