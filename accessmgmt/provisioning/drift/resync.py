"""Compares a target with what the portal gave there, and keeps its capability roles in order.

What differs stands in look.py, how it is mended on request in repair.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from functools import partial

import psycopg

from accessmgmt.domain.drift import DriftChange, DriftOrder, DriftReport, ResyncReport
from accessmgmt.domain.errors import TargetError, TargetUnavailable
from accessmgmt.domain.names import Installation
from accessmgmt.domain.permissions import PermissionSet
from accessmgmt.domain.targets import Target
from accessmgmt.provisioning.connect.admin import admin_session
from accessmgmt.provisioning.connect.primary import find_servers
from accessmgmt.provisioning.drift.look import idle_here, look, scopes_of
from accessmgmt.provisioning.leftovers.held_up import HeldUp, naming_holders
from accessmgmt.provisioning.privileges.ensure import WHAT_IS_SHARED, ensure_capability
from accessmgmt.provisioning.privileges.read import inspect_sets
from accessmgmt.provisioning.session.conversation import Repeat, Session
from accessmgmt.provisioning.session.deadline import Budget
from accessmgmt.provisioning.session.explain import is_lost
from accessmgmt.provisioning.statements.drift import read_existing

BUDGET_SECONDS = 15.0


def check_drift(target: Target, wanted: DriftOrder, *, budget_seconds: float = BUDGET_SECONDS) -> DriftReport:
    """Compare one database, and the roles of its server, with what the portal gave; change nothing.

    For a standby its primary is asked. Raises TargetUnavailable or TargetRefused when it cannot be looked at.
    """
    started = time.monotonic()
    servers = find_servers(target, budget_seconds)
    with admin_session(servers.writable, Budget(budget_seconds), installation=wanted.installation) as session:
        found = look(session, servers, wanted)
    return DriftReport(
        findings=tuple(difference.finding for difference in found.differences),
        relation_count=found.relation_count,
        login_count=len(wanted.logins),
        took_ms=round((time.monotonic() - started) * 1_000, 1),
        checked_at=datetime.now(UTC),
    )


def resync_sets(
    target: Target,
    installation: Installation,
    permission_sets: Collection[PermissionSet],
    idle_sets: Collection[PermissionSet] = (),
    *,
    budget_seconds: float = BUDGET_SECONDS,
    on_progress: Callable[[], None] | None = None,
) -> ResyncReport:
    """Bring capability roles in order: what was created since gets its privileges, and what others gave them besides is
    taken back.

    Those of `idle_sets` only lose what they have too much, where they are there at all. Needs no password and touches
    no login. Raises TargetUnavailable when the server is out of reach.
    """
    changes: list[DriftChange] = []
    refused: dict[str, str] = {}
    servers = find_servers(target, budget_seconds)
    budget = Budget(budget_seconds, on_progress)
    with admin_session(servers.writable, budget, installation=installation) as session:
        idle = idle_here(installation, idle_sets, _roles_there(session, installation, idle_sets))
        scopes = scopes_of(session, servers.named, installation, permission_sets, idle)
        for scope, found in zip(scopes, inspect_sets(session, scopes), strict=True):
            if not scope.gives and found.facts.capability_oid is None:
                continue
            try:
                prepare = partial(ensure_capability, session, scope, found, changes)
                naming_holders(session, servers.writable, prepare, WHAT_IS_SHARED)
            except (Repeat, TargetError, psycopg.Error) as error:
                is_away = isinstance(error, TargetUnavailable) and not isinstance(error, HeldUp)
                is_over = is_away or (isinstance(error, psycopg.Error) and is_lost(error))
                if is_over and not changes:
                    raise
                refused[scope.capability] = why_not(session, error)
                if is_over:  # what was changed before is told nevertheless
                    break
                session.roll_back()
    return ResyncReport(tuple(changes), refused)


def _roles_there(session: Session, installation: Installation, sets: Collection[PermissionSet]) -> set[str]:
    names = [permissions.capability_role_name(installation.id) for permissions in sets]
    return {row["name"] for row in session.ask(read_existing(names))} if names else set()


def why_not(session: Session, error: Repeat | TargetError | psycopg.Error) -> str:
    """Say why a set could not be brought in order: only what may come right by itself is said to be tried again."""
    if isinstance(error, Repeat):
        return "Other work got in between; it is tried again by itself."
    return str(session.explained(error) if isinstance(error, psycopg.Error) else error)
