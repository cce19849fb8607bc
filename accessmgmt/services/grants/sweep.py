"""Finds what is due or waits, every second: all that recovers from lost messages and killed workers."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.db.models.functions import Now

from accessmgmt import waking
from accessmgmt.domain.actions import Action
from accessmgmt.domain.states import EndReason, GrantState
from accessmgmt.models import Grant
from accessmgmt.services import installation
from accessmgmt.services.audit import trail
from accessmgmt.services.grants import moves
from accessmgmt.services.grants.endings import WAKE_AGAIN_SECONDS
from accessmgmt.waking import Task

SWEEP_BATCH = 2_000
APPLIED_A_SECOND = 20


def sweep() -> int:
    """Begin the end of due grants and wake workers for rows that wait; return how many rows that were.

    Runs every second, may run at the same time as itself, and is all that recovers from lost messages and killed
    workers. A row that was woken is left alone for WAKE_AGAIN_SECONDS, so that a backlog does not fill the queue.
    Endings are woken by resource, not by grant. A portal that only observes does nothing.
    """
    if installation.check_identity():
        return 0
    return _begin_due_ends() + _wake_waiting()


@transaction.atomic
def _begin_due_ends() -> int:
    rows = Grant.objects.due().select_for_update(of=("self",), skip_locked=True).order_by("expires_at")
    due = list(rows.select_related("user", "endpoint").defer("password", "apply_receipt", "permissions")[:SWEEP_BATCH])
    if not due:
        return 0
    ending = moves.begin_ending(EndReason.EXPIRED, wake_after=timedelta(seconds=WAKE_AGAIN_SECONDS))
    moves.move_grants(Grant.objects.filter(pk__in=[grant.pk for grant in due]), ending)
    events = [(grant, {"user": grant.user.email, "role": grant.role_name}) for grant in due]
    trail.record_many(None, Action.GRANT_EXPIRED, events)
    for resource_id in dict.fromkeys(grant.resource_id for grant in due):
        waking.wake(Task.END_GRANTS_OF, resource_id)
    return len(due)


@transaction.atomic
def _wake_waiting() -> int:
    states = (GrantState.ENDING, GrantState.QUEUED, GrantState.APPLYING)
    waiting = list(
        Grant.objects.filter(state__in=states, next_attempt_at__lte=Now())
        .unleased()
        .select_for_update(skip_locked=True)
        .order_by("next_attempt_at")
        .only("pk", "state", "resource_id")[:SWEEP_BATCH]
    )
    endings = [grant for grant in waiting if grant.state == GrantState.ENDING]
    others = [grant for grant in waiting if grant.state != GrantState.ENDING]
    # What stands in line is not woken again before its turn can have come: a message each costs as much as the work.
    turn_seconds = WAKE_AGAIN_SECONDS + len(others) / APPLIED_A_SECOND
    for rows, seconds in ((endings, WAKE_AGAIN_SECONDS), (others, turn_seconds)):
        Grant.objects.filter(pk__in=[grant.pk for grant in rows]).update(
            next_attempt_at=Now() + timedelta(seconds=seconds)
        )
    for resource_id in dict.fromkeys(grant.resource_id for grant in endings):
        waking.wake(Task.END_GRANTS_OF, resource_id)
    for grant in others:
        waking.wake(Task.APPLY_GRANT, grant.pk)
    return len(waiting)
