"""One grant and all of them."""

from __future__ import annotations

import uuid

from django.http import HttpRequest, HttpResponse


def grant_list(request: HttpRequest) -> HttpResponse:
    """Not written yet."""
    return HttpResponse(status=501)


def detail(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Not written yet."""
    return HttpResponse(status=501)


def card(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Not written yet."""
    return HttpResponse(status=501)


def status(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Not written yet."""
    return HttpResponse(status=501)


def release(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Not written yet."""
    return HttpResponse(status=501)


def revoke(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Not written yet."""
    return HttpResponse(status=501)


def password(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Not written yet."""
    return HttpResponse(status=501)


def ca_certificate(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Not written yet."""
    return HttpResponse(status=501)
