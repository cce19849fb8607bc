"""Grants in lists."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Q, QuerySet

from accessmgmt.domain.emails import search_spelling
from accessmgmt.domain.states import GrantState
from accessmgmt.domain.words import LIVE, OVERDUE
from accessmgmt.models import Endpoint, Grant, User


def held_grant_on(user: User, endpoint: Endpoint) -> Grant | None:
    """The person's grant on the endpoint that is active or on its way."""
    return Grant.objects.held().filter(user=user, endpoint=endpoint).select_related("endpoint", "resource").first()


GRANT_FILTERS = (LIVE, OVERDUE, *(state.value for state in GrantState))


def grants_for_list(
    *, person: str = "", resource: int | None = None, endpoint: int | None = None, state: str = ""
) -> QuerySet[Grant]:
    """Everybody's grants, newest first. `person` is part of an address or a name, `state` of GRANT_FILTERS or ""."""
    rows = Grant.objects.select_related("user", "endpoint", "resource").order_by("-queued_at", "pk")
    if person:
        rows = rows.filter(Q(user__email__icontains=search_spelling(person)) | Q(user__name__icontains=person))
    if resource is not None:
        rows = rows.filter(resource_id=resource)
    if endpoint is not None:
        rows = rows.filter(endpoint_id=endpoint)
    if state == OVERDUE:
        return rows & Grant.objects.overdue()
    if state == LIVE:
        return rows & Grant.objects.live()
    return rows.filter(state=state) if state else rows


def time_to_poll(grant: Grant, now: datetime) -> str:
    """Return htmx's delay until the grant's card should look again, "" when nothing will change by itself.

    Often at first, then less, so that a server that is away is not asked for five times a second.
    """
    if grant.state == GrantState.ACTIVE and grant.expires_at:
        left = grant.expires_at - now + timedelta(seconds=1)
        return f"{max(1, int(left.total_seconds()))}s" if left < timedelta(days=1) else ""
    if grant.is_over or grant.state == GrantState.ACTIVE:
        return ""
    since = grant.end_requested_at if grant.state == GrantState.ENDING and grant.end_requested_at else grant.queued_at
    waited = (now - since).total_seconds()
    return "200ms" if waited < 5 else "1s" if waited < 30 else "5s"
