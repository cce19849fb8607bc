"""Roles with this portal's signed tag that it does not know: access through their resource is paused, and nothing else.

Nobody without the portal's key can make such a role, so that it means one of two things: the portal's state was taken
back to an earlier moment, or another portal works with the same key. Giving and repairing there wait for an admin.
Endings of grants that the portal knows go on, there and everywhere.
"""

from __future__ import annotations

from collections.abc import Collection

from django.db import transaction
from django.utils import timezone

from accessmgmt.domain.actions import Action
from accessmgmt.domain.drift import DriftFinding, DriftKind
from accessmgmt.domain.errors import ConflictError, TargetUnavailable
from accessmgmt.models import Grant, Resource, User
from accessmgmt.policy.people import require_admin
from accessmgmt.services.audit import trail

MOST_KEPT = 1_000


class GivingPaused(TargetUnavailable):
    """Nothing is given on the resource until an admin has looked at it."""


def note_strangers(resource: Resource, findings: Collection[DriftFinding]) -> None:
    """Pause giving on a resource whose check found roles of ours that no grant ever had; in the caller's transaction.

    The role of a grant that is over can come back with a server that was away: that one is known, and is ended again.
    """
    found = {finding.role for finding in findings if finding.kind is DriftKind.ORPHAN}
    unknown = found - set(Grant.objects.filter(role_name__in=found).values_list("role_name", flat=True))
    row = Resource.objects.select_for_update(no_key=True).get(pk=resource.pk)
    fresh = unknown - set(row.accepted_strangers) - set(row.strangers)
    if not fresh:
        return
    row.strangers = sorted({*row.strangers, *fresh})[:MOST_KEPT]
    row.paused_since = row.paused_since or timezone.now()
    row.save(update_fields=["strangers", "paused_since"])
    trail.record(None, Action.RESOURCE_PAUSED, row, roles=sorted(fresh)[:50], count=len(fresh))


def is_paused(resource_id: int) -> bool:
    """Say whether nothing is given or repaired on a resource until an admin has looked at it."""
    return Resource.objects.filter(pk=resource_id, paused_since__isnull=False).exists()


def refusal(resource: Resource) -> ConflictError:
    """Say to a person why nothing is given or repaired."""
    return ConflictError(f"“{resource.name}” gives no access at the moment.", why=_WHY, todo=_TODO)


def put_off(resource: Resource) -> GivingPaused:
    """Say the same to whoever waits for a grant there."""
    return GivingPaused(f"“{resource.name}” gives no access at the moment.", why=_WHY, todo=_TODO)


_WHY = "Its server holds roles of this portal that the portal does not know."
_TODO = "An admin looks at them on the resource's page, and lets it give access again."


@transaction.atomic
def resume(*, actor: User, resource: Resource, roles: Collection[str]) -> None:
    """Let a resource give access again, whose unknown `roles` the admin has been shown; these never pause it again.

    Raises ForbiddenError, or ConflictError when it is not paused, or when other roles were found meanwhile.
    """
    require_admin(actor, "lets a resource give access again")
    row = Resource.objects.select_for_update(no_key=True).get(pk=resource.pk)
    if row.paused_since is None:
        raise ConflictError(f"“{row.name}” gives access.", why="Somebody was faster.", todo="Reload.")
    if more := set(row.strangers) - set(roles):
        raise ConflictError(
            f"More such roles were found on “{row.name}” meanwhile: {', '.join(sorted(more)[:5])}.",
            todo="Look at the page again.",
        )
    accepted = row.strangers
    row.accepted_strangers = sorted({*row.accepted_strangers, *accepted})[-MOST_KEPT:]
    row.strangers, row.paused_since = [], None
    row.save(update_fields=["accepted_strangers", "strangers", "paused_since"])
    trail.record(actor, Action.RESOURCE_RESUMED, row, roles=accepted[:50], count=len(accepted))
