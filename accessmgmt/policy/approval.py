"""Who may see, decide and cancel access requests: nobody decides on their own."""

from __future__ import annotations

from collections.abc import Collection

from django.db.models import Exists, OuterRef, Q

from accessmgmt.domain.errors import ForbiddenError
from accessmgmt.models import AccessRequest, EndpointApprover, User
from accessmgmt.policy.access import EVERYTHING, NOTHING, is_own
from accessmgmt.policy.people import is_admin, is_auditor, require_active


def may_decide(user: User, row: AccessRequest, approvers: Collection[str]) -> bool:
    """Say whether the person decides on the request: an approver of its endpoint (by address) or an admin."""
    return user.is_active and row.user_id != user.pk and (is_admin(user) or user.email in approvers)


def decidable_by(user: User) -> Q:
    """Requests that the person decides on."""
    if not user.is_active:
        return NOTHING
    return ~Q(user=user) & (EVERYTHING if is_admin(user) else _approved_by(user))


def require_decider(user: User, row: AccessRequest, approvers: Collection[str]) -> None:
    """Raise ForbiddenError unless the person decides on the request."""
    require_active(user)
    if is_own(user, row):
        raise ForbiddenError("You cannot decide on your own request.", todo="Another approver has to.")
    if not may_decide(user, row, approvers):
        raise ForbiddenError(f"You are not an approver of {row.endpoint.name}.", todo="Ask one of its approvers.")


def requests_visible_to(user: User) -> Q:
    """Requests that the person may see: their own, those of endpoints they approve for, and all of them to auditors."""
    if is_auditor(user):
        return EVERYTHING
    return Q(user=user) | _approved_by(user) if user.is_active else NOTHING


def require_asker(user: User, row: AccessRequest) -> None:
    """Raise ForbiddenError unless it is the person's own request."""
    if not is_own(user, row):
        raise ForbiddenError("You can only cancel your own requests.")


def _approved_by(user: User) -> Q:
    return Q(Exists(EndpointApprover.objects.filter(endpoint=OuterRef("endpoint"), email=user.email)))
