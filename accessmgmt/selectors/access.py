"""Who may activate, request and decide; and what a person sees on "My access"."""

from __future__ import annotations

import uuid

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import Http404

from accessmgmt.domain.emails import show_address
from accessmgmt.models import AccessRequest, Endpoint, EndpointApprover, Grant, GroupEndpoint, GroupMember, User
from accessmgmt.models.access_request import AccessRequestQuerySet
from accessmgmt.models.grant import HELD_STATES


def _wired(user: User) -> Exists:
    return Exists(GroupEndpoint.objects.filter(endpoint=OuterRef("pk"), group__members__email=user.email))


def endpoints_of_groups(user: User) -> QuerySet[Endpoint]:
    """Endpoints that the person's groups are wired to: to activate, or to request where approval is needed."""
    return Endpoint.objects.filter(_wired(user)).select_related("resource", "authorization").order_by("name")


def requestable_endpoints(user: User) -> QuerySet[Endpoint]:
    """Endpoints the person may ask for: open to anybody, or of their groups and needing approval."""
    mine = Q(_wired(user)) & Q(is_jit_enabled=True)
    return (
        Endpoint.objects.filter(Q(is_requestable=True) | mine)
        .select_related("resource", "authorization")
        .order_by("name")
    )


def may_activate(user: User, endpoint: Endpoint) -> bool:
    """Whether the person may activate without approval."""
    return (
        user.is_active
        and not endpoint.is_jit_enabled
        and GroupMember.objects.filter(email=user.email, group__wires__endpoint=endpoint).exists()
    )


def may_request(user: User, endpoint: Endpoint) -> bool:
    """Whether the person may ask for the endpoint."""
    return user.is_active and requestable_endpoints(user).filter(pk=endpoint.pk).exists()


def may_decide(user: User, endpoint: Endpoint) -> bool:
    """Whether the person decides on requests for the endpoint: its approvers, and any admin."""
    return user.is_active and (
        user.is_admin or EndpointApprover.objects.filter(endpoint=endpoint, email=user.email).exists()
    )


def approver_names(endpoint: Endpoint) -> list[str]:
    """Who can decide, for the page that asks: the approvers' addresses, or the admins when none is named."""
    return [show_address(approver.email) for approver in endpoint.approvers.all()] or ["any admin"]


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
    return _decidable(user).pending().exclude(user=user).order_by("created_at")


def requests_decided(user: User) -> QuerySet[AccessRequest]:
    """Requests that are over, newest first: those the person made or might decide, all of them for auditors."""
    return _decidable(user, reads_all=user.is_auditor).decided().order_by("-decided_at")


def _decidable(user: User, *, reads_all: bool = False) -> AccessRequestQuerySet:
    rows: AccessRequestQuerySet = AccessRequest.objects.select_related(
        "user", "endpoint", "endpoint__resource", "endpoint__authorization", "resource", "decided_by"
    )
    if user.is_admin or reads_all:
        return rows
    approver = EndpointApprover.objects.filter(endpoint=OuterRef("endpoint"), email=user.email)
    return rows.filter(Q(Exists(approver)) | Q(user=user))


def get_grant_for_user(user: User, pk: uuid.UUID) -> Grant:
    """Return a grant that the person may see: their own; any for admins and auditors. Raises Http404."""
    rows = Grant.objects.select_related(
        "user", "endpoint", "resource", "resource__primary", "ended_by", "request__decided_by"
    )
    grant = rows.filter(pk=pk).first() if user.is_auditor else rows.filter(pk=pk, user=user).first()
    if grant is None:
        raise Http404("No such grant.")
    return grant


def get_request_for_user(user: User, pk: int) -> AccessRequest:
    """Return a request that the person made or may decide (auditors see all). Raises Http404."""
    request = _decidable(user, reads_all=user.is_auditor).filter(pk=pk).first()
    if request is None:
        raise Http404("No such request.")
    return request
