"""The states of access requests and grants; docs/architecture.md draws how they follow each other."""

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


class Verdict(StrEnum):
    """What one approver says; a request that is settled by votes gets the state of the same value."""

    APPROVED = "approved"
    DENIED = "denied"


LIVE_GRANT_STATES = (GrantState.QUEUED, GrantState.APPLYING, GrantState.ACTIVE, GrantState.ENDING)
"""States in which a role may exist on the target."""


class Work(StrEnum):
    """What workers do on targets by themselves."""

    APPLY = "apply"
    END = "end"
    COMPARE = "compare"
