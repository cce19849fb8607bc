"""The audit trail: a list that can be narrowed, with details on demand."""

from __future__ import annotations

from dataclasses import asdict

from django.http import HttpResponse
from django.views.decorators.http import require_safe

from accessmgmt.selectors.audit import (
    OBJECT_TYPES,
    TYPE_WORDS,
    EventFilter,
    clean_day,
    events_for_list,
    lines_of,
    page_of_events,
)
from accessmgmt.selectors.configuration import clean_search
from accessmgmt.views.lists import render_part
from accessmgmt.views.permissions import UserRequest, auditor_required
from accessmgmt.views.recorded import record_audit_read

KNOWN_ACTIONS = (
    "authorization.created",
    "authorization.deleted",
    "authorization.updated",
    "endpoint.approvers_set",
    "endpoint.created",
    "endpoint.deleted",
    "endpoint.updated",
    "grant.",
    "grant.expired",
    "grant.failed",
    "grant.password_shown",
    "grant.revoked",
    "group.created",
    "group.deleted",
    "group.member_removed",
    "group.members_added",
    "group.unwired",
    "group.updated",
    "group.wired",
    "request.",
    "request.approved",
    "request.denied",
    "resource.address_checked",
    "resource.created",
    "resource.deleted",
    "resource.tested",
    "resource.updated",
    "user.audit_read",
    "user.created",
    "user.downloaded",
    "user.log_in_failed",
    "user.log_in_refused",
    "user.logged_in",
    "user.logged_out",
    "user.password_change_failed",
    "user.password_change_refused",
    "user.password_changed",
    "user.password_reset",
    "user.profile_changed",
    "user.refused",
    "user.updated",
)
"""Offered while somebody types; any other beginning of an action works as well."""


@auditor_required
@require_safe
def event_list(request: UserRequest) -> HttpResponse:
    """List events, newest first."""
    object_type = request.GET.get("object_type", "")
    narrowed = EventFilter(
        person=clean_search(request.GET.get("person")),
        object_type=object_type if object_type in OBJECT_TYPES else "",
        object_id=clean_search(request.GET.get("object_id"))[:64],
        action=clean_search(request.GET.get("action")),
        first_day=clean_day(request.GET.get("from")),
        last_day=clean_day(request.GET.get("to")),
    )
    page = page_of_events(events_for_list(narrowed), request.GET.get("page"))
    context = {
        "page": page,
        "lines": lines_of(page.object_list),
        "narrowed": narrowed,
        "is_filtered": narrowed != EventFilter(),
        "object_types": [(name, TYPE_WORDS.get(name, name)) for name in OBJECT_TYPES],
        "known_actions": KNOWN_ACTIONS,
    }
    record_audit_read(request, {name: str(value) for name, value in asdict(narrowed).items() if value})
    return render_part(request, "audit/list.html", "audit/list.html#rows", context)
