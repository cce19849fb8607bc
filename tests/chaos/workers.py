"""Celery workers and beat as processes of their own, on the test's database, Redis and target."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from celery import current_app
from django.conf import settings
from django.db import connection

from devstack.process import ChildProcess
from devstack.pytest_servers import ensure_portal_database

ROOT = Path(__file__).resolve().parents[2]


def environment() -> dict[str, str]:
    """Return what a process needs to work on the rows that the test sees."""
    base = ensure_portal_database().rpartition("/")[0]
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "portal.settings",
        "DATABASE_URL": f"{base}/{connection.settings_dict['NAME']}",
        "REDIS_URL": settings.REDIS_URL,
        "PORTAL_ENCRYPTION_KEYS": ",".join(settings.PORTAL_ENCRYPTION_KEYS),
        "PORTAL_INSTALLATION_ID": settings.PORTAL_INSTALLATION_ID,
    }


def celery(name: str, logs: Path, *arguments: str) -> ChildProcess:
    """Return a Celery process that is not started yet."""
    argv = [sys.executable, "-m", "celery", "-A", "portal", *arguments, "--loglevel=INFO"]
    return ChildProcess(name, argv, logs / f"{name}.log", env=environment(), cwd=ROOT)


def worker(logs: Path, name: str = "worker") -> ChildProcess:
    """Return one worker for every queue, with four processes."""
    queues = ",".join(queue.name for queue in current_app.conf.task_queues)
    return celery(name, logs, "worker", "-Q", queues, "-c", "4", "--without-gossip", "--without-mingle")


def beat(logs: Path) -> ChildProcess:
    """Return the beat that sweeps every second."""
    return celery("beat", logs, "beat", "--schedule", str(logs / "schedule"))


@contextmanager
def running(*processes: ChildProcess) -> Iterator[None]:
    """Start processes; kill whatever of them is left at the end."""
    try:
        for process in processes:
            process.start()
        yield
    finally:
        for process in processes:
            process.kill()
