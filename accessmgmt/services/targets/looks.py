"""Looks that people ask for: asked here, done by a worker (look_work.py), followed by the page that shows the row.

No web request speaks to a target. The row is the queue: a message only wakes a worker, and the sweep finds rows whose
message was lost, whose worker was killed, or whose time is over.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now

from accessmgmt import waking
from accessmgmt.domain.errors import AccessError, ConflictError, InvalidError, TargetUnavailable
from accessmgmt.domain.looks import LookKind, LookState
from accessmgmt.models import Resource, TargetLook, User
from accessmgmt.models.fields import EncryptedTextField
from accessmgmt.models.target_look import TargetLookQuerySet
from accessmgmt.policy.people import require_admin
from accessmgmt.services.setup.resources import check_move
from accessmgmt.waking import Task

WAKE_AGAIN_SECONDS = 3
LONGEST_WAIT = timedelta(minutes=10)
MOST_ATTEMPTS = 2
KEPT = timedelta(days=7)
UNSAVED_KEPT = timedelta(hours=1)


def ask_for_test(*, actor: User, resource: Resource) -> TargetLook:
    """Ask for the connection test of a stored resource. Raises ForbiddenError."""
    return _ask(actor, LookKind.CONNECTION, resource)


def ask_for_unsaved_test(*, actor: User, resource: Resource) -> TargetLook:
    """Ask for the connection test of what stands in a form. Another one that the person still waits for is given up.

    Raises ForbiddenError.
    """
    order, secrets = packed(resource)
    return _ask(actor, LookKind.UNSAVED, None, order, secrets)


def ask_for_move(*, actor: User, resource: Resource) -> TargetLook:
    """Ask whether a changed address leads to the same server; `resource` is stored by the worker when it does.

    Raises ForbiddenError, ConflictError.
    """
    check_move(resource)
    order, secrets = packed(resource)
    before = Resource.objects.get(pk=resource.pk)
    return _ask(actor, LookKind.MOVE, before, {**order, "changed_at": before.updated_at.isoformat()}, secrets)


def ask_for_check(*, actor: User, resource: Resource) -> TargetLook:
    """Ask for a comparison of the resource with what the portal gave there. Raises ForbiddenError."""
    return _ask(actor, LookKind.DRIFT, resource)


def ask_for_repair(*, actor: User, resource: Resource, keys: list[str]) -> TargetLook:
    """Ask for the repair of differences by their keys. Raises ForbiddenError, ConflictError while others are mended."""
    return _ask(actor, LookKind.REPAIR, resource, {"keys": sorted(keys)})


@transaction.atomic
def _ask(
    actor: User, kind: LookKind, resource: Resource | None, order: dict[str, Any] | None = None, secrets: str = ""
) -> TargetLook:
    """Store a look and wake a worker; who asks twice gets the look that is on its way."""
    require_admin(actor, "lets the portal look at a server")
    order = order or {}
    # Whoever asks at the same time waits here, and then finds the row.
    if resource is None:
        User.objects.select_for_update(no_key=True).get(pk=actor.pk)
        present = TargetLook.objects.live().filter(kind=kind, asked_by=actor).select_for_update().first()
    else:
        Resource.objects.select_for_update(no_key=True).get(pk=resource.pk)
        present = TargetLook.objects.live().filter(kind=kind, resource=resource).select_related("asked_by").first()
    if present is not None:
        if (present.order, present.secrets) == (order, secrets):
            return present
        if resource is not None:
            raise ConflictError(
                f"Another such look at “{resource}” is on its way.",
                why=f"{present.asked_by} asked for it a moment ago.",
                todo="Wait until it is over, look at what it found, and ask again.",
            )
        finish(present, error=ConflictError("It was given up.", why="You asked for another test meanwhile."))
    look = TargetLook.objects.create(
        kind=kind,
        resource=resource,
        asked_by=actor,
        order=order,
        secrets=secrets,
        wake_at=Now() + timedelta(seconds=WAKE_AGAIN_SECONDS),
    )
    waking.wake(Task.LOOK_AT_TARGET, look.pk)
    return look


def packed(resource: Resource) -> tuple[dict[str, Any], str]:
    """Return what a form says of a resource, as a look keeps it: what is no secret, and the secrets as one text."""
    fields = [f for f in Resource._meta.concrete_fields if f.editable and f.attname != "id"]
    values = {field: getattr(resource, field.attname) for field in fields}
    secrets = {field.attname: value for field, value in values.items() if isinstance(field, EncryptedTextField)}
    return (
        {field.attname: value for field, value in values.items() if field.attname not in secrets},
        json.dumps(secrets, sort_keys=True),
    )


def unpacked(look: TargetLook) -> Resource:
    """Return the resource as the form that a look was asked with would store it; nothing is stored."""
    resource = Resource.objects.get(pk=look.resource_id) if look.resource_id else Resource()
    names = {field.attname for field in Resource._meta.concrete_fields}
    for name, value in {**look.order, **json.loads(look.secrets or "{}")}.items():
        if name in names:
            setattr(resource, name, value)
    return resource


def finish(look: TargetLook, *, result: dict[str, Any] | None = None, error: AccessError | None = None) -> None:
    """Write what came of a look, and erase its secrets. In the caller's transaction, which holds the row."""
    look.state = LookState.DONE if error is None else LookState.FAILED
    look.error = None if error is None else _told(error)
    look.result = result or {}
    look.secrets = ""
    look.lease_token = look.lease_until = None
    TargetLook.objects.filter(pk=look.pk).update(
        state=look.state,
        error=look.error,
        result=look.result,
        secrets="",
        lease_token=None,
        lease_until=None,
        finished_at=Now(),
    )


