"""The one memory of servers that do not answer: who asks again, when, and what an answer frees.

Each kind of work keeps its own turn (models/target_silence.py), so that nothing that applies or compares can hold up an
ending. An answer frees the work that got it, and all that needs no more servers of the cluster than that.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from accessmgmt.domain.errors import TargetError, TargetUnavailable
from accessmgmt.domain.states import GrantState, Work
from accessmgmt.models import Grant, Resource, TargetSilence
from accessmgmt.services.grants import leases

TURN_SECONDS = 30
LONG_SECONDS = 2.0
# Comparing asks the primary alone; applying waits for its standby, too; ending looks at every server of the cluster.
FREED_BY = {
    Work.COMPARE: (Work.COMPARE,),
    Work.APPLY: (Work.COMPARE, Work.APPLY),
    Work.END: tuple(Work),
}
WAITING = {
    Work.APPLY: (GrantState.QUEUED, GrantState.APPLYING),
    Work.END: (GrantState.ENDING,),
}


class StillSilent(TargetUnavailable):
    """The resource was not asked, because it did not answer others."""


def silences_of(resource: Resource) -> list[TargetSilence]:
    """Return what is remembered of a resource's server: nothing, when it answered last."""
    return list(TargetSilence.objects.filter(resource=resource))


def still_silent(resource: Resource, silences: Iterable[TargetSilence]) -> StillSilent | None:
    """Say why the resource is not asked to apply now; None when it answered last, or when it is this worker's turn.

    A turn lasts TURN_SECONDS, longer than an apply may take: then somebody else may ask.
    """
    silence = next((silence for silence in silences if silence.work == Work.APPLY), None)
    if silence is None:
        return None
    if silence.ask_again_at <= timezone.now():
        mine = TargetSilence.objects.filter(pk=silence.pk, ask_again_at=silence.ask_again_at)
        if mine.update(ask_again_at=Now() + timedelta(seconds=TURN_SECONDS)):
            return None
    return StillSilent(
        f"“{resource.name}” did not answer a moment ago.",
        why="One worker at a time asks it again, less and less often; all that waits goes on as soon as it answers.",
        todo="Look at the server, or test the connection of the resource.",
    )


def apply_failed(resource: Resource, error: TargetError, took_seconds: float) -> None:
    """Leave the resource alone for 1, 2, 4 ... at most 60 seconds, when the failure kept a worker for LONG_SECONDS.

    A server that refuses at once keeps nobody waiting: what waits for it may go on asking.
    """
    if took_seconds < LONG_SECONDS:
        _free(resource.pk, (Work.APPLY,))
        return
    pause = leases.backoff_seconds(tries_before(resource.pk, Work.APPLY) + 1)
    failed(resource.pk, Work.APPLY, error, pause_seconds=pause)


@transaction.atomic
def failed(resource_id: int, work: Work, error: TargetError, *, pause_seconds: float) -> None:
    """Remember that a server did not answer, and leave it alone for a while."""
    again = {
        "ask_again_at": Now() + timedelta(seconds=pause_seconds),
        "what": error.what,
        "why": error.why,
    }
    silence, is_new = TargetSilence.objects.get_or_create(
        resource_id=resource_id, work=work, defaults={**again, "since": Now()}
    )
    if not is_new:
        TargetSilence.objects.filter(pk=silence.pk).update(**again, tries=F("tries") + 1)


def tries_before(resource_id: int, work: Work) -> int:
    """Return how often in a row the server did not answer this work."""
    tries = TargetSilence.objects.filter(resource=resource_id, work=work).values_list("tries", flat=True)
    return tries.first() or 0


def answered(resource_id: int, work: Work) -> bool:
    """Let everything go on that waits for what this work has got; say whether something did."""
    return _free(resource_id, FREED_BY[work])


def forget(resource_id: int) -> bool:
    """Let everything that waits for a resource ask at once: its connection was tested, or it was changed."""
    return _free(resource_id, tuple(Work))


@transaction.atomic
def _free(resource_id: int, works: tuple[Work, ...]) -> bool:
    silences = TargetSilence.objects.filter(resource_id=resource_id, work__in=works)
    freed = list(silences.values_list("work", flat=True))
    if not freed:
        return False
    silences.delete()
    states = [state for work in freed for state in WAITING.get(Work(work), ())]
    Grant.objects.filter(resource_id=resource_id, state__in=states).unleased().update(next_attempt_at=Now())
    return True
