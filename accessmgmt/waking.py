"""Wakes workers after a commit. Only a hint: the sweep finds whatever a lost message leaves behind."""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)
QUIET_SECONDS = 2.0
MOST_WAITING = 10_000


class Task(StrEnum):
    """Names of the tasks that take the primary key of a row."""

    APPLY_GRANT = "accessmgmt.tasks.apply_grant"
    END_GRANTS_OF = "accessmgmt.tasks.end_grants_of"
    HELP_END_GRANTS_OF = "accessmgmt.tasks.help_end_grants_of"
    CHECK_DRIFT = "accessmgmt.tasks.check_drift"
    RESYNC_RESOURCE = "accessmgmt.tasks.resync_resource"
    LOOK_AT_TARGET = "accessmgmt.tasks.look_at_target"


def wake(task: Task, pk: object, *, expires_seconds: float | None = None) -> None:
    """Send the task once the current transaction is committed; at once when there is none."""
    transaction.on_commit(partial(_send, task, str(pk), expires_seconds))


@dataclass(frozen=True, slots=True)
class _Message:
    task: Task
    pk: str
    expires_seconds: float | None


class _Sender:
    """Sends from a thread of its own, so that nobody who activates or releases ever waits for a broker that is away.

    When the queue is full the message is dropped: the sweep finds the row.
    """

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._messages: queue.Queue[_Message] = queue.Queue(MOST_WAITING)
        self._quiet_until = 0.0
        threading.Thread(target=self._run, name="waking", daemon=True).start()

    @property
    def is_of_this_process(self) -> bool:
        """Whether the thread lives here: a child after fork has none."""
        return self._pid == os.getpid()

    def put(self, message: _Message) -> None:
        """Hand a message over; never waits."""
        try:
            self._messages.put_nowait(message)
        except queue.Full:
            logger.warning("Too many messages wait for the broker; the sweep will find %s.", message.pk)

    def _run(self) -> None:
        while True:
            self._send(self._messages.get())

    def _send(self, message: _Message) -> None:
        """Send once. After a failure drop what comes for a moment: every try costs a timeout."""
        if time.monotonic() < self._quiet_until:
            return
        try:
            current_app.send_task(
                str(message.task),
                args=[message.pk],
                retry=False,
                ignore_result=True,
                expires=message.expires_seconds,
            )
        except (OperationalError, OSError) as error:
            self._quiet_until = time.monotonic() + QUIET_SECONDS
            logger.warning("No broker for %s %s (%s); the sweep will find it.", message.task, message.pk, error)


_sender: _Sender | None = None
_sender_lock = threading.Lock()


def _send(task: Task, pk: str, expires_seconds: float | None = None) -> None:
    global _sender
    with _sender_lock:
        if _sender is None or not _sender.is_of_this_process:
            _sender = _Sender()
        sender = _sender
    sender.put(_Message(task, pk, expires_seconds))
