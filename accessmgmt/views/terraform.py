"""Placeholder until the pages arrive."""

from __future__ import annotations

from django.http import HttpResponse

from accessmgmt.views.permissions import UserRequest, admin_required


@admin_required
def export(request: UserRequest, pk: int = 0) -> HttpResponse:
    """Arrives soon."""
    return HttpResponse(status=501)


@admin_required
def download(request: UserRequest, pk: int = 0) -> HttpResponse:
    """Arrives soon."""
    return HttpResponse(status=501)


@admin_required
def download_zip(request: UserRequest, pk: int = 0) -> HttpResponse:
    """Arrives soon."""
    return HttpResponse(status=501)
