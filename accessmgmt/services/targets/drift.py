"""Compares resources with what the portal gave there, keeps them in order, and repairs on request."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from math import inf
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from accessmgmt import waking
from accessmgmt.domain.actions import Action
from accessmgmt.domain.drift import DriftFinding, DriftKind, DriftOrder, DriftReport, RepairReport, Severity
from accessmgmt.domain.errors import ConflictError, TargetError
from accessmgmt.domain.states import EndReason, GrantState, Work
from accessmgmt.models import DriftCheck, Grant, Resource, User
from accessmgmt.models.grant import HELD_STATES
from accessmgmt.models.installation import this_installation
from accessmgmt.policy.people import require_admin
from accessmgmt.provisioning.check.real_login import sweep_rehearsals
from accessmgmt.provisioning.connect.primary import link_trouble
from accessmgmt.provisioning.drift import repair, resync
from accessmgmt.provisioning.end import unused_capabilities
from accessmgmt.selectors.oversight.drift import (
    digests_to_keep,
    drift_order,
    findings_of,
    resources_to_check,
    resources_to_resync,
)
from accessmgmt.services import installation
from accessmgmt.services.audit import trail
from accessmgmt.services.grants import late_endings
from accessmgmt.services.grants.stop import begin_end
from accessmgmt.services.targets import availability, strangers
from accessmgmt.services.targets.drift_changes import record_changes
from accessmgmt.waking import Task

logger = logging.getLogger(__name__)
LOCK = 0x0D21F7
CHECK_EVERY = timedelta(minutes=5)
RESYNC_SECONDS = 30
FIRST_RETRY_SECONDS = 30
LONGEST_RETRY_SECONDS = 600
MOST_STORED = 500
PATIENCE_SECONDS = 10.0
LOOK_SECONDS, LINK_SECONDS = 15.0, 10.0


def wake_due() -> int:
    """Wake a worker for each resource that is to be brought in order or checked; return how many.

    One task a resource, which is worth nothing any more when the next round comes: a target that hangs delays no other.
    """
    resync, check = resources_to_resync(), resources_to_check(CHECK_EVERY)
    for pk in resync:
        waking.wake(Task.RESYNC_RESOURCE, pk, expires_seconds=RESYNC_SECONDS)
    for pk in check:
        waking.wake(Task.CHECK_DRIFT, pk, expires_seconds=RESYNC_SECONDS)
    return len(resync) + len(check)


def resync_resource(resource_id: int) -> str:
    """Give the capability roles of a resource's active grants what was created since; return what came of it."""
    resource = Resource.objects.select_related("primary", "primary__primary").filter(pk=resource_id).first()
    if resource is None or installation.is_observing() or strangers.is_paused(resource_id):
        return "nothing to do"
    with _alone(resource.pk) as is_alone:
        if not is_alone:
            return "another worker is at it"
        order = drift_order(resource)
        try:
            report = resync.resync_sets(resource.as_target(), order.installation, order.permission_sets)
            record_changes(resource, report.changes)
            if any(change.is_taken for change in report.changes):
                _check(resource)  # else the page goes on showing what is mended
        except TargetError as error:
            return _record_failure(resource, error)
    # An outdated link to a primary is no failure: the next check says whether it still is.
    if availability.answered(resource.pk, Work.COMPARE):
        DriftCheck.objects.filter(resource=resource).update(error=None)
    if report.refused:
        return f"{len(order.permission_sets)} sets, {len(report.refused)} refused"
    return "in order"


def check_resource(resource_id: int) -> str:
    """Check one resource, repair what may be repaired without a person, and store what is left."""
    resource = Resource.objects.select_related("primary", "primary__primary").filter(pk=resource_id).first()
    if resource is None:
        return "nothing to do"
    with _alone(resource.pk) as is_alone:
        if not is_alone:
            return "another worker is at it"
        acts = not installation.is_observing()
        try:
            gives = acts and not strangers.is_paused(resource_id)
            kept = _put_idle_sets_in_order(resource) if gives else []
            check = _check(resource, kept)
            if acts:
                if chosen := _to_mend(resource, findings_of(check)):
                    _repair(resource, chosen, actor=None)
                    check = _check(resource, kept)
                sweep_rehearsals(resource.as_target(), this_installation())
            outcome = f"{len(check.findings)} differences"
        except TargetError as error:
            outcome = _record_failure(resource, error)
        if acts:
            # Also where the check was refused: a cluster that has parted is looked at on both sides.
            with suppress(TargetError):
                late_endings.end_what_is_left(resource)
    return outcome


def _to_mend(resource: Resource, findings: Collection[DriftFinding]) -> list[DriftFinding]:
    """Choose what is mended without a person.

    What a grant that is over left behind is always ended: its login may come back with a server that was away, and a
    session may outlive its login. What a capability role owns is always handed over, and what it passed on taken back:
    a person may do either in that name, and others would have it when the grant is over.
    """
    over = late_endings.roles_that_are_over(finding.role for finding in findings if finding.kind is DriftKind.ORPHAN)
    repairs = resource.is_drift_repaired and not strangers.is_paused(resource.pk)
    return [
        finding
        for finding in findings
        if (repairs and finding.is_automatic)
        or finding.kind is DriftKind.SESSION
        or (finding.kind in {DriftKind.OWNERSHIP, DriftKind.PASSED_ON} and finding.is_automatic)
        or (finding.role, finding.grant_id) in over
    ]


