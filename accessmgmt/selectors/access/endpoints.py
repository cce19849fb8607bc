"""Endpoints that a person may use or ask for."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Q, QuerySet
from django.http import Http404

from accessmgmt.domain.ttl import format_ttl, ttl_in_words
from accessmgmt.models import AccessRequest, Endpoint, Grant, User
from accessmgmt.policy.access import endpoints_visible_to
from accessmgmt.selectors.access.own import (
    endpoints_of_groups,
    requestable_endpoints,
)

DURATION_PRESETS = (900, 1_800, 3_600, 7_200, 14_400, 28_800, 86_400, 3 * 86_400, 7 * 86_400, 30 * 86_400)
MOST_PRESETS = 5


@dataclass(frozen=True, slots=True)
class EndpointRow:
    """One endpoint on "My access", with the grant that the person holds on it and the request that waits for it."""

    endpoint: Endpoint
    grant: Grant | None
    request: AccessRequest | None


def endpoints_found(rows: QuerySet[Endpoint], search: str) -> QuerySet[Endpoint]:
    """Keep the endpoints whose name, description, resource or authorization holds the text."""
    if not search:
        return rows
    return rows.filter(
        Q(name__icontains=search)
        | Q(description__icontains=search)
        | Q(resource__name__icontains=search)
        | Q(authorization__name__icontains=search)
    )


def endpoints_of_others(user: User) -> QuerySet[Endpoint]:
    """Endpoints that a person may request and that none of their groups is wired to."""
    return requestable_endpoints(user).exclude(pk__in=endpoints_of_groups(user).order_by().values("pk"))


def get_endpoint_for_user(user: User, pk: int) -> Endpoint:
    """Return an endpoint that the person's groups give, or that may be requested; any for admins. Raises Http404."""
    rows = Endpoint.objects.select_related("resource", "authorization").prefetch_related("approvers")
    endpoint = rows.filter(endpoints_visible_to(user), pk=pk).first()
    if endpoint is None:
        raise Http404("No such endpoint.")
    return endpoint


def duration_presets(most_seconds: int) -> list[tuple[str, str]]:
    """Return at most MOST_PRESETS durations as (text, words), the longest that is allowed last."""
    shorter = [seconds for seconds in DURATION_PRESETS if seconds < most_seconds][-(MOST_PRESETS - 1) :]
    return [(format_ttl(seconds), ttl_in_words(seconds)) for seconds in (*shorter, most_seconds)]
