"""Deciding on a request."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from accessmgmt.domain.actions import Action
from accessmgmt.domain.errors import ConflictError
from accessmgmt.domain.states import RequestState, Verdict
from accessmgmt.domain.texts import read_text
from accessmgmt.models import AccessRequest, Decision, User
from accessmgmt.policy.approval import require_decider
from accessmgmt.selectors.access.own import approvers_of
from accessmgmt.selectors.access.since_asked import since_asked
from accessmgmt.services.audit import trail
from accessmgmt.services.grants.activate import queue_grant
from accessmgmt.services.reading import read_field
from accessmgmt.services.requests.settle import checked_duration, locked_pending, settle


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
    seconds = checked_duration(duration.strip() or row.duration, now.most_seconds)
    vote = _vote(row, actor, Verdict.APPROVED, comment, approved_seconds=seconds)
    settle(row, RequestState.APPROVED, vote.decided_at, granted_seconds=seconds)
    trail.record(
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
    settle(row, RequestState.DENIED, vote.decided_at)
    trail.record(actor, Action.REQUEST_DENIED, row, user=row.user.email, comment=vote.comment)
    return row


def _locked_for_decision(actor: User, request: AccessRequest) -> AccessRequest:
    row = locked_pending(request)
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
