"""Asking for access, and deciding on it."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils import timezone

from accessmgmt.domain.actions import Action
from accessmgmt.domain.errors import ConflictError, ForbiddenError, InvalidError
from accessmgmt.domain.states import RequestState, Verdict
from accessmgmt.domain.texts import read_text
from accessmgmt.domain.ttl import parse_ttl, read_ttl, ttl_in_words
from accessmgmt.domain.words import state_words
from accessmgmt.models import AccessRequest, Decision, Endpoint, User
from accessmgmt.policy.access import may_request
from accessmgmt.policy.approval import require_asker, require_decider
from accessmgmt.selectors.access import approvers_of
from accessmgmt.selectors.since_asked import since_asked
from accessmgmt.services import audit
from accessmgmt.services.grants import queue_grant
from accessmgmt.services.reading import read_field

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
    seconds = _checked_duration(duration, endpoint.ttl_seconds)
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
    audit.record(
        actor,
        Action.REQUEST_MADE,
        request,
        reason=reason,
        duration_seconds=seconds,
        permissions=permissions.as_json(),
    )
    return request


@transaction.atomic
def approve_request(
    *, actor: User, request: AccessRequest, duration: str = "", comment: str = "", attested: str = ""
) -> AccessRequest:
    """Approve, optionally for less time than was asked for, and queue the grant.

    The permissions that were asked for are granted, even if the authorization was edited since; what the person may not
    ask for any more is not, nor longer than the endpoint gives now. `attested` is the digest of what the approver was
    shown (`SinceAsked.attested`). Raises ForbiddenError (also for one's own request), ConflictError when it is decided
    already or something has changed since it was shown, InvalidError for the field `duration`.
    """
    row = _locked_for_decision(actor, request)
    now = since_asked([row])[row.pk]
    if now.obstacle:
        raise ConflictError(now.obstacle, todo="Deny this request; it has to be made again.")
    if attested and attested != now.attested:
        raise ConflictError(
            "This request is not what you were shown any more.",
            why=" ".join(now.changes) or "The endpoint was changed a moment ago.",
            todo="Look at it again, and decide.",
        )
    seconds = _checked_duration(duration.strip() or row.duration, now.most_seconds)
    vote = _vote(row, actor, Verdict.APPROVED, comment, approved_seconds=seconds)
    _settle(row, RequestState.APPROVED, vote.decided_at, granted_seconds=seconds)
    audit.record(
        actor,
        Action.REQUEST_APPROVED,
        row,
        user=row.user.email,
        approved_seconds=seconds,
        permissions_digest=row.permissions_digest,
        attested=now.attested,
        comment=vote.comment,
    )
    queue_grant(
        actor=actor,
        user=row.user,
        endpoint=row.endpoint,
        permissions=row.permission_set,
        ttl_seconds=seconds,
        action=Action.GRANT_APPROVED,
        request=row,
    )
    return row


@transaction.atomic
def deny_request(*, actor: User, request: AccessRequest, comment: str = "") -> AccessRequest:
    """Deny. Raises ForbiddenError or ConflictError as approve_request does."""
    row = _locked_for_decision(actor, request)
    vote = _vote(row, actor, Verdict.DENIED, comment)
    _settle(row, RequestState.DENIED, vote.decided_at)
    audit.record(actor, Action.REQUEST_DENIED, row, user=row.user.email, comment=vote.comment)
    return row


@transaction.atomic
def cancel_request(*, actor: User, request: AccessRequest) -> AccessRequest:
    """Take back one's own pending request. Raises ForbiddenError or ConflictError."""
    require_asker(actor, request)
    row = _locked_pending(request)
    _settle(row, RequestState.CANCELLED, timezone.now())
    audit.record(actor, Action.REQUEST_CANCELLED, row)
    return row


@transaction.atomic
def lapse_requests() -> int:
    """Let pending requests lapse whose time to be decided is over; return how many."""
    late = (
        AccessRequest.objects.pending().filter(lapses_at__lte=Now()).select_for_update(of=("self",), skip_locked=True)
    )
    rows = list(late.select_related("endpoint", "user"))
    for row in rows:
        _settle(row, RequestState.LAPSED, timezone.now())
        audit.record(None, Action.REQUEST_LAPSED, row, user=row.user.email)
    return len(rows)


def _checked_duration(text: str, most_seconds: int) -> int:
    try:
        seconds = parse_ttl(text)
    except InvalidError as error:
        raise InvalidError(error.what, why=error.why, todo=error.todo, fields={"duration": [str(error)]}) from None
    if seconds > most_seconds:
        message = f"Longer than allowed here: at most {ttl_in_words(most_seconds)}."
        raise InvalidError(message, fields={"duration": [message]})
    return seconds


def _locked_pending(request: AccessRequest) -> AccessRequest:
    row = (
        AccessRequest.objects.select_for_update(of=("self",))
        .select_related("endpoint", "endpoint__resource", "endpoint__authorization", "resource", "user")
        .get(pk=request.pk)
    )
    if row.state == RequestState.PENDING and row.lapses_at <= timezone.now():
        raise ConflictError("This request has lapsed.", why="Nobody decided in time.", todo="It has to be made again.")
    if row.state != RequestState.PENDING:
        deciders = [str(vote.decider) for vote in row.decisions.filter(verdict=row.state).select_related("decider")]
        by = f" by {' and '.join(deciders)}" if deciders else ""
        raise ConflictError(
            f"This request was already {state_words(row.state)}{by}.", todo="Nothing is left to do here."
        )
    return row


def _locked_for_decision(actor: User, request: AccessRequest) -> AccessRequest:
    row = _locked_pending(request)
    require_decider(actor, row, approvers_of(row.endpoint))
    return row


def _vote(
    row: AccessRequest, actor: User, verdict: Verdict, comment: str, *, approved_seconds: int | None = None
) -> Decision:
    return Decision.objects.create(
        request=row,
        asker=row.user,
        decider=actor,
        verdict=verdict,
        decided_at=timezone.now(),
        comment=read_field("comment", lambda text: read_text(text, what="The comment"), comment),
        approved_seconds=approved_seconds,
    )


def _settle(row: AccessRequest, state: RequestState, at: datetime, *, granted_seconds: int | None = None) -> None:
    row.state = state
    row.settled_at = at
    row.granted_seconds = granted_seconds
    row.save(update_fields=["state", "settled_at", "granted_seconds"])
