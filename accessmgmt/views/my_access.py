"""The home of a member."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse


def my_access(request: HttpRequest) -> HttpResponse:
    """Not written yet."""
    return HttpResponse(status=501)


def activate(request: HttpRequest, pk: int) -> HttpResponse:
    """Not written yet."""
    return HttpResponse(status=501)
