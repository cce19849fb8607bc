"""Celery tasks: ten-line shells around one service call. Arguments are ids, never secrets."""

from __future__ import annotations

import logging

from celery import shared_task
from django.conf import settings

from accessmgmt.services import housekeeping
from accessmgmt.services.audit import seal
from accessmgmt.services.grants import apply, endings
from accessmgmt.services.grants import sweep as grants_sweep
from accessmgmt.services.requests import ask
from accessmgmt.services.targets import drift, held_open, look_work, looks

logger = logging.getLogger(__name__)


@shared_task(name="accessmgmt.tasks.apply_grant")
def apply_grant(grant_id: str) -> None:
    """Apply one grant on its target."""
    logger.info("apply %s: %s", grant_id, apply.apply_waiting_grant(grant_id))


@shared_task(name="accessmgmt.tasks.end_grants_of")
def end_grants_of(resource_id: str) -> None:
    """End what waits for it on one resource."""
    logger.info("end on %s: %d", resource_id, endings.end_grants_of(int(resource_id)))


@shared_task(name="accessmgmt.tasks.help_end_grants_of")
def help_end_grants_of(resource_id: str) -> None:
    """Help the worker that ends many grants on one resource."""
    ended = endings.end_grants_of(int(resource_id), most_claims=settings.PORTAL_ENDING_WORKERS_A_RESOURCE)
    logger.info("helped to end on %s: %d", resource_id, ended)


@shared_task(name="accessmgmt.tasks.keep_ways_open")
def keep_ways_open() -> None:
    """Hold a connection open, in this process that ends grants, to every server with live ones."""
    held_open.keep_ways_open()


@shared_task(name="accessmgmt.tasks.sweep")
def sweep() -> None:
    """Find due and stuck rows and wake workers for them."""
    woken = grants_sweep.sweep() + looks.sweep()
    if woken:
        logger.info("sweep woke %d", woken)


@shared_task(name="accessmgmt.tasks.seal_audit")
def seal_audit() -> None:
    """Seal new audit events into the hash chain."""
    seal.seal_events()


@shared_task(name="accessmgmt.tasks.lapse_requests")
def lapse_requests() -> None:
    """Let requests lapse that nobody decided in time."""
    ask.lapse_requests()


@shared_task(name="accessmgmt.tasks.throw_away_old")
def throw_away_old() -> None:
    """Throw away rows that stand for nothing any more."""
    logger.info("thrown away: %d", housekeeping.throw_away_old())


@shared_task(name="accessmgmt.tasks.resync")
def resync() -> None:
    """Wake a worker for each resource that is to be brought in order or checked."""
    drift.wake_due()


@shared_task(name="accessmgmt.tasks.resync_resource")
def resync_resource(resource_id: str) -> None:
    """Bring the capability roles of one resource in order."""
    logger.debug("resync %s: %s", resource_id, drift.resync_resource(int(resource_id)))


@shared_task(name="accessmgmt.tasks.check_drift")
def check_drift(resource_id: str) -> None:
    """Compare one resource with what the portal gave there."""
    logger.info("drift of %s: %s", resource_id, drift.check_resource(int(resource_id)))


@shared_task(name="accessmgmt.tasks.look_at_target")
def look_at_target(look_id: str) -> None:
    """Look at a server because somebody asked for it."""
    logger.info("look %s: %s", look_id, look_work.look_at_target(look_id))
