"""Resources: list, form, detail, and asking for the connection test."""

from __future__ import annotations

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from accessmgmt.domain.certificates import describe_certificates
from accessmgmt.domain.looks import LookKind
from accessmgmt.forms.setup.resources import CERTIFICATE_FIELDS, SSL_CHOICES, ResourceForm, form_of_refused_move
from accessmgmt.models import Resource, TargetLook, User
from accessmgmt.selectors.oversight.looks import newest_look, refused_move
from accessmgmt.selectors.setup.endpoints import endpoints_with_counts
from accessmgmt.selectors.setup.resources import resources_for_list
from accessmgmt.services.setup import resources
from accessmgmt.services.targets import looks, strangers
from accessmgmt.views.lists import Listing, chosen, columns, render_list, searched, sorted_by
from accessmgmt.views.oversight.looks import look_context
from accessmgmt.views.permissions import UserRequest, admin_required, auditor_required
from accessmgmt.views.query import clean_pk, clean_uuid
from accessmgmt.views.setup.frame import Noun, form_page, pages_of

CREDENTIAL_FIELDS = ("use_aws_secrets", "username", "aws_region", "aws_secret_name")
RESOURCES = Listing(
    noun="resource",
    title="Resources",
    placeholder="Search name, host or database",
    row_template="setup/resources/row.html",
    empty_icon="database",
    empty_title="No resource yet",
    empty_text="A resource is one database on one PostgreSQL server, with the credential that the portal uses there."
    " Everything else builds on it.",
    new="New resource",
)


@auditor_required
@require_safe
def resource_list(request: UserRequest) -> HttpResponse:
    """List the resources."""
    search, sort = searched(request, RESOURCES), sorted_by(request)
    modes = [(value or "none", value or "not set") for value, _ in SSL_CHOICES]
    ssl_mode = chosen(request, "ssl_mode", "SSL mode", [("", "Any SSL mode"), *modes])
    kinds = [("", "Primaries and standbys"), ("primary", "Primaries"), ("standby", "Standbys")]
    kind = chosen(request, "kind", "Kind", kinds)
    return render_list(
        request,
        RESOURCES,
        resources_for_list(search=search, ssl_mode=ssl_mode.value, kind=kind.value, sort=sort),
        columns(
            request,
            ("Name", "name"),
            ("Server and database", "host"),
            ("SSL mode", "ssl"),
            ("Replication", ""),
            ("Endpoints", "endpoints", "number"),
            ("Live grants", "grants", "number"),
        ),
        [ssl_mode, kind],
    )


def _form(request: UserRequest, resource: Resource | None) -> ResourceForm:
    """Make the form: as it was posted, as it was when its move was refused, or as the resource is."""
    if request.method == "POST":
        return ResourceForm(request.POST, request.FILES, instance=resource)
    pk = clean_uuid(request.GET.get("look"))
    look = refused_move(request.user, resource, pk) if resource is not None and pk is not None else None
    if look is not None:
        return form_of_refused_move(look)
    # The credential section asks for itself again when its switch is turned.
    initial = {name: request.GET[name] for name in CREDENTIAL_FIELDS if name in request.GET}
    if initial:
        initial["use_aws_secrets"] = request.GET.get("use_aws_secrets", "")
    return ResourceForm(instance=resource, initial=initial)


def _save(actor: User, form: ResourceForm) -> Resource | TargetLook:
    """Store what the form says; first ask the server at a new address whether it is the same one."""
    if form.is_to_be_asked:
        return looks.ask_for_move(actor=actor, resource=form.instance)
    return resources.save_resource(actor=actor, resource=form.instance)


def _beside_form(form: ResourceForm, _: Resource | None) -> dict[str, object]:
    facts = {name: describe_certificates(str(form[name].value() or "")) for name in CERTIFICATE_FIELDS}
    return {"ca_facts": facts["tls_root_cert"], "client_facts": facts["tls_cert_file"], **look_context(None)}


