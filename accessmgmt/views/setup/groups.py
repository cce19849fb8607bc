"""Groups: list, form, members and wires."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from accessmgmt.domain.address_lists import Addresses
from accessmgmt.domain.emails import same_address
from accessmgmt.domain.errors import InvalidError
from accessmgmt.forms.setup.groups import GroupForm, MembersForm, WireForm
from accessmgmt.models import Endpoint, Group
from accessmgmt.selectors.setup.endpoints import endpoints_with_counts
from accessmgmt.selectors.setup.groups import groups_for_list, groups_with_counts, live_grants_through, members_for_list
from accessmgmt.services.setup import groups
from accessmgmt.views.lists import Listing, columns, is_fragment, render_list, searched, sorted_by
from accessmgmt.views.paging import page_of
from accessmgmt.views.permissions import UserRequest, admin_required, auditor_required
from accessmgmt.views.query import clean_pk, clean_search
from accessmgmt.views.setup.frame import Noun, pages_of, posted

GROUPS = Listing(
    noun="group",
    title="Groups",
    placeholder="Search name or member",
    row_template="setup/groups/row.html",
    empty_icon="users-group",
    empty_title="No group yet",
    empty_text="A group is a set of people by e-mail address. Wire it to endpoints, and its members may activate them.",
    new="New group",
)


@auditor_required
@require_safe
def group_list(request: UserRequest) -> HttpResponse:
    """List the groups."""
    heads = columns(
        request,
        ("Name", "name"),
        ("Description", ""),
        ("Members", "members", "number"),
        ("Endpoints", "endpoints", "number"),
    )
    rows = groups_for_list(search=searched(request, GROUPS), sort=sorted_by(request))
    return render_list(request, GROUPS, rows, heads)


create, edit, delete = pages_of(
    Noun(
        Group,
        form=lambda request, group: GroupForm(posted(request), instance=group),
        save=lambda actor, form: groups.save_group(actor=actor, group=form.instance),
        farewell="Its members lose what they may activate through it.",
        consequences=lambda group: [
            f"Members who leave it: {group.members.count()}. Endpoints it is wired to: {group.wires.count()}.",
            "Live grants stay until their time is over.",
        ],
    )
)


@auditor_required
@require_safe
def detail(request: UserRequest, pk: int) -> HttpResponse:
    """Show a group's members and the endpoints it is wired to."""
    group = _get(pk)
    name = "setup/groups/detail.html#members" if is_fragment(request) else "setup/groups/detail.html"
    return render(request, name, _context(request, group))


def _get(pk: int) -> Group:
    return get_object_or_404(groups_with_counts(), pk=pk)


def _context(
    request: UserRequest, group: Group, *, members_form: MembersForm | None = None, wire_form: WireForm | None = None
) -> dict[str, object]:
    search = clean_search(request.GET.get("q"))
    return {
        "group": group,
        "search": search,
        "page": page_of(request, members_for_list(group, search=search)),
        "endpoints": endpoints_with_counts().filter(wires__group=group),
        "members_form": members_form or MembersForm(),
        "wire_form": wire_form or WireForm(group),
    }


@admin_required
@require_POST
def add_members(request: UserRequest, pk: int) -> HttpResponse:
    """Add the people of a pasted list; entries that are no addresses come back with the reason."""
    group = _get(pk)
    form = MembersForm(request.POST)
    if not form.is_valid():
        return _changed(request, _context(request, group, members_form=form), "members", status=422)
    found: Addresses = form.cleaned_data["emails"]
    new = groups.add_members(actor=request.user, group=group, emails=found.good)
    known = len(found.good) - len(new)
    said = f"{_people(len(new))} added." + (f" {_people(known)} in the group already." if known else "")
    if found.bad:
        context = {**_context(request, _get(pk), members_form=form.with_the_rest()), "said": said}
        return _changed(request, context, "members", status=422)
    if not request.htmx:
        messages.success(request, said)
        return redirect("accessmgmt:group-detail", pk=pk)
    return _changed(request, {**_context(request, _get(pk)), "said": said}, "members")


@admin_required
@require_POST
def remove_member(request: UserRequest, pk: int) -> HttpResponse:
    """Remove one person, and say what they still hold."""
    group, email = _get(pk), same_address(request.POST.get("email", ""))
    groups.remove_member(actor=request.user, group=group, email=email)
    held = live_grants_through(group, email)
    messages.success(request, f"{email} is no member of “{group}” any more.")
    if held:
        messages.warning(
            request,
            f"{email} still holds {held} live grant{'' if held == 1 else 's'} on this group's endpoints, until their"
            " time is over. End them on the page of grants if that is too long.",
        )
    return redirect("accessmgmt:group-detail", pk=pk)


@admin_required
@require_POST
def wire(request: UserRequest, pk: int) -> HttpResponse:
    """Let the members activate one more endpoint."""
    group = _get(pk)
    form = WireForm(group, request.POST)
    if not form.is_valid():
        return _changed(request, _context(request, group, wire_form=form), "wires", status=422)
    endpoint: Endpoint = form.cleaned_data["endpoint"]
    groups.wire_endpoint(actor=request.user, group=group, endpoint=endpoint)
    said = f"{_people(group.members.count())} may use “{endpoint}” now."
    if not request.htmx:
        messages.success(request, said)
        return redirect("accessmgmt:group-detail", pk=pk)
    return _changed(request, {**_context(request, _get(pk)), "wire_said": said}, "wires")


@admin_required
@require_POST
def unwire(request: UserRequest, pk: int) -> HttpResponse:
    """Take an endpoint away from the group; live grants stay until their time is over."""
    group = _get(pk)
    endpoint_pk = clean_pk(request.POST.get("endpoint"))
    if endpoint_pk is None:
        raise InvalidError("No endpoint was named.", todo="Go back and choose one.")
    endpoint = get_object_or_404(Endpoint, pk=endpoint_pk)
    groups.unwire_endpoint(actor=request.user, group=group, endpoint=endpoint)
    messages.success(request, f"“{group}” is not wired to “{endpoint}” any more. Live grants stay until they end.")
    return redirect("accessmgmt:group-detail", pk=pk)


def _changed(request: UserRequest, context: dict[str, object], fragment: str, *, status: int = 200) -> HttpResponse:
    name = f"setup/groups/detail.html#{fragment}" if request.htmx else "setup/groups/detail.html"
    return render(request, name, context, status=status)


def _people(count: int) -> str:
    return "1 person" if count == 1 else f"{count} people"
