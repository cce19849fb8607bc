"""Ends what logins handed to others: memberships in a login and from it, and sessions that may hold its rights.

A session that has stepped into a role goes on as that role when the membership is taken away, and a cursor that is open
reads on. So the sessions of who could step into a login, or inherit from it, or was let into another role by it, end
with it, as far as they had begun when its door was shut: who comes later finds nothing to step into. Memberships stay
until then, so that a second try still knows who they were.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import psycopg

from accessmgmt.domain.errors import TargetError, TargetUnavailable
from accessmgmt.provisioning.leftovers.found_role import FoundRole
from accessmgmt.provisioning.session.conversation import Row, Session
from accessmgmt.provisioning.session.explain import is_lost
from accessmgmt.provisioning.statements import advice
from accessmgmt.provisioning.statements.base import BEGIN, COMMIT, Statement
from accessmgmt.provisioning.statements.ending import READ_HOLDERS, SHORT_LOCK_TIMEOUT, revoke_memberships, terminate

PAUSE_SECONDS = 0.03
LONGEST_SECONDS = 10.0
MAY_NOT = "42501"


@dataclass(frozen=True, slots=True)
class Holder:
    """A role whose sessions may hold the rights of a login."""

    login: int
    oid: int
    name: str


@dataclass(slots=True)
class HoldersCut:
    """What is to be said of sessions that were ended, and why some were not, by the login's OID."""

    notes: dict[int, list[str]] = field(default_factory=dict)
    failures: dict[int, TargetError] = field(default_factory=dict)


def find_holders(session: Session, roles: Sequence[FoundRole]) -> dict[int, list[Holder]]:
    """Return, by the login's OID, who may hold its rights; nothing is asked where nobody was let in."""
    shared = [role.oid for role in roles if role.members or role.passed_on]
    if not shared:
        return {}
    found: dict[int, list[Holder]] = {}
    for row in session.ask(READ_HOLDERS, {"oids": shared}):
        found.setdefault(row["login"], []).append(Holder(row["login"], row["oid"], row["name"]))
    return found


def end_sessions_of(session: Session, holders: Sequence[Holder], begun_at: datetime, *, server: str) -> HoldersCut:
    """End the sessions of who could hold a login's rights, as far as they had begun at that time of the server."""
    cut = HoldersCut()
    ended: dict[int, dict[int, Row]] = {}
    until = time.monotonic() + LONGEST_SECONDS
    for oid in dict.fromkeys(holder.oid for holder in holders):
        try:
            ended[oid] = _end(session, terminate([oid], begun_at), until)
        except psycopg.Error as error:
            if is_lost(error) or error.sqlstate != MAY_NOT:
                raise
            session.roll_back()
            cut.failures |= {holder.login: session.explained(error) for holder in holders if holder.oid == oid}
        except TargetUnavailable as error:
            cut.failures |= {holder.login: error for holder in holders if holder.oid == oid}
    for holder in holders:
        if rows := ended.get(holder.oid):
            pids = ", ".join(str(pid) for pid in sorted(rows))
            cut.notes.setdefault(holder.login, []).append(
                f"{holder.name} could act with the login's rights: what sessions it had on the {server} were ended (pid"
                f" {pids})."
            )
    return cut


def _end(session: Session, statement: Statement, until: float) -> dict[int, Row]:
    seen: dict[int, Row] = {}
    while rows := session.send([statement])[0]:
        seen |= {row["pid"]: row for row in rows}
        if time.monotonic() > until:
            pids = ", ".join(str(row["pid"]) for row in rows)
            raise TargetUnavailable(
                f"Sessions on “{session.target_name}” that may hold the login's rights do not end.",
                why=f"They were told to {LONGEST_SECONDS:g} seconds ago: pid {pids}.",
                todo="They are told again by itself. If this stays so, look at what they wait for.",
            )
        time.sleep(min(PAUSE_SECONDS, session.budget.check()))
    return seen


def undo_memberships(session: Session, role: FoundRole) -> list[str]:
    """Take away what a login handed on, and say so. Whatever may not be revoked ends with the login from 16 on."""
    notes = []
    for member, grantor in role.members:
        by = grantor if session.server_version >= 16 and grantor != role.acting_as else None
        _try(session, revoke_memberships(role.name, [member], by))
        notes.append(f"Somebody had made {member} a member of the login: that is over.")
    for granted, member in role.passed_on:
        # From 16 on this goes with the grantor: PostgreSQL keeps no membership whose grantor is gone.
        revoke = revoke_memberships(granted, [member], None)
        if session.server_version >= 16 or _try(session, revoke):
            notes.append(f"The login had made {member} a member of {granted}: that is over.")
        else:
            todo = advice.undo_memberships(member, [granted])
            notes.append(f"The login had made {member} a member of {granted}, which the portal may not undo. {todo}")
    return notes


def _try(session: Session, revoke: Statement) -> bool:
    try:
        session.send([BEGIN, SHORT_LOCK_TIMEOUT, revoke, COMMIT])
    except psycopg.Error as error:
        if is_lost(error):
            raise
        session.roll_back()
        return False
    return True
