"""What the set-up pages read: resources, authorizations, endpoints, groups and users, with their counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from django.contrib.postgres.expressions import ArraySubquery
from django.core.paginator import Page, Paginator
from django.db.models import Count, Exists, F, IntegerField, Model, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from accessmgmt.domain.emails import search_spelling, show_address
from accessmgmt.domain.permissions import PermissionSet
from accessmgmt.domain.states import LIVE_GRANT_STATES
from accessmgmt.domain.targets import SslMode
from accessmgmt.domain.ttl import ttl_in_words
from accessmgmt.models import (
    Authorization,
    Endpoint,
    Grant,
    Group,
    GroupEndpoint,
    GroupMember,
    Resource,
    TargetSilence,
    User,
)

PAGE_SIZE = 50
MOST_NAMES_IN_A_CELL = 3
Row = TypeVar("Row", bound=Model)


def page_of(rows: QuerySet[Row], number: str | None) -> Page[Row]:
    """Return one page of a list; a number that is none, or too high, gives the nearest page."""
    return Paginator(rows, PAGE_SIZE).get_page(number)


def clean_search(text: str | None) -> str:
    """Return what was typed into a search box, without what PostgreSQL refuses in a text (NUL)."""
    return (text or "").replace("\x00", "").strip()[:200]


def clean_pk(text: str | None) -> int | None:
    """Return a primary key out of a URL's query; None for anything that cannot be one."""
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) <= 18 else None


def named(rows: type[Resource] | type[Authorization] | type[Endpoint], everything: str) -> list[tuple[str, str]]:
    """Return (primary key, name) of every row for a drop-down, after a first choice that stands for all."""
    names = rows._default_manager.order_by("name").values_list("pk", "name")
    return [("", everything), *((str(pk), name) for pk, name in names)]


def _counted(rows: QuerySet[Any], by: str) -> Coalesce:
    """Count related rows in a subquery, so that several counts in one list do not multiply each other."""
    counts = rows.order_by().values(by).annotate(n=Count("*")).values("n")
    return Coalesce(Subquery(counts, output_field=IntegerField()), 0)


def _live_grants(by: str) -> Coalesce:
    return _counted(Grant.objects.filter(**{by: OuterRef("pk"), "state__in": LIVE_GRANT_STATES}), by)


def _sorted(rows: QuerySet[Row], sort: str, columns: dict[str, str]) -> QuerySet[Row]:
    """Order by a column that the page offers (`-` in front: descending), then by the model's own order."""
    column = columns.get(sort.removeprefix("-"))
    if column is None:
        return rows
    field = F(column)
    order = field.desc(nulls_last=True) if sort.startswith("-") else field.asc(nulls_first=True)
    return rows.order_by(order, *(rows.model._meta.ordering or ("pk",)))


RESOURCE_SORTS = {
    "name": "name",
    "host": "host",
    "ssl": "ssl_mode",
    "endpoints": "endpoint_count",
    "grants": "live_grant_count",
}


def resources_for_list(*, search: str = "", ssl_mode: str = "", kind: str = "", sort: str = "") -> QuerySet[Resource]:
    """Resources by name; `kind` is "primary" or "standby", `ssl_mode` one of the modes or "none"."""
    rows = Resource.objects.select_related("primary").annotate(
        endpoint_count=_counted(Endpoint.objects.filter(resource=OuterRef("pk")), "resource"),
        live_grant_count=_live_grants("resource"),
        is_silent=Exists(TargetSilence.objects.filter(resource=OuterRef("pk"))),
    )
    if search:
        rows = rows.filter(
            Q(name__icontains=search)
            | Q(host__icontains=search)
            | Q(database_name__icontains=search)
            | Q(description__icontains=search)
        )
    if ssl_mode == "none" or ssl_mode in set(SslMode):
        rows = rows.filter(ssl_mode="" if ssl_mode == "none" else ssl_mode)
    if kind in {"primary", "standby"}:
        rows = rows.filter(primary__isnull=kind == "primary")
    return _sorted(rows, sort, RESOURCE_SORTS)


