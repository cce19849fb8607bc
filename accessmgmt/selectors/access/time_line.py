"""What happened to a grant, moment by moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from accessmgmt.domain.states import EndReason, GrantState
from accessmgmt.domain.ttl import ttl_in_words
from accessmgmt.domain.words import end_reason_words, state_words
from accessmgmt.models import Decision, Grant


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of a grant's time line. `at` None means that it has not happened yet."""

    title: str
    at: datetime | str | None
    detail: str = ""
    tone: str = "grey"
    icon: str = "point"


def time_line(grant: Grant) -> list[Moment]:
    """Return what happened to a grant, oldest first."""
    return [*_beginning(grant), *_middle(grant), *_end(grant)]


def _beginning(grant: Grant) -> list[Moment]:
    request = grant.request
    if request is None:
        return [Moment("Activated", grant.queued_at, f"by {grant.user}", icon="player-play")]
    asked = Moment("Requested", request.created_at, f"by {grant.user}, for {request.duration_in_words}", icon="send")
    return [asked, *(_voted(vote) for vote in request.decisions.select_related("decider"))]


def _voted(vote: Decision) -> Moment:
    said = f": “{vote.comment}”" if vote.comment else ""
    verdict = state_words(vote.verdict).capitalize()
    if vote.approved_seconds is None:
        return Moment(verdict, vote.decided_at, f"by {vote.decider}{said}", tone="red", icon="x")
    detail = f"by {vote.decider}, for {ttl_in_words(vote.approved_seconds)}{said}"
    return Moment(verdict, vote.decided_at, detail, tone="green", icon="check")


def _middle(grant: Grant) -> list[Moment]:
    receipt: dict[str, Any] = grant.apply_receipt or {}
    moments = []
    if grant.active_at:
        took = sum(took for step, took in receipt.get("steps_ms", []) if step != "total")
        moments.append(Moment("Login created", grant.active_at, f"in {took:.0f} ms", tone="green", icon="user-plus"))
    if receipt:
        moments.append(
            Moment(
                "Verified on the server",
                receipt.get("verified_at"),
                f"PostgreSQL {receipt.get('server_version')}, {_count(receipt.get('table_count', 0), 'table')}",
                tone="green",
                icon="shield-check",
            )
        )
    if grant.state == GrantState.ACTIVE:
        moments.append(Moment("Ends", grant.expires_at, "on the server as well: VALID UNTIL", icon="clock"))
    return moments


def _end(grant: Grant) -> list[Moment]:
    moments = []
    if grant.end_requested_at:
        by = f", {grant.ended_by}" if grant.ended_by and grant.end_reason == EndReason.REVOKED else ""
        moments.append(
            Moment("End began", grant.end_requested_at, f"{end_reason_words(grant.end_reason)}{by}", icon="player-stop")
        )
    if grant.state == GrantState.FAILED:
        moments.append(Moment("Refused by the server", grant.refused_at, tone="red", icon="alert-triangle"))
        moments.append(Moment("Cleaned up", grant.ended_at, "nothing is left on the server", icon="shield-check"))
    receipt: dict[str, Any] = grant.end_receipt or {}
    if grant.state == GrantState.ENDED:
        cut = len(receipt.get("sessions", []))
        moments.append(Moment("Ended", grant.ended_at, f"{_count(cut, 'session')} cut", icon="circle-minus"))
        moments.append(
            Moment(
                "Proof: the login is gone",
                receipt.get("verified_at"),
                "looked for on the server and not found",
                tone="green",
                icon="shield-check",
            )
        )
    return moments


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
