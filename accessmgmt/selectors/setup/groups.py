"""Groups, their members and their wires."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery

from accessmgmt.domain.emails import search_spelling
from accessmgmt.domain.states import LIVE_GRANT_STATES
from accessmgmt.models import Endpoint, Grant, Group, GroupEndpoint, GroupMember, User
from accessmgmt.selectors.lists import counted, sort_by

GROUP_SORTS = {"name": "name", "members": "member_count", "endpoints": "endpoint_count"}


def groups_with_counts() -> QuerySet[Group]:
    """Groups by name, with how many members and endpoints they have."""
    return Group.objects.annotate(
        member_count=counted(GroupMember.objects.filter(group=OuterRef("pk")), "group"),
        endpoint_count=counted(GroupEndpoint.objects.filter(group=OuterRef("pk")), "group"),
    )


def groups_for_list(*, search: str = "", sort: str = "") -> QuerySet[Group]:
    """Groups whose name, description or members match."""
    rows = groups_with_counts()
    if search:
        member = GroupMember.objects.filter(group=OuterRef("pk"), email__icontains=search_spelling(search))
        rows = rows.filter(Q(name__icontains=search) | Q(description__icontains=search) | Exists(member))
    return sort_by(rows, sort, GROUP_SORTS)


def members_for_list(group: Group, *, search: str = "") -> QuerySet[GroupMember]:
    """Members by address, each with `user_name` and `user_is_active` (None: invited, no account yet)."""
    account = User.objects.filter(email=OuterRef("email"))
    rows = group.members.annotate(
        user_name=Subquery(account.values("name")[:1]), user_is_active=Subquery(account.values("is_active")[:1])
    )
    return rows.filter(Q(email__icontains=search_spelling(search)) | Q(user_name__icontains=search)) if search else rows


def endpoints_not_wired(group: Group) -> QuerySet[Endpoint]:
    """Endpoints that are not wired to the group."""
    wired = GroupEndpoint.objects.filter(group=group, endpoint=OuterRef("pk"))
    return Endpoint.objects.filter(~Exists(wired)).select_related("resource", "authorization").order_by("name")


def live_grants_through(group: Group, email: str) -> int:
    """Count what a member holds now on endpoints of the group."""
    return Grant.objects.filter(user__email=email, endpoint__wires__group=group, state__in=LIVE_GRANT_STATES).count()
