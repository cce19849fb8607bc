"""Log in, log out, and one's own profile."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse


def log_in(request: HttpRequest) -> HttpResponse:
    """Not written yet."""
    return HttpResponse(status=501)


def log_out(request: HttpRequest) -> HttpResponse:
    """Not written yet."""
    return HttpResponse(status=501)


def profile(request: HttpRequest) -> HttpResponse:
    """Not written yet."""
    return HttpResponse(status=501)
