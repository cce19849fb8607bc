"""Reads of the members' pages: what stands on "My access", the list of grants, and the time line of one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.http import Http404

from accessmgmt.domain.emails import search_spelling
from accessmgmt.domain.states import EndReason, GrantState, RequestState
from accessmgmt.domain.ttl import format_ttl, ttl_in_words
from accessmgmt.domain.words import LIVE, OVERDUE, end_reason_words, state_words
from accessmgmt.models import AccessRequest, Decision, Endpoint, Grant, User
from accessmgmt.policy.access import endpoints_visible_to
from accessmgmt.selectors.access import (
    endpoints_of_groups,
    pending_requests_of,
    requestable_endpoints,
    requests_settled,
)

DURATION_PRESETS = (900, 1_800, 3_600, 7_200, 14_400, 28_800, 86_400, 3 * 86_400, 7 * 86_400, 30 * 86_400)
MOST_PRESETS = 5


@dataclass(frozen=True, slots=True)
class EndpointRow:
    """One endpoint on "My access", with the grant that the person holds on it and the request that waits for it."""

    endpoint: Endpoint
    grant: Grant | None
    request: AccessRequest | None


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of a grant's time line. `at` None means that it has not happened yet."""

    title: str
    at: datetime | str | None
    detail: str = ""
    tone: str = "grey"
    icon: str = "point"


def endpoints_found(rows: QuerySet[Endpoint], search: str) -> QuerySet[Endpoint]:
    """Keep the endpoints whose name, description, resource or authorization holds the text."""
    if not search:
        return rows
    return rows.filter(
        Q(name__icontains=search)
        | Q(description__icontains=search)
        | Q(resource__name__icontains=search)
        | Q(authorization__name__icontains=search)
    )


def endpoints_of_others(user: User) -> QuerySet[Endpoint]:
    """Endpoints that the person may ask for although none of the own groups is wired to them."""
    return requestable_endpoints(user).exclude(pk__in=endpoints_of_groups(user).order_by().values("pk"))


def pending_with_approvers(user: User) -> list[AccessRequest]:
    """The person's pending requests, with the approvers of each at hand."""
    return list(pending_requests_of(user).prefetch_related("endpoint__approvers"))


def get_endpoint_for_user(user: User, pk: int) -> Endpoint:
    """Return an endpoint that the person's groups give, or that may be requested; any for admins. Raises Http404."""
    rows = Endpoint.objects.select_related("resource", "authorization").prefetch_related("approvers")
    endpoint = rows.filter(endpoints_visible_to(user), pk=pk).first()
    if endpoint is None:
        raise Http404("No such endpoint.")
    return endpoint


def held_grant_on(user: User, endpoint: Endpoint) -> Grant | None:
    """The person's grant on the endpoint that is active or on its way."""
    return Grant.objects.held().filter(user=user, endpoint=endpoint).select_related("endpoint", "resource").first()


GRANT_FILTERS = (LIVE, OVERDUE, *(state.value for state in GrantState))


def grants_for_list(
    *, person: str = "", resource: int | None = None, endpoint: int | None = None, state: str = ""
) -> QuerySet[Grant]:
    """Everybody's grants, newest first. `person` is part of an address or a name, `state` one of GRANT_FILTERS."""
    rows = Grant.objects.select_related("user", "endpoint", "resource").order_by("-queued_at", "pk")
    if person:
        rows = rows.filter(Q(user__email__icontains=search_spelling(person)) | Q(user__name__icontains=person))
    if resource is not None:
        rows = rows.filter(resource_id=resource)
    if endpoint is not None:
        rows = rows.filter(endpoint_id=endpoint)
    if state == OVERDUE:
        return rows & Grant.objects.overdue()
    if state == LIVE:
        return rows & Grant.objects.live()
    return rows.filter(state=state) if state in GRANT_FILTERS else rows


def requests_for_history(
    user: User, *, search: str = "", state: str = "", is_own: bool = False
) -> QuerySet[AccessRequest]:
    """Requests that are over, filtered by person or endpoint, by state, or to the person's own ones."""
    rows = requests_settled(user)
    if search:
        rows = rows.filter(
            Q(user__email__icontains=search_spelling(search))
            | Q(user__name__icontains=search)
            | Q(endpoint__name__icontains=search)
        )
    if state in set(RequestState):
        rows = rows.filter(state=state)
    return rows.filter(user=user) if is_own else rows


def duration_presets(most_seconds: int) -> list[tuple[str, str]]:
    """Return at most MOST_PRESETS durations as (text, words), the longest that is allowed last."""
    shorter = [seconds for seconds in DURATION_PRESETS if seconds < most_seconds][-(MOST_PRESETS - 1) :]
    return [(format_ttl(seconds), ttl_in_words(seconds)) for seconds in (*shorter, most_seconds)]


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


def time_to_poll(grant: Grant, now: datetime) -> str:
    """Return htmx's delay until the grant's card should look again, "" when nothing will change by itself.

    Often at first, then less, so that a server that is away is not asked for five times a second.
    """
    if grant.state == GrantState.ACTIVE and grant.expires_at:
        left = grant.expires_at - now + timedelta(seconds=1)
        return f"{max(1, int(left.total_seconds()))}s" if left < timedelta(days=1) else ""
    if grant.is_over or grant.state == GrantState.ACTIVE:
        return ""
    since = grant.end_requested_at if grant.state == GrantState.ENDING and grant.end_requested_at else grant.queued_at
    waited = (now - since).total_seconds()
    return "200ms" if waited < 5 else "1s" if waited < 30 else "5s"
