"""Ends the sessions of a login role on one server, by the role's OID (postgres.md 5)."""

from __future__ import annotations

import time
from collections.abc import Sequence

import psycopg

from accessmgmt.domain.errors import TargetUnavailable
from accessmgmt.domain.targets import CutSession
from accessmgmt.provisioning.execute import Row, Session
from accessmgmt.provisioning.plan import membership_fix
from accessmgmt.provisioning.statements import ADMIN_ROLE, TERMINATE

EMPTY_POLLS = 3
PAUSE_SECONDS = 0.03
LONGEST_SECONDS = 10.0


def end_sessions(
    session: Session, oids: Sequence[int], *, server: str, empty_polls: int = EMPTY_POLLS
) -> list[CutSession]:
    """Terminate every session of these role OIDs until none is seen several times in a row.

    A backend that has just authenticated is not listed yet: one empty look proves nothing. Raises TargetUnavailable
    when sessions do not die in time, TargetRefused when the admin role may not terminate them.
    """
    if not oids:
        return []
    cut: dict[int, CutSession] = {}
    until = time.monotonic() + LONGEST_SECONDS
    empty = 0
    while empty < empty_polls:
        rows = _terminate(session, oids)
        for row in rows:
            cut.setdefault(row["pid"], CutSession(server, row["pid"], row["application_name"], row["started_at"]))
        empty = 0 if rows else empty + 1
        if empty >= empty_polls:
            break
        if time.monotonic() > until:
            raise TargetUnavailable(
                f"{len(rows)} sessions on “{session.target_name}” do not end.",
                why=f"They were told to {LONGEST_SECONDS:g} seconds ago: pid {', '.join(str(r['pid']) for r in rows)}.",
                todo="They are told again by itself. If this stays so, look at what they wait for.",
            )
        time.sleep(min(PAUSE_SECONDS, session.budget.check()))
    return list(cut.values())


def _terminate(session: Session, oids: Sequence[int]) -> list[Row]:
    try:
        return session.ask(TERMINATE, {"oids": list(oids)})
    except psycopg.Error as error:
        if error.sqlstate != "42501":
            raise
        fix = membership_fix(["pg_signal_backend"], session.server_version, ADMIN_ROLE)
        raise session.explained(error, todo=f"A DBA runs: {fix}") from None
