"""Endpoints in lists, and in a sentence."""

from __future__ import annotations

from django.db.models import OuterRef, QuerySet

from accessmgmt.domain.emails import show_address
from accessmgmt.domain.permissions import PermissionSet
from accessmgmt.domain.ttl import ttl_in_words
from accessmgmt.models import Endpoint, GroupEndpoint
from accessmgmt.selectors.access.endpoints import endpoints_found
from accessmgmt.selectors.lists import count_live_grants, counted, sort_by

ENDPOINT_SORTS = {
    "name": "name",
    "resource": "resource__name",
    "authorization": "authorization__name",
    "ttl": "ttl_seconds",
    "groups": "group_count",
    "grants": "live_grant_count",
}


def endpoints_with_counts() -> QuerySet[Endpoint]:
    """Endpoints by name, with resource, authorization, groups wired and live grants."""
    return Endpoint.objects.select_related("resource", "authorization").annotate(
        group_count=counted(GroupEndpoint.objects.filter(endpoint=OuterRef("pk")), "endpoint"),
        live_grant_count=count_live_grants("endpoint"),
    )


def endpoints_for_list(
    *,
    search: str = "",
    resource: int | None = None,
    authorization: int | None = None,
    approval: str = "",
    sort: str = "",
) -> QuerySet[Endpoint]:
    """Endpoints for the list; `approval` is "needed", "none", "requestable" or ""."""
    rows = endpoints_found(endpoints_with_counts(), search)
    if resource is not None:
        rows = rows.filter(resource__pk=resource)
    if authorization is not None:
        rows = rows.filter(authorization__pk=authorization)
    match approval:
        case "needed" | "none":
            rows = rows.filter(is_jit_enabled=approval == "needed")
        case "requestable":
            rows = rows.filter(is_requestable=True)
    return sort_by(rows, sort, ENDPOINT_SORTS)


def endpoint_sentence(
    *,
    permissions: PermissionSet | None,
    resource_name: str,
    ttl_seconds: int | None,
    needs_approval: bool,
    is_requestable: bool,
    approvers: list[str],
) -> str:
    """Say what an endpoint means; what is not known yet stands as an ellipsis."""
    what = permissions.in_words() if permissions else "…"
    how_long = ttl_in_words(ttl_seconds) if ttl_seconds else "…"
    people = [show_address(email) for email in approvers]
    who = " or ".join(filter(None, [", ".join(people[:-1]), *people[-1:]])) or "an admin"
    approval = f"after {who} approves" if needs_approval else "without approval"
    sentence = f"Members can {what} of {resource_name or '…'} for {how_long} at a time, {approval}."
    if is_requestable:
        sentence += f" Anybody who is signed in may request it; {who} decides."
    return sentence


def sentence_of(endpoint: Endpoint, approvers: list[str]) -> str:
    """Say what a stored endpoint means."""
    return endpoint_sentence(
        permissions=endpoint.authorization.permission_set,
        resource_name=endpoint.resource.name,
        ttl_seconds=endpoint.ttl_seconds,
        needs_approval=endpoint.is_jit_enabled,
        is_requestable=endpoint.is_requestable,
        approvers=approvers,
    )
