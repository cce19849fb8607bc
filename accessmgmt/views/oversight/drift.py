"""What differs between a resource and what the portal gave there: look, ask for a check, ask for a repair."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from accessmgmt.domain.looks import LookKind
from accessmgmt.models import DriftCheck, Resource
from accessmgmt.selectors.oversight.drift import findings_by_kind, findings_of, newest_changes
from accessmgmt.selectors.oversight.looks import is_ignored, newest_look, time_to_poll
from accessmgmt.services import installation
from accessmgmt.services.targets import looks
from accessmgmt.views.permissions import UserRequest, admin_required, auditor_required


@auditor_required
@require_safe
def detail(request: UserRequest, pk: int) -> HttpResponse:
    """Show what the newest check found."""
    return render(request, "oversight/drift/detail.html", _context(_get(pk)))


def render_drift(request: UserRequest, resource: Resource) -> HttpResponse:
    """Return the part of the page that a look changes."""
    return render(request, "oversight/drift/detail.html#drift", _context(resource))


@admin_required
@require_POST
def check(request: UserRequest, pk: int) -> HttpResponse:
    """Ask for a check; the page shows what it finds."""
    resource = _get(pk)
    looks.ask_for_check(actor=request.user, resource=resource)
    if request.htmx:
        return render_drift(request, resource)
    return redirect("accessmgmt:resource-drift", pk=pk)


@admin_required
@require_POST
def repair(request: UserRequest, pk: int) -> HttpResponse:
    """List what would be done about the chosen differences; ask for it when that was confirmed."""
    resource = _get(pk)
    chosen = set(request.POST.getlist("finding"))
    found = findings_of(DriftCheck.objects.filter(resource=resource).first())
    findings = [finding for finding in found if finding.reference in chosen and finding.is_repairable]
    if not findings:
        messages.warning(request, "Nothing was chosen, or it is not there any more.")
        return redirect("accessmgmt:resource-drift", pk=pk)
    if request.POST.get("confirmed") != "yes":
        return render(request, "oversight/drift/confirm.html", {"resource": resource, "findings": findings})
    keys = [finding.key for finding in findings]
    looks.ask_for_repair(actor=request.user, resource=resource, keys=keys)
    return redirect("accessmgmt:resource-drift", pk=pk)


def _get(pk: int) -> Resource:
    return get_object_or_404(Resource.objects.select_related("primary", "primary__primary"), pk=pk)


def _context(resource: Resource) -> dict[str, object]:
    found = DriftCheck.objects.filter(resource=resource).first()
    groups = findings_by_kind(found)
    look = newest_look(resource, LookKind.DRIFT, LookKind.REPAIR)
    return {
        "look": look,
        "poll": time_to_poll(look) if look else "",
        "is_ignored": look is not None and is_ignored(look),
        "resource": resource,
        "check": found,
        "groups": groups,
        "count": sum(len(findings) for _, findings in groups),
        "changes": newest_changes(resource),
        "is_observing": installation.is_observing(),
        "can_repair": any(finding.is_repairable for _, findings in groups for finding in findings),
    }