def _put_idle_sets_in_order(resource: Resource) -> list[DriftFinding]:
    """Take back what capability roles that nobody uses now were given besides, and drop what nothing needs any more.

    Returns those that cannot be dropped.
    """
    kept = _retire_unused(resource)
    order = _full_order(resource)
    report = resync.resync_sets(resource.as_target(), order.installation, (), order.idle_sets)
    record_changes(resource, report.changes)
    return kept


def _full_order(resource: Resource) -> DriftOrder:
    return drift_order(resource, with_idle_for=timedelta(days=settings.PORTAL_CAPABILITY_KEEP_DAYS))


def _retire_unused(resource: Resource) -> list[DriftFinding]:
    """Drop capability roles whose last grant, on any resource, ended PORTAL_CAPABILITY_KEEP_DAYS ago."""
    keep = digests_to_keep(timedelta(days=settings.PORTAL_CAPABILITY_KEEP_DAYS))
    report = unused_capabilities.retire_capabilities(resource.as_target(), this_installation(), keep)
    if report.dropped:
        with transaction.atomic():
            details = {"roles": list(report.dropped), "handed_over": report.reassigned, "notes": report.notes}
            trail.record(None, Action.RESOURCE_SETS_RETIRED, resource, **details)
    for name, words in report.kept.items():
        logger.warning("The capability role %s stays on resource %s: %s", name, resource.pk, words)
    return [
        DriftFinding(DriftKind.UNUSED, Severity.NOTE, name, f"It cannot be dropped: {words}", role=name)
        for name, words in report.kept.items()
        if words != unused_capabilities.USED_AGAIN
    ]


def check_now(*, actor: User, resource: Resource) -> DriftCheck:
    """Check a resource because somebody asks; what cannot be reached is stored as the check's error as well.

    Raises ForbiddenError, TargetError, or ConflictError when a worker is at the resource for long.
    """
    require_admin(actor, "checks and repairs a resource")
    with _alone(resource.pk, patience_seconds=PATIENCE_SECONDS) as is_alone:
        _must_be_alone(resource, is_alone=is_alone)
        try:
            return _check(resource, until=_end_of_look())
        except TargetError as error:
            _record_failure(resource, error)
            raise


def repair_now(*, actor: User, resource: Resource, keys: Collection[str]) -> RepairReport:
    """Mend the differences that somebody confirmed, by their keys, and check again.

    Raises ForbiddenError, ConflictError (the portal only observes, or a worker is at it), TargetError.
    """
    require_admin(actor, "checks and repairs a resource")
    if installation.is_observing():
        raise ConflictError("The portal only observes.", why="Its database was restored.", todo="Confirm that first.")
    if strangers.is_paused(resource.pk):
        raise strangers.refusal(resource)
    until = _end_of_look()
    with _alone(resource.pk, patience_seconds=PATIENCE_SECONDS) as is_alone:
        _must_be_alone(resource, is_alone=is_alone)
        stored = findings_of(DriftCheck.objects.filter(resource=resource).first())
        chosen = [finding for finding in stored if finding.key in set(keys)]
        report = _repair(resource, chosen, actor=actor, until=until)
        _check(resource, until=until)
    return report


def _end_of_look() -> float:
    """Return when a look that somebody waits for is to be over, whatever the server does (monotonic)."""
    return time.monotonic() + float(settings.PORTAL_LOOK_SECONDS)


def _left(until: float, at_most: float = LOOK_SECONDS) -> float:
    """Return how long the next conversation may take; a first moment at least, in which nothing is found out late."""
    return max(min(until - time.monotonic(), at_most), 1.0)


def _check(resource: Resource, kept: Sequence[DriftFinding] = (), *, until: float = inf) -> DriftCheck:
    """Compare, and store what was found with the roles that are `kept` although nothing needs them."""
    order = _full_order(resource)
    target = resource.as_target()
    report = resync.check_drift(target, order, budget_seconds=_left(until))
    trouble = link_trouble(target, _left(until, LINK_SECONDS))
    return _store(resource, report, [*_still_true(order, report.findings), *kept], trouble)


