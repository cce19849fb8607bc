"""Asking for access, taking that back, and letting it lapse."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils import timezone

from accessmgmt.domain.actions import Action
from accessmgmt.domain.errors import ConflictError, ForbiddenError, InvalidError
from accessmgmt.domain.states import RequestState
from accessmgmt.domain.texts import read_text
from accessmgmt.domain.ttl import read_ttl
from accessmgmt.models import AccessRequest, Endpoint, User
from accessmgmt.policy.access import may_request
from accessmgmt.policy.approval import require_asker
from accessmgmt.services.audit import trail
from accessmgmt.services.reading import read_field
from accessmgmt.services.requests.settle import checked_duration, locked_pending, settle

SHORTEST_REASON = 10


@transaction.atomic
def request_access(*, actor: User, endpoint: Endpoint, reason: str, duration: str) -> AccessRequest:
    """Ask for an endpoint for a duration such as "2h", at most the endpoint's time to live.

    Raises ForbiddenError, InvalidError (fields `reason`, `duration`), or ConflictError when one is pending.
    """
    if not may_request(actor, endpoint):
        raise ForbiddenError(f"You cannot request {endpoint.name}.", todo="Ask an admin to make it requestable.")
    reason = read_field("reason", lambda text: read_text(text, what="The reason"), reason)
    if len(reason) < SHORTEST_REASON:
        text = f"Write at least {SHORTEST_REASON} characters: the approver decides by it."
        raise InvalidError("The reason is too short.", todo=text, fields={"reason": [text]})
    seconds = checked_duration(duration, endpoint.ttl_seconds)
    permissions = endpoint.authorization.permission_set
    try:
        with transaction.atomic():
            request = AccessRequest.objects.create(
                user=actor,
                endpoint=endpoint,
                resource=endpoint.resource,
                reason=reason,
                duration=read_ttl(duration),
                duration_seconds=seconds,
                permissions=permissions.as_json(),
                permissions_digest=permissions.digest,
                lapses_at=timezone.now() + timedelta(seconds=settings.PORTAL_REQUEST_LAPSE_SECONDS),
            )
    except IntegrityError:
        raise ConflictError(
            f"You have already asked for {endpoint.name}.",
            why="Your request waits for a decision.",
            todo="Wait for it, or cancel it first.",
        ) from None
    trail.record(
        actor,
        Action.REQUEST_MADE,
        request,
        reason=reason,
        duration_seconds=seconds,
        permissions=permissions.as_json(),
    )
    return request


@transaction.atomic
def cancel_request(*, actor: User, request: AccessRequest) -> AccessRequest:
    """Take back one's own pending request. Raises ForbiddenError or ConflictError."""
    require_asker(actor, request)
    row = locked_pending(request)
    settle(row, RequestState.CANCELLED, timezone.now())
    trail.record(actor, Action.REQUEST_CANCELLED, row)
    return row


@transaction.atomic
def lapse_requests() -> int:
    """Let pending requests lapse whose time to be decided is over; return how many."""
    late = (
        AccessRequest.objects.pending().filter(lapses_at__lte=Now()).select_for_update(of=("self",), skip_locked=True)
    )
    rows = list(late.select_related("endpoint", "user"))
    for row in rows:
        settle(row, RequestState.LAPSED, timezone.now())
        trail.record(None, Action.REQUEST_LAPSED, row, user=row.user.email)
    return len(rows)
