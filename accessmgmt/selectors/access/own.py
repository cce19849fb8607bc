"""What a person sees on "My access", and the requests and grants that are shown to them."""

from __future__ import annotations

import uuid

from django.db.models import Q, QuerySet
from django.http import Http404

from accessmgmt.domain.emails import show_address
from accessmgmt.models import AccessRequest, Endpoint, Grant, User
from accessmgmt.models.access_request import AccessRequestQuerySet
from accessmgmt.models.grant import HELD_STATES
from accessmgmt.policy.access import grants_visible_to, requestable_by, wired_to
from accessmgmt.policy.approval import decidable_by, requests_visible_to


def endpoints_of_groups(user: User) -> QuerySet[Endpoint]:
    """Endpoints that the person's groups are wired to: to activate, or to request where approval is needed."""
    return _endpoints(wired_to(user))


def requestable_endpoints(user: User) -> QuerySet[Endpoint]:
    """Endpoints the person may ask for: open to anybody, or of their groups and needing approval."""
    return _endpoints(requestable_by(user))


def _endpoints(rule: Q) -> QuerySet[Endpoint]:
    return Endpoint.objects.filter(rule).select_related("resource", "authorization").order_by("name")


def approvers_of(endpoint: Endpoint) -> list[str]:
    """The addresses of those who decide on requests for the endpoint, beside the admins."""
    return [approver.email for approver in endpoint.approvers.all()]


def approver_names(endpoint: Endpoint) -> list[str]:
    """Who can decide, for the page that asks: the approvers' addresses, or the admins when none is named."""
    return [show_address(email) for email in approvers_of(endpoint)] or ["any admin"]


def grants_held_by(user: User) -> QuerySet[Grant]:
    """The person's grants that are active or on their way, and those ending, newest first."""
    states = [*HELD_STATES, "ending"]
    return Grant.objects.filter(user=user, state__in=states).select_related("endpoint", "resource")


def recent_grants_of(user: User, *, limit: int = 10) -> QuerySet[Grant]:
    """The person's newest grants that are over."""
    return Grant.objects.filter(user=user, state__in=["ended", "failed"]).select_related("endpoint", "resource")[:limit]


def pending_requests_of(user: User) -> QuerySet[AccessRequest]:
    """The person's requests that wait for a decision."""
    return AccessRequest.objects.pending().filter(user=user).select_related("endpoint")


def requests_to_decide(user: User) -> QuerySet[AccessRequest]:
    """The inbox: pending requests of others that the person may decide, oldest first."""
    return _requests(decidable_by(user)).pending().order_by("created_at")


def requests_settled(user: User) -> QuerySet[AccessRequest]:
    """Requests that are over, newest first: those the person made or might decide, all of them for auditors."""
    return _requests(requests_visible_to(user)).settled().order_by("-settled_at")


def _requests(rule: Q) -> AccessRequestQuerySet:
    rows: AccessRequestQuerySet = AccessRequest.objects.select_related(
        "user", "endpoint", "endpoint__resource", "endpoint__authorization", "resource"
    )
    return rows.filter(rule).with_decisions()


def get_grant_for_user(user: User, pk: uuid.UUID) -> Grant:
    """Return a grant that the person may see: their own; any for admins and auditors. Raises Http404."""
    rows = Grant.objects.select_related("user", "endpoint", "resource", "resource__primary", "ended_by", "request")
    grant = rows.filter(grants_visible_to(user), pk=pk).first()
    if grant is None:
        raise Http404("No such grant.")
    return grant


def get_request_for_user(user: User, pk: int) -> AccessRequest:
    """Return a request that the person made or may decide (auditors see all). Raises Http404."""
    request = _requests(requests_visible_to(user)).filter(pk=pk).first()
    if request is None:
        raise Http404("No such request.")
    return request
