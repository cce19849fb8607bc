"""Authorizations: list, form, detail."""

from __future__ import annotations

import json

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from accessmgmt.domain.permissions import ALL, ELEVATED
from accessmgmt.forms.authorizations import AuthorizationForm
from accessmgmt.forms.base import save_or_refuse
from accessmgmt.models import Authorization
from accessmgmt.selectors.configuration import (
    affected_by_authorization,
    authorizations_for_list,
    clean_search,
    endpoints_with_counts,
    page_of,
)
from accessmgmt.services.configuration import save_authorization
from accessmgmt.views.deleting import confirm_and_delete
from accessmgmt.views.lists import Filter, columns, render_list
from accessmgmt.views.permissions import UserRequest, admin_required, auditor_required


@auditor_required
@require_GET
def authorization_list(request: UserRequest) -> HttpResponse:
    """List the authorizations and where each is used."""
    search, usage = clean_search(request.GET.get("q")), request.GET.get("usage", "")
    rows = authorizations_for_list(search=search, usage=usage, sort=request.GET.get("sort", ""))
    context = {
        "page": page_of(rows, request.GET.get("page")),
        "search": search,
        "filters": [Filter("usage", "Use", [("", "Used or not"), ("used", "Used"), ("unused", "Not used")], usage)],
        "columns": columns(
            request,
            ("Name", "name"),
            ("What it allows", ""),
            ("Used by", "endpoints", "number-less"),
            ("Live grants", "grants", "number"),
        ),
        "elevated": [*ELEVATED, ALL],
    }
    return render_list(request, "authorizations/list.html", context)


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
    status, name = 200, str(authorization or "")
    if request.method == "POST":
        form = AuthorizationForm(request.POST, instance=authorization)
        if form.is_valid():
            saved = save_or_refuse(form, lambda: save_authorization(actor=request.user, authorization=form.instance))
            if saved is not None:
                messages.success(request, f"“{saved}” is saved.")
                return redirect("accessmgmt:authorization-detail", pk=saved.pk)
        status = 422
    else:
        form = AuthorizationForm(instance=authorization)
    affected = affected_by_authorization(authorization) if authorization else None
    context = {"form": form, "authorization": authorization, "name": name, "affected": affected}
    return render(request, "authorizations/form.html", context, status=status)


@auditor_required
@require_GET
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
    return render(request, "authorizations/detail.html", context)


@admin_required
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: UserRequest, pk: int) -> HttpResponse:
    """Ask, then delete an authorization that no endpoint uses."""
    return confirm_and_delete(
        request, get_object_or_404(Authorization, pk=pk), text="The portal forgets this set of permissions."
    )
