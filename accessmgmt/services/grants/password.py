"""The password of a grant, for its own person alone."""

from __future__ import annotations

from django.db import transaction
from django.db.models.functions import Now

from accessmgmt.domain.actions import Action
from accessmgmt.domain.errors import ConflictError
from accessmgmt.models import Grant, User
from accessmgmt.policy.access import require_reader_of_password
from accessmgmt.services.audit import trail


@transaction.atomic
def reveal_password(*, actor: User, grant: Grant) -> str:
    """Return the password of one's own active grant; each look is audited.

    Raises ForbiddenError for somebody else's grant, admins included, and ConflictError when it is not active.
    """
    require_reader_of_password(actor, grant)
    current = Grant.objects.active().filter(pk=grant.pk, expires_at__gt=Now()).select_related("endpoint").first()
    if current is None:
        raise ConflictError(
            "There is no password to show.", why="This access is not active.", todo="Activate it again."
        )
    trail.record(actor, Action.GRANT_PASSWORD_SHOWN, current, role=current.role_name)
    return current.password
