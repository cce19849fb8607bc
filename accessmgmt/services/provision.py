"""What workers do with grants: claim, speak to the target outside any transaction, record what came of it."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

from accessmgmt import outbox
from accessmgmt.domain.errors import TargetError, TargetRefused
from accessmgmt.domain.states import EndReason, GrantState
from accessmgmt.domain.targets import ApplyReceipt, EndReceipt
from accessmgmt.models import Grant
from accessmgmt.outbox import Task
from accessmgmt.provisioning import apply, end
from accessmgmt.services import audit

logger = logging.getLogger(__name__)
WAKE_AGAIN_SECONDS = 5
LONGEST_BACKOFF_SECONDS = 60
SWEEP_BATCH = 2_000


def claim(grant_id: uuid.UUID | str, states: tuple[GrantState, ...]) -> Grant | None:
    """Take the lease of a row in one of the states, if no other worker holds it; None when there is nothing to do.

    One UPDATE decides; a queued row becomes `applying` in it. The lease outlives the budget that the engine gets, so
    that a worker that was paused cannot act after another one took over.
    """
    token = uuid.uuid4()
    with transaction.atomic():
        taken = (
            Grant.objects.filter(pk=grant_id, state__in=states)
            .unleased()
            .update(
                lease_token=token,
                lease_until=Now() + timedelta(seconds=settings.PORTAL_LEASE_SECONDS),
                attempts=F("attempts") + 1,
            )
        )
        if not taken:
            return None
        grant = Grant.objects.select_related(
            "user", "endpoint", "resource", "resource__primary", "resource__primary__primary"
        ).get(pk=grant_id)
        if grant.state == GrantState.QUEUED:
            grant.state = GrantState.APPLYING
            grant.applying_at = timezone.now()
            grant.save(update_fields=["state", "applying_at"])
    return grant


def renew_lease(grant_id: uuid.UUID, token: uuid.UUID | None) -> None:
    """Keep the lease during long work. Raises TargetError when another worker holds it by now."""
    renewed = Grant.objects.filter(pk=grant_id, lease_token=token).update(
        lease_until=Now() + timedelta(seconds=settings.PORTAL_LEASE_SECONDS)
    )
    if not renewed:
        raise TargetError("Another worker has taken over this grant.")


def apply_grant(grant_id: uuid.UUID | str) -> str:
    """Apply one grant if it waits for it; return what came of it, for the log."""
    grant = claim(grant_id, (GrantState.QUEUED, GrantState.APPLYING))
    if grant is None:
        return "nothing to do"
    if grant.refused_at is not None:
        return _clean_refused(grant)
    try:
        receipt = apply.apply_grant(
            grant.resource.as_target(),
            grant.as_order(with_password=True),
            budget_seconds=settings.PORTAL_APPLY_BUDGET_SECONDS,
            on_progress=partial(renew_lease, grant.pk, grant.lease_token),
        )
    except TargetRefused as error:
        if not _record_refusal(grant, error):
            return "superseded"
        return _clean_refused(grant)
    except TargetError as error:
        return _record_apply_failure(grant, error)
    return _record_active(grant, receipt)


@transaction.atomic
def _record_active(grant: Grant, receipt: ApplyReceipt) -> str:
    row = _locked(grant)
    if row is None:
        return "lease lost"
    row.role_oid = receipt.role_oid
    row.apply_receipt = receipt.as_json()
    row.expires_at = receipt.valid_until
    fields = ["role_oid", "apply_receipt", "expires_at", *_release_lease(row)]
    if row.state == GrantState.APPLYING:
        row.state = GrantState.ACTIVE
        row.active_at = timezone.now()
        row.attempts = 0
        row.last_error = None
        fields += ["state", "active_at", "attempts", "last_error"]
        audit.record(
            None,
            "grant.applied",
            row,
            user=grant.user.email,
            role=row.role_name,
            expires_at=receipt.valid_until.isoformat(),
            tables=receipt.table_count,
        )
    else:
        outbox.wake(Task.END_GRANT, row.pk)
    row.save(update_fields=fields)
    return row.state


@transaction.atomic
def _record_refusal(grant: Grant, error: TargetError) -> bool:
    """Remember that the target said no; from here on only cleaning is left. False when the row is no longer ours."""
    row = _locked(grant)
    if row is None:
        return False
    row.last_error = _as_json(error)
    fields = ["last_error"]
    if row.state == GrantState.APPLYING:
        row.refused_at = timezone.now()
        grant.refused_at = row.refused_at
        fields.append("refused_at")
    else:
        fields += _release_lease(row)
        outbox.wake(Task.END_GRANT, row.pk)
    row.save(update_fields=fields)
    return row.state == GrantState.APPLYING


def _clean_refused(grant: Grant) -> str:
    """Remove what a refused apply may have left on the target; the grant fails only after that was verified."""
    try:
        receipt = end.end_grant(grant.resource.as_target(), grant.as_order(with_password=False))
    except TargetError as error:
        return _back_off(grant, error)
    with transaction.atomic():
        row = _locked(grant)
        if row is None:
            return "lease lost"
        row.end_receipt = receipt.as_json()
        fields = ["end_receipt", *_release_lease(row)]
        if row.state == GrantState.APPLYING:
            row.state = GrantState.FAILED
            row.ended_at = timezone.now()
            row.password = ""
            fields += ["state", "ended_at", "password"]
            audit.record(None, "grant.failed", row, user=grant.user.email, role=row.role_name, error=row.last_error)
        else:
            outbox.wake(Task.END_GRANT, row.pk)
        row.save(update_fields=fields)
    return row.state


def _record_apply_failure(grant: Grant, error: TargetError) -> str:
    """Try again later; after PORTAL_APPLY_GIVE_UP_SECONDS stop trying and end what may be there."""
    give_up_at = grant.queued_at + timedelta(seconds=settings.PORTAL_APPLY_GIVE_UP_SECONDS)
    if timezone.now() < give_up_at:
        return _back_off(grant, error)
    with transaction.atomic():
        row = _locked(grant)
        if row is None:
            return "lease lost"
        row.last_error = _as_json(error)
        fields = ["last_error", *_release_lease(row)]
        if row.state == GrantState.APPLYING:
            row.state = GrantState.ENDING
            row.end_reason = EndReason.CANCELLED
            row.end_requested_at = row.next_attempt_at = timezone.now()
            fields += ["state", "end_reason", "end_requested_at", "next_attempt_at"]
            audit.record(None, "grant.given_up", row, user=grant.user.email, role=row.role_name, error=_as_json(error))
        row.save(update_fields=fields)
        outbox.wake(Task.END_GRANT, row.pk)
    return row.state


def end_grant(grant_id: uuid.UUID | str) -> str:
    """End one grant if it waits for it, and verify that nothing of it is left; return what came of it."""
    grant = claim(grant_id, (GrantState.ENDING,))
    if grant is None:
        return "nothing to do"
    try:
        receipt = end.end_grant(grant.resource.as_target(), grant.as_order(with_password=False))
    except TargetError as error:
        return _back_off(grant, error)
    return _record_ended(grant, receipt)


@transaction.atomic
def _record_ended(grant: Grant, receipt: EndReceipt) -> str:
    row = _locked(grant)
    if row is None:
        return "lease lost"
    row.state = GrantState.ENDED
    row.ended_at = timezone.now()
    row.end_receipt = receipt.as_json()
    row.password = ""
    row.last_error = None
    row.save(update_fields=["state", "ended_at", "end_receipt", "password", "last_error", *_release_lease(row)])
    audit.record(
        None,
        "grant.ended",
        row,
        user=grant.user.email,
        role=row.role_name,
        reason=row.end_reason,
        sessions_cut=len(receipt.sessions),
    )
    return row.state


@transaction.atomic
def _back_off(grant: Grant, error: TargetError) -> str:
    """Give the lease back and try again after 1, 2, 4 ... at most 60 seconds. There is no last try (promise 5)."""
    row = _locked(grant)
    if row is None:
        return "lease lost"
    delay = min(2 ** min(row.attempts - 1, 10), LONGEST_BACKOFF_SECONDS)
    if row.refused_at is None or row.last_error is None:
        row.last_error = _as_json(error)
    row.next_attempt_at = timezone.now() + timedelta(seconds=delay)
    row.save(update_fields=["last_error", "next_attempt_at", *_release_lease(row)])
    if row.state == GrantState.ENDING and grant.state != GrantState.ENDING:
        outbox.wake(Task.END_GRANT, row.pk)
    logger.warning("Grant %s is still %s, next try in %d s: %s", row.pk, row.state, delay, error)
    return row.state


def _locked(grant: Grant) -> Grant | None:
    """Lock the row if this worker still holds its lease."""
    return (
        Grant.objects.select_for_update(of=("self",))
        .select_related("endpoint")
        .filter(pk=grant.pk, lease_token=grant.lease_token)
        .first()
    )


def _release_lease(row: Grant) -> list[str]:
    row.lease_token = None
    row.lease_until = None
    return ["lease_token", "lease_until"]


def _as_json(error: TargetError) -> dict[str, Any]:
    return {
        "what": error.what,
        "why": error.why,
        "todo": error.todo,
        "sqlstate": error.sqlstate,
        "at": timezone.now().isoformat(),
    }


def sweep() -> int:
    """Begin the end of due grants and wake workers for rows that wait; return how many were woken.

    Runs every second, may run at the same time as itself, and is all that recovers from lost messages and killed
    workers. A row that was woken is left alone for WAKE_AGAIN_SECONDS, so that a backlog does not fill the queue.
    """
    return _begin_due_ends() + _wake_waiting()


@transaction.atomic
def _begin_due_ends() -> int:
    due = list(
        Grant.objects.due()
        .select_related("user", "endpoint")
        .select_for_update(of=("self",), skip_locked=True)
        .order_by("expires_at")[:SWEEP_BATCH]
    )
    now = timezone.now()
    for grant in due:
        grant.state = GrantState.ENDING
        grant.end_reason = EndReason.EXPIRED
        grant.end_requested_at = now
        grant.next_attempt_at = now + timedelta(seconds=WAKE_AGAIN_SECONDS)
        grant.attempts = 0
        audit.record(None, "grant.expired", grant, user=grant.user.email, role=grant.role_name)
        outbox.wake(Task.END_GRANT, grant.pk)
    Grant.objects.bulk_update(
        due, ["state", "end_reason", "end_requested_at", "next_attempt_at", "attempts"], batch_size=500
    )
    return len(due)


@transaction.atomic
def _wake_waiting() -> int:
    tasks: dict[str, Callable[[uuid.UUID], None]] = {
        GrantState.ENDING: partial(outbox.wake, Task.END_GRANT),
        GrantState.QUEUED: partial(outbox.wake, Task.APPLY_GRANT),
        GrantState.APPLYING: partial(outbox.wake, Task.APPLY_GRANT),
    }
    waiting = list(
        Grant.objects.filter(Q(state__in=list(tasks)), next_attempt_at__lte=Now())
        .unleased()
        .select_for_update(skip_locked=True)
        .order_by("next_attempt_at")
        .only("pk", "state")[:SWEEP_BATCH]
    )
    Grant.objects.filter(pk__in=[grant.pk for grant in waiting]).update(
        next_attempt_at=Now() + timedelta(seconds=WAKE_AGAIN_SECONDS)
    )
    for grant in sorted(waiting, key=lambda row: row.state != GrantState.ENDING):
        tasks[grant.state](grant.pk)
    return len(waiting)
