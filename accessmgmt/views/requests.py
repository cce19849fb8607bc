"""Asking for access, and deciding."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse


def inbox(request: HttpRequest) -> HttpResponse:
    """Not written yet."""
    return HttpResponse(status=501)


def history(request: HttpRequest) -> HttpResponse:
    """Not written yet."""
    return HttpResponse(status=501)


def create(request: HttpRequest) -> HttpResponse:
    """Not written yet."""
    return HttpResponse(status=501)


def detail(request: HttpRequest, pk: int) -> HttpResponse:
    """Not written yet."""
    return HttpResponse(status=501)


def approve(request: HttpRequest, pk: int) -> HttpResponse:
    """Not written yet."""
    return HttpResponse(status=501)


def deny(request: HttpRequest, pk: int) -> HttpResponse:
    """Not written yet."""
    return HttpResponse(status=501)


def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    """Not written yet."""
    return HttpResponse(status=501)
