"""What asking and deciding share: a pending request, held; how it is settled; how long is allowed."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from accessmgmt.domain.errors import ConflictError, InvalidError
from accessmgmt.domain.states import RequestState
from accessmgmt.domain.ttl import parse_ttl, ttl_in_words
from accessmgmt.domain.words import state_words
from accessmgmt.models import AccessRequest


def checked_duration(text: str, most_seconds: int) -> int:
    try:
        seconds = parse_ttl(text)
    except InvalidError as error:
        raise InvalidError(error.what, why=error.why, todo=error.todo, fields={"duration": [str(error)]}) from None
    if seconds > most_seconds:
        message = f"Longer than allowed here: at most {ttl_in_words(most_seconds)}."
        raise InvalidError(message, fields={"duration": [message]})
    return seconds


def locked_pending(request: AccessRequest) -> AccessRequest:
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


def settle(row: AccessRequest, state: RequestState, at: datetime, *, granted_seconds: int | None = None) -> None:
    row.state = state
    row.settled_at = at
    row.granted_seconds = granted_seconds
    row.save(update_fields=["state", "settled_at", "granted_seconds"])
