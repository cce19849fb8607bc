"""Endpoints: list, form with its sentence, detail."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from accessmgmt.forms.base import save_or_refuse
from accessmgmt.forms.endpoints import EndpointForm
from accessmgmt.models import Authorization, Endpoint, Resource
from accessmgmt.selectors.configuration import (
    affected_by_endpoint,
    clean_pk,
    clean_search,
    endpoints_for_list,
    groups_with_counts,
    page_of,
    sentence_of,
)
from accessmgmt.services.configuration import save_endpoint
from accessmgmt.views.deleting import confirm_and_delete
from accessmgmt.views.lists import Filter, columns, render_list
from accessmgmt.views.permissions import UserRequest, admin_required, auditor_required

APPROVALS = [
    ("", "Any approval"),
    ("none", "Without approval"),
    ("needed", "Approval needed"),
    ("requestable", "Anybody may request"),
]


@auditor_required
@require_GET
def endpoint_list(request: UserRequest) -> HttpResponse:
    """List the endpoints."""
    search, approval = clean_search(request.GET.get("q")), request.GET.get("approval", "")
    resource, authorization = clean_pk(request.GET.get("resource")), clean_pk(request.GET.get("authorization"))
    rows = endpoints_for_list(
        search=search,
        resource=resource,
        authorization=authorization,
        approval=approval,
        sort=request.GET.get("sort", ""),
    )
    resources = [(str(pk), name) for pk, name in Resource.objects.values_list("pk", "name")]
    authorizations = [(str(pk), name) for pk, name in Authorization.objects.values_list("pk", "name")]
    context = {
        "page": page_of(rows, request.GET.get("page")),
        "search": search,
        "filters": [
            Filter("resource", "Resource", [("", "All resources"), *resources], str(resource or "")),
            Filter(
                "authorization",
                "Authorization",
                [("", "All authorizations"), *authorizations],
                str(authorization or ""),
            ),
            Filter("approval", "Approval", APPROVALS, approval),
        ],
        "columns": columns(
            request,
            ("Name", "name"),
            ("Resource", "resource"),
            ("Authorization", "authorization"),
            ("Time to live", "ttl"),
            ("Approval", ""),
            ("Groups", "groups", "number"),
            ("Live grants", "grants", "number"),
        ),
    }
    return render_list(request, "endpoints/list.html", context)


@admin_required
@require_http_methods(["GET", "HEAD", "POST"])
def create(request: UserRequest) -> HttpResponse:
    """Describe a new endpoint."""
    return _edit(request, None)


@admin_required
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: UserRequest, pk: int) -> HttpResponse:
    """Change an endpoint; live grants keep what was approved."""
    return _edit(request, get_object_or_404(Endpoint, pk=pk))


def _edit(request: UserRequest, endpoint: Endpoint | None) -> HttpResponse:
    status, name = 200, str(endpoint or "")
    if request.method == "POST":
        form = EndpointForm(request.POST, instance=endpoint)
        if form.is_valid():
            approvers = form.cleaned_data["approvers"]
            saved = save_or_refuse(
                form, lambda: save_endpoint(actor=request.user, endpoint=form.instance, approvers=approvers)
            )
            if saved is not None:
                messages.success(request, f"“{saved}” is saved.")
                return redirect("accessmgmt:endpoint-detail", pk=saved.pk)
        status = 422
    else:
        chosen = {name: request.GET[name] for name in ("resource", "authorization") if clean_pk(request.GET.get(name))}
        form = EndpointForm(instance=endpoint, initial=chosen)
    context = {
        "form": form,
        "endpoint": endpoint,
        "name": name,
        "sentence": form.sentence(),
        "affected": affected_by_endpoint(endpoint) if endpoint else None,
    }
    return render(request, "endpoints/form.html", context, status=status)


@admin_required
@require_GET
def sentence(request: UserRequest) -> HttpResponse:
    """Say what the form's values mean, however incomplete they are."""
    return render(request, "endpoints/form.html#sentence", {"sentence": EndpointForm(request.GET).sentence()})


@auditor_required
@require_GET
def detail(request: UserRequest, pk: int) -> HttpResponse:
    """Show an endpoint, the groups that are wired to it, and who decides."""
    endpoint = get_object_or_404(Endpoint.objects.select_related("resource", "authorization"), pk=pk)
    approvers = list(endpoint.approvers.values_list("email", flat=True))
    groups = groups_with_counts().filter(wires__endpoint=endpoint)
    context = {
        "endpoint": endpoint,
        "sentence": sentence_of(endpoint, approvers),
        "approvers": approvers,
        "groups": groups,
        "affected": affected_by_endpoint(endpoint),
    }
    return render(request, "endpoints/detail.html", context)


@admin_required
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: UserRequest, pk: int) -> HttpResponse:
    """Ask, then delete an endpoint that no group is wired to and no grant was made for."""
    return confirm_and_delete(
        request, get_object_or_404(Endpoint, pk=pk), text="Nobody can activate or request this endpoint any more."
    )
