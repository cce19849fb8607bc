"""What workers do with endings: claim those of one resource together, end them, record what came of it.

A resource that does not answer is left to one worker at a time, and waits longer after each try; at most
PORTAL_SILENT_RESOURCES_AT_ONCE of such resources are tried at the same time in the whole installation. The other
workers stay free for the resources that answer.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Case, F, JSONField, Value, When
from django.db.models.functions import Greatest, Now
from django.utils import timezone

from accessmgmt import waking
from accessmgmt.domain.actions import Action
from accessmgmt.domain.errors import TargetError
from accessmgmt.domain.states import GrantState, Work
from accessmgmt.domain.targets import EndReceipt
from accessmgmt.models import Grant, Resource, TargetSilence
from accessmgmt.provisioning.end.grants import end_grants
from accessmgmt.services import installation
from accessmgmt.services.audit import trail
from accessmgmt.services.grants import leases, moves
from accessmgmt.services.targets import availability
from accessmgmt.waking import Task

logger = logging.getLogger(__name__)
WAKE_AGAIN_SECONDS = 5
FIRST_BATCH, BATCH = 50, 250
LONGEST_SECONDS = 50.0
SILENT_LOCK = 0x511E47
Outcome = EndReceipt | TargetError


def end_grants_of(resource_id: int, *, most_claims: int = 1) -> int:
    """End what waits for it on one resource, in batches, until nothing is left; return how many ended.

    `most_claims` is how many workers may be at work on the resource, this one included. A second one is called only
    after the first has ended something: a resource that hangs holds one worker.
    """
    tried: set[uuid.UUID] = set()
    ended, has_called = 0, False
    until = time.monotonic() + LONGEST_SECONDS
    while grants := claim_batch(
        resource_id, most_claims=most_claims, besides=tried, size=BATCH if ended else FIRST_BATCH
    ):
        tried.update(grant.pk for grant in grants)
        outcomes = end_claimed(grants)
        ended += sum(isinstance(outcome, EndReceipt) for outcome in outcomes)
        if any(isinstance(outcome, TargetError) and outcome.is_server_wide for outcome in outcomes):
            break
        if ended and not has_called and len(grants) == FIRST_BATCH:
            waking.wake(Task.HELP_END_GRANTS_OF, resource_id)
            has_called = True
        if time.monotonic() > until:
            waking.wake(Task.END_GRANTS_OF, resource_id)
            break
    return ended


def end_grant(grant_id: uuid.UUID | str) -> str:
    """End one grant if it waits for it, and verify that nothing of it is left; return what came of it."""
    if installation.is_observing():
        return "observing"
    grant = leases.claim(grant_id, (GrantState.ENDING,))
    if grant is None:
        return "nothing to do"
    end_claimed([grant])
    return str(Grant.objects.values_list("state", flat=True).get(pk=grant.pk))


@transaction.atomic
def claim_batch(resource_id: int, *, most_claims: int, besides: Collection[uuid.UUID], size: int) -> list[Grant]:
    """Take the lease of up to `size` endings of a resource, the oldest first; none when others are enough on it.

    The lock on the resource's row makes the count of workers true; rows that somebody else has locked are skipped.
    """
    if installation.is_observing():
        return []
    if not Resource.objects.select_for_update(no_key=True).filter(pk=resource_id).exists():
        return []
    endings = Grant.objects.filter(resource_id=resource_id, state=GrantState.ENDING)
    # A row with no attempt is held by a worker that still applies it.
    at_work = endings.filter(lease_until__gt=Now(), attempts__gte=1).values("lease_token").distinct().count()
    if at_work >= most_claims or _has_to_wait(resource_id, at_work):
        return []
    waiting = endings.filter(next_attempt_at__lte=Now() + timedelta(seconds=WAKE_AGAIN_SECONDS)).unleased()
    rows = waiting.exclude(pk__in=besides).select_for_update(skip_locked=True).order_by("end_requested_at")
    taken = list(rows.values_list("pk", flat=True)[:size])
    token = uuid.uuid4()
    Grant.objects.filter(pk__in=taken).update(
        lease_token=token, lease_until=leases.lease_end(), attempts=F("attempts") + 1
    )
    claimed = Grant.objects.filter(pk__in=taken).select_related("user", "endpoint")
    return list(claimed.defer("password", "apply_receipt", "end_receipt"))


def _has_to_wait(resource_id: int, at_work: int) -> bool:
    """Say whether the resource did not answer an ending lately, and it is not its turn to be tried again."""
    silences = TargetSilence.objects.filter(work=Work.END)
    silence = silences.filter(resource=resource_id).first()
    if silence is None:
        return False
    if at_work or timezone.now() < silence.ask_again_at:
        return True
    with connection.cursor() as cursor:  # until this claim is committed: who counts at the same time counts it, too
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [SILENT_LOCK])
    tried = Grant.objects.filter(state=GrantState.ENDING, lease_until__gt=Now(), attempts__gte=1)
    tried = tried.filter(resource__in=silences.exclude(resource=resource_id).values("resource"))
    return tried.values("resource_id").distinct().count() >= int(settings.PORTAL_SILENT_RESOURCES_AT_ONCE)


def end_claimed(grants: Sequence[Grant]) -> list[Outcome]:
    """End grants of one resource that this worker has claimed, and record what came of each."""
    with leases.kept(grants):
        outcomes = _end(grants)
    _record(grants, outcomes)
    return outcomes


def _end(grants: Sequence[Grant]) -> list[Outcome]:
    try:
        resource = Resource.objects.select_related("primary", "primary__primary").get(pk=grants[0].resource_id)
        orders = [grant.as_end_order() for grant in grants]
        return end_grants(resource.as_target(), orders)
    except Exception as error:  # an ending that fails in a way nobody thought of is still shown and tried again
        return [leases.unexpected(error)] * len(grants)


@transaction.atomic
def _record(grants: Sequence[Grant], outcomes: Sequence[Outcome]) -> None:
    """Record all that this worker still holds the lease of; each state changes with its audit event."""
    rows = Grant.objects.filter(pk__in=[grant.pk for grant in grants], lease_token=grants[0].lease_token)
    held = set(rows.select_for_update(of=("self",)).order_by("pk").values_list("pk", flat=True))
    pairs = [(grant, outcome) for grant, outcome in zip(grants, outcomes, strict=True) if grant.pk in held]
    _record_ended([(grant, outcome) for grant, outcome in pairs if isinstance(outcome, EndReceipt)])
    _record_failed([(grant, outcome) for grant, outcome in pairs if isinstance(outcome, TargetError)])
    if pairs and not any(isinstance(outcome, TargetError) and outcome.is_server_wide for _, outcome in pairs):
        availability.answered(grants[0].resource_id, Work.END)


def _record_ended(pairs: Sequence[tuple[Grant, EndReceipt]]) -> None:
    if not pairs:
        return
    receipts = [
        When(pk=grant.pk, then=Value(_with_earlier_notes(grant, receipt), JSONField())) for grant, receipt in pairs
    ]
    rows = Grant.objects.filter(pk__in=[grant.pk for grant, _ in pairs])
    moves.move_grants(rows, moves.end(Case(*receipts, output_field=JSONField())))
    trail.record_many(
        None,
        Action.GRANT_ENDED,
        [
            (
                grant,
                {
                    "user": grant.user.email,
                    "role": grant.role_name,
                    "reason": grant.end_reason,
                    "sessions_cut": len(receipt.sessions),
                },
            )
            for grant, receipt in pairs
        ],
    )


def _with_earlier_notes(grant: Grant, receipt: EndReceipt) -> dict[str, Any]:
    """Return the receipt, with what tries that failed had done before: nothing else says what was undone."""
    return {**receipt.as_json(), "notes": _all_notes(grant, receipt.notes)}


def _all_notes(grant: Grant, notes: Sequence[str]) -> list[str]:
    return list(dict.fromkeys([*(grant.last_error or {}).get("notes", ()), *notes]))


def _record_failed(pairs: Sequence[tuple[Grant, TargetError]]) -> None:
    """Give the leases back and try again later. A failure of the whole server puts the resource's others off too."""
    for grant, error in pairs:
        retry_at = timezone.now() + timedelta(seconds=leases.backoff_seconds(grant.attempts))
        notes = _all_notes(grant, error.notes)
        grant.last_error = {**leases.as_json(error), **({"notes": notes} if notes else {})}
        grant.next_attempt_at = retry_at
        grant.lease_token = grant.lease_until = None
    rows = [grant for grant, _ in pairs]
    Grant.objects.bulk_update(rows, ["last_error", "next_attempt_at", *moves.NO_LEASE], batch_size=100)
    if not pairs:
        return
    first, error = pairs[0]
    logger.warning("%d grants on resource %s are still ending: %s", len(pairs), first.resource_id, error)
    if error.is_server_wide:
        pause = (first.next_attempt_at - timezone.now()).total_seconds()
        availability.failed(first.resource_id, Work.END, error, pause_seconds=pause)
        others = Grant.objects.filter(resource_id=first.resource_id, state=GrantState.ENDING).unleased()
        others.update(next_attempt_at=Greatest(F("next_attempt_at"), Value(first.next_attempt_at)))
