"""Restore-safe mode: a portal that finds itself in another database than before only observes."""

from __future__ import annotations

from contextlib import nullcontext

from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from accessmgmt.domain.actions import Action
from accessmgmt.domain.errors import ConflictError, InvalidError
from accessmgmt.domain.states import GrantState
from accessmgmt.models import Grant, Installation, User
from accessmgmt.policy.people import require_admin
from accessmgmt.services.audit import trail

CONFIRMATION = "resume"
IDENTITY = (
    "(SELECT system_identifier::text FROM pg_control_system())",
    "(SELECT oid::text FROM pg_database WHERE datname = current_database())",
    # The timeline: a recovery to an earlier moment begins a new one. So does a failover.
    "substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)",
)


def database_identity() -> str:
    """Return which database this is: its cluster, its OID and its timeline, each "" where it cannot be read."""
    return "/".join(_ask(*IDENTITY) or [(_ask(question) or [""])[0] for question in IDENTITY])


def _ask(*questions: str) -> list[str]:
    try:
        # A question that fails must not take the caller's transaction along; alone it needs none.
        with transaction.atomic() if connection.in_atomic_block else nullcontext(), connection.cursor() as cursor:
            cursor.execute("SELECT " + ", ".join(questions))
            return [str(value) for value in cursor.fetchone() or ()]
    except DatabaseError:
        return []


def is_observing() -> bool:
    """Say whether the portal only observes: it applies, ends and repairs nothing until an admin confirms."""
    row = Installation.objects.first()
    return row is not None and (row.observing_since is not None or row.database_identity != database_identity())


def check_identity() -> bool:
    """Compare the database with the one that is remembered; say whether the portal only observes. For the sweep.

    The first start remembers. Another database means that the state may have been taken back to an earlier moment. What
    stands on a target never makes the whole portal observe: who may make roles on one server could stop endings on all.
    """
    found = database_identity()
    row, _ = Installation.objects.get_or_create(id=1, defaults={"database_identity": found})
    if row.observing_since is not None:
        return True
    if row.database_identity != found:
        return _begin_observing(
            "The portal's database is not the one it was: it was restored from a backup, moved, or has failed over."
        )
    return False


@transaction.atomic
def _begin_observing(reason: str) -> bool:
    row = Installation.objects.select_for_update().get(id=1)
    if row.observing_since is None:
        row.observing_since = timezone.now()
        row.observing_reason = reason
        row.save(update_fields=["observing_since", "observing_reason"])
        trail.record(None, Action.INSTALLATION_OBSERVING, row, reason=reason)
    return True


def what_will_happen() -> dict[str, int]:
    """Count what the portal would do at once if it was confirmed now."""
    return {
        "to_end": Grant.objects.due().count() + Grant.objects.filter(state=GrantState.ENDING).count(),
        "to_apply": Grant.objects.filter(state__in=[GrantState.QUEUED, GrantState.APPLYING]).count(),
        "active": Grant.objects.active().count(),
    }


@transaction.atomic
def confirm(*, actor: User, word: str) -> None:
    """Let the portal act again in the database that it is in now; whoever confirms types CONFIRMATION.

    Raises ForbiddenError, InvalidError (field `word`), or ConflictError when it does not only observe.
    """
    require_admin(actor, "lets the portal act again")
    if word.strip().lower() != CONFIRMATION:
        text = f"Type “{CONFIRMATION}”."
        raise InvalidError("The word is not the one that was asked for.", todo=text, fields={"word": [text]})
    row = Installation.objects.select_for_update().filter(observing_since__isnull=False).first()
    if row is None:
        raise ConflictError("The portal is not only observing.", why="Somebody was faster.", todo="Reload.")
    before, reason, since = row.database_identity, row.observing_reason, row.observing_since
    row.database_identity = database_identity()
    row.observing_since, row.observing_reason = None, ""
    row.confirmed_at, row.confirmed_by = timezone.now(), actor
    row.save(update_fields=["database_identity", "observing_since", "observing_reason", "confirmed_at", "confirmed_by"])
    trail.record(
        actor,
        Action.INSTALLATION_CONFIRMED,
        row,
        reason=reason,
        since=since.isoformat() if since else None,
        was=before,
        now=row.database_identity,
        **what_will_happen(),
    )
