"""Authorizations in lists."""

from __future__ import annotations

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Exists, OuterRef, Q, QuerySet

from accessmgmt.domain.states import LIVE_GRANT_STATES
from accessmgmt.models import Authorization, Endpoint, Grant
from accessmgmt.selectors.lists import counted, sort_by

MOST_NAMES_IN_A_CELL = 3


AUTHORIZATION_SORTS = {"name": "name", "endpoints": "endpoint_count", "grants": "live_grant_count"}


def authorizations_for_list(*, search: str = "", usage: str = "", sort: str = "") -> QuerySet[Authorization]:
    """Authorizations by name with the first endpoints that use them; `usage` is "used", "unused" or ""."""
    endpoints = Endpoint.objects.filter(authorization=OuterRef("pk"))
    rows = Authorization.objects.annotate(
        endpoint_count=counted(endpoints, "authorization"),
        endpoint_names=ArraySubquery(endpoints.order_by("name").values("name")[:MOST_NAMES_IN_A_CELL]),
        live_grant_count=counted(
            Grant.objects.filter(endpoint__authorization=OuterRef("pk"), state__in=LIVE_GRANT_STATES),
            "endpoint__authorization",
        ),
    )
    if search:
        rows = rows.filter(
            Q(name__icontains=search) | Q(description__icontains=search) | Q(permissions__icontains=search)
        )
    if usage:
        used = Exists(endpoints)
        rows = rows.filter(used if usage == "used" else ~used)
    return sort_by(rows, sort, AUTHORIZATION_SORTS)
