"""Resources in lists, and what hangs on them."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, Q, QuerySet

from accessmgmt.models import Endpoint, Grant, Resource, TargetSilence
from accessmgmt.selectors.lists import count_live_grants, counted, sort_by

RESOURCE_SORTS = {
    "name": "name",
    "host": "host",
    "ssl": "ssl_mode",
    "endpoints": "endpoint_count",
    "grants": "live_grant_count",
}


def resources_for_list(*, search: str = "", ssl_mode: str = "", kind: str = "", sort: str = "") -> QuerySet[Resource]:
    """Resources by name; `kind` is "primary", "standby" or "", `ssl_mode` one of the modes, "none" or ""."""
    rows = Resource.objects.select_related("primary").annotate(
        endpoint_count=counted(Endpoint.objects.filter(resource=OuterRef("pk")), "resource"),
        live_grant_count=count_live_grants("resource"),
        is_silent=Exists(TargetSilence.objects.filter(resource=OuterRef("pk"))),
    )
    if search:
        rows = rows.filter(
            Q(name__icontains=search)
            | Q(host__icontains=search)
            | Q(database_name__icontains=search)
            | Q(description__icontains=search)
        )
    if ssl_mode:
        rows = rows.filter(ssl_mode="" if ssl_mode == "none" else ssl_mode)
    if kind:
        rows = rows.filter(primary__isnull=kind == "primary")
    return sort_by(rows, sort, RESOURCE_SORTS)


def standby_chain_has(primary: Resource, resource: Resource) -> bool:
    """Say whether `resource` is found when one walks up from `primary` to its own primaries."""
    seen: set[int] = set()
    step: Resource | None = primary
    while step is not None and step.pk not in seen:
        if step.pk == resource.pk:
            return True
        seen.add(step.pk)
        step = step.primary
    return False


def live_grants_at(resource: Resource) -> QuerySet[Grant]:
    """Live grants whose logins are made on the resource's server: its own, and those of its standbys."""
    return Grant.objects.live().filter(Q(resource=resource) | Q(resource__primary=resource))