RESOURCE = Noun(
    Resource,
    form=_form,
    save=_save,
    context=_beside_form,
    farewell="The portal forgets this server and the credential that it uses there.",
    consequences=lambda _: ["Nothing is changed on the server itself."],
)
create, edit, delete = pages_of(RESOURCE)


@admin_required
@require_POST
def test_unsaved(request: UserRequest) -> HttpResponse:
    """Ask for the connection test of what stands in the form. Of the form nothing is stored but until it is over."""
    pk = clean_pk(request.POST.get("resource"))
    stored = get_object_or_404(Resource, pk=pk) if pk is not None else None
    name = str(stored or "")
    form = ResourceForm(request.POST, request.FILES, instance=stored)
    form.full_clean()
    look: TargetLook | None = None
    if not form.connection_errors:
        look = looks.ask_for_unsaved_test(actor=request.user, resource=form.instance)
    status = 422 if look is None else 200
    if not request.htmx:
        form.ask_secrets_again()
        return form_page(request, RESOURCE, form, stored, name=name, status=status, **look_context(look))
    problems = [(form[name], texts) for name, texts in form.connection_errors.items() if name in form.fields]
    context = {**look_context(look), "problems": problems}
    return render(request, "setup/resources/form.html#ladder", context, status=status)


@admin_required
@require_POST
def preview_certificate(request: UserRequest) -> HttpResponse:
    """Describe at once what was pasted into one of the form's boxes for certificates. Opens no connection."""
    name = next((name for name in CERTIFICATE_FIELDS if name in request.POST), CERTIFICATE_FIELDS[0])
    text = request.POST.get(name, "")
    form = ResourceForm({name: text})
    form.full_clean()
    context = {
        "facts": describe_certificates(form.cleaned_data.get(name, "")),
        "problems": form.errors.get(name, ()) if text.strip() else (),
    }
    return render(request, "setup/resources/form.html#certificates", context)


@auditor_required
@require_safe
def detail(request: UserRequest, pk: int) -> HttpResponse:
    """Show a resource, without its secrets."""
    return render(request, "setup/resources/detail.html", _detail_context(_get(pk)))


def _get(pk: int) -> Resource:
    return get_object_or_404(Resource.objects.select_related("primary"), pk=pk)


def _detail_context(resource: Resource) -> dict[str, object]:
    endpoints: QuerySet = endpoints_with_counts().filter(resource=resource)  # type: ignore[type-arg]
    return {
        "resource": resource,
        "has_password": bool(resource.password),
        "has_key": bool(resource.tls_key_file),
        "has_aws_keys": bool(resource.aws_secret_access_key),
        "ca_facts": describe_certificates(resource.tls_root_cert),
        "client_facts": describe_certificates(resource.tls_cert_file),
        "endpoints": endpoints[:50],
        "endpoint_count": endpoints.count(),
        "standbys": resource.standbys.only("name"),
        "live_grants": resource.grants.live().count(),
        "silences": list(resource.silences.order_by("since")),
        **look_context(newest_look(resource, LookKind.CONNECTION)),
    }


@admin_required
@require_POST
def test(request: UserRequest, pk: int) -> HttpResponse:
    """Ask for the connection test of a stored resource; the page shows each rung as it is known."""
    look = looks.ask_for_test(actor=request.user, resource=_get(pk))
    if request.htmx:
        return render(request, "setup/resources/detail.html#ladder", look_context(look))
    return redirect("accessmgmt:resource-detail", pk=pk)


@admin_required
@require_POST
def resume(request: UserRequest, pk: int) -> HttpResponse:
    """Let a resource give access again, after an admin has looked at the roles that paused it."""
    resource = _get(pk)
    strangers.resume(actor=request.user, resource=resource, roles=request.POST.getlist("role"))
    messages.success(request, f"“{resource}” gives access again.")
    return redirect("accessmgmt:resource-detail", pk=pk)