def _still_true(order: DriftOrder, findings: Collection[DriftFinding]) -> list[DriftFinding]:
    """Drop what the portal itself has changed while the target was looked at.

    A role's name is committed before the role exists: what is unknown *after* the look is an orphan.
    """
    until = {login.grant_id: login.valid_until for login in order.logins}
    ids = [finding.grant_id for finding in findings if finding.grant_id in until]
    current: dict[str, datetime | None] = {
        str(pk): expires_at
        for pk, expires_at in Grant.objects.active().filter(pk__in=ids).values_list("pk", "expires_at")
    }
    unknown = [finding.role for finding in findings if finding.kind is DriftKind.ORPHAN]
    live = set(Grant.objects.live().filter(role_name__in=unknown).values_list("role_name", flat=True))
    kept = []
    for finding in findings:
        if finding.kind is DriftKind.ORPHAN:
            is_true = finding.role not in live
        else:
            is_true = finding.grant_id not in until or current.get(finding.grant_id) == until[finding.grant_id]
        if is_true:
            kept.append(finding)
    return kept


@transaction.atomic
def _store(
    resource: Resource, report: DriftReport, findings: list[DriftFinding], trouble: TargetError | None
) -> DriftCheck:
    before = {f.key for f in findings_of(DriftCheck.objects.select_for_update().filter(resource=resource).first())}
    check, _ = DriftCheck.objects.update_or_create(
        resource=resource,
        defaults={
            "checked_at": report.checked_at,
            "took_ms": report.took_ms,
            "findings": [finding.as_json() for finding in findings[:MOST_STORED]],
            "error": {**_told(trouble), "at": report.checked_at.isoformat()} if trouble else None,
        },
    )
    availability.answered(resource.pk, Work.COMPARE)
    strangers.note_strangers(resource, findings)
    fresh = [finding for finding in findings[:MOST_STORED] if finding.key not in before]
    if fresh:
        words = [f"{finding.object}: {finding.what}" for finding in fresh[:20]]
        trail.record(None, Action.RESOURCE_DRIFT_FOUND, resource, found=len(fresh), differences=words)
    return check


def _record_failure(resource: Resource, error: TargetError) -> str:
    """Remember that a target could not be looked at, and leave it alone for a while: twice as long each time."""
    now = timezone.now()
    with transaction.atomic():
        check, _ = DriftCheck.objects.select_for_update().get_or_create(
            resource=resource, defaults={"checked_at": now, "took_ms": 0.0}
        )
        check.error = {**_told(error), "at": now.isoformat()}
        check.save(update_fields=["error"])
        tries = availability.tries_before(resource.pk, Work.COMPARE)
        pause = min(FIRST_RETRY_SECONDS * 2 ** min(tries, 10), LONGEST_RETRY_SECONDS)
        availability.failed(resource.pk, Work.COMPARE, error, pause_seconds=pause)
    logger.warning("Resource %s could not be looked at, next try in %d s: %s", resource.pk, pause, error)
    return "out of reach"


def _told(error: TargetError) -> dict[str, Any]:
    return {"what": error.what, "why": error.why, "todo": error.todo, "sqlstate": error.sqlstate}


def _repair(
    resource: Resource, findings: list[DriftFinding], *, actor: User | None, until: float = inf
) -> RepairReport:
    report = repair.repair(
        resource.as_target(), _full_order(resource), findings, budget_seconds=_left(until), until=until
    )
    ended = [finding for finding in findings if finding.kind is DriftKind.VANISHED and _end_vanished(finding, actor)]
    mended = (*report.mended, *ended)
    if mended or report.refused:
        trail.record(
            actor,
            Action.RESOURCE_DRIFT_REPAIRED,
            resource,
            mended=[f"{finding.object}: {finding.what}" for finding in mended[:50]],
            refused=[f"{finding.object}: {words}" for finding, words in report.refused[:50]],
            mended_count=len(mended),
            refused_count=len(report.refused),
        )
    return RepairReport(mended=mended, refused=report.refused)


def _end_vanished(finding: DriftFinding, actor: User | None) -> bool:
    """End a grant whose role somebody dropped, so that its absence is proved; the role is never made again."""
    if not Grant.objects.filter(pk=finding.grant_id, state=GrantState.ACTIVE).exists():
        return False
    try:
        grant_id = Grant.objects.only("pk").get(pk=finding.grant_id, state__in=HELD_STATES).pk
        begin_end(actor=actor, grant_id=grant_id, reason=EndReason.REVOKED, action=Action.GRANT_ROLE_VANISHED)
    except (ConflictError, Grant.DoesNotExist):
        return False
    return True


@contextmanager
def _alone(resource_id: int, *, patience_seconds: float = 0.0) -> Iterator[bool]:
    """Hold the resource's turn, across all workers; yields False when somebody else has it.

    A lock of the database session: it is free again when this process dies, and no transaction is open meanwhile.
    """
    until = time.monotonic() + patience_seconds
    with connection.cursor() as cursor:
        while True:
            cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [LOCK, resource_id])
            is_alone = bool((cursor.fetchone() or (False,))[0])
            if is_alone or time.monotonic() >= until:
                break
            time.sleep(0.05)
    try:
        yield is_alone
    finally:
        if is_alone:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [LOCK, resource_id])


def _must_be_alone(resource: Resource, *, is_alone: bool) -> None:
    if not is_alone:
        raise ConflictError(f"A worker is looking at “{resource}” right now.", todo="Try again in a moment.")
