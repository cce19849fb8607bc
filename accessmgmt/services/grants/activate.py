"""Giving access: by oneself, or after an approval."""

from __future__ import annotations

import secrets
from datetime import timedelta
from math import ceil

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils import timezone

from accessmgmt import waking
from accessmgmt.domain.actions import Action
from accessmgmt.domain.errors import ConflictError, ForbiddenError, TooManyError
from accessmgmt.domain.names import new_login_role_name
from accessmgmt.domain.permissions import PermissionSet
from accessmgmt.domain.ttl import ttl_in_words
from accessmgmt.models import AccessRequest, Endpoint, Grant, User
from accessmgmt.policy.access import may_activate
from accessmgmt.policy.people import require_active
from accessmgmt.services import installation
from accessmgmt.services.audit import trail
from accessmgmt.services.targets import strangers
from accessmgmt.waking import Task

PASSWORD_BYTES = 24
SWEEP_AFTER_SECONDS = 2


@transaction.atomic
def activate_endpoint(*, actor: User, endpoint: Endpoint) -> Grant:
    """Queue a grant on an endpoint that one of the actor's groups is wired to and that needs no approval.

    Raises ForbiddenError when the actor may not, ConflictError when a grant on it is held already.
    """
    if not may_activate(actor, endpoint):
        raise ForbiddenError(
            f"You cannot activate {endpoint.name}.",
            why="None of your groups is wired to it, or it needs an approval.",
            todo="Request access, or ask an admin to add you to a group.",
        )
    return queue_grant(
        actor=actor,
        user=actor,
        endpoint=endpoint,
        permissions=endpoint.authorization.permission_set,
        ttl_seconds=endpoint.ttl_seconds,
        action=Action.GRANT_ACTIVATED,
    )


def queue_grant(
    *,
    actor: User,
    user: User,
    endpoint: Endpoint,
    permissions: PermissionSet,
    ttl_seconds: int,
    action: Action,
    request: AccessRequest | None = None,
) -> Grant:
    """Store a queued grant with its role's name and password, inside the caller's transaction, and wake a worker.

    Intent before effect: the name is committed here, before any role exists. Raises ConflictError when a
    grant is held already or the portal only observes, TooManyError when the person had too many there lately.
    """
    if installation.is_observing():
        raise ConflictError(
            "The portal only observes at the moment, and gives no access.",
            why="Its own database was restored or moved.",
            todo="Ask an admin to confirm on the page “Installation”.",
        )
    if strangers.is_paused(endpoint.resource_id):
        raise strangers.refusal(endpoint.resource)
    _check_rate(user, endpoint)
    # The lock orders this against a suspension: either it sees this grant and ends it, or this sees the suspension.
    require_active(User.objects.select_for_update().get(pk=user.pk))
    try:
        with transaction.atomic():
            grant = Grant.objects.create(
                user=user,
                endpoint=endpoint,
                resource=endpoint.resource,
                request=request,
                permissions=permissions.as_json(),
                permissions_digest=permissions.digest,
                ttl_seconds=ttl_seconds,
                role_name=new_login_role_name(user.email, opaque=settings.PORTAL_OPAQUE_ROLE_NAMES),
                password=secrets.token_urlsafe(PASSWORD_BYTES),
                next_attempt_at=timezone.now() + timedelta(seconds=SWEEP_AFTER_SECONDS),
            )
    except IntegrityError:
        raise ConflictError(
            f"{user.email} already has access to {endpoint.name}.",
            why="A grant on this endpoint is active or on its way.",
            todo="Use that one, or release it first.",
        ) from None
    trail.record(
        actor,
        action,
        grant,
        user=user.email,
        role=grant.role_name,
        ttl_seconds=ttl_seconds,
        permissions=permissions.as_json(),
        resource=endpoint.resource.name,
    )
    waking.wake(Task.APPLY_GRANT, grant.pk)
    return grant


def _check_rate(user: User, endpoint: Endpoint) -> None:
    """Raise TooManyError when the person was given this endpoint too often lately. The grants table is the counter."""
    most, seconds = settings.PORTAL_GRANTS_A_PERSON_AND_ENDPOINT, settings.PORTAL_GRANTS_WINDOW_SECONDS
    since = Now() - timedelta(seconds=seconds)
    recent = Grant.objects.filter(user=user, endpoint=endpoint, queued_at__gt=since).order_by("-queued_at")
    queued_at = list(recent.values_list("queued_at", flat=True)[:most])
    if len(queued_at) < most:
        return
    wait = max(1, ceil((queued_at[-1] + timedelta(seconds=seconds) - timezone.now()).total_seconds()))
    raise TooManyError(
        f"{user.email} had access to {endpoint.name} {most} times within {ttl_in_words(seconds)}.",
        why="More often than that is a script or a mistake; each time makes a login on the server.",
        todo=f"Use the access that is active, or try again in {ttl_in_words(wait)}.",
    )
