"""Asking for access, and deciding."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django.views.decorators.vary import vary_on_headers

from accessmgmt.domain.errors import ConflictError, ForbiddenError, InvalidError
from accessmgmt.domain.states import RequestState
from accessmgmt.domain.ttl import format_ttl
from accessmgmt.domain.words import state_words
from accessmgmt.forms.access.requests import DecisionForm, RequestForm
from accessmgmt.forms.base import add_invalid
from accessmgmt.models import AccessRequest, Endpoint, Grant
from accessmgmt.policy.access import is_own, may_request, may_see_grant
from accessmgmt.policy.approval import may_decide
from accessmgmt.selectors.access.endpoints import duration_presets, endpoints_found, get_endpoint_for_user
from accessmgmt.selectors.access.own import (
    approver_names,
    approvers_of,
    get_request_for_user,
    requestable_endpoints,
    requests_to_decide,
)
from accessmgmt.selectors.access.requests import requests_for_history
from accessmgmt.selectors.access.since_asked import SinceAsked, since_asked
from accessmgmt.services.requests.ask import cancel_request, request_access
from accessmgmt.services.requests.decide import approve_request, deny_request
from accessmgmt.views.lists import Column, Listing, chosen, render_list, searched
from accessmgmt.views.paging import CARDS_A_PAGE, page_of
from accessmgmt.views.permissions import UserRequest
from accessmgmt.views.query import clean_pk, clean_search

OVER_STATES = tuple(state.value for state in RequestState if state is not RequestState.PENDING)
HISTORY = Listing(
    noun="request",
    title="Requests",
    placeholder="Search person or endpoint",
    row_template="access/requests/row.html",
    empty_icon="history",
    empty_title="No request is over yet.",
    empty_text="Requests that you made, and those that you may decide, stay here once they are.",
    template="access/requests/history.html",
)


@require_safe
def inbox(request: UserRequest) -> HttpResponse:
    """Show the requests that wait for the viewer's decision, oldest first."""
    page = page_of(request, requests_to_decide(request.user), CARDS_A_PAGE)
    now = since_asked(list(page))
    cards = [_card(row, DecisionForm(**_ids(row, now[row.pk])), now[row.pk]) for row in page]
    return render(request, "access/requests/inbox.html", {"page": page, "cards": cards})


@require_safe
def history(request: UserRequest) -> HttpResponse:
    """List requests that are over; the filters stand in the URL."""
    outcomes = [("", "Any outcome"), *((name, state_words(name).capitalize()) for name in OVER_STATES)]
    state = chosen(request, "state", "Outcome", outcomes)
    whose = chosen(request, "whose", "Whose", [("", "Everybody's"), ("mine", "Mine")])
    search = searched(request, HISTORY)
    rows = requests_for_history(request.user, search=search, state=state.value, is_own=whose.value == "mine")
    return render_list(
        request,
        HISTORY,
        rows,
        [Column(label) for label in ("Endpoint", "Person", "Outcome", "Decided by", "When")],
        [state, whose],
    )


@require_http_methods(["GET", "HEAD", "POST"])
@vary_on_headers("HX-Request")
def create(request: UserRequest) -> HttpResponse:
    """Ask for access: first choose an endpoint, then say why and for how long."""
    pk = clean_pk(request.POST.get("endpoint") or request.GET.get("endpoint"))
    if pk is None:
        return _choose_endpoint(request)
    endpoint = get_endpoint_for_user(request.user, pk)
    if not may_request(request.user, endpoint):
        raise ForbiddenError(
            f"{endpoint.name} is not for asking.",
            why="Its members activate it without an approval, and it is not open to requests.",
            todo="Look for it under My access, or ask an admin.",
        )
    if request.method != "POST":
        return _render_form(request, endpoint, RequestForm(endpoint=endpoint))
    form = RequestForm(request.POST, endpoint=endpoint)
    if not form.is_valid():
        return _render_form(request, endpoint, form, status=422)
    try:
        row = request_access(actor=request.user, endpoint=endpoint, **form.cleaned_data)
    except InvalidError as error:
        add_invalid(form, error)
        return _render_form(request, endpoint, form, status=422)
    except ConflictError as error:
        form.add_error(None, str(error))
        return _render_form(request, endpoint, form, status=409)
    messages.success(request, "Your request is sent.")
    return redirect("accessmgmt:request-detail", pk=row.pk)


def _choose_endpoint(request: UserRequest) -> HttpResponse:
    search = clean_search(request.GET.get("q"))
    rows = endpoints_found(requestable_endpoints(request.user), search)
    context = {"page": page_of(request, rows, CARDS_A_PAGE), "search": search}
    return render(
        request, "access/requests/choose.html#choices" if request.htmx else "access/requests/choose.html", context
    )


def _render_form(request: UserRequest, endpoint: Endpoint, form: RequestForm, *, status: int = 200) -> HttpResponse:
    context = {
        "endpoint": endpoint,
        "form": form,
        "presets": duration_presets(endpoint.ttl_seconds),
        "approvers": approver_names(endpoint),
    }
    return render(request, "access/requests/new.html", context, status=status)


