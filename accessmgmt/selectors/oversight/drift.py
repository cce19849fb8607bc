"""What the portal believes that its targets hold, and what the checks of them found."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from accessmgmt.domain.actions import Action
from accessmgmt.domain.drift import DriftFinding, DriftOrder, KnownLogin, Severity, finding_from_json
from accessmgmt.domain.permissions import PermissionSet
from accessmgmt.domain.states import GrantState, Work
from accessmgmt.domain.words import DRIFT_KIND_WORDS
from accessmgmt.models import AuditEvent, DriftCheck, Grant, Resource, TargetSilence
from accessmgmt.models.installation import this_installation

MOST_FORMER_OIDS = 2_000
FORMER_FOR = timedelta(days=1)
MOST_DUE = 200


def drift_order(resource: Resource, *, with_idle_for: timedelta | None = None) -> DriftOrder:
    """Return what a resource should hold now: its active grants, and every other role that the portal knows.

    `with_idle_for` adds the sets of this server's resources whose last grant ended less than that ago, and where each
    is given.
    """
    active = list(
        Grant.objects.active()
        .filter(resource=resource)
        .only("pk", "role_name", "role_oid", "permissions", "permissions_digest", "expires_at")
        .order_by("pk")
    )
    sets: dict[str, PermissionSet] = {}
    for grant in active:
        if grant.permissions_digest not in sets:
            sets[grant.permissions_digest] = grant.permission_set
    installation = this_installation()
    capabilities = {digest: found.capability_role_name(installation.id) for digest, found in sets.items()}
    former = Grant.objects.filter(
        resource=resource, state=GrantState.ENDED, role_oid__isnull=False, ended_at__gte=timezone.now() - FORMER_FOR
    )
    idle = _idle_sets(resource, sets, with_idle_for) if with_idle_for is not None else {}
    return DriftOrder(
        installation=installation,
        permission_sets=tuple(sets.values()),
        logins=tuple(
            KnownLogin(str(g.pk), g.role_name, g.role_oid, capabilities[g.permissions_digest], g.expires_at)
            for g in active
            if g.role_oid is not None and g.expires_at is not None
        ),
        other_roles=frozenset(
            Grant.objects.live()
            .filter(~Q(resource=resource) | ~Q(state=GrantState.ACTIVE))
            .values_list("role_name", flat=True)
        ),
        former_oids=tuple(
            oid for oid in former.order_by("-ended_at").values_list("role_oid", flat=True)[:MOST_FORMER_OIDS] if oid
        ),
        idle_sets=tuple(idle.values()),
        databases=_databases_of(resource, {**sets, **idle}) if with_idle_for is not None else {},
    )


def _grants_on_the_server(resource: Resource) -> QuerySet[Grant]:
    """Return the grants of all resources of this server: a set's capability role is the same for all its databases."""
    hosts = {resource.host, resource.primary.host if resource.primary else resource.host}
    return Grant.objects.filter(resource__in=Resource.objects.filter(host__in=hosts))


def _idle_sets(resource: Resource, active: Collection[str], since: timedelta) -> dict[str, PermissionSet]:
    """Return by digest the sets whose capability role may still be there, and that this resource gives nobody now."""
    rows = _grants_on_the_server(resource).filter(Q(ended_at__isnull=True) | Q(ended_at__gte=timezone.now() - since))
    rows = rows.exclude(permissions_digest__in=active).only("permissions", "permissions_digest")
    rows = rows.order_by("permissions_digest").distinct("permissions_digest")
    return {grant.permissions_digest: grant.permission_set for grant in rows}


def _databases_of(resource: Resource, sets: Mapping[str, PermissionSet]) -> dict[str, frozenset[str]]:
    """Return by capability role the databases in which its set was ever given; not where a secret names one of them."""
    rows = _grants_on_the_server(resource).filter(permissions_digest__in=list(sets)).order_by()
    found: dict[str, set[str]] = {}
    for digest, database in rows.values_list("permissions_digest", "resource__database_name").distinct():
        found.setdefault(digest, set()).add(database)
    names = {digest: sets[digest].capability_role_name(this_installation().id) for digest in found}
    return {names[digest]: frozenset(databases) for digest, databases in found.items() if "" not in databases}


def resources_to_resync() -> list[int]:
    """Return resources with active grants whose target is not known to be away."""
    rows = Resource.objects.filter(Exists(Grant.objects.active().filter(resource=OuterRef("pk"))))
    return _reachable(list(rows.order_by("pk").values_list("pk", flat=True)))


