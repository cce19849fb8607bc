"""The page of a portal that only observes: why, and what happens when an admin confirms."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from accessmgmt.domain.errors import InvalidError
from accessmgmt.models import Installation, Resource
from accessmgmt.services import installation
from accessmgmt.views.permissions import UserRequest, admin_required


@admin_required
@require_http_methods(["GET", "HEAD", "POST"])
def detail(request: UserRequest) -> HttpResponse:
    """Show whether the portal acts, and let an admin confirm that it may."""
    errors: list[str] = []
    if request.method == "POST":
        try:
            installation.confirm(actor=request.user, word=request.POST.get("word", ""))
        except InvalidError as error:
            errors = error.fields["word"]
        else:
            messages.success(request, "The portal acts again.")
            return redirect("accessmgmt:installation")
    context = {
        "installation": Installation.objects.select_related("confirmed_by").first(),
        "counts": installation.what_will_happen(),
        "word": installation.CONFIRMATION,
        "paused": Resource.objects.filter(paused_since__isnull=False).only("name", "paused_since"),
        "errors": errors,
    }
    return render(request, "oversight/installation/detail.html", context, status=422 if errors else 200)
