"""One grant: how to connect, its time line and receipts; and the list of everybody's."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.text import slugify
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import HttpResponseClientRefresh

from accessmgmt.domain.snippets import Connection, connection_url, snippets_for
from accessmgmt.domain.states import GrantState
from accessmgmt.domain.words import end_reason_words, state_words
from accessmgmt.models import Endpoint, Grant, Resource
from accessmgmt.policy.access import is_own
from accessmgmt.policy.people import is_admin
from accessmgmt.selectors.access.grants import GRANT_FILTERS, grants_for_list
from accessmgmt.selectors.access.own import get_grant_for_user
from accessmgmt.selectors.access.time_line import time_line
from accessmgmt.selectors.lists import named
from accessmgmt.selectors.oversight.drift import last_comparison
from accessmgmt.services.grants.password import reveal_password
from accessmgmt.services.grants.stop import release_grant, revoke_grant
from accessmgmt.views.access.my_access import render_card
from accessmgmt.views.lists import Column, Filter, Listing, chosen, render_list, searched
from accessmgmt.views.permissions import UserRequest, auditor_required
from accessmgmt.views.query import clean_pk
from accessmgmt.views.recorded import record_downloaded

IN_MOTION = frozenset({GrantState.QUEUED, GrantState.APPLYING, GrantState.ENDING})
GRANTS = Listing(
    noun="grant",
    title="Grants",
    placeholder="Search name or e-mail",
    row_template="access/grants/row.html",
    empty_icon="key-off",
    empty_title="Nobody has had access yet.",
    empty_text="A grant appears here as soon as somebody activates an endpoint, or a request is approved.",
    search_name="person",
    is_wide=True,
)


@auditor_required
@require_safe
def grant_list(request: UserRequest) -> HttpResponse:
    """List everybody's grants, newest first; the filters stand in the URL."""
    resource, endpoint = clean_pk(request.GET.get("resource")), clean_pk(request.GET.get("endpoint"))
    states = [("", "Any state"), *((name, state_words(name).capitalize()) for name in GRANT_FILTERS)]
    state = chosen(request, "state", "State", states)
    rows = grants_for_list(person=searched(request, GRANTS), resource=resource, endpoint=endpoint, state=state.value)
    heads = [Column(label) for label in ("Person", "Endpoint", "Login", "State", "Began", "Ends")]
    if is_admin(request.user):
        heads.append(Column("Action", is_hidden=True))
    return render_list(
        request,
        GRANTS,
        rows,
        heads,
        [
            Filter("resource", "Resource", named(Resource, "All resources"), str(resource or "")),
            Filter("endpoint", "Endpoint", named(Endpoint, "All endpoints"), str(endpoint or "")),
            state,
        ],
    )


@require_safe
def detail(request: UserRequest, pk: uuid.UUID) -> HttpResponse:
    """Show how to connect while it is active, and what happened."""
    grant = get_grant_for_user(request.user, pk)
    return render(request, "access/grants/detail.html", _detail_context(request, grant))


@require_safe
def status(request: UserRequest, pk: uuid.UUID) -> HttpResponse:
    """Return the grant's state and time line; the whole page anew when another part of it changed as well."""
    grant = get_grant_for_user(request.user, pk)
    if request.GET.get("phase") != _phase(grant):
        return HttpResponseClientRefresh()
    return render(request, "access/grants/detail.html#status", _status_context(request, grant))


@require_safe
def card(request: UserRequest, pk: uuid.UUID) -> HttpResponse:
    """Return the card that stands on "My access"."""
    return render_card(request, get_grant_for_user(request.user, pk))


@require_POST
def release(request: UserRequest, pk: uuid.UUID) -> HttpResponse:
    """End one's own grant early."""
    grant = get_grant_for_user(request.user, pk)
    release_grant(actor=request.user, grant=grant)
    if request.htmx:
        return render_card(request, get_grant_for_user(request.user, pk))
    messages.success(request, "Released. The login is being removed.")
    return redirect("accessmgmt:grant-detail", pk=pk)


@require_POST
def revoke(request: UserRequest, pk: uuid.UUID) -> HttpResponse:
    """End anybody's grant, as an admin."""
    grant = get_grant_for_user(request.user, pk)
    revoke_grant(actor=request.user, grant=grant)
    if request.htmx:
        return render(request, "access/grants/row.html", {"row": get_grant_for_user(request.user, pk)})
    messages.success(request, f"The access of {grant.user} is being ended.")
    return redirect("accessmgmt:grant-detail", pk=pk)


@never_cache
@require_POST
def password(request: UserRequest, pk: uuid.UUID) -> HttpResponse:
    """Show the password of one's own active grant, once; each look is audited."""
    grant = get_grant_for_user(request.user, pk)
    secret = reveal_password(actor=request.user, grant=grant)
    context = _detail_context(request, grant)
    context |= {"password": secret, "secret_url": connection_url(_connection(grant.resource, grant), password=secret)}
    return render(
        request, "access/grants/detail.html#password" if request.htmx else "access/grants/detail.html", context
    )


@require_safe
def ca_certificate(request: UserRequest, pk: uuid.UUID) -> HttpResponseBase:
    """Download the CA certificate that the server's certificate is checked against."""
    resource = get_grant_for_user(request.user, pk).resource
    if not resource.tls_root_cert:
        raise Http404("This resource has no CA certificate.")
    record_downloaded(request, file=_ca_file(resource), of=resource.name)
    return HttpResponse(
        resource.tls_root_cert.strip() + "\n",
        content_type="application/x-pem-file",
        headers={"Content-Disposition": f'attachment; filename="{_ca_file(resource)}"'},
    )


def _phase(grant: Grant) -> str:
    """Return which parts the page has: it is loaded anew when this changes."""
    if grant.is_over:
        return "over"
    return {GrantState.ACTIVE: "active", GrantState.ENDING: "ending"}.get(GrantState(grant.state), "waiting")


def _status_context(request: UserRequest, grant: Grant) -> dict[str, Any]:
    is_in_motion = grant.state in IN_MOTION
    return {
        "grant": grant,
        "phase": _phase(grant),
        "is_in_motion": is_in_motion,
        "poll": "5s" if grant.state == GrantState.ACTIVE or grant.is_overdue else "500ms" if is_in_motion else "",
        "moments": time_line(grant),
        "end_reason": end_reason_words(grant.end_reason),
        "is_own": is_own(request.user, grant),
    }


def _detail_context(request: UserRequest, grant: Grant) -> dict[str, Any]:
    context = _status_context(request, grant)
    connection = _connection(grant.resource, grant)
    receipt = grant.apply_receipt or {}
    return context | {
        "connection": connection,
        "snippets": snippets_for(connection, service=grant.endpoint.name),
        "receipt": receipt,
        "comparison": last_comparison(grant) if grant.state == GrantState.ACTIVE else None,
        "hidden_tables": receipt.get("table_count", 0) - len(receipt.get("tables", [])),
        "hidden_sequences": receipt.get("sequence_count", 0) - len(receipt.get("sequences", [])),
    }


def _connection(resource: Resource, grant: Grant) -> Connection:
    return Connection(
        host=resource.host,
        port=resource.port,
        database=resource.database_name,
        user=grant.role_name,
        ssl_mode=resource.ssl_mode,
        ca_file=_ca_file(resource) if resource.tls_root_cert else "",
    )


def _ca_file(resource: Resource) -> str:
    return f"{slugify(resource.name) or 'server'}-ca.pem"
