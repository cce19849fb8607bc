"""What views record although they change nothing: what was refused, read, or taken away as a file."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.csrf import csrf_failure

from accessmgmt.domain.actions import Action
from accessmgmt.models import User
from accessmgmt.services.audit.refusals import record_download, record_reading, record_refusal
from accessmgmt.views.callers import address_of
from accessmgmt.views.permissions import UserRequest

LONGEST_PATH = 200


def record_refused_request(request: HttpRequest, *, status: int, reason: str) -> None:
    """Record what a person was refused. Nothing of a stranger: who is not signed in is only sent to the sign-in."""
    user = getattr(request, "user", None)
    if isinstance(user, User):
        record_refusal(
            user,
            Action.USER_REFUSED,
            user,
            address=address_of(request),
            method=str(request.method)[:20],
            path=request.path.replace("\x00", "")[:LONGEST_PATH],
            status=status,
            reason=reason[:LONGEST_PATH],
        )


def record_audit_read(request: UserRequest, narrowed: dict[str, str]) -> None:
    """Record that a person read the audit trail, and what it was narrowed to."""
    if request.method == "GET":
        record_reading(request.user, Action.USER_AUDIT_READ, narrowed)


def record_downloaded(request: UserRequest, *, file: str, of: str) -> None:
    """Record that a person took a file away, and what it was about."""
    if request.method == "GET":
        record_download(request.user, Action.USER_DOWNLOADED, file=file, of=of)


def foreign_form(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer a form without the token of this session: it is too old, or another site made the browser send it."""
    record_refused_request(request, status=403, reason=reason)
    return csrf_failure(request, reason=reason)
