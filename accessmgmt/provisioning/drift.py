"""Compares a target with what the portal gave there, and brings it in order again (postgres.md 12, reconcile).

A check asks a fixed number of questions, whatever the number of tables and logins: one message with a query for each
permission set (the same query that apply decides by), and one with six queries over all roles.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from functools import partial

import psycopg

from accessmgmt.domain.drift import (
    DriftChange,
    DriftFinding,
    DriftKind,
    DriftOrder,
    DriftReport,
    RepairReport,
    ResyncReport,
)
from accessmgmt.domain.errors import TargetError, TargetUnavailable
from accessmgmt.domain.names import Installation
from accessmgmt.domain.permissions import PermissionSet
from accessmgmt.domain.targets import GrantOrder, Target
from accessmgmt.provisioning import end
from accessmgmt.provisioning.budget import Budget
from accessmgmt.provisioning.capability import ensure_capability
from accessmgmt.provisioning.connect import admin_session
from accessmgmt.provisioning.discovery import with_primary
from accessmgmt.provisioning.drift_logins import (
    Difference,
    compare_direct,
    compare_grantors,
    compare_logins,
    compare_members,
    compare_sessions,
    role_found,
)
from accessmgmt.provisioning.drift_sets import MOST_OWNED, compare_owned, compare_set
from accessmgmt.provisioning.execute import Repeat, Session
from accessmgmt.provisioning.failures import is_lost
from accessmgmt.provisioning.inspect import inspect_sets, inspect_target, scope_of
from accessmgmt.provisioning.leftovers import KEEP, REFUSED
from accessmgmt.provisioning.new_owner import ensure_owner, likely_owner, may_not_hand_over, named_owner
from accessmgmt.provisioning.statements import COMMIT
from accessmgmt.provisioning.statements_drift import (
    READ_ACTING_AS,
    read_direct,
    read_grantors,
    read_members,
    read_owned_by_sets,
    read_roles,
    read_sessions,
)
from accessmgmt.provisioning.statements_locks import BEGIN_BRIEFLY

BUDGET_SECONDS = 15.0
HAS_PROCEDURE = frozenset({DriftKind.PRIVILEGE, DriftKind.ORPHAN, DriftKind.VANISHED})


def check_drift(target: Target, wanted: DriftOrder, *, budget_seconds: float = BUDGET_SECONDS) -> DriftReport:
    """Compare one database, and the roles of its server, with what the portal gave; change nothing.

    For a standby its primary is asked. Raises TargetUnavailable or TargetRefused when it cannot be looked at.
    """
    started = time.monotonic()
    target = with_primary(target, budget_seconds)
    with admin_session(target.primary or target, Budget(budget_seconds), installation=wanted.installation) as session:
        differences, relation_count = _look(session, target, wanted)
    return DriftReport(
        findings=tuple(difference.finding for difference in differences),
        relation_count=relation_count,
        login_count=len(wanted.logins),
        took_ms=round((time.monotonic() - started) * 1_000, 1),
        checked_at=datetime.now(UTC),
    )


def _look(session: Session, target: Target, wanted: DriftOrder) -> tuple[list[Difference], int]:
    version, installation = session.server_version, wanted.installation
    scopes = [
        scope_of(order_of(installation, permissions), version, target.leftover_owner)
        for permissions in wanted.permission_sets
    ]
    sets = inspect_sets(session, scopes)
    differences = [
        Difference(finding)
        for scope, found in zip(scopes, sets, strict=True)
        for finding in compare_set(found, scope, installation)
    ]
    names = [login.role_name for login in wanted.logins]
    me, roles, members, direct, grantors, sessions, owned = session.send(
        [
            READ_ACTING_AS,
            read_roles(installation, names, [login.role_oid for login in wanted.logins]),
            read_members(installation),
            read_direct(installation),
            read_grantors([scope.capability for scope in scopes]),
            read_sessions(wanted.former_oids),
            read_owned_by_sets(installation, MOST_OWNED),
        ]
    )
    acting_as = me[0]["name"]
    found_roles = [role_found(row) for row in roles]
    differences += compare_logins(found_roles, wanted, acting_as=acting_as, server_version=version)
    differences += compare_members(members, found_roles, wanted, acting_as=acting_as, server_version=version)
    differences += compare_direct(direct, wanted)
    differences += compare_grantors(grantors)
    differences += compare_sessions(sessions)
    differences += compare_owned(
        [row for row in owned if installation.read_tag(row["tag"], row["role"])],
        owner=likely_owner(session, target) if owned else named_owner(target),
        is_kept=target.leftovers == KEEP,
        acting_as=acting_as,
        is_superuser=session.conn.info.parameter_status("is_superuser") == "on",
        server_version=version,
    )
    return differences, sum(found.scope.relation_count for found in sets)


def order_of(installation: Installation, permissions: PermissionSet) -> GrantOrder:
    """Return an order for a capability role alone, without any login."""
    return GrantOrder(grant_id="", installation=installation, role_name="", permissions=permissions, ttl_seconds=0)


def resync_sets(
    target: Target,
    installation: Installation,
    permission_sets: Collection[PermissionSet],
    *,
    budget_seconds: float = BUDGET_SECONDS,
    on_progress: Callable[[], None] | None = None,
) -> ResyncReport:
    """Bring the capability roles of active grants in order: what was created since gets its privileges, and what others
    gave them besides is taken back.

    Needs no password and touches no login. Raises TargetUnavailable when the server is out of reach.
    """
    changes: list[DriftChange] = []
    refused: dict[str, str] = {}
    target = with_primary(target, budget_seconds)
    budget = Budget(budget_seconds, on_progress)
    with admin_session(target.primary or target, budget, installation=installation) as session:
        scopes = [
            scope_of(order_of(installation, permissions), session.server_version, target.leftover_owner)
            for permissions in permission_sets
        ]
        found_sets = inspect_sets(session, scopes)
        for scope, found in zip(scopes, found_sets, strict=True):
            order = order_of(installation, scope.permissions)
            try:
                ensure_capability(session, order, scope, found, changes)
            except (Repeat, TargetError, psycopg.Error) as error:
                is_over = isinstance(error, TargetUnavailable) or (isinstance(error, psycopg.Error) and is_lost(error))
                if is_over and not changes:
                    raise
                refused[scope.capability] = _why_not(session, error)
                if is_over:  # what was changed before is told nevertheless
                    break
                session.roll_back()
    return ResyncReport(tuple(changes), refused)


def _why_not(session: Session, error: Repeat | TargetError | psycopg.Error) -> str:
    """Say why a set could not be brought in order: only what may come right by itself is said to be tried again."""
    if isinstance(error, Repeat):
        return "Other work got in between; it is tried again by itself."
    return str(session.explained(error) if isinstance(error, psycopg.Error) else error)


def repair(
    target: Target,
    wanted: DriftOrder,
    findings: Collection[DriftFinding],
    *,
    budget_seconds: float = BUDGET_SECONDS,
) -> RepairReport:
    """Mend these differences, if they are still there: everything is looked at anew, and stored SQL is never run.

    Privileges are mended set by set, in locked chunks, as apply does. Orphans are ended with the same care as a
    grant. Vanished roles are not made again: the caller ends their grants. What the target refuses is reported.
    """
    keys = {finding.key for finding in findings}
    mended: list[DriftFinding] = []
    refused: list[tuple[DriftFinding, str]] = []
    target = with_primary(target, budget_seconds)
    with admin_session(target.primary or target, Budget(budget_seconds), installation=wanted.installation) as session:
        differences, _ = _look(session, target, wanted)
        chosen = [difference for difference in differences if difference.finding.key in keys]
        for difference in chosen:
            if difference.statements:
                _note(mended, refused, difference.finding, _run(session, target, difference))
            elif difference.hands_over is not None or difference.finding.kind not in HAS_PROCEDURE:
                refused.append((difference.finding, "A person has to do this: nothing that the portal may run helps."))
        _repair_sets(session, target, wanted, [d.finding for d in chosen if d.hands_over is None], mended, refused)
    for finding in [d.finding for d in chosen if d.finding.kind is DriftKind.ORPHAN]:
        _note(mended, refused, finding, _end_orphan(target, wanted.installation, finding))
    return RepairReport(mended=tuple(mended), refused=tuple(refused))


def _note(
    mended: list[DriftFinding], refused: list[tuple[DriftFinding, str]], finding: DriftFinding, error: str
) -> None:
    if error:
        refused.append((finding, error))
    else:
        mended.append(finding)


def _run(session: Session, target: Target, difference: Difference) -> str:
    """Run one difference's statements in a transaction of their own; return why the target refused, or ""."""
    role = difference.hands_over
    try:
        if role is not None:
            ensure_owner(session, target)
        session.repeat(partial(session.send, [*BEGIN_BRIEFLY, *difference.statements, COMMIT]))
    except TargetError as refusal:
        return str(refusal)
    except psycopg.Error as error:
        session.roll_back()
        if role is not None and error.sqlstate == REFUSED:
            return str(may_not_hand_over(session, role, likely_owner(session, target), error))
        return str(session.explained(error))
    return ""


