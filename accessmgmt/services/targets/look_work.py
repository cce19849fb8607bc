"""What a worker does with a look: claim it, speak to the target outside any transaction, write what came of it.

At most one look at a resource goes on at a time, and at most PORTAL_LOOKS_AT_ONCE in the whole installation. A killed
worker's look is taken up again by another one; every kind of look may be done twice.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from accessmgmt.domain.errors import AccessError, ConflictError
from accessmgmt.domain.looks import LookKind, LookState
from accessmgmt.domain.targets import Rung
from accessmgmt.models import TargetLook
from accessmgmt.policy.people import require_admin
from accessmgmt.services.grants import leases
from accessmgmt.services.setup import resources
from accessmgmt.services.targets import connection_test, drift, looks

LOCK = 0x100C5
MOST_REFUSED_TOLD = 20


class GivenUp(Exception):
    """The look is not this worker's any more: its time is over, or nobody waits for it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a look found. `then` is done in the transaction that records it, or not at all; it raises AccessError."""

    result: dict[str, Any] = field(default_factory=dict)
    then: Callable[[], object] | None = None


def look_at_target(look_id: uuid.UUID | str) -> str:
    """Do a look if it waits for it; return what came of it, for the log."""
    look = _claim(look_id)
    if look is None:
        return "nothing to do"
    try:
        with leases.kept([look]):
            state = _do(look)
    except GivenUp:
        state = "given up"
    looks.wake(TargetLook.objects.filter(state=LookState.QUEUED))
    return state


@transaction.atomic
def _claim(look_id: uuid.UUID | str) -> TargetLook | None:
    """Take the lease of a look that waits, or whose worker is gone; None while others are at the resource, or too many.

    The lock makes the counts true; it is free again at the commit.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
    others = TargetLook.objects.running().exclude(pk=look_id)
    if others.filter(lease_until__gt=Now()).count() >= settings.PORTAL_LOOKS_AT_ONCE:
        return None
    may_be_taken = Q(state=LookState.QUEUED) | Q(state=LookState.RUNNING, attempts__lt=looks.MOST_ATTEMPTS)
    look = TargetLook.objects.unleased().filter(may_be_taken, pk=look_id).defer("secrets").select_for_update().first()
    if look is None or (look.resource_id and others.filter(resource=look.resource_id).exists()):
        return None
    TargetLook.objects.filter(pk=look.pk).update(
        state=LookState.RUNNING,
        started_at=Now(),
        deadline_at=Now() + timedelta(seconds=settings.PORTAL_LOOK_SECONDS),
        rungs=[],
        attempts=F("attempts") + 1,
        lease_token=uuid.uuid4(),
        lease_until=leases.lease_end(),
    )
    # A secret that no key opens is found out where it is needed: then it stands on the page.
    found = TargetLook.objects.select_related("asked_by", "resource__primary__primary")
    return found.defer("secrets").get(pk=look.pk)


def _do(look: TargetLook) -> str:
    try:
        require_admin(look.asked_by, "lets the portal look at a server")
        outcome = WORK[LookKind(look.kind)](look)
        return _record(look, outcome)
    except AccessError as error:
        return _record(look, error)
    except GivenUp:
        raise
    except Exception as error:  # a fault of our own must stand on the page as well, not only in a log
        return _record(look, leases.unexpected(error, next_step="Ask again."))


@transaction.atomic
def _record(look: TargetLook, outcome: Outcome | AccessError) -> str:
    """Write what came of it, if this worker holds the look still. Raises GivenUp, and what `then` raises."""
    if not _held(look).select_for_update(of=("self",)).exists():
        raise GivenUp
    if isinstance(outcome, AccessError):
        looks.finish(look, error=outcome)
    else:
        if outcome.then is not None:
            outcome.then()
        looks.finish(look, result=outcome.result)
    return look.state


def _held(look: TargetLook) -> Any:
    return TargetLook.objects.running().filter(pk=look.pk, lease_token=look.lease_token)


def _note_rungs(look: TargetLook, rungs: list[Rung]) -> None:
    """Let the page see what is known by now. Raises GivenUp."""
    if not _held(look).update(rungs=[rung.as_json() for rung in rungs]):
        raise GivenUp


def _test(look: TargetLook) -> Outcome:
    resource = looks.unpacked(look) if look.resource is None else look.resource
    connection_test.test_connection(actor=look.asked_by, resource=resource, on_rung=partial(_note_rungs, look))
    return Outcome()


def _move(look: TargetLook) -> Outcome:
    if look.resource is None:
        raise AssertionError("a stored resource moves")
    if look.resource.updated_at.isoformat() != look.order["changed_at"]:
        raise ConflictError(
            f"“{look.resource}” was changed meanwhile.", why="Somebody was faster.", todo="Look at it, and save again."
        )
    resource = looks.unpacked(look)
    connection_test.check_same_server(actor=look.asked_by, resource=resource)
    save = partial(resources.save_resource, actor=look.asked_by, resource=resource, is_same_server=True)
    return Outcome({"name": resource.name}, save)


def _check(look: TargetLook) -> Outcome:
    if look.resource is None:
        raise AssertionError("a stored resource is checked")
    check = drift.check_now(actor=look.asked_by, resource=look.resource)
    return Outcome({"found": len(check.findings)})


def _repair(look: TargetLook) -> Outcome:
    if look.resource is None:
        raise AssertionError("a stored resource is repaired")
    report = drift.repair_now(actor=look.asked_by, resource=look.resource, keys=look.order["keys"])
    refused = [f"{finding.object}: {words}" for finding, words in report.refused]
    return Outcome(
        {
            "chosen": len(look.order["keys"]),
            "mended": len(report.mended),
            "refused": refused[:MOST_REFUSED_TOLD],
            "refused_count": len(refused),
        }
    )


WORK: dict[LookKind, Callable[[TargetLook], Outcome]] = {
    LookKind.CONNECTION: _test,
    LookKind.UNSAVED: _test,
    LookKind.MOVE: _move,
    LookKind.DRIFT: _check,
    LookKind.REPAIR: _repair,
}
