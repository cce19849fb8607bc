"""Counting tries, so that nothing can be tried without end: exactly, however many come at once, at a constant cost.

A try is counted before it is made, and taken back when it was a good one. After `free` tries each further one has to
wait, twice as long each time, up to `most_wait`; what is refused meanwhile is not counted: nobody prolongs a wait.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from accessmgmt.models import Tally

MOST_DOUBLINGS = 30
KEPT = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Limit:
    """How many tries of a kind are free, and how long the next has to wait. Quiet for `forget_after` forgets all."""

    kind: str
    free: int
    forget_after: timedelta
    first_wait: timedelta = timedelta()
    most_wait: timedelta = timedelta()

    def wait_after(self, count: int) -> timedelta:
        """Return how long to wait after the try with this number, the first is 1."""
        if count < self.free:
            return timedelta()
        doublings = min(count - self.free, MOST_DOUBLINGS)
        return min(self.first_wait * (1 << doublings), self.most_wait)


@dataclass(frozen=True, slots=True)
class Counted:
    """What is counted: a limit, and the name that it is counted for (an account, a network address)."""

    limit: Limit
    name: str

    @property
    def key(self) -> str:
        """The primary key of its row."""
        return hashlib.sha256(f"{self.limit.kind}\x00{self.name}".encode()).hexdigest()


@transaction.atomic
def take_try(counted: Iterable[Counted]) -> datetime | None:
    """Count a try for each. Returns None when it may be made; when one has to wait, until when, and counts nothing."""
    now = timezone.now()
    rows = _locked(counted, now)
    waits = [row.wait_until for _, row in rows if row.wait_until is not None and row.wait_until > now]
    if waits:
        return max(waits)
    for limit, row in rows:
        row.count += 1
        row.wait_until = now + limit.wait_after(row.count)
        row.forget_at = row.wait_until + limit.forget_after
    _save(rows)
    return None


@transaction.atomic
def give_try_back(counted: Iterable[Counted]) -> None:
    """Take back a try that was a good one, with the wait that it began."""
    rows = _locked(counted, timezone.now())
    for _, row in rows:
        row.count = max(row.count - 1, 0)
        row.wait_until = None
    _save(rows)


def forget_tries(counted: Counted) -> None:
    """Begin anew."""
    Tally.objects.filter(pk=counted.key).update(count=0, wait_until=None)


@transaction.atomic
def count_up(counted: Counted) -> int:
    """Count one more, and return the count."""
    now = timezone.now()
    ((limit, row),) = rows = _locked([counted], now)
    if not row.count:
        row.forget_at = now + limit.forget_after
    row.count += 1
    _save(rows)
    return row.count


def forget_old() -> int:
    """Throw away rows that have stood for nothing for a while; return how many."""
    return Tally.objects.filter(forget_at__lt=timezone.now() - KEPT).delete()[0]


def _locked(counted: Iterable[Counted], now: datetime) -> list[tuple[Limit, Tally]]:
    """Make and lock the rows, all in one order, so that two who want the same ones never wait for each other."""
    limits = {one.key: one.limit for one in counted}
    keys = sorted(limits)
    rows: dict[str, Tally] = {}
    while len(rows) < len(keys):  # again only when a row was thrown away between the two statements
        Tally.objects.bulk_create([Tally(pk=key, forget_at=now) for key in keys], ignore_conflicts=True)
        rows = {row.pk: row for row in Tally.objects.select_for_update().filter(pk__in=keys).order_by("pk")}
    for row in rows.values():
        if row.forget_at <= now:
            row.count, row.wait_until = 0, None
    return [(limits[key], rows[key]) for key in keys]


def _save(rows: list[tuple[Limit, Tally]]) -> None:
    Tally.objects.bulk_update([row for _, row in rows], ["count", "wait_until", "forget_at"])
