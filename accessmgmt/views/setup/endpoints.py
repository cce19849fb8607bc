"""Endpoints: list, form with its sentence, detail."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_http_methods, require_safe

from accessmgmt.domain.emails import show_address
from accessmgmt.forms.setup.endpoints import EndpointForm
from accessmgmt.models import Authorization, Endpoint, Resource
from accessmgmt.selectors.lists import named
from accessmgmt.selectors.setup.affected import affected_by_endpoint
from accessmgmt.selectors.setup.endpoints import endpoints_for_list, sentence_of
from accessmgmt.selectors.setup.groups import groups_with_counts
from accessmgmt.services.setup.endpoints import save_endpoint
from accessmgmt.views.lists import Filter, Listing, chosen, columns, render_list, searched, sorted_by
from accessmgmt.views.permissions import UserRequest, admin_required, auditor_required
from accessmgmt.views.query import clean_pk
from accessmgmt.views.setup.deleting import confirm_and_delete
from accessmgmt.views.setup.saving import form_status, posted, saved_page

APPROVALS = [
    ("", "Any approval"),
    ("none", "Without approval"),
    ("needed", "Approval needed"),
    ("requestable", "Anybody may request"),
]
ENDPOINTS = Listing(
    noun="endpoint",
    title="Endpoints",
    placeholder="Search endpoints",
    row_template="setup/endpoints/row.html",
    empty_icon="plug-connected",
    empty_title="No endpoint yet",
    empty_text="An endpoint is what people activate: a resource, an authorization and a time to live."
    " Describe a resource and an authorization first.",
    new="New endpoint",
)


@auditor_required
@require_safe
def endpoint_list(request: UserRequest) -> HttpResponse:
    """List the endpoints."""
    approval = chosen(request, "approval", "Approval", APPROVALS)
    resource, authorization = clean_pk(request.GET.get("resource")), clean_pk(request.GET.get("authorization"))
    rows = endpoints_for_list(
        search=searched(request, ENDPOINTS),
        resource=resource,
        authorization=authorization,
        approval=approval.value,
        sort=sorted_by(request),
    )
    authorizations = named(Authorization, "All authorizations")
    return render_list(
        request,
        ENDPOINTS,
        rows,
        columns(
            request,
            ("Name", "name"),
            ("Resource", "resource"),
            ("Authorization", "authorization"),
            ("Time to live", "ttl"),
            ("Approval", ""),
            ("Groups", "groups", "number"),
            ("Live grants", "grants", "number"),
        ),
        [
            Filter("resource", "Resource", named(Resource, "All resources"), str(resource or "")),
            Filter("authorization", "Authorization", authorizations, str(authorization or "")),
            approval,
        ],
    )


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
    name = str(endpoint or "")
    initial = {name: request.GET[name] for name in ("resource", "authorization") if clean_pk(request.GET.get(name))}
    form = EndpointForm(posted(request), instance=endpoint, initial=initial)

    def save() -> Endpoint:
        return save_endpoint(actor=request.user, endpoint=form.instance, approvers=form.cleaned_data["approvers"])

    if (done := saved_page(request, form, save)) is not None:
        return done
    context = {
        "form": form,
        "endpoint": endpoint,
        "name": name,
        "sentence": form.sentence(),
        "affected": affected_by_endpoint(endpoint) if endpoint else None,
    }
    return render(request, "setup/endpoints/form.html", context, status=form_status(form))


@admin_required
@require_safe
def sentence(request: UserRequest) -> HttpResponse:
    """Say what the form's values mean, however incomplete they are."""
    return render(request, "setup/endpoints/form.html#sentence", {"sentence": EndpointForm(request.GET).sentence()})


@auditor_required
@require_safe
def detail(request: UserRequest, pk: int) -> HttpResponse:
    """Show an endpoint, the groups that are wired to it, and who decides."""
    endpoint = get_object_or_404(Endpoint.objects.select_related("resource", "authorization"), pk=pk)
    approvers = list(endpoint.approvers.values_list("email", flat=True))
    groups = groups_with_counts().filter(wires__endpoint=endpoint)
    context = {
        "endpoint": endpoint,
        "sentence": sentence_of(endpoint, approvers),
        "approvers": [show_address(email) for email in approvers],
        "groups": groups,
        "affected": affected_by_endpoint(endpoint),
    }
    return render(request, "setup/endpoints/detail.html", context)


@admin_required
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: UserRequest, pk: int) -> HttpResponse:
    """Ask, then delete an endpoint that no group is wired to and no grant was made for."""
    return confirm_and_delete(
        request, get_object_or_404(Endpoint, pk=pk), text="Nobody can activate or request this endpoint any more."
    )
