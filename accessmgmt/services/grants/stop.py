"""Ending access before its time: by its person, by an admin, or because its role has vanished."""

from __future__ import annotations

import uuid

from django.db import transaction

from accessmgmt import waking
from accessmgmt.domain.actions import Action
from accessmgmt.domain.errors import ConflictError
from accessmgmt.domain.states import EndReason, GrantState
from accessmgmt.domain.words import state_words
from accessmgmt.models import Grant, User
from accessmgmt.models.grant import HELD_STATES
from accessmgmt.policy.access import require_releaser, require_revoker
from accessmgmt.services.audit import trail
from accessmgmt.services.grants import moves
from accessmgmt.waking import Task


def release_grant(*, actor: User, grant: Grant) -> Grant:
    """End one's own grant early. Raises ForbiddenError for somebody else's, ConflictError when it is over already."""
    require_releaser(actor, grant)
    return begin_end(actor=actor, grant_id=grant.pk, reason=EndReason.RELEASED, action=Action.GRANT_RELEASED)


def revoke_grant(*, actor: User, grant: Grant) -> Grant:
    """End anybody's grant, as an admin. Raises ForbiddenError or ConflictError."""
    require_revoker(actor)
    return begin_end(actor=actor, grant_id=grant.pk, reason=EndReason.REVOKED, action=Action.GRANT_REVOKED)


@transaction.atomic
def begin_end(*, actor: User | None, grant_id: uuid.UUID, reason: EndReason, action: Action) -> Grant:
    """Move a held grant to `ending` and wake the ending worker.

    A grant that no worker has taken up yet ends as `cancelled`; the worker looks for its role all the same.
    Raises ConflictError when the grant is ending or over already.
    """
    grant = Grant.objects.select_for_update(of=("self",)).select_related("endpoint", "user").get(pk=grant_id)
    if grant.state not in HELD_STATES:
        raise ConflictError(
            f"This access is already {state_words(grant.state)}.",
            why="Somebody was faster, or its time was over.",
            todo="Reload.",
        )
    before = grant.state
    if before == GrantState.QUEUED:
        reason = EndReason.CANCELLED
    moves.move_grant(grant, moves.begin_ending(reason, by=actor))
    trail.record(actor, action, grant, user=grant.user.email, role=grant.role_name, was=before)
    waking.wake(Task.END_GRANTS_OF, grant.resource_id)
    return grant
