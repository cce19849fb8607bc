"""Celery tasks: ten-line shells around one service call. Arguments are ids, never secrets."""

from __future__ import annotations

import logging

from celery import shared_task

from accessmgmt.services import audit, drift, provision, requests

logger = logging.getLogger(__name__)


@shared_task(name="accessmgmt.tasks.apply_grant")
def apply_grant(grant_id: str) -> None:
    """Apply one grant on its target."""
    logger.info("apply %s: %s", grant_id, provision.apply_grant(grant_id))


@shared_task(name="accessmgmt.tasks.end_grant")
def end_grant(grant_id: str) -> None:
    """End one grant on its target."""
    logger.info("end %s: %s", grant_id, provision.end_grant(grant_id))


@shared_task(name="accessmgmt.tasks.sweep")
def sweep() -> None:
    """Find due and stuck rows and wake workers for them."""
    woken = provision.sweep()
    if woken:
        logger.info("sweep woke %d", woken)


@shared_task(name="accessmgmt.tasks.seal_audit")
def seal_audit() -> None:
    """Seal new audit events into the hash chain."""
    audit.seal_events()


@shared_task(name="accessmgmt.tasks.lapse_requests")
def lapse_requests() -> None:
    """Let requests lapse that nobody decided in time."""
    requests.lapse_requests()


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
