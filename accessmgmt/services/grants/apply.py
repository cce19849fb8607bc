"""Makes a grant real: claim it, speak to the target outside any transaction, record what came of it."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Sequence
from datetime import timedelta
from functools import partial

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accessmgmt import waking
from accessmgmt.domain.actions import Action
from accessmgmt.domain.drift import DriftChange
from accessmgmt.domain.errors import TargetError, TargetRefused
from accessmgmt.domain.states import EndReason, GrantState, Work
from accessmgmt.domain.targets import ApplyReceipt
from accessmgmt.models import Grant, TargetSilence
from accessmgmt.provisioning.apply.grant import apply_grant as apply_on_target
from accessmgmt.provisioning.end.grants import end_grant
from accessmgmt.services import installation
from accessmgmt.services.audit import trail
from accessmgmt.services.grants import leases, moves
from accessmgmt.services.targets import availability, strangers
from accessmgmt.services.targets.drift_changes import record_changes
from accessmgmt.waking import Task

logger = logging.getLogger(__name__)
LOCKED = "55P03"
LEASE_LOST = "lease lost"


def apply_waiting_grant(grant_id: uuid.UUID | str) -> str:
    """Apply one grant if it waits for it; return what came of it, for the log: its state, or why nothing was done."""
    if installation.is_observing():
        return "observing"
    began = time.monotonic()
    grant = leases.claim(grant_id, (GrantState.QUEUED, GrantState.APPLYING))
    if grant is None:
        return "nothing to do"
    if grant.refused_at is None and grant.resource.paused_since is not None:
        return _record_apply_failure(grant, strangers.put_off(grant.resource))
    silences = availability.silences_of(grant.resource)
    if (reason := availability.still_silent(grant.resource, silences)) is not None:
        return _record_apply_failure(grant, reason)
    if grant.refused_at is not None:
        return _clean_refused(grant)
    try:
        receipt = _apply(grant, began)
    except TargetRefused as error:
        _note_answer(grant, silences)
        stands = _record_refusal(grant, error)
        return _clean_refused(grant) if stands == GrantState.APPLYING else stands
    except TargetError as error:
        if error.sqlstate != LOCKED:  # it answers; somebody's lock concerns one set
            availability.apply_failed(grant.resource, error, time.monotonic() - began)
        return _record_apply_failure(grant, error)
    except Exception as error:  # a fault of our own must stand at the grant as well, not only in a log
        return _record_apply_failure(grant, leases.unexpected(error))
    _note_answer(grant, silences)
    return _record_active(grant, receipt)


def _note_answer(grant: Grant, silences: Sequence[TargetSilence]) -> None:
    if silences:  # else nothing waits for it
        availability.answered(grant.resource_id, Work.APPLY)


def _apply(grant: Grant, began: float) -> ApplyReceipt:
    """Make the grant real. What was mended on its capability role by that is written down, whatever comes of it."""
    changes: list[DriftChange] = []
    try:
        return apply_on_target(
            grant.resource.as_target(),
            grant.as_order(),
            # The lease began with the claim, and so does the time to act on it.
            budget_seconds=settings.PORTAL_APPLY_BUDGET_SECONDS - (time.monotonic() - began),
            on_progress=partial(leases.renew_lease, grant.pk, grant.lease_token),
            changes=changes,
        )
    finally:
        record_changes(grant.resource, changes)


@transaction.atomic
def _record_active(grant: Grant, receipt: ApplyReceipt) -> str:
    # Two clocks: nobody logs in after the target's, the sessions are cut by ours. Whichever is first counts.
    expires_at = min(receipt.valid_until, timezone.now() + timedelta(seconds=grant.ttl_seconds))
    held = Grant.objects.filter(pk=grant.pk, lease_token=grant.lease_token)
    if moves.move_grants(held, moves.activate(receipt, expires_at=expires_at)):
        trail.record(
            None,
            Action.GRANT_APPLIED,
            grant,
            user=grant.user.email,
            role=grant.role_name,
            expires_at=expires_at.isoformat(),
            tables=receipt.table_count,
        )
        return GrantState.ACTIVE
    if held.update(**moves.applied(receipt, expires_at=expires_at)):  # its end was asked for meanwhile
        waking.wake(Task.END_GRANTS_OF, grant.resource_id)
        return GrantState.ENDING
    return LEASE_LOST


@transaction.atomic
def _record_refusal(grant: Grant, error: TargetError) -> str:
    """Remember that the target said no; from here on only cleaning is left. Return where the grant stands."""
    row = leases.locked(grant)
    if row is None:
        return LEASE_LOST
    said = {"last_error": leases.as_json(error)}
    if row.state != GrantState.APPLYING:
        moves.write_fields(row, {**said, **moves.NO_LEASE})
        waking.wake(Task.END_GRANTS_OF, row.resource_id)
        return row.state
    grant.refused_at = timezone.now()
    moves.write_fields(row, {**said, "refused_at": grant.refused_at})
    return row.state


def _clean_refused(grant: Grant) -> str:
    """Remove what a refused apply may have left on the target; the grant fails only after that was verified."""
    try:
        with leases.kept([grant]):
            receipt = end_grant(grant.resource.as_target(), grant.as_end_order())
    except TargetError as error:
        return _back_off(grant, error)
    with transaction.atomic():
        row = leases.locked(grant)
        if row is None:
            return LEASE_LOST
        if row.state == GrantState.APPLYING:
            moves.move_grant(row, moves.fail(receipt.as_json()))
            trail.record(
                None, Action.GRANT_FAILED, row, user=grant.user.email, role=row.role_name, error=row.last_error
            )
        else:
            moves.write_fields(row, {"end_receipt": receipt.as_json(), **moves.NO_LEASE})
            waking.wake(Task.END_GRANTS_OF, row.resource_id)
    return row.state


def _record_apply_failure(grant: Grant, error: TargetError) -> str:
    """Try again later; after PORTAL_APPLY_GIVE_UP_SECONDS stop trying and end what may be there."""
    give_up_at = grant.queued_at + timedelta(seconds=settings.PORTAL_APPLY_GIVE_UP_SECONDS)
    if timezone.now() < give_up_at:
        return _back_off(grant, error)
    with transaction.atomic():
        row = leases.locked(grant)
        if row is None:
            return LEASE_LOST
        said = leases.as_json(error)
        moves.write_fields(row, {"last_error": said, **moves.NO_LEASE})
        if row.state == GrantState.APPLYING:
            moves.move_grant(row, moves.begin_ending(EndReason.CANCELLED))
            trail.record(None, Action.GRANT_GIVEN_UP, row, user=grant.user.email, role=row.role_name, error=said)
        waking.wake(Task.END_GRANTS_OF, row.resource_id)
    return row.state


@transaction.atomic
def _back_off(grant: Grant, error: TargetError) -> str:
    """Give the lease back and try again after 1, 2, 4 ... at most 60 seconds. There is no last try."""
    row = leases.locked(grant)
    if row is None:
        return LEASE_LOST
    delay = leases.backoff_seconds(row.attempts)
    fields = {"next_attempt_at": timezone.now() + timedelta(seconds=delay), **moves.NO_LEASE}
    if row.last_error is None or (row.refused_at is None and not isinstance(error, availability.StillSilent)):
        fields["last_error"] = leases.as_json(error)
    moves.write_fields(row, fields)
    if row.state == GrantState.ENDING and grant.state != GrantState.ENDING:
        waking.wake(Task.END_GRANTS_OF, row.resource_id)
    logger.warning("Grant %s is still %s, next try in %d s: %s", row.pk, row.state, delay, error)
    return row.state
