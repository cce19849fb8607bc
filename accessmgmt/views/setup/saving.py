"""What the forms of the set-up share: what was posted, and where one goes once it is saved."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.forms import BaseForm
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect

from accessmgmt.forms.base import save_or_refuse
from accessmgmt.services.setup.save import Described
from accessmgmt.views.permissions import UserRequest


def posted(request: UserRequest) -> QueryDict | None:
    """Return what a form is bound to: the body of a POST, nothing otherwise."""
    return request.POST if request.method == "POST" else None


def saved_page(request: UserRequest, form: BaseForm, save: Callable[[], Described]) -> HttpResponse | None:
    """Save a valid form and go to the page of what was saved; None when the form is to be shown, perhaps again."""
    saved = save_or_refuse(form, save) if form.is_valid() else None
    if saved is None:
        return None
    messages.success(request, f"“{saved}” is saved.")
    return redirect(f"accessmgmt:{saved._meta.model_name}-detail", pk=saved.pk)


def form_status(form: BaseForm) -> int:
    """Return 422 for a form that comes back with errors."""
    return 422 if form.is_bound else 200
