"""The audit trail: a list that can be narrowed, with details on demand."""

from __future__ import annotations

from dataclasses import asdict

from django.http import HttpResponse
from django.views.decorators.http import require_safe

from accessmgmt.domain.actions import Action, ObjectType
from accessmgmt.selectors.oversight.audit import EventFilter, events_for_list, lines_of
from accessmgmt.views.lists import render_part
from accessmgmt.views.paging import bounded_page_of
from accessmgmt.views.permissions import UserRequest, auditor_required
from accessmgmt.views.query import clean_choice, clean_day, clean_search
from accessmgmt.views.recorded import record_audit_read

KNOWN_ACTIONS = sorted([*(f"{kind.words}." for kind in ObjectType), *(action.value for action in Action)])
"""Offered while somebody types; any other beginning of an action works as well."""


@auditor_required
@require_safe
def event_list(request: UserRequest) -> HttpResponse:
    """List events, newest first."""
    narrowed = EventFilter(
        person=clean_search(request.GET.get("person")),
        object_type=clean_choice(request.GET.get("object_type"), set(ObjectType)),
        object_id=clean_search(request.GET.get("object_id"))[:64],
        action=clean_search(request.GET.get("action")),
        first_day=clean_day(request.GET.get("from")),
        last_day=clean_day(request.GET.get("to")),
    )
    page = bounded_page_of(request, events_for_list(narrowed))
    context = {
        "page": page,
        "lines": lines_of(page.object_list),
        "narrowed": narrowed,
        "is_filtered": narrowed != EventFilter(),
        "object_types": [(kind.value, kind.words) for kind in ObjectType],
        "known_actions": KNOWN_ACTIONS,
    }
    record_audit_read(request, {name: str(value) for name, value in asdict(narrowed).items() if value})
    return render_part(request, "oversight/audit/list.html", "oversight/audit/list.html#rows", context)
