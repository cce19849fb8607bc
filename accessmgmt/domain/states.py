"""The state machines of access requests and grants, as data."""

from __future__ import annotations

from enum import StrEnum


class GrantState(StrEnum):
    """Where a grant is. `failed` and `ended` are final."""

    QUEUED = "queued"
    APPLYING = "applying"
    ACTIVE = "active"
    ENDING = "ending"
    ENDED = "ended"
    FAILED = "failed"


class EndReason(StrEnum):
    """Why a grant ends. An empty value means that nobody has asked for its end."""

    EXPIRED = "expired"
    RELEASED = "released"
    REVOKED = "revoked"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"


class RequestState(StrEnum):
    """Where an access request is. Only `pending` changes."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    CANCELLED = "cancelled"
    LAPSED = "lapsed"


GRANT_TRANSITIONS: dict[GrantState, frozenset[GrantState]] = {
    GrantState.QUEUED: frozenset({GrantState.APPLYING, GrantState.ENDING}),
    GrantState.APPLYING: frozenset({GrantState.ACTIVE, GrantState.ENDING, GrantState.FAILED}),
    GrantState.ACTIVE: frozenset({GrantState.ENDING}),
    GrantState.ENDING: frozenset({GrantState.ENDED}),
    GrantState.ENDED: frozenset(),
    GrantState.FAILED: frozenset(),
}

LIVE_GRANT_STATES = (GrantState.QUEUED, GrantState.APPLYING, GrantState.ACTIVE, GrantState.ENDING)
"""States in which a role may exist on the target."""

REQUEST_TRANSITIONS: dict[RequestState, frozenset[RequestState]] = {
    RequestState.PENDING: frozenset(
        {RequestState.APPROVED, RequestState.DENIED, RequestState.CANCELLED, RequestState.LAPSED}
    ),
    RequestState.APPROVED: frozenset(),
    RequestState.DENIED: frozenset(),
    RequestState.CANCELLED: frozenset(),
    RequestState.LAPSED: frozenset(),
}


def may_move(before: GrantState, after: GrantState) -> bool:
    """Say whether a grant may go from one state to another."""
    return after in GRANT_TRANSITIONS[before]
