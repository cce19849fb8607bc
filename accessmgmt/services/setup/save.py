"""Storing what admins describe, with its audit event; and deleting it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

from django.db import IntegrityError, models, transaction
from django.db.models.deletion import ProtectedError, RestrictedError

from accessmgmt.domain.actions import Action
from accessmgmt.domain.errors import ConflictError
from accessmgmt.models import (
    Authorization,
    Endpoint,
    Group,
    Resource,
    User,
)
from accessmgmt.models.fields import EncryptedTextField
from accessmgmt.policy.people import require_admin
from accessmgmt.services.audit import trail
from accessmgmt.services.reading import read_described

UNIQUE_VIOLATION = "23505"
CHANGES = "changes the set-up"
Described = TypeVar("Described", Resource, Authorization, Endpoint, Group)


class Deeds(NamedTuple):
    """What is recorded of a row that an admin describes."""

    created: Action
    updated: Action
    deleted: Action


DEEDS: Mapping[type[models.Model], Deeds] = {
    Resource: Deeds(Action.RESOURCE_CREATED, Action.RESOURCE_UPDATED, Action.RESOURCE_DELETED),
    Authorization: Deeds(Action.AUTHORIZATION_CREATED, Action.AUTHORIZATION_UPDATED, Action.AUTHORIZATION_DELETED),
    Endpoint: Deeds(Action.ENDPOINT_CREATED, Action.ENDPOINT_UPDATED, Action.ENDPOINT_DELETED),
    Group: Deeds(Action.GROUP_CREATED, Action.GROUP_UPDATED, Action.GROUP_DELETED),
}


@transaction.atomic
def delete_described(*, actor: User, row: Described) -> None:
    """Delete a resource, authorization, endpoint or group. Raises ConflictError while something needs it."""
    require_admin(actor, CHANGES)
    kind, name = row._meta.verbose_name, str(row)
    trail.record(actor, DEEDS[type(row)].deleted, row)
    try:
        with transaction.atomic():
            row.delete()
    except (ProtectedError, RestrictedError) as error:
        users = sorted({str(thing._meta.verbose_name_plural) for thing in error.args[1]})
        raise ConflictError(
            f"The {kind} “{name}” cannot be deleted.",
            why=f"It is still used by {', '.join(users)}.",
            todo="Remove those first; the history of grants is kept for ever.",
        ) from None


def save(actor: User, row: Described) -> Described:
    require_admin(actor, CHANGES)
    read_described(row)
    is_new = row._state.adding
    before = {} if is_new else _facts(type(row)._default_manager.get(pk=row.pk))
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError as error:
        if getattr(error.__cause__, "sqlstate", "") != UNIQUE_VIOLATION:
            raise
        raise ConflictError(
            f"There is already a {row._meta.verbose_name} called “{row.name}”.",
            why="Somebody saved it a moment ago.",
            todo="Choose another name.",
        ) from None
    after = _facts(row)
    changed = {name: value for name, value in after.items() if before.get(name) != value}
    if is_new or changed:
        trail.record(
            actor,
            DEEDS[type(row)].created if is_new else DEEDS[type(row)].updated,
            row,
            before={name: _shown(row, name, before.get(name)) for name in changed if name in before},
            after={name: _shown(row, name, value) for name, value in changed.items()},
        )
    return row


def _facts(row: models.Model) -> Mapping[str, Any]:
    """Return what people set; the rest is the portal's own book-keeping."""
    return {f.attname: getattr(row, f.attname) for f in row._meta.concrete_fields if f.editable and f.attname != "id"}


def _shown(row: models.Model, name: str, value: Any) -> Any:
    """Say of a secret only whether it is set."""
    field = next(f for f in row._meta.concrete_fields if f.attname == name)
    if isinstance(field, EncryptedTextField):
        return "(set)" if value else "(not set)"
    return value
