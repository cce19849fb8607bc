"""Request-wide behaviour: what a browser may keep, the viewer's time zone, and domain errors as pages."""

from __future__ import annotations

import logging
from collections.abc import Callable
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from accessmgmt.domain.errors import AccessError, ForbiddenError, TooManyError
from accessmgmt.views.recorded import record_refused_request

logger = logging.getLogger(__name__)
Respond = Callable[[HttpRequest], HttpResponse]


class AnswerHeadersMiddleware:
    """Tells browsers and proxies to keep nothing that a view made, and to give its pages no power over the device.

    Static files do not come here: WhiteNoise answers for them before.
    """

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if "no-store" not in response.get("Cache-Control", ""):
            response["Cache-Control"] = "no-store, private"
        response["Permissions-Policy"] = settings.PERMISSIONS_POLICY
        return response


class TimeZoneMiddleware:
    """Shows times in the zone of the signed-in person's profile."""

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        name = getattr(request.user, "time_zone", "") or "UTC"
        try:
            zone = ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            zone = ZoneInfo("UTC")
        with timezone.override(zone):
            return self.get_response(request)


class AccessErrorMiddleware:
    """Maps AccessError to its status code and a page that says what happened, why, and what to do."""

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Render a domain error; anything else goes on to Django's own handling."""
        if not isinstance(exception, AccessError):
            return None
        logger.info("%s %s: %s", request.method, request.path, exception)
        if isinstance(exception, ForbiddenError | TooManyError):
            record_refused_request(request, status=exception.status_code, reason=exception.what)
        is_htmx = bool(getattr(request, "htmx", False))
        response = render(
            request,
            "errors/access_error.html#toast" if is_htmx else "errors/access_error.html",
            {"error": exception},
            status=exception.status_code,
        )
        if is_htmx:
            response["HX-Retarget"] = "#toasts"
            response["HX-Reswap"] = "beforeend"
        return response
