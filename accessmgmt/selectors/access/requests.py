"""Requests in lists."""

from __future__ import annotations

from django.db.models import Q, QuerySet

from accessmgmt.domain.emails import search_spelling
from accessmgmt.models import AccessRequest, User
from accessmgmt.selectors.access.own import (
    pending_requests_of,
    requests_settled,
)


def pending_with_approvers(user: User) -> list[AccessRequest]:
    """The person's pending requests, with the approvers of each at hand."""
    return list(pending_requests_of(user).prefetch_related("endpoint__approvers"))


def requests_for_history(
    user: User, *, search: str = "", state: str = "", is_own: bool = False
) -> QuerySet[AccessRequest]:
    """Requests that are over, filtered by person or endpoint, by state, or to the person's own ones."""
    rows = requests_settled(user)
    if search:
        rows = rows.filter(
            Q(user__email__icontains=search_spelling(search))
            | Q(user__name__icontains=search)
            | Q(endpoint__name__icontains=search)
        )
    if state:
        rows = rows.filter(state=state)
    return rows.filter(user=user) if is_own else rows
