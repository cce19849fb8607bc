"""People's accounts: list, new, change, suspend."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from accessmgmt.domain.errors import ConflictError, InvalidError
from accessmgmt.forms.base import add_invalid
from accessmgmt.forms.people.users import NewUserForm, UserForm
from accessmgmt.models import GroupMember, User
from accessmgmt.selectors.people.users import users_for_list
from accessmgmt.services.people import users
from accessmgmt.views.lists import Listing, chosen, columns, render_list, searched, sorted_by
from accessmgmt.views.permissions import UserRequest, admin_required, auditor_required

USERS = Listing(
    noun="user",
    title="Users",
    placeholder="Search name or e-mail address",
    row_template="people/users/row.html",
    new="New user",
)


@auditor_required
@require_safe
def user_list(request: UserRequest) -> HttpResponse:
    """List the accounts."""
    role = chosen(request, "role", "Role", [("", "All roles"), *User.Role.choices])
    states = [("", "Active and suspended"), ("active", "Active"), ("suspended", "Suspended")]
    state = chosen(request, "state", "State", states)
    search, sort = searched(request, USERS), sorted_by(request)
    return render_list(
        request,
        USERS,
        users_for_list(search=search, role=role.value, state=state.value, sort=sort),
        columns(
            request,
            ("Person", "email"),
            ("Role", "role"),
            ("State", ""),
            ("Groups", "groups", "number"),
            ("Live grants", "grants", "number"),
            ("Since", "since"),
        ),
        [role, state],
    )


@admin_required
@require_http_methods(["GET", "HEAD", "POST"])
def create(request: UserRequest) -> HttpResponse:
    """Make an account."""
    form, status = NewUserForm(request.POST or None), 200
    if request.method == "POST":
        if form.is_valid():
            try:
                user = users.create_user(actor=request.user, **form.cleaned_data)
            except InvalidError as error:
                add_invalid(form, error)
            except ConflictError as error:
                form.add_error("email", str(error))
            else:
                messages.success(request, f"{user.email} may sign in now.")
                return redirect("accessmgmt:user-list")
        if form.data.get("password") and "password" not in form.errors:
            form.add_error("password", "Write it again: a secret is never sent back to the browser.")
        status = 422
    return render(request, "people/users/form.html", {"form": form, "person": None}, status=status)


@admin_required
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: UserRequest, pk: int) -> HttpResponse:
    """Change an account, or suspend it, which ends whatever the person holds."""
    person = get_object_or_404(User, pk=pk)
    initial = {"name": person.name, "role": person.role, "is_active": person.is_active}
    form, status = UserForm(request.POST if request.method == "POST" else None, initial=initial), 200
    if request.method == "POST":
        if form.is_valid():
            try:
                users.change_user(actor=request.user, user=person, **form.cleaned_data)
            except ConflictError as error:
                form.add_error(None, str(error))
            else:
                is_suspended = person.is_active and not form.cleaned_data["is_active"]
                ending = " Whatever they hold is being ended." if is_suspended else ""
                messages.success(request, f"{person.email} is saved.{ending}")
                return redirect("accessmgmt:user-list")
        status = 422
    context = {
        "form": form,
        "person": person,
        "live_grants": person.grants.live().count(),
        "groups": GroupMember.objects.filter(email=person.email).select_related("group").order_by("group__name"),
    }
    return render(request, "people/users/form.html", context, status=status)
