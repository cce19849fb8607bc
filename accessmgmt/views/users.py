"""Placeholder until the pages arrive."""

from __future__ import annotations

from django.http import HttpResponse

from accessmgmt.views.permissions import UserRequest, admin_required


@admin_required
def user_list(request: UserRequest, pk: int = 0) -> HttpResponse:
    """Arrives soon."""
    return HttpResponse(status=501)


@admin_required
def create(request: UserRequest, pk: int = 0) -> HttpResponse:
    """Arrives soon."""
    return HttpResponse(status=501)


@admin_required
def edit(request: UserRequest, pk: int = 0) -> HttpResponse:
    """Arrives soon."""
    return HttpResponse(status=501)
