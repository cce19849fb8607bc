"""People in lists."""

from __future__ import annotations

from django.db.models import OuterRef, Q, QuerySet

from accessmgmt.domain.emails import search_spelling
from accessmgmt.models import GroupMember, User
from accessmgmt.selectors.lists import count_live_grants, counted, sort_by

USER_SORTS = {
    "email": "email",
    "name": "name",
    "role": "role",
    "groups": "group_count",
    "grants": "live_grant_count",
    "since": "created_at",
}


def users_for_list(*, search: str = "", role: str = "", state: str = "", sort: str = "") -> QuerySet[User]:
    """Accounts by e-mail address; `state` is "active", "suspended" or ""."""
    groups = GroupMember.objects.filter(email=OuterRef("email"))
    rows = User.objects.annotate(group_count=counted(groups, "email"), live_grant_count=count_live_grants("user"))
    if search:
        rows = rows.filter(Q(email__icontains=search_spelling(search)) | Q(name__icontains=search))
    if role:
        rows = rows.filter(role=role)
    if state:
        rows = rows.filter(is_active=state == "active")
    return sort_by(rows, sort, USER_SORTS)