def standby_chain_has(primary: Resource, resource: Resource) -> bool:
    """Say whether `resource` is found when one walks up from `primary` to its own primaries."""
    seen: set[int] = set()
    step: Resource | None = primary
    while step is not None and step.pk not in seen:
        if step.pk == resource.pk:
            return True
        seen.add(step.pk)
        step = step.primary
    return False


AUTHORIZATION_SORTS = {"name": "name", "endpoints": "endpoint_count", "grants": "live_grant_count"}


def authorizations_for_list(*, search: str = "", usage: str = "", sort: str = "") -> QuerySet[Authorization]:
    """Authorizations by name with the first endpoints that use them; `usage` is "used" or "unused"."""
    endpoints = Endpoint.objects.filter(authorization=OuterRef("pk"))
    rows = Authorization.objects.annotate(
        endpoint_count=_counted(endpoints, "authorization"),
        endpoint_names=ArraySubquery(endpoints.order_by("name").values("name")[:MOST_NAMES_IN_A_CELL]),
        live_grant_count=_counted(
            Grant.objects.filter(endpoint__authorization=OuterRef("pk"), state__in=LIVE_GRANT_STATES),
            "endpoint__authorization",
        ),
    )
    if search:
        rows = rows.filter(
            Q(name__icontains=search) | Q(description__icontains=search) | Q(permissions__icontains=search)
        )
    if usage in {"used", "unused"}:
        used = Exists(endpoints)
        rows = rows.filter(used if usage == "used" else ~used)
    return _sorted(rows, sort, AUTHORIZATION_SORTS)


ENDPOINT_SORTS = {
    "name": "name",
    "resource": "resource__name",
    "authorization": "authorization__name",
    "ttl": "ttl_seconds",
    "groups": "group_count",
    "grants": "live_grant_count",
}


def endpoints_with_counts() -> QuerySet[Endpoint]:
    """Endpoints by name, with resource, authorization, groups wired and live grants."""
    return Endpoint.objects.select_related("resource", "authorization").annotate(
        group_count=_counted(GroupEndpoint.objects.filter(endpoint=OuterRef("pk")), "endpoint"),
        live_grant_count=_live_grants("endpoint"),
    )


def endpoints_for_list(
    *,
    search: str = "",
    resource: int | None = None,
    authorization: int | None = None,
    approval: str = "",
    sort: str = "",
) -> QuerySet[Endpoint]:
    """Endpoints for the list; `approval` is "needed", "none" or "requestable"."""
    rows = endpoints_with_counts()
    if search:
        rows = rows.filter(
            Q(name__icontains=search)
            | Q(description__icontains=search)
            | Q(resource__name__icontains=search)
            | Q(authorization__name__icontains=search)
        )
    if resource is not None:
        rows = rows.filter(resource__pk=resource)
    if authorization is not None:
        rows = rows.filter(authorization__pk=authorization)
    match approval:
        case "needed" | "none":
            rows = rows.filter(is_jit_enabled=approval == "needed")
        case "requestable":
            rows = rows.filter(is_requestable=True)
    return _sorted(rows, sort, ENDPOINT_SORTS)


GROUP_SORTS = {"name": "name", "members": "member_count", "endpoints": "endpoint_count"}


def groups_with_counts() -> QuerySet[Group]:
    """Groups by name, with how many members and endpoints they have."""
    return Group.objects.annotate(
        member_count=_counted(GroupMember.objects.filter(group=OuterRef("pk")), "group"),
        endpoint_count=_counted(GroupEndpoint.objects.filter(group=OuterRef("pk")), "group"),
    )


def groups_for_list(*, search: str = "", sort: str = "") -> QuerySet[Group]:
    """Groups whose name, description or members match."""
    rows = groups_with_counts()
    if search:
        member = GroupMember.objects.filter(group=OuterRef("pk"), email__icontains=search_spelling(search))
        rows = rows.filter(Q(name__icontains=search) | Q(description__icontains=search) | Exists(member))
    return _sorted(rows, sort, GROUP_SORTS)


def members_for_list(group: Group, *, search: str = "") -> QuerySet[GroupMember]:
    """Members by address, each with `user_name` and `user_is_active` (None: invited, no account yet)."""
    account = User.objects.filter(email=OuterRef("email"))
    rows = group.members.annotate(
        user_name=Subquery(account.values("name")[:1]), user_is_active=Subquery(account.values("is_active")[:1])
    )
    return rows.filter(Q(email__icontains=search_spelling(search)) | Q(user_name__icontains=search)) if search else rows


