"""Mends differences that somebody chose: everything is looked at before and after, and stored SQL is never run."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from math import inf

import psycopg

from accessmgmt.domain.drift import DriftFinding, DriftKind, DriftOrder, RepairReport
from accessmgmt.domain.errors import TargetError
from accessmgmt.domain.names import Installation
from accessmgmt.domain.orders import EndOrder, LoginRef
from accessmgmt.domain.targets import Target
from accessmgmt.provisioning.connect.admin import admin_session
from accessmgmt.provisioning.connect.hosts import Servers
from accessmgmt.provisioning.connect.primary import find_servers
from accessmgmt.provisioning.drift.difference import Difference
from accessmgmt.provisioning.drift.look import idle_here, look, scopes_of
from accessmgmt.provisioning.drift.resync import BUDGET_SECONDS, why_not
from accessmgmt.provisioning.end import grants
from accessmgmt.provisioning.end.sessions import end_sessions
from accessmgmt.provisioning.leftovers.drop import REFUSED, session_in
from accessmgmt.provisioning.leftovers.new_owner import ensure_owner, likely_owner, may_not_hand_over
from accessmgmt.provisioning.leftovers.stepped_into import disarm, take_back_what_it_passed_on, undo_hooks
from accessmgmt.provisioning.privileges.ensure import ensure_capability
from accessmgmt.provisioning.privileges.read import Scope, inspect_target
from accessmgmt.provisioning.session.conversation import Repeat, Session
from accessmgmt.provisioning.session.deadline import Budget
from accessmgmt.provisioning.statements.base import COMMIT
from accessmgmt.provisioning.statements.locks import BEGIN_BRIEFLY

STILL_SO = "It was mended, and is so again, or still: somebody does it anew, or another role gave it as well."
NO_TIME = "There was no time left for it: choose Repair again."
FOR_A_PERSON = "A person has to do this: nothing that the portal may run helps."


def repair(
    target: Target,
    wanted: DriftOrder,
    findings: Collection[DriftFinding],
    *,
    budget_seconds: float = BUDGET_SECONDS,
    until: float = inf,
) -> RepairReport:
    """Mend these differences, if they are still there; what a second look still finds is not mended.

    Privileges are mended set by set, in locked chunks, as apply does. Orphans are ended with the same care as a
    grant, and sessions until they are gone. Vanished roles are not made again: the caller ends their grants. What the
    target refuses is reported. No orphan's end is begun after `until` (monotonic), or takes longer.
    """
    keys = {finding.key for finding in findings}
    servers = find_servers(target, budget_seconds)
    with admin_session(servers.writable, Budget(budget_seconds), installation=wanted.installation) as session:
        found = look(session, servers, wanted).differences
        chosen = [each for each in found if each.finding.key in keys and each.finding.kind is not DriftKind.VANISHED]
        errors = _repair_sets(
            session, servers.named, wanted, [each for each in chosen if _is_mended_with_its_set(each)]
        )
        for each in chosen:
            if each.finding.kind is not DriftKind.ORPHAN and not _is_mended_with_its_set(each):
                errors[each.finding.key] = _mend(session, servers, each)
        for each in chosen:  # last, and over connections of their own
            if each.finding.kind is DriftKind.ORPHAN:
                errors[each.finding.key] = _end_orphan(target, wanted.installation, each.finding, until)
        left = {each.finding.key for each in look(session, servers, wanted).differences} if chosen else set()
    return _report([each.finding for each in chosen], errors, left)


def _report(chosen: Sequence[DriftFinding], errors: Mapping[str, str], left: Collection[str]) -> RepairReport:
    """Tell what was mended from what is `left`. An orphan whose end was not proved counts as left."""
    refused = {
        finding: errors.get(finding.key) or STILL_SO
        for finding in chosen
        if finding.key in left or (finding.kind is DriftKind.ORPHAN and errors[finding.key])
    }
    mended = tuple(finding for finding in chosen if finding not in refused)
    return RepairReport(mended=mended, refused=tuple(refused.items()))


def _is_mended_with_its_set(difference: Difference) -> bool:
    return difference.finding.kind is DriftKind.PRIVILEGE and not difference.statements


def _mend(session: Session, servers: Servers, difference: Difference) -> str:
    """Mend one difference by itself; return why that was not possible, or ""."""
    if difference.ends_sessions_of is not None:
        cut = end_sessions(session, [difference.ends_sessions_of], server="primary")
        return "".join(str(error) for error in cut.failures.values())
    here = session.conn.info.dbname
    if not (difference.statements or difference.takes_back) or difference.finding.is_for_dba:
        return FOR_A_PERSON
    try:
        with session_in(session, servers.writable, difference.database or here, session.budget) as place:
            return _run(place, servers.named, difference)
    except TargetError as error:
        return str(error)


def _run(session: Session, target: Target, difference: Difference) -> str:
    """Run one difference's statements in a transaction of their own; return why the target refused, or ""."""
    role = difference.hands_over
    try:
        if role is not None:
            disarm(session, role)  # by itself: it counts whoever may take over
            undo_hooks(session, target, role)
            ensure_owner(session, target)
        if difference.takes_back is not None:
            take_back_what_it_passed_on(session, target, difference.takes_back)
        if difference.statements:
            session.repeat(partial(session.send, [*BEGIN_BRIEFLY, *difference.statements, COMMIT]))
    except TargetError as refusal:
        return str(refusal)
    except psycopg.Error as error:
        session.roll_back()
        if role is not None and error.sqlstate == REFUSED:
            return str(may_not_hand_over(session, role, likely_owner(session, target), error))
        return str(session.explained(error))
    return ""


def _repair_sets(session: Session, target: Target, wanted: DriftOrder, chosen: Sequence[Difference]) -> dict[str, str]:
    """Bring the capability roles of these differences in order; return by finding why that was not possible."""
    roles = {each.finding.role for each in chosen}
    idle = idle_here(wanted.installation, wanted.idle_sets, roles)
    errors: dict[str, str] = {}
    for scope in scopes_of(session, target, wanted.installation, wanted.permission_sets, idle):
        if scope.capability in roles:
            error = _ensure(session, scope)
            errors |= {each.finding.key: error for each in chosen if each.finding.role == scope.capability}
    return errors


def _ensure(session: Session, scope: Scope) -> str:
    try:
        ensure_capability(session, scope, inspect_target(session, scope))
    except (Repeat, TargetError) as error:
        session.roll_back()
        return why_not(session, error)
    return ""


def _end_orphan(target: Target, installation: Installation, finding: DriftFinding, until: float) -> str:
    left = until - time.monotonic()
    if left <= 0:
        return NO_TIME
    order = EndOrder(LoginRef(installation, finding.grant_id, finding.role))
    try:
        grants.end_grant(target, order, longest_seconds=min(left, grants.BUDGET_SECONDS))
    except TargetError as error:
        return str(error)
    return ""
