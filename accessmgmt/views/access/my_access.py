"""The home of a member: what is active, what may be activated, what was asked for."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe
from django.views.decorators.vary import vary_on_headers

from accessmgmt.domain.errors import ConflictError
from accessmgmt.domain.states import GrantState
from accessmgmt.models import Grant
from accessmgmt.selectors.access.endpoints import (
    EndpointRow,
    endpoints_found,
    endpoints_of_others,
    get_endpoint_for_user,
)
from accessmgmt.selectors.access.grants import held_grant_on, time_to_poll
from accessmgmt.selectors.access.own import approver_names, endpoints_of_groups, grants_held_by, recent_grants_of
from accessmgmt.selectors.access.requests import pending_with_approvers
from accessmgmt.services.grants.activate import activate_endpoint
from accessmgmt.views.paging import OWN_ENDPOINTS_A_PAGE, page_of
from accessmgmt.views.permissions import UserRequest
from accessmgmt.views.query import clean_search

MOST_TO_ASK_FOR = 8


@require_safe
@vary_on_headers("HX-Request")
def my_access(request: UserRequest) -> HttpResponse:
    """Show the three bands; a search by htmx gets the endpoints only."""
    user = request.user
    grants = list(grants_held_by(user))
    pending = pending_with_approvers(user)
    context = _endpoints(request, grants, {row.endpoint_id: row for row in pending})
    if request.htmx:
        return render(request, "access/my_access/index.html#endpoints", context)
    now = timezone.now()
    context |= {
        "cards": [{"grant": grant, "poll": time_to_poll(grant, now)} for grant in grants],
        "pending": [{"request": row, "approvers": approver_names(row.endpoint)} for row in pending],
        "recent": list(recent_grants_of(user, limit=5)),
    }
    return render(request, "access/my_access/index.html", context)


def _endpoints(request: UserRequest, grants: list[Grant], requests: dict[int, Any]) -> dict[str, Any]:
    """Return both lists of endpoints: those of the person's groups, and the first of those to ask for."""
    user, search = request.user, clean_search(request.GET.get("q"))
    held = {grant.endpoint_id: grant for grant in grants if grant.state != GrantState.ENDING}
    page = page_of(request, endpoints_found(endpoints_of_groups(user), search), OWN_ENDPOINTS_A_PAGE)
    others = list(endpoints_found(endpoints_of_others(user), search)[: MOST_TO_ASK_FOR + 1])

    def row(endpoint: Any) -> EndpointRow:
        return EndpointRow(endpoint, held.get(endpoint.pk), requests.get(endpoint.pk))

    return {
        "search": search,
        "page": page,
        "mine": [row(endpoint) for endpoint in page],
        "others": [row(endpoint) for endpoint in others[:MOST_TO_ASK_FOR]],
        "has_more_others": len(others) > MOST_TO_ASK_FOR,
    }


@require_POST
def activate(request: UserRequest, pk: int) -> HttpResponse:
    """Activate an endpoint; who clicks twice gets the grant of the first click."""
    endpoint = get_endpoint_for_user(request.user, pk)
    try:
        grant = activate_endpoint(actor=request.user, endpoint=endpoint)
    except ConflictError:
        held = held_grant_on(request.user, endpoint)
        if held is None:
            raise
        grant = held
    if request.htmx:
        return render_card(request, grant)
    return redirect("accessmgmt:grant-detail", pk=grant.pk)


def render_card(request: UserRequest, grant: Grant) -> HttpResponse:
    """Return a grant's card, which looks again by itself while something is on its way."""
    card = {"grant": grant, "poll": time_to_poll(grant, timezone.now())}
    return render(request, "access/my_access/index.html#card", {"card": card})
