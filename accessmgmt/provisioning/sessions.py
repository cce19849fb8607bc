"""Ends the sessions of login roles on one server, by the roles' OIDs (postgres.md 5)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import psycopg

from accessmgmt.domain.errors import TargetError, TargetUnavailable
from accessmgmt.domain.targets import CutSession
from accessmgmt.provisioning import advice
from accessmgmt.provisioning.execute import Row, Session
from accessmgmt.provisioning.failures import is_lost
from accessmgmt.provisioning.statements import ADMIN_ROLE
from accessmgmt.provisioning.statements_end import terminate

EMPTY_POLLS = 3
PAUSE_SECONDS = 0.03
LONGEST_SECONDS = 10.0


@dataclass(slots=True)
class Cut:
    """Sessions that were terminated, and why those of some roles were not, by the role's OID."""

    sessions: dict[int, list[CutSession]] = field(default_factory=dict)
    failures: dict[int, TargetError] = field(default_factory=dict)


def end_sessions(session: Session, oids: Sequence[int], *, server: str, empty_polls: int = EMPTY_POLLS) -> Cut:
    """Terminate every session of these role OIDs until none is seen several times in a row, with one query a look.

    A backend that has just authenticated is not listed yet: one empty look proves nothing. Roles whose sessions do not
    die in time, or may not be terminated, are reported as failures and do not hold up the others.
    """
    cut = Cut()
    _end_sessions(session, list(dict.fromkeys(oids)), server, empty_polls, cut)
    return cut


def _end_sessions(session: Session, oids: list[int], server: str, empty_polls: int, cut: Cut) -> None:
    if not oids:
        return
    try:
        _poll(session, oids, server, empty_polls, cut)
    except psycopg.Error as error:
        if is_lost(error) or error.sqlstate != "42501":
            raise
        session.roll_back()
        if len(oids) == 1:
            todo = str(advice.end_sessions(ADMIN_ROLE, session.server_version))
            cut.failures[oids[0]] = session.explained(error, todo=todo)
            return
        half = len(oids) // 2
        _end_sessions(session, oids[:half], server, empty_polls, cut)
        _end_sessions(session, oids[half:], server, empty_polls, cut)


def _poll(session: Session, oids: list[int], server: str, empty_polls: int, cut: Cut) -> None:
    seen: set[int] = set()
    until = time.monotonic() + LONGEST_SECONDS
    empty = 0
    while oids:
        rows = session.send([terminate(oids)])[0]
        for row in rows:
            if row["pid"] not in seen:
                seen.add(row["pid"])
                found = CutSession(server, row["pid"], row["application_name"], row["started_at"])
                cut.sessions.setdefault(row["oid"], []).append(found)
        empty = 0 if rows else empty + 1
        if empty >= empty_polls:
            return
        if rows and time.monotonic() > until:
            stubborn = _stubborn(session, rows)
            cut.failures |= stubborn
            oids = [oid for oid in oids if oid not in stubborn]
        time.sleep(min(PAUSE_SECONDS, session.budget.check()))


def _stubborn(session: Session, rows: list[Row]) -> dict[int, TargetError]:
    pids: dict[int, list[str]] = {}
    for row in rows:
        pids.setdefault(row["oid"], []).append(str(row["pid"]))
    return {
        oid: TargetUnavailable(
            f"{len(own)} sessions on “{session.target_name}” do not end.",
            why=f"They were told to {LONGEST_SECONDS:g} seconds ago: pid {', '.join(own)}.",
            todo="They are told again by itself. If this stays so, look at what they wait for.",
        )
        for oid, own in pids.items()
    }
