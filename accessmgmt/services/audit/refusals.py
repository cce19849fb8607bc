"""What somebody tried and was refused, and what somebody only read: recorded, but a storm of it leaves a few events."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import transaction

from accessmgmt.domain.actions import Action
from accessmgmt.domain.client_address import site_of
from accessmgmt.models import User
from accessmgmt.services.audit import trail
from accessmgmt.services.tallies import Counted, Limit, count_up

HOUR = timedelta(hours=1)
ONE_KIND = Limit("refused", free=10, forget_after=HOUR)
ALL_STRANGERS = Limit("strangers", free=500, forget_after=HOUR)
ONE_READING = Limit("read", free=1, forget_after=HOUR)
ALL_READINGS = Limit("all read", free=60, forget_after=HOUR)


@transaction.atomic
def record_refusal(
    actor: User | None, action: Action, subject: User, *, address: str, limit: Limit = ONE_KIND, **details: Any
) -> None:
    """Record what was refused to a person, or to a stranger at a network address (`actor` None).

    Of one kind by one person or place the first ten in an hour (`limit`) are recorded, then the 16th, 32nd, 64th ...
    with the number of `times`; of all strangers together the first 500 and so on: many addresses fill no disk either.
    """
    who = str(actor.pk) if actor else site_of(address)
    times = _times(limit, f"{action} {who}")
    if times and actor is None:
        times = _times(ALL_STRANGERS, "") and times
    if times:
        trail.record(actor, action, subject, address=address, **_repeated(times, limit), **details)


@transaction.atomic
def record_reading(actor: User, action: Action, narrowed: dict[str, str]) -> None:
    """Record that a person read something, and what it was narrowed to: the same once an hour, then as a download."""
    if count_up(Counted(ONE_READING, f"{action} {actor.pk} {sorted(narrowed.items())}")) == 1:
        record_download(actor, action, **({"narrowed_to": narrowed} if narrowed else {}))


@transaction.atomic
def record_download(actor: User, action: Action, **details: Any) -> None:
    """Record each time a person took something away, and ever fewer after 60 an hour."""
    times = _times(ALL_READINGS, f"{action} {actor.pk}")
    if times:
        trail.record(actor, action, actor, **_repeated(times, ALL_READINGS), **details)


def _times(limit: Limit, name: str) -> int:
    """Count one more; return the count when it is one to tell of, else 0."""
    count = count_up(Counted(limit, name))
    return count if count <= limit.free or count & (count - 1) == 0 else 0


def _repeated(times: int, limit: Limit) -> dict[str, int]:
    return {"times": times} if times > limit.free else {}
