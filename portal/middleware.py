"""Request-wide behaviour: what is too long, what a browser may keep, the viewer's time zone, domain errors as pages."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.shortcuts import render
from django.utils import timezone

from accessmgmt.domain.errors import AccessError, ForbiddenError, TooManyError
from accessmgmt.views.recorded import record_refused_request

logger = logging.getLogger(__name__)
Respond = Callable[[HttpRequest], HttpResponse]


CONTENT_LENGTH = re.compile(r"[0-9]{1,15}")
LONGEST_HOST, LONGEST_PATH, LONGEST_HEADER, LONGEST_COOKIES = 255, 2_000, 2_000, 8_000


class TooLongMiddleware:
    """Refuses requests with a host, path or header that no browser of a person sends, before anybody reads or logs it.

    Whatever works on such a text, here or in a library, takes longer the longer it is, and keeps the interpreter from
    everybody else. Query strings may be longer than paths: a search may hold a list.
    """

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if len(request.META.get("HTTP_HOST", "")) > LONGEST_HOST:
            return _too_long("The Host header is too long.", 400)
        if len(request.path_info) > LONGEST_PATH:
            return _too_long("The address is too long.", 414)
        for name, value in request.META.items():
            longest = LONGEST_COOKIES if name == "HTTP_COOKIE" else LONGEST_HEADER
            if name.startswith("HTTP_") and len(value) > longest:
                return _too_long("A header is too long.", 431)
        if CONTENT_LENGTH.fullmatch(request.META.get("CONTENT_LENGTH") or "0") is None:
            return _too_long("The Content-Length header is no number.", 400)
        return self.get_response(request)


def _too_long(words: str, status: int) -> HttpResponse:
    response = HttpResponse(words + "\n", status=status, content_type="text/plain")
    response._has_been_logged = True  # type: ignore[attr-defined]  # Django would write the whole address
    return response


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


class PageCompressionMiddleware(GZipMiddleware):
    """Compresses pages; static files are compressed ahead, and answered before.

    The length of a compressed page can give away a secret in it to somebody who sees the traffic, makes the browser ask
    for the page again and again, and puts guesses into it (BREACH). Four things stand against it: the session's cookie
    does not come with what other sites ask for (SameSite); the CSRF token has another mask on each page; Django adds up
    to 100 random bytes to each answer; and a login's password is only ever shown in the answer to a POST with that
    token, which is not compressed at all.
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Compress what answers GET and HEAD."""
        if request.method not in {"GET", "HEAD"}:
            return response
        return super().process_response(request, response)


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
