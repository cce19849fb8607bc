"""Endpoints: list, form with its sentence, detail."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

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
from accessmgmt.views.setup.frame import Noun, pages_of, posted

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


def _form(request: UserRequest, endpoint: Endpoint | None) -> EndpointForm:
    """Make the form; a link may choose the resource or the authorization of a new endpoint."""
    initial = {name: request.GET[name] for name in ("resource", "authorization") if clean_pk(request.GET.get(name))}
    return EndpointForm(posted(request), instance=endpoint, initial=initial)


create, edit, delete = pages_of(
    Noun(
        Endpoint,
        form=_form,
        save=lambda actor, form: save_endpoint(
            actor=actor, endpoint=form.instance, approvers=form.cleaned_data["approvers"]
        ),
        context=lambda form, endpoint: {
            "sentence": form.sentence(),
            "affected": affected_by_endpoint(endpoint) if endpoint else None,
        },
        farewell="Nobody can activate or request this endpoint any more.",
    )
)


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