def _repair_sets(
    session: Session,
    target: Target,
    wanted: DriftOrder,
    chosen: Sequence[DriftFinding],
    mended: list[DriftFinding],
    refused: list[tuple[DriftFinding, str]],
) -> None:
    for permissions in wanted.permission_sets:
        order = order_of(wanted.installation, permissions)
        scope = scope_of(order, session.server_version, target.leftover_owner)
        mine = [f for f in chosen if f.kind is DriftKind.PRIVILEGE and f.role == scope.capability]
        if not mine:
            continue
        error = ""
        try:
            ensure_capability(session, order, scope, inspect_target(session, order, scope))
        except TargetError as refusal:
            error = str(refusal)
        except Repeat:
            error = "Other work got in between. Repair again."
        left = {f.key for f in compare_set(inspect_target(session, order, scope), scope, wanted.installation)}
        for finding in mine:
            still = finding.key in left
            _note(mended, refused, finding, (error or "The target took it, and it is still so.") if still else "")


def _end_orphan(target: Target, installation: Installation, finding: DriftFinding) -> str:
    order = GrantOrder(
        grant_id=finding.grant_id,
        installation=installation,
        role_name=finding.role,
        permissions=PermissionSet((), (), ()),
        ttl_seconds=0,
    )
    try:
        end.end_grant(target, order)
    except TargetError as error:
        return str(error)
    return ""
