"""What admins describe: resources, authorizations, endpoints, groups, members and wires."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from django.db import IntegrityError, models, transaction
from django.db.models.deletion import ProtectedError, RestrictedError

from accessmgmt.domain.actions import Action
from accessmgmt.domain.emails import read_address
from accessmgmt.domain.errors import ConflictError
from accessmgmt.domain.hosts import same_hosts
from accessmgmt.domain.ttl import parse_ttl
from accessmgmt.models import (
    Authorization,
    Endpoint,
    EndpointApprover,
    Group,
    GroupEndpoint,
    GroupMember,
    Resource,
    User,
)
from accessmgmt.models.fields import EncryptedTextField
from accessmgmt.policy.people import require_admin
from accessmgmt.selectors.configuration import live_grants_at
from accessmgmt.services import audit, availability
from accessmgmt.services.reading import read_described, read_field

UNIQUE_VIOLATION = "23505"
CHANGES = "changes the set-up"
ADDRESS_FIELDS = ("host", "port", "primary_id")
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
    _save(actor, resource)
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


@transaction.atomic
def save_authorization(*, actor: User, authorization: Authorization) -> Authorization:
    """Store a new or changed authorization. Raises InvalidError when its permissions are not valid."""
    return _save(actor, authorization)


@transaction.atomic
def save_endpoint(*, actor: User, endpoint: Endpoint, approvers: Iterable[str] | None = None) -> Endpoint:
    """Store a new or changed endpoint; `approvers` (e-mail addresses) replaces the list, None leaves it.

    Raises InvalidError when the ttl or an address is not valid.
    """
    endpoint.ttl_seconds = read_field("ttl", parse_ttl, endpoint.ttl)
    _save(actor, endpoint)
    if approvers is not None:
        wanted = {read_address(email) for email in approvers}
        present = set(endpoint.approvers.values_list("email", flat=True))
        endpoint.approvers.filter(email__in=present - wanted).delete()
        EndpointApprover.objects.bulk_create(
            EndpointApprover(endpoint=endpoint, email=e) for e in sorted(wanted - present)
        )
        if wanted != present:
            audit.record(actor, Action.ENDPOINT_APPROVERS_SET, endpoint, before=sorted(present), after=sorted(wanted))
    return endpoint


@transaction.atomic
def save_group(*, actor: User, group: Group) -> Group:
    """Store a new or changed group (its name and description)."""
    return _save(actor, group)


@transaction.atomic
def delete_described(*, actor: User, row: Described) -> None:
    """Delete a resource, authorization, endpoint or group. Raises ConflictError while something needs it."""
    require_admin(actor, CHANGES)
    kind, name = row._meta.verbose_name, str(row)
    audit.record(actor, DEEDS[type(row)].deleted, row)
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


@transaction.atomic
def add_members(*, actor: User, group: Group, emails: Iterable[str]) -> list[str]:
    """Add people by e-mail address; return the addresses that were new. Raises InvalidError for a bad one."""
    require_admin(actor, CHANGES)
    wanted = {read_address(email) for email in emails}
    new = sorted(wanted - set(group.members.values_list("email", flat=True)))
    GroupMember.objects.bulk_create([GroupMember(group=group, email=email) for email in new], ignore_conflicts=True)
    if new:
        audit.record(actor, Action.GROUP_MEMBERS_ADDED, group, members=new)
    return new


@transaction.atomic
def remove_member(*, actor: User, group: Group, email: str) -> None:
    """Remove one person from a group. Grants that are active stay until their time is over or they are ended."""
    require_admin(actor, CHANGES)
    email = read_address(email)
    removed, _ = group.members.filter(email=email).delete()
    if not removed:
        raise ConflictError(f"{email} is not a member of {group}.", todo="Reload.")
    audit.record(actor, Action.GROUP_MEMBER_REMOVED, group, member=email)


@transaction.atomic
def wire_endpoint(*, actor: User, group: Group, endpoint: Endpoint) -> bool:
    """Let a group's members activate an endpoint; False when they could already."""
    require_admin(actor, CHANGES)
    _, created = GroupEndpoint.objects.get_or_create(group=group, endpoint=endpoint)
    if created:
        audit.record(actor, Action.GROUP_WIRED, group, endpoint=endpoint.name)
    return created


@transaction.atomic
def unwire_endpoint(*, actor: User, group: Group, endpoint: Endpoint) -> bool:
    """Take the wire away; False when there was none. Active grants stay until they end."""
    require_admin(actor, CHANGES)
    removed, _ = GroupEndpoint.objects.filter(group=group, endpoint=endpoint).delete()
    if removed:
        audit.record(actor, Action.GROUP_UNWIRED, group, endpoint=endpoint.name)
    return bool(removed)


def _save(actor: User, row: Described) -> Described:
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
        audit.record(
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
