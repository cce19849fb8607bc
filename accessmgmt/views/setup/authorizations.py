"""Authorizations: list, form, detail."""

from __future__ import annotations

import json

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from accessmgmt.domain.permissions import ALL, ELEVATED
from accessmgmt.forms.setup.authorizations import AuthorizationForm
from accessmgmt.models import Authorization
from accessmgmt.selectors.setup.affected import affected_by_authorization
from accessmgmt.selectors.setup.authorizations import authorizations_for_list
from accessmgmt.selectors.setup.endpoints import endpoints_with_counts
from accessmgmt.services.setup.authorizations import save_authorization
from accessmgmt.views.lists import Listing, chosen, columns, render_list, searched, sorted_by
from accessmgmt.views.permissions import UserRequest, auditor_required
from accessmgmt.views.setup.frame import Noun, pages_of, posted

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


create, edit, delete = pages_of(
    Noun(
        Authorization,
        form=lambda request, authorization: AuthorizationForm(posted(request), instance=authorization),
        save=lambda actor, form: save_authorization(actor=actor, authorization=form.instance),
        context=lambda _, authorization: (
            {"affected": affected_by_authorization(authorization)} if authorization else {}
        ),
        farewell="The portal forgets this set of permissions.",
    )
)


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
