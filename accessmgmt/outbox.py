"""Wakes workers after a commit. Only a hint: the sweep finds whatever a lost message leaves behind (promise 4)."""

from __future__ import annotations

import logging
import threading
import time
from enum import StrEnum
from functools import partial

from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)
QUIET_SECONDS = 2.0
_quiet = threading.local()


class Task(StrEnum):
    """Names of the tasks that take the primary key of a row."""

    APPLY_GRANT = "accessmgmt.tasks.apply_grant"
    END_GRANT = "accessmgmt.tasks.end_grant"
    CHECK_DRIFT = "accessmgmt.tasks.check_drift"
    RESYNC_RESOURCE = "accessmgmt.tasks.resync_resource"


def wake(task: Task, pk: object, *, expires_seconds: float | None = None) -> None:
    """Send the task once the current transaction is committed; at once when there is none."""
    transaction.on_commit(partial(_send, task, str(pk), expires_seconds))


def _send(task: Task, pk: str, expires_seconds: float | None = None) -> None:
    """Send without ever failing the caller. After a failure stay quiet for a moment: every try costs a timeout."""
    if time.monotonic() < getattr(_quiet, "until", 0.0):
        return
    try:
        current_app.send_task(str(task), args=[pk], retry=False, ignore_result=True, expires=expires_seconds)
    except (OperationalError, OSError) as error:
        _quiet.until = time.monotonic() + QUIET_SECONDS
        logger.warning(
            "Could not wake a worker for %s %s (%s); the sweep will find it.", task, pk, type(error).__name__
        )
