"""Authorizations: list, form, detail."""

from __future__ import annotations

import json

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_http_methods, require_safe

from accessmgmt.domain.permissions import ALL, ELEVATED
from accessmgmt.forms.setup.authorizations import AuthorizationForm
from accessmgmt.models import Authorization
from accessmgmt.selectors.setup.affected import affected_by_authorization
from accessmgmt.selectors.setup.authorizations import authorizations_for_list
from accessmgmt.selectors.setup.endpoints import endpoints_with_counts
from accessmgmt.services.setup.authorizations import save_authorization
from accessmgmt.views.lists import Listing, chosen, columns, render_list, searched, sorted_by
from accessmgmt.views.permissions import UserRequest, admin_required, auditor_required
from accessmgmt.views.setup.deleting import confirm_and_delete
from accessmgmt.views.setup.saving import form_status, posted, saved_page

AUTHORIZATIONS = Listing(
    noun="authorization",
    title="Authorizations",
    placeholder="Search authorizations",
    row_template="setup/authorizations/row.html",
    empty_icon="shield-lock",
    empty_title="No authorization yet",
    empty_text="An authorization says which privileges somebody gets on which tables. Begin with one that only reads.",
    new="New authorization",
)


@auditor_required
@require_safe
def authorization_list(request: UserRequest) -> HttpResponse:
    """List the authorizations and where each is used."""
    usage = chosen(request, "usage", "Use", [("", "Used or not"), ("used", "Used"), ("unused", "Not used")])
    search, sort = searched(request, AUTHORIZATIONS), sorted_by(request)
    return render_list(
        request,
        AUTHORIZATIONS,
        authorizations_for_list(search=search, usage=usage.value, sort=sort),
        columns(
            request,
            ("Name", "name"),
            ("What it allows", ""),
            ("Used by", "endpoints"),
            ("Live grants", "grants", "number"),
        ),
        [usage],
    )


@admin_required
@require_http_methods(["GET", "HEAD", "POST"])
def create(request: UserRequest) -> HttpResponse:
    """Describe a new authorization."""
    return _edit(request, None)


@admin_required
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: UserRequest, pk: int) -> HttpResponse:
    """Change an authorization; live grants keep what was approved."""
    return _edit(request, get_object_or_404(Authorization, pk=pk))


def _edit(request: UserRequest, authorization: Authorization | None) -> HttpResponse:
    name = str(authorization or "")
    form = AuthorizationForm(posted(request), instance=authorization)
    done = saved_page(request, form, lambda: save_authorization(actor=request.user, authorization=form.instance))
    affected = affected_by_authorization(authorization) if authorization else None
    context = {"form": form, "authorization": authorization, "name": name, "affected": affected}
    return done or render(request, "setup/authorizations/form.html", context, status=form_status(form))


@auditor_required
@require_safe
def detail(request: UserRequest, pk: int) -> HttpResponse:
    """Show an authorization in words, as JSON, and where it is used."""
    authorization = get_object_or_404(Authorization, pk=pk)
    said = authorization.permissions  # the database gives the keys in an order of its own
    endpoints = endpoints_with_counts().filter(authorization=authorization)
    context = {
        "authorization": authorization,
        "words": authorization.permission_set.in_words(),
        "json": json.dumps({key: said[key] for key in ("grants", "schemas", "tables")}, indent=2, ensure_ascii=False),
        "elevated": [g for g in authorization.permission_set.grants if g in ELEVATED or g == ALL],
        "affected": affected_by_authorization(authorization),
        "endpoints": endpoints[:50],
        "endpoint_count": endpoints.count(),
    }
    return render(request, "setup/authorizations/detail.html", context)


@admin_required
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: UserRequest, pk: int) -> HttpResponse:
    """Ask, then delete an authorization that no endpoint uses."""
    return confirm_and_delete(
        request, get_object_or_404(Authorization, pk=pk), text="The portal forgets this set of permissions."
    )