def _told(error: AccessError) -> dict[str, Any]:
    fields = error.fields if isinstance(error, InvalidError) else {}
    return {"what": error.what, "why": error.why, "todo": error.todo, "fields": fields}


def sweep() -> int:
    """Give up looks whose time is over, and wake workers for those that wait; return how many."""
    _give_up_late()
    return wake(TargetLook.objects.live().unleased().filter(wake_at__lte=Now()))


@transaction.atomic
def wake(looks: TargetLookQuerySet) -> int:
    """Wake workers for the oldest of these; the sweep leaves them alone for WAKE_AGAIN_SECONDS then."""
    oldest = looks.select_for_update(skip_locked=True).order_by("asked_at")
    pks = list(oldest.values_list("pk", flat=True)[: 4 * settings.PORTAL_LOOKS_AT_ONCE])
    TargetLook.objects.filter(pk__in=pks).update(wake_at=Now() + timedelta(seconds=WAKE_AGAIN_SECONDS))
    for pk in pks:
        waking.wake(Task.LOOK_AT_TARGET, pk)
    return len(pks)


@transaction.atomic
def _give_up_late() -> None:
    running = TargetLook.objects.running()
    is_killed = Q(lease_until__lte=Now(), attempts__gte=MOST_ATTEMPTS)
    ignored = TargetLook.objects.filter(state=LookState.QUEUED, asked_at__lte=Now() - LONGEST_WAIT)
    for over, error in (
        (running.filter(deadline_at__lte=Now()), _took_too_long()),
        (running.filter(is_killed, deadline_at__gt=Now()), _stopped()),
        (ignored, _not_taken_up()),
    ):
        for look in over.defer("secrets").select_for_update(skip_locked=True):
            finish(look, error=error)


def _took_too_long() -> TargetUnavailable:
    return TargetUnavailable(
        "The look took too long.",
        why=f"It may take {settings.PORTAL_LOOK_SECONDS} seconds in all, whatever the server does.",
        todo="See how far it came, look at the server, and ask again.",
    )


def _stopped() -> TargetUnavailable:
    return TargetUnavailable(
        "The workers that did this were stopped before it was done.",
        todo="Ask again. If it happens again, look into the log of the looks worker.",
    )


def _not_taken_up() -> TargetUnavailable:
    return TargetUnavailable(
        f"No worker took this up within {LONGEST_WAIT.seconds // 60} minutes.",
        why="None is running that serves the queue “looks”, or too much waits there.",
        todo="Ask whoever runs the portal to start one (celery -A portal worker -Q looks), then ask again.",
    )


def forget_old() -> int:
    """Delete looks of long ago, but for the newest of each kind at a resource; return how many."""
    newer = TargetLook.objects.filter(
        resource=OuterRef("resource"), kind=OuterRef("kind"), finished_at__gt=OuterRef("finished_at")
    )
    old = Q(resource__isnull=False, finished_at__lt=Now() - KEPT) & Exists(newer)
    unsaved = Q(resource__isnull=True, finished_at__lt=Now() - UNSAVED_KEPT)
    return TargetLook.objects.filter(old | unsaved).delete()[0]
