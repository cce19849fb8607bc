"""The looks that people asked for: the newest at a resource, and one of them for whoever may see it."""

from __future__ import annotations

import uuid

from django.db.models import QuerySet
from django.http import Http404
from django.utils import timezone

from accessmgmt.domain.looks import LookKind, LookState
from accessmgmt.models import Resource, TargetLook, User
from accessmgmt.policy.access import looks_visible_to

SOON_SECONDS = 10.0
IGNORED_SECONDS = 15.0


def _with_names() -> QuerySet[TargetLook]:
    return TargetLook.objects.select_related("asked_by", "resource").defer("secrets")


def newest_look(resource: Resource, *kinds: LookKind) -> TargetLook | None:
    """Return the look of these kinds that was asked for last at a resource."""
    return _with_names().filter(resource=resource, kind__in=kinds).order_by("-asked_at").first()


def get_look_for_user(user: User, pk: uuid.UUID) -> TargetLook:
    """Return a look: of a stored resource for auditors and admins, of a form for whoever asked. Raises Http404."""
    look = _with_names().filter(looks_visible_to(user), pk=pk).first()
    if look is None:
        raise Http404("There is no such look, or it was thrown away.")
    return look


def refused_move(user: User, resource: Resource, pk: uuid.UUID) -> TargetLook | None:
    """Return the person's own look at a new address of the resource that failed; None for anything else."""
    mine = _with_names().filter(asked_by=user, resource=resource, kind=LookKind.MOVE, state=LookState.FAILED)
    return mine.filter(pk=pk).first()


def time_to_poll(look: TargetLook) -> str:
    """Return htmx's delay until the page should ask again, "" when the look is over."""
    if not look.is_live:
        return ""
    return "300ms" if _waited_seconds(look) < SOON_SECONDS else "1s"


def is_ignored(look: TargetLook) -> bool:
    """Say whether no worker has taken the look up for so long that one should say so."""
    return look.state == LookState.QUEUED and _waited_seconds(look) > IGNORED_SECONDS


def _waited_seconds(look: TargetLook) -> float:
    return (timezone.now() - look.asked_at).total_seconds()
