"""Signing in: every try is audited, and many failed ones are answered later, before a password is looked at."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth import authenticate
from django.http import HttpRequest
from django.utils import timezone

from accessmgmt.domain.emails import same_address
from accessmgmt.domain.errors import TooManyError
from accessmgmt.models import AuditEvent, User
from accessmgmt.services import audit

WINDOW = timedelta(minutes=15)
MOST_FAILURES_OF_ONE_ADDRESS = 8
MOST_FAILURES = 40
FAILED = "user.log_in_failed"


def sign_in(request: HttpRequest, *, email: str, password: str) -> User | None:
    """Return the person whose e-mail address and password these are; None when they do not fit.

    Raises TooManyError after too many failures for the e-mail address within WINDOW: few from one network address (a
    person who mistypes), more from all of them together (somebody guesses from many). The count is in the audit trail.
    """
    email = same_address(email)
    network_address = request.META.get("REMOTE_ADDR", "")
    failures = AuditEvent.objects.filter(action=FAILED, object_name=email, at__gte=timezone.now() - WINDOW)
    from_here = failures.filter(details__address=network_address)
    if from_here.count() >= MOST_FAILURES_OF_ONE_ADDRESS or failures.count() >= MOST_FAILURES:
        raise TooManyError(
            "Too many failed log-ins for this e-mail address.",
            todo="Wait a quarter of an hour, or ask an admin for help.",
        )
    user = authenticate(request, username=email, password=password)
    if isinstance(user, User):
        audit.record(user, "user.logged_in", user, address=network_address)
        return user
    audit.record(None, FAILED, User(pk=0, email=email), address=network_address)
    return None
