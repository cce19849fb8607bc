"""Looks at servers that a worker is at: their progress as a fragment that asks again by itself, and as a page."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe
from django_htmx.http import HttpResponseClientRedirect

from accessmgmt.domain.looks import LookKind, LookState
from accessmgmt.models import TargetLook
from accessmgmt.policy.people import is_admin
from accessmgmt.selectors.oversight.looks import get_look_for_user, is_ignored, time_to_poll
from accessmgmt.views.oversight.drift import render_drift
from accessmgmt.views.permissions import UserRequest, auditor_required


def look_context(look: TargetLook | None) -> dict[str, object]:
    """Return what the pieces that show a look need."""
    if look is None:
        return {"look": None}
    return {"look": look, "poll": time_to_poll(look), "is_ignored": is_ignored(look)}


@auditor_required
@require_safe
def page(request: UserRequest, pk: uuid.UUID) -> HttpResponse:
    """Show a look that has no other page; any other one leads to the page that keeps its result."""
    look = get_look_for_user(request.user, pk)
    if look.kind == LookKind.UNSAVED or (look.kind == LookKind.MOVE and look.is_live):
        return render(request, "oversight/looks/page.html", look_context(look))
    if look.kind in {LookKind.DRIFT, LookKind.REPAIR}:
        return redirect("accessmgmt:resource-drift", pk=look.resource_id)
    if look.kind == LookKind.MOVE and look.state == LookState.FAILED and is_admin(request.user):
        return redirect(f"{reverse('accessmgmt:resource-edit', args=[look.resource_id])}?look={look.pk}")
    if look.kind == LookKind.MOVE and look.state == LookState.DONE:
        messages.success(request, f"It is the same server. “{look.result['name']}” is saved.")
    return redirect("accessmgmt:resource-detail", pk=look.resource_id)


@auditor_required
@require_safe
def progress(request: UserRequest, pk: uuid.UUID) -> HttpResponseBase:
    """Return how far a look is; what replaces it when it is over."""
    look = get_look_for_user(request.user, pk)
    if look.kind == LookKind.MOVE and not look.is_live:
        return HttpResponseClientRedirect(reverse("accessmgmt:look", args=[look.pk]))
    if look.kind in {LookKind.DRIFT, LookKind.REPAIR} and not look.is_live and look.resource is not None:
        response = render_drift(request, look.resource)
        response["HX-Retarget"] = "#drift"
        return response
    return render(request, "oversight/looks/page.html#progress", look_context(look))
