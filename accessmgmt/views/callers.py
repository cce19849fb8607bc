"""Where a request comes from, for counting tries and for the audit trail."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from accessmgmt.domain.client_address import client_address
from accessmgmt.models import User
from accessmgmt.services.people.sign_in import KNOWN_BROWSER_AGE, Caller, known_browser_token

KNOWN_BROWSER_COOKIE = "known_browser"


def address_of(request: HttpRequest) -> str:
    """Return the network address of the client, as far as the proxies on the way are trusted."""
    peer, forwarded = request.META.get("REMOTE_ADDR", ""), request.META.get("HTTP_X_FORWARDED_FOR", "")
    return client_address(peer, forwarded, settings.PORTAL_TRUSTED_PROXIES)


def caller_of(request: HttpRequest) -> Caller:
    """Return where a try comes from."""
    return Caller(address_of(request), request.COOKIES.get(KNOWN_BROWSER_COOKIE, ""))


def remember_browser(response: HttpResponse, user: User, caller: Caller) -> None:
    """Let the browser say at the next sign-in that the person has signed in there before."""
    response.set_cookie(
        KNOWN_BROWSER_COOKIE,
        known_browser_token(user, caller),
        max_age=KNOWN_BROWSER_AGE,
        path=reverse("accessmgmt:login"),
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Strict",
    )
