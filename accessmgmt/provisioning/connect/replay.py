"""Waits until a standby has replayed what was committed on its primary."""

from __future__ import annotations

import time

from accessmgmt.domain.errors import TargetUnavailable
from accessmgmt.provisioning.session.conversation import Interrupted, Session
from accessmgmt.provisioning.statements.reading import has_replayed

LONGEST_WAIT_SECONDS = 8.0
PAUSE_SECONDS = 0.01


def wait_for_replay(session: Session, lsn: str) -> None:
    """Poll the standby until it has replayed `lsn`. Raises TargetUnavailable when it takes too long.

    Raises Interrupted (look again who is the primary) when the server is no standby.
    """
    until = time.monotonic() + LONGEST_WAIT_SECONDS
    question = has_replayed(lsn)
    while True:
        row = session.ask(question)[0]
        if not row["in_recovery"]:
            # Who is the primary is looked at before the work: it was promoted meanwhile, or the link was never right.
            raise Interrupted(
                f"“{session.target_name}” takes changes itself: it is no standby of the server that it links.",
                why="It was promoted a moment ago, or the link to a primary is wrong.",
                todo="It is tried again. If this stays so, correct the resource's link to a primary, or take it out.",
            )
        if row["has_replayed"]:
            return
        if time.monotonic() > until:
            raise TargetUnavailable(
                f"“{session.target_name}” lags behind its primary.",
                why=f"It has not replayed the change within {LONGEST_WAIT_SECONDS:g} seconds.",
                todo="It is tried again. Look at pg_stat_replication on the primary and at pg_is_wal_replay_paused().",
            )
        time.sleep(min(PAUSE_SECONDS, session.budget.check()))
