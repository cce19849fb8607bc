"""The page that asks before a resource, an authorization, an endpoint or a group is deleted."""

from __future__ import annotations

from collections.abc import Sequence

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from accessmgmt.domain.errors import ConflictError
from accessmgmt.services.setup.save import Described, delete_described
from accessmgmt.views.permissions import UserRequest

KEPT = "The audit trail keeps what happened."


def confirm_and_delete(
    request: UserRequest,
    row: Described,
    *,
    text: str,
    consequences: Sequence[str] = (),
) -> HttpResponse:
    """Ask on GET, delete on POST; what still needs the row is said on the same page (HTTP 409)."""
    noun, name, pk = str(row._meta.model_name), str(row), row.pk
    blocked, status = "", 200
    if request.method == "POST":
        try:
            delete_described(actor=request.user, row=row)
        except ConflictError as error:
            blocked, status = str(error), 409
        else:
            messages.success(request, f"“{name}” is deleted.")
            return redirect(f"accessmgmt:{noun}-list")
    context = {
        "title": f"Delete the {noun} “{name}”?",
        "text": text,
        "consequences": [] if blocked else [*consequences, KEPT],
        "cancel_url": reverse(f"accessmgmt:{noun}-detail", args=[pk]),
        "label": f"Delete {noun}",
        "blocked": blocked,
    }
    return render(request, "components/confirm_delete.html", context, status=status)
