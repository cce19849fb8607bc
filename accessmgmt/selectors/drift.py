"""What the portal believes that its targets hold, and what the checks of them found."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from accessmgmt.domain.drift import DriftFinding, DriftKind, DriftOrder, KnownLogin, finding_from_json
from accessmgmt.domain.permissions import PermissionSet
from accessmgmt.domain.states import GrantState
from accessmgmt.models import DriftCheck, Grant, Resource
from accessmgmt.models.installation import this_installation

MOST_FORMER_OIDS = 2_000
FORMER_FOR = timedelta(days=1)
MOST_DUE = 200


def drift_order(resource: Resource) -> DriftOrder:
    """Return what a resource should hold now: its active grants, and every other role that the portal knows."""
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
    )


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
    now = timezone.now().isoformat()
    failed = DriftCheck.objects.filter(resource__in=pks, error__isnull=False).values_list("resource_id", "error")
    waiting = {pk for pk, error in failed if error and str(error.get("retry_at", "")) > now}
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
    own = [finding for finding in findings_of(check) if finding.grant_id == str(grant.pk) or finding.role in roles]
    return Comparison(check.checked_at, len(own), bool(check.error))


KIND_WORDS = {
    DriftKind.PRIVILEGE: "Privileges of capability roles",
    DriftKind.GRANTOR: "Granted by others",
    DriftKind.DIRECT: "Granted straight to logins",
    DriftKind.MEMBERSHIP: "Memberships",
    DriftKind.ATTRIBUTE: "Attributes of logins",
    DriftKind.VANISHED: "Grants whose role is gone",
    DriftKind.FOREIGN: "Roles that are not provably the portal's",
    DriftKind.ORPHAN: "Roles with the portal's tag that it does not know",
    DriftKind.SESSION: "Sessions that outlived their login",
}


def findings_by_kind(check: DriftCheck | None) -> list[tuple[str, list[DriftFinding]]]:
    """Return the findings in groups, each with its title."""
    found = findings_of(check)
    groups = [(words, [f for f in found if f.kind is kind]) for kind, words in KIND_WORDS.items()]
    return [(words, findings) for words, findings in groups if findings]