def endpoints_not_wired(group: Group) -> QuerySet[Endpoint]:
    """Endpoints that may be wired to the group yet."""
    wired = GroupEndpoint.objects.filter(group=group, endpoint=OuterRef("pk"))
    return Endpoint.objects.filter(~Exists(wired)).select_related("resource", "authorization").order_by("name")


def live_grants_at(resource: Resource) -> QuerySet[Grant]:
    """Live grants whose logins are made on the resource's server: its own, and those of its standbys."""
    return Grant.objects.live().filter(Q(resource=resource) | Q(resource__primary=resource))


def live_grants_through(group: Group, email: str) -> int:
    """Count what a member holds now on endpoints of the group."""
    return Grant.objects.filter(user__email=email, endpoint__wires__group=group, state__in=LIVE_GRANT_STATES).count()


USER_SORTS = {
    "email": "email",
    "name": "name",
    "role": "role",
    "groups": "group_count",
    "grants": "live_grant_count",
    "since": "created_at",
}


def users_for_list(*, search: str = "", role: str = "", state: str = "", sort: str = "") -> QuerySet[User]:
    """Accounts by e-mail address; `state` is "active" or "suspended"."""
    groups = GroupMember.objects.filter(email=OuterRef("email"))
    rows = User.objects.annotate(group_count=_counted(groups, "email"), live_grant_count=_live_grants("user"))
    if search:
        rows = rows.filter(Q(email__icontains=search_spelling(search)) | Q(name__icontains=search))
    if role in User.Role.values:
        rows = rows.filter(role=role)
    if state in {"active", "suspended"}:
        rows = rows.filter(is_active=state == "active")
    return _sorted(rows, sort, USER_SORTS)


@dataclass(frozen=True, slots=True)
class Affected:
    """Whom a change of an authorization or an endpoint reaches: people by address, and grants that live now."""

    people: int
    endpoints: int
    live_grants: int


def affected_by_authorization(authorization: Authorization) -> Affected:
    """Count who may use an authorization through groups, and what lives of it now."""
    endpoints = Endpoint.objects.filter(authorization=authorization)
    return _affected(endpoints)


def affected_by_endpoint(endpoint: Endpoint) -> Affected:
    """Count who may use an endpoint through groups, and what lives of it now."""
    return _affected(Endpoint.objects.filter(pk=endpoint.pk))


def _affected(endpoints: QuerySet[Endpoint]) -> Affected:
    members = GroupMember.objects.filter(group__wires__endpoint__in=endpoints)
    return Affected(
        people=members.values("email").distinct().count(),
        endpoints=endpoints.count(),
        live_grants=Grant.objects.filter(endpoint__in=endpoints, state__in=LIVE_GRANT_STATES).count(),
    )


def endpoint_sentence(
    *,
    permissions: PermissionSet | None,
    resource_name: str,
    ttl_seconds: int | None,
    needs_approval: bool,
    is_requestable: bool,
    approvers: list[str],
) -> str:
    """Say what an endpoint means; what is not known yet stands as an ellipsis."""
    what = permissions.in_words() if permissions else "…"
    how_long = ttl_in_words(ttl_seconds) if ttl_seconds else "…"
    people = [show_address(email) for email in approvers]
    who = " or ".join(filter(None, [", ".join(people[:-1]), *people[-1:]])) or "an admin"
    approval = f"after {who} approves" if needs_approval else "without approval"
    sentence = f"Members can {what} of {resource_name or '…'} for {how_long} at a time, {approval}."
    if is_requestable:
        sentence += f" Anybody who is signed in may request it; {who} decides."
    return sentence


def sentence_of(endpoint: Endpoint, approvers: list[str]) -> str:
    """Say what a stored endpoint means."""
    return endpoint_sentence(
        permissions=endpoint.authorization.permission_set,
        resource_name=endpoint.resource.name,
        ttl_seconds=endpoint.ttl_seconds,
        needs_approval=endpoint.is_jit_enabled,
        is_requestable=endpoint.is_requestable,
        approvers=approvers,
    )
