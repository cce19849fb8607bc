"""Groups: their members, and the endpoints that they are wired to."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction

from accessmgmt.domain.actions import Action
from accessmgmt.domain.emails import read_address
from accessmgmt.domain.errors import ConflictError
from accessmgmt.models import (
    Endpoint,
    Group,
    GroupEndpoint,
    GroupMember,
    User,
)
from accessmgmt.policy.people import require_admin
from accessmgmt.services.audit import trail
from accessmgmt.services.setup.save import CHANGES, save


@transaction.atomic
def save_group(*, actor: User, group: Group) -> Group:
    """Store a new or changed group (its name and description)."""
    return save(actor, group)


@transaction.atomic
def add_members(*, actor: User, group: Group, emails: Iterable[str]) -> list[str]:
    """Add people by e-mail address; return the addresses that were new. Raises InvalidError for a bad one."""
    require_admin(actor, CHANGES)
    wanted = {read_address(email) for email in emails}
    new = sorted(wanted - set(group.members.values_list("email", flat=True)))
    GroupMember.objects.bulk_create([GroupMember(group=group, email=email) for email in new], ignore_conflicts=True)
    if new:
        trail.record(actor, Action.GROUP_MEMBERS_ADDED, group, members=new)
    return new


@transaction.atomic
def remove_member(*, actor: User, group: Group, email: str) -> None:
    """Remove one person from a group. Grants that are active stay until their time is over or they are ended."""
    require_admin(actor, CHANGES)
    email = read_address(email)
    removed, _ = group.members.filter(email=email).delete()
    if not removed:
        raise ConflictError(f"{email} is not a member of {group}.", todo="Reload.")
    trail.record(actor, Action.GROUP_MEMBER_REMOVED, group, member=email)


@transaction.atomic
def wire_endpoint(*, actor: User, group: Group, endpoint: Endpoint) -> bool:
    """Let a group's members activate an endpoint; False when they could already."""
    require_admin(actor, CHANGES)
    _, created = GroupEndpoint.objects.get_or_create(group=group, endpoint=endpoint)
    if created:
        trail.record(actor, Action.GROUP_WIRED, group, endpoint=endpoint.name)
    return created


@transaction.atomic
def unwire_endpoint(*, actor: User, group: Group, endpoint: Endpoint) -> bool:
    """Take the wire away; False when there was none. Active grants stay until they end."""
    require_admin(actor, CHANGES)
    removed, _ = GroupEndpoint.objects.filter(group=group, endpoint=endpoint).delete()
    if removed:
        trail.record(actor, Action.GROUP_UNWIRED, group, endpoint=endpoint.name)
    return bool(removed)