@require_safe
def detail(request: UserRequest, pk: int) -> HttpResponse:
    """Show one request: who, what, why, and what came of it."""
    row = get_request_for_user(request.user, pk)
    return _render_detail(request, row, DecisionForm(**_ids(row, _now(row))))


@require_POST
def approve(request: UserRequest, pk: int) -> HttpResponse:
    """Approve, as it was asked for or for less time."""
    row = get_request_for_user(request.user, pk)
    form = DecisionForm(request.POST, **_ids(row, _now(row)))
    if not form.is_valid():
        return _decision_refused(request, row, form, 422)
    try:
        approve_request(actor=request.user, request=row, **form.cleaned_data)
    except InvalidError as error:
        add_invalid(form, error)
        return _decision_refused(request, row, form, 422)
    except ConflictError as error:
        row = get_request_for_user(request.user, pk)
        fresh = DecisionForm(**_ids(row, _now(row), comment=form.cleaned_data["comment"]))
        return _decision_refused(request, row, fresh, 409, error)
    return _decided(request, pk, f"Approved. {row.user} gets the login in a moment.")


@require_POST
def deny(request: UserRequest, pk: int) -> HttpResponse:
    """Deny, with a comment that the person reads."""
    row = get_request_for_user(request.user, pk)
    form = DecisionForm(request.POST, **_ids(row, _now(row)))
    if "comment" in form.errors:
        return _decision_refused(request, row, form, 422)
    try:
        deny_request(actor=request.user, request=row, comment=form.cleaned_data["comment"])
    except ConflictError as error:
        return _decision_refused(request, get_request_for_user(request.user, pk), form, 409, error)
    return _decided(request, pk, "Denied.")


@require_POST
def cancel(request: UserRequest, pk: int) -> HttpResponse:
    """Take back one's own pending request."""
    row = get_request_for_user(request.user, pk)
    cancel_request(actor=request.user, request=row)
    if request.htmx:
        return HttpResponse()
    messages.success(request, f"Your request for {row.endpoint} is cancelled.")
    return redirect("accessmgmt:my-access")


def _decided(request: UserRequest, pk: int, message: str) -> HttpResponse:
    if request.htmx:
        row = get_request_for_user(request.user, pk)
        context = {"card": _card(row, None, None), "waiting": requests_to_decide(request.user).count()}
        return render(request, "access/requests/inbox.html#decided", context)
    messages.success(request, message)
    return redirect("accessmgmt:request-list")


def _decision_refused(
    request: UserRequest, row: AccessRequest, form: DecisionForm, status: int, error: ConflictError | None = None
) -> HttpResponse:
    """Show the request again with what is wrong: its input, or that somebody was faster."""
    if not request.htmx:
        return _render_detail(request, row, form, status=status, error=error)
    response = render(
        request, "access/requests/inbox.html#card", {"card": _card(row, form, _now(row)), "error": error}, status=status
    )
    if error is not None:  # htmx leaves an error's body alone unless it says where it belongs
        response["HX-Retarget"] = f"#request-{row.pk}"
        response["HX-Reswap"] = "outerHTML"
    return response


def _render_detail(
    request: UserRequest,
    row: AccessRequest,
    form: DecisionForm,
    *,
    status: int = 200,
    error: ConflictError | None = None,
) -> HttpResponse:
    grant = Grant.objects.filter(request=row).first()
    is_decider = may_decide(request.user, row, approvers_of(row.endpoint))
    context = {
        "card": _card(row, form if is_decider else None, _now(row)),
        "request_row": row,
        "error": error,
        "is_own": is_own(request.user, row),
        "approvers": approver_names(row.endpoint),
        "grant": grant if grant and may_see_grant(request.user, grant) else None,
    }
    return render(request, "access/requests/detail.html", context, status=status)


def _card(row: AccessRequest, form: DecisionForm | None, now: SinceAsked | None) -> dict[str, Any]:
    """Return what a request's card shows; the form, and what has changed since, only while a decision is open."""
    is_open = form is not None and row.state == RequestState.PENDING
    return {
        "row": row,
        "form": form if is_open else None,
        "now": now if is_open else None,
        "approve_url": reverse("accessmgmt:request-approve", args=[row.pk]),
        "deny_url": reverse("accessmgmt:request-deny", args=[row.pk]),
    }


def _now(row: AccessRequest) -> SinceAsked:
    return since_asked([row])[row.pk]


def _ids(row: AccessRequest, now: SinceAsked, *, comment: str = "") -> dict[str, Any]:
    """Give each form of the inbox ids of its own, the duration that may be approved, and what is attested."""
    duration = row.duration if now.most_seconds == row.duration_seconds else format_ttl(now.most_seconds)
    initial = {"duration": duration, "comment": comment, "attested": now.attested}
    return {"auto_id": f"request-{row.pk}-%s", "initial": initial}
