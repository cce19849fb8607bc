"""Takes a grant away from its target, and proves that nothing is left (postgres.md 12, expire).

Three phases, each committed on its own: fence, end the sessions, drop. In one transaction a client that reconnects
slips through (postgres.md 5.2).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from accessmgmt.domain.errors import TargetError, TargetRefused, TargetUnavailable
from accessmgmt.domain.names import is_login_role_name
from accessmgmt.domain.targets import CutSession, EndReceipt, GrantOrder, Target
from accessmgmt.provisioning.budget import Budget
from accessmgmt.provisioning.connect import admin_session, forget_connections
from accessmgmt.provisioning.execute import Interrupted, Repeat, Session, wait_a_little
from accessmgmt.provisioning.fence import LoginRole, fence, find_roles
from accessmgmt.provisioning.leftovers import drop_login, left_over_notes
from accessmgmt.provisioning.sessions import EMPTY_POLLS, end_sessions
from accessmgmt.provisioning.standby import wait_for_replay
from accessmgmt.provisioning.statements import READ_ABSENCE, READ_LSN
from accessmgmt.provisioning.steps import Steps

BUDGET_SECONDS = 45.0


@dataclass(slots=True)
class Ending:
    """What was done so far. `oids` are those under which the login may have sessions."""

    role_name: str
    oids: list[int]
    was_absent: bool = True
    sessions: list[CutSession] = field(default_factory=list)
    reassigned: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    steps: Steps = field(default_factory=Steps)


def end_grant(target: Target, order: GrantOrder) -> EndReceipt:
    """End a login: no log-in, no session, no role, on the primary and on the standby, and verify it.

    Every step reads before it writes: run it again from the top after any failure. A role that is absent is a success;
    sessions under `order.role_oid` are ended even then. A role without this grant's tag is never touched.

    Raises TargetUnavailable (try again; what could be done has been done) or TargetRefused (a person has to act).
    """
    if not is_login_role_name(order.role_name):
        raise TargetRefused(f"“{order.role_name}” is no name of a login role.", todo="The portal does not touch it.")
    budget = Budget(BUDGET_SECONDS)
    ending = Ending(order.role_name, [order.role_oid] if order.role_oid else [])
    attempts = 0
    while True:
        attempts += 1
        try:
            return _end(target, order, budget, ending)
        except Repeat:
            wait_a_little(attempts, budget)
        except Interrupted:
            if attempts >= 3 or budget.remaining_seconds <= 1:
                raise
            forget_connections(target.primary or target)
            forget_connections(target)


def _end(target: Target, order: GrantOrder, budget: Budget, ending: Ending) -> EndReceipt:
    writable = target.primary or target
    failure: TargetError | None = None
    with ending.steps.measured("total"):
        try:
            with admin_session(writable, budget) as session:
                roles = find_roles(session, order)
                if roles:
                    failure = _take_away(session, target, roles, budget, ending)
                verified_at = _verify_primary(session, ending, swept=bool(roles))
                lsn = str(session.ask(READ_LSN)[0]["lsn"])
        except TargetUnavailable:
            # The primary is out of reach: cut at least what the standby carries.
            if target.primary is not None:
                with suppress(TargetError):
                    _end_on_standby(target, ending, "", budget)
            raise
        if target.primary is not None:
            with ending.steps.measured("standby"):
                verified_at = _verify_standby(target, ending, lsn, budget, failure)
    return _receipt(ending, verified_at)


def _take_away(
    session: Session, target: Target, roles: list[LoginRole], budget: Budget, ending: Ending
) -> TargetError | None:
    """Fence, end the sessions, drop. Returns why the standby could not be swept; that is asked again afterwards."""
    ending.was_absent = False
    failure: TargetError | None = None
    lsn = ""
    with ending.steps.measured("fence"):
        for role in roles:
            lsn = session.repeat(partial(fence, session, role))
    ending.oids = list(dict.fromkeys([*ending.oids, *(role.oid for role in roles)]))
    with ending.steps.measured("sessions"):
        ending.sessions += end_sessions(session, ending.oids, server="primary")
    if target.primary is not None:
        with ending.steps.measured("standby"):
            try:
                _end_on_standby(target, ending, lsn, budget)
            except TargetError as error:
                failure = error
    with ending.steps.measured("drop"):
        for role in roles:
            ending.reassigned += drop_login(session, target.primary or target, role, budget)
    return failure


def _verify_primary(session: Session, ending: Ending, *, swept: bool) -> datetime:
    """Look once more for sessions, then for anything at all."""
    with ending.steps.measured("verify"):
        ending.sessions += end_sessions(session, ending.oids, server="primary", empty_polls=1 if swept else EMPTY_POLLS)
        ending.notes = left_over_notes(session, ending.role_name)
        return _verify_absence(session, ending)


def _verify_absence(session: Session, ending: Ending) -> datetime:
    row = session.ask(READ_ABSENCE, {"role": ending.role_name, "oids": ending.oids})[0]
    left = {name: row[name] for name in ("roles", "sessions", "dependencies") if row[name]}
    if left:
        raise TargetUnavailable(
            f"{ending.role_name} is not gone from “{session.target_name}” yet.",
            why="Left: " + ", ".join(f"{count} {name}" for name, count in left.items()) + ".",
            todo="It is tried again by itself.",
        )
    found: datetime = row["verified_at"]
    return found.astimezone(UTC)


def _end_on_standby(target: Target, ending: Ending, lsn: str, budget: Budget) -> None:
    """End the sessions on the standby, after it has replayed `lsn`; those that are there in any case, before."""
    with admin_session(target, budget, server="standby") as standby:
        ending.sessions += end_sessions(standby, ending.oids, server="standby", empty_polls=1)
        if lsn:
            wait_for_replay(standby, lsn)
            ending.sessions += end_sessions(standby, ending.oids, server="standby")


def _verify_standby(target: Target, ending: Ending, lsn: str, budget: Budget, failure: TargetError | None) -> datetime:
    """Ask the standby the same: its sessions are invisible on the primary, and outlive the role."""
    try:
        _end_on_standby(target, ending, lsn, budget)
        with admin_session(target, budget, server="standby") as standby:
            return _verify_absence(standby, ending)
    except TargetError as error:
        first = failure or error
        kind = TargetRefused if isinstance(error, TargetRefused) else TargetUnavailable
        raise kind(
            f"{ending.role_name} is gone from the primary, but “{target.name}” could not be verified.",
            why=f"{first.what} {first.why}".strip(),
            todo=error.todo or "It is tried again by itself.",
            sqlstate=error.sqlstate,
        ) from None


def _receipt(ending: Ending, verified_at: datetime) -> EndReceipt:
    return EndReceipt(
        role_name=ending.role_name,
        role_oid=ending.oids[-1] if ending.oids else None,
        role_was_absent=ending.was_absent,
        sessions=tuple(dict.fromkeys(ending.sessions)),
        reassigned=tuple(dict.fromkeys(ending.reassigned)),
        notes=tuple(ending.notes),
        steps_ms=ending.steps.milliseconds,
        verified_at=verified_at,
    )
