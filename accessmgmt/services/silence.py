"""Resources that keep workers waiting: one worker at a time asks again, less and less often; the others stay free.

For applying; endings have a rule of their own (see endings.py), so that nothing that applies can hold them up.
"""

from __future__ import annotations

from datetime import timedelta

from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from accessmgmt.domain.errors import TargetUnavailable
from accessmgmt.domain.states import GrantState
from accessmgmt.models import Grant, Resource
from accessmgmt.services import leases

TURN_SECONDS = 30
LONG_SECONDS = 2.0


class StillSilent(TargetUnavailable):
    """The resource was not asked, because it did not answer others."""


def still_silent(resource: Resource) -> StillSilent | None:
    """Say why the resource is not asked now; None when it answered last, or when it is this worker's turn to ask.

    A turn lasts TURN_SECONDS, longer than an apply may take: then somebody else may ask.
    """
    if resource.silent_until is None:
        return None
    if resource.silent_until <= timezone.now():
        mine = Resource.objects.filter(pk=resource.pk, silent_until=resource.silent_until)
        if mine.update(silent_until=Now() + timedelta(seconds=TURN_SECONDS)):
            return None
    return StillSilent(
        f"“{resource.name}” did not answer a moment ago.",
        why="The portal asks it again by and by; what waits for it goes on as soon as it answers.",
        todo="Look at the server, or test the connection of the resource.",
    )


def failed(resource: Resource, took_seconds: float) -> None:
    """Leave the resource alone for 1, 2, 4 ... at most 60 seconds, when the failure kept a worker for LONG_SECONDS."""
    if took_seconds < LONG_SECONDS:
        answered(resource)
        return
    delay = timedelta(seconds=leases.backoff_seconds(resource.silent_tries + 1))
    Resource.objects.filter(pk=resource.pk).update(silent_until=Now() + delay, silent_tries=F("silent_tries") + 1)


def answered(resource: Resource) -> None:
    """Let everything that waits for the resource go on."""
    if resource.silent_until is None:
        return
    Resource.objects.filter(pk=resource.pk).update(silent_until=None, silent_tries=0)
    waiting = Grant.objects.filter(resource=resource, state__in=(GrantState.QUEUED, GrantState.APPLYING))
    waiting.unleased().update(next_attempt_at=Now())
