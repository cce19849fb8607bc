"""The pages on which admins create, change and delete what they describe: the same for the four nouns of the set-up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from accessmgmt.domain.errors import ConflictError
from accessmgmt.forms.base import SetupForm, save_or_refuse
from accessmgmt.models import TargetLook, User
from accessmgmt.services.setup.save import Described, delete_described
from accessmgmt.views.permissions import UserRequest, View, admin_required

KEPT = "The audit trail keeps what happened."
ASK_AND_ACT = ["GET", "HEAD", "POST"]
Form = TypeVar("Form", bound=SetupForm[Any])


@dataclass(frozen=True, slots=True)
class Noun(Generic[Described, Form]):
    """What is a noun's own on these pages.

    `form` makes the form of a row, or of a new one for None. `save` stores what a valid form says; a look that it
    returns instead has to be over before anything is saved. `context` is what the page shows beside the form.
    `farewell` says what is lost with a row, `consequences` what else happens when this one is deleted.
    """

    model: type[Described]
    form: Callable[[UserRequest, Described | None], Form]
    save: Callable[[User, Form], Described | TargetLook]
    farewell: str
    context: Callable[[Form, Described | None], Mapping[str, object]] = lambda form, row: {}
    consequences: Callable[[Described], Sequence[str]] = lambda row: ()


class Pages(NamedTuple):
    """The three views of a noun."""

    create: View[[]]
    edit: View[[int]]
    delete: View[[int]]


def pages_of(noun: Noun[Described, Form]) -> Pages:
    """Make the views of a noun."""

    @admin_required
    @require_http_methods(ASK_AND_ACT)
    def create(request: UserRequest) -> HttpResponse:
        """Describe a new one."""
        return _edit(request, noun, None)

    @admin_required
    @require_http_methods(ASK_AND_ACT)
    def edit(request: UserRequest, pk: int) -> HttpResponse:
        """Change what is described; live grants keep what was approved."""
        return _edit(request, noun, get_object_or_404(noun.model, pk=pk))

    @admin_required
    @require_http_methods(ASK_AND_ACT)
    def delete(request: UserRequest, pk: int) -> HttpResponse:
        """Ask, then delete what nothing needs."""
        return _delete(request, noun, get_object_or_404(noun.model, pk=pk))

    return Pages(create, edit, delete)


def posted(request: UserRequest) -> QueryDict | None:
    """Return what a form is bound to: the body of a POST, nothing otherwise."""
    return request.POST if request.method == "POST" else None


def form_page(
    request: UserRequest,
    noun: Noun[Described, Form],
    form: Form,
    row: Described | None,
    *,
    name: str,
    status: int = 200,
    **more: object,
) -> HttpResponse:
    """Show a form. `name` is the row's stored one: the row may have the one that was typed."""
    kind = noun.model._meta.model_name
    context = {"form": form, f"{kind}": row, "name": name, **noun.context(form, row), **more}
    return render(request, f"setup/{kind}s/form.html", context, status=status)


def _edit(request: UserRequest, noun: Noun[Described, Form], row: Described | None) -> HttpResponse:
    """Show the form on GET; save it on POST, or show it again with what is wrong (HTTP 422)."""
    name = str(row or "")
    form = noun.form(request, row)
    if request.method != "POST":
        return form_page(request, noun, form, row, name=name)
    saved = save_or_refuse(form, lambda: noun.save(request.user, form)) if form.is_valid() else None
    if isinstance(saved, TargetLook):
        return redirect("accessmgmt:look", pk=saved.pk)
    if saved is not None:
        messages.success(request, f"“{saved}” is saved.")
        return redirect(f"accessmgmt:{saved._meta.model_name}-detail", pk=saved.pk)
    form.ask_secrets_again()
    return form_page(request, noun, form, row, name=name, status=422)


def _delete(request: UserRequest, noun: Noun[Described, Form], row: Described) -> HttpResponse:
    """Ask on GET, delete on POST; what still needs the row is said on the same page (HTTP 409)."""
    kind, name, pk = str(row._meta.model_name), str(row), row.pk
    blocked = ""
    if request.method == "POST":
        try:
            delete_described(actor=request.user, row=row)
        except ConflictError as error:
            blocked = str(error)
        else:
            messages.success(request, f"“{name}” is deleted.")
            return redirect(f"accessmgmt:{kind}-list")
    context = {
        "title": f"Delete the {kind} “{name}”?",
        "text": noun.farewell,
        "consequences": [] if blocked else [*noun.consequences(row), KEPT],
        "cancel_url": reverse(f"accessmgmt:{kind}-detail", args=[pk]),
        "label": f"Delete {kind}",
        "blocked": blocked,
    }
    return render(request, "components/confirm_delete.html", context, status=409 if blocked else 200)
