"""Who works on a grant now: one UPDATE gives a lease, and only its holder records what came of the work."""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from accessmgmt.domain.errors import TargetError, TargetUnavailable
from accessmgmt.domain.states import GrantState
from accessmgmt.models import Grant, TargetLook
from accessmgmt.services.grants import moves

logger = logging.getLogger(__name__)
LONGEST_BACKOFF_SECONDS = 60


def claim(grant_id: uuid.UUID | str, states: tuple[GrantState, ...]) -> Grant | None:
    """Take the lease of a row in one of the states, if no other worker holds it; None when there is nothing to do.

    One UPDATE decides; a queued row becomes `applying` in it. The lease outlives the budget that the engine gets, so
    that a worker that was paused cannot act after another one took over.
    """
    lease = {"lease_token": uuid.uuid4(), "lease_until": lease_end(), "attempts": F("attempts") + 1}
    free = Grant.objects.filter(pk=grant_id).unleased()
    taken = 0
    if GrantState.QUEUED in states:
        taken = moves.move_grants(free, moves.take_up(), **lease)
    if not taken and not free.filter(state__in=states).update(**lease):
        return None
    mine = Grant.objects.filter(pk=grant_id, lease_token=lease["lease_token"])  # held up for a lease, it is not ours
    return mine.select_related("user", "endpoint", "resource").first()


def lease_end() -> Any:
    """Return when a lease that begins now is over, by the database's clock."""
    return Now() + timedelta(seconds=settings.PORTAL_LEASE_SECONDS)


def renew_lease(grant_id: uuid.UUID, token: uuid.UUID | None) -> None:
    """Keep the lease during long work. Raises TargetError when another worker holds it by now."""
    renewed = Grant.objects.filter(pk=grant_id, lease_token=token).update(lease_until=lease_end())
    if not renewed:
        raise TargetError("Another worker has taken over this grant.")


@contextmanager
def kept(rows: Sequence[Grant] | Sequence[TargetLook]) -> Iterator[None]:
    """Keep the leases of rows, which one claim took, during work that may outlast them.

    A killed worker keeps nothing, so its rows are free again after one lease; a hung one is cut by the engine's budget.
    """
    token = rows[0].lease_token
    keeper = _keeper_of_this_process()
    keeper.keep(token, _Held(type(rows[0]), tuple(row.pk for row in rows)))
    try:
        yield
    finally:
        keeper.leave(token)


@dataclass(frozen=True, slots=True)
class _Held:
    """The rows of one table that one piece of work holds."""

    model: type[Grant] | type[TargetLook]
    pks: tuple[uuid.UUID, ...]


class _Keeper:
    """The one thread of a process that keeps the leases of all its work, over one connection to the database."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._held: dict[uuid.UUID | None, _Held] = {}
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="lease-keeper", daemon=True).start()

    def keep(self, token: uuid.UUID | None, rows: _Held) -> None:
        with self._changed:
            self._held[token] = rows
            if len(self._held) == 1:
                self._changed.notify()

    def leave(self, token: uuid.UUID | None) -> None:
        with self._changed:
            self._held.pop(token, None)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._held)
            time.sleep(settings.PORTAL_LEASE_SECONDS / 4)
            with self._changed:
                held = dict(self._held)
            if held:
                self._renew(held)

    def _renew(self, held: dict[uuid.UUID | None, _Held]) -> None:
        """Keep all of them. A row that somebody has locked is being recorded: nobody waits for it here."""
        try:
            for model in {rows.model for rows in held.values()}:
                pks = [pk for rows in held.values() if rows.model is model for pk in rows.pks]
                with transaction.atomic():
                    mine = model._default_manager.filter(pk__in=pks, lease_token__in=held)
                    free = list(mine.select_for_update(skip_locked=True).values_list("pk", flat=True))
                    model._default_manager.filter(pk__in=free).update(lease_until=lease_end())
        except DatabaseError:
            logger.exception("the leases of %d rows could not be kept now", sum(len(r.pks) for r in held.values()))
        finally:
            connection.close()


_keeper: _Keeper | None = None
_keeper_lock = threading.Lock()


def _keeper_of_this_process() -> _Keeper:
    """Return the keeper; a child after fork has none of its parent's threads and makes its own."""
    global _keeper
    with _keeper_lock:
        if _keeper is None or _keeper.pid != os.getpid():
            _keeper = _Keeper()
        return _keeper


def unexpected(error: Exception, *, next_step: str = "It is tried again by itself.") -> TargetError:
    """Log a fault of our own and wrap it without its words, which may hold secrets, to stand at a grant or a look."""
    logger.exception("unexpected %s", type(error).__name__)
    return TargetUnavailable(
        "The portal itself failed at this work.",
        why=f"It was a {type(error).__name__}; the workers' log has the rest.",
        todo=f"{next_step} If this stays so, ask whoever runs the portal.",
    )


def locked(grant: Grant) -> Grant | None:
    """Lock the row if this worker still holds its lease."""
    return (
        Grant.objects.select_for_update(of=("self",))
        .select_related("endpoint")
        .filter(pk=grant.pk, lease_token=grant.lease_token)
        .first()
    )


def backoff_seconds(attempts: int) -> int:
    """Return 1, 2, 4 ... at most 60 seconds. There is no last try."""
    return int(min(2 ** min(max(attempts - 1, 0), 10), LONGEST_BACKOFF_SECONDS))


def as_json(error: TargetError) -> dict[str, Any]:
    """Return an error as a grant's row keeps it."""
    return {
        "what": error.what,
        "why": error.why,
        "todo": error.todo,
        "sqlstate": error.sqlstate,
        "at": timezone.now().isoformat(),
    }
