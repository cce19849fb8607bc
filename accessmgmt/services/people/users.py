"""People's accounts."""

from __future__ import annotations

from zoneinfo import available_timezones

from django.db import transaction
from django.db.models import Q

from accessmgmt.domain.actions import Action
from accessmgmt.domain.emails import read_address
from accessmgmt.domain.errors import ConflictError, InvalidError
from accessmgmt.domain.states import EndReason
from accessmgmt.models import Grant, User
from accessmgmt.policy.people import require_admin
from accessmgmt.services.audit import trail
from accessmgmt.services.grants.stop import begin_end
from accessmgmt.services.people.passwords import check_new_password
from accessmgmt.services.reading import read_field, read_person

RANKS = (User.Role.MEMBER, User.Role.AUDITOR, User.Role.ADMIN)
"""The roles, from the least powerful on."""
CHANGES = "changes accounts"


@transaction.atomic
def create_user(*, actor: User | None, email: str, name: str, role: str, password: str, operator: str = "") -> User:
    """Make an account. `actor` None is the command line, where `operator` runs it.

    Raises ForbiddenError, InvalidError or ConflictError.
    """
    if actor is not None:
        require_admin(actor, CHANGES)
    user = User(email=read_field("email", read_address, email), name=read_person(name), role=role)
    check_new_password(password, user)
    if User.objects.filter(email=user.email).exists():
        message = f"{user.email} has an account already."
        raise ConflictError(message, todo="Edit that one.")
    user.set_password(password)
    user.save()
    trail.record(actor, Action.USER_CREATED, user, role=role, **_by(operator))
    return user


@transaction.atomic
def change_user(*, actor: User, user: User, name: str, role: str, is_active: bool) -> User:
    """Change an account. Suspending it ends everything the person has; that, or a lesser role, ends every session.

    Raises ForbiddenError, also when another admin has just taken the actor's role away, and ConflictError when an
    admin would lock himself out: whoever takes an admin away is one himself, so that the last one stays.
    """
    rows = {row.pk: row for row in _admins_and(actor, user)}
    require_admin(rows[actor.pk], CHANGES)
    row = rows[user.pk]
    if row.pk == actor.pk and (role != User.Role.ADMIN or not is_active):
        raise ConflictError("You cannot take your own admin role away.", todo="Ask another admin.")
    before = {"name": row.name, "role": row.role, "is_active": row.is_active}
    is_less = RANKS.index(role) < RANKS.index(row.role) or (row.is_active and not is_active)
    row.session_epoch += is_less
    row.name, row.role, row.is_active = read_person(name), role, is_active
    row.save(update_fields=["name", "role", "is_active", "session_epoch"])
    after = {"name": row.name, "role": role, "is_active": is_active}
    trail.record(actor, Action.USER_UPDATED, row, before=before, after=after)
    if before["is_active"] and not is_active:
        # Locked first: the sweep may be ending some of them at this very moment.
        for grant_id in Grant.objects.held().filter(user=row).select_for_update().values_list("pk", flat=True):
            begin_end(actor=actor, grant_id=grant_id, reason=EndReason.REVOKED, action=Action.GRANT_REVOKED)
    return row


@transaction.atomic
def change_profile(*, actor: User, name: str, time_zone: str) -> User:
    """Change one's own name and time zone. Raises InvalidError for an unknown zone."""
    if time_zone not in available_timezones():
        message = f"“{time_zone}” is not a time zone."
        raise InvalidError(message, fields={"time_zone": [message]})
    actor.name, actor.time_zone = read_person(name), time_zone
    actor.save(update_fields=["name", "time_zone"])
    trail.record(actor, Action.USER_PROFILE_CHANGED, actor, time_zone=time_zone)
    return actor


@transaction.atomic
def change_password(*, actor: User, password: str) -> User:
    """Change one's own password; the portal's other sessions of the person end. Raises InvalidError."""
    check_new_password(password, actor)
    actor.set_password(password)
    actor.save(update_fields=["password"])
    trail.record(actor, Action.USER_PASSWORD_CHANGED, actor)
    return actor


@transaction.atomic
def reset_password(*, user: User, password: str, operator: str) -> User:
    """Give a person a new password, on the command line; every session of theirs ends. Raises InvalidError."""
    check_new_password(password, user)
    user.set_password(password)
    user.save(update_fields=["password"])
    trail.record(None, Action.USER_PASSWORD_RESET, user, **_by(operator))
    return user


def _by(operator: str) -> dict[str, str]:
    """Return whom an event names who was signed in to the machine, not to the portal."""
    return {"on_the_machine": operator} if operator else {}


def _admins_and(*others: User) -> list[User]:
    """Lock every active admin and these people, in one order for everybody: two admins cannot demote each other."""
    admins = Q(role=User.Role.ADMIN, is_active=True)
    return list(User.objects.select_for_update().filter(admins | Q(pk__in=[o.pk for o in others])).order_by("pk"))
