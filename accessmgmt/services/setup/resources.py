"""Resources: where a database is, and what the portal uses to get there."""

from __future__ import annotations

from django.db import transaction

from accessmgmt.domain.errors import ConflictError
from accessmgmt.domain.hosts import same_hosts
from accessmgmt.models import (
    Resource,
    User,
)
from accessmgmt.policy.people import require_admin
from accessmgmt.selectors.setup.resources import live_grants_at
from accessmgmt.services.reading import read_described
from accessmgmt.services.setup.save import CHANGES, save
from accessmgmt.services.targets import availability

ADDRESS_FIELDS = ("host", "port", "primary_id")


@transaction.atomic
def save_resource(*, actor: User, resource: Resource, is_same_server: bool = False) -> Resource:
    """Store a new or changed resource. Its fields were checked by the caller (full_clean).

    `is_same_server` says that a new address leads to the same server, as `connection_test.check_same_server` finds out;
    an ending makes sure of it in any case.

    Raises ConflictError when it would point to another server or database while logins live on the present one: their
    ending would be looked for in the wrong place.
    """
    require_admin(actor, CHANGES)
    read_described(resource)
    if resource.pk:
        before = Resource.objects.select_for_update().get(pk=resource.pk)
        for field in ("paused_since", "strangers", "accepted_strangers"):  # of its own life, and not of the form's
            setattr(resource, field, getattr(before, field))
        if live := live_grants_at(before).count():
            _refuse_move(before, resource, live, is_same_server=is_same_server)
    save(actor, resource)
    availability.forget(resource.pk)  # what was changed is worth a try at once
    return resource


def check_move(resource: Resource) -> None:
    """Refuse at once a move that no server's answer would allow. Raises ConflictError."""
    before = Resource.objects.get(pk=resource.pk)
    if live := live_grants_at(before).count():
        _refuse_move(before, resource, live, is_same_server=True)


def changed_address(before: Resource, after: Resource) -> list[str]:
    """Return the fields that would lead to another server; an address that is not stored stands in the AWS secret."""
    is_complete = after.host and after.port
    fields = ADDRESS_FIELDS if is_complete else (*ADDRESS_FIELDS, "aws_region", "aws_secret_name")
    return [field for field in fields if _compared(before, field) != _compared(after, field)]


def _compared(row: Resource, field: str) -> object:
    value = getattr(row, field)
    return same_hosts(value) if field == "host" else value


def _refuse_move(before: Resource, after: Resource, live: int, *, is_same_server: bool) -> None:
    if before.database_name != after.database_name:
        raise ConflictError(
            f"“{before.name}” cannot be moved to another database now.",
            why=f"Live grants on “{before.database_name}”: {live}.",
            todo="End those grants first, or describe the other database as a resource of its own.",
        )
    moved = changed_address(before, after)
    if moved and not is_same_server:
        raise ConflictError(
            f"“{before.name}” cannot be moved to another server now.",
            why=f"Live grants on the present one: {live}. What would change: {', '.join(moved)}.",
            todo="If the new address leads to the same server, say so below. If not, end those grants first,"
            " or describe the other server as a resource of its own.",
        )