def resources_to_check(every: timedelta) -> list[int]:
    """Return resources that ever had a grant and whose last check is older than `every`, the oldest check first."""
    rows = Resource.objects.filter(
        Exists(Grant.objects.filter(resource=OuterRef("pk"))),
        Q(drift_check__isnull=True) | Q(drift_check__checked_at__lt=timezone.now() - every),
    )
    ordered = rows.order_by("drift_check__checked_at", "pk").values_list("pk", flat=True)
    return _reachable(list(ordered[:MOST_DUE]))


def _reachable(pks: list[int]) -> list[int]:
    """Leave out targets that were away a moment ago: they are asked again after their back-off."""
    silent = TargetSilence.objects.filter(resource__in=pks, work=Work.COMPARE, ask_again_at__gt=timezone.now())
    waiting = set(silent.values_list("resource_id", flat=True))
    return [pk for pk in pks if pk not in waiting]


def digests_to_keep(since: timedelta) -> frozenset[str]:
    """Return the permission sets of live grants, and of those that ended less than `since` ago, on any resource."""
    rows = Grant.objects.filter(Q(ended_at__isnull=True) | Q(ended_at__gte=timezone.now() - since))
    return frozenset(rows.order_by().values_list("permissions_digest", flat=True).distinct())


def findings_of(check: DriftCheck | None) -> list[DriftFinding]:
    """Return what the newest check of a resource found."""
    return [finding_from_json(value) for value in check.findings] if check else []


@dataclass(frozen=True, slots=True)
class Comparison:
    """When the server was last compared in full with what a grant was given, and what differed for its login.

    `at` is None before the first time since the grant is active; `is_out_of_reach` when a later try failed.
    """

    at: datetime | None
    differences: int
    is_out_of_reach: bool


def last_comparison(grant: Grant) -> Comparison:
    """Read from the resource's newest drift check what it says of one grant."""
    check = DriftCheck.objects.filter(resource=grant.resource_id).first()
    # Before its first look that succeeds a check has taken no time.
    has_looked = check and check.took_ms and grant.active_at and check.checked_at >= grant.active_at
    if check is None or not has_looked:
        return Comparison(None, 0, bool(check and check.error))
    roles = {grant.role_name, grant.permission_set.capability_role_name(settings.PORTAL_INSTALLATION_ID)}
    found = [finding for finding in findings_of(check) if finding.severity is not Severity.NOTE]
    own = [finding for finding in found if finding.grant_id == str(grant.pk) or finding.role in roles]
    return Comparison(check.checked_at, len(own), bool(check.error))


MOST_CHANGES = 10
CHANGE_ACTIONS = (Action.RESOURCE_DRIFT_REPAIRED, Action.RESOURCE_OBJECTS_SHARED, Action.RESOURCE_SETS_RETIRED)


@dataclass(frozen=True, slots=True)
class DriftLine:
    """Something that was changed on the server: when, by whom ("" for the portal itself), and in words."""

    at: datetime
    by: str
    words: tuple[str, ...]
    more: int


def newest_changes(resource: Resource) -> list[DriftLine]:
    """Return what was changed last on a resource to bring it in order, newest first."""
    rows = AuditEvent.objects.filter(
        object_type="resource", object_id=str(resource.pk), action__in=CHANGE_ACTIONS
    ).order_by("-id")
    return [_line(event) for event in rows[:MOST_CHANGES]]


def _line(event: AuditEvent) -> DriftLine:
    details = event.details
    mended = details.get("mended") or details.get("given") or [f"dropped {name}" for name in details.get("roles", [])]
    refused = [f"not mended: {words}" for words in details.get("refused", [])]
    words = (*mended, *refused)
    count = int(details.get("mended_count", details.get("given_count", len(mended)))) + len(refused)
    return DriftLine(event.at, event.actor_email if event.actor_id else "", words[:5], max(count - 5, 0))


def findings_by_kind(check: DriftCheck | None) -> list[tuple[str, list[DriftFinding]]]:
    """Return the findings in groups, each with its title."""
    found = findings_of(check)
    groups = [(words, [f for f in found if f.kind is kind]) for kind, words in DRIFT_KIND_WORDS.items()]
    return [(words, findings) for words, findings in groups if findings]
