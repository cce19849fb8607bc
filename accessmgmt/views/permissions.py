"""Who may open a page: decorators that answer 403 with what to do, and the request type that views are given."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.http import HttpRequest, HttpResponseBase
from django_htmx.middleware import HtmxDetails

from accessmgmt.domain.errors import ForbiddenError
from accessmgmt.models import User
from accessmgmt.policy.people import is_admin, is_auditor

P = ParamSpec("P")


class UserRequest(HttpRequest):
    """A request of somebody who is signed in, as LoginRequiredMiddleware and HtmxMiddleware leave it."""

    user: User
    htmx: HtmxDetails


View = Callable[Concatenate[UserRequest, P], HttpResponseBase]


def admin_required(view: View[P]) -> View[P]:
    """Let admins in; raise ForbiddenError for everybody else."""

    @wraps(view)
    def guarded(request: UserRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if not is_admin(request.user):
            raise ForbiddenError("This page is for admins.", why="It changes the set-up.", todo="Ask an admin.")
        return view(request, *args, **kwargs)

    return guarded


def auditor_required(view: View[P]) -> View[P]:
    """Let auditors and admins in; raise ForbiddenError for everybody else."""

    @wraps(view)
    def guarded(request: UserRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if not is_auditor(request.user):
            raise ForbiddenError("This page is for auditors and admins.", todo="Ask an admin.")
        return view(request, *args, **kwargs)

    return guarded
