"""Waking workers."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator

import pytest
import redis
from celery import current_app
from django.conf import settings

from accessmgmt import outbox
from devstack.process import wait_until


@pytest.fixture
def broker() -> Iterator[redis.Redis]:
    """The tests' Redis, empty before and after."""
    client = redis.Redis.from_url(settings.REDIS_URL)
    client.flushall()
    yield client
    client.flushall()


@pytest.mark.django_db
def test_a_message_holds_the_key_and_nothing_else(broker: redis.Redis) -> None:
    outbox._send(outbox.Task.APPLY_GRANT, "4711")
    wait_until(lambda: broker.llen("applying") == 1, timeout=10, what="the message is there")
    message = json.loads(broker.lrange("applying", 0, 0)[0])
    assert message["headers"]["task"] == "accessmgmt.tasks.apply_grant"
    assert message["headers"]["argsrepr"] == "['4711']"


def test_nobody_waits_for_a_broker_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(current_app.conf, "broker_url", f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        monkeypatch.setattr(outbox, "_sender", None)
        began = time.monotonic()
        for number in range(100):
            outbox._send(outbox.Task.APPLY_GRANT, str(number))
        assert time.monotonic() - began < 1
