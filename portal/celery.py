"""The Celery application: queues, and the static beat schedule. Redis only wakes workers; the database is the queue."""

from __future__ import annotations

import os

from celery import Celery
from celery.signals import task_postrun, task_prerun
from django.db import close_old_connections
from kombu import Queue

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

application = Celery("portal")
application.config_from_object(
    {
        "broker_url": os.environ.get("REDIS_URL", ""),
        "broker_connection_retry_on_startup": True,
        "broker_transport_options": {
            "socket_timeout": 5,
            "socket_connect_timeout": 2,
            "socket_keepalive": True,
            "visibility_timeout": 60,
        },
        "task_ignore_result": True,
        "task_acks_late": True,
        "task_reject_on_worker_lost": False,
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_time_limit": 120,
        "task_soft_time_limit": 100,
        "worker_prefetch_multiplier": 1,
        "worker_hijack_root_logger": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "task_default_queue": "default",
        # Each task has a route (docs/operations.md). Each queue that speaks to targets has a worker, with more threads
        # than servers may hang at a time; what speaks to none, "sweep" and "default", waits for none of them.
        "task_queues": [Queue(name) for name in ("ending", "sweep", "applying", "default", "drift", "looks")],
        "task_routes": {
            "accessmgmt.tasks.end_grants_of": {"queue": "ending"},
            "accessmgmt.tasks.help_end_grants_of": {"queue": "ending"},
            "accessmgmt.tasks.keep_ways_open": {"queue": "ending"},
            "accessmgmt.tasks.sweep": {"queue": "sweep"},
            "accessmgmt.tasks.apply_grant": {"queue": "applying"},
            "accessmgmt.tasks.seal_audit": {"queue": "default"},
            "accessmgmt.tasks.lapse_requests": {"queue": "default"},
            "accessmgmt.tasks.throw_away_old": {"queue": "default"},
            "accessmgmt.tasks.resync": {"queue": "default"},
            "accessmgmt.tasks.resync_resource": {"queue": "drift"},
            "accessmgmt.tasks.check_drift": {"queue": "drift"},
            "accessmgmt.tasks.look_at_target": {"queue": "looks"},
        },
        "beat_schedule": {
            "sweep": {"task": "accessmgmt.tasks.sweep", "schedule": 1.0, "options": {"expires": 5}},
            "keep-ways-open": {
                "task": "accessmgmt.tasks.keep_ways_open",
                "schedule": 5.0,
                "options": {"expires": 10},
            },
            "resync": {"task": "accessmgmt.tasks.resync", "schedule": 30.0, "options": {"expires": 30}},
            "seal-audit": {"task": "accessmgmt.tasks.seal_audit", "schedule": 5.0, "options": {"expires": 10}},
            "lapse-requests": {"task": "accessmgmt.tasks.lapse_requests", "schedule": 60.0, "options": {"expires": 60}},
            "throw-away-old": {
                "task": "accessmgmt.tasks.throw_away_old",
                "schedule": 3_600.0,
                "options": {"expires": 3_600},
            },
        },
        "beat_max_loop_interval": 1,
        # Else Celery closes the portal's own connection before and after each task: a sign-in a task, on both sides.
        "CELERY_DB_REUSE_MAX": 1_000,
        "timezone": "UTC",
    }
)
application.autodiscover_tasks(["accessmgmt"])


@task_prerun.connect
@task_postrun.connect
def leave_dead_connections(**_: object) -> None:
    """Close the connection to the portal's database where it is dead or old, as Django does around a web request."""
    close_old_connections()
