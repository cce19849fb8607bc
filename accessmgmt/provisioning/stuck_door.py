"""Says what opens the way when the server does not let the portal shut a login's door, though its rights are gone.

A superuser may have given the login an attribute that only superusers take away or touch; or a transaction that was
prepared holds the role's row, and nothing but its end lets go of it.
"""

from __future__ import annotations

from contextlib import suppress

import psycopg

from accessmgmt.domain.errors import TargetError
from accessmgmt.provisioning import advice
from accessmgmt.provisioning.execute import Session
from accessmgmt.provisioning.statements_end import PREPARED_TRANSACTIONS, read_attributes

MAY_NOT, LOCKED = "42501", "55P03"


def explain_stuck_door(session: Session, role: str, error: psycopg.Error) -> TargetError:
    """Translate why a role could not be fenced, with what opens the way where that is known."""
    todo = ""
    with suppress(psycopg.Error, TargetError):
        todo = _what_helps(session, role, error.sqlstate or "")
    return session.explained(error, todo=todo)


def _what_helps(session: Session, role: str, sqlstate: str) -> str:
    if sqlstate == LOCKED:
        prepared = session.ask_one(PREPARED_TRANSACTIONS, {"names": [role]})
        return advice.in_words(advice.finish_prepared(row["database"], row["gid"]) for row in prepared)
    if sqlstate == MAY_NOT:
        attributes = [name for row in session.send([read_attributes(role)])[0] for name in row["attributes"]]
        return str(advice.undo_attributes(role, attributes)) if attributes else ""
    return ""
