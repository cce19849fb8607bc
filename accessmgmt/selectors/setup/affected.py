"""Who is affected by a change of what admins describe."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import QuerySet

from accessmgmt.domain.states import LIVE_GRANT_STATES
from accessmgmt.models import Authorization, Endpoint, Grant, GroupMember


@dataclass(frozen=True, slots=True)
class Affected:
    """Whom a change of an authorization or an endpoint reaches: people by address, and grants that live now."""

    people: int
    endpoints: int
    live_grants: int


def affected_by_authorization(authorization: Authorization) -> Affected:
    """Count who may use an authorization through groups, and what lives of it now."""
    endpoints = Endpoint.objects.filter(authorization=authorization)
    return _affected(endpoints)


def affected_by_endpoint(endpoint: Endpoint) -> Affected:
    """Count who may use an endpoint through groups, and what lives of it now."""
    return _affected(Endpoint.objects.filter(pk=endpoint.pk))


def _affected(endpoints: QuerySet[Endpoint]) -> Affected:
    members = GroupMember.objects.filter(group__wires__endpoint__in=endpoints)
    return Affected(
        people=members.values("email").distinct().count(),
        endpoints=endpoints.count(),
        live_grants=Grant.objects.filter(endpoint__in=endpoints, state__in=LIVE_GRANT_STATES).count(),
    )
